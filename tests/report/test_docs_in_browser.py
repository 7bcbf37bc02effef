"""The documentation as `make docs` has built it: its search works from a folder, and no page asks the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parent.parent.parent / "site"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="`make docs` has not built the site"),
]


def test_search_finds_pages_in_a_folder_without_a_network(browser: Any) -> None:
    browser.open(SITE / "how-to" / "seeds.html")
    browser.press("/", 191)
    browser.wait("document.activeElement.shadowRoot?.activeElement?.tagName === 'INPUT'")
    browser("Input.insertText", text="censored")
    browser.wait("document.activeElement.shadowRoot.querySelectorAll('a mark').length > 0")
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "about:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_notebook_shows_its_figures_in_the_colours_of_the_page(browser: Any, scheme: str) -> None:
    browser.open(SITE / "notebooks" / "generated" / "activation-patching.html", scheme=scheme)
    browser.wait("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    ink = browser.ask("document.querySelector('.xtitle').style.fill")
    assert ink == ("rgb(29, 33, 41)" if scheme == "light" else "rgb(236, 238, 242)")
