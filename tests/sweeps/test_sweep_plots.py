"""The figures of a sweep in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from groklab.errors import InputError
from groklab.figures import Figure
from groklab.sweeps import FIGURES, Sweep
from invented_sweep import EXPRESSION, FRACTION, Outcome, written


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=400 + seed if point[FRACTION] == 0.5 else None, best=0.034)

    keys = {EXPRESSION: ["add", "x*y"], FRACTION: [0.3, 0.5], "optimiser.weight_decay": [0.0, 1.0]}
    return written(tmp_path, "mapped", keys, outcome, seeds=2)


def test_a_sweep_lists_and_draws_its_maps(sweep: Sweep) -> None:
    assert sweep.plot().names == list(FIGURES)
    assert "phases    Learning phases (Liu et al. 2022). Which of their four phases" in repr(sweep.plot())
    assert all(figure.about.endswith(".") for figure in sweep.plot())
    assert dir(sweep.plot) == sorted(FIGURES)
    assert repr(sweep.plot) == f"Figures of {sweep.name}: call it for a list, or one of phases, grokked, accuracy"
    assert all(isinstance(sweep.plot[name](), Figure) for name in FIGURES)
    assert sweep.plot.accuracy.sentence().startswith("Of ")


def test_a_map_has_its_axes_its_slice_and_its_numbers(sweep: Sweep) -> None:
    at = {EXPRESSION: "x*y"}
    settings: dict[str, Any] = {"x": "optimiser.weight_decay", "y": FRACTION, "at": at}
    cells = sweep.plot.grokked.data(**settings)
    assert len(cells) == 4
    assert cells.filter(pl.col(FRACTION) == 0.5)["grokked_step"].to_list() == [400.0, 400.0]
    assert "x*y" in sweep.plot.grokked.drawing(**settings).title
    late = sweep.plot.phases.data(gap=10_000, **settings)
    assert "grokking" not in set(late["phases"])


def test_what_a_sweep_does_not_have_is_refused(sweep: Sweep) -> None:
    with pytest.raises(AttributeError, match="did you mean phases"):
        sweep.plot.phase()
    with pytest.raises(InputError, match=r"x = 'nope': unknown; settings of the sweep"):
        sweep.plot.phases(x="nope")
