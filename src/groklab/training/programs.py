"""The compiled program of a training run: many steps and evaluations of many members in one call.

One call of `advance` takes a block of members from step `start` to step `stop`, evaluating at every multiple of
`every` on the way. Both bounds are data, so that a chunk of any length, a resume and the last evaluation all run the
same compiled program.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np

from groklab.components import Carried
from groklab.errors import InputError
from groklab.experiment.schema import Experiment
from groklab.lazy import jax, jnp
from groklab.learners.base import Learner
from groklab.tasks.base import TaskShape
from groklab.training.ensemble import build_task

#: Evaluations that one call of `advance` can hold.
MAX_RECORDS = 256


class Program:
    """What runs one kind of experiment: `init`, `prepare`, `advance` and `predict`, compiled on first use.

    All take and give pytrees with a leading lane axis.
    """

    def __init__(self, learner: Learner, metrics: tuple[str, ...], matmul_precision: str) -> None:
        self.learner = learner
        self.metrics = metrics
        self.precision = {"highest": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}[matmul_precision]
        self.init = self._jit(lambda keys, hyperparameters: _lift(self._init)(keys, hyperparameters))
        self.prepare = self._jit(lambda raw: _lift(learner.prepare)(raw))
        self.advance = self._jit(self._advance_all, donate_argnums=0)

    def _jit(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def precise(*arguments: Any) -> Any:
            # XLA's own default would let a GPU round float32 products to TF32
            with jax.default_matmul_precision(self.precision):
                return function(*arguments)

        return jax.jit(precise, **options)

    def template(self, keys: jax.Array, hyperparameters: Any) -> Any:
        """Shapes and types of what `init` gives."""
        return jax.eval_shape(self.init, keys, hyperparameters)

    def around(self) -> AbstractContextManager[None]:
        """What to do while blocks advance: nothing."""
        return nullcontext()

    def _init(self, key: jax.Array, hyperparameters: Any) -> Any:
        return self.learner.init(jax.random.fold_in(key, 0), hyperparameters)

    def _advance_all(
        self,
        states: Any,
        data: Any,
        hyperparameters: Any,
        keys: jax.Array,
        start: jax.Array,
        stop: jax.Array,
        every: jax.Array,
    ) -> tuple[Any, dict[str, jax.Array]]:
        # lifted as a whole: what is squeezed inside a loop is copied in each of its turns
        moved, records = _lift(self._advance, shared=3)(states, data, hyperparameters, keys, start, stop, every)
        return moved, {k: jnp.moveaxis(v, 0, 1) for k, v in records.items()}

    def _advance(
        self,
        state: Any,
        data: Any,
        hyperparameters: Any,
        key: jax.Array,
        start: jax.Array,
        stop: jax.Array,
        every: jax.Array,
    ) -> tuple[Any, dict[str, jax.Array]]:
        """One member's state after `stop` updates, and records at `start` and each multiple of `every` up to `stop`.

        The record at `stop` itself is made only if start == stop, in which case nothing is updated.
        """
        stepping = jax.random.fold_in(key, 1)

        # as functions of their own, these are traced once for the places they have in the program
        update, evaluate = jax.jit(self.learner.step), jax.jit(self.learner.evaluate)

        def step(state: Any, s: jax.Array) -> Any:
            return update(state, data, hyperparameters, stepping, s)

        def measure(state: Any, s: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            measured = evaluate(state, data, hyperparameters, s)
            moved, outputs = step(state, s)
            return moved, {**measured, **outputs}

        kinds = jax.eval_shape(measure, state, start)[1]
        blank = {k: jnp.zeros((MAX_RECORDS, *v.shape), v.dtype) for k, v in kinds.items()}

        def block(carry: Any) -> Any:
            state, s, i, records = carry
            until = jnp.minimum((s // every + 1) * every, stop)
            moved, outputs = measure(state, s)
            records = {k: v.at[i].set(outputs[k]) for k, v in records.items()}
            go = until > s
            state = jax.tree.map(lambda a, b: jnp.where(go, a, b), moved, state)
            state = jax.lax.fori_loop(s + 1, until, lambda j, current: step(current, j)[0], state)
            return state, until, i + 1, records

        def unfinished(carry: Any) -> jax.Array:
            _, s, i, _ = carry
            return jnp.logical_or(s < stop, i == 0)

        zero = jnp.zeros((), jnp.int32)
        state, _, _, records = jax.lax.while_loop(unfinished, block, (state, start, zero, blank))
        return state, records


class PlainProgram:
    """As `Program`, for a learner that is not compiled: a loop over iterations, of one lane at a time."""

    def __init__(self, learner: Any, shape: TaskShape, dtype: str, n_blocks: int) -> None:
        self.learner, self.shape, self.dtype, self.n_blocks = learner, shape, dtype, n_blocks
        self.metrics: tuple[str, ...] = learner.metrics

    def init(self, keys: Any, hyperparameters: Any) -> Any:
        """The state of one lane."""
        return {"weights": {k: v[None] for k, v in self.learner.init(self.shape, self.dtype).items()}}

    template = init

    def around(self) -> AbstractContextManager[None]:
        """What to do while blocks advance: as the learner says."""
        context: AbstractContextManager[None] = self.learner.around()
        return context

    def prepare(self, raw: dict[str, Any]) -> Any:
        """The data of one lane."""
        return self.learner.prepare({k: v[0] for k, v in raw.items()}, self.shape, self.dtype, self.n_blocks)

    def advance(
        self, states: Any, data: Any, hyperparameters: Any, keys: Any, start: Any, stop: Any, every: Any
    ) -> tuple[Any, dict[str, np.ndarray]]:
        """As `Program.advance`."""
        weights = {k: np.asarray(v[0]) for k, v in states["weights"].items()}
        own = {k: v[0] for k, v in hyperparameters.items()}
        start, stop, every = int(start), int(stop), int(every)
        rows = []
        for s in range(start, max(stop, start + 1)):
            record = s == start or s % every == 0
            try:
                weights, row = self.learner.step(weights, data, own, record, stop > start)
            except InputError as error:
                raise InputError(f"iteration {s}: {error}") from None
            rows += [row] if record else []
        records = {name: np.array([[row[name]] for row in rows]) for name in self.metrics}
        return {"weights": {k: v[None] for k, v in weights.items()}}, records


def n_records(start: int, stop: int, every: int) -> int:
    """How many records `advance` makes from start to stop."""
    return max(1, -(-(stop - start // every * every) // every))


@lru_cache(maxsize=64)
def _program(description: str, data: str, shape: TaskShape, carried: Carried) -> Program:
    e, draw = carried.values
    made = e.learner.make(e, shape, draw)
    return Program(made, getattr(made, "metrics", e.learner.metrics), e.matmul_precision)


def program_of(experiment: Experiment, shape: TaskShape, n_blocks: int = 1) -> Program | PlainProgram:
    """The program of an experiment; experiments that differ in hyperparameters alone share one.

    n_blocks: how many will advance side by side. A task that draws endless data does so inside the program, and is
    then part of it.
    """
    if not experiment.learner.compiled:
        return PlainProgram(experiment.learner, shape, experiment.dtype, n_blocks)
    draw = build_task(experiment).draw
    data = "" if draw is None else json.dumps(experiment.to_dict()["task"], sort_keys=True)
    return _program(experiment.program, data, shape, Carried(experiment, draw))


def _lift(function: Callable[..., Any], shared: int = 0) -> Callable[..., Any]:
    """Map over the lane axis of all arguments but the last `shared`; a single lane is not mapped but squeezed.

    (A mapped width of one compiles to batched products, which XLA's CPU backend runs slower.)
    """

    def lifted(*arguments: Any) -> Any:
        lanes = jax.tree.leaves(arguments[0])[0].shape[0]
        if lanes == 1:
            mapped = arguments[: len(arguments) - shared]
            squeezed = jax.tree.map(lambda x: x[0], mapped)
            result = function(*squeezed, *arguments[len(arguments) - shared :])
            return jax.tree.map(lambda x: x[None], result)
        axes = (0,) * (len(arguments) - shared) + (None,) * shared
        return jax.vmap(function, in_axes=axes)(*arguments)

    return lifted
