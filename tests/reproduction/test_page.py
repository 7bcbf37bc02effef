"""The page of a reproduction, and the results that are published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from invented import Counted, claim

from groklab.errors import DamagedError
from groklab.report import write_page
from groklab.report._reproduced import strip
from groklab.reproduction import PAPERS, SIZES, Paper, Spread, load, reproduce, results, shown
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
    assert "3 claims, tested at quick size: 1 reproduced, 1 partly and 1 not run." in text
    assert "At full size: 1 reproduced and 2 not run." in text
    assert "groklab reproduce mine/two --quick" in text
    assert "groklab reproduce mine/two --full" in text
    without_scripts = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"https?://|<script|src=", without_scripts)
    assert not re.search(r"<script[^>]* src=", text)


def test_the_page_of_one_claim_shows_the_whole_paper(paper: Publish, tmp_path: Path) -> None:
    paper(claim(Counted()), claim(Counted(), id="two"))
    text = write_page(reproduce("mine/two"), tmp_path).read_text("utf-8")
    assert 'id="one"' in text
    assert "would take about 6 s" in text


def test_a_page_of_nothing_yet(paper: Publish) -> None:
    paper(claim(Counted()))
    assert "Not measured yet." in write_page(results("mine")).read_text("utf-8")


def test_seeds_on_a_line() -> None:
    drawn = strip([1, 3, None, 2], [True, False, True, True])
    assert drawn.count("<circle") == 3
    assert drawn.count('class="fails"') == 1
    assert 'cx="120.0"' in drawn
    assert strip([1, 1], [True, True]) == strip([1], [True]) == strip([True, False], [True, True]) == ""
    assert "on a log scale" in strip([1e-9, 1e-3], [True, True])
    assert "nan" not in strip([0.0, 5e-324, -1e308], [True] * 3)


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
                    assert evidence["digest"] == known[entry["id"]].digest(size, tuple(evidence["seeds"]))
