"""What the claims share: the kernel machines that they look at, and how iterations are counted.

One iteration is a step: the machine of step t is the paper's iteration t, solved with M_t; the matrix that the paper
measures with iteration t is the one after its update, M_(t+1), kept at step t + 1. The published runs have the
iterations 0 to 29.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from groklab.experiment import preset
from groklab.grokking import first_step
from groklab.papers.mallinar2024.presets import OPERATIONS
from groklab.reproduction import Trainer, Trial
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.training import build_task

ITERATIONS = 30
KERNELS = ("quadratic", "gaussian")
#: Each orientation's other one, which carries nothing of the operation.
WRONG = {"toeplitz": "hankel", "hankel": "toeplitz", "toeplitz_log": "hankel_log", "hankel_log": "toeplitz_log"}
#: Seconds on two cores of the machines that many claims share, a seed.
MACHINES_COST = 45.0
SETTING = (
    "The paper's own setting, as it takes seconds: x + y, x − y, x·y and x/y mod 61 from half of the pairs, 30 "
    "iterations from M = I, quadratic and Gaussian kernel, in double precision"
)


def machines(trainer: Trainer, kernel: str, seed: int) -> Run:
    """Train the machines of one kernel and seed as one run, members in the order of `OPERATIONS`."""
    members = [preset(f"mallinar2024/{operation}-{kernel}", {"seed": seed}) for operation in OPERATIONS]
    return trainer.train([replace(m, name=f"mallinar2024-{kernel}") for m in members])


def trials(run: Any, setting: str = f"{SETTING}.") -> dict[str, Any]:
    """Return the trials of `run(trainer, seed)` on the machines of both kernels: three seeds, and ten."""
    sizes = {"quick": 3, "full": 10}
    return {
        size: Trial(setting=setting, seeds=n, cost=n * MACHINES_COST, run=run, shares="machines")
        for size, n in sizes.items()
    }


def curve(run: Run, name: str, member: int = 0) -> np.ndarray:
    """Return a metric at iterations 0 to 29, (30,)."""
    curves = run.curves(member)
    return np.asarray(curves[name][curves["step"] < ITERATIONS], float)


def after_updates(run: Run, column: str, member: int = 0) -> np.ndarray:
    """Return an online measure of the matrices M_1 to M_30, those after the iterations 0 to 29, (30,)."""
    assert run.measured is not None
    kept = run.measured.filter((pl.col("member") == member) & pl.col("step").is_between(1, ITERATIONS)).sort("step")
    return kept[column].to_numpy().astype(float)


def first(reached: Sequence[bool] | np.ndarray) -> int | None:
    """Return the first iteration at which something is true."""
    return first_step(np.arange(len(reached)), np.asarray(reached))


def data_of(run: Run, member: int = 0) -> tuple[Task, np.ndarray, np.ndarray]:
    """Return a member's task, training rows and test rows."""
    experiment = run.experiments[member]
    task = build_task(experiment)
    split = make_split(experiment.split, task, experiment.seed)
    return task, split.train, split.test


def solved(run: Run, weights: Mapping[str, np.ndarray], task: Task, train: np.ndarray, member: int = 0) -> np.ndarray:
    """Solve a member's machine again with a matrix M, and return its predictions (N, c) on all inputs."""
    experiment = run.experiments[member]
    return np.asarray(experiment.learner.predict(experiment, weights, task, train))


@contextlib.contextmanager
def indefinite() -> Iterator[None]:
    """Allow metrics that are not positive definite: the kernel matrix is neither then, and is solved by LU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the kernel matrix has no Cholesky factor")
        yield


def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Return the share of rows (n, c) whose largest output is the target's."""
    return float(np.mean(outputs.argmax(axis=1) == targets))


def of_all(values: Sequence[float | int | None]) -> str:
    """Write the range of values: `11`, or `11 to 13`."""
    known = [v for v in values if v is not None]
    if not known:
        return "none"
    low, high = (f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"
