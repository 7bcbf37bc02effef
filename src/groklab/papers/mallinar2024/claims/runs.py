"""What the claims share: the kernel machines that they look at, their controls, and how iterations are counted.

One iteration is a step: the machine of step t is the paper's iteration t, solved with M_t; the matrix that the paper
measures with iteration t is the one after its update, M_(t+1), kept at step t + 1. The published runs have the
iterations 0 to 29.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from groklab.experiment import preset
from groklab.grokking import first_step
from groklab.papers.mallinar2024.presets import OPERATIONS
from groklab.reproduction import Bar, Trainer, Trial, Values
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.training import build_task

ITERATIONS = 30
KERNELS = ("quadratic", "gaussian")
#: Each orientation's other one, which carries nothing of the operation.
WRONG = {"toeplitz": "hankel", "hankel": "toeplitz", "toeplitz_log": "hankel_log", "hankel_log": "toeplitz_log"}
#: Seconds on two cores of the machines that many claims share, a seed.
MACHINES_COST = 60.0
SETTING = (
    "The paper's own setting, as it takes seconds: x + y, x − y, x·y and x/y mod 61 from half of the pairs, 30 "
    "iterations from M = I, quadratic and Gaussian kernel, in double precision"
)
#: The control of most claims.
RANDOM_MACHINES = "the same machines on a table of random labels, a new one for each seed"
#: Iterations of which the test loss is asked to be constant: half of those before the first test pairs are right.
INITIAL = 5


class Machine(NamedTuple):
    """A kernel machine: its run, and its place among the run's members.

    Args:
        operation: one of `OPERATIONS`, or 'random labels'.
    """

    run: Run
    member: int
    kernel: str
    operation: str

    @property
    def orientation(self) -> str:
        """The orientation of the circulant that goes with the operation."""
        return OPERATIONS[self.operation][1]

    def curve(self, name: str) -> np.ndarray:
        """Return a metric at iterations 0 to 29, (30,)."""
        return curve(self.run, name, self.member)

    def after_updates(self, column: str) -> np.ndarray:
        """Return an online measure of the matrices after the iterations 0 to 29, (30,)."""
        return after_updates(self.run, column, self.member)

    def matrix(self, iteration: int) -> np.ndarray:
        """Return the feature matrix after an iteration's update, (d, d)."""
        return self.run.weights(iteration + 1, self.member)["M"]


def machines(trainer: Trainer, seed: int, kernels: Sequence[str] = KERNELS) -> list[Machine]:
    """Train the machines of all operations; those of one kernel and seed are one run."""
    made = []
    for kernel in kernels:
        members = [preset(f"mallinar2024/{operation}-{kernel}", {"seed": seed}) for operation in OPERATIONS]
        run = trainer.train([replace(m, name=f"mallinar2024-{kernel}") for m in members])
        made += [Machine(run, i, kernel, operation) for i, operation in enumerate(OPERATIONS)]
    return made


def random_machines(trainer: Trainer, seed: int, kernels: Sequence[str] = KERNELS, p: int = 61) -> list[Machine]:
    """Train the machines on random labels, one of each kernel."""
    return [
        Machine(
            trainer.train(preset(f"mallinar2024/add-{kernel}", {**random_labels(seed, p), "seed": seed})),
            0,
            kernel,
            "random labels",
        )
        for kernel in kernels
    ]


def random_labels(seed: int, p: int = 61) -> dict[str, Any]:
    """Return the settings that put a seed's own table of random labels in an operation's place."""
    task = {"task.kind": "random_labels", "task.p": p, "task.layout": "a b", "task.label_seed": seed}
    return {**task, "name": f"mallinar2024-random-{p}"}


def trials(run: Any, bars: tuple[Bar, ...], setting: str = f"{SETTING}.") -> dict[str, Any]:
    """Return the trials of `run(trainer, seed)` on the machines of both kernels: three seeds, and ten."""
    sizes = {"quick": 3, "full": 10}
    return {
        size: Trial(setting=setting, seeds=n, cost=n * MACHINES_COST, run=run, bars=bars, shares="machines")
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


def largest(values: Iterable[Any]) -> Any:
    """Return the largest of some values; None where one is None, as what never happened has no end."""
    known = list(values)
    return None if None in known else max(known)


def smallest(values: Iterable[Any]) -> Any:
    """Return the smallest of some values; None where one is None."""
    known = list(values)
    return None if None in known else min(known)


def worst(each: Sequence[Values]) -> Values:
    """Return the worst of several machines' values: the smallest of those named least_…, the largest of the others."""
    picks = {name: smallest if name.startswith("least_") else largest for name in each[0]}
    return {name: pick(values[name] for values in each) for name, pick in picks.items()}


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


def of_all(values: Iterable[float | int | None]) -> str:
    """Write the range of values: `11`, or `11 to 13`."""
    known = [v for v in values if v is not None]
    if not known:
        return "none"
    low, high = (f"{v:.3g}" if isinstance(v, float) else f"{v}" for v in (min(known), max(known)))
    return low if low == high else f"{low} to {high}"
