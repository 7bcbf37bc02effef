"""Drives a learner: evaluate, record, checkpoint, stop, resume."""

from __future__ import annotations

import contextlib
import time
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import polars as pl

from groklab import claims, grokking, states, storage
from groklab.device import cores
from groklab.ensemble import Ensemble, default_every, make_ensemble
from groklab.errors import DamagedError, InputError
from groklab.experiment import Experiment
from groklab.interrupts import Interrupted, ctrl_c, out_of_time
from groklab.online import OnlineMeasures
from groklab.programs import MAX_RECORDS, n_records, program_of
from groklab.progress import Progress, View
from groklab.run import Run, State

#: Chunks end at least this often, in seconds, so that the live view moves and Ctrl-C is heard.
CHUNK_SECONDS = 0.4
#: Stops that depend on metrics are looked for only at multiples of this many evaluations, so that where a run
#: stops does not depend on the machine's speed.
STOP_EVALUATIONS = 50
DIVERGED_EVALUATIONS = MAX_RECORDS


#: Gives the weights that each member starts from, or None for fresh ones; asked only at step 0.
StartWeights = Callable[[], list[dict[str, np.ndarray]] | None]


def drive(
    run: Run,
    view: View | None = None,
    start: StartWeights = lambda: None,
    experiments: Sequence[Experiment] | None = None,
) -> Run:
    """Train a run from where it stands to its budget, keeping everything on disk.

    experiments: the members anew, with another budget; their identities must be those of the run.
    Raises InputError where another process holds the run or the disk is full; Interrupted on Ctrl-C. In each case
    what is on disk is whole and `resume` goes on from it to the same bits.
    """
    with claims.claimed(run.path) as claim, ctrl_c() as asked_to_stop:
        for folder in (run.path, run.path / "checkpoints", run.path / "state"):
            storage.sweep(folder)
        try:
            training = _Training(run, claim, make_ensemble(experiments or run.experiments), view, start)
            # not before all that may be refused
            if experiments is not None:
                run.write_experiments(experiments)
            training.go(asked_to_stop)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise InputError(f"{run.name} does not fit into the memory of {jax.devices()[0].device_kind}") from None
    return run


def check(ensemble: Ensemble, start: list[dict[str, np.ndarray]] | None) -> None:
    """Raise InputError where training would be refused only after its run has been made."""
    lanes = ensemble.blocks()[0]
    program = program_of(ensemble.experiments[0], ensemble.tasks[0].shape)
    state = program.template(ensemble.keys(lanes), ensemble.numbers(lanes))
    if not ensemble.experiments[0].learner.compiled:
        data = program.prepare(ensemble.raw_data(lanes))
        if ensemble.experiments[0].learner.is_quick(data):
            # one that cannot even begin is refused before there is a run
            keys, numbers = ensemble.keys(lanes), ensemble.numbers(lanes)
            with program.around():
                program.advance(program.init(keys, numbers), data, numbers, keys, 0, 0, 1)
    if start is not None:
        states.check_weights({name: leaf.shape[1:] for name, leaf in state["weights"].items()}, start)
    measures = OnlineMeasures(ensemble, 1)
    if measures.names:
        fresh = program.init(ensemble.keys(lanes), ensemble.numbers(lanes))
        measures.check({name: np.asarray(leaf[0]) for name, leaf in fresh["weights"].items()})


class _Training:
    def __init__(
        self, run: Run, claim: claims.Claim, ensemble: Ensemble, view: View | None, start: StartWeights
    ) -> None:
        self.run, self.claim, self.ensemble, self.view = run, claim, ensemble, view
        e = ensemble.experiments[0]
        self.budget, self.checkpoints, self.criterion = e.budget, e.checkpoints, e.evaluation.criterion
        default = default_every(e, ensemble.tasks[0])
        self.every = e.evaluation.every or default
        self.cadence = max(self.every, default)
        self.measures = OnlineMeasures(ensemble, self.every)
        self.blocks = ensemble.blocks()
        self.program = program_of(e, ensemble.tasks[0].shape, len(self.blocks))
        self.numbers = [ensemble.numbers(lanes) for lanes in self.blocks]
        self.keys = [ensemble.keys(lanes) for lanes in self.blocks]
        self.data = [self.program.prepare(ensemble.raw_data(lanes)) for lanes in self.blocks]
        self.pool = ThreadPoolExecutor(min(len(self.blocks), len(jax.devices()) if _on_gpu() else cores()))
        self.states: list[Any] = []
        self.steps = np.zeros(0, np.int64)
        self.metrics = {name: np.zeros((0, ensemble.n_members), np.float32) for name in self.program.metrics}
        self.step, self.seconds, self.rate, self.shown_rate, self.saved_at = 0, 0.0, 0.0, 0.0, time.monotonic()
        self._restore(start)

    # -- the loop -----------------------------------------------------------------------------------------------

    def go(self, asked_to_stop: Callable[[], bool]) -> None:
        try:
            self._go(asked_to_stop)
        except InputError as error:
            if self.claim.mine():
                with contextlib.suppress(InputError, OSError):
                    if len(self.steps) and not self.ensemble.experiments[0].learner.compiled:
                        # a machine that has become singular: what came before stands
                        self._save("interrupted", str(error))
                    self.run.write_status(status="interrupted", reason=str(error))
            raise

    def _go(self, asked_to_stop: Callable[[], bool]) -> None:
        self.run.write_status(status="running", reason=None, step=self.step)
        self._show(compiling=True)
        # asked before the first chunk, too: a killed process may have saved its last state and not its last status
        reason = self._why_stop()
        while reason is None:
            self._chunk()
            self._show()
            reason = self._why_stop()
            if asked_to_stop() and reason is None:
                self._save("interrupted", "slice" if out_of_time() else "ctrl-c")
                raise Interrupted(self.run.name)
            if reason is None and time.monotonic() - self.saved_at > self.checkpoints.rolling_seconds:
                self._save("running", None)
        if reason == "steps" and self.step < self.budget.steps:
            # the last leg ends between two evaluations; a longer budget will go on from before it
            if self.step:
                self._save("running", None)
            self._advance(self.budget.steps)
        self._advance(self.step)
        self._measure_due()
        if not np.isfinite(self.metrics["train_loss"][-1]).any():
            reason = "diverged"
        self._keep_weights(self.step, self.states)
        self._save("diverged" if reason == "diverged" else "finished", reason)
        self._show()

    def _chunk(self) -> None:
        goal = self._next_boundary()
        evaluations = int(self.rate * CHUNK_SECONDS / self.every) if self.rate else 1
        wish = (self.step // self.every + min(max(evaluations, 1), MAX_RECORDS)) * self.every
        before, began = self.step, time.monotonic()
        self._advance(min(goal, wish))
        took = time.monotonic() - began
        # the first chunk holds the compilation, and says nothing of the speed
        if before != self.started_at:
            self.rate = self.shown_rate = (self.step - before) / max(took, 1e-9)
        elif self.step > before:
            self.rate = max(self.rate, self.every / CHUNK_SECONDS)
        began = time.monotonic()
        self._keep_due()
        self._measure_due()
        self.seconds += took + time.monotonic() - began

    def _from(self, states: list[Any], stop: int) -> list[Any]:
        """All blocks' states and records, taken from self.step to `stop`; uses the memory of `states`."""
        bounds = [np.int32(x) for x in (self.step, stop, self.every)]

        def one(i: int) -> Any:
            result = self.program.advance(states[i], self.data[i], self.numbers[i], self.keys[i], *bounds)
            return jax.block_until_ready(result)  # type: ignore[no-untyped-call]

        with self.program.around():
            return list(self.pool.map(one, range(len(self.blocks))))

    def _advance(self, stop: int) -> None:
        """Take all blocks to `stop` and append their records; stop == self.step measures without a step."""
        results = self._from(self.states, stop)
        self.states = [states for states, _ in results]
        count = n_records(self.step, stop, self.every)
        first = self.step // self.every * self.every
        steps = np.array([self.step, *(first + self.every * np.arange(1, count))], np.int64)
        rows = {}
        for name in self.program.metrics:
            joined = np.concatenate([np.asarray(records[name])[:count] for _, records in results], axis=1)
            rows[name] = joined[:, : self.ensemble.n_members]
        if len(self.steps) and self.steps[-1] == steps[0]:
            self._drop_last_row()
        self.steps = np.concatenate([self.steps, steps])
        self.metrics = {k: np.concatenate([v, rows[k]]) for k, v in self.metrics.items()}
        self.step = stop

    def _drop_last_row(self) -> None:
        self.steps = self.steps[:-1]
        self.metrics = {k: v[:-1] for k, v in self.metrics.items()}

    def _next_boundary(self) -> int:
        """Where a chunk must end: always an evaluation.

        A chunk that ended elsewhere would send some steps through another part of the compiled program, and so round
        them otherwise.
        """
        ahead = bisect_right(self.keep, self.step + self.every - 1)
        bounds = [s // self.every * self.every for s in (self.budget.steps, *self.keep[ahead : ahead + 1])]
        strides = [DIVERGED_EVALUATIONS, *([STOP_EVALUATIONS] if self.budget.stop_when_grokked else [])]
        strides = [n * self.every for n in strides] + ([self.measures.every] if self.measures.every else [])
        bounds += [(self.step // stride + 1) * stride for stride in strides]
        return min(bounds)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _why_stop(self) -> str | None:
        # a resumed run may hold the record of this very step already, which one that runs through does not yet
        n = int(np.searchsorted(self.steps, self.step))
        lost = n > 0 and not np.isfinite(self.metrics["train_loss"][n - 1]).any()
        if lost and self.step % (DIVERGED_EVALUATIONS * self.every) == 0:
            return "diverged"
        if self.budget.stop_when_grokked and self.step % (STOP_EVALUATIONS * self.every) == 0:
            grokked = self._reached("test_accuracy", ended=False, n=n)
            if all(g is not None and self.step >= g + self.budget.extra_steps for g in grokked):
                return "grokked"
        if self.step + self.every > self.budget.steps:
            return "steps"
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            return "seconds"
        return None

    def _reached(self, metric: str, ended: bool, n: int | None = None) -> list[int | None]:
        """By the first n records (None: all)."""
        steps, accuracy = self.steps[:n], self.metrics[metric][:n]
        criterion = self.criterion if metric == "test_accuracy" else "sustained_99"
        return [
            grokking.reached_step(steps, accuracy[:, m], criterion, self.cadence, ended)
            for m in range(self.ensemble.n_members)
        ]

    # -- disk ---------------------------------------------------------------------------------------------------

    def _check_mine(self) -> None:
        if not (self.run.path / "experiment.json").is_file():
            raise InputError(f"the run {self.run.path} was removed while it was being trained")
        self.claim.check()

    def _save(self, status: str, reason: str | None) -> None:
        self._check_mine()
        members = self.ensemble.n_members
        n = len(self.steps)
        columns: dict[str, Any] = {
            "step": np.repeat(self.steps, members),
            "member": np.tile(np.arange(members, dtype=np.int32), n),
        }
        columns |= {k: v.reshape(-1) for k, v in self.metrics.items()}
        # metrics first: a state on disk never runs ahead of them
        self.run.write_metrics(pl.DataFrame(columns))
        measured = self.measures.frame()
        if measured is not None:
            self.run.write_measured(measured)
        self.run.write_state(State(self.step, self.seconds, self.every, states.as_arrays(self.states)))
        self.run.write_status(
            status=status, reason=reason, step=self.step, seconds=self.seconds, members=self._members(status)
        )
        self.saved_at = time.monotonic()

    def _members(self, status: str) -> list[dict[str, Any]]:
        ended = status in ("finished", "diverged")
        memorised, grokked = (self._reached(f"{s}_accuracy", ended) for s in ("train", "test"))
        weights = self._weights(self.states)
        rows = []
        for m, experiment in enumerate(self.ensemble.experiments):
            last = {k: _finite(v[-1, m]) for k, v in self.metrics.items()}
            sha = storage.digest({k: v[m] for k, v in weights.items()})
            seen = {"memorised_step": memorised[m], "grokked_step": grokked[m], "censored": grokked[m] is None}
            diverged = not np.isfinite(self.metrics["train_loss"][-1, m])
            rows.append({**seen, **last, "diverged": diverged, "weights_sha256": sha, "seed": experiment.seed})
        return rows

    def _keep_due(self) -> None:
        """Keep the weights of the steps asked for from here to the next evaluation."""
        first = bisect_left(self.keep, self.step)
        for step in self.keep[first : bisect_left(self.keep, self.step + self.every)]:
            states = self.states
            if step != self.step:
                # a side trip, from copies
                states = [found for found, _ in self._from(jax.tree.map(jax.numpy.copy, self.states), step)]
            self._keep_weights(step, states)

    def _measure_due(self) -> None:
        if self.measures.is_due(self.step):
            self.measures.take(self.step, self._weights(self.states))

    def _keep_weights(self, step: int, states: list[Any]) -> None:
        self._check_mine()
        self.run.write_checkpoint(step, self._weights(states))

    def _weights(self, states: list[Any]) -> dict[str, np.ndarray]:
        blocks = [jax.tree.map(np.asarray, s["weights"]) for s in states]
        n = self.ensemble.n_members
        return {k: np.concatenate([b[k] for b in blocks])[:n] for k in blocks[0]}

    def _restore(self, start: StartWeights) -> None:
        fresh = [self.program.template(keys, numbers) for keys, numbers in zip(self.keys, self.numbers, strict=True)]
        saved, frame = self.run.states(), None
        try:
            frame = self.run.metrics
        except DamagedError as error:
            warnings.warn(str(error), stacklevel=5)
        for state in saved:
            if frame is not None and self._restore_metrics(frame, state):
                self.states = [states.filled(i, template, state.arrays) for i, template in enumerate(fresh)]
                self.step, self.seconds = state.step, state.seconds
                self._restore_measures()
                break
        else:
            only_ends = saved and all(state.step % self.every for state in saved)
            if frame is not None and not only_ends and self._was_saved():
                warnings.warn(f"{self.run.name}: no whole state is left; training again from step 0", stacklevel=5)
            self.states = [self.program.init(k, n) for k, n in zip(self.keys, self.numbers, strict=True)]
            weights = start()
            if weights is not None:
                shapes = {name: leaf.shape[1:] for name, leaf in self.states[0]["weights"].items()}
                states.check_weights(shapes, weights)
                self.states = [
                    states.with_weights(s, b, weights) for s, b in zip(self.states, self.blocks, strict=True)
                ]
        self.started_at = self.step
        self.keep = self.checkpoints.steps_until(self.budget.steps, self.every)
        if self.step == 0:
            self._keep_due()
        self._measure_due()

    def _was_saved(self) -> bool:
        try:
            return bool(self.run.status["step"] or list(self.run.path.glob("state/*.safetensors")))
        except DamagedError:
            return True

    def _restore_measures(self) -> None:
        try:
            self.measures.restore(self.run.measured, self.step)
        except DamagedError as error:
            warnings.warn(f"{error}; what was measured before step {self.step:,} is lost", stacklevel=6)

    def _restore_metrics(self, frame: pl.DataFrame, state: State) -> bool:
        """Take the records up to a state from those on disk; whether they are all there, and the state of use."""
        if self.every != state.every:
            name = self.run.name
            allowed = f"{name} is measured every {state.every} steps; ask for the same, or train it anew with --again"
            raise InputError("evaluation.every", self.every, allowed)
        if state.step % self.every and state.step != self.budget.steps:
            # the end of a shorter budget, between two evaluations
            return False
        frame = frame.filter((pl.col("step") <= state.step) & (pl.col("step") % self.every == 0))
        frame = frame.sort("step", "member")
        members = self.ensemble.n_members
        steps = np.unique(frame["step"].to_numpy())
        due = np.arange(0, state.step, self.every)
        if len(frame) != members * len(steps) or not np.array_equal(steps[: len(due)], due):
            return False
        self.steps = steps.astype(np.int64)
        self.metrics = {k: frame[k].to_numpy().reshape(-1, members).copy() for k in self.program.metrics}
        return True

    def _show(self, compiling: bool = False) -> None:
        if self.view is None:
            return
        memorised, grokked = (self._reached(f"{s}_accuracy", False) for s in ("train", "test"))
        self.view(
            Progress(
                self.run.name,
                self.step,
                self.budget.steps,
                self.seconds,
                self.shown_rate,
                compiling,
                self.steps,
                self.metrics,
                memorised,
                grokked,
            )
        )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _on_gpu() -> bool:
    return bool(jax.devices()[0].platform != "cpu")
