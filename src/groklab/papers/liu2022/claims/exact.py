"""Claims that the published toy runs are reproduced step by step, from their own initial weights and splits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from groklab.experiment.presets import preset
from groklab.experiment.reading import read
from groklab.measures.representation import parallelogram_quality
from groklab.papers.liu2022.claims.cells import started
from groklab.papers.published import published_map
from groklab.reproduction import Bench, Claim, Finding, Trial
from groklab.store.run import Run
from groklab.tasks.splits import make_split
from groklab.training.ensemble import build_task

#: Published steps count from 0 the updates that have been made before; ours the updates themselves.
LATER = 1


def first_step(run: Run, metric: str, member: int = 0, threshold: float = 0.9) -> int | None:
    """The published number of the first step at which a metric reached the threshold."""
    curves = run.curves(member)
    reached = np.flatnonzero(curves[metric] >= threshold)
    return int(curves["step"][reached[0]]) - LATER if len(reached) else None


def _seed58(bench: Bench, seed: int) -> Finding:
    run = bench.train(preset("liu2022/seed58"))
    measured = run.measured
    assert measured is not None
    good = measured.filter(measured["parallelograms.rqi"] > 0.95)["step"]
    task, experiment = build_task(run.experiment), run.experiment
    train = make_split(experiment.split, task, experiment.seed).train
    last = parallelogram_quality(run.weights()["embed.W_E"], task, train)
    curves = run.curves()
    values: dict[str, Any] = {
        "initial_loss": float(curves["train_loss"][0]),
        "train_step": first_step(run, "train_accuracy"),
        "test_step": first_step(run, "test_accuracy"),
        "rqi_step": int(good[0]) - LATER if len(good) else None,
        "test_accuracy": float(curves["test_accuracy"][-1]),
        **{k: last[k] for k in ("rqi", "n_parallelograms_train", "null_dimension", "ideal_accuracy")},
    }
    expected = {"train_step": 1130, "test_step": 1529, "rqi_step": 800}
    near = all(values[k] is not None and abs(values[k] - v) <= 1 for k, v in expected.items())
    whole = values["test_accuracy"] == 1 and last["rqi"] == 1 and last["ideal_accuracy"] == 1
    holds = near and whole and abs(values["initial_loss"] - 0.981266) < 2e-6 and last["n_parallelograms_train"] == 44
    said = f"train, test, RQI at {values['train_step']}, {values['test_step']}, {values['rqi_step']}"
    return Finding(values, holds, said)


def _column(bench: Bench, seed: int) -> Finding:
    """The row of decay 0 of the released re-run of the regression diagram, slow rates: cells that are not chaotic."""
    published_cells = published_map("toy_fig5b")
    # (weight decay, rate): the first row, and the rates up to 4.6e-4
    rates = [10 ** (-5 + k / 3) for k in range(6)]
    settings = {"budget.steps": 10_000, "measures.names": [], "checkpoints.spacing": "none", "evaluation.every": 1}
    base = preset("liu2022/addition", {**settings, **started(bench, 58, "trainer")})
    members = [read(base, {"optimiser.learning_rate": rate}) for rate in rates]
    run = bench.train([replace(m, name="liu2022-column") for m in members])
    values: dict[str, Any] = {}
    worst = 0
    for i, rate in enumerate(rates):
        train, test = first_step(run, "train_accuracy", i), first_step(run, "test_accuracy", i)
        cell = published_cells.place({"optimiser.learning_rate": rate, "optimiser.weight_decay": 0.0})
        assert cell is not None
        theirs = (published_cells.train_steps[cell], published_cells.test_steps[cell])
        for name, found, wanted in (("train", train, theirs[0]), ("test", test, theirs[1])):
            values[f"{name}_step_at_{rate:.1e}"] = found
            if (found is None) != _never(wanted):
                worst = 10_000
            elif found is not None:
                # the published code sees test accuracy one update late
                worst = max(worst, abs(found - int(wanted)))
    said = f"six rates, train and test: published steps to within {worst}"
    return Finding({**values, "largest_difference": worst}, worst <= 2, said)


def _never(step: Any) -> bool:
    return step is None or not np.isfinite(step)


CLAIMS = [
    Claim(
        id="seed-58",
        claim="The released run with seed 58 is reproduced step by step.",
        source="toy trainer of the released code, its demo notebook",
        expected="loss 0.981266 at the start; 90% of training and test at steps 1,130 and 1,529, RQI 0.95 at 800 (±1); "
        "all right and RQI 1 in the end; 44 equations, ideal accuracy 1",
        counter="The published code prints 1,530: it sees test accuracy one update late.",
        quick=Trial(setting="The run itself.", seeds=(58,), cost=10, run=_seed58, fixed=True),
        full=Trial(setting="The run itself.", seeds=(58,), cost=10, run=_seed58, fixed=True),
    ),
    Claim(
        id="diagram-column",
        claim="The released diagram's cells without decay are reproduced step by step where they are not chaotic.",
        source="released re-run of figure 6b (its figure 5b), decay 0, rates 1e-5 to 4.6e-4",
        expected="train 8837, 4486, 1995, 1130, 2248, 963; test never, 6413, 3319, 1529, never, never (±1)",
        counter="A step more is allowed for the lag of the published test accuracy. At rates of 1e-3 and more rounding "
        "decides: up to 30% in the specification's own re-run.",
        quick=Trial(setting="The six cells themselves.", seeds=(58,), cost=30, run=_column, fixed=True),
        full=Trial(setting="The six cells themselves.", seeds=(58,), cost=30, run=_column, fixed=True),
    ),
]
