"""The page of a family of runs: what its cells say, what it is compared with, and the pages of its members."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.experiment.yaml_input import parse_overrides
from groklab.papers.published import PublishedTable, read_published
from groklab.report import write_family
from groklab.report.family import argument, table_csv, verdict_words
from groklab.report.family_cells import OUTCOMES, VERDICTS, Cell, Member
from groklab.report.family_pages import members_at, remaking, write_members
from groklab.report.family_study import family, said
from groklab.report.family_words import experiment_said, formula, headings, sweep_command
from groklab.report.one_member import OneMember
from groklab.report.published_setting import made_with
from groklab.report.spark_lines import DASH, HEIGHT, WIDTH, across, spark_line
from groklab.store import storage
from groklab.sweeps import Sweep, make_plan, parse_grid
from groklab.sweeps import folder as tables
from groklab.sweeps.folder import Folder
from groklab.sweeps.packing import pack
from groklab.tasks.operations import OPERATIONS
from invented_family import BUDGET, EXPRESSION, FRACTION, Outcome, trained, written

KEYS = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}


@pytest.fixture(scope="module")
def swept(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return trained(corpus, tmp_path_factory.mktemp("family"))


class Outline(HTMLParser):
    """A page's text, its ids, its links, and whatever it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.ids, self.links, self.loads, self.labels = "", [], [], [], []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        self.inside += [tag] if tag in ("script", "style") else []
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if tag == "a" else []
        self.loads += [v for k, v in found.items() if k in ("src", "data") or (tag == "link" and k == "href")]
        self.labels += [found["aria-label"]] if tag == "button" and "aria-label" in found else []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        self.text += "" if self.inside else data


def outline(path: Path) -> Outline:
    return Outline(path.read_text(encoding="utf-8"))


def member(outcome: str, grokked: int | None = None, best: float | None = None) -> Member:
    return Member(0, 0, outcome, 10, 5, grokked if outcome == "grokked" else None, 1.0, best, best, None)


def cell(*members: Member) -> Cell:
    return Cell(0, 0, members)


# -- what a cell says -------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=5))
def test_a_verdict_is_what_its_seeds_say(outcomes: list[str]) -> None:
    found = cell(*(member(o, 100, 0.3) for o in outcomes))
    n, k = len(outcomes), outcomes.count("grokked")
    assert found.verdict in VERDICTS
    assert (found.verdict == "grokked") == (k == n)
    assert (found.verdict == "some") == (0 < k < n)
    open_ = outcomes.count("undecided") + outcomes.count("pending")
    failed = outcomes.count("failed")
    if found.decided is not None:
        # nothing that is still open can turn a decided cell
        lost = n - k - open_ - failed
        assert found.decided == (k > lost)
        assert 2 * max(k, lost) > n
    if found.verdict == "none":
        assert not open_
    assert verdict_words(found)


def test_the_median_counts_those_that_did_not_grok_last() -> None:
    both = [member("grokked", 100), member("grokked", 300)]
    assert cell(*both).median_step == 200
    assert cell(*both, member("censored")).median_step == 300
    assert cell(member("grokked", 100), member("censored"), member("diverged")).median_step is None
    assert cell(member("pending")).median_step is None
    assert cell(*both, member("failed")).median_step == 200
    # what is open may still come before
    assert cell(*both, member("undecided")).median_step is None


def test_the_best_accuracy_is_the_mean_over_seeds_that_did_not_grok() -> None:
    found = cell(member("censored", best=0.2), member("censored", best=0.4), member("grokked", 9, best=1.0))
    assert found.best == pytest.approx(0.3)
    assert cell(member("pending")).best is None


def test_every_verdict_is_told_apart_in_words() -> None:
    told = {
        verdict_words(cell(*seeds))
        for seeds in (
            (member("grokked", 10), member("grokked", 30)),
            (member("grokked", 10), member("diverged")),
            (member("censored", best=0.034), member("censored", best=0.034)),
            (member("undecided", best=0.5), member("pending")),
            (member("diverged"),),
            (member("failed"),),
            (member("pending"),),
        )
    }
    assert told == {
        "grokked in each of 2 seeds, median step 20",
        "grokked in 1 of 2 seeds, 1 diverged",
        "did not grok within the budget, best test accuracy 3.4%",
        "undecided as yet, best test accuracy 50%, 1 undecided, 1 pending",
        "diverged",
        "failed",
        "pending",
    }


# -- a real sweep -----------------------------------------------------------------------------------------------------


def test_cells_say_what_the_runs_say(swept: Sweep) -> None:
    found = family(swept)
    assert (found.row_key, found.column_key) == (EXPRESSION, FRACTION)
    assert [c.verdict for c in found.tables[0].cells] == ["none", "grokked"] * 2
    assert said(found.tables[0]) == "Of 4 cells: 2 grokked in every seed and 2 in none within the budget."
    for c in found.tables[0].cells:
        assert [m.seed for m in c.members] == [0, 1]
        for m in c.members:
            run, place = swept.run(m.number)
            assert run.experiments[place].to_dict()["task"]["expression"] == found.row_values[c.row]
            assert swept.experiment(m.number).split.frac_train == found.column_values[c.column]
            told = run.status["members"][place]
            assert (m.grokked, m.memorised, m.steps) == (
                told["grokked_step"],
                told["memorised_step"],
                told["steps"],
            )
            # of all evaluations, not only of those that the thinned curves keep
            assert m.best == pytest.approx(float(np.nanmax(run.curves(place)["test_accuracy"])))
    assert found.problems == ()


def test_one_page_holds_all_and_loads_nothing(swept: Sweep) -> None:
    path = write_family(swept)
    assert path == swept.path / "report.html"
    page = outline(path)
    assert page.loads == ["data:,"]
    assert len(page.ids) == len(set(page.ids))
    assert {f"c0-{i}-{j}" for i in (0, 1) for j in (0, 1)} <= set(page.ids)
    assert len(page.labels) == 4 + 1
    assert page.labels[1].startswith("x + y, 0.8: grokked in each of 2 seeds, median step ")
    assert page.labels[2].startswith("xy, 0.65: did not grok within the budget, best test accuracy ")
    words = " ".join(page.text.split())
    for told in (
        "2 of task.expression × 2 of split.frac_train, 2 seeds each: 8 members",
        str(swept.path),
        "elementary",
    ):
        assert told in words
    raw = path.read_text(encoding="utf-8")
    assert raw.count('<svg class="spark"') == 4
    data = json.loads(re.findall(r'id="data">(.*?)</script>', raw, re.DOTALL)[0])
    assert data["cells"]["c0-0-1"]["members"][0]["grokked"] == swept.table["grokked_step"][2]
    assert data["cells"]["c0-1-0"]["argument"] == "'x*y,0.65'"


def test_the_table_comes_along_as_csv(swept: Sweep) -> None:
    found = family(swept)
    page = outline(write_family(swept))
    (link,) = [href for href in page.links if href.startswith("data:")]
    assert unquote(link.removeprefix("data:text/csv;charset=utf-8,")) == table_csv(found)
    rows = list(csv.DictReader(io.StringIO(table_csv(found))))
    assert [(r[EXPRESSION], r[FRACTION], r["verdict"], r["grokked"], r["seeds"]) for r in rows[:2]] == [
        ("add", "0.65", "none", "0", "2"),
        ("add", "0.8", "grokked", "2", "2"),
    ]
    assert float(rows[0]["best_test_accuracy"]) == found.tables[0].cells[0].best


def test_the_command_shown_plans_the_same_sweep(swept: Sweep) -> None:
    command, yaml = sweep_command(swept)
    assert yaml == ""
    words = shlex.split(command)
    assert words[:3] == ["groklab", "sweep", "micro-fast"]
    grids = [words[i + 1] for i, word in enumerate(words) if word == "--grid"]
    overrides = [w for w in words[3:] if "=" in w and w not in grids]
    plan = make_plan(
        "micro-fast",
        parse_grid(grids),
        overrides=parse_overrides(overrides),
        seeds=int(words[words.index("--seeds") + 1]),
    )
    assert plan.name == swept.name
    assert plan.identities == [m["identity"] for m in swept.folder.members]


def test_a_member_is_a_run_of_its_own(swept: Sweep) -> None:
    run, place = swept.run(3)
    # its pack went on without it
    assert run.status["step"] == 300 > swept.table["steps"][3]
    alone = OneMember(run, place, "a member")
    assert (alone.name, alone.n_members, alone.experiments) == ("a member", 1, [swept.experiment(3)])
    known = run.status["members"][place]
    assert alone.identities == [swept.table["identity"][3]]
    assert alone.status["step"] == known["steps"]
    assert alone.status["members"] == [known]
    assert alone.status["reason"] == "grokked"
    assert alone.metrics["member"].unique().to_list() == [0]
    assert alone.metrics["step"][-1] == known["steps"]
    assert alone.metrics["test_loss"].to_list() == list(run.curves(place)["test_loss"])
    # the weights with which it stopped, also where others of its pack went on
    assert alone.checkpoints[-1] == known["steps"]
    for step in (None, known["steps"]):
        assert storage.digest(alone.weights(step)) == known["weights_sha256"]
    with pytest.raises(InputError, match="keeps no checkpoint"):
        alone.weights(known["steps"] + 1)


def test_members_pages_and_the_family_link_to_each_other(swept: Sweep, tmp_path: Path) -> None:
    at = tmp_path / "the family.html"
    write_family(swept, at, members=[3])
    folder = tmp_path / "the family-members"
    (own,) = folder.iterdir()
    assert own.name == f"003-{swept.table['identity'][3][:8]}.html"
    page = outline(own)
    (back,) = [href for href in page.links if href.startswith("../")]
    assert back == "../the%20family.html#c0-0-1"
    assert "x + y · split.frac_train 0.8 · seed 1" in page.text
    assert f"generalised at step {swept.table['grokked_step'][3]:,}" in page.text
    there = [href for href in outline(at).links if "members/" in href]
    assert there == [f"the%20family-members/{own.name}"]
    # a page made anew without them links to those that are there
    write_family(swept, at)
    assert [href for href in outline(at).links if "members/" in href] == there
    assert len(list(folder.iterdir())) == 1


def test_cells_are_named_by_row_and_column(swept: Sweep) -> None:
    found = family(swept)
    for c in found.tables[0].cells:
        assert members_at(found, argument(found, c)) == [m.number for m in c.members]
    assert members_at(found, "multiply, 0.650") == [4, 5]
    assert members_at(found, "x + y,.8") == [2, 3]
    for text, words in (
        ("add", "needs 'all', or ROW,COLUMN"),
        ("add,0.7", "values of split.frac_train: 0.65, 0.8"),
        ("subtract,0.65", "values of task.expression: add, x*y"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            members_at(found, text)
    with pytest.raises(InputError, match="members 0 to 7"):
        write_members(swept, found, Path("x.html"), [8])


def test_rows_and_columns_can_be_chosen(swept: Sweep) -> None:
    found = family(swept, rows=FRACTION, columns=EXPRESSION)
    assert [c.verdict for c in found.tables[0].cells] == ["none", "none", "grokked", "grokked"]
    assert family(swept, columns=EXPRESSION).row_key == FRACTION
    assert family(swept, rows=FRACTION).column_key == EXPRESSION
    for chosen, words in (
        ({"rows": "task.p"}, "--rows = 'task.p': unknown; settings of the sweep: task.expression, split"),
        ({"columns": "p"}, "--columns = 'p': unknown"),
        ({"rows": FRACTION, "columns": FRACTION}, "needs to be another setting than --rows"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            family(swept, **chosen)


def test_best_accuracies_are_those_of_kept_points_where_a_pack_is_damaged(swept: Sweep) -> None:
    run, _ = swept.run(0)
    file = run.path / "metrics.parquet"
    content = file.read_bytes()
    curves = swept.curves()
    # a sweep's own files: without them table and curves would be taken from the packs too
    tables.write(swept.path / "table.parquet", swept.table)
    tables.write(swept.path / "curves.parquet", curves)
    try:
        file.write_bytes(content[: len(content) // 2])
        found = family(swept)
    finally:
        file.write_bytes(content)
        (swept.path / "table.parquet").unlink()
        (swept.path / "curves.parquet").unlink()
    assert len(found.problems) == 1
    assert "thinned curves" in found.problems[0]
    best = found.tables[0].cells[0].members[0].best
    kept = curves.filter(pl.col("member") == 0)["test_accuracy"].max()
    assert best == pytest.approx(kept)


# -- sweeps with results made up --------------------------------------------------------------------------------------


def test_other_keys_make_a_table_each(home: Path) -> None:
    keys = {"optimiser.weight_decay": [0.0, 1.0], EXPRESSION: ["add", "2x_y"], FRACTION: [0.3, 0.5, 0.7]}
    sweep = written(home, "three", keys, lambda p, _: Outcome(grokked=500 if p["optimiser.weight_decay"] else None))
    found = family(sweep)
    assert [t.at for t in found.tables] == [{"optimiser.weight_decay": 0.0}, {"optimiser.weight_decay": 1.0}]
    assert [{c.verdict for c in t.cells} for t in found.tables] == [{"none"}, {"grokked"}]
    page = outline(write_family(sweep, home))
    assert "c1-1-2" in page.ids
    assert page.text.count("Of 6 cells:") == 2
    assert len(members_at(found, "add,0.3")) == 2


def test_what_is_open_failed_or_diverged_has_its_own_place(home: Path) -> None:
    told = {0.3: "pending", 0.4: "running", 0.5: "failed", 0.6: "diverged", 0.7: "interrupted", 0.8: "finished"}
    sweep = written(
        home, "mixed", {EXPRESSION: ["add", "x*y"], FRACTION: list(told)}, lambda p, _: Outcome(told[p[FRACTION]])
    )
    found = family(sweep)
    expected = ["pending", "undecided", "failed", "diverged", "undecided", "none"]
    assert [c.verdict for c in found.tables[0].cells] == expected * 2
    page = write_family(sweep, home)
    raw = page.read_text()
    for verdict in set(expected):
        assert f'class="{verdict}"' in raw
    assert "there was not enough memory" in raw
    words = " ".join(outline(page).text.split())
    assert "The sweep is interrupted, so this may change." in words
    # nobody's own page, where there is no run
    assert write_members(sweep, found, page, members_at(found, "add,0.3") + members_at(found, "add,0.5")) == []


def test_a_grokked_step_holds_while_training_goes_on(home: Path) -> None:
    sweep = written(home, "on", KEYS, lambda p, _: Outcome("running", grokked=100))
    assert {c.verdict for c in family(sweep).tables[0].cells} == {"grokked"}


def test_a_large_family_stays_light(home: Path) -> None:
    names = [name for name, o in OPERATIONS.items() if "z" not in o.expression][:35]
    fractions = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

    def told(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=None if point[FRACTION] < 0.5 else 200 + 30 * seed, best=point[FRACTION])

    sweep = written(home, "large", {EXPRESSION: names, FRACTION: fractions}, told, seeds=3)
    path = write_family(sweep)
    assert path.read_text().count('<svg class="spark"') == 245
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({FRACTION: [0.3, 0.5]}, "a table needs two keys of a grid, and one-.* varies split.frac_train alone"),
        ({}, "a table needs two keys of a grid, and one-.* varies nothing but seeds"),
    ],
)
def test_a_sweep_with_fewer_than_two_keys_is_refused(home: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        write_family(written(home, "one", keys, lambda p, seed: Outcome()))


def test_a_sweep_of_which_nothing_is_known_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"no member of new-.* has been evaluated yet"):
        write_family(written(home, "new", KEYS, lambda p, seed: Outcome("pending")))


def test_a_page_outside_the_home_names_the_folder(home: Path, tmp_path: Path) -> None:
    inside = written(home, "here", KEYS, lambda p, seed: Outcome())
    assert remaking(inside) == f"groklab report {inside.name}"
    assert remaking(inside, "a b.html", rows=FRACTION) == (
        f"groklab report {inside.name} --rows split.frac_train --out 'a b.html'"
    )
    outside = written(tmp_path / "other", "there", KEYS, lambda p, seed: Outcome())
    assert remaking(outside) == f"groklab report {outside.path}"


def test_the_page_says_what_was_laid_over_the_preset(swept: Sweep) -> None:
    words = " ".join(outline(write_family(swept)).text.split())
    assert "of the experiment micro-fast with budget.steps=300 and evaluation.every=2." in words


def test_an_experiment_of_no_preset_is_said_to_stand_below(home: Path) -> None:
    plan = make_plan(gl.preset("micro-fast", {"name": "mine"}), KEYS)
    sweep = Sweep(Folder.create(home / "sweeps" / plan.name, plan, pack(plan.experiments)).path)
    assert experiment_said(sweep) == "mine, whose settings stand below"
    command, yaml = sweep_command(sweep)
    assert command.startswith("groklab sweep experiment.yaml --grid")
    assert "name: mine" in yaml


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_key_seed_is_the_seeds_of_a_cell(home: Path, place: int) -> None:
    def told(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=100 * (seed + 1) if seed < 2 or point[FRACTION] > 0.7 else None)

    by_seeds = family(written(home, "seeds", KEYS, told, seeds=3))
    keys: list[tuple[str, list[Any]]] = list(KEYS.items())
    keys.insert(place, ("seed", [0, 1, 2]))
    sweep = written(home, "key", dict(keys), told)
    by_key = family(sweep)
    assert len(by_key.tables) == 1
    assert by_key.tables[0].at == {}
    assert [c.verdict for c in by_key.tables[0].cells] == ["some", "grokked"] * 2
    for a, b in zip(by_key.tables[0].cells, by_seeds.tables[0].cells, strict=True):
        assert (a.row, a.column, a.median_step, [m.seed for m in a.members]) == (b.row, b.column, 200, [0, 1, 2])
        assert verdict_words(a) == verdict_words(b)
    assert len(members_at(by_key, "add,0.65")) == 3
    page = outline(write_family(sweep, published={"add": {"0.65": True, "0.8": True}}))
    words = " ".join(page.text.split())
    assert "2 of task.expression × 2 of split.frac_train, 3 seeds each: 12 members" in words
    assert words.count("2 of 2 cells agree") == 1
    assert sum(1 for at in page.ids if re.fullmatch(r"c\d+-\d+-\d+", at)) == 4
    # the command trains this sweep, whose seeds are a key
    assert "--grid seed=0,1,2" in sweep_command(sweep)[0]
    with pytest.raises(InputError, match=r"--columns = 'seed': unknown"):
        family(sweep, columns="seed")


def test_operations_and_seeds_alone_are_no_table(home: Path) -> None:
    with pytest.raises(InputError, match=r"two keys of a grid, and one-.* varies task.expression alone"):
        family(written(home, "one", {EXPRESSION: ["add", "x*y"], "seed": [0, 1]}, lambda p, seed: Outcome()))


def test_mixtures_are_written_by_their_formulas(home: Path) -> None:
    keys = {"task.expressions": [["add", "multiply"], ["add", "2*x + y"]], FRACTION: [0.5, 0.8]}
    plan = make_plan("furuta2024/mixture-add-multiply", keys, overrides={"task.p": 7, "budget.steps": 50})
    sweep = Sweep(Folder.create(home / "sweeps" / plan.name, plan, pack(plan.experiments)).path)
    rows = headings("task.expressions", sweep.keys["task.expressions"])
    assert [(r.text, r.name) for r in rows] == [("x + y, xy", "add, multiply"), ("x + y, 2x + y", "add, 2x_y")]
    tables.write(
        sweep.path / "table.parquet",
        sweep.table.with_columns(pl.lit(50).alias("steps"), pl.lit("finished").alias("status")),
    )
    found = family(Sweep(sweep.path), columns=FRACTION)
    for cell_ in found.tables[0].cells:
        assert members_at(found, argument(found, cell_)) == [m.number for m in cell_.members]
    assert argument(found, found.tables[0].cells[1]) == "add,multiply,0.8"
    # in other spellings, and by column first
    assert members_at(found, "x + y, x*y, 0.8") == [1]
    assert members_at(family(Sweep(sweep.path), rows=FRACTION), '0.8,["add", "multiply"]') == [1]
    with pytest.raises(InputError, match=r"values of task\.expressions"):
        members_at(found, "multiply,0.8")


def test_the_page_is_made_again_with_its_members(swept: Sweep, tmp_path: Path) -> None:
    def made_again(at: Path) -> list[str]:
        found = re.findall(r'class="command"><code>(groklab report .*?)</code>', at.read_text(encoding="utf-8"))
        words = shlex.split(unescape(found[0]))
        return [words[i + 1] for i, word in enumerate(words) if word == "--members"]

    assert made_again(write_family(swept, tmp_path / "none.html")) == []
    some = write_family(swept, tmp_path / "some.html", members=[3, 4])
    assert made_again(some) == ["add,0.8", "x*y,0.65"]
    whole = tmp_path / "whole.html"
    (tmp_path / "whole-members").mkdir()
    for number in range(swept.n_members):
        (tmp_path / "whole-members" / f"{number:03d}-{swept.table['identity'][number][:8]}.html").touch()
    assert made_again(write_family(swept, whole)) == ["all"]


# -- published tables -------------------------------------------------------------------------------------------------


def test_agreement_is_counted_cell_by_cell(home: Path) -> None:
    keys = {EXPRESSION: ["add", "x*y", "2*x + y"], FRACTION: [0.3, 0.5]}
    groks = {("add", 0.3), ("add", 0.5), ("x*y", 0.5)}
    sweep = written(
        home, "p", keys, lambda p, _: Outcome(grokked=99 if (p[EXPRESSION], p[FRACTION]) in groks else None, best=0.1)
    )
    published = {
        "addition is not one of ours": {"0.3": True},
        "x + y": {"0.3": True, "0.50": 40},
        "multiply": {"0.3": 13.5, "0.5": True, "0.9": True},
        "x_x_y_short": {"0.3": True, "0.5": False},
    }
    found = family(sweep, published=published)
    (agreement,) = found.agreements
    assert agreement.counts == {"both": 2, "published only": 1, "here only": 1, "neither": 2}
    assert agreement.differ == ((0, 1), (2, 0))
    assert (agreement.same, agreement.n) == (4, 6)
    # expected by chance: each side says 'grokked' in 3 of 6
    assert agreement.kappa == pytest.approx((4 / 6 - 0.5) / 0.5)
    assert agreement.best_accuracy_difference == pytest.approx(3.5, abs=1e-4)
    assert agreement.summary.startswith("4 of 6 cells agree (67%); Cohen's kappa is 0.33. Where neither grokked, ")
    raw = write_family(sweep, published=published).read_text()
    assert raw.count('<td id="c0-0-1" class="grokked differs"') == 1
    assert "x + y, 0.5: grokked, step 99; published: 40%" in raw
    assert found.to_dict()["tables"][0]["cells"][3]["published"] is True


def test_what_differs_from_how_a_paper_made_its_table_is_said(home: Path) -> None:
    keys = {"task.p": [7, 97], EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5]}
    sweep = written(home, "paper", keys, lambda p, _: Outcome(grokked=99))
    table, about = read_published("furuta2024/grokked")
    found = family(sweep, published=table, source="furuta2024/grokked", about=about)
    preset = sweep.experiment(0)
    ours = f"the network {preset.network.kind}, a learning rate of {preset.optimiser.learning_rate:g}"  # type: ignore[union-attr]
    for agreement, p in zip(found.agreements, (7, 97), strict=True):
        assert ("p = 7" in agreement.setting) == (p == 7)
        assert ours in agreement.setting
        assert f"up to {BUDGET:,} steps where the published table has" in agreement.setting
        assert "up to 300,000 steps, so the two need not agree." in agreement.setting
        assert agreement.summary.endswith(agreement.setting)
        assert agreement.to_dict()["setting"] == agreement.setting
    assert "p = 97" in found.agreements[0].setting.split("where")[1]
    assert "p = 97" not in found.agreements[1].setting
    # nothing is known of a table of one's own
    (plain,) = family(written(home, "own", KEYS, lambda p, _: Outcome()), published={"add": {"0.65": True}}).agreements
    assert plain.setting == ""


def test_what_a_paper_made_its_table_with(tmp_path: Path) -> None:
    known = made_with("furuta2024")
    assert known == made_with("furuta2024/grokked")
    assert known == {
        "task.p": 97,
        "network.kind": "transformer",
        "network.d_model": 128,
        "optimiser.learning_rate": 1e-3,
        "optimiser.weight_decay": 1.0,
        "budget.steps": 300_000,
    }
    file = tmp_path / "mine.json"
    file.write_text('{"p": 11, "steps": 500, "grokked": {"operations": {"add": {"0.3": true}}}}')
    assert made_with(str(file)) == {"task.p": 11, "budget.steps": 500}
    assert made_with("the published table") == {}


def test_undecided_cells_are_not_compared() -> None:
    published = PublishedTable.of({"a": {"1": True, "2": True}}, ["a"], [1, 2], "mine")
    found = published.agreement({(0, 0): (None, 0.5), (0, 1): (None, None)})
    assert (found.n, found.kappa, found.summary) == (0, None, "No published cell is decided here.")


def test_the_papers_own_table_can_be_named() -> None:
    table, about = read_published("furuta2024/grokked")
    assert table["2x_y"]["0.3"] == 3.1
    assert table["add"]["0.3"] is True
    assert "2402.16726" in about
    whole = PublishedTable.of(table, list(table), [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], "theirs")
    assert len(whole.entries) == 245
    assert sum(entry is True for entry in whole.entries.values()) == 245 - 41


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1, 2", "is not a JSON file"),
        ("[1, 2]", "holds no table of rows, columns and entries"),
        ('{"a": {"b": {"0.3": "yes"}}}', "holds no table"),
        ('{"a": {"b": {"0.3": true}}, "c": {"b": {"0.3": true}}}', "give one of its tables after a slash: a, c"),
    ],
)
def test_files_that_hold_no_table_are_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "table.json"
    file.write_text(content)
    with pytest.raises(InputError, match=words):
        read_published(str(file))


def test_a_table_of_several_is_named_after_the_file(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text('{"a": {"b": {"0.3": true}}, "c": {"b": {"0.3": false, "1": true}}}')
    assert read_published(f"{file}/c") == ({"b": {"0.3": False, "1": True}}, "")
    for text in ("nothing.json", "furuta2024/none", "", "/"):
        with pytest.raises(InputError, match="--published"):
            read_published(text)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"add": {"0.3": 250}}, "needs true, false, or a best test accuracy in percent"),
        ({"add": {"0.3": "yes"}}, "needs true, false"),
        ({"add": [True]}, "needs to hold, for each row, an entry for each column"),
        ({"x^9": {"0.3": True}}, "shares no cell with this sweep"),
        ({"add": {"0.35": True}}, "shares no cell"),
    ],
)
def test_entries_that_mean_nothing_are_refused(table: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PublishedTable.of(table, ["add"], [0.3], "mine")


# -- small things -----------------------------------------------------------------------------------------------------


def test_formulas_are_written_as_by_hand() -> None:
    assert formula("x^2 + x*y + y^2") == "x² + xy + y²"
    assert formula("2*x - 3*y") == "2x − 3y"
    assert formula("(x + y)^4") == "(x + y)⁴"
    assert formula("x/y") == "x/y"
    (named, free) = headings(EXPRESSION, ["x3_xy2_y", "x^8 + y"])
    assert (named.text, named.name) == ("x³ + xy² + y", "x3_xy2_y")
    assert (free.text, free.name, free.group) == ("x⁸ + y", "", "")
    assert [h.text for h in headings(FRACTION, [0.3, 0.5])] == ["0.3", "0.5"]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.integers(2, 30))
def test_a_spark_line_stays_in_its_box_and_goes_from_the_first_evaluation_to_the_last(
    values: list[float], points: int
) -> None:
    steps = np.arange(len(values) + 1) * 7
    known = {"step": steps, "train_accuracy": [0.5, *values], "test_accuracy": [np.nan] * len(steps)}
    drawn = spark_line([pl.DataFrame(known)], int(steps[-1]), points)
    # a curve that is no number is not drawn
    assert drawn.count("<path") == 1
    numbers = [int(n) for n in re.findall(r"-?\d+", re.findall(r'd="(.*?)"', drawn)[0])]
    places = np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)
    assert places.min() >= 0
    assert places[:, 0].max() <= WIDTH
    assert places[:, 1].max() <= HEIGHT
    # not from step 0, from which it would rise over steps that nobody has seen
    assert places[0].tolist() == [round(WIDTH * np.log1p(7) / np.log1p(steps[-1])), round(HEIGHT * (1 - values[0]))]
    assert places[-1].tolist() == [WIDTH, round(HEIGHT * (1 - values[-1]))]
    assert len(places) <= points + 3


def test_one_evaluation_is_a_dash_and_none_is_nothing() -> None:
    frame = pl.DataFrame({"step": [0, 50], "train_accuracy": [0.1, 1.0], "test_accuracy": [0.1, 0.2]})
    assert re.findall(r'd="(.*?)"', spark_line([frame], 50, 40)) == [
        f"M{WIDTH - DASH} 0h{DASH}",
        f"M{WIDTH - DASH} 80h{DASH}",
    ]
    assert "<path" not in spark_line([frame.head(1)], 50, 40)


def test_level_stretches_cost_nothing() -> None:
    frame = pl.DataFrame({"step": range(BUDGET), "train_accuracy": [1.0] * BUDGET, "test_accuracy": [0.5] * BUDGET})
    drawn = spark_line([frame], BUDGET - 1, 40)
    first = round(float(across(np.array([1]), BUDGET - 1)[0]))
    assert re.findall(r'd="(.*?)"', drawn) == [f"M{first} {y}l{WIDTH - first} 0" for y in (0, 50)]
