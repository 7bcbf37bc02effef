"""A user's own file as the source of a task: read, known by its content, refused in a sentence."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from groklab.errors import InputError

MAX_TOKEN = 100_000
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


class FromFile:
    """What tasks from a file share; they have the fields `path` and `content`."""

    path: str
    content: str | None

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes in hexadecimal. Raises InputError if the file cannot be read."""
        return hashlib.sha256(self._read()).hexdigest()

    def _read(self) -> bytes:
        try:
            return Path(self.path).expanduser().read_bytes()
        except FileNotFoundError:
            self._refuse("no such file")
        except (OSError, ValueError, RuntimeError) as error:
            self._refuse(f"cannot be read ({error})")

    def _checked(self) -> bytes:
        """The file's bytes; raises InputError where they are not those of `content`."""
        data = self._read()
        digest = hashlib.sha256(data).hexdigest()
        if self.content is not None and self.content != digest:
            raise InputError("task.content", self.content, f"the file {self.path} has the content {digest}")
        return data

    def _arrays(self, data: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """`inputs` (N, k) and integers `answers` (N,) of an NPZ file."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                inputs, answers = arrays["inputs"], arrays["answers"]
        except _UNREADABLE as error:
            self._refuse(f"is no readable .npz file with the arrays 'inputs' and 'answers' ({error})")
        if not np.issubdtype(answers.dtype, np.integer):
            self._refuse(f"needs integers in 'answers', which has {answers.dtype}")
        if inputs.ndim != 2 or answers.shape != inputs.shape[:1] or not inputs.size:
            self._refuse(f"needs inputs (N, k) and answers (N,), not {inputs.shape} and {answers.shape}")
        if answers.min() < 0 or answers.max() > MAX_TOKEN:
            self._refuse(f"has answers outside 0 to {MAX_TOKEN}")
        return inputs, answers

    def _refuse(self, why: str) -> NoReturn:
        raise InputError("task.path", self.path, why)
