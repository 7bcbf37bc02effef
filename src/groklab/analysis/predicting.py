"""The effective theory's prediction beside what a run's embedding did (Liu et al. 2022, figure 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.measures.representation import normalised, rqi, symbol_embedding
from groklab.store.run import Run
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.theory.effective_theory import ETA, LINEAR, REACHED, Normalisation, check_applies, flow, flow_rates
from groklab.theory.parallelograms import equations_of
from groklab.training.ensemble import build_task

Matrix = npt.NDArray[np.float64]
#: Steps at which the theory's traces are drawn, and between which the one predicted is looked for.
POINTS = 400
#: Where the slowest mode has decayed by e^-25 nothing moves any more; and further than this nobody trains.
DECAYED = 25.0
MOST_STEPS = 1_000_000_000


def beside_run(run: Run, member: int = 0, normalisation: Normalisation = "one") -> dict[str, Any]:
    """The flow of a run's own first embedding under its training set's equations, and what the run's did, as JSON.

    `eta`: the embedding's learning rate in the run; `null_dimension`, `lambda_3`, and `n_h` = 1/(lambda_3 eta), None
    where infinite; `predicted_step` and `observed_step`: the first of which the RQI is above 0.95, the latter among
    those of `observed_from` ('measures' or 'checkpoints'), or None. None of the run is always `censored`: it may yet
    come after `observed_until`, the last step looked at. None of the theory is `predicted_censored` by
    `predicted_until` where the training set forces a line, and never where it leaves more free.
    `theory` and `network`: each `step`, `rqi`, and `traces`, a list over symbols of normalised coordinates by step: of
    the embedding's one dimension or, of several, of the first principal component of the last.

    Where the theory does not apply, `does_not_apply` says why and nothing else is given. Raises InputError where
    step 0 was not kept, or the weights hold no embedding.
    """
    if not 0 <= member < run.n_members:
        raise InputError("--member", member, f"{run.name} has members 0 to {run.n_members - 1}")
    experiment = run.experiments[member]
    task = build_task(experiment)
    head = {"run": run.name, "member": member, "task": task.name, "normalisation": normalisation}
    try:
        equations = equations_of(task)
        check_applies(equations)
    except InputError as error:
        return {**head, "does_not_apply": str(error)}
    if 0 not in run.checkpoints:
        raise InputError(f"{run.name} keeps no checkpoint of step 0, from which the theory would start")
    chosen = np.zeros(task.n_inputs, np.bool_)
    chosen[make_split(experiment.split, task, experiment.seed).train] = True
    seen = np.stack([symbol_embedding(run.weights(s, member), equations.p) for s in run.checkpoints])
    start, eta = normalised(seen[0]), embedding_rate(experiment)

    gram, nu = equations.gram(chosen), equations.count(chosen) if normalisation == "parallelograms" else 1
    rates = flow_rates(start, gram, nu)
    rate = float(rates[LINEAR]) if len(rates) > LINEAR else 0.0
    steps = np.unique(np.linspace(0, max(run.checkpoints), POINTS).round().astype(np.int64))
    drawn = flow(start, gram, nu, eta * steps)
    observed_from, observed = _observed(run, member, task, seen)
    observed_step = next((int(s) for s, q in observed if q > REACHED), None)
    predicted_step, free = _predicted(start, gram, nu, eta, rates, task), equations.null_dimension(chosen)
    return {
        **head,
        "eta": eta,
        "n_train": int(chosen.sum()),
        "null_dimension": free,
        "lambda_3": rate,
        "n_h": 1 / (rate * eta) if rate > 0 else None,
        "predicted_step": predicted_step,
        "predicted_censored": predicted_step is None and free <= LINEAR,
        "predicted_until": _until(eta, rates),
        "observed_step": observed_step,
        "censored": observed_step is None,
        "observed_until": int(observed[-1][0]) if observed else 0,
        "observed_from": observed_from,
        "theory": _traces(steps, drawn, task),
        "network": _traces(np.array(run.checkpoints), normalised(seen), task),
    }


def embedding_rate(experiment: Experiment) -> float:
    """The learning rate of the embedding: its group's, the optimiser's, or the flow's own eta."""
    optimiser = experiment.optimiser
    if optimiser is None:
        return float(getattr(experiment.learner, "eta", ETA))
    group = optimiser.group_of("embed.W_E")
    base = optimiser.learning_rate if group.learning_rate is None else group.learning_rate
    return float(base * group.learning_rate_factor)


def _predicted(start: Matrix, gram: Matrix, nu: float, eta: float, rates: Matrix, task: Task) -> int | None:
    """The first step of the flow whose RQI is above 0.95, or None: bisection after the first of log-spaced steps."""

    def passed(step: int) -> bool:
        return rqi(flow(start, gram, nu, np.array([eta * step]))[0], task) > REACHED

    low = -1
    for high in map(int, np.unique(np.geomspace(1, _until(eta, rates) + 1, POINTS).round() - 1)):
        if passed(high):
            break
        low = high
    else:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passed(middle) else (middle, high)
    return high


def _until(eta: float, rates: Matrix) -> int:
    """The last step of the flow worth looking at."""
    moving = rates[rates > 0]
    slowest = float(moving.min()) * eta if moving.size else 0.0
    return int(min(np.ceil(DECAYED / slowest), MOST_STEPS)) if slowest > 0 else 0


def _observed(run: Run, member: int, task: Task, seen: Matrix) -> tuple[str, list[tuple[int, float]]]:
    """Where RQIs of the run come from, and step and RQI of each."""
    measured, name = run.measured, "parallelograms.rqi"
    if measured is not None and name in measured.columns:
        rows = measured.filter((pl.col("member") == member) & pl.col(name).is_not_null()).sort("step")
        return "measures", list(zip(rows["step"].to_list(), rows[name].to_list(), strict=True))
    return "checkpoints", [(s, rqi(e, task)) for s, e in zip(run.checkpoints, seen, strict=True)]


def _traces(steps: npt.NDArray[np.int64], places: Matrix, task: Task) -> dict[str, Any]:
    """RQI and one coordinate of embeddings (steps, p, d), ascending with the symbols at the last step."""
    direction = np.ones(1)
    if places.shape[2] > 1:
        direction = np.linalg.svd(places[-1], full_matrices=False)[2][0]
    line = places @ direction
    upward = 1 if line[-1] @ (np.arange(line.shape[1]) - (line.shape[1] - 1) / 2) >= 0 else -1
    quality = [rqi(e, task) for e in places]
    return {"step": steps.tolist(), "rqi": quality, "traces": (upward * line.T).tolist()}
