"""The members of an ensemble in the lanes of compiled blocks: their states, and how they advance side by side."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from groklab.device import cores, on_gpu
from groklab.errors import DamagedError, InputError
from groklab.experiment import Experiment
from groklab.lazy import jax
from groklab.learners import Program, Span
from groklab.optimisers import MOMENTS
from groklab.tasks import SplitRows
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
        self.kept: dict[int, Weights] = {}
        self.states: list[Any] = []
        #: Widths whose programs have been compiled ahead.
        self.ahead: set[int] = set()
        self._lay_out(ensemble.blocks())
        self.pool = ThreadPoolExecutor(min(len(self.blocks), len(jax.devices()) if on_gpu() else cores()))

    def _lay_out(self, blocks: Sequence[Sequence[int]]) -> None:
        self.blocks = [list(lanes) for lanes in blocks]
        shape = self.ensemble.tasks[0].shape
        self.programs = [program_of(self.ensemble.experiments[lanes[0]], shape) for lanes in self.blocks]
        self.hyperparameters = [self.ensemble.hyperparameters(lanes) for lanes in self.blocks]
        self.keys = [self.ensemble.keys(lanes) for lanes in self.blocks]
        n_blocks = len(self.ensemble.blocks())
        pairs = zip(self.programs, self.blocks, strict=True)
        self.data = [program.prepare(self.ensemble.raw_data(lanes), n_blocks) for program, lanes in pairs]

    @property
    def program(self) -> Program:
        """The program of the first block: of all of them, as long as no intervention selects another."""
        return self.programs[0]

    def begin(self, start: list[Weights] | None) -> None:
        """Make fresh states, with given weights for each member if there are any."""
        made = zip(self.programs, self.keys, self.hyperparameters, strict=True)
        self.states = [program.init(keys, hyperparameters) for program, keys, hyperparameters in made]
        if start is not None:
            check_weights({name: leaf.shape[1:] for name, leaf in self.states[0]["weights"].items()}, start)
            pairs = zip(self.states, self.blocks, strict=True)
            self.states = [_with_weights(state, lanes, start) for state, lanes in pairs]

    def restore(self, arrays: dict[str, np.ndarray], blocks: list[list[int]], ensemble: Ensemble | None = None) -> None:
        """Take the states of `arrays()`, packed in these blocks (none: as they are packed now).

        Args:
            ensemble: the members as interventions have made them.
        """
        if ensemble is not None:
            self.ensemble = ensemble
        if blocks:
            self._lay_out(blocks)
        made = zip(self.programs, self.keys, self.hyperparameters, strict=True)
        fresh = [program.template(keys, hyperparameters) for program, keys, hyperparameters in made]
        fresh = [_with_masks(i, template, arrays) for i, template in enumerate(fresh)]
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

    def rest(self) -> dict[str, np.ndarray]:
        """Return the states of members that have not retired but for their weights, by `member/path`."""
        arrays = {}
        for m, state in self.member_states().items():
            if m not in self.kept:
                rest = {k: v for k, v in state.items() if k != "weights"}
                for path, leaf in jax.tree_util.tree_flatten_with_path(rest)[0]:
                    arrays[f"{m}/{jax.tree_util.keystr(path)}"] = leaf
        return arrays

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
            result = self.programs[i].advance(of[i], self.data[i], self.hyperparameters[i], self.keys[i], span)
            return jax.block_until_ready(result)  # type: ignore[no-untyped-call]

        with self.program.around():
            return list(self.pool.map(one, range(len(self.blocks))))

    def _weights(self, of: list[Any]) -> Weights:
        blocks = [jax.tree.map(np.asarray, s["weights"]) for s in of]
        n, order = self.ensemble.n_members, [m for lanes in self.blocks for m in lanes]
        if not self.kept and order[:n] == list(range(n)):
            return {k: np.concatenate([b[k] for b in blocks])[:n] for k in blocks[0]}
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
        states = self.member_states()
        blocks = self._packed([m for m in range(self.ensemble.n_members) if m not in self.kept], states)
        if sum(map(len, blocks)) < sum(map(len, self.blocks)):
            self._take(blocks, states)

    # -- changing -------------------------------------------------------------------------------------------------

    def change(self, experiments: Sequence[Experiment], splits: Sequence[SplitRows], states: Mapping[int, Any]) -> None:
        """Go on with other settings, training sets and states of some members.

        Members whose programs differ from now on go to blocks of their own.
        """
        before = self.ensemble.experiments
        self.ensemble = replace(self.ensemble, experiments=tuple(experiments), splits=tuple(splits))
        all_states = self.member_states() | dict(states)
        for m in states:
            if experiments[m].program != before[m].program:
                all_states[m] = self._fitting(m, states[m])
        blocks = self.blocks
        if any(len({self._needs(m, all_states) for m in lanes}) > 1 for lanes in blocks):
            blocks = self._packed([m for m in range(self.ensemble.n_members) if m not in self.kept], all_states)
        self._take(blocks, all_states)

    def member_states(self) -> dict[int, Any]:
        """Return the state of each member that has a lane."""
        states: dict[int, Any] = {}
        for lanes, state in zip(self.blocks, self.states, strict=True):
            arrays = jax.tree.map(np.asarray, state)
            for i, m in enumerate(lanes):
                states.setdefault(m, _lane(arrays, i))
        return states

    def fresh(self, member: int, key: jax.Array | None = None) -> Any:
        """Return a new state of one member, drawn with its own key or another."""
        program = program_of(self.ensemble.experiments[member], self.ensemble.tasks[0].shape)
        keys = self.ensemble.keys([member]) if key is None else key[None]
        return _lane(jax.tree.map(np.asarray, program.init(keys, self.ensemble.hyperparameters([member]))), 0)

    def _needs(self, member: int, states: Mapping[int, Any]) -> tuple[str, bool]:
        """Return what members of one block have in common: the program, and whether weights are masked."""
        return self.ensemble.experiments[member].program, "masks" in states[member]

    def _packed(self, members: Sequence[int], states: Mapping[int, Any]) -> list[list[int]]:
        groups: dict[tuple[str, bool], list[int]] = {}
        for m in members:
            groups.setdefault(self._needs(m, states), []).append(m)
        return [block for group in groups.values() for block in self.ensemble.blocks_of(group)]

    def _take(self, blocks: list[list[int]], states: Mapping[int, Any]) -> None:
        # by NumPy: JAX would compile a program for every shape
        self.states = [
            jax.tree.map(lambda *leaves: jax.numpy.asarray(np.stack(leaves)), *[states[m] for m in lanes])
            for lanes in blocks
        ]
        self._lay_out(blocks)
        threads = min(max(len(blocks), 1), len(jax.devices()) if on_gpu() else cores())
        if threads > self.pool._max_workers:
            self.pool.shutdown()
            self.pool = ThreadPoolExecutor(threads)

    def _fitting(self, member: int, state: Any) -> Any:
        """Return a state whose optimiser has the parts that the member's program needs, fresh where it had none."""
        fresh = self.fresh(member)
        before = {_with_any_filter(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}
        paths, tree = jax.tree_util.tree_flatten_with_path(fresh)
        leaves = []
        for path, leaf in paths:
            old = before.get(_with_any_filter(path))
            leaves.append(old if old is not None and old.shape == leaf.shape and old.dtype == leaf.dtype else leaf)
        masks = {"masks": state["masks"]} if "masks" in state else {}
        return {**jax.tree_util.tree_unflatten(tree, leaves), **masks}


def _with_any_filter(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a part's path that is the same with and without a gradient filter, which is kept beside the moments."""
    return tuple(key for key in path if getattr(key, "key", None) != MOMENTS)


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


def _lane(arrays: Any, i: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[i], arrays)


def _with_masks(block: int, template: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a template with masks, where a saved block has them."""
    if not any(name.startswith(f"{block}['masks']") for name in arrays):
        return template
    shaped: Any = jax.ShapeDtypeStruct
    masks = {k: shaped(leaf.shape, np.bool_) for k, leaf in template["weights"].items()}
    return {**template, "masks": masks}


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
