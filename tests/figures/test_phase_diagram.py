"""Cells of a phase diagram, and their figure."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.figures.phase_cells import MOST_SLICES, Cell, PhaseDiagram, label, labels, phase_diagrams
from groklab.figures.phase_diagram import COLOURS, described, phase_diagram
from groklab.grokking.learning_phases import LETTERS, PHASES
from invented_sweep import LR, WD, InventedSweep

KEYS: dict[str, list[Any]] = {LR: [1e-4, 1e-3], WD: [0, 0.5, 2]}


def made(told: dict[tuple[float, float], list[Any]], seeds: int = 3, **settings: Any) -> PhaseDiagram:
    """The diagram of a sweep whose points have these times, seed by seed, and others (100, 300)."""

    def times(point: dict[str, Any], seed: int) -> Any:
        return told.get((point[LR], point[WD]), [(100, 300)] * seeds)[seed]

    sweep = InventedSweep(Path("invented"), KEYS, times, seeds)
    (found,) = phase_diagrams(sweep.table, sweep.keys, **settings)
    return found


def at(diagram: PhaseDiagram, x: float, y: float) -> Cell:
    (found,) = [c for c in diagram.cells if diagram.values(c) == {LR: x, WD: y}]
    return found


def test_cells_have_the_majority_of_their_seeds() -> None:
    found = made({(1e-4, 2): [(100, 200), (100, 5000), (200, 6000)]})
    assert len(found.cells) == 6
    cell = at(found, 1e-4, 2)
    assert (cell.column, cell.row) == (0, 2)
    assert cell.majority == "grokking"
    assert cell.agreement == pytest.approx(2 / 3)
    assert cell.counts == {"comprehension": 1, "grokking": 2}
    assert cell.seeds == (0, 1, 2)
    assert [at(found, x, y).majority for x, y in ((1e-3, 0), (1e-3, 2))] == ["comprehension"] * 2


def test_ties_have_no_majority_and_name_their_phases() -> None:
    cell = at(made({(1e-4, 0): [(100, 200), (100, 5000)]}, seeds=2), 1e-4, 0)
    assert cell.majority is None
    assert cell.leading == ["comprehension", "grokking"]
    assert cell.agreement == 0.5
    assert described(cell)[0] == "no majority: comprehension 1 of 2, grokking 1 of 2"


def test_members_that_wait_are_pending_and_do_not_vote() -> None:
    found = made({(1e-4, 0): [None, (100, 300), None], (1e-3, 0): [None] * 3})
    cell, empty = at(found, 1e-4, 0), at(found, 1e-3, 0)
    assert (cell.majority, cell.agreement, cell.pending) == ("comprehension", 1.0, 2)
    assert (empty.majority, empty.leading, empty.agreement, empty.pending) == (None, [], None, 3)
    assert described(empty) == ["no member is trained yet"]
    assert "2 of 3 still to be trained" in described(cell)
    # a cell without a majority is compared with nothing
    assert len(found.table()) == 5


def test_times_are_medians_with_censored_seeds_beyond_all_others() -> None:
    cell = at(made({(1e-4, 0): [(100, 4000), (300, None), (200, 2000)]}), 1e-4, 0)
    assert cell.train_step.median == 200
    assert (cell.train_step.reached, cell.train_step.censored) == (3, 0)
    assert cell.test_step.median == 4000
    assert (cell.test_step.reached, cell.test_step.censored) == (2, 1)
    # gaps 3900, beyond, 1800
    assert (cell.gap.median, cell.gap.censored) == (3900, 1)
    later = at(made({(1e-4, 0): [(100, 4000), (300, None), (200, None)]}), 1e-4, 0)
    assert (later.test_step.median, later.gap.median, later.gap.reached) == (None, None, 1)


def test_a_gap_is_of_those_that_have_fitted() -> None:
    cell = at(made({(1e-4, 0): [(None, None), (100, 300), (None, 50)]}), 1e-4, 0)
    assert (cell.gap.n, cell.gap.median) == (1, 200)
    assert cell.counts == {"comprehension": 1, "confusion": 1, "undefined": 1}
    assert (cell.train_step.n, cell.train_step.median, cell.test_step.median) == (3, None, 300)


def test_gap_and_boundary_decide_anew_and_undefined_stays() -> None:
    told = {(1e-4, 0): [(100, 600)] * 3, (1e-3, 0): [(None, 600)] * 3}
    assert at(made(told), 1e-4, 0).majority == "comprehension"
    assert at(made(told, gap=500), 1e-4, 0).majority == "grokking"
    assert at(made(told, gap=500, boundary="comprehension"), 1e-4, 0).majority == "comprehension"
    assert at(made(told, gap=1), 1e-3, 0).majority == "undefined"


@given(
    st.lists(
        st.sampled_from([(100, 200), (100, 5000), (100, None), (None, None), (None, 9), None]), min_size=4, max_size=4
    )
)
def test_votes_add_up(told: list[Any]) -> None:
    cell = at(made({(1e-4, 0): told}, seeds=4), 1e-4, 0)
    assert sum(cell.counts.values()) + cell.pending == 4
    assert all(cell.counts[p] == max(cell.counts.values()) for p in cell.leading)
    assert (cell.majority is None) == (len(cell.leading) != 1)
    assert cell.train_step.reached == sum(t is not None and t[0] is not None for t in told)


def test_axes_are_the_first_two_settings_or_those_asked_for() -> None:
    assert (made({}).x_key, made({}).y_key) == (LR, WD)
    turned = made({(1e-4, 2): [(100, 5000)] * 3}, x=WD)
    assert (turned.x_key, turned.y_key) == (WD, LR)
    cell = at(turned, 1e-4, 2)
    assert (cell.column, cell.row, cell.majority) == (2, 0, "grokking")


def test_one_setting_makes_a_strip() -> None:
    sweep = InventedSweep(Path("strip"), {WD: [0, 1, 2]}, lambda point, seed: (100, 300))
    (found,) = phase_diagrams(sweep.table, sweep.keys)
    assert (found.x_key, found.y_key, found.y_values) == (WD, None, (None,))
    assert [(c.column, c.row) for c in found.cells] == [(0, 0), (1, 0), (2, 0)]
    assert found.table().columns == [WD, "phase"]
    assert len(phase_diagram(found).data[0].z) == 1


def test_further_settings_make_slices_or_are_held() -> None:
    keys = {
        **KEYS,
        "split.frac_train": [0.3, 0.5],
        "network.activation": ["relu", "tanh"],
        "task.pair": [[1, 2], "all"],
    }
    sweep = InventedSweep(
        Path("slices"), keys, lambda p, seed: (100, 200 if p["network.activation"] == "relu" else None)
    )
    table = sweep.table
    assert table["task.pair"].unique().sort().to_list() == ['"all"', "[1, 2]"]
    found = phase_diagrams(table, keys)
    assert len(found) == 8
    assert [d.at["split.frac_train"] for d in found] == [0.3] * 4 + [0.5] * 4
    assert all(len(d.cells) == 6 for d in found)
    assert {d.at["network.activation"]: d.cells[0].majority for d in found} == {
        "relu": "comprehension",
        "tanh": "memorisation",
    }
    members = list(itertools.chain(*(c.members for d in found for c in d.cells)))
    assert sorted(members) == list(range(len(table)))
    held = phase_diagrams(table, keys, at={"split.frac_train": "0.5", "network.activation": "tanh"})
    assert [d.at for d in held] == [
        {"split.frac_train": 0.5, "network.activation": "tanh", "task.pair": pair} for pair in keys["task.pair"]
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"x": "task.p"},
            "--x = 'task.p': unknown; settings of the sweep: optimiser.learning_rate, optimiser.weight_d",
        ),
        ({"y": "task.p"}, "--y = 'task.p'"),
        ({"x": LR, "y": LR}, "needs to be another setting than --x"),
        ({"at": {"task.p": 5}}, "--at = 'task.p'"),
        ({"at": {WD: "0.4"}}, "--at optimiser.weight_decay = '0.4': unknown; allowed: 0, 0.5, 2"),
        ({"x": LR, "at": {LR: 1e-4}}, "is an axis, so --at cannot hold it"),
        ({"at": {LR: 1e-4, WD: 0}}, "no axis is left"),
        ({"gap": -1}, "gap = -1"),
    ],
)
def test_refusals(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        made({}, **settings)
    assert words in str(refused.value)


def test_a_sweep_of_seeds_alone_and_one_of_too_many_slices_are_refused() -> None:
    nothing = InventedSweep(Path("seeds"), {}, lambda point, seed: (100, 300), seeds=2)
    with pytest.raises(InputError, match="varies nothing but seeds"):
        phase_diagrams(nothing.table, {})
    keys = {"a": [1], "b": [1], "c": list(range(MOST_SLICES + 1))}
    many = InventedSweep(Path("many"), keys, lambda point, seed: (100, 300))
    with pytest.raises(InputError, match=r"61 combinations of c besides a and b.*--at key=value"):
        phase_diagrams(many.table, keys)
    assert len(phase_diagrams(many.table, keys, at={"c": 7})) == 1


def test_labels_are_real_values_and_tell_them_apart() -> None:
    values = [1e-5, 3.1622776601683795e-05, 1e-4, 0.01, 0.5, 1, 2.0, 30, 1000.0, 123456, 0, True, "relu", [1, 2]]
    assert [label(v) for v in values] == (
        ["1e-5", "3.2e-5", "1e-4", "0.01", "0.5", "1", "2", "30", "1000", "1.2e5", "0", "true", "relu", "[1, 2]"]
    )
    assert labels([1.01e-4, 1.02e-4]) == ["1.01e-4", "1.02e-4"]
    assert labels([0.5001, 0.5002]) == ["0.5001", "0.5002"]


def test_the_figure_has_one_square_a_cell_with_its_letter_and_no_more() -> None:
    found = made(
        {(1e-4, 0): [(100, 5000)] * 3, (1e-3, 0): [None] * 3, (1e-3, 2): [(100, 200), (100, 5000), None]},
    )
    drawn = phase_diagram(found)
    heat = drawn.data[0]
    codes = {phase: i for i, phase in enumerate(PHASES)}
    c = codes["comprehension"]
    assert [list(row) for row in heat.z] == [[codes["grokking"], None], [c, c], [c, len(PHASES)]]
    assert heat.zsmooth is None
    assert {(a.x, a.y): a.text for a in drawn.layout.annotations} == {
        **{(0, 0): "G", (0, 1): "C", (1, 1): "C", (0, 2): "C", (1, 2): "C/G"}
    }
    assert list(drawn.layout.xaxis.ticktext) == ["1e-4", "1e-3"]
    assert list(drawn.layout.yaxis.ticktext) == ["0", "0.5", "2"]
    assert [t.name for t in drawn.data[1:]] == [f"{LETTERS[p]} {p}" for p in ("comprehension", "grokking")]


def test_colours_differ_in_lightness_for_those_who_see_no_hue() -> None:
    def lightness(colour: str) -> float:
        linear = [((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5)]
        return float(116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16)

    four = sorted(lightness(COLOURS[p]) for p in PHASES[:4])
    assert all(b - a > 10 for a, b in itertools.pairwise(four))
