"""The pages as people see them: in Chromium, on a laptop and on a phone, in light and dark."""

from __future__ import annotations

import json
from typing import Any

import pytest

from groklab.figures import _theme as theme
from shared_pages import Pages

pytestmark = pytest.mark.browser
LAPTOP, PHONE = 1280, 390
SLIDER = "document.querySelector('#page-checkpoint')"


@pytest.mark.parametrize(("width", "schemes"), [(LAPTOP, ("light", "dark")), (PHONE, ("dark",))])
@pytest.mark.parametrize(
    ("page", "plots"), [("single", 22), ("transformer", 19), ("machine", 7), ("ensemble", 23), ("comparison", 6)]
)
def test_pages_draw_without_errors_and_fit_the_window(
    browser: Any, pages: Pages, page: str, plots: int, width: int, schemes: tuple[str, ...]
) -> None:
    # loaded in one scheme, and on the laptop drawn again in the other
    for scheme in schemes:
        browser.show(pages[page], width, scheme)
        assert browser.errors == []
        assert [u for u in browser.requests if not u.startswith(("file:", "data:"))] == []
        assert browser.ask("document.querySelectorAll('.plot > .plot-container .main-svg:first-child').length") == plots
        assert browser.ask("document.documentElement.scrollWidth") == width
        right = "[...document.querySelectorAll('section, .plot, .main-svg')].map(e => e.getBoundingClientRect().right)"
        assert browser.ask(f"Math.max(...{right})") <= width
        text = browser.ask("getComputedStyle(document.body).color")
        assert text == ("rgb(29, 33, 41)" if scheme == "light" else "rgb(236, 238, 242)")


@pytest.mark.parametrize(("page", "width"), [("single", LAPTOP)])
def test_figures_follow_the_colour_scheme(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width, "light")
    colour = "document.querySelector('#curves .scatterlayer .js-line').style.stroke"
    assert browser.ask(colour) == "rgb(213, 94, 0)"
    browser.scheme("dark")
    browser.wait(f"{colour} === 'rgb(240, 160, 48)'")
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("single", LAPTOP)])
def test_one_slider_moves_all_figures_by_keyboard(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width)
    browser.changed()
    # Tab as a reader would, until the slider has the focus
    for _ in range(60):
        browser.press("Tab", 9)
        if browser.ask("document.activeElement.type") == "range":
            break
    browser.ask("document.querySelector('#spectrum').scrollIntoView()")
    heights = "[...document.querySelectorAll('#spectrum .bars path')].map(e => e.getAttribute('d')).join()"
    before = browser.ask(heights)
    browser.press("Home", 36)
    browser.wait(f"{heights} !== {before!r}")
    assert browser.ask("document.activeElement.getAttribute('aria-valuetext')") == "step 0"
    captions = "[...new Set([...document.querySelectorAll('.at')].map(e => e.textContent))]"
    assert browser.ask(captions) == ["step 0"]
    # a figure out of sight is drawn when it comes into sight
    points = "document.querySelector('#circles').data[0].x === document.querySelector('#circles')._fullData[0]._input.x"
    assert browser.ask(points)
    browser.press("ArrowRight", 39)
    assert browser.ask("document.activeElement.value") == "1"
    browser.press("End", 35)
    browser.wait(f"{heights} === {before!r}")
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("single", LAPTOP)])
def test_curves_mark_the_checkpoint_that_is_shown(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width)
    browser.changed()
    marks = "document.querySelector('#curves').layout.shapes.length"
    before = browser.ask(marks)
    browser.ask("document.querySelector('#curves').scrollIntoView()")
    browser.ask(f"{SLIDER}.value = 5; {SLIDER}.dispatchEvent(new Event('input'))")
    browser.wait(f"{marks} === {before + 1}")
    browser.ask(f"{SLIDER}.value = {SLIDER}.max; {SLIDER}.dispatchEvent(new Event('input'))")
    browser.wait(f"{marks} === {before}")
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("single", LAPTOP)])
def test_checkpoints_play_to_the_end(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width)
    browser.changed()
    browser.ask("document.querySelector('#page-play').click()")
    assert browser.ask("document.querySelector('#page-play').textContent") == "Pause"
    browser.wait(f"Number({SLIDER}.value) > 1")
    browser.ask("document.querySelector('#page-play').click()")
    assert browser.ask("document.querySelector('#page-play').textContent") == "Play"
    assert browser.errors == []


@pytest.mark.parametrize("width", [LAPTOP, PHONE])
@pytest.mark.parametrize("page", ["single"])
def test_the_contents_follow_the_reader(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width)
    browser.changed()
    here = "document.querySelector('.contents [aria-current]').textContent"
    assert browser.ask(here) == "What happened"
    assert browser.ask("document.querySelector('#page-contents').open") == (width == LAPTOP)
    browser.ask("document.querySelector('.contents a[href=\"#circles-title\"]').click()")
    browser.wait(f"{here} === 'Circles in the embedding'")
    browser.wait("Math.abs(document.querySelector('#circles-title').getBoundingClientRect().top - 40) < 60")
    browser.ask("window.scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait(f"{here} === 'Definitions'")
    assert not browser.ask("document.querySelector('#page-contents').open") or width == LAPTOP
    assert browser.errors == []


#: Keep what is saved instead of downloading it.
CATCH = """
window.saved = [];
URL.createObjectURL = (blob) => { window.saved.push(blob); return 'data:,'; };
HTMLAnchorElement.prototype.click = function () { window.file = this.download; };
"""


@pytest.mark.parametrize(("page", "width"), [("single", LAPTOP)])
def test_saving_gives_a_light_picture_and_the_numbers(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width, "dark")
    browser.changed()
    browser.ask("Plotly.downloadImage = (...given) => { window.given = given; }")
    browser.ask("document.querySelector('#curves-svg').click()")
    saved = browser.ask("Plotly.toImage(given[0], {...given[1], imageDataOnly: true})")
    assert saved.startswith("<svg")
    assert saved.count("fill: rgb(255, 255, 255)") >= 1
    assert "rgb(213, 94, 0)" in saved
    assert "rgb(240, 160, 48)" not in saved
    browser.ask(f"{CATCH}; document.querySelector('#spectrum-csv').click()")
    browser.wait("window.file")
    assert browser.ask("window.file").endswith("-spectrum.csv")
    header, *rows = browser.ask("window.saved[0].text()").splitlines()
    assert {"step", "frequency", "share"} <= set(header.split(","))
    assert len(rows) > 10
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("transformer", LAPTOP)])
def test_a_printed_page_is_light_complete_and_as_wide_as_paper(
    browser: Any, pages: Pages, page: str, width: int
) -> None:
    browser.show(pages[page], width, "dark")
    browser.changed()
    browser("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.resize(688)
    browser.ask("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.ask("[...document.querySelectorAll('main details')].every(e => e.open)")
    assert browser.ask("getComputedStyle(document.body).color") == "rgb(29, 33, 41)"
    assert browser.ask("document.querySelector('#curves')._fullLayout.font.color") == theme.INK
    right = "[...document.querySelectorAll('.main-svg, table, pre')].map(e => e.getBoundingClientRect().right)"
    assert browser.ask(f"Math.max(...{right})") <= 688
    # a figure with its heading fits a page of A4 and of letter
    heights = "[...document.querySelectorAll('.drawn')].map(e => e.getBoundingClientRect().height)"
    assert browser.ask(f"Math.max(...{heights})") <= 940
    hidden = "[...document.querySelectorAll('.contents, .scrubber, .save')].map(e => getComputedStyle(e).display)"
    assert set(browser.ask(hidden)) == {"none"}
    browser("Emulation.setEmulatedMedia", media="")
    browser.ask("window.dispatchEvent(new Event('afterprint'))")
    assert not browser.ask("[...document.querySelectorAll('main details')].some(e => e.open)")
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("ensemble", LAPTOP)])
def test_everything_has_a_name_for_those_who_do_not_see_it(browser: Any, pages: Pages, page: str, width: int) -> None:
    browser.show(pages[page], width)
    nodes = browser("Accessibility.getFullAXTree")["nodes"]
    roles = {"image", "slider", "button", "region"}
    shown = [n for n in nodes if n.get("role", {}).get("value") in roles and not n.get("ignored")]
    names = [(n["role"]["value"], n.get("name", {}).get("value")) for n in shown]
    assert {role for role, _ in names} == roles
    assert [role for role, name in names if not name] == []
    assert len([name for role, name in names if role == "image"]) == 23


@pytest.mark.parametrize(("page", "width"), [("transformer", LAPTOP)])
def test_every_heat_map_is_drawn_in_the_colours_of_the_scheme(
    browser: Any, pages: Pages, page: str, width: int
) -> None:
    browser.show(pages[page], width, "dark")
    for key, maps in (("logits_2d", 1), ("neurons_2d", 1), ("attention_maps", 4), ("neuron_examples", None)):
        images = f"[...document.querySelectorAll('#{key} .hm image')].map(e => e.getBoundingClientRect())"
        sizes = browser.ask(f"{images}.map(r => [r.width, r.height])")
        assert len(sizes) == (maps or len(sizes)) >= 1
        assert all(width > 50 and abs(width - height) < 2 for width, height in sizes)
    scale = browser.ask("JSON.stringify(document.querySelector('#logits_2d')._fullData[0].colorscale)")
    assert "#191c22" in scale.lower()
    assert browser.errors == []


@pytest.mark.parametrize(("page", "width"), [("machine", LAPTOP)])
def test_a_feature_matrix_goes_through_its_checkpoints_in_two_square_panels(
    browser: Any, pages: Pages, page: str, width: int
) -> None:
    browser.show(pages[page], width, "dark")
    for key, maps in (("feature_matrix", 2), ("block_fourier", 1)):
        sizes = browser.ask(
            f"[...document.querySelectorAll('#{key} .hm image')].map(e => e.getBoundingClientRect())"
            ".map(r => [r.width, r.height])"
        )
        assert len(sizes) == maps
        assert all(width > 50 and abs(width - height) < 2 for width, height in sizes)
    cells = "document.querySelector('#feature_matrix')._fullData.map(t => [...t.z].map(row => [...row].join()).join())"
    last = browser.ask(cells)
    assert last[0] != last[1]
    browser.changed()
    browser.ask("document.querySelector('#feature_matrix').scrollIntoView()")
    browser.ask(f"{SLIDER}.value = 0; {SLIDER}.dispatchEvent(new Event('input'))")
    # the first M is the identity, in whatever order
    browser.wait(f"JSON.stringify({cells}) !== {json.dumps(json.dumps(last, separators=(',', ':')))}")
    first = browser.ask(cells)
    assert first[0] == first[1]
    assert browser.errors == []


@pytest.mark.parametrize("width", [LAPTOP, PHONE])
@pytest.mark.parametrize(
    ("page", "key"),
    [("mixture", "operations"), ("mixture", "sparsity"), ("transformer", "neurons"), ("transformer", "directions")],
)
def test_no_legend_lies_over_an_axis_or_its_title(browser: Any, pages: Pages, page: str, key: str, width: int) -> None:
    browser.show(pages[page], width)
    boxes = "[...document.querySelectorAll('#{0} {1}')].map(e => e.getBoundingClientRect())"
    boxes += ".filter(r => r.width > 0).map(r => [r.left, r.top, r.right, r.bottom])"
    legends = browser.ask(boxes.format(key, "[class^=legend] text"))
    others = browser.ask(boxes.format(key, ".xtitle, .xtick text"))
    # axis lines, which are thin
    others += browser.ask(boxes.format(key, "path.xlines-above").replace("r.width > 0", "r.width > 9"))
    assert legends
    assert others
    for left, top, right, bottom in legends:
        for other in others:
            apart = left >= other[2] - 1 or other[0] >= right - 1 or top >= other[3] - 1 or other[1] >= bottom - 1
            assert apart, (key, (left, top, right, bottom), other)


@pytest.mark.parametrize("width", [PHONE])
@pytest.mark.parametrize(
    ("page", "key"),
    [("transformer", "attention_maps"), ("transformer", "neuron_examples"), ("machine", "feature_matrix")],
)
def test_no_two_titles_of_small_heat_maps_meet_on_a_phone(
    browser: Any, pages: Pages, page: str, key: str, width: int
) -> None:
    browser.show(pages[page], width)
    boxes = browser.ask(
        f"[...document.querySelectorAll('#{key} .annotation-text, #{key} .xtick text')]"
        ".map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"
    )
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            apart = left >= other[2] - 1 or other[0] >= right - 1 or top >= other[3] - 1 or other[1] >= bottom - 1
            assert apart, (key, boxes[i], other)
