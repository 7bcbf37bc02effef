"""Members made ready to train together: data padded to one shape, hyperparameters stacked, lanes cut into blocks."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from groklab import grokking
from groklab.components import Carried
from groklab.device import cores, require_memory
from groklab.errors import InputError
from groklab.experiment.reading import component
from groklab.experiment.schema import Experiment
from groklab.lazy import jax
from groklab.tasks.base import Task, TaskSettings, TaskShape
from groklab.tasks.splits import SplitRows, in_transpose, make_split

#: Lanes of one compiled block on a CPU, at most, and the floating-point operations of a step and the bytes of weights,
#: gradients and moments up to which it is filled. Measured: the smallest models run as fast in 8 lanes as alone, and
#: share their calls' overhead; the 46,000 weights of the effective theory's toy fill a core's cache by themselves, and
#: run a tenth slower in 4 lanes; the transformer at p=59 runs at two thirds of its speed in 4. On a GPU all members are
#: one block.
CPU_LANES = 8
CPU_BLOCK_FLOPS = 1e8
CPU_BLOCK_BYTES = 1e6


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
        """One random key a member, from its seed."""
        return jax.vmap(jax.random.key)(np.array([self.experiments[i].seed for i in lanes], np.uint32))

    def raw_data(self, lanes: Sequence[int]) -> dict[str, np.ndarray]:
        """Rows, targets and weights of some members, stacked and padded to the largest member of the ensemble."""
        dtype = np.dtype(self.experiments[0].dtype)
        n_train = max(len(s.train) for s in self.splits)
        n_test = max(len(s.test) for s in self.splits)
        phases = max(len(s.phase_steps) for s in self.splits)
        stacked: dict[str, list[np.ndarray]] = {}
        for i in lanes:
            task, split = self.tasks[i], self.splits[i]
            seen = inputs_for(self.experiments[0], task)
            answers = task.targets if task.values is None else task.values.astype(dtype)
            trained = split.train_targets if task.values is None else answers[split.train]
            # kernel machines are fitted, and their losses are plain means
            factor = task.loss_factor if self.experiments[0].learner.compiled else 1.0
            one = {
                "train_inputs": _pad(seen[split.train], n_train, repeat=True),
                "train_targets": _pad(trained, n_train),
                # a phase that never comes pads members that change their training set less often
                "phase_steps": _pad(split.phase_steps, phases, fill=np.iinfo(np.int32).max),
                "phase_weights": _pad(_pad(split.phase_weights.T * factor, n_train).T, phases).astype(dtype),
                "test_inputs": _pad(seen[split.test], n_test, repeat=True),
                "test_targets": _pad(answers[split.test], n_test),
                "test_weights": _pad(np.full(len(split.test), factor / len(split.test)), n_test).astype(dtype),
            }
            if task.operations is not None:
                one["train_operations"] = _pad(task.operations[split.train], n_train)
                one["test_operations"] = _pad(task.operations[split.test], n_test)
            if not self.experiments[0].learner.compiled:
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
        """Lanes of each block: all blocks as wide as the first, the last filled up with repeats of its last lane."""
        width = self.width
        lanes = [list(range(i, min(i + width, self.n_members))) for i in range(0, self.n_members, width)]
        lanes[-1] += [lanes[-1][-1]] * (width - len(lanes[-1]))
        return lanes

    def blocks_of(self, members: Sequence[int]) -> list[list[int]]:
        """Blocks of some members: full ones, and the rest in the narrowest power of two, filled up as above."""
        lanes = [list(members[i : i + self.width]) for i in range(0, len(members), self.width)]
        if lanes:
            width = min(self.width, 2 ** math.ceil(math.log2(len(lanes[-1]))))
            lanes[-1] += [lanes[-1][-1]] * (width - len(lanes[-1]))
        return lanes

    @cached_property
    def width(self) -> int:
        """Lanes of a block."""
        width_limit = self.n_members if self.experiments[0].learner.compiled else 1
        if width_limit > 1 and jax.devices()[0].platform == "cpu":
            rows = max(len(s.train) for s in self.splits)
            flops = step_flops(self.experiments[0], self.tasks[0], rows)
            e, task = self.experiments[0], self.tasks[0]
            size = 4 * np.dtype(e.dtype).itemsize * parameter_count(e, task)
            width_limit = min(CPU_LANES, max(1, int(min(CPU_BLOCK_FLOPS / flops, CPU_BLOCK_BYTES / size))))
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
    for pattern in first.optimiser.groups if first.optimiser is not None else ():
        if not fnmatch.filter(names, pattern):
            raise InputError(f"optimiser.groups.{pattern}: matches no weight; there are {', '.join(names)}")
    splits = tuple(make_split(e.split, t, e.seed) for e, t in zip(experiments, tasks, strict=True))
    require_memory("training this", memory_estimate(experiments, tasks, splits))
    return Ensemble(tuple(experiments), tasks, splits)


def _check_data(experiments: Sequence[Experiment], tasks: Sequence[Task]) -> None:
    first, task = experiments[0], tasks[0]
    if any(t.shape != task.shape for t in tasks):
        raise InputError("members of one ensemble need tasks of the same vocabulary, length and number of classes")
    if not first.learner.compiled:
        _check_uncompiled(first, task)
        return
    check = getattr(first.learner, "check", None)
    if check is not None:
        check(task)
    _check_inputs(first, task)
    if first.batch_size is not None and task.loss_factor != 1.0:
        allowed = "needs task.losses=mean: summed losses are those of whole training sets"
        raise InputError("batch_size", first.batch_size, allowed)
    if task.reads is not None and not first.network.reads_positions:
        allowed = f"cannot learn {task.name}, which has answers at several positions; a transformer can"
        raise InputError("network.kind", first.network.kind, allowed)
    if task.draw is not None and first.batch_size is None:
        raise InputError("batch_size", None, "needs a number of inputs that each step draws, as the data are infinite")
    # (the program itself draws the data)
    if any((t.draw is None) != (task.draw is None) for t in tasks) or (
        task.draw is not None and any(e.to_dict()["task"] != first.to_dict()["task"] for e in experiments)
    ):
        raise InputError("members of one ensemble with infinite data need one and the same task")


def _check_inputs(first: Experiment, task: Task) -> None:
    kind = first.model.kind
    if first.model.reads_features:
        if task.features is None:
            allowed = f"reads real numbers, and {task.name} gives tokens; mlp and transformer read those"
            raise InputError("network.kind", kind, allowed)
    elif task.n_ctx == 0:
        if first.network is None:
            raise InputError(
                "learner.kind", first.learner.kind, f"cannot learn {task.name}, whose inputs are no tokens"
            )
        raise InputError("network.kind", kind, f"cannot read {task.name}, whose inputs are no tokens; dense can")
    if first.network is None:
        return
    if task.values is not None and not first.objective.takes_real_answers:
        allowed = f"needs to be mse for {task.name}, whose answers are real numbers"
        raise InputError("objective.kind", first.objective.kind, allowed)
    if first.network.gives_distances != first.objective.takes_distances:
        allowed = "and network.head=vectors of an embedding_decoder need each other"
        raise InputError("objective.kind", first.objective.kind, allowed)


def inputs_for(experiment: Experiment, task: Task) -> np.ndarray:
    """(N, n_ctx) tokens or (N, n_features) numbers: what the experiment's learner sees of the task."""
    if task.features is None or not experiment.model.reads_features:
        return task.inputs
    if not experiment.learner.compiled:
        return task.features
    return np.asarray(task.features, experiment.dtype)


def _check_uncompiled(first: Experiment, task: Task) -> None:
    if task.reads is not None or task.draw is not None:
        allowed = f"cannot learn {task.name}: it needs a finite task with one answer an input"
        raise InputError("learner.kind", first.learner.kind, allowed)
    if task.values is not None:
        allowed = f"cannot learn {task.name}, whose answers are real numbers; gradient_descent can"
        raise InputError("learner.kind", first.learner.kind, allowed)
    if first.split.schedule:
        raise InputError("split.schedule", first.split.schedule, "needs the learner gradient_descent")


def build_task(experiment: Experiment) -> Task:
    """The experiment's task, built once for equal descriptions."""
    description = experiment.to_dict()["task"]
    return _build_task(json.dumps(description, sort_keys=True), experiment.task.fingerprint())


@lru_cache(maxsize=32)
def _build_task(description: str, fingerprint: str) -> Task:
    settings: TaskSettings = component("task", json.loads(description))
    return settings.build()


def weight_shapes(experiment: Experiment, task: Task) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one member's weights, without making them."""
    if experiment.network is None:
        return dict(experiment.learner.weight_shapes(task.shape))
    kind: Any = type(experiment.network)
    return dict(_weight_shapes(kind, experiment.program, task.shape, Carried(experiment)))


@lru_cache(maxsize=256)
def _weight_shapes(kind: Any, program: str, shape: TaskShape, carried: Carried) -> dict[str, tuple[int, ...]]:
    # tracing a transformer's `init` takes 0.2 s, and every run asks several times
    (experiment,) = carried.values
    made = jax.eval_shape(lambda key: experiment.network.init(key, shape, experiment.dtype), jax.random.key(0))
    return {name: tuple(value.shape) for name, value in made.items()}


def default_every(experiment: Experiment, task: Task) -> int:
    """Steps between evaluations where an experiment does not say."""
    said = experiment.learner.defaults.get("evaluation", {}).get("every")
    return int(said or grokking.default_every(task.n_inputs))


def parameter_count(experiment: Experiment, task: Task) -> int:
    """Number of trained parameters of one member."""
    return sum(math.prod(shape) for shape in weight_shapes(experiment, task).values())


def step_flops(experiment: Experiment, task: Task, n_train: int) -> float:
    """Count the floating-point operations of one training step that the algorithm cannot avoid."""
    if experiment.network is None:
        return float(experiment.learner.flops(task.shape, n_train))
    rows = min(n_train or math.inf, experiment.batch_size or n_train)
    return 3.0 * max(float(experiment.network.flops(task.shape, int(rows))), 1.0)


def memory_estimate(experiments: Sequence[Experiment], tasks: Sequence[Task], splits: Sequence[SplitRows]) -> int:
    """Bytes that training will hold: weights, gradients, two moments, and the activations of all rows of a block."""
    first = experiments[0]
    if not first.learner.compiled:
        n_train, n_test = max(len(s.train) for s in splits), max(len(s.test) for s in splits)
        side_by_side = min(len(experiments), cores())
        return int(first.learner.memory(tasks[0].shape, n_train, n_test, first.dtype, side_by_side))
    size = np.dtype(first.dtype).itemsize
    parameters = parameter_count(first, tasks[0])
    rows = max(len(s.train) for s in splits) if first.batch_size is None else first.batch_size
    rows = max(rows, max(len(s.test) for s in splits))
    # about three live copies of each activation: forward, backward, and the fused operands between them
    activations = 3 * rows * _activation_width(first, tasks[0])
    lanes = len(experiments)
    concurrent = min(lanes, CPU_LANES)
    return int(size * (lanes * 5 * parameters + concurrent * activations))


def _activation_width(experiment: Experiment, task: Task) -> int:
    shapes = weight_shapes(experiment, task)
    width = task.n_classes + sum(int(shape[-1]) for shape in shapes.values() if len(shape) >= 2)
    if task.reads is None and (experiment.network is None or not experiment.network.noisy):
        return width
    # at every position, and a pattern for each head
    heads = sum(shape[0] for name, shape in shapes.items() if name.endswith("attn.W_Q"))
    return task.n_ctx * (width + 2 * heads * task.n_ctx)


def _pad(array: np.ndarray, n: int, fill: float = 0, repeat: bool = False) -> np.ndarray:
    missing = n - len(array)
    if missing == 0:
        return array
    tail = np.repeat(array[:1], missing, 0) if repeat else np.full((missing, *array.shape[1:]), fill, array.dtype)
    return np.concatenate([array, tail])
