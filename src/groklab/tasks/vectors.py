"""A user's own real-valued inputs and their classes, from an NPZ file."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from groklab.errors import InputError
from groklab.registry import register
from groklab.tasks.base import Task
from groklab.tasks.tables import MAX_TOKEN, UNREADABLE


@register("task", "vectors")
class Vectors:
    """Rows of real numbers and a class each, for learners that take them, such as kernel machines.

    path: a .npz file with the arrays `inputs` (N, d), numbers, and `answers` (N,), integers from 0. content: the
    file's SHA-256, if an altered file is to be refused.
    """

    path: str
    content: str | None = None

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes in hexadecimal. Raises InputError if the file cannot be read."""
        return hashlib.sha256(self._read()).hexdigest()

    def build(self) -> Task:
        """The task; its inputs are no tokens, and `features` are those of the file, in float64.

        Raises InputError on 'task.path' for a missing or unreadable file, other shapes, or numbers not finite.
        """
        data = self._read()
        digest = hashlib.sha256(data).hexdigest()
        if self.content is not None and self.content != digest:
            raise InputError("task.content", self.content, f"the file {self.path} has the content {digest}")
        inputs, answers = self._arrays(data)
        n_classes = int(answers.max()) + 1
        return Task(
            name=Path(self.path).stem,
            inputs=np.zeros((len(inputs), 0), np.int32),
            targets=answers.astype(np.int32),
            d_vocab=0,
            n_classes=n_classes,
            algebra={
                "p": None,
                "expression": None,
                "operation": "vectors",
                "n_variables": 0,
                "operands": np.zeros((len(inputs), 0), np.int32),
                "n_answers": n_classes,
                "commutative": False,
                "direction": None,
            },
            features=inputs.astype(np.float64),
        )

    def _arrays(self, data: bytes) -> tuple[Any, Any]:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                inputs, answers = arrays["inputs"], arrays["answers"]
        except UNREADABLE as error:
            self._refuse(f"is no readable .npz file with the arrays 'inputs' and 'answers' ({error})")
        if not np.issubdtype(inputs.dtype, np.floating) and not np.issubdtype(inputs.dtype, np.integer):
            self._refuse(f"needs numbers in 'inputs', which has {inputs.dtype}")
        if not np.issubdtype(answers.dtype, np.integer):
            self._refuse(f"needs integers in 'answers', which has {answers.dtype}")
        if inputs.ndim != 2 or answers.shape != inputs.shape[:1] or not inputs.size:
            self._refuse(f"needs inputs (N, d) and answers (N,), not {inputs.shape} and {answers.shape}")
        finite = np.isfinite(inputs).all(axis=1)
        if not finite.all():
            self._refuse(f"has a number that is not finite in row {int(np.flatnonzero(~finite)[0]) + 1} of 'inputs'")
        if answers.min() < 0 or answers.max() > MAX_TOKEN:
            self._refuse(f"has answers outside 0 to {MAX_TOKEN}")
        return inputs, answers

    def _read(self) -> bytes:
        try:
            return Path(self.path).expanduser().read_bytes()
        except FileNotFoundError:
            self._refuse("no such file")
        except (OSError, ValueError, RuntimeError) as error:
            self._refuse(f"cannot be read ({error})")

    def _refuse(self, why: str) -> NoReturn:
        raise InputError("task.path", self.path, why)
