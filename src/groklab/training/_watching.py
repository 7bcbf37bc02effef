"""A training while it goes on, in a notebook and on lines."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from groklab import notebook
from groklab.notebook import Watch
from groklab.text import duration, loss_of, percent
from groklab.training._records import Progress, View
from groklab.training.wording import beginning, carried, phase, speed, time_left


def watching_training(view: Watch[Progress]) -> AbstractContextManager[View | None]:
    """Return the context in which a training is watched; it gives the view to call."""
    return notebook.watching(view, picture, sentence)


def sentence(progress: Progress) -> str:
    """Return how far a run is on one line."""
    if not len(progress.steps):
        return f"{progress.run}: {beginning(progress)}"
    left = f", {time_left(progress)} left" if progress.step < progress.budget and not progress.ended else ""
    return (
        f"{progress.run}: step {progress.step:,} of {progress.budget:,}, {duration(progress.seconds)}{left}, "
        f"{phase(progress)}, test accuracy {percent(_last(progress)['test_accuracy'])}"
    )


def picture(progress: Progress, note: str) -> str:
    """Return title, curves and results of a run as HTML."""
    done = f"step {progress.step:,} of {progress.budget:,}"
    if not len(progress.steps):
        doing = beginning(progress) if progress.compiling else ""
        return notebook.block(notebook.title(progress.run, done), notebook.line(note or doing, faint=True))
    last = _last(progress)
    results = [
        f"{split} loss {loss_of(last[f'{split}_loss'])}, accuracy {percent(last[f'{split}_accuracy'])}"
        for split in ("train", "test")
    ]
    if progress.step < progress.budget and not progress.ended and not note:
        results += [speed(progress), f"{time_left(progress)} left"]
    else:
        results.append(duration(progress.seconds))
    several = len(progress.grokked) > 1
    return notebook.block(
        notebook.title(progress.run, f"{done} · {phase(progress)}"),
        curves_of(progress.steps, progress.metrics) if len(progress.steps) > 1 else "",
        notebook.line(("median over members: " if several else "") + " · ".join(results)),
        notebook.line(note, faint=True) if note else "",
    )


def curves_of(steps: np.ndarray, metrics: dict[str, np.ndarray]) -> str:
    """Return loss and accuracy over the steps as SVG, of several members their median.

    Args:
        metrics: (n, n_members) by name.
    """
    middle = {k: np.median(carried(metrics[k]), axis=1) for k in metrics if k.endswith(("_loss", "_accuracy"))}
    loss, accuracy = ({s: middle[f"{s}_{what}"] for s in ("train", "test")} for what in ("loss", "accuracy"))
    # a kernel machine has a training loss of zero
    return notebook.curves(steps, loss, accuracy, log="grad_norm" in metrics)


def _last(progress: Progress) -> dict[str, float]:
    """Return the median of the members' last values, by metric."""
    return {name: float(np.median(carried(values)[-1])) for name, values in progress.metrics.items()}
