"""The members of an ensemble in the lanes of compiled blocks: their states, and how they advance side by side."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from groklab.device import cores, on_gpu
from groklab.errors import DamagedError, InputError
from groklab.experiment import Experiment
from groklab.lazy import jax
from groklab.learners import Span
from groklab.training._ensemble import Ensemble, default_every, make_ensemble, program_of

Weights = dict[str, np.ndarray]


class Lanes:
    """The states of all blocks, and how they advance.

    Attributes:
        blocks: the members of each block, by lane; of a member in several lanes the first counts.
        kept: weights of members that have retired; they have left their lanes, or go on there unused.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.program = program_of(ensemble.experiments[0], ensemble.tasks[0].shape)
        self.kept: dict[int, Weights] = {}
        self.states: list[Any] = []
        #: Widths whose programs have been compiled ahead.
        self.ahead: set[int] = set()
        self._lay_out(ensemble.blocks())
        self.pool = ThreadPoolExecutor(min(len(self.blocks), len(jax.devices()) if on_gpu() else cores()))

    def _lay_out(self, blocks: Sequence[Sequence[int]]) -> None:
        self.blocks = [list(lanes) for lanes in blocks]
        self.hyperparameters = [self.ensemble.hyperparameters(lanes) for lanes in self.blocks]
        self.keys = [self.ensemble.keys(lanes) for lanes in self.blocks]
        n_blocks = len(self.ensemble.blocks())
        self.data = [self.program.prepare(self.ensemble.raw_data(lanes), n_blocks) for lanes in self.blocks]

    def begin(self, start: list[Weights] | None) -> None:
        """Make fresh states, with given weights for each member if there are any."""
        self.states = [self.program.init(k, n) for k, n in zip(self.keys, self.hyperparameters, strict=True)]
        if start is not None:
            check_weights({name: leaf.shape[1:] for name, leaf in self.states[0]["weights"].items()}, start)
            pairs = zip(self.states, self.blocks, strict=True)
            self.states = [_with_weights(state, lanes, start) for state, lanes in pairs]

    def restore(self, arrays: dict[str, np.ndarray], blocks: list[list[int]]) -> None:
        """Take the states of `arrays()`, packed in these blocks (none: as they are packed now)."""
        if blocks:
            self._lay_out(blocks)
        pairs = zip(self.keys, self.hyperparameters, strict=True)
        fresh = [self.program.template(keys, hyperparameters) for keys, hyperparameters in pairs]
        self.states = [_filled(i, template, arrays) for i, template in enumerate(fresh)]
        self.kept = {}
        for name, array in arrays.items():
            if name.startswith("kept/"):
                _, m, weight = name.split("/", 2)
                self.kept.setdefault(int(m), {})[weight] = array

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything that the states hold, by name."""
        kept = {f"kept/{m}/{k}": v for m, weights in self.kept.items() for k, v in weights.items()}
        arrays = {}
        for i, state in enumerate(self.states):
            for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
                arrays[f"{i}{jax.tree_util.keystr(path)}"] = np.asarray(leaf)
        return arrays | kept

    # -- training -------------------------------------------------------------------------------------------------

    def advance(self, start: int, stop: int, every: int) -> dict[str, np.ndarray]:
        """Take all blocks from `start` to `stop`; return records (records, members), NaN for retired members."""
        self._compile_ahead(every)
        results = self._advanced(self.states, start, stop, every)
        self.states = [moved for moved, _ in results]
        count = Span(start, stop, every).n_records
        # in double precision where that is what was computed
        kinds = {k: np.asarray(results[0][1][k]).dtype for k in self.program.metrics}
        rows = {k: np.full((count, self.ensemble.n_members), np.nan, dtype) for k, dtype in kinds.items()}
        for lanes, (_, records) in zip(self.blocks, results, strict=True):
            places = [i for i, m in enumerate(lanes) if m not in self.kept]
            for name, row in rows.items():
                row[:, [lanes[i] for i in places]] = np.asarray(records[name])[:count, places]
        return rows

    def weights_at(self, start: int, step: int, every: int) -> Weights:
        """Return all weights at a later step, by a side trip from copies of the states."""
        copies = jax.tree.map(jax.numpy.copy, self.states)
        return self._weights([moved for moved, _ in self._advanced(copies, start, step, every)])

    def weights(self) -> Weights:
        """Return all members' weights (n_members, …); those of retired members are from when they stopped."""
        return self._weights(self.states)

    def _advanced(self, of: list[Any], start: int, stop: int, every: int) -> list[Any]:
        span = Span(*map(np.int32, (start, stop, every)))

        def one(i: int) -> Any:
            result = self.program.advance(of[i], self.data[i], self.hyperparameters[i], self.keys[i], span)
            return jax.block_until_ready(result)  # type: ignore[no-untyped-call]

        with self.program.around():
            return list(self.pool.map(one, range(len(self.blocks))))

    def _weights(self, of: list[Any]) -> Weights:
        blocks = [jax.tree.map(np.asarray, s["weights"]) for s in of]
        if not self.kept:
            return {k: np.concatenate([b[k] for b in blocks])[: self.ensemble.n_members] for k in blocks[0]}
        rows = dict(self.kept)
        for lanes, weights in zip(self.blocks, blocks, strict=True):
            for i, m in enumerate(lanes):
                rows.setdefault(m, {k: v[i] for k, v in weights.items()})
        return {k: np.stack([rows[m][k] for m in sorted(rows)]) for k in rows[0]}

    def _compile_ahead(self, every: int) -> None:
        """On a graphics card: compile the narrower program that retiring leads to, while this one trains."""
        width = len(self.blocks[-1])
        narrower = 2 ** (math.ceil(math.log2(width)) - 1) if width > 1 else 0
        if not (narrower and on_gpu() and self.ensemble.experiments[0].budget.retire) or narrower in self.ahead:
            return
        self.ahead.add(narrower)
        block = (self.states[-1], self.data[-1], self.hyperparameters[-1], self.keys[-1])
        shapes = jax.eval_shape(lambda *arrays: arrays, *block)  # the states are consumed meanwhile
        threading.Thread(target=self.program.compile_ahead, args=(*shapes, every, narrower)).start()

    # -- retiring -------------------------------------------------------------------------------------------------

    def retire(self, members: Sequence[int]) -> None:
        """Keep these members' weights as they are, and repack the others where that saves lanes."""
        weights = self.weights()
        for m in members:
            self.kept[m] = {k: v[m].copy() for k, v in weights.items()}
        blocks = self.ensemble.blocks_of([m for m in range(self.ensemble.n_members) if m not in self.kept])
        if sum(map(len, blocks)) == sum(map(len, self.blocks)):
            return
        where = {m: (b, i) for b, lanes in enumerate(self.blocks) for i, m in reversed(list(enumerate(lanes)))}
        self.states = [self._gathered([where[m] for m in lanes]) for lanes in blocks]
        self._lay_out(blocks)

    def _gathered(self, places: list[tuple[int, int]]) -> Any:
        """Return one block's state, gathered from lanes (block, place) of the present ones."""

        def stacked(*leaves: Any) -> jax.Array:
            # by NumPy: JAX would compile a program for every shape
            arrays = [np.asarray(leaf) for leaf in leaves]
            return jax.numpy.asarray(np.stack([arrays[block][place] for block, place in places]))

        return jax.tree.map(stacked, *self.states)


def compile_ahead(experiments: Sequence[Experiment]) -> None:
    """Compile into the cache the training steps that an ensemble of these experiments begins with."""
    ensemble = make_ensemble(experiments)
    first, task, lanes = experiments[0], ensemble.tasks[0], ensemble.blocks()[0]
    program = program_of(first, task.shape)
    keys, hyperparameters = ensemble.keys(lanes), ensemble.hyperparameters(lanes)
    shapes = program.shapes(keys, hyperparameters, ensemble.raw_data(lanes))
    if shapes is not None:
        every = first.evaluation.every or default_every(first, task)
        program.compile_ahead(*shapes, hyperparameters, keys, every, len(lanes))


def check_weights(shapes: dict[str, tuple[int, ...]], start: list[dict[str, np.ndarray]]) -> None:
    """Raise InputError unless every member is given every weight in its shape."""
    for given in start:
        for name, shape in shapes.items():
            array = given.get(name)
            if array is None or array.shape != shape:
                fault = "is missing" if array is None else f"has shape {array.shape}"
                raise InputError(f"start: the weight {name} {fault}; this network needs {shape}")


def _with_weights(state: Any, lanes: list[int], start: list[dict[str, np.ndarray]]) -> Any:
    """Return a block's state with its lanes' weights replaced by those of the members they stand for."""
    weights = {
        name: jax.numpy.asarray(np.stack([start[lane][name] for lane in lanes]), value.dtype)
        for name, value in state["weights"].items()
    }
    return {**state, "weights": weights}


def _filled(block: int, template: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return the state of a block from the arrays of `Lanes.arrays`. Raises DamagedError where they do not fit."""
    paths, tree = jax.tree_util.tree_flatten_with_path(template)
    leaves = []
    for path, leaf in paths:
        array = arrays.get(f"{block}{jax.tree_util.keystr(path)}")
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise DamagedError(f"the saved state does not fit this experiment at {jax.tree_util.keystr(path)}")
        leaves.append(jax.numpy.asarray(array))
    return jax.tree_util.tree_unflatten(tree, leaves)
