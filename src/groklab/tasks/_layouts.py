"""How operands become token sequences, shared by all tasks on pairs of numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from groklab.errors import InputError, check_choice
from groklab.lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt


Layout = Literal["a b =", "a op b", "a op b =", "a b"]
Sign = Literal["=", "+", "-", "*", "/"]

MAX_INPUTS = 50_000_000
#: In the order of their token ids p, p+1, ... (Furuta et al. 2024; id p is '=' in Nanda et al. 2023, too).
SIGNS: tuple[Sign, ...] = ("=", "+", "-", "*", "/")


def vocabulary_size(layout: Layout, p: int) -> int:
    """Return the number of token ids: p numbers, and '=' or all five signs where the layout shows them."""
    if "op" in layout:
        return p + len(SIGNS)
    return p + 1 if "=" in layout else p


def token_rows(operands: npt.NDArray[np.int32], layout: Layout, p: int, sign: Sign) -> npt.NDArray[np.int32]:
    """Return token ids (N, n_ctx) of operand ids (N, k): the sign between operands, '=' at the end, as laid out."""
    columns: list[npt.NDArray[np.int32]] = []
    for operand in operands.T:
        if "op" in layout and columns:
            columns.append(np.full_like(operand, p + SIGNS.index(sign)))
        columns.append(operand)
    if layout.endswith("="):
        columns.append(np.full_like(operands[:, 0], p))
    return np.stack(columns, axis=1)


def check_size(field: str, value: object, n_inputs: int, columns: int) -> None:
    """Raise InputError before anything is allocated if a task would have more than 50 million inputs."""
    if n_inputs > MAX_INPUTS:
        allowed = f"gives {n_inputs:,} inputs ({4 * n_inputs * columns:,} bytes); at most {MAX_INPUTS:,} are allowed"
        raise InputError(field, value, allowed)


def check_settings(task: Any) -> None:
    """Raise InputError for a modulus below 2 or a value outside a field's choices.

    Experiments are validated before; this is for tasks constructed by hand.
    """
    if task.p < 2:
        raise InputError("task.p", task.p, "needs an integer of at least 2")
    hints = get_type_hints(type(task))
    for field in dataclasses.fields(task):
        value, hint = getattr(task, field.name), hints[field.name]
        if get_origin(hint) is Literal:
            check_choice(f"task.{field.name}", value, get_args(hint))
