"""The page of a sweep: what its cells say, in which colours, and the pages of its members."""

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
from groklab.experiment import parse_overrides
from groklab.figures import spark_lines
from groklab.figures._spark_lines import DASH, HEIGHT, WIDTH, across
from groklab.report import write_sweep
from groklab.report._sweep_members import write_members
from groklab.report._sweep_page import table_csv
from groklab.report._sweep_words import argument, experiment_text, members_at, page_command, sweep_command
from groklab.store import OneMember, storage
from groklab.sweeps import Sweep, headings, make_plan, pack, parse_grid, study, verdict_sentence, verdict_summary
from groklab.tasks import OPERATIONS
from invented_sweep import BUDGET, EXPRESSION, FRACTION, LR, WD, Outcome, trained, written

KEYS = {EXPRESSION: ["add", "x*y"], FRACTION: [0.65, 0.8]}


@pytest.fixture(scope="module")
def swept(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return trained(corpus, tmp_path_factory.mktemp("sweep"))


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


def data_of(page: Path) -> Any:
    """What the page's script draws."""
    (data,) = re.findall(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(data)


# -- a real sweep -----------------------------------------------------------------------------------------------------


def test_cells_say_what_the_runs_say(swept: Sweep) -> None:
    found = study(swept)
    assert (found.axes.y, found.axes.x) == (EXPRESSION, FRACTION)
    assert [c.verdict for c in found.slices[0].cells] == ["none", "grokked"] * 2
    assert (
        verdict_summary(found.slices[0])
        == "Of 4 cells: 2 generalised in every seed and 2 did not generalise within the budget."
    )
    for c in found.slices[0].cells:
        assert [m.seed for m in c.members] == [0, 1]
        for m in c.members:
            run, place = swept.run(m.number)
            assert run.experiments[place].to_dict()["task"]["expression"] == found.axes.y_values[c.row]
            assert swept.experiment(m.number).split.frac_train == found.axes.x_values[c.column]
            told = run.status.members[place]
            assert (m.grokked_step, m.memorised_step, m.steps) == (
                told.grokked_step,
                told.memorised_step,
                told.steps,
            )
            # of all evaluations, not only of those that the thinned curves keep
            assert m.best_test_accuracy == pytest.approx(float(np.nanmax(run.curves(place)["test_accuracy"])))


def test_one_page_holds_all_and_loads_nothing(swept: Sweep) -> None:
    path = write_sweep(swept)
    assert path == swept.path / "report.html"
    page = outline(path)
    assert page.loads == ["data:,"]
    assert len(page.ids) == len(set(page.ids))
    words = " ".join(page.text.split())
    for told in (
        "task.expression (2 values) × split.frac_train (2 values), 2 seeds each: 8 members",
        str(swept.path),
    ):
        assert told in words
    data = data_of(path)
    assert data["colouring"] == "verdict"
    cells = data["slices"][0]["cells"]
    assert [c["at"] for c in cells] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert all(all(c["spark"]) for c in cells)
    assert cells[1]["says"][1].startswith("generalised in each of 2 seeds, median step ")
    assert cells[2]["says"][1].startswith("did not generalise within the budget, best test accuracy ")
    assert cells[2]["name"] == "x*y,0.65"
    assert data["members"][str(cells[1]["m"][0])][5] == swept.table["grokked_step"][2]
    assert data["y"]["heads"] == [["x + y", "add", "elementary"], ["xy", "multiply", "elementary"]]
    # the same cells without a script
    assert page.text.count("did not generalise within the budget, best") == 2


def test_the_table_comes_along_as_csv(swept: Sweep) -> None:
    found = study(swept)
    page = outline(write_sweep(swept))
    (link,) = [href for href in page.links if href.startswith("data:")]
    assert unquote(link.removeprefix("data:text/csv;charset=utf-8,")) == table_csv(found)
    rows = list(csv.DictReader(io.StringIO(table_csv(found))))
    assert [(r[EXPRESSION], r[FRACTION], r["verdict"], r["grokked"], r["seeds"]) for r in rows[:2]] == [
        ("add", "0.65", "none", "0", "2"),
        ("add", "0.8", "grokked", "2", "2"),
    ]
    assert float(rows[0]["best_test_accuracy"]) == found.slices[0].cells[0].best


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
    assert plan.identities == [m.identity for m in swept.members]


def test_a_member_is_a_run_of_its_own(swept: Sweep) -> None:
    run, place = swept.run(3)
    # its pack went on without it
    assert run.status.step == 300 > swept.table["steps"][3]
    alone = OneMember(run, place, "a member")
    assert (alone.name, alone.n_members, alone.experiments) == ("a member", 1, [swept.experiment(3)])
    known = run.status.members[place]
    assert alone.identities == [swept.table["identity"][3]]
    assert alone.status.step == known.steps
    assert alone.status.members == [known]
    assert alone.status.reason == "grokked"
    assert alone.metrics["member"].unique().to_list() == [0]
    assert alone.metrics["step"][-1] == known.steps
    assert alone.metrics["test_loss"].to_list() == list(run.curves(place)["test_loss"])
    # the weights with which it stopped, also where others of its pack went on
    assert alone.checkpoints[-1] == known.steps
    for step in (None, known.steps):
        assert storage.digest(alone.weights(step)) == known.weights_sha256
    with pytest.raises(InputError, match="keeps no checkpoint"):
        alone.weights(known.steps + 1)


def test_members_pages_and_the_sweep_link_to_each_other(swept: Sweep, tmp_path: Path) -> None:
    at = tmp_path / "the page.html"
    write_sweep(swept, at, members=[3])
    folder = tmp_path / "the page-members"
    (own,) = folder.iterdir()
    assert own.name == f"003-{swept.table['identity'][3][:8]}.html"
    page = outline(own)
    (back,) = [href for href in page.links if href.startswith("../")]
    assert back == "../the%20page.html#c0-0-1"
    assert "x + y · split.frac_train 0.8 · seed 1" in page.text
    assert f"generalised at step {swept.table['grokked_step'][3]:,}" in page.text
    linked = [m[12] for m in data_of(at)["members"].values() if m[12]]
    assert linked == [f"the%20page-members/{own.name}"]
    # a page written again without them links to those that exist
    write_sweep(swept, at)
    assert [m[12] for m in data_of(at)["members"].values() if m[12]] == linked
    assert len(list(folder.iterdir())) == 1


def test_cells_are_named_by_row_and_column(swept: Sweep) -> None:
    found = study(swept)
    for c in found.slices[0].cells:
        assert members_at(found, argument(found.axes, found.axes.values(c, {}))) == [m.number for m in c.members]
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
    found = study(swept, y=FRACTION, x=EXPRESSION)
    assert [c.verdict for c in found.slices[0].cells] == ["none", "none", "grokked", "grokked"]
    assert study(swept, x=EXPRESSION).axes.y == FRACTION
    assert study(swept, y=FRACTION).axes.x == EXPRESSION
    for chosen, words in (
        ({"y": "task.p"}, "--rows = 'task.p': unknown; settings of the sweep: task.expression, split"),
        ({"x": "p"}, "--columns = 'p': unknown"),
        ({"y": FRACTION, "x": FRACTION}, "needs to be another setting than --columns"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            study(swept, **chosen, options=("--columns", "--rows"))


# -- sweeps with results made up --------------------------------------------------------------------------------------


def test_other_keys_make_one_slice_for_each_value(home: Path) -> None:
    keys = {"optimiser.weight_decay": [0.0, 1.0], EXPRESSION: ["add", "2x_y"], FRACTION: [0.3, 0.5, 0.7]}
    sweep = written(home, "three", keys, lambda p, _: Outcome(grokked=500 if p["optimiser.weight_decay"] else None))
    found = study(sweep)
    assert [part.at for part in found.slices] == [{WD: 0.0}, {WD: 1.0}]
    assert [{c.verdict for c in part.cells} for part in found.slices] == [{"none"}, {"grokked"}]
    page = write_sweep(sweep, home)
    assert outline(page).text.count("Of 6 cells:") == 2
    assert (data_of(page)["free"], len(data_of(page)["slices"])) == ([2], 2)
    assert len(members_at(found, "add,0.3")) == 2


def test_what_is_open_failed_or_diverged_has_its_own_place(home: Path) -> None:
    told = {0.3: "pending", 0.4: "running", 0.5: "failed", 0.6: "diverged", 0.7: "interrupted", 0.8: "finished"}
    sweep = written(
        home, "mixed", {EXPRESSION: ["add", "x*y"], FRACTION: list(told)}, lambda p, _: Outcome(told[p[FRACTION]])
    )
    found = study(sweep)
    expected = ["pending", "undecided", "failed", "diverged", "undecided", "none"]
    assert [c.verdict for c in found.slices[0].cells] == expected * 2
    page = write_sweep(sweep, home)
    data = data_of(page)
    assert [data["verdicts"][c["v"]] for c in data["slices"][0]["cells"]] == expected * 2
    assert "there was not enough memory" in page.read_text()
    words = " ".join(outline(page).text.split())
    assert "The sweep is interrupted, so this may change." in words
    # nobody's own page, where there is not a run
    assert write_members(sweep, found, page, members_at(found, "add,0.3") + members_at(found, "add,0.5")) == []


def test_a_grokked_step_holds_while_training_goes_on(home: Path) -> None:
    sweep = written(home, "on", KEYS, lambda p, _: Outcome("running", grokked=100))
    assert {c.verdict for c in study(sweep).slices[0].cells} == {"grokked"}


def test_a_large_page_stays_light(home: Path) -> None:
    names = [name for name, o in OPERATIONS.items() if "z" not in o.expression][:35]
    fractions = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

    def told(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=None if point[FRACTION] < 0.5 else 200 + 30 * seed, best=point[FRACTION])

    sweep = written(home, "large", {EXPRESSION: names, FRACTION: fractions}, told, seeds=3)
    path = write_sweep(sweep)
    assert len(data_of(path)["slices"][0]["cells"]) == 245
    assert path.stat().st_size < 400_000


def test_a_sweep_of_which_nothing_is_known_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match=r"no member of new-.* has been evaluated yet"):
        write_sweep(written(home, "new", KEYS, lambda p, seed: Outcome("pending")))


def test_a_page_outside_the_home_names_the_folder(home: Path, tmp_path: Path) -> None:
    inside = written(home, "here", KEYS, lambda p, seed: Outcome())
    assert page_command(inside) == f"groklab report {inside.name}"
    assert page_command(inside, options={"--rows": FRACTION, "--columns": None, "--out": "a b.html"}) == (
        f"groklab report {inside.name} --rows split.frac_train --out 'a b.html'"
    )
    outside = written(tmp_path / "other", "there", KEYS, lambda p, seed: Outcome())
    assert page_command(outside, "phase-diagram", {"--at": ["a=1", "b=2"], "--gap": 50.0}) == (
        f"groklab phase-diagram {outside.path} --at a=1 --at b=2 --gap 50.0"
    )


def test_the_page_says_what_was_laid_over_the_preset(swept: Sweep) -> None:
    words = " ".join(outline(write_sweep(swept)).text.split())
    assert "of the experiment micro-fast with budget.steps=300 and evaluation.every=2." in words


def test_the_settings_of_an_experiment_without_a_preset_are_below(home: Path) -> None:
    plan = make_plan(gl.preset("micro-fast", {"name": "mine"}), KEYS)
    sweep = Sweep.create(home / "sweeps" / plan.name, plan, pack(plan.experiments))
    assert experiment_text(sweep) == "mine, whose settings are below"
    command, yaml = sweep_command(sweep)
    assert command.startswith("groklab sweep experiment.yaml --grid")
    assert "name: mine" in yaml


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_key_seed_is_the_seeds_of_a_cell(home: Path, place: int) -> None:
    def told(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=100 * (seed + 1) if seed < 2 or point[FRACTION] > 0.7 else None)

    by_seeds = study(written(home, "seeds", KEYS, told, seeds=3))
    keys: list[tuple[str, list[Any]]] = list(KEYS.items())
    keys.insert(place, ("seed", [0, 1, 2]))
    sweep = written(home, "key", dict(keys), told)
    by_key = study(sweep)
    assert [part.at for part in by_key.slices] == [{}]
    assert [c.verdict for c in by_key.slices[0].cells] == ["some", "grokked"] * 2
    for a, b in zip(by_key.slices[0].cells, by_seeds.slices[0].cells, strict=True):
        assert (a.row, a.column, a.median_step, [m.seed for m in a.members]) == (b.row, b.column, 200, [0, 1, 2])
        assert verdict_sentence(a) == verdict_sentence(b)
    assert len(members_at(by_key, "add,0.65")) == 3
    page = write_sweep(sweep, published={"add": {"0.65": True, "0.8": True}})
    words = " ".join(outline(page).text.split())
    assert "task.expression (2 values) × split.frac_train (2 values), 3 seeds each: 12 members" in words
    assert words.count("2 of 2 cells agree") == 2
    assert [len(part["cells"]) for part in data_of(page)["slices"]] == [4]
    # the command trains this sweep, whose seeds are a key
    assert "--grid seed=0,1,2" in sweep_command(sweep)[0]
    with pytest.raises(InputError, match=r"--x = 'seed': unknown"):
        study(sweep, x="seed")


def test_mixtures_are_written_by_their_formulas(home: Path) -> None:
    keys = {"task.expressions": [["add", "multiply"], ["add", "2*x + y"]], FRACTION: [0.5, 0.8]}
    plan = make_plan("furuta2024/mixture-add-multiply", keys, overrides={"task.p": 7, "budget.steps": 50})
    sweep = Sweep.create(home / "sweeps" / plan.name, plan, pack(plan.experiments))
    rows = headings("task.expressions", sweep.keys["task.expressions"])
    assert [(r.text, r.name) for r in rows] == [("x + y, xy", "add, multiply"), ("x + y, 2x + y", "add, 2x_y")]
    storage.write_table(
        sweep.path / "table.parquet",
        sweep.table.with_columns(pl.lit(50, pl.Int64).alias("steps"), pl.lit("finished").alias("status")),
    )
    found = study(Sweep(sweep.path), x=FRACTION)
    for cell_ in found.slices[0].cells:
        assert members_at(found, argument(found.axes, found.axes.values(cell_, {}))) == [
            m.number for m in cell_.members
        ]
    assert argument(found.axes, found.axes.values(found.slices[0].cells[1], {})) == "add,multiply,0.8"
    # in other spellings, and by column first
    assert members_at(found, "x + y, x*y, 0.8") == [1]
    assert members_at(study(Sweep(sweep.path), y=FRACTION), '0.8,["add", "multiply"]') == [1]
    with pytest.raises(InputError, match=r"values of task\.expressions"):
        members_at(found, "multiply,0.8")


def test_the_page_is_made_again_with_its_members(swept: Sweep, tmp_path: Path) -> None:
    def made_again(at: Path) -> list[str]:
        found = re.findall(r'class="command"><code>(groklab report .*?)</code>', at.read_text(encoding="utf-8"))
        words = shlex.split(unescape(found[0]))
        return [words[i + 1] for i, word in enumerate(words) if word == "--members"]

    assert made_again(write_sweep(swept, tmp_path / "none.html")) == []
    some = write_sweep(swept, tmp_path / "some.html", members=[3, 4])
    assert made_again(some) == ["add,0.8", "x*y,0.65"]
    whole = tmp_path / "whole.html"
    (tmp_path / "whole-members").mkdir()
    for number in range(swept.n_members):
        (tmp_path / "whole-members" / f"{number:03d}-{swept.table['identity'][number][:8]}.html").touch()
    assert made_again(write_sweep(swept, whole)) == ["all"]


def test_a_page_of_held_settings_says_so_and_names_members_as_the_report_does(home: Path) -> None:
    sweep = written(home, "held", {WD: [0.0, 1.0], LR: [1e-3, 1e-2]}, lambda p, seed: Outcome())
    page = write_sweep(sweep, at={LR: "0.01"}, colouring="phase")
    assert "Held: optimiser.learning_rate = 0.01." in outline(page).text
    data = data_of(page)
    assert data["y"] is None
    # `report` holds no setting, so another command makes this page
    assert f"groklab phase-diagram {sweep.name} --at {LR}=0.01</code>" in page.read_text()
    # ROW,COLUMN of the report, which holds nothing
    assert data["command"] == f"groklab report {sweep.name} --rows {LR} --columns {WD}"
    names = [c["name"] for c in data["slices"][0]["cells"]]
    assert [members_at(study(sweep), name) for name in names] == [[1], [3]]


# -- small things -----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=2, max_size=60), st.integers(2, 30))
def test_a_spark_line_stays_in_its_box_and_goes_from_the_first_evaluation_to_the_last(
    values: list[float], points: int
) -> None:
    steps = np.arange(len(values) + 1) * 7
    known = {"step": steps, "train_accuracy": [0.5, *values], "test_accuracy": [np.nan] * len(steps)}
    train, test = spark_lines([pl.DataFrame(known)], int(steps[-1]), points)
    # a curve that is not finite is not drawn
    assert test == ""
    numbers = [int(n) for n in re.findall(r"-?\d+", train)]
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
    assert spark_lines([frame], 50, 40) == (f"M{WIDTH - DASH} 0h{DASH}", f"M{WIDTH - DASH} 80h{DASH}")
    assert spark_lines([frame.head(1)], 50, 40) == ("", "")


def test_level_stretches_cost_nothing() -> None:
    frame = pl.DataFrame({"step": range(BUDGET), "train_accuracy": [1.0] * BUDGET, "test_accuracy": [0.5] * BUDGET})
    drawn = spark_lines([frame], BUDGET - 1, 40)
    first = round(float(across(np.array([1]), BUDGET - 1)[0]))
    assert drawn == tuple(f"M{first} {y}l{WIDTH - first} 0" for y in (0, 50))


def test_steps_that_a_phase_rests_on_are_kept() -> None:
    steps = np.unique(np.geomspace(1, 10_000, 3000).astype(int))
    frame = pl.DataFrame({"step": steps, "train_accuracy": steps / 10_000, "test_accuracy": steps * 0.0})
    step = int(steps[-200])
    kept = spark_lines([frame], 10_000, 8, [(step, None)])[0]
    places = np.cumsum(np.array([int(n) for n in re.findall(r"-?\d+", kept)]).reshape(-1, 2), axis=0)
    x, y = round(float(across(np.array([step]), 10_000)[0])), round(HEIGHT * (1 - step / 10_000))
    assert [x, y] in places.tolist()
