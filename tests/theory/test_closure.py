"""The closure against the published fractions, soundness, and a slow union-find of its own."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.tasks import Algebra, Arithmetic, Group, Task
from groklab.theory import critical_fraction, critical_group_sizes, deducible
from groklab.theory._closure import classes_of, latin_square


def training_set(n_inputs: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n_inputs)[:size]


class Partition:
    """Union-find, step by step."""

    def __init__(self) -> None:
        self.parent: dict[object, object] = {}

    def find(self, x: object) -> object:
        self.parent.setdefault(x, x)
        while self.parent[x] != x:
            x = self.parent[x]
        return x

    def join(self, x: object, y: object) -> bool:
        x, y = self.find(x), self.find(y)
        self.parent[x] = y
        return x != y


def slowly(table: np.ndarray, known: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The closure by its definition, one quadruple after the other."""
    n = len(table)
    pairs, quotients = Partition(), Partition()
    for e in range(n):
        quotients.join(("left", e, e), "identity")
        quotients.join(("right", e, e), "identity")
    for u, v in itertools.combinations(sorted(known), 2):
        if table[u] == table[v]:
            pairs.join(u, v)
    changed = True
    while changed:
        changed = False
        for a, d, b, c in itertools.product(range(n), repeat=4):
            if pairs.find((a, d)) == pairs.find((b, c)):
                changed |= quotients.join(("left", a, b), ("right", c, d))
            if quotients.find(("left", a, b)) == quotients.find(("right", c, d)):
                changed |= pairs.join((a, d), (b, c))
    reached = {pairs.find(u) for u in known}
    return {u for u in itertools.product(range(n), repeat=2) if pairs.find(u) in reached}


@pytest.mark.parametrize(
    ("size", "expected"), [(14, 0), (16, 0.22), (18, 0.69), (20, 0.86), (22, 0.98), (26, 1), (30, 1)]
)
def test_all_answers_are_implied_as_often_as_is_published(size: int, expected: float) -> None:
    task = Group(group="S3").build()
    share = np.mean([deducible(task, training_set(36, size, seed)).all() for seed in range(300)])
    # three standard errors of the 150 draws behind the expected value and of ours
    spread = 3 * np.sqrt(max(expected * (1 - expected), 0.005) * (1 / 150 + 1 / 300))
    assert share == pytest.approx(expected, abs=spread)


def test_the_critical_fraction_of_s3() -> None:
    sizes = critical_group_sizes(Group(group="S3").build(), 300)
    fraction, error = critical_fraction(sizes, 36)
    assert fraction == pytest.approx(0.47, abs=0.02)
    assert error < 0.01
    # a bisection, against one size at a time
    task, rng = Group(group="S3").build(), np.random.default_rng(0)
    for expected in sizes[:3]:
        order = rng.permutation(36)
        assert expected == next(k for k in range(1, 37) if deducible(task, order[:k]).all())


@given(st.integers(0, 10_000), st.sampled_from(["S3", "C5", "Q8", "C2xC2"]), st.floats(0.1, 0.9))
@settings(max_examples=10)
def test_it_is_the_fixed_point_of_joining_quadruple_by_quadruple(seed: int, name: str, share: float) -> None:
    task = Group(group=name).build()
    train = training_set(task.n_inputs, max(1, int(share * task.n_inputs)), seed)
    table, operands = task.algebra.table, task.algebra.operands
    expected = slowly(table, {(int(a), int(b)) for a, b in operands[train]})
    found = {(int(a), int(b)) for a, b in operands[deducible(task, train)]}
    assert found == expected


TASKS = {
    "S3": Group(group="S3"),
    "A4": Group(group="A4"),
    "D5": Group(group="D5"),
    "Q8": Group(group="Q8"),
    "C2xC3": Group(group="C2xC3"),
    "x - y": Arithmetic(p=7, expression="x - y"),
    "x + 2*y": Arithmetic(p=7, expression="x + 2*y"),
}


@given(st.sampled_from(sorted(TASKS)), st.integers(0, 10_000), st.floats(0, 1))
def test_pairs_of_different_answers_are_never_joined(name: str, seed: int, share: float) -> None:
    task = TASKS[name].build()
    table, _ = latin_square(task)
    known = np.random.default_rng(seed).random(table.size) < share
    classes, answers = classes_of(table, known), table.ravel()
    # a class has one answer
    assert len(np.unique(np.stack([classes, answers]), axis=1).T) == len(np.unique(classes))
    assert classes.max() + 1 >= len(table)


def test_more_training_pairs_never_imply_less() -> None:
    task = Group(group="A4").build()
    order = training_set(144, 144, 3)
    before = np.zeros(144, bool)
    for k in range(4, 145, 10):
        now = deducible(task, order[:k])
        assert now[order[:k]].all()
        assert (now | ~before).all()
        before = now


def test_rows_may_be_numbers_or_marks_and_stand_in_any_order() -> None:
    task = Group(group="S3").build()
    train = training_set(36, 18, 1)
    marks = np.isin(np.arange(36), train)
    np.testing.assert_array_equal(deducible(task, train), deducible(task, marks))
    order = np.random.default_rng(0).permutation(36)
    algebra = dataclasses.replace(task.algebra, operands=task.algebra.operands[order])
    shuffled = Task(task.name, task.inputs[order], task.targets[order], task.d_vocab, task.n_classes, algebra)
    np.testing.assert_array_equal(deducible(shuffled, marks[order]), deducible(task, marks)[order])


def test_what_is_no_group_table_is_refused() -> None:
    with pytest.raises(InputError, match="two operands"):
        deducible(Arithmetic(p=3, expression="x + y + z").build(), [0])
    for expression in ("x*y", "x^2 + y"):
        with pytest.raises(InputError, match="every pair once"):
            deducible(Arithmetic(p=5, expression=expression).build(), [0])
    # a Latin square of order 5 that is no group's
    loop = np.array([[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]])
    pairs = np.stack(np.divmod(np.arange(25, dtype=np.int32), 5), axis=1)
    task = Task("a loop", pairs, loop.ravel().astype(np.int32), 5, 5, Algebra(operands=pairs))
    with pytest.raises(InputError, match="up to renumbering"):
        deducible(task, [0])
