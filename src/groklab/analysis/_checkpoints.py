"""A run's checkpoints, read and measured one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.device import threads
from groklab.errors import DamagedError, InputError, check_choice
from groklab.measures import MEASURES, Measure, find_frequencies, is_kernel_machine
from groklab.store import Run, thin
from groklab.tasks import SplitRows, Task, as_trained
from groklab.training import build_task, make_ensemble, weight_shapes

Weights = dict[str, np.ndarray]
#: Checkpoints that an explanation and a page measure.
MEASURED = 100
#: Called as progress(done, total) while checkpoints are measured.
Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Report progress to nobody."""


class Checkpoints(Mapping[int, Weights]):
    """One member's weights by step, up to the last that can be read and is finite; each is read when it is used.

    Args:
        run: whose checkpoints.
        member: of an ensemble.
        most: at most about so many, evenly spaced in the logarithm of the step, those nearest to where the member
            memorised and grokked among them; None for all.
    """

    def __init__(self, run: Run, member: int = 0, most: int | None = None) -> None:
        self.run, self.member = run, member
        last = last_complete_step(run, member)
        self.steps = [step for step in run.checkpoints if step <= last]
        if most is not None:
            outcomes = run.status.members[member : member + 1]
            events = [getattr(outcome, f"{event}_step") for outcome in outcomes for event in ("memorised", "grokked")]
            self.steps = thin(self.steps, most, nearest(self.steps, events))

    def __getitem__(self, step: int) -> Weights:
        return self.run.weights(step, self.member)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def nearest(steps: Sequence[int], events: Sequence[int | None]) -> list[int | None]:
    """Return the step nearest to each event, None for an event that did not happen."""
    return [None if event is None else min(steps, key=lambda step: abs(step - event)) for event in events]


def readable(checkpoints: Mapping[int, Weights], steps: Sequence[int]) -> Iterator[tuple[int, Weights]]:
    """Yield steps and weights, without checkpoints that are damaged or not finite."""
    for step in steps:
        with contextlib.suppress(DamagedError):
            weights = checkpoints[step]
            if is_finite(weights):
                yield step, weights


def is_finite(weights: Weights) -> bool:
    """Return whether all weights are finite."""
    return all(bool(np.isfinite(w).all()) for w in weights.values())


def last_complete_step(run: Run, member: int = 0) -> int:
    """Return the last step whose weights can be read and are finite; raises InputError where there is none."""
    for step in reversed(run.checkpoints):
        with contextlib.suppress(DamagedError):
            if is_finite(run.weights(step, member)):
                return step
    raise InputError(f"{run.name} has no checkpoint of finite weights to measure")


def task_of(run: Run, member: int = 0) -> Task:
    """Return the task that a member was trained on.

    Raises:
        InputError: as `run.experiments`, where the task cannot be built, and where weights are not of the shapes that
            the settings give.
    """
    experiment = run.experiments[member]
    task = build_task(experiment)
    for step in reversed(run.checkpoints):
        with contextlib.suppress(DamagedError):
            shapes = weight_shapes(experiment, task)
            for name, weight in run.weights(step, member).items():
                if weight.shape != shapes.get(name, weight.shape):
                    raise InputError(
                        f"{run.name} holds weights of other shapes than its experiment.json describes, which was "
                        f"altered: {name} is {weight.shape} and would be {shapes[name]}"
                    )
            break
    return task


def take(
    run: Run,
    name: str,
    member: int = 0,
    frequencies: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> pl.DataFrame:
    """Take one measure of a run's kept checkpoints.

    Args:
        run: whose checkpoints.
        name: of the measure.
        member: of an ensemble.
        frequencies: the key frequencies; None takes those of the final model, for a measure that needs any.
        steps: only these checkpoints.

    Returns:
        A frame with one row per checkpoint: `step`, and one column per array. A measure that compares with the final
        model is given its weights.

    Raises:
        InputError: for an unknown measure or one that does not apply to the task, for a step not kept, and for a run
            without checkpoints.
    """
    if not isinstance(run, Run):
        raise InputError("take needs a run; a measure of weights is gl.MEASURES[name](weights, task)")
    steps = run.checkpoints if steps is None else steps
    if len(steps) == 0:
        raise InputError(f"{run.name} has no checkpoint to measure")
    task_of(run, member)
    # its plug-ins are there now, which may register measures
    check_choice("measure", name, sorted(MEASURES), "`groklab measures` lists them")
    ensemble = make_ensemble([run.experiments[member]])
    pairs = ((step, run.weights(step, member)) for step in steps)
    network = run.experiments[member].model
    final = run.weights(member=member)
    split, objective = ensemble.splits[0], run.experiments[member].objective
    return measure_models(MEASURES[name], pairs, ensemble.tasks[0], network, split, final, frequencies, objective)


def measure_models(
    measure: Measure[Mapping[str, Any]],
    models: Iterable[tuple[int, Weights]],
    task: Task,
    network: Any,
    split: SplitRows,
    final: Weights,
    frequencies: Sequence[int] | None = None,
    objective: Any = None,
) -> pl.DataFrame:
    """Take a measure of weights at several steps.

    Args:
        models: step and weights of each.
        split: the rows that they were trained on.
        final: the weights that some measures compare with, and whose key frequencies are taken where none are given.
        objective: the loss that the weights were trained on.

    Returns:
        A frame with one row per step: `step`, and one column per array.
    """
    if is_kernel_machine({}, network) or "objective" in measure.takes:
        task = as_trained(task, split)
    own_keys = measure.name in ("excluded_by_frequency", "logit_parts")  # all frequencies, and rules of its own
    if "frequencies" in measure.takes and frequencies is None and not own_keys:
        frequencies = find_frequencies(final, task, network)
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {"train_targets": split.train_targets, "network": network, "objective": objective}
    for step, weights in models:
        # small matrices: threads would only wait for each other
        with threads(1):
            values = measure(weights, task, split.train, frequencies=frequencies, final=final, **about)
        rows.append({"step": step, **{k: np.asarray(v).tolist() for k, v in values.items()}})
    return pl.DataFrame(rows)
