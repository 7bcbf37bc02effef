"""The page of a phase diagram as people use it: by pointer, finger and keyboard, in light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groklab.papers.published import published_map
from groklab.report.phase_diagram import write_page
from groklab.report.phase_study import study
from invented_sweep import LR, WD, InventedSweep

pytestmark = pytest.mark.browser
DRAWN = "document.documentElement.dataset.drawn === 'yes'"
PUBLISHED = published_map("data_add_r")
MAPS = ["phase", "published", "differ", "train", "test", "gap"]
CHOSEN = "document.querySelector('#cell').textContent"
PINNED = "document.querySelector('#panel').classList.contains('pinned')"


def times(point: dict[str, Any], seed: int) -> Any:
    place = PUBLISHED.place(point)
    assert place is not None
    if place == (15, 10):
        return None
    if place == (3, 3):
        return [(100, 200), (100, 5000)][seed]
    if place == (9, 2):
        return None, 50
    if place == (4, 4):
        return 100, 200
    found = (PUBLISHED.train_steps[place], PUBLISHED.test_steps[place])
    return tuple(int(t) if t == t else None for t in found)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = {LR: PUBLISHED.rows.values, WD: PUBLISHED.columns.values}
    sweep = InventedSweep(tmp_path_factory.mktemp("sweeps") / "a-sweep", keys, times, seeds=2)
    return write_page(study(sweep, published="data_add_r"), sweep)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = {LR: [1e-4, 1e-3], WD: [0, 1], "split.frac_train": [0.3, 0.7], "task.p": [5, 7]}

    def told(point: dict[str, Any], seed: int) -> Any:
        late = 200 if point["task.p"] == 5 else 5000
        return 100, None if point["split.frac_train"] == 0.3 else late

    sweep = InventedSweep(tmp_path_factory.mktemp("sweeps") / "slices", keys, told)
    return write_page(study(sweep), sweep)


def point_at(browser: Any, grid: str, column: int, row: int, *kinds: str) -> None:
    """Move the pointer to the middle of a cell, and press there if told to."""
    place = browser.ask(
        f"(() => {{ const g = document.querySelector('#map-{grid}'); g.scrollIntoView({{block: 'center'}});"
        "const r = g.querySelector('svg').getBoundingClientRect(), q = g.geometry;"
        f"return [r.left + q.left + {column + 0.5} * q.side, r.top + 1 + ({10 - row} + 0.5) * q.side]; }})()"
    )
    for kind in ("mouseMoved", *kinds):
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        browser("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **button)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_the_page_draws_fits_and_loads_nothing(browser: Any, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width=width, scheme=scheme)
    browser.wait(DRAWN)
    assert browser.errors == []
    assert [u for u in browser.requests if not u.startswith(("file:", "data:"))] == []
    assert browser.ask("document.documentElement.scrollWidth") == width
    right = "[...document.querySelectorAll('section, .map, .grid svg')].map(e => e.getBoundingClientRect().right)"
    assert browser.ask(f"Math.max(...{right})") <= width
    assert browser.ask("[...document.querySelectorAll('.grid')].map(g => g.dataset.map)") == MAPS
    # raw squares of one size, one a cell
    sizes = browser.ask(
        "[...document.querySelectorAll('#map-phase svg > rect')].map(r => [r.getAttribute('width'), "
        "r.getAttribute('height')]).filter((s, i, all) => all.findIndex(t => t.join() === s.join()) === i)"
    )
    assert len(sizes) == 1
    assert sizes[0][0] == sizes[0][1]
    assert browser.ask("document.querySelectorAll('#map-phase svg > rect').length") == 176
    text = browser.ask("getComputedStyle(document.body).color")
    assert text == ("rgb(29, 33, 41)" if scheme == "light" else "rgb(236, 238, 242)")


def test_cells_have_the_letters_of_their_phases(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    letters = "[...document.querySelectorAll('#map-%s .letter')].map(t => t.textContent).join('')"
    found = browser.ask(letters % "phase")
    # of the published 17 comprehension 17 + 1, of 60 grokking two fewer, one tie, one undefined, one that waits
    assert [found.count(c) for c in "CGMX?"] == [17 + 1 + 1, 60 - 2 + 1, 59, 38, 1]
    assert found.count("C/G") == 1
    assert [browser.ask(letters % "published").count(c) for c in "CGMX"] == [17, 60, 60, 39]
    assert browser.ask("document.querySelectorAll('#map-phase .none').length") == 1
    # where they differ, and only there, a cell is cut in two
    assert browser.ask("document.querySelectorAll('#map-differ svg > path').length") == 2 * 2
    summary = browser.ask("document.querySelector('#published + div .summary').textContent")
    assert summary.startswith("172 of 174 cells agree (99%); ")


def test_pointing_shows_the_curves_and_a_click_keeps_them(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    point_at(browser, "phase", 5, 0)
    browser.wait(f"{CHOSEN} === 'optimiser.learning_rate 1e-4, optimiser.weight_decay 0'")
    assert browser.ask("document.querySelectorAll('#curves path.train').length") == 2
    assert browser.ask("document.querySelectorAll('#curves path.test').length") == 2
    told = browser.ask("document.querySelector('#cell-says').textContent")
    assert told == "Comprehension (2 of 2 seeds). Published: comprehension (training 1,650, test 2,076)."
    rows = browser.ask("[...document.querySelectorAll('#seeds tbody tr')].map(r => r.innerText.split('\\t').join(' '))")
    assert rows == ["0 comprehension 1,650 2,076 426", "1 comprehension 1,650 2,076 426"]
    point_at(browser, "phase", 9, 2)
    browser.wait(f"{CHOSEN}.includes('6.3e-4')")
    told = browser.ask("document.querySelector('#cell-says').textContent")
    assert "Seed 1: generalised without fitting: test accuracy reached 90% at step 50" in told
    point_at(browser, "phase", 6, 1, "mousePressed", "mouseReleased")
    browser.wait(PINNED)
    assert "1.6e-4" in browser.ask(CHOSEN)
    # other cells leave it alone, another map too; a click elsewhere moves it; a second one there lets go
    point_at(browser, "test", 9, 5)
    assert "1.6e-4" in browser.ask(CHOSEN)
    point_at(browser, "test", 3, 3, "mousePressed", "mouseReleased")
    browser.wait(f"{CHOSEN}.includes('4e-5')")
    assert browser.ask("document.querySelector('#cell-says').textContent").startswith(
        "No majority: comprehension and grokking (1 of 2 seeds each)."
    )
    point_at(browser, "test", 3, 3, "mousePressed", "mouseReleased")
    browser.wait(f"!{PINNED}")
    assert browser.errors == []


def test_the_keyboard_reaches_every_cell(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    browser.press("Tab", 9)
    assert browser.ask("document.activeElement.id") == "map-phase"
    for key, code in (("Home", 36), *[("ArrowDown", 40)] * 11):
        browser.press(key, code)
    assert browser.ask(CHOSEN) == "optimiser.learning_rate 1e-5, optimiser.weight_decay 0"
    for key, code in (("End", 35), *[("ArrowUp", 38)] * 12):
        browser.press(key, code)
    assert browser.ask(CHOSEN) == "optimiser.learning_rate 0.01, optimiser.weight_decay 10"
    assert browser.ask("document.querySelector('#cell-says').textContent").startswith("No run of this cell is trained")
    browser.press("ArrowLeft", 37)
    browser.press("Enter", 13)
    assert browser.ask(PINNED)
    browser.press("Escape", 27)
    assert not browser.ask(PINNED)
    assert browser.errors == []


def test_on_a_phone_the_panel_comes_to_a_tapped_cell_and_goes(browser: Any, page: Path) -> None:
    browser.open(page, width=390, height=844)
    browser.wait(DRAWN)
    visible = "getComputedStyle(document.querySelector('#panel')).display !== 'none'"
    assert not browser.ask(visible)
    point_at(browser, "gap", 2, 1, "mousePressed", "mouseReleased")
    browser.wait(visible)
    box = browser.ask(
        "(() => { const r = document.querySelector('#panel').getBoundingClientRect(),"
        "m = document.querySelector('#map-gap .chosen').getBoundingClientRect();"
        "return [r.top, r.bottom, m.bottom] })()"
    )
    assert box[1] == 844
    assert box[2] < box[0], "the panel hides the cell"
    browser.ask("document.querySelector('#close').click()")
    assert not browser.ask(visible)


def test_a_slice_is_chosen_by_its_values(browser: Any, slices: Path) -> None:
    browser.open(slices)
    browser.wait(DRAWN)
    letters = "[...document.querySelectorAll('#map-phase .letter')].map(t => t.textContent).join('')"
    choose = "(s => { s.value = '%s'; s.dispatchEvent(new Event('change')) })(document.querySelectorAll('select')[%d])"
    assert browser.ask(letters) == "MMMM"
    browser.ask(choose % ("1", 0))
    assert browser.ask(letters) == "CCCC"
    browser.ask(choose % ("1", 1))
    assert browser.ask(letters) == "GGGG"
    shown = browser.ask("[...document.querySelectorAll('[data-slice] .summary')].filter(e => e.offsetParent).length")
    assert shown == 1
    assert browser.errors == []


def test_everything_has_a_name_for_those_who_do_not_see_it(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    shown = [n for n in nodes if not n.get("ignored")]
    names = [n.get("name", {}).get("value") for n in shown if n.get("role", {}).get("value") == "application"]
    assert len(names) == len(MAPS)
    assert all(names)
    images = [n.get("name", {}).get("value") for n in shown if n.get("role", {}).get("value") == "image"]
    assert images == ["Accuracies of 2 runs against log step"]
