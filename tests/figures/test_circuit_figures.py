"""Figures of how a model computes: their traces hold the numbers given, and poor frames do no harm."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from groklab import figures
from groklab.figures import _theme as theme
from groklab.measures import component_names

SPANS = [("memorisation", 0, 300), ("circuit formation", 300, 400), ("cleanup", 400, 900), ("stable", 900, 2000)]


def metrics(n: int = 3000) -> pl.DataFrame:
    step = np.linspace(0, 2000, n).astype(int)
    return pl.DataFrame({"step": step, "train_loss": np.exp(-step / 50.0), "test_loss": np.exp(-step / 500.0)}).unique(
        "step", maintain_order=True
    )


def progress(**more: float) -> pl.DataFrame:
    step = np.arange(0, 2001, 100)
    columns = {name: np.linspace(1, 0.1, len(step)) for name in ("restricted_loss", "excluded_loss", "gini_W_E")}
    return pl.DataFrame({"step": step, **columns, "sum_of_squares": 5.0 * step}).with_columns(
        **{k: pl.lit(v) for k, v in more.items()}
    )


def test_phases_are_shaded_and_named_over_four_panels() -> None:
    drawn = figures.training_stages(metrics(), progress(), SPANS, loss="nats")
    names = ["train", "test", "restricted loss", "excluded loss", "Gini of W_E", "sum of squared weights"]
    assert [t.name for t in drawn.data] == names
    assert [a.text for a in drawn.layout.annotations] == [name for name, *_ in SPANS]
    shaded = [s for s in drawn.layout.shapes if s.type == "rect"]
    assert {(s.x0, s.x1) for s in shaded} == {(0, 300), (300, 400), (400, 900)}
    assert len(shaded) == 12
    assert drawn.layout.yaxis.title.text == "nats"
    assert max(len(t.x) for t in drawn.data) <= 1200
    np.testing.assert_allclose(drawn.data[2].y, progress()["restricted_loss"], rtol=1e-6)
    # names that would meet stand in different rows
    assert len({a.yshift for a in drawn.layout.annotations}) >= 2


def test_a_run_of_one_step_and_losses_without_a_logarithm_have_phases() -> None:
    poor = metrics().head(1)
    drawn = figures.training_stages(poor, progress(restricted_loss=0.0, excluded_loss=math.nan).head(1), [])
    assert len(drawn.layout.shapes) == 0
    assert not np.isfinite(drawn.data[2].y).any()
    json.loads(drawn.to_json())


def test_only_key_frequencies_have_colours_and_names() -> None:
    frame = pl.DataFrame(
        {"step": np.repeat([0, 100], 5), "frequency": [*range(1, 6)] * 2, "alpha": np.arange(10.0)},
        schema_overrides={"frequency": pl.Int32},
    )
    drawn = figures.coefficients(frame, [2, 4])
    assert [t.name for t in drawn.data] == ["others", "k = 2", "k = 4"]
    assert drawn.data[1].y.tolist() == [1, 6]
    assert drawn.data[1].line.color == theme.SERIES[0]
    assert np.isnan(drawn.data[0].y).sum() == 3
    assert [t.name for t in figures.coefficients(frame, []).data] == ["every frequency"]
    assert [t.name for t in figures.coefficients(frame, [1, 2, 3, 4, 5]).data] == [f"k = {k}" for k in range(1, 6)]


@pytest.mark.parametrize("p", [7, 8])
def test_the_spectrum_of_the_readout_shows_cosines_beside_sines(p: int) -> None:
    names = [n.split() for n in component_names(p)[1:]]
    parts = [
        pl.DataFrame({"frequency": [int(k) for _, k in names], "wave": [w for w, _ in names]}).with_columns(
            step=pl.lit(s), norm=pl.int_range(pl.len()) + float(s)
        )
        for s in (0, 10)
    ]
    drawn = figures.neuron_logit_spectrum(pl.concat(parts), [2])
    assert [len(t.x) for t in drawn.data[:2]] == [p // 2, (p - 1) // 2]
    # the key frequency has its colour in both, and patterns tell them apart
    assert [t.marker.color[:2] for t in drawn.data[:2]] == [(theme.SOFT, theme.TEST)] * 2
    assert [t.marker.pattern.shape for t in drawn.data[:2]] == [None, "/"]
    named = ["cos(w<sub>k</sub> c)", "sin(w<sub>k</sub> c)", "k = 2", "others"]
    assert [t.name for t in drawn.data if t.showlegend is not False] == named
    assert drawn.data[0].y.tolist() == [10 + 2 * i for i in range(p // 2)]
    assert [f.name for f in drawn.frames] == ["0", "10"]
    assert drawn.frames[0].data[1].y.tolist() == [1 + 2 * i for i in range((p - 1) // 2)]


def test_neurons_are_split_at_85_percent() -> None:
    frame = pl.DataFrame({"frequency": [3, 3, 3, 5, 0], "fve": [0.9, 0.85, 0.5, 0.2, 0.0]})
    histogram, well, rest = figures.neuron_clusters(frame, [3]).data[:3]
    assert sum(histogram.y) == 4
    assert histogram.y[17] == 1
    assert (list(well.x), list(well.y), list(rest.y)) == (["3", "5"], [2, 0], [1, 1])
    dead = figures.neuron_clusters(frame.tail(1), [])
    assert sum(dead.data[0].y) == 0
    json.loads(dead.to_json())


@pytest.mark.parametrize("panels", [1, 2, 3, 5, 9])
def test_heat_maps_stand_side_by_side_with_a_down_and_b_across(panels: int) -> None:
    a, b = (x.ravel() for x in np.indices((4, 4)))
    frame = pl.concat(
        [pl.DataFrame({"panel": [f"head {i}"] * 16, "a": a, "b": b, "value": a + 10.0 * b}) for i in range(panels)]
    ).sample(fraction=1, shuffle=True, seed=0)
    drawn = figures.input_maps(frame.sort("panel"), shared=True, percent=True)
    assert len(drawn.data) == min(panels, 6)
    assert drawn.data[0].z[3][2] == 23
    assert drawn.data[0].z.dtype == np.float32
    assert drawn.layout.coloraxis.cmax == 1
    assert figures.input_maps(frame).layout.coloraxis.cmax is None
    for i in range(min(panels, 6)):
        axis = drawn.layout["xaxis" + (str(i + 1) if i else "")]
        assert -1e-9 <= axis.domain[0] < axis.domain[1] <= 1 + 1e-9


def test_components_that_matter_are_shown_by_name() -> None:
    names = component_names(41)
    norm = np.full((41, 41), 0.01)
    norm[0, 0], norm[3, 4], norm[4, 3] = 100, 5, 4
    frame = pl.DataFrame({"of_a": np.repeat(names, 41).tolist(), "of_b": names * 41, "norm": norm.ravel()})
    (cells,) = figures.components_2d(frame).data
    assert list(cells.x) == list(cells.y) == ["cos 2", "sin 2"]
    assert cells.z.tolist() == [[pytest.approx(0.01), 5], [4, pytest.approx(0.01)]]
    # a large mean hides nothing
    assert cells.zmax == 5
    (even,) = figures.components_2d(frame.with_columns(norm=pl.lit(1.0))).data
    assert len(even.x) == 41
    (nothing,) = figures.components_2d(frame.with_columns(norm=pl.lit(0.0))).data
    assert nothing.zmax == 1


def test_each_head_has_bars_and_a_panel() -> None:
    pattern = pl.DataFrame({"head": [0, 0, 1, 1], "position": ["a", "<b>", "a", "<b>"], "weight": [0.4, 0.6, 0.1, 0.9]})
    score = pl.DataFrame({"head": [1, 1, 0, 0], "residue": [0, 1, 0, 1], "score": [1.0, 2, 3, 4], "label": ["y"] * 4})
    drawn = figures.attention_heads(pattern, score)
    bars, lines = drawn.data[:2], drawn.data[2:]
    assert [t.name for t in bars] == ["to a", "to &lt;b&gt;"]
    assert bars[0].y.tolist() == [np.float32(0.4), np.float32(0.1)]
    assert [t.y.tolist() for t in lines] == [[3, 4], [1, 2]]


def test_singular_values_are_parted_after_the_rank() -> None:
    singular = pl.DataFrame({"place": range(1, 6), "value": [9.0, 8, 7, 0.1, 1e-14]})
    written = pl.DataFrame({"frequency": [2, 2], "wave": ["cos", "sin"], "fve": [0.9, math.nan]})
    drawn = figures.directions(singular, written, 3)
    assert drawn.layout.annotations[0].text == "after 2|K| = 3"
    assert [c == theme.TEST for c in drawn.data[0].marker.color] == [True] * 3 + [False] * 2
    assert np.isnan(drawn.data[0].y[4])
    assert drawn.data[1].y.tolist() == [np.float32(0.9)]
    assert len(figures.directions(singular, written, 5).layout.shapes) == 0
    json.loads(figures.directions(singular.with_columns(value=pl.lit(0.0)), written.clear(), 0).to_json())


def test_interventions_are_bars_beside_the_models_own_loss() -> None:
    frame = pl.DataFrame({"label": ["nothing", "a <part>", "all"], "loss": [1e-6, 0.3, 9.0]})
    drawn = figures.ablation_losses(frame, 1e-6, 4.7)
    # bars start at the model's own loss and end at that of the intervention
    assert drawn.data[0].base + drawn.data[0].x == pytest.approx([1e-6, 0.3, 9.0])
    assert drawn.data[0].base == 1e-6
    assert "bars start at the complete model" in drawn.layout.xaxis.title.text
    assert drawn.data[1].x.tolist() == [1e-6, 0.3, 9.0]
    assert drawn.layout.annotations[1].text == "a &lt;part&gt;"
    levels = [("complete model", {1e-6}), ("uniform guessing", {4.7})]
    assert [(t.name, set(t.x)) for t in drawn.data[2:4]] == levels
    assert [t.name for t in drawn.data[4:]] == ["no worse", "worse", "no better than guessing"]
    assert len(set(drawn.data[0].marker.color)) == 3
    poor = figures.ablation_losses(frame.with_columns(loss=pl.lit(0.0)), 0.0, math.nan)
    assert [t.name for t in poor.data if t.name] == ["no worse"]
    json.loads(poor.to_json())
    json.loads(figures.ablation_losses(frame.clear(), 0.1, 1.0).to_json())


def test_key_frequencies_stand_out_among_the_losses_without_each() -> None:
    frame = pl.DataFrame({"frequency": [1, 2, 3], "loss": [1e-3, 2.0, 1e-3]})
    drawn = figures.frequency_losses(frame, [2], 1e-3, 3.0)
    assert drawn.data[0].marker.color == (theme.SOFT, theme.SERIES[0], theme.SOFT)
    assert drawn.data[0].base + drawn.data[0].y == pytest.approx([1e-3, 2, 1e-3])
    assert [t.name for t in drawn.data[1:]] == ["complete model", "uniform guessing", "k = 2", "others"]
    assert [a.text for a in drawn.layout.annotations] == ["uniform guessing", "complete model"]
    json.loads(figures.frequency_losses(frame.clear(), [], math.nan, 3.0).to_json())
