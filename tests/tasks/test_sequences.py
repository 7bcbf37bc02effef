"""Sequence tasks: sums are right, masks point at what can be predicted, and draws are functions of the key."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.tasks import DigitAddition, RepeatedSubsequence, SkipTrigrams, Split, Task, make_split

KINDS: dict[str, Any] = {
    "digits": DigitAddition(n_digits=3, examples=40),
    "repeats": RepeatedSubsequence(vocabulary=20, seq_len=25, subsequence=5, examples=40),
    "trigrams": SkipTrigrams(examples=40),
}


def with_data(kind: str, data: str, **changes: Any) -> Task:
    own = KINDS[kind]
    return type(own)(**(vars(own) | {"data": data} | changes)).build()


@settings(max_examples=8)
@given(n_digits=st.sampled_from([1, 3, 9]), seed=st.integers(0, 2**32 - 1))
def test_sums_are_right(n_digits: int, seed: int) -> None:
    task = DigitAddition(n_digits=n_digits, examples=9, data_seed=seed).build()
    assert task.n_ctx == 3 * n_digits + 3
    for row, targets in zip(task.inputs, task.targets, strict=True):
        text = "".join("0123456789+="[t] for t in row)
        left, right = text.split("=")
        x, y = left.split("+")
        assert int(x) + int(y) == int(right)
        assert len(right) == n_digits + 1
        assert "".join(map(str, targets)) == right
    assert task.algebra.operands.sum(axis=1).tolist() == [int("".join(map(str, t))) for t in task.targets]


@pytest.mark.parametrize(("length", "extra", "repeats"), [(2, 0, 2), (5, 3, 2), (4, 1, 4)])
@settings(max_examples=4)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mask_points_at_what_came_before(length: int, extra: int, repeats: int, seed: int) -> None:
    n_ctx = 1 + repeats * (length + extra)
    task = RepeatedSubsequence(
        vocabulary=50, seq_len=n_ctx, subsequence=length, repeats=repeats, examples=8, data_seed=seed
    ).build()
    assert task.reads is not None
    assert task.mask is not None
    assert (task.mask.sum(axis=1) == (repeats - 1) * (length - 1)).all()
    for row, targets, mask in zip(task.inputs, task.targets, task.mask, strict=True):
        assert row[0] == 0
        assert row[1:].min() > 0
        np.testing.assert_array_equal(targets, row[task.reads[0] + 1 : task.reads[1] + 1])
        pairs = list(zip(row[:-1].tolist(), row[1:].tolist(), strict=True))
        for place in np.flatnonzero(mask) + task.reads[0]:
            # an earlier occurrence of this token was followed by the same one
            assert pairs[place] in pairs[:place]


@lru_cache
def trigrams_of(n_trigrams: int, seq_len: int, table_seed: int) -> tuple[SkipTrigrams, Any]:
    """A kind of sequences, and its compiled draw of 30: the table is part of the program."""
    kind = SkipTrigrams(n_trigrams=n_trigrams, seq_len=seq_len, vocabulary=40, table_seed=table_seed, examples=2)
    return kind, jax.jit(lambda key: kind._draw(kind.table(), key, 30))


@pytest.mark.parametrize(("n_trigrams", "seq_len"), [(2, 2), (12, 8), (30, 5)])
@given(table_seed=st.sampled_from([1, 2**32 - 1]), seed=st.integers(0, 2**32 - 1))
def test_a_sequence_holds_one_trigram_of_the_table(n_trigrams: int, seq_len: int, table_seed: int, seed: int) -> None:
    kind, draw = trigrams_of(n_trigrams, seq_len, table_seed)
    table = {(a, b): c for a, b, c in kind.table().tolist()}
    tokens, targets, mask = draw(jax.random.key(seed))
    assert np.asarray(mask).all()
    for row, (target,) in zip(np.asarray(tokens).tolist(), np.asarray(targets).tolist(), strict=True):
        assert {table[a, row[-1]] for a in row[:-1] if (a, row[-1]) in table} == {target}


@given(n_trigrams=st.sampled_from([2, 12, 30]), seed=st.integers(0, 2**32 - 1))
def test_trigrams_of_a_table_differ_in_their_answers(n_trigrams: int, seed: int) -> None:
    rows = SkipTrigrams(n_trigrams=n_trigrams, vocabulary=40, table_seed=seed).table().tolist()
    table = {(a, b): c for a, b, c in rows}
    assert len(table) == len(set(table.values())) == n_trigrams


@pytest.mark.parametrize("kind", KINDS)
def test_examples_differ_and_are_functions_of_the_seed(kind: str) -> None:
    task = KINDS[kind].build()
    assert len(np.unique(task.inputs, axis=0)) == task.n_inputs == 40
    np.testing.assert_array_equal(KINDS[kind].build().inputs, task.inputs)
    assert (with_data(kind, "finite", data_seed=1).inputs != task.inputs).any()
    assert task.inputs.min() >= 0
    assert task.inputs.max() < task.d_vocab
    assert task.targets.max() < task.n_classes
    assert task.shape.reads == task.reads
    assert task.targets.shape == (40, task.reads[1] - task.reads[0])


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_batches_are_functions_of_the_key(kind: str) -> None:
    draw = with_data(kind, "infinite").draw
    assert draw is not None
    compiled = jax.jit(draw, static_argnums=1)
    one, again, other = (compiled(jax.random.key(k), 16) for k in (3, 3, 4))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (np.asarray(one[0]) != np.asarray(other[0])).any()
    if kind == "digits":
        # the other kinds would compile a hundred operations for it, one by one
        for a, b in zip(one, draw(jax.random.key(3), 16), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_same_numbers_everywhere() -> None:
    """The first examples, as they are on every machine."""
    assert DigitAddition(n_digits=2, examples=3).build().inputs.tolist() == DIGITS
    assert SkipTrigrams().table()[:3].tolist() == [[10, 7, 16], [13, 19, 9], [10, 19, 22]]


DIGITS = [[1, 1, 10, 7, 7, 11, 0, 8, 8], [6, 4, 10, 7, 7, 11, 1, 4, 1], [3, 0, 10, 5, 5, 11, 0, 8, 5]]


def test_fixed_examples_are_split_and_fresh_ones_are_all_test_set() -> None:
    rows = make_split(Split(n_train=30), with_data("digits", "finite"), 0)
    assert (len(rows.train), len(rows.test), rows.train_targets.shape) == (30, 10, (30, 4))
    fresh = with_data("digits", "infinite")
    rows = make_split(Split(frac_train=0.3), fresh, 0)
    assert (len(rows.train), len(rows.test), rows.train_targets.shape) == (0, 40, (0, 4))
    with pytest.raises(InputError, match=r"split.label_noise = 0.1: needs a fixed training set"):
        make_split(Split(n_train=3, label_noise=0.1), fresh, 0)
    with pytest.raises(InputError, match=r"split.label_noise = 0.1: needs a task with one answer"):
        make_split(Split(n_train=3, label_noise=0.1), with_data("digits", "finite"), 0)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (DigitAddition(n_digits=1, examples=101), r"task.examples = 101: is too many: there are 100 different ones"),
        (RepeatedSubsequence(subsequence=29), r"task.subsequence = 29: needs to be at most 28"),
        (SkipTrigrams(vocabulary=8), r"task.vocabulary = 8: needs at least 12 tokens for 12 trigrams"),
    ],
)
def test_what_cannot_be_is_refused(task: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        task.build()
