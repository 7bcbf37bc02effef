"""The page of a sweep as people use it: by pointer, finger and keyboard, in light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from groklab.papers import published_map
from groklab.report import write_sweep
from groklab.sweeps import Sweep
from invented_sweep import EXPRESSION, FRACTION, LR, WD, Outcome, written

pytestmark = pytest.mark.browser
FRACTIONS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
NAMES = ["add", "subtract", "multiply", "2x_y", "x2_xy_y2_x", "x_plus_y_power_2_x_y"]
DRAWN = "document.documentElement.dataset.drawn === 'yes'"
PUBLISHED = published_map("data_add_r")
CELL = "document.querySelector('#cell').textContent"
SAYS = "document.querySelector('#cell-says').textContent"
PINNED = "document.querySelector('#panel').classList.contains('pinned')"


def outcome(point: dict[str, Any], seed: int) -> Outcome:
    row, fraction = point[EXPRESSION], point[FRACTION]
    if row == "2x_y":
        kinds = dict(zip(FRACTIONS, ("pending", "running", "failed", "diverged", "interrupted"), strict=False))
        return Outcome(kinds.get(fraction, "finished"), best=0.5)
    if row == "multiply" and fraction < 0.5:
        return Outcome(grokked=700 if seed else None)
    return Outcome(grokked=None if row.startswith("x2") else 300 + 100 * seed, best=fraction / 10)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return written(tmp_path_factory.mktemp("home"), "operations", {EXPRESSION: NAMES, FRACTION: FRACTIONS}, outcome, 3)


@pytest.fixture(scope="module")
def page(sweep: Sweep) -> Path:
    published = {name: dict.fromkeys(map(str, FRACTIONS), True) for name in NAMES}
    # a page of a member, which only its name makes known
    folder = sweep.path / "report-members"
    folder.mkdir()
    identity = sweep.members[4].identity[:8]
    (folder / f"004-{identity}.html").write_text('<!doctype html><a href="../report.html#c0-0-1">back</a>')
    return write_sweep(sweep, published=published)


def centre(browser: Any, cell: str) -> tuple[float, float]:
    x, y = browser.ask(
        f"(() => {{ const b = document.querySelector('[data-cell=\"{cell}\"]'); b.scrollIntoView({{block: 'center'}});"
        "const r = b.getBoundingClientRect(); return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )
    return x, y


def point_at(browser: Any, cell: str, *kinds: str) -> None:
    """Move the pointer to a cell, and press there if told to."""
    x, y = centre(browser, cell)
    for kind in ("mouseMoved", *kinds):
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        browser("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)


def as_published(point: dict[str, Any], seed: int) -> Outcome:
    place = PUBLISHED.place(point)
    assert place is not None
    special = {(3, 3): [(100, 200), (100, 5000)][seed], (9, 2): (None, 50), (4, 4): (100, 200)}
    steps = (PUBLISHED.train_steps[place], PUBLISHED.test_steps[place])
    train, test = (int(s) if s == s else None for s in steps)
    return Outcome("pending") if place == (15, 10) else Outcome(times=special.get(place, (train, test)))


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """176 cells next to the published map that they repeat but for a few."""
    keys = {LR: PUBLISHED.rows.values, WD: PUBLISHED.columns.values}
    sweep = written(tmp_path_factory.mktemp("home"), "phases", keys, as_published, 2, 100_000)
    return write_sweep(sweep, published="data_add_r", colouring="phase")


def switch(browser: Any, mode: str) -> None:
    browser.ask(f"document.querySelector('[name=mode][value={mode}]').click()")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("which", ["page", "phases"])
def test_the_page_fits_and_loads_nothing(browser: Any, request: Any, which: str, width: int, scheme: str) -> None:
    browser.open(request.getfixturevalue(which), width=width, scheme=scheme)
    browser.wait(DRAWN)
    assert browser.errors == []
    assert [u for u in browser.requests if not u.startswith(("file:", "data:"))] == []
    assert browser.ask("document.documentElement.scrollWidth") == width
    right = "[...document.querySelectorAll('section, #grid')].map(e => e.getBoundingClientRect().right)"
    assert browser.ask(f"Math.max(...{right})") <= width
    # what does not fit a phone scrolls within its own frame, and every word of a cell stays within the cell
    if width == 1280:
        assert (
            browser.ask(
                "Math.max(...[...document.querySelectorAll('#grid td')].map(e => e.getBoundingClientRect().right))"
            )
            < 920
        )
    wider = "[...document.querySelectorAll('.cell')].filter(b => b.scrollWidth > b.clientWidth).length"
    for mode in browser.ask("[...document.querySelectorAll('[name=mode]')].map(r => r.value)"):
        switch(browser, mode)
        assert browser.ask(wider) == 0, mode
        assert browser.ask("document.documentElement.scrollWidth") == width, mode
    text = browser.ask("getComputedStyle(document.body).color")
    assert text == ("rgb(29, 33, 41)" if scheme == "light" else "rgb(236, 238, 242)")
    lines = browser.ask("getComputedStyle(document.querySelector('#curves .spark .test')).stroke")
    assert lines == ("rgb(0, 114, 178)" if scheme == "light" else "rgb(91, 184, 240)")


def test_cells_tell_their_verdicts_without_colour(browser: Any, page: Path) -> None:
    browser.open(page)
    marks = browser.ask(
        "[...document.querySelectorAll('.cells tbody tr:not(.group)')].map("
        "r => [...r.querySelectorAll('.head')].map(v => v.textContent.trim()))"
    )
    assert marks[0] == ["✔ 400"] * 7
    assert marks[2] == ["2/3 700", "2/3 700"] + ["✔ 400"] * 5
    assert marks[3][:5] == ["pending", "50% so far", "failed", "diverged", "50% so far"]
    assert marks[4] == ["3.0%", "4.0%", "5.0%", "6.0%", "7.0%", "8.0%", "9.0%"]
    # cells that came out otherwise than published are marked; those that are open are not compared
    assert browser.ask("document.querySelectorAll('td[id].differs').length") == 3 + 7
    assert (
        browser.ask("document.querySelector('#published').nextElementSibling.textContent")
        .strip()
        .startswith("28 of 38 cells agree")
    )


def test_pointing_shows_the_seeds_and_a_click_keeps_them(browser: Any, page: Path) -> None:
    browser.open(page)
    point_at(browser, "c0-2-0")
    browser.wait(f"{CELL} === 'xy, split.frac_train 0.3'")
    assert browser.ask(SAYS).startswith(
        "Generalised in 2 of 3 seeds, median step 700; published: ✔. Comprehension in 2 of 3"
    )
    rows = browser.ask("[...document.querySelectorAll('#seeds tr')].map(r => [...r.children].map(c => c.textContent))")
    assert rows[0] == ["seed", "0", "1", "2"]
    assert rows[1] == ["outcome", "censored", "grokked", "grokked"]
    assert rows[2] == ["Liu's phase", "M", "C", "C"]
    assert rows[4] == ["memorised", "95", "95", "95"]
    assert rows[5] == ["generalised", "–", "700", "700"]
    assert rows[10] == ["test, last", "20.0%", "100.0%", "100.0%"]
    assert browser.ask("document.querySelectorAll('#curves .spark path').length") == 2
    ticks = "[...document.querySelectorAll('#curves .tick')].map(t => t.getBoundingClientRect().toJSON())"
    assert "steps (log scale)" in browser.ask("document.querySelector('#curves').textContent")
    title, *rest = browser.ask(f"{ticks}.reverse()")
    table = browser.ask("document.querySelector('#seeds').getBoundingClientRect().top")
    assert max(t["bottom"] for t in rest[3:]) <= title["top"]
    assert title["bottom"] <= table
    assert browser.ask("document.querySelector('#ask code').textContent").endswith(" --members multiply,0.3")
    point_at(browser, "c0-2-0", "mousePressed", "mouseReleased")
    browser.wait(PINNED)
    point_at(browser, "c0-0-0")
    assert browser.ask(CELL) == "xy, split.frac_train 0.3"
    browser.press("Escape", 27)
    assert not browser.ask(PINNED)
    point_at(browser, "c0-3-2")
    browser.wait(f"{CELL} === '2x + y, split.frac_train 0.5'")
    assert "there was not enough memory" in browser.ask("document.querySelector('#ask').textContent")
    assert browser.errors == []


def test_the_keyboard_reaches_every_cell(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.ask("document.querySelector('[data-cell=\"c0-0-0\"]').focus()")
    assert browser.ask(CELL) == "x + y, split.frac_train 0.3"
    for key, code in (("ArrowRight", 39), ("ArrowDown", 40), ("ArrowDown", 40)):
        browser.press(key, code)
    assert browser.ask(CELL) == "xy, split.frac_train 0.4"
    for key, code in (("Home", 36), ("ArrowUp", 38), ("ArrowLeft", 37)):
        browser.press(key, code)
    assert browser.ask(CELL) == "x + y, split.frac_train 0.3"
    browser.press("End", 35)
    assert browser.ask(CELL) == "(x + y)² + x + y, split.frac_train 0.9"
    # one stop of the tab key
    assert browser.ask("document.querySelectorAll('.cell[tabindex=\"0\"]').length") == 1
    assert browser.errors == []


def test_a_run_opens_with_a_click_and_leads_back_to_its_cell(browser: Any, page: Path) -> None:
    browser.open(page)
    (link,) = browser.ask("[...document.querySelectorAll('.runs a')].map(a => [a.textContent, a.ariaLabel])")
    assert link == ["1", "own report, seed 1"]
    browser.ask("document.querySelector('.runs a').click()")
    # a page that is not whole yet may have no link to click
    browser.wait("location.pathname.includes('/report-members/004-') && document.readyState === 'complete'")
    browser.ask("document.querySelector('a').click()")
    browser.wait("location.hash === '#c0-0-1' && document.readyState === 'complete'")
    browser.wait(f"{CELL} === 'x + y, split.frac_train 0.4'")
    own = "document.querySelector('#seeds thead a')"
    assert browser.ask(f"{own}.getAttribute('href')").startswith("report-members/004-")
    assert browser.errors == []


def test_on_a_phone_the_panel_comes_to_a_tapped_cell_and_goes(browser: Any, page: Path) -> None:
    browser.open(page, width=390, height=844)
    visible = "getComputedStyle(document.querySelector('#panel')).display !== 'none'"
    assert not browser.ask(visible)
    browser.ask("document.querySelector('[data-cell=\"c0-2-1\"]').click()")
    browser.wait(visible)
    box = browser.ask(
        "(() => { const r = document.querySelector('#panel').getBoundingClientRect(),"
        "c = document.querySelector('.chosen').getBoundingClientRect(); return [r.top, r.bottom, c.bottom] })()"
    )
    assert box[1] == 844
    assert box[2] < box[0], "the panel hides the cell"
    browser.ask("document.querySelector('#close').click()")
    assert not browser.ask(visible)


def test_other_settings_are_chosen_by_their_values(browser: Any, tmp_path: Path) -> None:
    keys = {WD: [0.0, 1.0], "task.p": [11, 13], EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5]}
    sweep = written(tmp_path, "four", keys, lambda p, _: Outcome(grokked=int(100 * p[WD] + p["task.p"])))
    page = write_sweep(sweep, tmp_path)
    browser.open(page)
    shown = "[...document.querySelectorAll('.head')].filter(v => v.offsetParent).map(v => v.textContent.trim())"
    choose = "(s => { s.value = '%s'; s.dispatchEvent(new Event('change')) })(document.querySelectorAll('select')[%d])"
    assert browser.ask(shown) == ["✔ 11"] * 4
    browser.ask(choose % ("1", 0))
    assert browser.ask(shown) == ["✔ 111"] * 4
    browser.ask(choose % ("1", 1))
    assert browser.ask(shown) == ["✔ 113"] * 4
    # a link to a cell of another table opens that one
    browser.ask("location.hash = '#c1-1-0'")
    browser.wait(f"{CELL} === 'xy, split.frac_train 0.3'")
    assert browser.ask(shown) == ["✔ 13"] * 4
    assert browser.ask("[...document.querySelectorAll('select')].map(s => s.value)") == ["0", "1"]
    assert browser.errors == []


def test_everything_has_a_name_for_those_who_do_not_see_it(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.ask("document.querySelector('[data-cell=\"c0-0-0\"]').focus()")
    nodes = [n for n in browser("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    by_role = {
        role: [n.get("name", {}).get("value") for n in nodes if n.get("role", {}).get("value") == role]
        for role in ("button", "link", "image", "table")
    }
    saving = ["SVG", "PNG", "SVG", "PNG", "CSV"]
    assert len(by_role["button"]) == len(NAMES) * len(FRACTIONS) + len(saving)
    assert all(all(names) for names in by_role.values() if names is not by_role["table"])
    assert by_role["image"] == ["Accuracies of 3 runs over log steps"]


# -- phases, and the switch of colouring -----------------------------------------------------------------------------

MARKS = "[...document.querySelectorAll('.cells td b')].map(t => t.textContent)"


def test_cells_have_the_letters_of_their_phases(browser: Any, phases: Path) -> None:
    browser.open(phases)
    browser.wait(DRAWN)
    # of the published 17 comprehension 17 + 1, of 60 grokking two fewer, one tie, one undefined, one that waits
    marks = browser.ask(MARKS)
    assert [marks.count(c) for c in ("C", "G", "M", "X", "?", "C/G", "")] == [18, 58, 59, 38, 1, 1, 1]
    # squares of one size, one per cell, with decays upwards
    sizes = browser.ask(
        "[...new Set([...document.querySelectorAll('.cells td:not(.axis)')].map(e => e.getBoundingClientRect()).map("
        "r => `${Math.round(r.width)} ${Math.round(r.height)}`))]"
    )
    assert len(sizes) == 1
    assert len(set(sizes[0].split())) == 1
    assert len(marks) == 176
    tops = browser.ask("['c0-0-0', 'c0-10-0'].map(i => document.getElementById(i).getBoundingClientRect().top)")
    assert tops[1] < tops[0]
    assert browser.ask("document.querySelectorAll('td.differs').length") == 2
    switch(browser, "published")
    marks = browser.ask(MARKS)
    assert [marks.count(c) for c in "CGMX"] == [17, 60, 60, 39]
    # where they differ, and only there, a cell is cut in two
    switch(browser, "difference")
    assert browser.ask("document.querySelectorAll('td[style*=gradient]').length") == 2
    summary = "[...document.querySelectorAll('[data-summary]')].filter(e => e.offsetParent).map(e => e.textContent)"
    assert [text[:29] for text in browser.ask(summary)] == ["172 of 174 cells agree (99%);"]
    assert browser.errors == []


def test_one_switch_colours_the_same_cells(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.wait(DRAWN)
    point_at(browser, "c0-2-0", "mousePressed", "mouseReleased")
    browser.wait(PINNED)
    first = "[...document.querySelectorAll('.cells tr:nth-child(2) .head')].map(h => h.textContent.trim()).slice(0, 2)"
    seen = {}
    for mode in ("phase", "verdict", "grokked", "train", "test", "gap", "accuracy"):
        switch(browser, mode)
        seen[mode] = browser.ask(first)
        assert browser.ask("document.querySelector('#legend').children.length") >= 3
        # the chosen cell stays
        assert browser.ask(CELL) == "xy, split.frac_train 0.3"
    assert seen["phase"] == ["C", "C"]
    assert seen["verdict"] == ["✔ 400", "✔ 400"]
    assert seen["grokked"] == ["400", "400"]
    assert seen["accuracy"] == ["100%", "100%"]
    pairs = zip(seen["train"], seen["test"], strict=True)
    assert seen["gap"] == [f"{int(b.replace(',', '')) - int(a.replace(',', '')):,}" for a, b in pairs]
    assert browser.ask("document.querySelectorAll('.cells td').length") == 6 * 7 + 1
    # with the keyboard too
    browser.ask("document.querySelector('[name=mode]:checked').focus()")
    browser.press("ArrowLeft", 37)
    assert browser.ask("document.querySelector('[name=mode]:checked').value") == "gap"
    assert browser.ask(first) == seen["gap"]
    assert browser.errors == []


def test_a_phase_says_what_it_rests_on(browser: Any, phases: Path) -> None:
    browser.open(phases)
    browser.wait(DRAWN)
    point_at(browser, "c0-0-5")
    browser.wait(f"{CELL} === 'optimiser.weight_decay 0, optimiser.learning_rate 1e-4'")
    assert browser.ask(SAYS).startswith(
        "Comprehension in 2 of 2 seeds; training 1,650; test 2,076; gap 426; "
        "published: comprehension, training 1,650, test 2,076. Did not generalise within the budget"
    )
    rows = browser.ask("[...document.querySelectorAll('#seeds tbody tr')].map(r => r.innerText.split('\\t').join(' '))")
    assert [rows[i] for i in (1, 5, 6, 7)] == [
        "Liu's phase C C",
        "training 90% 1,650 1,650",
        "test 90% 2,076 2,076",
        "gap 426 426",
    ]
    point_at(browser, "c0-2-9")
    browser.wait(f"{CELL}.includes('6.3e-4')")
    assert "seed 1: generalised without fitting: test accuracy reached 90% at step 50" in browser.ask(SAYS)
    point_at(browser, "c0-3-3")
    browser.wait(f"{CELL}.includes('4e-5')")
    assert browser.ask(SAYS).startswith("No majority: comprehension in 1 of 2 seeds and grokking in 1 of 2 seeds")
    assert browser.errors == []


def test_the_keyboard_reaches_every_square(browser: Any, phases: Path) -> None:
    browser.open(phases)
    browser.wait(DRAWN)
    browser.ask("document.querySelector('[data-cell=\"c0-0-0\"]').focus()")
    for key, code in (("ArrowDown", 40), ("End", 35)):
        browser.press(key, code)
    assert browser.ask(CELL) == "optimiser.weight_decay 0, optimiser.learning_rate 0.01"
    for _ in range(12):
        browser.press("ArrowUp", 38)
    assert browser.ask(CELL) == "optimiser.weight_decay 10, optimiser.learning_rate 0.01"
    assert browser.ask(SAYS).startswith("No run of this cell is trained yet")
    browser.press("ArrowLeft", 37)
    browser.press("Enter", 13)
    assert browser.ask(PINNED)
    browser.press("Escape", 27)
    assert not browser.ask(PINNED)
    assert browser.errors == []


#: Keep what is saved instead of downloading it.
CATCH = """
window.saved = [];
URL.createObjectURL = (blob) => { window.saved.push(blob); return 'data:,'; };
HTMLAnchorElement.prototype.click = function () { window.file = this.download; };
"""


def test_the_map_and_the_curves_are_saved_in_light_colours(browser: Any, phases: Path) -> None:
    browser.open(phases, scheme="dark")
    browser.wait(DRAWN)
    browser.ask(CATCH)
    texts = {}
    for mode in ("phase", "train", "difference"):
        switch(browser, mode)
        browser.ask("document.querySelector('#save-svg').click()")
        assert browser.ask("window.file").endswith(f"-{mode}.svg")
        svg = browser.ask("window.saved.pop().text()")
        # a drawing that any program reads: well-formed, and on white
        root = ElementTree.fromstring(svg)
        assert root.find("{*}rect").get("fill") == "#ffffff"  # type: ignore[union-attr]
        texts[mode] = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "var(" not in svg
    assert texts["phase"].count("C/G") == 2
    assert "comprehension: 18" in texts["phase"]
    assert texts["difference"].count("≠") == 2
    browser.ask("document.querySelector('#cell-csv').click()")
    header, *seeds = browser.ask("window.saved.pop().text()").splitlines()
    assert header.startswith("seed,outcome,phase,steps,memorised_step")
    assert len(seeds) == 2
    assert browser.errors == []


def test_a_printed_map_fits_the_paper(browser: Any, page: Path, phases: Path) -> None:
    for which in (page, phases):
        browser.open(which, scheme="dark")
        browser.wait(DRAWN)
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser("Emulation.setEmulatedMedia", media="print", features=dark)
        browser.resize(688)
        browser.ask("window.dispatchEvent(new Event('beforeprint'))")
        right = "[...document.querySelectorAll('td, th, pre')].map(e => e.getBoundingClientRect().right)"
        assert browser.ask(f"Math.max(...{right})") <= 688
        # counts of seeds and their heading have one line, and the corner of the map is as wide as its column
        lines = "e => { const r = new Range(); r.selectNodeContents(e); return r.getClientRects().length }"
        seeds = "[...document.querySelectorAll('[data-slice] table:not(.cells) :is(td, th):nth-last-child(5)')]"
        assert max(browser.ask(f"{seeds}.map({lines})")) == 1
        assert browser.ask("[...document.querySelectorAll('.axis')].every(e => e.scrollWidth <= e.clientWidth)")
        assert browser.ask("getComputedStyle(document.body).color") == "rgb(29, 33, 41)"
        assert browser.ask("getComputedStyle(document.querySelector('aside')).display") == "none"
        browser("Emulation.setEmulatedMedia", media="")
    assert browser.errors == []
