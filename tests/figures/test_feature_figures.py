"""Figures of feature matrices: their traces hold the numbers given, and poor frames do no harm."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import groklab as gl
from groklab import figures
from groklab.analysis import _feature_history as analysis
from groklab.figures import _features as frames
from groklab.measures import best, compared, is_ambiguous, is_function_of
from groklab.tasks import ORIENTATIONS, log_order, planted_features

P = 7
RIGHT = {"x + y": "toeplitz", "x - y": "hankel", "x*y": "toeplitz_log", "x/y": "hankel_log"}


def matrices(orientation: str = "toeplitz", p: int = P) -> dict[int, np.ndarray]:
    """The identity, half-way and planted."""
    planted = planted_features(p, orientation, 0)  # type: ignore[arg-type]
    noise = np.random.default_rng(1).normal(size=planted.shape)
    return {0: np.eye(2 * p), 3: planted + 0.1 * (noise + noise.T), 10: planted}


def metrics(n: int = 11) -> pl.DataFrame:
    step = np.arange(n)
    loss = np.where(step < 4, 0.1, 0.1 / np.maximum(step, 1))
    return pl.DataFrame(
        {
            "step": step,
            "train_loss": np.zeros(n),
            "test_loss": loss,
            "train_accuracy": np.ones(n),
            "test_accuracy": np.where(step < 6, 0.0, 0.9),
        }
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_history_finds_the_planted_orientation(orientation: str) -> None:
    history = analysis.history_frame(matrices(orientation))
    assert best(history.row(-1, named=True)) == orientation
    assert history[orientation].to_list()[0] is None
    assert history[orientation][-1] == pytest.approx(0, abs=1e-12)
    assert history["ratio"][-1] == pytest.approx(-1)
    assert history["residual"][-1] == pytest.approx(0, abs=1e-12)
    assert history["off_block"].to_list()[0] is None
    assert history["off_block"][-1] == pytest.approx(1)
    assert not is_ambiguous(history.row(-1, named=True))
    assert best(analysis.history_frame({0: np.eye(2 * P)}).row(-1, named=True)) is None
    # that a and b are the same says nothing of what is done with them
    alike = analysis.history_frame({0: np.tile(np.eye(P), (2, 2))})
    assert is_ambiguous(alike.row(-1, named=True))


@pytest.mark.parametrize("expression", RIGHT)
def test_what_an_orientation_compares_is_what_the_task_asks(expression: str) -> None:
    task = gl.preset("micro", {"task.expression": expression, "task.p": P, "task.layout": "a b"}).task.build()
    assert [o for o in ORIENTATIONS if is_function_of(task, o)] == [RIGHT[expression]]
    assert compared(RIGHT[expression]).replace(" ", "") == expression.replace(" ", "").translate(
        str.maketrans({"x": "a", "y": "b", "*": "·", "-": "−"})
    )


def test_turning_points_are_the_first_of_their_kind() -> None:
    assert analysis.turning_points(metrics()) == analysis.TurningPoints(4, 6, 0.05)
    high = metrics().with_columns(test_accuracy=pl.lit(0.5))
    assert analysis.turning_points(high).accuracy_rises_step is None
    assert analysis.turning_points(metrics(0)).loss_moves_step is None


def test_a_heat_map_holds_the_matrix_in_both_orders() -> None:
    kept = matrices("toeplitz_log")
    drawn = figures.feature_matrices(frames.matrix_frame(kept), reordered=True)
    assert [f.name for f in drawn.frames] == ["0", "3", "10"]
    place = np.concatenate([[0], log_order(P), [P], P + log_order(P)])
    scale = drawn.layout.coloraxis
    assert scale.cmin == -scale.cmax
    largest = max(np.abs(m[~np.eye(2 * P, dtype=bool)]).max() for m in kept.values())
    unit = largest / scale.cmax
    for frame, matrix in zip(drawn.frames, kept.values(), strict=True):
        np.testing.assert_allclose(frame.data[0].z * unit, matrix, atol=unit)
        np.testing.assert_allclose(frame.data[1].z * unit, matrix[np.ix_(place, place)], atol=unit)
    assert drawn.data[0].z.dtype == np.int16
    assert [a.text for a in drawn.layout.annotations] == ["natural order", "in log order"]
    assert list(drawn.layout.xaxis.ticktext) == ["a: 0", "3", "b: 0", "3"]
    assert len(figures.feature_matrices(frames.matrix_frame(kept)).data) == 1
    with pytest.raises(gl.InputError, match="prime"):
        figures.feature_matrices(frames.matrix_frame({0: np.eye(8)}), reordered=True)


def test_matrices_of_zeros_are_drawn() -> None:
    kept = {0: np.zeros((2 * P, 2 * P))}
    for drawn in (
        figures.feature_matrices(frames.matrix_frame(kept)),
        figures.block_fourier(frames.block_frame(kept, "toeplitz")),
        figures.block_power(frames.power_frame(kept, "hankel")),
        figures.feature_eigenvalues(frames.eigenvalue_frame(kept)),
    ):
        json.loads(drawn.to_json())


def test_a_circulant_is_diagonal_in_fourier_components() -> None:
    for orientation, q in (("toeplitz", P), ("toeplitz_log", P - 1)):
        drawn = figures.block_fourier(frames.block_frame(matrices(orientation), orientation))
        z = np.asarray(drawn.data[0].z)
        assert z.shape == (q, q)
        assert np.abs(z[~np.eye(q, dtype=bool)]).max() <= 1
        assert np.diag(z)[1:].min() > 10
    power = frames.power_frame(matrices(), "toeplitz").filter(pl.col("step") == 10)
    bars = figures.block_power(frames.power_frame(matrices(), "toeplitz"))
    np.testing.assert_allclose(bars.data[0].y, power["power"], rtol=1e-6)
    lower = matrices()[10][P:, :P]
    assert power["power"].sum() == pytest.approx(np.sum(lower**2))


def test_eigenvalues_stand_in_order() -> None:
    drawn = figures.feature_eigenvalues(frames.eigenvalue_frame(matrices()))
    y = np.asarray(drawn.data[0].y)
    assert (np.diff(y) <= 0).all()
    np.testing.assert_allclose(y.sum(), np.trace(matrices()[10]), rtol=1e-5)
    assert np.asarray(drawn.frames[0].data[0].y).tolist() == [1] * (2 * P)


def test_hidden_progress_has_four_panels_with_marks_through_all() -> None:
    history = analysis.history_frame(matrices("hankel"))
    marked = {"test loss moves by 1%": 4, "accuracy": 6, "never": None}
    drawn = figures.hidden_progress(metrics(), history, "hankel", marked)
    names = [t.name for t in drawn.data]
    assert names == [
        "train",
        "test",
        "train",
        "test",
        "others",
        "others",
        "others",
        "Hankel",
        "full matrix",
        "off-diagonal block",
    ]
    assert [t.showlegend for t in drawn.data][4:8] == [True, False, False, None]
    assert len(drawn.layout.shapes) == 2 * 4
    assert {a.text for a in drawn.layout.annotations} == {"test loss moves by 1%: 4", "accuracy: 6"}
    np.testing.assert_allclose(drawn.data[3].y, metrics()["test_loss"], rtol=1e-6)
    assert np.isnan(np.asarray(drawn.data[7].y)[0])
    none = figures.hidden_progress(metrics(), analysis.history_frame({0: np.eye(2 * P)}), None, {}, logarithmic=True)
    json.loads(none.to_json())


def test_few_steps_have_linear_axes_from_step_0() -> None:
    frame = metrics().with_columns(member=pl.lit(0), trace=pl.lit(3.0), weight_norm=pl.lit(2.0), condition=pl.lit(1e4))
    drawn = figures.training_curves(frame, 0, 6, linear=True)
    assert drawn.layout.xaxis2.type is None
    assert drawn.data[0].x[0] == 0
    assert [a.text for a in drawn.layout.annotations] == ["generalised 6", "memorised 0"]
    assert [a.x for a in drawn.layout.annotations] == [6, 0]
    sizes = figures.machine_sizes(frame)
    assert [t.name for t in sizes.data] == ["trace of M", "norm of M", "condition number"]
    assert sizes.layout.yaxis2.type == "log"
