from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import groklab as gl
from groklab.errors import InputError
from groklab.tasks import Group, not_associative
from groklab.tasks._groups import checked_table, named_table

ORDERS = {"S3": 6, "S4": 24, "A3": 3, "A4": 12, "D1": 2, "D2": 4, "D5": 10, "C7": 7, "Q8": 8, "C2xC3": 6, "S3xC2": 12}


def nested(table: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(x) for x in row) for row in table)


def orders(table: np.ndarray) -> list[int]:
    """Order of each element, ascending: tells small groups apart."""
    found = []
    for element in range(len(table)):
        power, count = element, 1
        while power != 0:
            power, count = int(table[power, element]), count + 1
        found.append(count)
    return sorted(found)


@pytest.mark.parametrize("name", ORDERS)
def test_named_groups_are_groups_of_their_order(name: str) -> None:
    table = named_table(name)
    n = ORDERS[name]
    assert table.shape == (n, n)
    numbers = np.arange(n)
    np.testing.assert_array_equal(table[0], numbers)
    np.testing.assert_array_equal(table[:, 0], numbers)
    np.testing.assert_array_equal(np.sort(table, axis=0), np.tile(numbers[:, None], n))
    np.testing.assert_array_equal(np.sort(table, axis=1), np.tile(numbers, (n, 1)))
    assert all(table[table[a, b], c] == table[a, table[b, c]] for a, b, c in itertools.product(range(n), repeat=3))


def test_names_tell_the_groups_they_are_said_to_be() -> None:
    assert orders(named_table("Q8")) == [1, 2, 4, 4, 4, 4, 4, 4]
    assert orders(named_table("D4")) == [1, 2, 2, 2, 2, 2, 4, 4]
    assert orders(named_table("C2xC3")) == orders(named_table("C6"))
    assert orders(named_table("C2xC2")) == orders(named_table("D2")) == [1, 2, 2, 2]
    assert orders(named_table("D3")) == orders(named_table("S3"))
    assert orders(named_table("A4")) == [1, 2, 2, 2, *[3] * 8]
    # i j = k, j i = -k
    q = named_table("Q8")
    assert (q[2, 4], q[4, 2], q[2, 2]) == (6, 7, 1)


def test_the_first_permutation_is_applied_first() -> None:
    task = Group(group="S3").build()
    elements = list(itertools.permutations(range(3)))
    for (a, b), answer in zip(task.algebra.operands, task.targets, strict=True):
        assert elements[answer] == tuple(elements[b][elements[a][x]] for x in range(3))
    assert (task.n_inputs, task.d_vocab, task.n_classes, task.n_ctx) == (36, 7, 6, 3)
    assert task.algebra.p is None
    assert not task.algebra.commutative
    np.testing.assert_array_equal(task.algebra.table[tuple(task.algebra.operands.T)], task.targets)
    assert Group(group="S3", layout="a b").build().d_vocab == 6


def test_a_cyclic_group_is_modular_addition() -> None:
    task = Group(group="C7", layout="a b").build()
    other = gl.tasks.Arithmetic(p=7, layout="a b").build()
    np.testing.assert_array_equal(task.inputs, other.inputs)
    np.testing.assert_array_equal(task.targets, other.targets)
    assert task.algebra.commutative


def test_generators_are_closed_up() -> None:
    made = Group(permutations=((1, 2, 0), (1, 0, 2))).build()
    np.testing.assert_array_equal(made.algebra.table, named_table("S3"))
    assert Group(permutations=((1, 2, 3, 4, 0),)).build().n_classes == 5
    # the alternating group, from its 3-cycles
    assert Group(permutations=((1, 2, 0, 3), (0, 2, 3, 1))).build().n_classes == 12


@given(st.sampled_from(["S3", "Q8", "D5", "C2xC3"]), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_a_renumbered_table_is_the_same_group_and_one_changed_entry_is_none(name: str, random: object) -> None:
    table = named_table(name)
    new = np.random.default_rng(random.randrange(2**32)).permutation(len(table))  # type: ignore[attr-defined]
    renumbered = np.empty_like(table)
    renumbered[np.ix_(new, new)] = new[table]
    np.testing.assert_array_equal(checked_table(nested(renumbered)), renumbered)
    assert Group(table=nested(renumbered)).build().algebra.commutative == bool((table == table.T).all())
    renumbered[1, 2] = (renumbered[1, 2] + 1) % len(table)
    with pytest.raises(InputError):
        checked_table(nested(renumbered))


@given(st.integers(2, 5), st.integers(0, 10_000))
def test_associativity_is_found_as_by_trying_all_triples(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # half of them associative: projections, minima, groups
    kinds = [np.add.outer(range(n), range(n)) % n, np.minimum.outer(range(n), range(n)), np.tile(np.arange(n), (n, 1))]
    table = kinds[seed % 3].astype(np.int64) if seed % 2 else rng.integers(0, n, (n, n))
    triples = itertools.product(range(n), repeat=3)
    broken = [(a, b, c) for a, b, c in triples if table[table[a, b], c] != table[a, table[b, c]]]
    found = not_associative(table)
    assert (found is None) == (not broken)
    assert found is None or found in broken


LOOP = ((0, 1, 2, 3, 4), (1, 0, 3, 4, 2), (2, 4, 0, 1, 3), (3, 2, 4, 0, 1), (4, 3, 1, 2, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one"),
        ({"group": "S3", "table": ((0, 1), (1, 0))}, "exactly one"),
        ({"group": "M11"}, "name such as"),
        ({"group": "S0"}, "name such as"),
        ({"group": "Q16"}, "name such as"),
        ({"group": "S3x"}, "name such as"),
        ({"group": "S8"}, "5,040"),
        ({"group": "C99xC99"}, "5,040"),
        ({"group": "A2"}, "two elements"),
        ({"table": ((0, 1), (1,))}, "as many columns"),
        ({"table": ()}, "as many columns"),
        ({"table": ((0, 1), (1, 2))}, "from 0 to 1"),
        ({"table": ((1, 0), (1, 0))}, "identity"),
        ({"table": ((0, 1), (1, 1))}, "inverse"),
        ({"table": LOOP}, "do not obey"),
        ({"permutations": ()}, "permutations"),
        ({"permutations": ((0, 2),)}, "each once"),
        ({"permutations": ((1, 0), (0, 1, 2))}, "each once"),
        ({"permutations": ((1, 2, 3, 4, 5, 6, 7, 0), (1, 0, 2, 3, 4, 5, 6, 7))}, "5,040"),
        ({"group": "S3", "layout": "a op b"}, "task.layout"),
    ],
)
def test_what_is_no_group_is_refused_in_a_sentence(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as found:
        Group(**settings).build()  # type: ignore[arg-type]
    assert "\n" not in str(found.value)


def test_an_experiment_reads_a_table(tmp_path: object) -> None:
    table = nested(named_table("S3"))
    experiment = gl.read({"task": {"kind": "group", "table": table}, "split": {"frac_train": 0.5}})
    assert experiment.task.table == table
    assert gl.read(experiment.to_dict()) == experiment
