"""Progress in words: the same in a terminal, in a notebook and on a line."""

from __future__ import annotations

import numpy as np

from groklab.text import duration
from groklab.training._records import Portion, Progress


def phase(progress: Progress) -> str:
    """Return what the run does: fitting, memorised, generalising, generalised; at its end what it has not done."""
    n = len(progress.grokked)
    grokked = sum(g is not None for g in progress.grokked)
    memorised = sum(m is not None for m in progress.memorised)
    if n > 1:
        return f"{memorised} of {n} memorised, {grokked} of {n} generalised"
    if grokked:
        return f"generalised at step {progress.grokked[0]:,}"
    over = progress.step >= progress.budget
    loss = progress.metrics["train_loss"]
    if len(loss) and not np.isfinite(loss[-1, 0]):
        return "diverged: the training loss is not finite"
    if not memorised:
        return "not memorised" if over else "fitting the training set"
    if over:
        return f"memorised at step {progress.memorised[0]:,}, not generalised"
    test = progress.metrics["test_accuracy"]
    if len(test) and float(test[-1, 0]) > 0.5:
        return f"memorised at step {progress.memorised[0]:,}, test accuracy is rising"
    return f"memorised at step {progress.memorised[0]:,}, not yet generalising"


def speed(progress: Progress) -> str:
    """Return the steps per second, once they are known."""
    return f"{progress.steps_per_second:,.0f} steps/s" if progress.steps_per_second else "– steps/s"


def time_left(progress: Progress) -> str:
    """Return the time to the end of the budget at the present speed."""
    if not progress.steps_per_second:
        return "–"
    return duration((progress.budget - progress.step) / progress.steps_per_second)


def carried(values: np.ndarray) -> np.ndarray:
    """Return (n, members) values in which members that have stopped keep their last one."""
    if np.isnan(values[-1]).all():
        return values  # nothing has stopped: it has diverged
    known = np.where(np.isnan(values), 0, np.arange(1, len(values) + 1)[:, None])
    place = np.maximum(np.maximum.accumulate(known, axis=0) - 1, 0)
    filled: np.ndarray = np.take_along_axis(values, place, axis=0)
    return filled


def last_known(values: np.ndarray) -> np.ndarray:
    """Return (members,) each member's last value of (n, members)."""
    last: np.ndarray = carried(values)[-1]
    return last


def beginning(progress: Progress) -> str:
    """Return what happens before the first step: learners that descend a gradient compile a program."""
    return "compiling the training program …" if "grad_norm" in progress.metrics else "solving the first step …"


def training_text(progress: Progress | Portion) -> str:
    """Return the progress of a run or a sweep on one line."""
    if isinstance(progress, Portion):
        left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
        ended = f"{progress.ended:,} of {progress.members:,} models have ended"
        return f"{progress.name}: {ended}, {progress.share:.2%} of their steps are done{left}"
    if progress.compiling:
        return f"{progress.run}: {beginning(progress)}"
    return (
        f"{progress.run}: step {progress.step:,} of {progress.budget:,}, {speed(progress)}, "
        f"{time_left(progress)} left, {phase(progress)}"
    )
