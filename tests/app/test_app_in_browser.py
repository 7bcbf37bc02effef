"""The dashboard as people use it, in Chromium."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab.app import Dashboard
from groklab.reproduction import PAPERS
from invented_sweep import trained

pytestmark = pytest.mark.browser
#: The name of a folder that a page might obey.
HOSTILE = "<img src=x onerror=alert(1)>&\u202e\x1b[31m{{7*7}}"
#: The last step that a curve on the page of a run has.
LAST = (
    "() => Math.max(...document.querySelector('#overview .js-plotly-plot')._fullData"
    ".flatMap(t => [...t.x]).filter(Number.isFinite))"
)


def until(page: Any, true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something; the page's policy lets no text become code there, as Playwright's own waiting needs."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def drawn(page: Any, key: str) -> Any:
    """The figure of this key, once it is drawn."""
    figure = page.locator(f"""[id*='"key":"{key}"'] .js-plotly-plot""")
    figure.locator(".main-svg").first.wait_for()
    return figure


def slide(page: Any, place: int) -> None:
    """Move the slider as a hand does."""
    page.locator("#scrub").evaluate(
        "(e, v) => { Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(e, v);"
        " e.dispatchEvent(new Event('input', { bubbles: true })) }",
        place,
    )


def saved(page: Any, key: str, kind: str) -> tuple[str, bytes]:
    """Save a figure; its name and content."""
    with page.expect_download() as download:
        page.locator(f'[data-plot="{key}"][data-save="{kind}"]').click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def field(page: Any, name: str) -> Any:
    """The input of a setting."""
    return page.locator(f"""[id='{{"setting":"{name}"}}']""")


def test_runs_are_listed_filtered_sorted_and_compared(tab: Any, corpus: Corpus, home: Path) -> None:
    shutil.move(corpus.copy("mlp").path, home / "demo")
    for name in ("mlp", "ensemble"):
        corpus.copy(name)
    page, rows = tab.page, tab.page.locator("#rows tbody tr")
    until(page, lambda: rows.count() == 3)
    assert page.locator("#count").inner_text() == "3 runs"
    page.set_viewport_size({"width": 390, "height": 900})
    assert rows.locator("th").first.bounding_box()["width"] < 60
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#filter").fill("demo")
    until(page, lambda: rows.count() == 1)
    assert page.locator("#count").inner_text() == "1 of 3 runs"
    # a state is a link
    page.wait_for_url("**q=demo*")
    page.reload()
    until(page, lambda: rows.count() == 1)
    page.locator("#filter").fill("")
    until(page, lambda: rows.count() == 3)
    page.get_by_role("link", name="run", exact=True).click()
    page.wait_for_url("**sort=run*")
    page.get_by_role("link", name="run ↑").wait_for()
    names = rows.locator("td:nth-child(2) a").all_inner_texts()
    assert names == sorted(names)
    for name in names[1:]:
        page.get_by_title(f"Compare {name}").click()
        page.get_by_title(f"Leave out {name}").wait_for()
    page.get_by_role("link", name="Compare 2 runs").click()
    page.wait_for_url("**/compare?**")
    page.get_by_text("Settings that differ").wait_for()
    page.locator("#compared .js-plotly-plot .main-svg").first.wait_for()


def test_a_run_opens_with_its_analysis_and_one_slider_moves_its_figures(tab: Any, corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    # a link names a checkpoint
    page = tab.open(f"/run/{run.name}?step=0")
    page.locator(".tiles").wait_for()
    drawn(page, "now-curves")
    spectrum, planes = drawn(page, "all-spectrum"), drawn(page, "all-circles")
    heights = "e => [...e.querySelectorAll('.bars path')].map(p => p.getAttribute('d')).join()"
    places = "e => JSON.stringify(e._fullData.map(t => [...t.x].slice(0, 4)))"
    first = spectrum.evaluate(heights), planes.evaluate(places)
    assert page.locator("#scrub-says").inner_text() == "step 0"
    slide(page, page.locator("#scrub").get_attribute("max"))
    page.wait_for_url(lambda url: "step" not in url)
    assert page.locator("#scrub-says").inner_text() == f"step {run.status.step:,}"
    until(page, lambda: spectrum.evaluate(heights) != first[0] and planes.evaluate(places) != first[1])
    slide(page, 0)
    page.wait_for_url("**step=0*")
    until(page, lambda: (spectrum.evaluate(heights), planes.evaluate(places)) == first)
    # figures follow the colours of the system
    curves = drawn(page, "now-curves")
    colour = "e => e.querySelector('.scatterlayer .js-line')?.style.stroke"
    until(page, lambda: curves.evaluate(colour) == "rgb(213, 94, 0)")
    page.emulate_media(color_scheme="dark")
    until(page, lambda: curves.evaluate(colour) == "rgb(240, 160, 48)")
    # but are saved in the light ones, at the checkpoint that is shown
    name, svg = saved(page, "all-spectrum", "svg")
    assert name == f"{run.name}-spectrum-0.svg"
    assert b"rgb(29, 33, 41)" in svg
    name, csv = saved(page, "now-curves", "csv")
    assert name == f"{run.name}-curves.csv"
    assert csv.startswith(b"step,")


def test_training_is_started_watched_stopped_and_resumed(tab: Any, home: Path) -> None:
    page = tab.open("/start?preset=micro")
    page.locator("#command", has_text="groklab train micro").wait_for()
    field(page, "task.p").fill("1")
    page.locator("#problem", has_text="task.p").wait_for()
    assert page.locator("#start").is_disabled()
    field(page, "task.p").fill("23")
    field(page, "budget.steps").fill("2000000")
    page.wait_for_url("**budget.steps=2000000*")
    page.locator("#command", has_text="groklab train micro budget.steps=2000000").wait_for()
    page.locator("#start:enabled").click()
    page.wait_for_url("**/run/micro-*")
    page.locator(".state.running").wait_for()
    drawn(page, "now-curves")
    # the curves move while it trains
    seen = page.evaluate(LAST)
    until(page, lambda: page.evaluate(LAST) > seen)
    page.locator("#stop").click()
    page.locator("#head .state", has_text="interrupted").wait_for()
    (path,) = home.glob("micro-*")
    run = gl.Run(path)
    stopped = run.status.step
    assert run.status.state == "interrupted"
    assert stopped > 0
    page.locator("#resume").click()
    page.locator(".state.running").wait_for()
    until(page, lambda: page.evaluate(LAST) > stopped)
    page.locator("#stop").click()
    page.locator("#head .state", has_text="interrupted").wait_for()
    assert run.status.step > stopped


def test_the_map_of_a_sweep_fills_and_its_cells_open_runs(tab: Any, corpus: Corpus, home: Path) -> None:
    sweep = trained(corpus, home)
    page = tab.open("/sweeps")
    page.get_by_role("link", name=sweep.name).click()
    figure = drawn(page, "map")
    image = figure.locator(".hm image")
    image.wait_for()
    titles = "e => [e.layout?.xaxis.title?.text, e.layout?.yaxis.title?.text]"
    before = figure.evaluate(titles)
    page.locator("""[id='{"axis":"x"}']""").click()
    page.get_by_role("option", name=before[1]).click()
    until(page, lambda: figure.evaluate(titles) == before[::-1])
    page.go_back()
    until(page, lambda: figure.evaluate(titles) == before)
    box = image.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.locator("#cell").get_by_role("link", name="seed 0").click()
    page.wait_for_url(f"**/sweep/{sweep.name}/*")
    page.locator(".tiles").wait_for()
    page.get_by_role("link", name=sweep.name).wait_for()


def test_papers_have_their_claims_and_verdicts(tab: Any) -> None:
    page = tab.open("/papers")
    page.locator("table.papers").wait_for()
    assert page.locator("table.papers tbody tr").count() == 2 * len(PAPERS)
    # a row for each size
    page.get_by_role("link", name="nanda2023").first.click()
    page.locator("h2").nth(3).wait_for()
    shown = page.locator("main").inner_text()
    for words in ("not run", "Checks of the code", "quantity", "origin of the bar", "control"):
        assert words in shown


def test_hostile_names_are_inert(tab: Any, corpus: Corpus, home: Path) -> None:
    shutil.move(corpus.copy("mlp").path, home / HOSTILE)
    page, asked = tab.page, []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    link = page.locator("#rows tbody td a").first
    link.wait_for()
    shown = HOSTILE.replace("\u202e", r"\u202e").replace("\x1b", r"\x1b")
    until(page, lambda: link.inner_text() == shown)
    link.click()
    page.locator(".tiles").wait_for()
    drawn(page, "now-curves")
    page.get_by_role("link", name="Choose runs to compare").click()
    page.locator(".picked").wait_for()
    tab.open("/run/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E").locator(".refusal").wait_for()
    assert page.locator("main img").count() == 0
    assert asked == []


def test_a_page_says_that_its_server_has_gone(tab: Any) -> None:
    page, lost = tab.page, tab.page.locator("#lost")
    page.locator("#count", has_text="runs").wait_for()
    assert not lost.is_visible()
    port = tab.served.port
    tab.served.close()
    lost.wait_for()
    assert "groklab app" in lost.inner_text()
    # the next one has another token, so that the page needs its link
    again = Dashboard(tab.served.library.home, port=port)
    thread = threading.Thread(target=again.serve, daemon=True)
    thread.start()
    with page.expect_response(lambda answer: answer.status == 403):
        pass
    assert lost.is_visible()
    page.goto(again.link)
    page.locator("#count", has_text="runs").wait_for()
    until(page, lambda: not lost.is_visible())
    # the page asks on for as long as it is open, and asks nobody once the server is closed
    page.goto("about:blank")
    again.close()
    thread.join(10)
    assert {error.split(":")[0] for error in tab.errors} == {"Failed to load resource"}
    tab.errors.clear()


def test_nothing_is_shown_without_the_token(chromium: Any, dashboard: Any, corpus: Corpus) -> None:
    corpus.copy("mlp")
    context = chromium.new_context()
    page = context.new_page()
    answer = page.goto(dashboard.link.split("?")[0])
    assert answer.status == 403
    assert page.locator("h1").inner_text() == "Not allowed"
    context.close()
