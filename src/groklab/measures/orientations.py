"""The four ways in which a block of a feature matrix can be circulant: their names, and what each one compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.measures.feature_matrices import operands_of
from groklab.tasks.base import Task
from groklab.tasks.features import ORIENTATIONS
from groklab.tasks.residues import is_prime, log_order

NAMES = {
    "toeplitz": "Toeplitz",
    "hankel": "Hankel",
    "toeplitz_log": "Toeplitz, log order",
    "hankel_log": "Hankel, log order",
}
#: Below this deviation a block counts as circulant, above the other as not.
CIRCULANT, FAR = 0.2, 0.7
#: In a sentence: what entry (i, j) of such a block is a function of.
ENTRIES = {
    "toeplitz": "wrapped Toeplitz (a function of j − i)",
    "hankel": "wrapped Hankel (a function of i + j)",
    "toeplitz_log": "wrapped Toeplitz in the order of discrete logarithms (a function of log j − log i)",
    "hankel_log": "wrapped Hankel in the order of discrete logarithms (a function of log i + log j)",
}
_COMPARED = {"toeplitz": "a + b", "hankel": "a − b", "toeplitz_log": "a·b", "hankel_log": "a/b"}


def compared(orientation: str) -> str:
    """What pairs have in common that a kernel machine with such a block puts together: 'a + b', 'a − b', 'a·b', 'a/b'.

    The product x'Mx' of two pairs holds C[b, a'] + C[b', a], which are the same number for a Toeplitz C where
    a + b = a' + b', and for a Hankel C where a − b = a' − b'. Of a network's block nothing of the kind follows.
    """
    return _COMPARED[orientation]


def is_asked(task: Task, orientation: str) -> bool:
    """Whether the task's answer is a function of what a block of this orientation compares, among operands not 0."""
    try:
        p, operands = operands_of(task)
    except InputError:
        return False
    a, b = operands.T.astype(np.int64)
    inside = (a != 0) & (b != 0)
    if orientation.endswith("_log"):
        if not is_prime(p):
            return False
        place = np.zeros(p, np.int64)
        place[log_order(p)] = np.arange(p - 1)
        a, b, p = place[a], place[b], p - 1
    group = ((a + b if orientation.startswith("toeplitz") else a - b) % p)[inside]
    pairs = np.unique(np.stack([group, task.targets[inside].astype(np.int64)]), axis=1)
    return bool(len(np.unique(group)) == pairs.shape[1])


#: Said where a block is circulant in more than one way.
ALIKE = "It is circulant in more than one way, as a multiple of the identity is, which says little of the operation"


def is_ambiguous(final: dict[str, Any]) -> bool:
    """Whether a block is circulant in more than one orientation, so that none says what is compared."""
    return sum(final.get(k) is not None and float(final[k]) <= CIRCULANT for k in ORIENTATIONS) > 1


def best(final: dict[str, Any]) -> str | None:
    """The orientation of the smallest deviation, None where there is no number."""
    seen = {k: float(final[k]) for k in ORIENTATIONS if final.get(k) is not None and np.isfinite(final[k])}
    return min(seen, key=lambda k: seen[k]) if seen else None
