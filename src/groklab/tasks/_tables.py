"""A user's own tables of inputs and answers: tokens from a CSV or NPZ file, real numbers from an NPZ file."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from groklab import components
from groklab.errors import InputError, check_choice, shorten
from groklab.registry import register
from groklab.tasks._archives import read_npz
from groklab.tasks._base import Algebra, Task, TaskSettings
from groklab.text import named_file

MAX_TOKEN = 100_000
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)

Tokens: TypeAlias = npt.NDArray[np.int32]

_INTEGER = re.compile(r"[+-]?[0-9]+")
# with a decimal comma, too
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.IGNORECASE)
#: What separates the values of a CSV file, by the name of the setting.
_SEPARATORS = {",": ",", ";": ";", "tab": "\t"}


class FromFile(TaskSettings):
    """A task from a user's own file: read, known by its content, refused with a reason."""

    paths: ClassVar[tuple[str, ...]] = ("path",)

    path: str
    content: str | None

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file's bytes in hexadecimal. Raises InputError if the file cannot be read."""
        return hashlib.sha256(self._read()).hexdigest()

    def _read(self) -> bytes:
        return named_file("task.path", self.path, "table")

    def _checked(self) -> bytes:
        """Return the file's bytes. Raises InputError where they are not those of `content`."""
        data = self._read()
        digest = hashlib.sha256(data).hexdigest()
        if self.content is not None and self.content != digest:
            raise InputError("task.content", self.content, f"the file {self.path} has the content {digest}")
        return data

    def _arrays(self, data: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return `inputs` (N, k) and integers `answers` (N,) of an NPZ file."""
        try:
            inputs, answers = read_npz(data, ("inputs", "answers")).values()
        except _UNREADABLE as error:
            self._refuse(f"is not a readable .npz file with the arrays 'inputs' and 'answers' ({error})")
        if not np.issubdtype(answers.dtype, np.integer):
            self._refuse(f"needs integers in 'answers', which has {answers.dtype}")
        if inputs.ndim != 2 or answers.shape != inputs.shape[:1] or not inputs.size:
            self._refuse(f"needs inputs (N, k) and answers (N,), not {inputs.shape} and {answers.shape}")
        if answers.min() < 0 or answers.max() > MAX_TOKEN:
            self._refuse(f"has answers outside 0 to {MAX_TOKEN}")
        return inputs, answers

    def _refuse(self, why: str) -> NoReturn:
        raise InputError("task.path", self.path, why)


@register("task", "table")
class Table(FromFile):
    """A table from a file: one row per input, its tokens and its answer.

    A CSV column holds integers or words. Integers in 0..100000 are token ids; the words of the file share one
    alphabetical vocabulary whose ids follow the largest integer input. Answers that are words are classes in that
    alphabetical order. Rows keep the order of the file; repeated rows count once.

    Attributes:
        path: a .csv file in UTF-8, or a .npz file with integer arrays `inputs` (N, k) and `answers` (N,).
        inputs, answer: names of the CSV's columns, in the order in which they are shown; by default the last column is
            the answer and all others are inputs.
        header: whether the CSV's first row names its columns; without one they are 1, 2, …. By default it does, and a
            first row that looks like data (numbers, or words of the same columns below) is refused.
        separator: what separates the values of a CSV file.
        content: the file's SHA-256, if an altered file is to be refused.
    """

    path: str
    inputs: tuple[str, ...] | None = None
    answer: str | None = None
    header: bool | None = components.later(None)
    separator: Literal[",", ";", "tab"] = components.later(",")
    content: str | None = None

    def build(self) -> Task:
        """Build the task; `algebra.words` lists the vocabulary's words in the order of their ids.

        Raises:
            InputError: on 'task.path' for a missing or unreadable file, no rows, ragged rows, values that are neither
                integers nor words, or equal inputs with different answers; on the other fields for unknown columns or
                an altered file.
        """
        data = self._checked()
        suffix = Path(self.path).suffix.lower()
        if suffix == ".csv":
            inputs, answers, words = self._from_csv(data)
        elif suffix == ".npz":
            inputs, answers, words = *self._from_npz(data), ()
        else:
            self._refuse("needs a file that ends in .csv or .npz")
        inputs, answers = self._distinct(inputs, answers)
        n_classes = int(answers.max()) + 1
        commutative = _is_commutative(inputs, answers)
        return Task(
            name=Path(self.path).stem,
            inputs=inputs,
            targets=answers,
            d_vocab=int(inputs.max()) + 1,
            n_classes=n_classes,
            algebra=Algebra(
                operation="table",
                operands=inputs,
                n_answers=n_classes,
                commutative=commutative,
                transposable=commutative,
                words=words,
            ),
        )

    def _from_csv(self, data: bytes) -> tuple[Tokens, Tokens, tuple[str, ...]]:
        header, rows = self._csv_rows(data)
        answer = header[-1] if self.answer is None else self.answer
        inputs = tuple(name for name in header if name != answer) if self.inputs is None else tuple(self.inputs)
        for field, names in (("task.answer", (answer,)), ("task.inputs", inputs)):
            for name in names:
                check_choice(field, name, header, known=f"columns of {self.path}")
        if not inputs or answer in inputs or len(set(inputs)) < len(inputs):
            raise InputError("task.inputs", inputs, "needs one or more different columns besides the answer")

        columns = {name: self._column(name, header.index(name), rows) for name in (*inputs, answer)}
        words = tuple(sorted({value for column in columns.values() for value in column if isinstance(value, str)}))
        order = {word: number for number, word in enumerate(words)}
        integers = [value for name in inputs for value in columns[name] if isinstance(value, int)]
        first_word = max(integers, default=-1) + 1
        tokens = [[v if isinstance(v, int) else first_word + order[v] for v in columns[name]] for name in inputs]
        answers = [v if isinstance(v, int) else order[v] for v in columns[answer]]
        return np.array(tokens, dtype=np.int32).T.copy(), np.array(answers, dtype=np.int32), words

    def _csv_rows(self, data: bytes) -> tuple[list[str], list[tuple[int, list[str]]]]:
        """Return the header and the rows with their line numbers, all of the header's length."""
        try:
            text = io.StringIO(data.decode("utf-8-sig"), newline="")
            reader = csv.reader(text, strict=True, delimiter=_SEPARATORS[self.separator])
            lines = [(reader.line_num, row) for row in ([cell.strip() for cell in row] for row in reader) if any(row)]
        except (UnicodeDecodeError, csv.Error) as error:
            self._refuse(f"is not a readable CSV file ({error})")
        if lines and len(lines[0][1]) < 2:
            self._refuse_separator(lines[0][1][0])
        if self.header is False:
            lines.insert(0, (0, [str(i + 1) for i in range(len(lines[0][1]) if lines else 0)]))
        if len(lines) < 2:
            self._refuse("needs at least one row" if self.header is False else "needs a header and at least one row")
        header, rows = lines[0][1], lines[1:]
        for line, row in rows:
            if len(row) != len(header):
                above = "first row" if self.header is False else "header"
                self._refuse(f"has {len(row)} values in line {line}; the {above} has {len(header)}")
        if self.header is None and _looks_like_data(header, [row for _, row in rows]):
            first = shorten(", ".join(header))
            how = "give task.header=false, or true if these are names"
            self._refuse(f"begins with {first!r}, which looks like data and not like a header; {how}")
        if "" in header or len(set(header)) < len(header):
            self._refuse("needs a header of different column names")
        return header, rows

    def _refuse_separator(self, first: str) -> NoReturn:
        """Refuse a file of one column, with the separator that its first line holds."""
        for name, separator in _SEPARATORS.items():
            if separator in first and name != self.separator:
                self._refuse(f"has one column at task.separator={self.separator!r}; give task.separator={name!r}")
        self._refuse(f"needs two or more columns; its first line is {shorten(first)!r}")

    def _column(self, name: str, index: int, rows: Sequence[tuple[int, list[str]]]) -> Sequence[int | str]:
        """Return integers if the first value is one, otherwise words; a column that mixes the two is refused."""
        values: list[int | str] = []
        integers = _INTEGER.fullmatch(rows[0][1][index]) is not None
        for line, row in rows:
            text = row[index]
            if integers and not _INTEGER.fullmatch(text):
                self._refuse(f"has {text!r} in column {name!r}, line {line}, which is not an integer")
            if not integers and _NUMBER.fullmatch(text):
                self._refuse(
                    f"has {text!r} in column {name!r}, line {line}; a column holds integers only or words only"
                )
            if not text:
                self._refuse(f"has an empty value in column {name!r}, line {line}")
            if integers and (len(text) > 20 or not 0 <= int(text) <= MAX_TOKEN):
                self._refuse(f"has {text[:20]} in column {name!r}, line {line}; allowed are 0 to {MAX_TOKEN}")
            values.append(int(text) if integers else text)
        return values

    def _from_npz(self, data: bytes) -> tuple[Tokens, Tokens]:
        if self.inputs is not None or self.answer is not None:
            raise InputError("task.inputs", self.inputs, "columns have names in CSV files only, not in .npz files")
        inputs, answers = self._arrays(data)
        if not np.issubdtype(inputs.dtype, np.integer):
            self._refuse(f"needs integers in 'inputs', which has {inputs.dtype}")
        if inputs.min() < 0 or inputs.max() > MAX_TOKEN:
            self._refuse(f"has values outside 0 to {MAX_TOKEN}")
        return inputs.astype(np.int32), answers.astype(np.int32)

    def _distinct(self, inputs: Tokens, answers: Tokens) -> tuple[Tokens, Tokens]:
        """Return rows without repetition, in order: a repeated row could be both in training and in test."""
        _, first, group = np.unique(inputs, axis=0, return_index=True, return_inverse=True)
        original = first[group.ravel()]
        different = np.flatnonzero(answers != answers[original])
        if different.size:
            row = int(different[0])
            self._refuse(
                f"gives the input {inputs[row].tolist()} two answers, in rows {int(original[row]) + 1} and {row + 1}"
            )
        kept = np.sort(first)
        return inputs[kept], answers[kept]


@register("task", "vectors")
class Vectors(FromFile):
    """Rows of real numbers with one class each, for learners that take them, such as kernel machines.

    Attributes:
        path: a .npz file with the arrays `inputs` (N, d), numbers, and `answers` (N,), integers from 0.
        content: the file's SHA-256, if an altered file is to be refused.
    """

    path: str
    content: str | None = None

    def build(self) -> Task:
        """Build the task, without tokens; `features` are the inputs of the file, in float64.

        Raises:
            InputError: on 'task.path' for a missing or unreadable file, other shapes, or numbers that are not finite.
        """
        inputs, answers = self._real_inputs(self._checked())
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

    def _real_inputs(self, data: bytes) -> tuple[Any, Any]:
        inputs, answers = self._arrays(data)
        if not np.issubdtype(inputs.dtype, np.floating) and not np.issubdtype(inputs.dtype, np.integer):
            self._refuse(f"needs numbers in 'inputs', which has {inputs.dtype}")
        finite = np.isfinite(inputs).all(axis=1)
        if not finite.all():
            self._refuse(f"has a number that is not finite in row {int(np.flatnonzero(~finite)[0]) + 1} of 'inputs'")
        return inputs, answers


def _looks_like_data(header: list[str], rows: list[list[str]]) -> bool:
    """Return whether a first row holds a number, or nothing but words that occur below in the same columns."""
    if any(_NUMBER.fullmatch(name) for name in header):
        return True
    return all(name in column for name, column in zip(header, map(set, zip(*rows, strict=True)), strict=True))


def _is_commutative(inputs: Tokens, answers: Tokens) -> bool:
    """Return whether exchanging neighbouring operands maps the table to itself; False for one operand."""

    def ordered(rows: Tokens) -> npt.NDArray[np.int32]:
        table = np.column_stack([rows, answers])
        return table[np.lexsort(table.T)]

    columns = inputs.shape[1]
    own = ordered(inputs)
    swaps = ([*range(i), i + 1, i, *range(i + 2, columns)] for i in range(columns - 1))
    return columns > 1 and all(np.array_equal(own, ordered(inputs[:, swap])) for swap in swaps)
