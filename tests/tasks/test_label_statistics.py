"""Label statistics against SciPy, against single operations, and against reference values of published operations."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from groklab.errors import InputError
from groklab.tasks import (
    FURUTA_OPERATIONS,
    Arithmetic,
    LabelCounts,
    Mixture,
    Split,
    Task,
    TeacherStudent,
    label_statistics,
    make_split,
)
from groklab.tasks._label_statistics import divergence, entropy

SEEDS = 20
UNIFORM = "add subtract 2x_y 2x_m_y 2x_3y 2x_m_3y x2_y x2_m_y x3_2y x3_m_2y x5_y5 x7_y7"
#: Operations; labels, largest and smallest count, entropy, KL(train||test) of 100 splits as a range, entropies of
#: training and test set: p = 97, 30% of the pairs, in nats.
REFERENCE = [
    (f"{UNIFORM} x_plus_y_power_5 x_plus_y_power_7", 97, 97, 97, 4.5747, (0.0239, 0.0247), 4.563, 4.5725),
    (
        "multiply xy_x_y xy_y xy_m_y x2_xy_y2 x2_xy_y2_x x3_xy x2_y2 x2_m_y2",
        *(97, 193, 96, 4.5707, (0.0232, 0.0248), 4.559, 4.5686),
    ),
    ("x3_xy2_y", 97, 113, 77, 4.5698, (0.0245, 0.0245), 4.558, 4.5676),
    ("x3_y3", 97, 289, 81, 4.5512, (0.0245, 0.0245), 4.539, 4.549),
    ("x4_y4", 97, 385, 40, 4.4796, (0.0239, 0.0239), 4.468, 4.478),
    ("x6_y6", 97, 577, 12, 4.3149, (0.0241, 0.0241), 4.304, 4.313),
    ("x_plus_y_power_2 x_minus_y_power_2 x_plus_y_power_2_x_y", 49, 194, 97, 3.8887, (0.0121, 0.0121), 3.883, 3.888),
    ("x_plus_y_power_3 x_minus_y_power_3", 33, 291, 97, 3.4874, (0.0082, 0.0082), 3.483, 3.487),
    ("x_plus_y_power_4 x_minus_y_power_4", 25, 388, 97, 3.2027, (0.006, 0.006), 3.200, 3.202),
    ("x_plus_y_power_6", 17, 582, 97, 2.8014, (0.0040, 0.0040), 2.800, 2.801),
]


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: row[0].split()[0])
def test_reference_values(row: tuple) -> None:
    names, labels, largest, smallest, whole, (low, high), train, test = row
    for name in names.split():
        found = label_statistics(Arithmetic(p=97, expression=name, layout="a b").build(), seeds=SEEDS)
        assert (found.inputs, found.n_train, found.n_test) == (9409, 2822, 6587)
        assert (found.labels, found.largest_count, found.smallest_count) == (labels, largest, smallest)
        assert found.entropy == pytest.approx(whole, abs=5e-5), name
        # both means are of random splits; the last digit of the reference is rounded
        noise = 4 * np.sqrt(1 / SEEDS + 1 / 100)
        assert low - noise * found.kl.sd - 5e-5 <= found.kl.mean <= high + noise * found.kl.sd + 5e-5
        for part, value in ((found.train_entropy, train), (found.test_entropy, test)):
            assert part.mean == pytest.approx(value, abs=noise * part.sd + 5e-4), name
        assert found.infinite == 0


def test_the_reference_covers_every_operation_of_the_paper() -> None:
    assert sorted(" ".join(row[0] for row in REFERENCE).split()) == sorted(FURUTA_OPERATIONS)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=8))
def test_entropy_and_divergence_are_those_of_scipy(counts: list[tuple[int, int]]) -> None:
    train, test = np.array(counts).T
    if not train.any():
        train = train + 1
    assert entropy(train) == pytest.approx(scipy.stats.entropy(train), abs=1e-12)
    assert divergence(train, test) == pytest.approx(scipy.stats.entropy(train, test), abs=1e-12)


def test_a_label_absent_from_the_test_set_makes_the_divergence_infinite() -> None:
    assert divergence([1, 2], [3, 0]) == float("inf")
    assert divergence([1, 0], [3, 4]) == pytest.approx(np.log(7 / 3))
    # unreduced addition has one pair for its smallest and one for its largest answer
    task = Arithmetic(p=7, expression="add_unreduced", layout="a b").build()
    split = Split(frac_train=0.5)
    found = label_statistics(task, split, seeds=12)
    one_sided = 0
    for seed in range(12):
        rows = make_split(split, task, seed)
        one_sided += not set(task.targets[rows.train].tolist()) <= set(task.targets[rows.test].tolist())
    assert found.infinite == one_sided > 0
    assert found.kl is None
    smooth = label_statistics(task, split, seeds=12, smoothing=1.0)
    assert smooth.infinite == 0
    by_hand = []
    for seed in range(12):
        rows = make_split(split, task, seed)
        train, test = (np.bincount(task.targets[part], minlength=13) + 1 for part in (rows.train, rows.test))
        by_hand.append(scipy.stats.entropy(train, test))
    assert smooth.kl.mean == pytest.approx(np.mean(by_hand))
    assert smooth.kl.sd == pytest.approx(np.std(by_hand, ddof=1))
    assert (smooth.kl.low, smooth.kl.high) == pytest.approx((min(by_hand), max(by_hand)))


def test_chance_says_what_random_splits_give() -> None:
    for expression in ("x + y", "(x + y)^2", "x*y"):
        found = label_statistics(Arithmetic(p=97, expression=expression).build(), Split(frac_train=0.5), seeds=40)
        # terms of second order are the share of one label's count in training
        tolerance = 0.03 * found.kl_by_chance + 4 * found.kl.sd / np.sqrt(40)
        assert found.kl.mean == pytest.approx(found.kl_by_chance, abs=tolerance)


def test_each_operation_of_a_mixture_is_counted_as_it_is_alone() -> None:
    expressions = ("x + y", "x^2 + y^2", "x*y")
    found = label_statistics(Mixture(p=11, expressions=expressions).build(), seeds=4)
    assert list(found.by_operation) == list(expressions)
    for expression, own in found.by_operation.items():
        alone = label_statistics(Arithmetic(p=11, expression=expression).build(), seeds=4)
        assert own == LabelCounts(**{field.name: getattr(alone, field.name) for field in fields(LabelCounts)})
    assert found.inputs == 3 * 121
    assert found.kl_by_chance is None


def test_operands_that_run_over_the_vocabulary() -> None:
    task = Arithmetic(p=97, expression="add", layout="a op b", outputs="vocabulary", operand_range="vocabulary").build()
    found = label_statistics(task, Split(frac_train=0.3, method="python_shuffle"), seeds=1)
    assert (found.inputs, found.n_train, found.n_test) == (10404, 3121, 7283)
    assert found.labels == 97
    counts = np.bincount((np.arange(102)[:, None] + np.arange(102)).ravel() % 97)
    assert (found.largest_count, found.smallest_count) == (counts.max(), counts.min())
    assert found.kl.sd is None


def test_label_noise_counts_as_it_is_trained_on() -> None:
    task = Arithmetic(p=11, expression="(x + y)^2").build()
    plain = label_statistics(task, Split(frac_train=0.5), seeds=3)
    noisy = label_statistics(task, Split(frac_train=0.5, label_noise=0.5), seeds=3)
    assert noisy.test_entropy == plain.test_entropy
    assert noisy.train_entropy.low > plain.train_entropy.high
    # answers that are no squares are trained on and never tested
    assert noisy.infinite == 3
    assert label_statistics(task, Split(frac_train=0.5, label_noise=0.5), seeds=3, smoothing=0.5).infinite == 0


def test_several_answers_a_row_all_count() -> None:
    answers = np.array([[0, 1], [1, 1], [1, 2], [0, 2]], np.int32)
    mask = np.array([[True, True], [True, False], [True, True], [True, True]])
    inputs = np.arange(12, dtype=np.int32).reshape(4, 3)
    task = Task("two answers", inputs, answers, d_vocab=12, n_classes=3, reads=(1, 3), mask=mask)
    found = label_statistics(task, Split(rows=(0, 1)), seeds=2)
    assert found.entropy == pytest.approx(entropy([2, 3, 2]))
    assert found.train_entropy.mean == pytest.approx(entropy([1, 2]))
    assert found.test_entropy.mean == pytest.approx(entropy([1, 1, 2]))
    assert found.kl.mean == pytest.approx(scipy.stats.entropy([1, 2, 0], [1, 1, 2]))
    assert found.kl_by_chance is None


def test_what_has_no_such_statistics_is_refused() -> None:
    task = Arithmetic(p=5).build()
    for settings, message in (({"seeds": 0}, "from 1 to 10,000"), ({"smoothing": -1.0}, "at least 0")):
        with pytest.raises(InputError, match=message):
            label_statistics(task, **settings)
    with pytest.raises(InputError, match="frac_train"):
        label_statistics(task, Split(frac_train=0.01))
    with pytest.raises(InputError, match="not classes"):
        label_statistics(TeacherStudent(examples=10).build())
    with pytest.raises(InputError, match="at each step"):
        label_statistics(replace(task, draw=lambda key, n: (key, n, n)))
