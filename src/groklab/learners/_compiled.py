"""The program of a learner that JAX can trace: many steps and evaluations of many members in one compiled call.

Both bounds of a call are data, so that a chunk of any length, a resume and the last evaluation all run the same
compiled program.

A graphics card asks the host in each turn of a loop whose length is data. There full strides, from one evaluation to
the next, are a program of their own in which this length is a constant; the program above runs what remains.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from groklab.device import dense, xla_options
from groklab.lazy import Array, jax, jnp
from groklab.learners._base import MAX_RECORDS, Dynamics, Hyperparameters, Outputs, Program, Span, State


class CompiledProgram(Program):
    """A program of the dynamics of one member, each of its parts compiled when it is first called."""

    def __init__(self, dynamics: Dynamics, matmul_precision: str) -> None:
        self.dynamics = dynamics
        self.metrics = dynamics.metrics
        self.dense = dense()
        self.precision = {"highest": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}[matmul_precision]
        self._compiled_init = self._jit(_lift(lambda key, h: dynamics.init(jax.random.fold_in(key, 0), h)))
        self._compiled_prepare = self._jit(_lift(dynamics.prepare))
        self._compiled_advance = self._jit(self._advance_all, donate_argnums=0, static_argnums=5)

    def init(self, keys: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Return fresh states."""
        return self._compiled_init(keys, hyperparameters)

    def template(self, keys: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Return the shapes and types of `init`."""
        return jax.eval_shape(self._compiled_init, keys, hyperparameters)

    def prepare(self, raw: dict[str, np.ndarray], n_blocks: int = 1) -> Any:
        """Compute what the dynamics need once of each lane's rows."""
        return self._compiled_prepare(raw)

    def advance(
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Any, span: Span
    ) -> tuple[State, dict[str, Any]]:
        """Take states, which are consumed, through a span; the records may be padded to MAX_RECORDS rows."""
        if not self.dense:
            moved, records = self._compiled_advance(states, data, hyperparameters, keys, span, None)
            return moved, records
        parts = []
        for part, stride in _parts(*map(int, span)):
            states, records = self._compiled_advance(states, data, hyperparameters, keys, part, stride)
            parts.append({name: (rows, part.n_records) for name, rows in records.items()})
        return states, {k: np.concatenate([np.asarray(p[k][0])[: p[k][1]] for p in parts]) for k in parts[0]}

    def shapes(self, keys: Any, hyperparameters: Hyperparameters, raw: dict[str, np.ndarray]) -> tuple[State, Any]:
        """Return shapes and types of `init` and `prepare`."""
        return self.template(keys, hyperparameters), jax.eval_shape(self._compiled_prepare, raw)

    def compile_ahead(
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Any, every: int, lanes: int
    ) -> None:
        """Compile the training steps of a block of `lanes` lanes into the cache."""

        self.lowered(states, data, hyperparameters, keys, every, lanes).compile()

    def lowered(
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Any, every: int, lanes: int
    ) -> Any:
        """Return the training steps of a block of `lanes` lanes, not compiled yet."""
        shaped: Any = jax.ShapeDtypeStruct
        block = jax.tree.map(lambda x: shaped((lanes, *x.shape[1:]), x.dtype), (states, data, hyperparameters, keys))
        advance: Any = self._compiled_advance
        return advance.lower(*block, Span(*[shaped((), np.int32)] * 3), every if self.dense else None)

    def _jit(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        def precise(*arguments: Any) -> Any:
            # XLA's own default would let a GPU round float32 products to TF32
            with jax.default_matmul_precision(self.precision):
                return function(*arguments)

        return jax.jit(precise, compiler_options=xla_options(), **options)

    def _advance_all(
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Array, span: Span, stride: int | None
    ) -> tuple[State, Outputs]:
        # lifted as a whole: what is squeezed inside a loop is copied in each of its turns
        moved, records = _lift(partial(self._advance, stride=stride), shared=1)(
            states, data, hyperparameters, keys, span
        )
        return moved, {k: jnp.moveaxis(v, 0, 1) for k, v in records.items()}

    def _advance(
        self, state: State, data: Any, hyperparameters: Hyperparameters, key: Array, span: Span, stride: int | None
    ) -> tuple[State, Outputs]:
        """Take one member through a span: its state, and MAX_RECORDS rows of records.

        Args:
            stride: the span's `every`, known when compiling, for a span of one or more full strides.
        """
        start, stop, every = span
        stepping = jax.random.fold_in(key, 1)

        # as functions of their own, these are traced once for the places they have in the program
        update, evaluate = jax.jit(self.dynamics.step), jax.jit(self.dynamics.evaluate)

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
            moved, outputs = measure(state, s)
            records = {k: v.at[i].set(outputs[k]) for k, v in records.items()}
            if stride is not None:
                state = jax.lax.fori_loop(1, stride, lambda j, current: step(current, s + j)[0], moved)
                return state, s + stride, i + 1, records
            until = jnp.minimum((s // every + 1) * every, stop)
            go = until > s
            state = jax.tree.map(lambda a, b: jnp.where(go, a, b), moved, state)
            state = jax.lax.fori_loop(s + 1, until, lambda j, current: step(current, j)[0], state)
            return state, until, i + 1, records

        # (state, step, records so far, records)
        carry = state, start, jnp.zeros((), jnp.int32), blank
        state, _, _, records = jax.lax.while_loop(lambda c: jnp.logical_or(c[1] < stop, c[2] == 0), block, carry)
        return state, records


def _parts(start: int, stop: int, every: int) -> list[tuple[Span, int | None]]:
    """Return the parts of a span in order, with the stride of that which consists of full strides."""
    first = min(-(-start // every) * every, stop)
    last = max(stop // every * every, first)
    spans = [(start, first, None), (first, last, every), (last, stop, None)]
    parts = [(a, b, stride) for a, b, stride in spans if a < b] or [(start, stop, None)]
    return [(Span(*map(np.int32, (a, b, every))), stride) for a, b, stride in parts]


def _lift(function: Callable[..., Any], shared: int = 0) -> Callable[..., Any]:
    """Map over the lane axis of all arguments but the last `shared`; a single lane is not mapped but squeezed.

    (A mapped width of one compiles to batched products, which XLA's CPU backend runs slower.)
    """

    def lifted(*arguments: Any) -> Any:
        lanes = jax.tree.leaves(arguments[0])[0].shape[0]
        n_mapped = len(arguments) - shared
        if lanes == 1:
            squeezed = jax.tree.map(lambda x: x[0], arguments[:n_mapped])
            return jax.tree.map(lambda x: x[None], function(*squeezed, *arguments[n_mapped:]))
        return jax.vmap(function, in_axes=(0,) * n_mapped + (None,) * shared)(*arguments)

    return lifted
