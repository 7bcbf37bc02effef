"""Cells of a sweep: axes and slices, and what the seeds of a cell say together."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.sweeps import (
    VERDICTS,
    Axes,
    Cell,
    Member,
    Study,
    choose_axes,
    headings,
    phase_sentence,
    place_of,
    study,
    verdict_sentence,
)
from groklab.sweeps._cells import MOST_SLICES, OUTCOMES, formula
from groklab.text import label, labels
from invented_sweep import EXPRESSION, FRACTION, LR, WD, Outcome, written

KEYS: dict[str, list[Any]] = {LR: [1e-4, 1e-3], WD: [0, 0.5, 2]}


def member(outcome: str, grokked: int | None = None, best: float | None = None) -> Member:
    step = grokked if outcome == "grokked" else None
    return Member(0, 0, outcome, steps=10, grokked_step=step, test_accuracy=best, best_test_accuracy=best)


def timed(times: tuple[int | None, int | None] | None, seed: int = 0) -> Member:
    """A member of a phase that its two times decide at the default gap, or one that waits."""
    if times is None:
        return Member(0, seed)
    train, test = times
    late = None if train is None or test is None else test - train >= 1000
    phase = {True: "grokking", False: "comprehension"}.get(late)  # type: ignore[arg-type]
    phase = phase or ("memorisation" if train is not None else "confusion" if test is None else "undefined")
    return Member(0, seed, "censored", train_step=train, test_step=test, phase=phase, phase_final=True)


def cell(*members: Member) -> Cell:
    return Cell(0, 0, members)


def cell_of(*times: Any) -> Cell:
    return cell(*(timed(t, seed) for seed, t in enumerate(times)))


# -- phases -----------------------------------------------------------------------------------------------------------


def test_a_cell_has_the_phase_of_most_of_its_seeds() -> None:
    found = cell_of((100, 200), (100, 5000), (200, 6000))
    assert found.majority == "grokking"
    assert found.agreement == pytest.approx(2 / 3)
    assert found.counts == {"comprehension": 1, "grokking": 2}


def test_ties_have_no_majority_and_name_their_phases() -> None:
    found = cell_of((100, 200), (100, 5000))
    assert found.majority is None
    assert found.leading == ["comprehension", "grokking"]
    assert found.agreement == 0.5
    expected = "no majority: comprehension in 1 of 2 seeds and grokking in 1 of 2 seeds; training 100; test 200; gap "
    assert phase_sentence(found) == f"{expected}100"


def test_members_that_wait_are_pending_and_do_not_vote() -> None:
    found, empty = cell_of(None, (100, 300), None), cell_of(None, None)
    assert (found.majority, found.agreement, found.pending) == ("comprehension", 1.0, 2)
    assert (empty.majority, empty.leading, empty.agreement, empty.pending) == (None, [], None, 2)
    assert phase_sentence(empty) == "no run of this cell is trained yet"
    assert phase_sentence(found).endswith("2 of 3 runs not trained yet")


def test_times_are_medians_with_censored_seeds_beyond_all_others() -> None:
    found = cell_of((100, 4000), (300, None), (200, 2000))
    assert found.train_step.median == 200
    assert (found.train_step.reached, found.train_step.censored) == (3, 0)
    assert found.test_step.median == 4000
    assert (found.test_step.reached, found.test_step.censored) == (2, 1)
    # gaps 3900, beyond, 1800
    assert (found.gap.median, found.gap.censored) == (3900, 1)
    later = cell_of((100, 4000), (300, None), (200, None))
    assert (later.test_step.median, later.gap.median, later.gap.reached) == (None, None, 1)


def test_a_gap_is_of_those_that_have_fitted() -> None:
    found = cell_of((None, None), (100, 300), (None, 50))
    assert (found.gap.n, found.gap.median) == (1, 200)
    assert found.counts == {"comprehension": 1, "confusion": 1, "undefined": 1}
    assert (found.train_step.n, found.train_step.median, found.test_step.median) == (3, None, 300)


@given(
    st.lists(
        st.sampled_from([(100, 200), (100, 5000), (100, None), (None, None), (None, 9), None]), min_size=4, max_size=4
    )
)
def test_votes_add_up(times: list[Any]) -> None:
    found = cell_of(*times)
    assert sum(found.counts.values()) + found.pending == 4
    assert all(found.counts[p] == max(found.counts.values()) for p in found.leading)
    assert (found.majority is None) == (len(found.leading) != 1)
    assert found.train_step.reached == sum(t is not None and t[0] is not None for t in times)


# -- verdicts ---------------------------------------------------------------------------------------------------------


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
    assert verdict_sentence(found)


def test_the_median_counts_those_that_did_not_grok_last() -> None:
    both = [member("grokked", 100), member("grokked", 300)]
    assert cell(*both).median_step == 100
    assert cell(*both, member("censored")).median_step == 300
    assert cell(member("grokked", 100), member("censored"), member("diverged")).median_step is None
    assert cell(member("pending")).median_step is None
    assert cell(*both, member("failed")).median_step == 100
    # what is open may still come before
    assert cell(*both, member("undecided")).median_step is None


def test_the_best_accuracy_is_the_mean_over_seeds_that_did_not_grok() -> None:
    found = cell(member("censored", best=0.2), member("censored", best=0.4), member("grokked", 9, best=1.0))
    assert found.best == pytest.approx(0.3)
    assert found.test_accuracy == pytest.approx(1.6 / 3)
    assert cell(member("pending")).best is None


def test_every_verdict_is_told_apart_in_words() -> None:
    sentences = {
        verdict_sentence(cell(*seeds))
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
    assert sentences == {
        "generalised in each of 2 seeds, median step 10",
        "generalised in 1 of 2 seeds, median step 10, 1 diverged",
        "did not generalise within the budget, best test accuracy 3.4%",
        "undecided so far, best test accuracy 50%, 1 undecided, 1 pending",
        "diverged",
        "failed",
        "pending",
    }


# -- axes and slices --------------------------------------------------------------------------------------------------


def made(home: Path, keys: dict[str, list[Any]] = KEYS, **settings: Any) -> Study:
    return study(written(home, "cells", keys, lambda point, seed: Outcome(times=(100, 300))), **settings)


def at(found: Study, x: float, y: float) -> Cell:
    (cell,) = [c for c in found.slices[0].cells if found.axes.values(c, {}) == {LR: x, WD: y}]
    return cell


def test_axes_are_the_first_two_settings_or_those_asked_for(home: Path) -> None:
    found = made(home)
    assert (found.axes.x, found.axes.y, found.axes.upwards) == (LR, WD, True)
    assert (at(found, 1e-4, 2).column, at(found, 1e-4, 2).row) == (0, 2)
    turned = made(home, x=WD)
    assert (turned.axes.x, turned.axes.y) == (WD, LR)
    assert (at(turned, 1e-4, 2).column, at(turned, 1e-4, 2).row) == (2, 0)


@pytest.mark.parametrize(
    ("keys", "chosen", "expected"),
    [
        ([EXPRESSION, FRACTION], {}, (FRACTION, EXPRESSION)),
        ([FRACTION, EXPRESSION], {}, (FRACTION, EXPRESSION)),
        ([WD, "task.expressions", FRACTION], {}, (FRACTION, "task.expressions")),
        ([WD, EXPRESSION], {}, (WD, EXPRESSION)),
        ([WD, EXPRESSION, FRACTION], {"y": WD}, (FRACTION, WD)),
        ([EXPRESSION, FRACTION], {"x": EXPRESSION}, (EXPRESSION, FRACTION)),
        ([EXPRESSION, FRACTION], {"y": FRACTION}, (EXPRESSION, FRACTION)),
        ([WD, FRACTION], {}, (WD, FRACTION)),
        (["seed", WD, LR], {}, (WD, LR)),
        ([EXPRESSION, "seed"], {}, (EXPRESSION, None)),
        ([WD, LR], {"at": [WD]}, (LR, None)),
    ],
)
def test_operations_are_rows_and_fractions_their_columns(
    keys: list[str], chosen: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    axes = choose_axes({key: [1, 2] for key in keys}, **chosen)
    assert (axes.x, axes.y) == expected


def test_rows_run_upwards_where_they_are_numbers() -> None:
    assert not Axes(FRACTION, (0.3,), EXPRESSION, ("add", "x*y")).upwards
    assert Axes(FRACTION, (0.3,), WD, (0, 0.5)).upwards


def test_one_setting_makes_a_strip(home: Path) -> None:
    found = made(home, {WD: [0, 1, 2]})
    assert (found.axes.x, found.axes.y, found.axes.y_values) == (WD, None, (None,))
    assert [(c.column, c.row) for c in found.slices[0].cells] == [(0, 0), (1, 0), (2, 0)]
    assert found.frame().columns[:4] == [WD, "phase", "phases", "summary"]


def test_further_settings_make_slices_or_are_held(home: Path) -> None:
    keys = {**KEYS, FRACTION: [0.3, 0.5], "network.activation": ["relu", "gelu"], "optimiser.nesterov": [False, True]}
    sweep = written(
        home,
        "slices",
        keys,
        lambda p, seed: Outcome(times=(100, 200 if p["network.activation"] == "relu" else None)),
    )
    found = study(sweep)
    assert len(found.slices) == 8
    assert [part.at[FRACTION] for part in found.slices] == [0.3] * 4 + [0.5] * 4
    assert all(len(part.cells) == 6 for part in found.slices)
    assert {part.at["network.activation"]: part.cells[0].majority for part in found.slices} == {
        "relu": "comprehension",
        "gelu": "memorisation",
    }
    members = itertools.chain(*(c.members for part in found.slices for c in part.cells))
    assert sorted(m.number for m in members) == list(range(sweep.n_members))
    held = study(sweep, at={FRACTION: "0.50", "network.activation": "gelu"})
    assert [part.at for part in held.slices] == [
        {FRACTION: 0.5, "network.activation": "gelu", "optimiser.nesterov": on} for on in (False, True)
    ]
    assert held.slice_name(1) == f"{FRACTION} = 0.5, network.activation = gelu, optimiser.nesterov = true"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"x": "task.p"},
            "--x = 'task.p': unknown; settings of the sweep: optimiser.learning_rate, optimiser.weight_d",
        ),
        ({"y": "task.p"}, "--y = 'task.p'"),
        ({"x": LR, "y": LR}, "needs to be another setting than --x"),
        ({"x": LR, "y": LR, "options": ("--columns", "--rows")}, "needs to be another setting than --columns"),
        ({"at": {"task.p": 5}}, "--at = 'task.p'"),
        ({"at": {WD: "0.4"}}, "--at optimiser.weight_decay = '0.4': unknown; allowed: 0, 0.5, 2"),
        ({"x": LR, "at": {LR: 1e-4}}, "is an axis, so --at cannot hold it"),
        ({"at": {LR: 1e-4, WD: 0}}, "no axis is left"),
        ({"gap": -1}, "gap = -1"),
    ],
)
def test_refusals(home: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        made(home, **settings)
    assert words in str(refused.value)


def test_a_sweep_of_seeds_alone_and_one_of_too_many_slices_are_refused(home: Path) -> None:
    for keys in ({}, {"seed": [0, 1]}):
        with pytest.raises(InputError, match="varies nothing but seeds"):
            made(home, keys)
    many: dict[str, list[Any]] = {LR: [1e-3], WD: [1.0], "split.seed": list(range(MOST_SLICES + 1))}
    with pytest.raises(InputError, match=r"61 combinations of split\.seed besides .*--at key=value"):
        made(home, many)
    assert len(made(home, many, at={"split.seed": 7}).slices) == 1


# -- values in words --------------------------------------------------------------------------------------------------


def test_labels_are_real_values_and_tell_them_apart() -> None:
    values = [1e-5, 3.1622776601683795e-05, 1e-4, 0.01, 0.5, 1, 2.0, 30, 1000.0, 123456, 0, True, "relu", [1, 2]]
    assert [label(v) for v in values] == (
        ["1e-5", "3.2e-5", "1e-4", "0.01", "0.5", "1", "2", "30", "1000", "1.2e5", "0", "true", "relu", "[1, 2]"]
    )
    assert labels([1.01e-4, 1.02e-4]) == ["1.01e-4", "1.02e-4"]
    assert labels([0.5001, 0.5002]) == ["0.5001", "0.5002"]


def test_formulas_are_written_as_by_hand() -> None:
    assert formula("x^2 + x*y + y^2") == "x² + xy + y²"
    assert formula("2*x - 3*y") == "2x − 3y"
    assert formula("(x + y)^4") == "(x + y)⁴"
    assert formula("x/y") == "x/y"
    (named, free) = headings(EXPRESSION, ["x3_xy2_y", "x^8 + y"])
    assert (named.text, named.name) == ("x³ + xy² + y", "x3_xy2_y")
    assert (free.text, free.name, free.group) == ("x⁸ + y", "", "")
    assert [h.text for h in headings(FRACTION, [0.3, 0.5])] == ["0.3", "0.5"]


def test_values_are_known_in_any_spelling() -> None:
    assert place_of("3.2e-5", [1e-5, 3.1622776601683795e-05]) == 1
    assert place_of(0.50, [0.3, 0.5]) == place_of(".5", [0.3, 0.5]) == 1
    assert place_of("x*y", ["add", "multiply"]) == 1
    assert place_of("multiply", ["add", "x*y"]) == 1
    assert place_of("x + y, x*y", [["add", "multiply"]]) == 0
    assert place_of("0.4", [0.3, 0.5]) is place_of("relu", ["gelu"]) is None
