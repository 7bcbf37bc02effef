"""Figures of sparsity and of the logits' parts: their traces hold the numbers given, and poor frames do no harm."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl

from groklab import figures
from groklab.measures import PART_NAMES, PARTS


def sparsity() -> pl.DataFrame:
    step = [300, 0, 100, 200]
    columns = [f"{a}_{m}" for m in ("W_E", "W_L") for a in ("ffs", "fcr", "sigma_ratio")]
    return pl.DataFrame({"step": step, **{c: [0.1 * i, 1.0, 0.9, 0.5] for i, c in enumerate(columns)}})


def test_each_number_has_a_panel_and_each_matrix_a_line() -> None:
    metrics = pl.DataFrame({"step": np.arange(5000), "train_accuracy": 1.0, "test_accuracy": np.linspace(0, 1, 5000)})
    drawn = figures.fourier_progress(sparsity(), metrics)
    assert [t.name for t in drawn.data] == ["train", "test", *["W<sub>E</sub>", "W<sub>L</sub>"] * 3]
    assert [t.yaxis for t in drawn.data] == ["y", "y", "y2", "y2", "y3", "y3", "y4", "y4"]
    assert drawn.layout.yaxis3.title.text == "cosine-sine ratio"
    assert len(drawn.data[0].x) <= 1201
    # by step, whatever the frame's order; ffs_W_L is the fourth column
    assert drawn.data[3].x.tolist() == [0, 100, 200, 300]
    np.testing.assert_allclose(drawn.data[3].y, [1.0, 0.9, 0.5, 0.3], rtol=1e-6)


def test_what_was_not_measured_is_left_out() -> None:
    drawn = figures.fourier_progress(sparsity().select("step", "ffs_W_E"))
    assert [t.name for t in drawn.data] == ["W<sub>E</sub>"]
    assert drawn.layout.yaxis.title.text == "frequency sparsity"
    for poor in (sparsity().clear(), sparsity().select("step"), sparsity().head(1)):
        json.loads(figures.fourier_progress(poor).to_json())


def test_each_combination_of_parts_has_a_row_in_words() -> None:
    assert set(PARTS) <= set(PART_NAMES)
    losses = 10.0 ** np.arange(-7, 1)
    frame = pl.DataFrame({"part": list(PARTS), "train_loss": losses, "test_loss": 2 * losses})
    drawn = figures.logit_parts(frame, math.log(97))
    assert [t.name for t in drawn.data] == ["uniform guessing", "train", "test"]
    np.testing.assert_allclose(drawn.data[1].x, losses)
    np.testing.assert_allclose(drawn.data[2].x, 2 * losses)
    assert [a.text for a in drawn.layout.annotations] == [PART_NAMES[part] for part in PARTS]
    low, high = drawn.layout.xaxis.range
    assert low < -7
    assert high > math.log10(4.6)
    poor = frame.with_columns(test_loss=pl.lit(math.nan), train_loss=pl.lit(0.0))
    drawn = figures.logit_parts(poor, 0.0)
    assert [t.name for t in drawn.data] == ["train", "test"]
    assert not np.isfinite(drawn.data[0].x).any()
    json.loads(drawn.to_json())
    json.loads(figures.logit_parts(frame.clear(), 1.0).to_json())
