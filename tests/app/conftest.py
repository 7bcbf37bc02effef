"""The dashboard of the test's own folder, and a Chromium that Playwright drives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import browsers


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    program = browsers.program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def dashboard(home: Path) -> Iterator[Any]:
    """A dashboard that serves; processes that were started from it end with the test."""
    from groklab.app import Dashboard

    home.mkdir(exist_ok=True)
    served = Dashboard(home)
    thread = threading.Thread(target=served.serve, daemon=True)
    thread.start()
    yield served
    served.close()
    thread.join(10)
    for address in served.jobs.running:
        job = served.jobs.get(address)
        job.process.terminate()
        job.process.wait(60)


class Tab:
    """A page of the browser: what it said on its console, and what it asked for."""

    def __init__(self, page: Any, served: Any) -> None:
        self.page, self.served, self.base = page, served, served.link.split("/?")[0]
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", lambda r: self.requests.append(r.url))
        page.goto(served.link)

    def open(self, address: str) -> Any:
        self.page.goto(self.base + address)
        return self.page

    def foreign(self) -> list[str]:
        return [u for u in self.requests if not u.startswith((self.base, "data:", "blob:"))]


@pytest.fixture
def tab(chromium: Any, dashboard: Any) -> Iterator[Tab]:
    """A tab that has followed the link."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    opened = Tab(context.new_page(), dashboard)
    yield opened
    context.close()
    # Dash complains of an answer that comes after its page was left
    assert [error for error in opened.errors if "A nonexistent object was used" not in error] == []
    assert opened.foreign() == []
