"""The effective theory against its own definitions, brute force, and the published code's numbers."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import groklab as gl
from groklab.analysis import TheoryBesideRun, beside_run
from groklab.cli import main
from groklab.errors import InputError
from groklab.figures import embedding_traces, theory_by_fraction
from groklab.measures import normalised, rqi
from groklab.tasks import Arithmetic
from groklab.theory import (
    Equations,
    NoPrediction,
    critical_fraction,
    critical_sizes,
    equations_of,
    flow,
    flow_rates,
    grokking_rate,
    theory,
)
from groklab.theory._effective_theory import at_fraction


def addition(p: int, modular: bool = False) -> Equations:
    return equations_of(Arithmetic(p=p, expression="x + y", modular=modular, pairs="unordered").build())


def training_set(equations: Equations, size: int, seed: int) -> np.ndarray:
    chosen = np.zeros(equations.n_pairs, bool)
    chosen[np.random.default_rng(seed).permutation(equations.n_pairs)[:size]] = True
    return chosen


def listed(equations: Equations, chosen: np.ndarray) -> np.ndarray:
    """Every equation of a training set as a row, one by one."""
    rows = [
        equations.incidence[u] - equations.incidence[v]
        for u, v in itertools.combinations(np.flatnonzero(chosen), 2)
        if equations.classes[u] == equations.classes[v]
    ]
    return np.array(rows).reshape(-1, equations.p)


@pytest.mark.parametrize(
    ("p", "count"), [(4, 3), (6, 13), (8, 34), (10, 70), (11, 95), (20, 615), (53, 12051), (97, 74872), (113, 118636)]
)
def test_parallelograms_are_counted_in_closed_form(p: int, count: int) -> None:
    assert addition(p).count() == count


@pytest.mark.parametrize(("p", "count"), [(10, 125), (11, 165), (53, 18603)])
def test_parallelograms_of_modular_addition(p: int, count: int) -> None:
    assert addition(p, modular=True).count() == count


@given(st.integers(3, 9), st.integers(0, 1000), st.booleans())
def test_the_matrix_of_the_equations_needs_no_list_of_them(p: int, seed: int, modular: bool) -> None:
    equations = addition(p, modular)
    size = np.random.default_rng(seed).integers(1, equations.n_pairs + 1)
    chosen = training_set(equations, int(size), seed)
    rows = listed(equations, chosen)
    np.testing.assert_allclose(equations.gram(chosen), rows.T @ rows, atol=1e-10)
    assert equations.count(chosen) == len(rows)
    assert equations.null_dimension(chosen) == p - np.linalg.matrix_rank(rows, tol=1e-6)
    assert equations.null_dimension(chosen) >= (1 if modular else min(p, 2))


@given(st.integers(0, 1000), st.sampled_from([12, 18, 22, 26, 34, 45]))
def test_what_a_training_set_implies_is_what_leaves_its_null_space(seed: int, size: int) -> None:
    equations = addition(10)
    chosen = training_set(equations, size, seed)
    np.testing.assert_array_equal(equations.reachable(chosen), equations.implied_by_rank(chosen))


def test_the_spectrum_with_all_data_is_the_published_one() -> None:
    expected = [0, 0, 30, 31.2716, 36.5472, 38.3765, 42.1380, 45.7284, 47.3148, 48.6235]
    np.testing.assert_allclose(addition(10).eigenvalues(), expected, atol=1e-4)
    assert [round(addition(p).eigenvalues()[2], 3) for p in (4, 6, 11, 20, 53)] == [6, 12, 36.529, 110, 729.489]
    assert [round(addition(p, modular=True).eigenvalues()[1], 6) for p in (10, 11, 20)] == [65, 77, 230]
    full = addition(10)
    assert grokking_rate(full.eigenvalues(), full.count()) == pytest.approx(60 / 9)
    assert grokking_rate(full.eigenvalues(), full.count(), "parallelograms") == pytest.approx(60 / 9 / 70)


def test_the_pairs_of_two_neighbouring_sums_suffice_and_none_can_be_spared() -> None:
    for p in (4, 6, 10, 13):
        equations = addition(p)
        chosen = np.isin(equations.classes, [p - 2, p - 1])
        assert equations.null_dimension(chosen) == 2
        for row in np.flatnonzero(chosen):
            fewer = chosen.copy()
            fewer[row] = False
            assert equations.null_dimension(fewer) > 2


def test_the_critical_fraction_is_where_half_of_all_training_sets_force_a_line() -> None:
    sizes = critical_sizes(addition(10), 600)
    for k, expected in ((18, 0.037), (20, 0.176), (22, 0.43), (25, 0.80), (30, 0.98)):
        # three standard errors of 600 draws
        assert np.mean(sizes <= k) == pytest.approx(expected, abs=3 * 0.5 / 600**0.5)
    fraction, error = critical_fraction(sizes, 55)
    assert fraction == pytest.approx(0.41, abs=0.015)
    assert 0.002 < error < 0.006
    # against resampling
    rng = np.random.default_rng(0)
    spread = np.std([critical_fraction(rng.choice(sizes, 600), 55)[0] for _ in range(200)])
    assert error == pytest.approx(spread, rel=0.5)
    assert np.median(critical_sizes(addition(20), 60)) / 210 == pytest.approx(0.23, abs=0.02)


def test_rates_by_fraction_are_the_published_medians() -> None:
    for k, rate, ideal in ((25, 0.144, 0.807), (30, 0.498, 0.901), (40, 1.888, 0.965), (50, 4.5, 0.992)):
        found = at_fraction(addition(10), k, 300)
        assert found.lambda_3 == pytest.approx(rate, rel=0.12)
        assert found.ideal_accuracy == pytest.approx(ideal, abs=0.012)
        assert found.steps == pytest.approx(1000 / found.lambda_3)
    never = at_fraction(addition(10), 15, 50)
    assert (never.lambda_3, never.steps) == (0, None)


def test_where_it_says_nothing_it_says_so() -> None:
    found = theory(addition(7, modular=True), draws=5)
    assert found.null_space_dimension == 1
    assert isinstance(found, NoPrediction)
    assert "say" in found.does_not_apply
    assert "critical_fraction" not in found.to_dict()
    with pytest.raises(InputError, match="commutative"):
        equations_of(Arithmetic(p=5, expression="x - y").build())
    with pytest.raises(InputError, match="two operands"):
        equations_of(Arithmetic(p=3, expression="x + y + z").build())


def test_everything_is_plain_json() -> None:
    found = theory(addition(6), draws=40).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["by_fraction"][-1]["p_linear"] == 1


def test_the_flow_in_closed_form_is_many_small_steps_down_its_loss() -> None:
    equations = addition(10)
    chosen = training_set(equations, 40, 1)
    gram, start = equations.gram(chosen), normalised(np.random.default_rng(1).random((10, 2)))
    times = np.array([0, 0.01, 0.1])
    e, fine = start.copy(), [start]
    for s in range(100_000):
        # minus the gradient of tr(E'GE) / (3 Z0)
        z0 = (e**2).sum()
        e = e - 1e-6 * 2 / (3 * z0) * (gram @ e - (e * (gram @ e)).sum() / z0 * e)
        fine += [e] if s + 1 in (10_000, 100_000) else []
    found = flow(start, gram, 3, times)
    np.testing.assert_allclose(found, fine, atol=1e-5)
    np.testing.assert_allclose((found**2).sum(axis=(1, 2)), 18)
    rates = flow_rates(start, gram, 3)
    np.testing.assert_allclose(rates, 2 * equations.eigenvalues(chosen) / (3 * 18), atol=1e-12)
    assert (rates[:2] == 0).all()
    assert rates[2] > 0


TOY = {
    "name": "toy",
    "task": {"p": 6, "modular": False, "pairs": "unordered", "layout": "a b"},
    "network": {"kind": "embedding_decoder", "d_mlp": 8},
    "objective": {"kind": "nearest_vector"},
    "optimiser": {"learning_rate": 1e-4, "groups": {"embed.*": {"learning_rate": 0.05}}},
    "split": {"frac_train": 0.9},
    "budget": {"steps": 40},
    "checkpoints": {"spacing": "linear", "every": 20},
}


def test_theory_and_run_side_by_side() -> None:
    run = gl.train(gl.read(TOY, {"network.d_embed": 2, "measures.names": ["parallelograms"], "measures.every": 10}))
    found = beside_run(run)
    assert isinstance(found, TheoryBesideRun)
    assert found.eta == 0.05
    assert (found.network.step, found.theory.step[-1]) == ([0, 20, 40], 40)
    # both begin at the run's own start, the theory's lines up to the axis they are seen along
    task = gl.read(TOY).task.build()
    start = normalised(run.weights(0)["embed.W_E"])
    assert found.theory.rqi[0] == found.network.rqi[0] == rqi(start, task)
    assert np.shape(found.network.traces) == (6, 3)
    assert np.linalg.norm([t[-1] for t in found.network.traces]) > 5**0.5 - 1e-6
    # the step predicted is the first of the flow's own
    equations = equations_of(task)
    chosen = np.isin(np.arange(21), gl.tasks.make_split(run.experiment.split, task, 0).train)
    assert found.predicted_step is not None
    steps = np.arange(found.predicted_step + 1)
    passed = [rqi(e, task) > 0.95 for e in flow(start, equations.gram(chosen), 1, found.eta * steps)]
    assert passed.index(True) == found.predicted_step
    assert found.n_h == pytest.approx(1 / (found.lambda_3 * 0.05))
    assert found.lambda_3 == pytest.approx(grokking_rate(equations.eigenvalues(chosen), 1) / 2)
    by_paper = beside_run(run, normalisation="parallelograms")
    assert isinstance(by_paper, TheoryBesideRun)
    assert by_paper.n_h is not None
    assert found.n_h is not None
    assert by_paper.n_h == pytest.approx(found.n_h * equations.count(chosen))
    drawn = embedding_traces(found).data
    assert [trace.name for trace in drawn] == 2 * [f"symbol {i}" for i in range(6)]
    assert [trace.text[-1].strip() for trace in drawn] == 2 * list("012345")
    # what was measured on line comes before what was kept
    assert found.observed_from == "measures"
    assert run.measured is not None
    assert run.measured["parallelograms.rqi"].to_list()[::2] == found.network.rqi


@pytest.fixture
def groklab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The program, run in this process: its exit code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, err if code else out

    return run


def is_page(path: Path, *expected: str) -> bool:
    """Whether a file is a page of ours, for narrow and for dark screens, with these words."""
    text = path.read_text("utf-8")
    return all(word in text for word in ('name="viewport"', "prefers-color-scheme: dark", *expected))


@pytest.mark.usefixtures("one_lane")
def test_side_by_side_on_the_command_line(tmp_path: Path, groklab: Callable[..., tuple[int, str]]) -> None:
    run = gl.train(gl.read(TOY), seeds=2)
    page = tmp_path / "traces.html"
    code, out = groklab("theory", "--run", run.name, "--member", "1", "--figure", str(page), "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["member"], found["observed_from"], found["figure"]) == (1, "checkpoints", str(page))
    assert is_page(page, f"<h1>{run.name}</h1>", "One line per symbol")
    out = groklab("theory", "--run", run.name, "--figure", str(page))[1]
    assert "1/(λ₃ η), η=0.05" in out
    assert f"figure: {page}" in out
    for wrong, message in (
        (["x + y"], "its own task"),
        (["--modular"], "its own task"),
        (["--member", "2"], "members"),
    ):
        code, err = groklab("theory", "--run", run.name, *wrong)
        assert code == 2
        assert message in err


def test_side_by_side_says_why_it_cannot(tmp_path: Path, groklab: Callable[..., tuple[int, str]]) -> None:
    modular = gl.train(gl.read(TOY, {"task.modular": True, "budget.steps": 2}))
    assert "circle" in beside_run(modular).to_dict()["does_not_apply"]
    page = tmp_path / "none.html"
    code, out = groklab("theory", "--run", modular.name, "--figure", str(page))
    assert (
        code,
        "circle" in out,
        "figure: none is drawn, as the theory does not apply" in " ".join(out.split()),
        page.exists(),
    ) == (0, True, True, False)
    unkept = gl.train(gl.read(TOY, {"checkpoints.spacing": "none", "budget.steps": 2}))
    code, err = groklab("theory", "--run", unkept.name)
    assert (code, "step 0" in err) == (2, True)


def test_a_training_set_that_forces_no_line_predicts_never() -> None:
    run = gl.train(gl.read(TOY, {"split.frac_train": 0.2, "budget.steps": 20}))
    found = beside_run(run)
    assert isinstance(found, TheoryBesideRun)
    assert found.null_dimension > 2
    assert (found.lambda_3, found.n_h, found.predicted_step) == (0, None, None)
    assert (found.predicted_censored, found.when("theory")) == (False, "never")


def test_what_a_run_did_not_reach_is_censored(groklab: Callable[..., tuple[int, str]]) -> None:
    run = gl.train(gl.read(TOY, {"optimiser.groups": {"embed.*": {"learning_rate": 1e-6}}, "budget.steps": 3}))
    found = beside_run(run)
    assert isinstance(found, TheoryBesideRun)
    assert (found.observed_step, found.censored, found.observed_until) == (None, True, 3)
    assert found.null_dimension == 2
    assert found.predicted_step is not None
    assert found.predicted_step > 3
    assert "RQI &gt; 0.95<br>not by step 3<br>(censored)" in str(embedding_traces(found).layout.annotations[1].text)
    out = groklab("theory", "--run", run.name)[1]
    assert "not by step 3 (censored)" in out
    assert "never" not in out
    # the flow itself, trained and ended early, too
    settings = {k: TOY[k] for k in ("name", "task", "split", "checkpoints")}
    flowed = beside_run(
        gl.train(gl.read({**settings, "learner": {"kind": "effective_theory"}, "budget": {"steps": 2}}))
    )
    assert isinstance(flowed, TheoryBesideRun)
    assert (flowed.censored, flowed.when("network")) == (True, "not by step 2 (censored)")
    assert flowed.predicted_step is not None
    assert flowed.predicted_step > 2


def test_the_page_of_a_task_draws_the_time_with_gaps(tmp_path: Path, groklab: Callable[..., tuple[int, str]]) -> None:
    page = tmp_path / "theory.html"
    code, out = groklab("theory", "--p", "6", "--draws", "40", "--figure", str(page), "--json")
    assert code == 0
    found = json.loads(out)
    assert found["figure"] == str(page)
    assert is_page(page, "<h1>x + y on 0..5</h1>", "21 pairs of 6 symbols", "gap is an infinite time")
    drawn = theory_by_fraction(theory(addition(6), draws=40))
    steps = drawn.data[-1]
    assert drawn.layout[steps.yaxis.replace("y", "yaxis")].type == "log"
    assert list(steps.y) == [row["steps"] for row in found["by_fraction"]]
    assert steps.y[0] is None
    assert steps.y[-1] == pytest.approx(1000 / found["by_fraction"][-1]["lambda_3"])
    code, out = groklab("theory", "--p", "5", "--modular", "--draws", "5", "--figure", str(page), "--json")
    assert (code, json.loads(out)["figure"]) == (0, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--member", "3"], "needs --run"),
        (["--figure", "nowhere/x.html"], "a folder that exists"),
        (["--figure", "x.png"], "ends in .html"),
        (["S3"], "names a group"),
        (["C2xC3"], "names a group"),
    ],
)
def test_refusals_of_one_sentence(arguments: list[str], message: str, groklab: Callable[..., tuple[int, str]]) -> None:
    code, err = groklab("theory", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_the_critical_fraction_against_p(tmp_path: Path, groklab: Callable[..., tuple[int, str]]) -> None:
    page = tmp_path / "p.html"
    code, out = groklab("theory", "--against-p", "6,10,20", "--draws", "60", "--figure", str(page), "--json")
    assert code == 0
    rows = json.loads(out.splitlines()[-1])["against_p"]
    assert [row["p"] for row in rows] == [6, 10, 20]
    for row, expected in zip(rows, (0.62, 0.42, 0.23), strict=True):
        assert row["critical_fraction"] == pytest.approx(expected, rel=0.1)
    assert is_page(page, "Critical fraction of x + y", "6, 10 and 20 symbols")
    for wrong in ("4,x", "1", ""):
        code, out = groklab("theory", "--against-p", wrong)
        assert code == 2
        assert "--against-p" in out
