"""Members made ready to train together: data, hyperparameters and lanes of blocks, and what training will cost."""

from __future__ import annotations

import fnmatch
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from groklab import components, grokking
from groklab.components import Carried
from groklab.device import cores, dense, on_gpu, require_memory
from groklab.errors import InputError, did_you_mean
from groklab.experiment import Experiment
from groklab.lazy import jax, jnp
from groklab.learners import Program, Span
from groklab.registry import fingerprint
from groklab.tasks import SplitRows, Task, TaskSettings, TaskShape, in_transpose, make_split
from groklab.training._interventions import check_interventions

#: Lanes of one compiled block on a CPU, at most, and the floating-point operations of a step and the bytes of weights,
#: gradients and moments up to which it is filled. Measured: the smallest models run as fast in 8 lanes as alone, and
#: share their calls' overhead; the 46,000 weights of the effective theory's toy fill a core's cache by themselves, and
#: run a tenth slower in 4 lanes; the transformer at p=59 runs at two thirds of its speed in 4. On a GPU all members are
#: one block.
CPU_LANES = 8
CPU_BLOCK_FLOPS = 1e8
CPU_BLOCK_BYTES = 1e6
#: Seconds a step that any program needs besides its matrix products, which run at about the matrix-multiply rate:
#: mostly calls of small kernels.
OVERHEAD = 8e-5


@dataclass(frozen=True)
class Ensemble:
    """Experiments that share one compiled program, with their tasks and splits."""

    experiments: tuple[Experiment, ...]
    tasks: tuple[Task, ...]
    splits: tuple[SplitRows, ...]

    @property
    def n_members(self) -> int:
        """How many models."""
        return len(self.experiments)

    def hyperparameters(self, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the hyperparameters of some members, stacked, in the experiment's dtype."""
        dtype = np.dtype(self.experiments[0].dtype)
        rows = [self.experiments[i].hyperparameters for i in lanes]
        return {name: np.array([row[name] for row in rows], dtype) for name in rows[0]}

    def keys(self, lanes: Sequence[int]) -> jax.Array:
        """Return one random key per member, from its seed."""
        return jax.vmap(jax.random.key)(np.array([self.experiments[i].seed for i in lanes], np.uint32))

    def raw_data(self, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        """Stack rows, targets and weights of some members, padded to the largest member of the ensemble."""
        dtype = np.dtype(self.experiments[0].dtype)
        n_train = max(len(s.train) for s in self.splits)
        n_test = max(len(s.test) for s in self.splits)
        n_sets = max(len(s.schedule_steps) for s in self.splits)
        learner = self.experiments[0].learner
        stacked: dict[str, list[np.ndarray]] = {}
        for i in lanes:
            task, split = self.tasks[i], self.splits[i]
            inputs = _inputs_for(self.experiments[0], task)
            answers = task.targets if task.values is None else task.values.astype(dtype)
            trained = split.train_targets if task.values is None else answers[split.train]
            factor = task.loss_factor if learner.scales_losses else 1.0
            one = {
                "train_inputs": _pad(inputs[split.train], n_train, repeat=True),
                "train_targets": _pad(trained, n_train),
                # a training set that never comes pads members that change theirs less often
                "schedule_steps": _pad(split.schedule_steps, n_sets, fill=np.iinfo(np.int32).max),
                "schedule_weights": _pad(_pad(split.schedule_weights.T * factor, n_train).T, n_sets).astype(dtype),
                "test_inputs": _pad(inputs[split.test], n_test, repeat=True),
                "test_targets": _pad(answers[split.test], n_test),
                "test_weights": _pad(np.full(len(split.test), factor / len(split.test)), n_test).astype(dtype),
            }
            if task.operations is not None:
                one["train_operations"] = _pad(task.operations[split.train], n_train)
                one["test_operations"] = _pad(task.operations[split.test], n_test)
            if learner.needs_transposes:
                transposed = in_transpose(task, split.train)
                known = np.ones(task.n_inputs, np.bool_) if transposed is None else transposed
                one["test_transposed"] = _pad(known[split.test], n_test)
            if task.mask is not None:
                one["train_mask"] = _pad(task.mask[split.train], n_train)
                one["test_mask"] = _pad(task.mask[split.test], n_test)
            for name, value in one.items():
                stacked.setdefault(name, []).append(value)
        return {name: np.stack(values) for name, values in stacked.items()}

    def blocks(self) -> list[list[int]]:
        """Return the lanes of each block, all equally wide: the last is filled up with repeats of its last lane."""
        width = self.width
        lanes = [list(range(i, min(i + width, self.n_members))) for i in range(0, self.n_members, width)]
        lanes[-1] += [lanes[-1][-1]] * (width - len(lanes[-1]))
        return lanes

    def blocks_of(self, members: Sequence[int]) -> list[list[int]]:
        """Return blocks of some members: full ones, and the rest in the narrowest power of two, filled up as above."""
        lanes = [list(members[i : i + self.width]) for i in range(0, len(members), self.width)]
        if lanes:
            width = min(self.width, 2 ** math.ceil(math.log2(len(lanes[-1]))))
            lanes[-1] += [lanes[-1][-1]] * (width - len(lanes[-1]))
        return lanes

    @cached_property
    def width(self) -> int:
        """Lanes of a block."""
        width_limit = self.experiments[0].learner.max_lanes or self.n_members
        if width_limit > 1 and jax.devices()[0].platform == "cpu":
            rows = max(len(s.train) for s in self.splits)
            flops = step_flops(self.experiments[0], self.tasks[0], rows)
            e, task = self.experiments[0], self.tasks[0]
            size = 4 * np.dtype(e.dtype).itemsize * parameter_count(e, task)
            quick = max(1, int(min(CPU_BLOCK_FLOPS / flops, CPU_BLOCK_BYTES / size)))
            width_limit = min(width_limit, CPU_LANES, quick)
        n_blocks = -(-self.n_members // width_limit)
        return -(-self.n_members // n_blocks)


def make_ensemble(experiments: Sequence[Experiment]) -> Ensemble:
    """Build tasks and splits; raises InputError where members cannot share one program."""
    if not experiments:
        raise InputError("needs at least one experiment")
    first = experiments[0]
    for other in experiments[1:]:
        for what in ("program", "budget", "evaluation", "checkpoints"):
            if getattr(other, what) != getattr(first, what):
                raise InputError(
                    f"members of one ensemble may differ in seed, split, task and hyperparameters, but not in {what}: "
                    "train them as runs of their own"
                )
    if first.budget.retire and not first.budget.stop_when_grokked:
        raise InputError(
            "budget.retire", True, "needs budget.stop_when_grokked=true, the rule that each member follows"
        )
    largest = float(np.finfo(first.dtype).max)
    for name, value in (item for e in experiments for item in e.hyperparameters.items()):
        if abs(value) > largest:
            raise InputError(name, value, f"needs to be at most {largest:.4g} in {first.dtype}")
    tasks = tuple(build_task(e) for e in experiments)
    _check_data(experiments, tasks)
    names = weight_shapes(first, tasks[0])
    for part in ("groups", "clamps"):
        for pattern in getattr(first.optimiser, part, ()):
            if not fnmatch.filter(names, pattern):
                hint = did_you_mean(pattern, names)
                raise InputError(f"optimiser.{part}.{pattern}: matches no weight{hint}; allowed: {', '.join(names)}")
    splits = tuple(make_split(e.split, t, e.seed) for e, t in zip(experiments, tasks, strict=True))
    every = first.evaluation.every or default_every(first, tasks[0])
    for experiment, task, split in zip(experiments, tasks, splits, strict=True):
        check_interventions(experiment, task, split, names, every)
    require_memory("training this", memory_estimate(experiments, tasks, splits))
    return Ensemble(tuple(experiments), tasks, splits)


def _check_data(experiments: Sequence[Experiment], tasks: Sequence[Task]) -> None:
    first, task = experiments[0], tasks[0]
    if any(t.shape != task.shape for t in tasks):
        raise InputError("members of one ensemble need tasks of the same vocabulary, length and number of classes")
    first.learner.check(first, task)
    # (the program itself draws the data)
    if any((t.draw is None) != (task.draw is None) for t in tasks) or (
        task.draw is not None and any(e.to_dict()["task"] != first.to_dict()["task"] for e in experiments)
    ):
        raise InputError("members of one ensemble with infinite data need one and the same task")


def _inputs_for(experiment: Experiment, task: Task) -> np.ndarray:
    """Return the (N, n_ctx) tokens or (N, n_features) real numbers that the experiment's learner reads of the task."""
    if task.features is None or not experiment.model.reads_features:
        return task.inputs
    return np.asarray(task.features, experiment.dtype) if experiment.learner.casts_inputs else task.features


def build_task(experiment: Experiment) -> Task:
    """Build the experiment's task, once for equal descriptions."""
    return _build_task(_key_of_task(experiment.task), Carried(experiment.task))


def _key_of_task(settings: TaskSettings) -> str:
    """Return a text that is equal for tasks of equal settings, files and code."""
    parts = [components.as_json(settings), settings.fingerprint(), fingerprint(type(settings))]
    return json.dumps(parts, sort_keys=True)


@lru_cache(maxsize=32)
def _build_task(key: str, carried: Carried) -> Task:
    settings: TaskSettings = carried.values[0]
    task = settings.build()
    if not isinstance(task, Task):
        raise InputError(f"the task {settings.kind!r} needs a build() that returns a Task, not {type(task).__name__}")
    return task


@lru_cache(maxsize=64)
def _program(description: str, data: str, dense: bool, shape: TaskShape, carried: Carried) -> Program:
    experiment, draw = carried.values
    return experiment.learner.make(experiment, shape, draw)  # type: ignore[no-any-return]


def program_of(experiment: Experiment, shape: TaskShape) -> Program:
    """Return the program of an experiment; experiments that differ in hyperparameters alone share one.

    A task that draws endless data does so inside the program, and is then part of it.
    """
    draw = build_task(experiment).draw
    data = "" if draw is None else _key_of_task(experiment.task)
    return _program(experiment.program, data, dense(), shape, Carried(experiment, draw))


def weight_shapes(experiment: Experiment, task: Task) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of one member's weights, without making them."""
    return experiment.learner.weight_shapes(experiment, task.shape)


def default_every(experiment: Experiment, task: Task) -> int:
    """Return the steps between evaluations that are the default of an experiment."""
    every = experiment.learner.defaults.get("evaluation", {}).get("every")
    return int(every or grokking.default_every(task.n_inputs))


def parameter_count(experiment: Experiment, task: Task) -> int:
    """Return the number of trained parameters of one member."""
    return sum(math.prod(shape) for shape in weight_shapes(experiment, task).values())


def step_flops(experiment: Experiment, task: Task, n_train: int) -> float:
    """Count the floating-point operations of one training step that the algorithm cannot avoid."""
    return experiment.learner.flops(experiment, task.shape, n_train)


def memory_estimate(experiments: Sequence[Experiment], tasks: Sequence[Task], splits: Sequence[SplitRows]) -> int:
    """Estimate the bytes that training will hold. Raises InputError where a learner cannot do with what is free."""
    first, members = experiments[0], len(experiments)
    n_train, n_test = max(len(s.train) for s in splits), max(len(s.test) for s in splits)
    concurrent = min(members, CPU_LANES if first.learner.max_lanes is None else cores() * first.learner.max_lanes)
    return first.learner.memory(first, tasks[0].shape, n_train, n_test, members, concurrent)


def matmul_rate(dtype: str = "float32", precision: str = "highest", seconds: float = 0.2) -> float:
    """Measure the best rate of a matrix product on this device, in FLOP/s: of the transformer's shape on a CPU.

    On a graphics card, of one that fills it.

    Args:
        precision: 'highest', or 'tensorfloat32'.
    """
    n, k, m = (8192, 8192, 8192) if on_gpu() else (3830, 512, 128)
    a, b = jnp.ones((n, k), dtype), jnp.ones((k, m), dtype)
    product = jax.jit(lambda x, y: jnp.dot(x, y, precision=precision))
    product(a, b).block_until_ready()
    best, began = np.inf, time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        product(a, b).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2 * n * k * m / best


def step_rate(experiment: Experiment, seconds: float = 1.0) -> float:
    """Measure how many steps a second an experiment takes on this device, alone and evaluated as usual."""
    ensemble = make_ensemble([experiment])
    task, lanes = ensemble.tasks[0], ensemble.blocks()[0]
    program, every = program_of(experiment, task.shape), default_every(experiment, task)
    keys, hyperparameters = ensemble.keys(lanes), ensemble.hyperparameters(lanes)
    data, state = program.prepare(ensemble.raw_data(lanes)), program.init(keys, hyperparameters)
    span = Span(*map(np.int32, (0, 10 * every, every)))

    def advance(state: Any) -> Any:
        return jax.block_until_ready(program.advance(state, data, hyperparameters, keys, span))[0]  # type: ignore[no-untyped-call]

    with program.around():
        state = advance(state)  # which compiles
        taken, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            state = advance(state)
            taken += 10 * every
    return taken / (time.perf_counter() - began)


@dataclass(frozen=True)
class Estimate:
    """What a training costs.

    Attributes:
        parameters: of one member.
        flops_per_step: of one member.
        seconds_per_step: of all members; seconds: of all their steps.
        programs: what is compiled.
    """

    task: str
    members: int
    n_train: int
    n_test: int
    parameters: int
    flops_per_step: float
    steps: int
    device: str
    matmul_gflops: float
    seconds_per_step: float
    seconds: float
    memory_bytes: int
    blocks: int
    lanes_per_block: int
    programs: tuple[str, ...]


def estimate(experiments: Sequence[Experiment]) -> Estimate:
    """Estimate parameters, operations, memory, time and compilations. Raises InputError as training would."""
    first = experiments[0]
    task = build_task(first)
    ensemble = make_ensemble(experiments)
    n_train = max(len(s.train) for s in ensemble.splits)
    n_test = max(len(s.test) for s in ensemble.splits)
    flops = step_flops(first, task, n_train)
    rate = matmul_rate(first.dtype)
    blocks = ensemble.blocks()
    step_seconds = len(experiments) * flops / rate + OVERHEAD * len(blocks)
    device = jax.devices()[0]
    return Estimate(
        task=task.name,
        members=len(experiments),
        n_train=n_train,
        n_test=n_test,
        parameters=parameter_count(first, task),
        flops_per_step=flops,
        steps=first.budget.steps,
        device=f"{device.platform}: {device.device_kind}",
        matmul_gflops=round(rate / 1e9, 1),
        seconds_per_step=step_seconds,
        seconds=step_seconds * first.budget.steps,
        memory_bytes=memory_estimate(ensemble.experiments, ensemble.tasks, ensemble.splits),
        blocks=len(blocks),
        lanes_per_block=len(blocks[0]),
        programs=first.learner.compiled_programs,
    )


def _pad(array: np.ndarray, n: int, fill: float = 0, repeat: bool = False) -> np.ndarray:
    missing = n - len(array)
    if missing == 0:
        return array
    tail = np.repeat(array[:1], missing, 0) if repeat else np.full((missing, *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, tail])
