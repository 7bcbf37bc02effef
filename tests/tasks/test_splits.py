from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import groklab as gl
from groklab.errors import InputError
from groklab.tasks import Arithmetic, ScheduledSplit, Split, Task, find_split, make_split
from groklab.tasks._splits import _torch_randperm, candidates

P113 = Arithmetic(p=113).build()
P11 = Arithmetic(p=11).build()
PEER = Arithmetic(p=97, layout="a op b", outputs="vocabulary", operand_range="vocabulary").build()


def pairs(task: Task, rows: np.ndarray) -> list[tuple[int, int]]:
    columns = [i for i, constant in enumerate(task.shape.constants) if constant is None]
    return [tuple(row) for row in task.inputs[rows][:, columns].tolist()]


@pytest.mark.parametrize(
    ("task", "method", "seed", "first"),
    [
        # Nanda et al. 2023, section 3: five first training pairs of the authors' code
        (P113, "python_shuffle", 0, [(18, 34), (10, 83), (55, 28), (25, 51), (63, 65)]),
        (P113, "python_shuffle", 1, [(58, 58), (76, 57), (60, 23), (100, 89), (29, 27)]),
        # Furuta et al. 2024: operands of the published code run over all 102 tokens
        (PEER, "python_shuffle", 0, [(58, 84), (31, 88), (25, 27), (23, 96), (92, 98)]),
        # the TransformerLens demonstration
        (P113, "torch_randperm", 598, [(21, 31), (30, 98), (47, 10), (86, 21), (99, 83)]),
    ],
)
def test_published_splits(task: Task, method: str, seed: int, first: list[tuple[int, int]]) -> None:
    for n in range(1, 6):  # the n first ones, so that their order is tested, too
        rows = make_split(Split(n_train=n, method=method), task, seed)
        assert sorted(pairs(task, rows.train)) == sorted(first[:n])


def test_published_sizes() -> None:
    nanda = make_split(Split(frac_train=0.3), P113, 0)
    assert (len(nanda.train), len(nanda.test)) == (3830, 8939)
    furuta = make_split(Split(frac_train=0.3), PEER, 0)
    assert (len(furuta.train), len(furuta.test)) == (3121, 7283)
    division = make_split(Split(frac_train=0.5), Arithmetic(p=61, expression="x/y").build(), 0)
    assert (len(division.train), len(division.test)) == (1830, 1830)


@pytest.mark.parametrize("seed", [0, 598, 2**32 - 1, 2**32 + 5])
def test_torch_randperm_is_torchs(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch's own permutation")
    for n in (1, 2, 5, 1000, 12769):
        generator = torch.Generator()
        generator.manual_seed(seed)
        assert _torch_randperm(n, seed) == torch.randperm(n, generator=generator).tolist()


def test_the_portable_split_is_fixed_for_ever() -> None:
    assert make_split(Split(n_train=6), P113, 0).train.tolist() == [1926, 5820, 7552, 9232, 9334, 10614]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["random", "python_shuffle", "torch_randperm"]),
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(1, 120), min_size=1, max_size=4),
    st.floats(0, 0.99),
)
def test_splits_are_partitions_with_nested_phases(method: str, seed: int, sizes: list[int], noise: float) -> None:
    schedule = tuple(ScheduledSplit(step=10 * i + 10, n_train=n) for i, n in enumerate(sizes[1:]))
    split = Split(n_train=sizes[0], method=method, label_noise=noise, schedule=schedule)
    rows = make_split(split, P11, seed)
    assert sorted([*rows.train.tolist(), *rows.test.tolist()]) == list(range(121))
    assert (np.diff(rows.train) > 0).all()
    assert (np.diff(rows.test) > 0).all()
    assert rows.train.dtype == rows.test.dtype == rows.train_targets.dtype == rows.schedule_steps.dtype == np.int32
    assert rows.schedule_steps.tolist() == [0, *(phase.step for phase in schedule)]
    assert rows.schedule_weights.dtype == np.float64
    assert np.allclose(rows.schedule_weights.sum(axis=1), 1, rtol=1e-12)
    for n, weights in zip(sizes, rows.schedule_weights, strict=True):
        alone = make_split(Split(n_train=n, method=method), P11, seed)
        assert rows.train[weights > 0].tolist() == alone.train.tolist()
    changed = rows.train_targets != P11.targets[rows.train]
    assert changed.sum() == int(noise * max(sizes))
    assert rows.train_targets.min() >= 0
    assert rows.train_targets.max() < 11


def test_the_split_has_seeds_of_its_own() -> None:
    by_experiment = make_split(Split(n_train=60, label_noise=0.5), P11, 3)
    own = make_split(Split(n_train=60, label_noise=0.5, seed=3), P11, 99)
    other_noise = make_split(Split(n_train=60, label_noise=0.5, noise_seed=8), P11, 3)
    assert np.array_equal(by_experiment.train, own.train)
    assert np.array_equal(by_experiment.train_targets, own.train_targets)
    assert np.array_equal(by_experiment.train, other_noise.train)
    assert not np.array_equal(by_experiment.train_targets, other_noise.train_targets)


def test_noisy_labels_are_uniform_over_the_other_answers() -> None:
    task = Arithmetic(p=5, expression="xyz", layout="a op b", outputs="vocabulary").build()
    shifts = np.zeros(5, dtype=int)
    for seed in range(100):
        rows = make_split(Split(n_train=120, label_noise=0.9), task, seed)
        shifts += np.bincount((rows.train_targets - task.targets[rows.train]) % 5, minlength=5)
    assert shifts[0] == 100 * 12
    assert (abs(shifts[1:] - 2700) < 5 * 45).all()  # standard deviation sqrt(10800 * 3/16) = 45


@pytest.mark.parametrize(
    ("split", "field", "part"),
    [
        (Split(), "split", "exactly one"),
        (Split(frac_train=0.5, n_train=3), "split", "exactly one"),
        (Split(frac_train=0.001), "split.frac_train", "no training input; the task has 121 inputs"),
        (Split(n_train=121), "split.n_train", "no test input; the task has 121 inputs"),
        (Split(frac_train=1.0), "split.frac_train", "below 1"),
        (Split(frac_train=float("nan")), "split.frac_train", "below 1"),
        (Split(n_train=5, seed=-1), "split.seed", "2**64"),
        (Split(n_train=5, method="sorted"), "split.method", "python_shuffle"),
        (Split(n_train=5, label_noise=1.0), "split.label_noise", "below 1"),
        (Split(n_train=5, label_noise=0.5, noise_seed=-1), "split.noise_seed", "2**64"),
        (Split(n_train=5, schedule=(ScheduledSplit(step=3),)), "split.schedule.0", "exactly one"),
        (Split(n_train=5, schedule=(ScheduledSplit(step=0, n_train=9),)), "split.schedule.0.step", "above 0"),
        (Split(n_train=5, schedule=(ScheduledSplit(step=3, n_train=200),)), "split.schedule.0.n_train", "no test"),
    ],
)
def test_impossible_splits(split: Split, field: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        make_split(split, P11, 0)
    assert caught.value.field == field
    assert part in str(caught.value)


def test_noise_needs_a_second_answer() -> None:
    task = Arithmetic(p=5, expression="0x", modular=False).build()
    with pytest.raises(InputError, match="one answer only"):
        make_split(Split(n_train=2, label_noise=0.5), task, 0)


def test_an_experiment_can_describe_a_split() -> None:
    adapter = TypeAdapter(Split)
    described = {"frac_train": 0.3, "schedule": [{"step": 100, "frac_train": 0.5}]}
    assert adapter.validate_python(described) == Split(
        frac_train=0.3, schedule=(ScheduledSplit(step=100, frac_train=0.5),)
    )
    for wrong in ({"frac": 0.3}, {"frac_train": 1.5}, {"n_train": 0}, {"frac_train": float("nan")}, {"method": "x"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_rows_can_be_given_and_taken_in_order() -> None:
    task = Arithmetic(p=5).build()
    given = make_split(Split(rows=(7, 2, 11)), task, seed=9)
    assert given.train.tolist() == [2, 7, 11]
    assert len(given.test) == 22
    assert not set(given.test) & set(given.train)
    np.testing.assert_allclose(given.schedule_weights, np.full((1, 3), 1 / 3))
    first = make_split(Split(n_train=4, method="in_order"), task, seed=9)
    assert first.train.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (Split(rows=(1, 1)), "different rows"),
        (Split(rows=(1, 25)), "0 to 24"),
        (Split(rows=()), "no training input"),
        (Split(rows=tuple(range(25))), "no test input"),
        (Split(rows=(1,), n_train=3), "without frac_train"),
    ],
)
def test_rows_that_make_no_split_are_refused(split: Split, sentence: str) -> None:
    task = Arithmetic(p=5).build()
    with pytest.raises(InputError, match=sentence):
        make_split(split, task, seed=0)


@pytest.fixture(scope="module")
def task() -> Task:
    return gl.preset("demo", {"task.p": 29}).task.build()  # type: ignore[no-any-return]


def losses_of(task: Task, split: Split, train: float, test: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    losses = test * rng.lognormal(0, 1, task.n_inputs)
    rows = make_split(split, task, 0).train
    losses[rows] = train * rng.lognormal(0, 1, len(rows))
    return losses


@pytest.mark.parametrize("number", range(0, 101, 9))
def test_each_is_found(number: int, task: Task) -> None:
    split = list(candidates())[number]
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    found = find_split(task, losses, losses[rows.train].mean() * 1.0001, losses[rows.test].mean() * 1.0001)
    assert found is not None
    assert found[0] == split
    assert "agree" in found[1]


def test_the_demonstrations_own(task: Task) -> None:
    split = Split(method="torch_randperm", seed=598, frac_train=0.3)
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    found = find_split(task, losses, losses[rows.train].mean(), losses[rows.test].mean())
    assert found is not None
    assert found[0] == split


def test_what_tells_nothing_is_not_taken(task: Task) -> None:
    alike = np.full(task.n_inputs, 1e-7)
    assert find_split(task, alike, 1e-7, 1e-7) is None
    other = losses_of(task, Split(method="random", seed=4, frac_train=0.3), 1e-8, 1e-6)
    assert find_split(task, other, 1e-8, 1e-6) is None
    for nothing in (0.0, np.nan, np.inf):
        assert find_split(task, other, nothing, 1e-6) is None


def test_the_papers_fraction_is_taken_of_two_that_agree_alike(task: Task) -> None:
    split = Split(method="python_shuffle", seed=2, frac_train=0.28)
    losses = losses_of(task, split, 1e-8, 1e-6)
    rows = make_split(split, task, 0)
    # a step of noise that hides the difference of two per cent of the inputs
    found = find_split(task, losses, losses[rows.train].mean() * 1.2, losses[rows.test].mean() * 1.1)
    assert found is None or found[0].seed == 2
