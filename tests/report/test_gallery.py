"""Galleries: an index and the pages of runs and sweeps, to be put on any web server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import groklab as gl
from corpus import Corpus
from groklab.cli import load_commands
from groklab.cli.app import app
from groklab.report import write_gallery
from groklab.sweeps import Sweep
from invented_sweep import FRACTION, Outcome, written


def outcome(point: dict[str, Any], seed: int) -> Outcome:
    return Outcome(grokked=300 if point[FRACTION] > 0.4 else None)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return written(tmp_path_factory.mktemp("home"), "fractions", {FRACTION: [0.3, 0.5]}, outcome, 2)


def addresses(page: Path) -> list[str]:
    content = page.read_text("utf-8")
    found = re.findall(r'<(?:a|script)[^>]* (?:href|src)="([^"$]*)"', content)
    return [address for address in found if not address.startswith(("data:", "#"))]


def test_a_gallery_has_an_index_with_relative_links_that_lead_somewhere(
    corpus: Corpus, sweep: Sweep, tmp_path: Path
) -> None:
    calls = []
    made = write_gallery(
        tmp_path / "site",
        [corpus["flow"], sweep],
        title="All",
        view=lambda done, n, name: calls.append((done, n, name)),
    )
    assert calls == [(0, 2, corpus["flow"].name), (1, 2, sweep.name)]
    assert made.path == tmp_path / "site" / "index.html"
    assert [card.kind for card in made.cards] == ["run", "sweep"]
    for page in (made.path, *made.pages):
        linked = addresses(page)
        assert linked
        for address in linked:
            assert not address.startswith(("/", "http", "file:"))
            assert (page.parent / address).is_file(), address
    index = made.path.read_text("utf-8")
    assert made.cards[0].headline[1:] in index
    # Plotly is there once, and no page names a folder of this machine
    assert (made.path.parent / "plotly.min.js").stat().st_size > 1e6
    assert all(page.stat().st_size < 2e6 for page in made.pages)
    assert all(str(sweep.path) not in page.read_text("utf-8") for page in made.pages)
    listing = json.loads((made.path.parent / "gallery.json").read_text())
    assert [card["page"] for card in listing["cards"]] == [card.page for card in made.cards]


def test_a_gallery_is_replaced_and_another_folder_is_not(corpus: Corpus, sweep: Sweep, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_gallery(site, [sweep])
    # as an earlier gallery had it, with pages of members
    own = site / "sweeps" / f"{sweep.name}-members"
    own.mkdir()
    (own / "000-1a2b3c4d.html").write_text("")
    (site / "mine.txt").write_text("kept")
    made = write_gallery(site, [corpus["flow"]])
    assert list(site.rglob("*.html")) == [made.path, *made.pages] or set(site.rglob("*.html")) == {
        made.path,
        *made.pages,
    }
    assert (site / "mine.txt").read_text() == "kept"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("kept")
    with pytest.raises(gl.InputError, match="is not a gallery and not empty"):
        write_gallery(other, [corpus["flow"]])
    with pytest.raises(gl.InputError, match="at least one run"):
        write_gallery(tmp_path / "none", [])
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]


def test_a_listing_of_another_removes_nothing_outside(corpus: Corpus, tmp_path: Path) -> None:
    site, outside = tmp_path / "site", tmp_path / "outside.html"
    outside.write_text("kept")
    site.mkdir()
    pages = ["../outside.html", "runs/../../outside.html", str(outside), 5, "runs/gone.html"]
    (site / "gallery.json").write_text(json.dumps({"pages": pages}))
    write_gallery(site, [corpus["flow"]])
    assert outside.read_text() == "kept"
    (site / "gallery.json").write_text("{")
    with pytest.raises(gl.InputError, match="is damaged"):
        write_gallery(site, [corpus["flow"]])


def test_hostile_and_equal_names_become_plain_addresses(corpus: Corpus, tmp_path: Path) -> None:
    flow = corpus["flow"]
    runs = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        place = tmp_path / folder / "<img src=x onerror=alert(1)> #?%2e"
        place.symlink_to(flow.path)
        runs.append(gl.Run(place))
    # two links to one run are one page
    made = write_gallery(tmp_path / "site", [runs[0], runs[1]], title="<script>alert(2)</script>")
    assert [card.page for card in made.cards] == ["runs/img-src=x-onerror=alert-1-2e.html"]
    for page in (made.path, *made.pages):
        assert "<img src=x" not in page.read_text("utf-8")
        assert "<script>alert" not in page.read_text("utf-8")


def run_command(*words: str) -> tuple[int, str]:
    load_commands()
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_pages_are_opened_in_the_browser(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or len(opened) < 3)
    run = corpus.copy("flow")
    assert run_command("report", run.name, "--open")[0] == 0
    code, output = run_command("gallery", str(tmp_path / "site"), run.name, "--open")
    assert code == 0
    assert "gallery: " in output
    code, output = run_command("report", run.name, "--open", "--json")
    assert opened[0] == opened[2] == (run.path / "report.html").as_uri()
    assert opened[1] == (tmp_path / "site" / "index.html").as_uri()
    # the third time there was none
    assert "no browser could be opened" in output
    (result,) = (line for line in output.splitlines() if line.startswith("{"))
    assert json.loads(result)["report"] == str(run.path / "report.html")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_index_filters_and_leads_to_the_pages(
    browser: Any, corpus: Corpus, sweep: Sweep, tmp_path: Path, width: int, scheme: str
) -> None:
    made = write_gallery(tmp_path / "site", [corpus["flow"], sweep])
    browser.open(made.path, width=width, scheme=scheme)
    assert browser.ask("document.documentElement.scrollWidth") == width
    filter_ = "document.querySelector('#filter')"
    browser.ask(f"{filter_}.value = 'fractions'; {filter_}.dispatchEvent(new Event('input'))")
    shown = "[...document.querySelectorAll('.cards > li:not([hidden]) a')].map(a => a.textContent)"
    assert browser.ask(shown) == [sweep.name]
    assert browser.ask("document.querySelector('#count').textContent") == "1 of 2"
    assert browser.errors == []
    browser.open(made.pages[0], width=width, scheme=scheme)
    browser.wait("document.documentElement.dataset.drawn === 'yes'")
    assert browser.errors == []
    assert [u for u in browser.requests if not u.startswith(("file:", "data:"))] == []
    assert browser.ask("document.querySelector('.part-of a').getAttribute('href')") == "../index.html"
