"""The page of a reproduction as people see it: it fits, loads nothing, and follows the colour scheme."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from groklab.report import write_page
from groklab.reproduction import PAPERS, Bar, Claim, Outcome, Trainer, Trial, publish, reproduce

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    def measure(trainer: Trainer, seed: int) -> Outcome:
        values = {"key_frequencies": [14 + seed, 35, 41, 42, 52], "loss": 10.0**-seed, "step_with_" + "a" * 60: seed}
        sentence = "a sentence with_one_endless_" + "word" * 40
        return Outcome(values, sentence=sentence, control={"loss": 10.0 ** (seed - 3)})

    bars = (Bar("loss", "<=", 0.1, "an origin " + "long" * 40), Bar("key_frequencies", "==", [14, 35], "x"))
    trial = Trial(setting="setting_" + "long" * 40, seeds=6, cost=100, run=measure, bars=bars)
    about = {"claim": "It is so, " * 12 + "always.", "source": "section 3", "expected": "x" * 150}
    claims = [
        Claim(id="one", quick=trial, full=trial, counter="others " * 40, control="c" * 90, **about),  # type: ignore[arg-type]
        Claim(id="another-with-a-very-long-name-" + "x" * 40, quick=None, full=trial, control="c", **about),  # type: ignore[arg-type]
    ]
    publish("mine", "A title with " + "endless" * 20, claims)
    home = tmp_path_factory.mktemp("reproduced")
    reproduce("mine/one", "full", home=home)
    yield write_page(reproduce("mine", home=home), home=home)
    PAPERS.pop("mine")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_fits_and_loads_nothing(browser: Any, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width=width, scheme=scheme)
    assert browser.errors == []
    assert [u for u in browser.requests if not u.startswith(("file:", "data:"))] == []
    assert browser.ask("document.documentElement.scrollWidth") == width
    browser.ask("document.querySelectorAll('details').forEach(d => { d.open = true })")
    right = "[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right)"
    assert browser.ask(f"Math.max(...{right})") <= width
    text = browser.ask("getComputedStyle(document.body).color")
    assert text == ("rgb(29, 33, 41)" if scheme == "light" else "rgb(236, 238, 242)")


def test_the_values_of_a_claim_are_saved_seed_by_seed(browser: Any, page: Path) -> None:
    browser.open(page, scheme="dark")
    browser.ask(
        "window.saved = []; URL.createObjectURL = (blob) => { window.saved.push(blob); return 'data:,'; };"
        "HTMLAnchorElement.prototype.click = function () { window.file = this.download; };"
    )
    group = "document.querySelector('[data-values=one-full]')"
    browser.ask(f"{group}.querySelector('[data-save=csv]').click()")
    browser.wait("window.file")
    assert browser.ask("window.file") == "mine-one-full.csv"
    header, *rows = browser.ask("window.saved.pop().text()").splitlines()
    assert header.startswith("seed,holds,")
    assert len(rows) == 6
    browser.ask(f"{group}.querySelector('[data-save=svg]').click()")
    root = ElementTree.fromstring(browser.ask("window.saved.pop().text()"))
    assert root.find("{*}rect").get("fill") == "#ffffff"  # type: ignore[union-attr]
    # two dots per seed, as two values are numbers
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 12
    assert browser.errors == []
