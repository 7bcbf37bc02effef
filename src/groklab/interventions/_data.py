"""Other training sets and other labels, from a step on; the test set keeps its inputs but for those trained on now."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le, Lt

from groklab.errors import InputError
from groklab.interventions._base import Change, Intervention, Moment, draws, shuffled
from groklab.registry import register
from groklab.tasks import SplitRows, Task


@register("intervention", "training_set")
class TrainingSet(Intervention):
    """Train on fewer or more inputs, or on given rows.

    A smaller set is drawn from the present one, and what is left out is not tested either. A larger one takes inputs
    from the test set, which loses them. Of a mixture, sizes count pairs of operands.

    Attributes:
        frac_train, n_train: the share of the task's inputs, or the number of them, as in `split`.
        rows: exactly these rows of the task instead.
        seed: of the draw; None takes one of the experiment's.
    """

    changes_data: ClassVar[bool] = True

    frac_train: Annotated[float, Gt(0), Lt(1)] | None = None
    n_train: Annotated[int, Gt(0)] | None = None
    rows: tuple[Annotated[int, Ge(0)], ...] | None = None
    seed: Annotated[int, Ge(0), Lt(2**63)] | None = None

    def check(self) -> None:
        """Refuse none or several sizes."""
        if sum(value is not None for value in (self.frac_train, self.n_train, self.rows)) != 1:
            raise ValueError("needs exactly one of frac_train, n_train and rows")

    def data(self, split: SplitRows, task: Task, seed: int) -> SplitRows:
        """Choose the rows that are trained on."""
        trained = split.train[split.schedule_weights[-1] > 0]
        chosen = self._given(task, split) if self.rows is not None else self._drawn(trained, task, split, seed)
        if not len(chosen) or not len(test := np.setdiff1d(split.test, chosen)):
            missing = "test" if len(chosen) else "training"
            raise InputError("n_train", self.n_train or self.frac_train or self.rows, f"leaves no {missing} input")
        # rows that are no longer trained on stay, with weight zero: the same shapes are the same program
        rows = np.union1d(split.train, chosen).astype(np.int32)
        targets = task.targets[rows].astype(np.int32)
        targets[np.searchsorted(rows, split.train)] = split.train_targets
        inside = np.isin(rows, chosen)
        weights = np.tile(inside / inside.sum(), (len(split.schedule_steps), 1))
        return replace(split, train=rows, test=test.astype(np.int32), train_targets=targets, schedule_weights=weights)

    def _given(self, task: Task, split: SplitRows) -> npt.NDArray[np.int64]:
        rows = np.unique(np.array(self.rows, np.int64))
        known = np.union1d(split.train, split.test)
        if len(rows) < len(self.rows or ()) or not np.isin(rows, known).all():
            raise InputError("rows", self.rows, f"needs different rows from 0 to {task.n_inputs - 1}")
        return rows

    def _drawn(
        self, trained: npt.NDArray[np.int32], task: Task, split: SplitRows, seed: int
    ) -> npt.NDArray[np.integer]:
        units = np.arange(task.n_inputs) if task.units is None else np.unique(task.units, return_inverse=True)[1]
        total = int(units.max()) + 1
        size = int((self.frac_train or 0) * total) if self.n_train is None else self.n_train
        present, others = np.unique(units[trained]), np.unique(units[split.test])
        if size > len(present) + len(others):
            raise InputError("n_train", size, f"needs to be below {len(present) + len(others)}, the inputs that it has")
        first, then = (pool[shuffled(len(pool), seed)] for pool in (present, others))
        chosen = np.concatenate([first, then])[:size]
        candidates = np.union1d(trained, split.test)
        return candidates[np.isin(units[candidates], chosen)]

    def apply(self, moment: Moment) -> Change:
        """Say what it is from here on; `data` has done it."""
        size = next(
            text
            for value, text in (
                (self.n_train, f"{self.n_train or 0:,} inputs"),
                (self.frac_train, f"a share of {self.frac_train or 0:g} of all inputs"),
                (self.rows, f"{len(self.rows or ()):,} given rows"),
            )
            if value is not None
        )
        return Change(f"went on with a training set of {size}")


@register("intervention", "labels")
class Labels(Intervention):
    """Change labels of the training set.

    Attributes:
        to: 'other' gives another answer (label noise), 'random' any answer, each equally likely; 'true' the task's own.
        share: of the training set; the inputs are drawn.
        seed: of the draws; None takes one of the experiment's.
    """

    changes_data: ClassVar[bool] = True

    to: Literal["other", "random", "true"] = "other"
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    seed: Annotated[int, Ge(0), Lt(2**63)] | None = None

    def data(self, split: SplitRows, task: Task, seed: int) -> SplitRows:
        """Draw the inputs, and their answers."""
        if task.values is not None or task.reads is not None:
            raise InputError("kind", "labels", f"needs one answer per input that is a class; {task.name} has others")
        n_answers = task.n_answers
        trained = np.flatnonzero(split.schedule_weights[-1] > 0)
        keys = draws(2 * len(trained), seed)
        changed = np.argsort(keys[: len(trained)], kind="stable")[: int(self.share * len(trained))]
        targets = split.train_targets.copy()
        places = trained[changed]
        if self.to == "true":
            targets[places] = task.targets[split.train[places]]
        elif self.to == "random":
            targets[places] = (keys[len(trained) :][changed] % np.uint64(n_answers)).astype(np.int32)
        else:
            if n_answers < 2:
                raise InputError("to", "other", "needs a task with two answers at least")
            shift = keys[len(trained) :][changed] % np.uint64(n_answers - 1) + np.uint64(1)
            targets[places] = (task.targets[split.train[places]] + shift.astype(np.int64)) % n_answers
        return replace(split, train_targets=targets)

    def apply(self, moment: Moment) -> Change:
        """Say what it is from here on; `data` has done it."""
        named = {"other": "another label", "random": "random labels", "true": "their true labels"}[self.to]
        of = "all training inputs" if self.share == 1 else f"a share of {self.share:g} of the training inputs"
        return Change(f"gave {of} {named}")
