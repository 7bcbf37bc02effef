"""A user's own real-valued inputs and their classes, from an NPZ file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from groklab.registry import register
from groklab.tasks.base import Algebra, Task
from groklab.tasks.files import FromFile


@register("task", "vectors")
class Vectors(FromFile):
    """Rows of real numbers and a class each, for learners that take them, such as kernel machines.

    path: a .npz file with the arrays `inputs` (N, d), numbers, and `answers` (N,), integers from 0. content: the
    file's SHA-256, if an altered file is to be refused.
    """

    path: str
    content: str | None = None

    def build(self) -> Task:
        """The task; its inputs are no tokens, and `features` are those of the file, in float64.

        Raises InputError on 'task.path' for a missing or unreadable file, other shapes, or numbers not finite.
        """
        inputs, answers = self._numbers(self._checked())
        n_classes = int(answers.max()) + 1
        return Task(
            name=Path(self.path).stem,
            inputs=np.zeros((len(inputs), 0), np.int32),
            targets=answers.astype(np.int32),
            d_vocab=0,
            n_classes=n_classes,
            algebra=Algebra(operation="vectors", n_answers=n_classes),
            features=inputs.astype(np.float64),
        )

    def _numbers(self, data: bytes) -> tuple[Any, Any]:
        inputs, answers = self._arrays(data)
        if not np.issubdtype(inputs.dtype, np.floating) and not np.issubdtype(inputs.dtype, np.integer):
            self._refuse(f"needs numbers in 'inputs', which has {inputs.dtype}")
        finite = np.isfinite(inputs).all(axis=1)
        if not finite.all():
            self._refuse(f"has a number that is not finite in row {int(np.flatnonzero(~finite)[0]) + 1} of 'inputs'")
        return inputs, answers
