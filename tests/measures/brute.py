"""Progress measures as the paper writes them, with loops and cubes: the reference for the quick ones."""

from __future__ import annotations

import numpy as np

from groklab.tasks import Task


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return float(-np.mean(np.take_along_axis(log_p, targets[:, None], axis=-1)))


def directions(task: Task, sign: int, k: int) -> list[np.ndarray]:
    """Unit vectors cos(w_k(a ± b)) and sin(w_k(a ± b)) over the task's own rows (which must be all p² pairs)."""
    p = task.algebra.p
    a, b = task.algebra.operands.T
    angle = 2 * np.pi * k * (a + sign * b) / p
    found = [np.cos(angle)] if 2 * k == p else [np.cos(angle), np.sin(angle)]
    return [v / np.linalg.norm(v) for v in found]


def project(logits: np.ndarray, vectors: list[np.ndarray]) -> np.ndarray:
    return sum((np.outer(v, v @ logits) for v in vectors), np.zeros_like(logits))


def block(task: Task, k: int, size: int) -> list[np.ndarray]:
    """The 2 × 2 (or 3 × 3 without its constant) products of cos and sin of w_k a and w_k b, orthonormal."""
    p = task.algebra.p
    a, b = task.algebra.operands.T
    waves = {
        "cos": lambda x: np.cos(2 * np.pi * k * x / p),
        "sin": lambda x: np.sin(2 * np.pi * k * x / p),
        "one": lambda x: np.ones(len(x)),
    }
    if 2 * k == p:
        del waves["sin"]
    names = [n for n in waves if size == 3 or n != "one"]
    made = [waves[m](a) * waves[n](b) for m in names for n in names if (m, n) != ("one", "one")]
    return [v / np.linalg.norm(v) for v in made]


def cubes(task: Task, answer_of: np.ndarray, k: int) -> np.ndarray:
    """cos(w_k(s − r)) at [row, class], where class answer_of[r] answers the residue r; not normalised."""
    p = task.algebra.p
    residue_of = np.argsort(answer_of)
    s = residue_of[task.targets]
    return np.cos(2 * np.pi * k * (s[:, None] - residue_of[None, :]) / p)
