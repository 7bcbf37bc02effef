"""Which inputs are trained on: fractions, the published shuffles, label noise, and training sets that change."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from groklab.errors import InputError, unknown
from groklab.tasks._base import Task
from groklab.tasks._portable_random import check_seed, permutation, uniform_integers

Fraction = Annotated[float, Gt(0), Lt(1)]
Count = Annotated[int, Gt(0)]


#: The papers' own fraction first: of two that agree alike it is the likelier.
FRACTIONS = (0.3, 0.25, 0.28, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SEEDS = range(10)
#: Largest sum of the two logarithms' deviations; the recorded losses are those of one step before the weights.
AGREES = 1.0
#: A rival must be this many times, and this much, further off.
TIMES, MARGIN = 3.0, 0.003


@dataclass(frozen=True, kw_only=True)
class ScheduledSplit:
    """From `step` on, train on this many inputs: the first ones of the same permutation."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    step: Count
    frac_train: Fraction | None = None
    n_train: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the inputs are divided into training and test.

    Of a mixture of operations sizes count pairs of operands, which are trained on in every operation or in none.

    Attributes:
        frac_train, n_train: the share or the number of inputs trained on.
        rows: exactly these rows of the task instead.
        seed: None takes the experiment's.
        method: 'random'; the shuffles of published code, 'python_shuffle' (Nanda et al. 2023 and Furuta et al. 2024)
            and 'torch_randperm' (the TransformerLens demonstration); 'in_order', which trains on the first rows, as
            papers do on the first images of a file; or 'unknown' for imported weights of which nothing says what they
            were trained on: all rows are test set, and nothing can be trained.
        label_noise: share of the training labels replaced by a different answer.
        noise_seed: None takes the split's.
        schedule: later training sets, by increasing step.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    frac_train: Fraction | None = None
    n_train: Count | None = None
    rows: tuple[Annotated[int, Ge(0)], ...] | None = None
    seed: Annotated[int, Ge(0)] | None = None
    method: Literal["random", "python_shuffle", "torch_randperm", "in_order", "unknown"] = "random"
    label_noise: Annotated[float, Ge(0), Lt(1)] = 0.0
    noise_seed: Annotated[int, Ge(0)] | None = None
    schedule: tuple[ScheduledSplit, ...] = ()


@dataclass(frozen=True)
class SplitRows:
    """A split of a task's rows.

    Attributes:
        train: (n_train,) int32, ascending; with a schedule, the rows of the largest training set.
        test: (n_test,) int32, ascending, never trained on.
        train_targets: (n_train,) or (n_train, n_reads) int32, noise applied.
        schedule_steps: (n_sets,) int32 steps from which each training set of the schedule holds; the first is 0.
        schedule_weights: (n_sets, n_train) float64, the weights of each, which sum to one; zero for a row not trained
            on.
    """

    train: npt.NDArray[np.int32]
    test: npt.NDArray[np.int32]
    train_targets: npt.NDArray[np.int32]
    schedule_steps: npt.NDArray[np.int32]
    schedule_weights: npt.NDArray[np.float64]


def make_split(split: Split, task: Task, seed: int) -> SplitRows:
    """Divide the task's inputs.

    Where training data are drawn at each step, all rows are test set, and sizes, method and seed have no effect. So
    they are where the split is unknown.

    Args:
        seed: used where the split has none of its own.

    Raises:
        InputError: naming the field, if not exactly one size is given, if training or test would be empty, if the
            schedule's steps do not increase, or if label noise has no other answer to draw.
    """
    if task.draw is not None or split.method == "unknown":
        return _all_test(split, task)
    own_seed = seed if split.seed is None else split.seed
    check_seed(own_seed, "split.seed")
    if split.rows is not None:
        train, steps = _given_rows(split, task), [0]
        test, weights = np.setdiff1d(np.arange(task.n_inputs), train), [np.full(len(train), 1 / len(train))]
    else:
        units = np.arange(task.n_inputs) if task.units is None else np.unique(task.units, return_inverse=True)[1]
        n_units = int(units.max(initial=-1)) + 1
        steps, sizes = [0], [_training_size(split, n_units, "split")]
        for number, part in enumerate(split.schedule):
            if part.step <= steps[-1]:
                raise InputError(f"split.schedule.{number}.step", part.step, f"must be above {steps[-1]}")
            steps.append(part.step)
            sizes.append(_training_size(part, n_units, f"split.schedule.{number}"))
        order = _order(split.method, n_units, own_seed)
        rank = np.empty_like(order)
        rank[order] = np.arange(n_units)
        rank = rank[units]
        train, test = np.flatnonzero(rank < max(sizes)), np.flatnonzero(rank >= max(sizes))
        inside = [rank[train] < size for size in sizes]
        weights = [rows / rows.sum() for rows in inside]
    return SplitRows(
        train=train.astype(np.int32),
        test=test.astype(np.int32),
        train_targets=_with_noise(task, train, split, own_seed),
        schedule_steps=np.array(steps, dtype=np.int32),
        schedule_weights=np.array(weights, dtype=np.float64),
    )


def as_trained(task: Task, rows: SplitRows) -> Task:
    """Return the task with its training rows' answers as they were trained on, label noise included.

    The predictions of a kernel machine follow from these and its weights.
    """
    if np.array_equal(task.targets[rows.train], rows.train_targets):
        return task
    targets = task.targets.copy()
    targets[rows.train] = rows.train_targets
    return replace(task, targets=targets)


def in_transpose(task: Task, train_rows: np.ndarray) -> np.ndarray | None:
    """Return whether (y, x) is trained on for each input (x, y); None unless answers follow so, on pairs."""
    operands = task.algebra.operands
    if not task.algebra.transposable or operands is None or operands.shape[1] < 2:
        return None
    size = int(operands.max()) + 1
    rest = operands[:, 2:]
    swapped = np.concatenate([operands[:, 1::-1], rest], axis=1)
    powers = size ** np.arange(operands.shape[1], dtype=np.int64)
    return np.isin(swapped @ powers, operands[train_rows] @ powers)


def find_split(task: Task, losses: np.ndarray, train: float, test: float) -> tuple[Split, str] | None:
    """Return the published split whose mean losses are near `train` and `test`, and a sentence on how surely.

    None where none agrees, or where several seeds do. Splits of one seed are nested: where several of them agree
    equally well the first of FRACTIONS is taken, and the sentence says so.

    Args:
        losses: (n_inputs,) of each input.
    """
    best: dict[tuple[str, int | None], list[tuple[float, Split]]] = {}
    for split in candidates():
        if not 0 < int((split.frac_train or 0) * task.n_inputs) < task.n_inputs:
            continue
        rows = make_split(split, task, 0)
        means = losses[rows.train].mean(), losses[rows.test].mean()
        off = sum(abs(_log(a) - _log(b)) for a, b in zip(means, (train, test), strict=True))
        best.setdefault((split.method, split.seed), []).append((off, split))
    ranked = sorted(best.values(), key=lambda tried: min(off for off, _ in tried))
    closest = sorted(ranked[0], key=lambda item: item[0])
    rival = min(off for off, _ in ranked[1])
    off, split = closest[0]
    if not off <= AGREES or rival < max(TIMES * off, off + 0.1):
        return None
    alike = [s for o, s in closest if o < max(TIMES * off, off + MARGIN)]
    how = f"its losses agree with those of the weights to {_percent(off)}"
    if len(alike) == 1:
        following = min([rival, *(o for o, _ in closest[1:])])
        return split, f"{how}, those of the next of {sum(map(len, ranked))} published splits to {_percent(following)}"
    split = min(alike, key=lambda s: FRACTIONS.index(s.frac_train or 0))
    others = ", ".join(str(s.frac_train) for s in alike if s is not split)
    return split, f"{how}; fractions {others} of the same shuffle agree alike"


def candidates() -> Iterator[Split]:
    """Yield the splits of published code: Python's shuffles of small seeds, and that of TransformerLens's
    demonstration.
    """
    for seed in SEEDS:
        for fraction in FRACTIONS:
            yield Split(method="python_shuffle", seed=seed, frac_train=fraction)
    yield Split(method="torch_randperm", seed=598, frac_train=0.3)


def _given_rows(split: Split, task: Task) -> npt.NDArray[np.int64]:
    """Return `split.rows`, ascending. Raises InputError where a set, or a set of an operation, would be empty."""
    given = list(split.rows or ())
    if split.frac_train is not None or split.n_train is not None or split.schedule:
        raise InputError("split.rows", given, "needs to be given without frac_train, n_train and schedule")
    rows = np.unique(np.array(given, np.int64))
    if len(rows) < len(given) or (len(rows) and rows[-1] >= task.n_inputs):
        raise InputError("split.rows", given, f"needs different rows from 0 to {task.n_inputs - 1}")
    if not 0 < len(rows) < task.n_inputs:
        missing = "test" if len(rows) else "training"
        raise InputError("split.rows", given, f"leaves no {missing} input; the task has {task.n_inputs} inputs")
    if task.operations is not None:
        trained = np.isin(np.arange(task.n_inputs), rows)
        for i, name in enumerate(task.algebra.operations):
            for part, inside in (("training", trained), ("test", ~trained)):
                if not (task.operations[inside] == i).any():
                    raise InputError("split.rows", given, f"leaves no {part} pair of the operation {name}")
    return rows


def _all_test(split: Split, task: Task) -> SplitRows:
    for field, value in (("split.label_noise", split.label_noise), ("split.schedule", split.schedule)):
        if value:
            raise InputError(field, value, "needs a fixed training set, which is known")
    return SplitRows(
        train=np.zeros(0, np.int32),
        test=np.arange(task.n_inputs, dtype=np.int32),
        train_targets=task.targets[:0].astype(np.int32),
        schedule_steps=np.zeros(1, np.int32),
        schedule_weights=np.zeros((1, 0)),
    )


def _training_size(part: Split | ScheduledSplit, n_inputs: int, field: str) -> int:
    if (part.frac_train is None) == (part.n_train is None):
        raise InputError(field, part, "needs exactly one of frac_train and n_train")
    if part.frac_train is not None:
        field, value = f"{field}.frac_train", part.frac_train
        if not 0 < value < 1:
            raise InputError(field, value, "needs a number above 0 and below 1")
        size = int(value * n_inputs)  # rounded down, as in every published code
    else:
        assert part.n_train is not None
        field, value = f"{field}.n_train", part.n_train
        size = part.n_train
    if not 0 < size < n_inputs:
        missing = "training" if size <= 0 else "test"
        raise InputError(field, value, f"leaves no {missing} input; the task has {n_inputs} inputs")
    return size


def _order(method: str, n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the permutation whose first entries are trained on, (n,)."""
    if method == "random":
        return permutation(n, seed, "split")
    if method == "in_order":
        return np.arange(n)
    if method == "python_shuffle":
        rows = list(range(n))
        random.Random(seed).shuffle(rows)
    elif method == "torch_randperm":
        rows = _torch_randperm(n, seed)
    else:
        raise unknown("split.method", method, ("random", "python_shuffle", "torch_randperm", "in_order"))
    return np.array(rows, dtype=np.int64)


def _torch_randperm(n: int, seed: int) -> list[int]:
    """Return `torch.manual_seed(seed); torch.randperm(n)` of a CPU: Mersenne Twister, forward exchanges."""
    # torch's CPU generator keeps the low 32 bits of the seed; RandomState's old-style seeding gives the same state
    twister = np.random.RandomState(seed % 2**32)
    draws = twister.randint(0, 2**32, size=n, dtype=np.uint32).tolist()
    rows = list(range(n))
    for i in range(n - 1):
        j = i + draws[i] % (n - i)
        rows[i], rows[j] = rows[j], rows[i]
    return rows


def _with_noise(task: Task, train: npt.NDArray[np.int64], split: Split, seed: int) -> npt.NDArray[np.int32]:
    """Return training labels of which int(share * n_train), without repetition, are another answer, uniformly."""
    share, seed = split.label_noise, seed if split.noise_seed is None else split.noise_seed
    targets = task.targets[train].astype(np.int32)
    if share == 0:
        return targets
    if not 0 < share < 1:
        raise InputError("split.label_noise", share, "needs a number from 0 to below 1")
    if task.values is not None:
        raise InputError("split.label_noise", share, "needs a task whose answers are classes")
    if task.reads is not None:
        raise InputError("split.label_noise", share, "needs a task with one answer per input")
    check_seed(seed, "split.noise_seed")
    n_answers = task.n_answers
    if n_answers < 2:
        raise InputError("split.label_noise", share, "the task has one answer only, so no label can be wrong")
    keys = uniform_integers(2 * len(train), seed, "noise")
    noisy = np.argsort(keys[: len(train)], kind="stable")[: int(share * len(train))]
    shifts = keys[len(train) :][noisy] % np.uint64(n_answers - 1) + np.uint64(1)
    targets[noisy] = (targets[noisy] + shifts.astype(np.int64)) % n_answers
    return targets


def _percent(off: float) -> str:
    """Format a difference of logarithms as a share."""
    return f"{math.expm1(off):.2%}" if off < 1 else "more than 100%"


def _log(loss: float) -> float:
    """Return a logarithm that is finite, and far from every other for what is not a positive number."""
    return math.log(loss) if loss > 0 and math.isfinite(loss) else -1e6
