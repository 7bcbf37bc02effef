"""The page of a reproduction, and the results that are published."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from invented import Counted, claim

from groklab.errors import DamagedError
from groklab.report import write_page
from groklab.report._reproduced import Section, strip, values_frame
from groklab.reproduction import (
    PAPERS,
    SIZES,
    Bar,
    Outcome,
    Paper,
    Spread,
    Trainer,
    load,
    reproduce,
    results,
    shown,
    verdict_of,
)
from groklab.reproduction.verdict import EVIDENCE, save

Publish = Callable[..., Paper]
SAVED = Path(__file__).parent.parent.parent / "docs" / "reproductions"


def test_a_page_holds_all_it_shows(paper: Publish, home: Path) -> None:
    values = {"loss": 1.25e-7, "name": "<b>bold</b>"}
    paper(
        claim(Counted(values), claim="1 < 2 & so on."),
        claim(Counted(holds={0}), id="two", counter="Others differ.", full=claim(Counted()).quick),
        claim(Counted(), id="three", quick=None, full=claim(Counted()).quick),
    )
    reproduce("mine/two", "full")
    path = write_page(reproduce("mine"))
    assert path == home / "reproductions" / "mine.html"
    text = path.read_text("utf-8")
    for words in ("1 &lt; 2 &amp; so on.", "&lt;b&gt;bold", "1.25\u00a0×\u00a010⁻⁷", "Others differ.", "section 1"):
        assert words in text
    assert counts(text) == [
        ["Claims of the paper: 3", "1 ✓ reproduced 1 ◐ partly 1 – not run", "1 ✓ reproduced 2 – not run"]
    ]
    assert "groklab reproduce mine/two --quick" in text
    assert "groklab reproduce mine/two --full" in text
    without_scripts = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|<script|src=", without_scripts)
    assert not re.search(r"<script[^>]* src=", text)


def counts(page: str) -> list[list[str]]:
    """The rows of the table of verdicts."""
    table = re.search(r'<table class="counts">.*?</table>', page, flags=re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr>(.*?)</tr>", table.group(), flags=re.DOTALL)[1:]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL) for row in rows]
    return [[" ".join(html.unescape(re.sub("<[^>]*>", "", cell)).split()) for cell in row] for row in cells]


def test_the_page_of_one_claim_shows_the_whole_paper(paper: Publish, tmp_path: Path) -> None:
    paper(claim(Counted()), claim(Counted(), id="two"))
    text = write_page(reproduce("mine/two"), tmp_path).read_text("utf-8")
    assert 'id="one"' in text
    assert "would take about 6 s" in text


def test_a_page_of_nothing_yet(paper: Publish) -> None:
    paper(claim(Counted()))
    assert "Not measured yet." in write_page(results("mine")).read_text("utf-8")


def test_claims_checks_and_own_findings_are_apart_on_the_page(paper: Publish) -> None:
    bars = (Bar("value", ">=", 1, "from <the> paper"),)
    kinds = {"claim": "c", "check": "k", "own": "o"}
    paper(*(claim(Counted(), id=id, kind=kind, bars=bars) for kind, id in reversed(kinds.items())))
    text = write_page(reproduce("mine")).read_text("utf-8")
    assert counts(text) == [
        ["Claims of the paper: 1", "1 ✓ reproduced", "1 – not run"],
        ["Checks of the code: 1", "1 ✓ holds", "1 – not run"],
        ["Findings of groklab's own: 1", "1 ✓ reproduced", "1 – not run"],
    ]
    places = [text.index(f'<section class="claim" id="{id}"') for id in "cko"]
    assert places == sorted(places)
    assert "from &lt;the&gt; paper" in text


def test_the_table_of_bars_has_quick_and_full_beside_each_other(paper: Publish) -> None:
    def run(trainer: Trainer, seed: int) -> Outcome:
        return Outcome({"late": 4 + seed, "extra": seed}, control={"late": 5 if seed else 1, "extra": 0})

    late, exact = Bar("late", ">=", 4, "the paper: 'late'"), Bar("late", "<=", 99, "here")
    other = claim(run, seeds=2, bars=(late, exact), setting="the paper's").quick
    paper(claim(run, seeds=2, bars=(late,), full=other, control="another"))
    reproduce("mine")
    first, second = (results("mine", size).claims[0] for size in SIZES)
    before = Section.of([first, second])
    assert [row.cells[1] for row in before.rows] == [None, None]
    reproduce("mine", "full")
    section = Section.of([results("mine", size).claims[0] for size in SIZES])
    assert [(r.quantity, r.bar, r.origin) for r in section.rows] == [
        ("late", "≥ 4", "the paper: 'late'"),
        ("late", "≤ 99", "here"),
    ]
    quick, full = section.rows[0].cells
    assert quick is not None
    assert (quick.measured, quick.control) == ("4.5 (4 to 5)", "3 (1 to 5)")
    assert quick == full
    # the bar that the quick trial lacks is not lent from the full one
    assert section.rows[1].cells[0] is None
    assert [r.name for r in section.others] == ["extra"]
    text = write_page(results("mine")).read_text("utf-8")
    assert "The control passes every bar in 1 of 2 seeds" in text
    assert text.count("95% interval 9% to 91%") == 2
    assert ">control passes</span>" in text


def test_seeds_on_a_line() -> None:
    drawn = strip([1, 3, None, 2], [True, False, True, True])
    assert drawn.count("<circle") == 3
    assert drawn.count('class="fails"') == 1
    assert 'cx="84.0"' in drawn
    assert strip([1, 1], [True, True]) == strip([1], [True]) == strip([True, False], [True, True]) == ""
    assert "on a log scale" in strip([1e-9, 1e-3], [True, True])
    assert "nan" not in strip([0.0, 5e-324, -1e308], [True] * 3)
    judged = strip([1, 3], [False, True], [0, 0, None], 2)
    assert (judged.count('class="control"'), judged.count('class="bar"')) == (2, 1)
    assert "2 seeds, 1 to 3; bar at 2; control 0 to 0" in judged
    assert "bar at" not in strip([[1], [2]], [True, True], [], [1])
    assert "bar at 5" in strip([7], [True], [], 5)


def test_values_by_seed(paper: Publish) -> None:
    def run(trainer: Trainer, seed: int) -> Outcome:
        return Outcome({"late": 4 + seed, "keys": [1, 2]}, control={"late": None if seed else 9})

    paper(claim(run, seeds=2, bars=(Bar("late", ">=", 4, "here"),), control="another"))
    frame = values_frame(reproduce("mine").claims[0])
    assert frame.columns == ["seed", "holds", "control holds", "late", "keys", "control: late"]
    assert frame.rows() == [(0, True, True, 4, "[1, 2]", 9), (1, True, False, 5, "[1, 2]", None)]


def test_values_in_words() -> None:
    assert Spread.of([1480, 1280]).text == "1,380 (1,280 to 1,480)"
    assert Spread.of([None, 2]).text == "2, none in 1 of 2"
    assert Spread.of([True, False]).text == "true in 1 of 2"
    assert Spread.of([True]).text == "true"
    assert Spread.of([[14, 35], [14, 35]]).text == "14, 35"
    assert Spread.of([[14, 35], [14, 35], [1]]).text == "14, 35 in 2; 1 in 1"
    assert Spread.of(["a", "b"]).text == "a; b"
    assert Spread.of([None, None]).text == "none"
    assert [shown(v) for v in (0.5, 12345.6, -2.5e-9, [], 3.0)] == [
        "0.5",
        "12,346",
        "\u22122.5\u00a0×\u00a010⁻⁹",
        "none",
        "3",
    ]


def test_saved_results_keep_the_other_size_and_the_other_claims(paper: Publish, tmp_path: Path) -> None:
    full = claim(Counted({"value": 3}), setting="the paper's").quick
    paper(claim(Counted({"value": 1}), full=full), claim(Counted(), id="two"))
    path = save(reproduce("mine/one"), tmp_path)
    content = load(path)
    assert set(content) == {"paper", "date", "hardware", "claims"}
    one, two = content["claims"]
    assert (one["quick"]["verdict"], one["full"], two["quick"], two["full"]) == ("reproduced", None, None, None)
    save(reproduce("mine/one", "full"), tmp_path)
    save(reproduce("mine/two"), tmp_path)
    one, two = load(path)["claims"]
    assert (one["full"]["measured"]["value"]["median"], one["full"]["command"]) == (
        3,
        "groklab reproduce mine/one --full",
    )
    assert one["quick"]["measured"]["value"]["median"] == 1
    assert (two["quick"]["verdict"], two["full"]) == ("reproduced", None)
    # evidence of a trial that has changed since is dropped, and so are claims that are gone
    paper(claim(Counted({"value": 1}), full=full, setting="another"))
    save(results("mine"), tmp_path)
    (one,) = load(path)["claims"]
    assert one["quick"] is None
    assert one["full"]["verdict"] == "reproduced"


def test_saving_writes_what_both_sizes_measured(paper: Publish, home: Path, tmp_path: Path) -> None:
    full = claim(Counted({"value": 3}), setting="the paper's").quick
    paper(claim(Counted({"value": 1}), full=full))
    reproduce("mine", "full", home=tmp_path / "other")
    (one,) = load(save(reproduce("mine", home=tmp_path / "other"), tmp_path / "saved"))["claims"]
    assert [one[size]["measured"]["value"]["median"] for size in SIZES] == [1, 3]
    # the folder of runs that has the outcomes, not the user's
    (one,) = load(save(reproduce("mine"), tmp_path / "saved2"))["claims"]
    assert one["full"] is None


@pytest.mark.parametrize("content", ["", "[]", '{"claims": [3]}', '{"claims": [{"id": "one", "quick": 3}]}'])
def test_a_damaged_file_of_results_is_refused(paper: Publish, tmp_path: Path, content: str) -> None:
    paper(claim(Counted()))
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(DamagedError, match="damaged"):
        save(reproduce("mine"), tmp_path)


def test_committed_results_belong_to_claims_as_they_are() -> None:
    found = sorted(SAVED.glob("*.json"))
    assert found
    for path in found:
        content = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
        assert set(content) == {"paper", "date", "hardware", "claims"}
        assert content["paper"] == path.stem
        known = {c.id: c for c in PAPERS[content["paper"]].claims}
        assert [c["id"] for c in content["claims"]] == list(known)
        for entry in content["claims"]:
            needed = {"id", "kind", "claim", "source", "expected", "control", "counter"}
            assert set(entry) == needed | set(SIZES)
            for size in SIZES:
                evidence = entry[size]
                if evidence is not None:
                    assert set(evidence) == set(EVIDENCE)
                    assert evidence["seconds"] > 0
                    assert evidence["cost"] > 0
                    measured = evidence["control"] if entry["kind"] != "check" else evidence["measured"]
                    assert {bar["value"] for bar in evidence["bars"]} & set(measured), entry["id"]
                    assert evidence["verdict"] == verdict_of(entry["kind"], evidence["holds"])
                    assert evidence["digest"] == known[entry["id"]].digest(size, tuple(evidence["seeds"]))
