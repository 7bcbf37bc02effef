"""A headless Chromium driven over its debugging pipe: exact window widths and colour schemes, no further package."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import browsers
from groklab.figures import _theme as theme

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
#: Chromium reads commands from descriptor 3 and answers on 4; a process that runs JAX is better not forked.
ARRANGE = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(a), fcntl.F_DUPFD, 10) for a in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""

#: The colour of a figure's text.
INK = {"light": theme.INK, "dark": theme.DARK[theme.INK]}
#: Whether a plot is drawn for the window's width and its own.
FITS = (
    "e => e._fullLayout.width === e.clientWidth"
    " && (e._fullLayout.font.size === 12) === matchMedia('(max-width: 640px)').matches"
)


class NavigatedError(Exception):
    """The page was left before it answered."""


class Browser:
    """One tab. `errors` are what the page said on the console since it was opened."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, from_us = os.pipe()
        to_us, from_browser = os.pipe()

        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", ARRANGE, *map(str, (to_browser, from_browser)), *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.write, self.read, self.rest = os.fdopen(from_us, "wb", buffering=0), to_us, b""
        self.count, self.session, self.errors = 0, None, []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self.requests: list[str] = []
        self.shown: tuple[Path, int] | None = None

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.write.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                if answer.get("error", {}).get("message") == "Inspected target navigated or closed":
                    raise NavigatedError(method)
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        parts = [self.rest]
        while b"\0" not in parts[-1]:
            parts.append(os.read(self.read, 2**20))
            assert parts[-1], "the browser went away"
        raw, _, self.rest = b"".join(parts).partition(b"\0")
        message = json.loads(raw)
        name, told = message.get("method"), message.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.errors.append(told["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif name == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.errors.append(str([a.get("value") for a in told["args"]]))
        elif name == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        return message

    def open(self, path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.errors, self.requests, self.shown = [], [], None
        self.resize(width, height)
        self.scheme(scheme)
        self("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def resize(self, width: int, height: int = 900) -> None:
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def show(self, page: Path, width: int = 1280, scheme: str = "light") -> None:
        """A page of figures, drawn; one that is there already is not loaded again, but gets another width or scheme.

        A test that changes the page says so by `changed()`, so that the next one has it fresh.
        """
        if self.shown is not None and self.shown[0] == page and self.shown[1] != width:
            self.resize(width)
            self.wait(f"innerWidth === {width} && [...document.querySelectorAll('.plot')].every({FITS})")
            self.shown = page, width
        if self.shown != (page, width):
            self.open(page, width=width, scheme=scheme)
            self.wait("document.documentElement.dataset.drawn === 'yes'")
            self.shown = page, width
        self.scheme(scheme)
        self.wait(f"[...document.querySelectorAll('.plot')].every(e => e._fullLayout.font.color === '{INK[scheme]}')")

    def changed(self) -> None:
        """Load the page again before it is next shown: this test has changed it."""
        self.shown = None

    def scheme(self, name: str) -> None:
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def ask(self, expression: str) -> Any:
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 20) -> None:
        until = time.monotonic() + seconds
        while True:
            # a page that a link leads to may take the place of the one that was asked
            with suppress(NavigatedError):
                if self.ask(expression):
                    return
            assert time.monotonic() < until, f"never came true: {expression}"
            time.sleep(0.02)

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        size = self("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self.write.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests of one page in one window follow each other, so that it is loaded once."""

    def window(item: pytest.Item) -> tuple[str, str, int]:
        settings = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        return str(item.path), str(settings.get("page", "")), int(settings.get("width", 0))

    places = [i for i, item in enumerate(items) if item.get_closest_marker("browser")]
    for place, item in zip(places, sorted((items[i] for i in places), key=window), strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = browsers.program()
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()
