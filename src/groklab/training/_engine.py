"""Drives a learner: evaluate, record, checkpoint, stop, resume."""

from __future__ import annotations

import contextlib
import time
import warnings
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from groklab import components
from groklab.errors import DamagedError, InputError, Interrupted
from groklab.experiment import Experiment
from groklab.interventions import Moment
from groklab.lazy import jax
from groklab.learners import MAX_RECORDS, CannotContinueError, Span
from groklab.store import Applied, MemberResult, Run, RunWriter, State, locks, states, storage
from groklab.training._branch import Branch, branches_of, check_branches, joined, weights_of
from groklab.training._ensemble import Ensemble, default_every, make_ensemble, program_of
from groklab.training._interventions import Due, Interventions, seed_of
from groklab.training._lanes import Lanes, check_weights
from groklab.training._online import OnlineMeasures
from groklab.training._records import Progress, Records, View
from groklab.training._results import cadence_of, member_results
from groklab.training.interrupts import stop_requests

#: Chunks end at least this often, in seconds, so that the live view moves and signals are noticed.
CHUNK_SECONDS = 0.4
#: Metrics are written at least so many seconds apart, for those who watch from other processes, and so seldom that it
#: takes this share of the time.
PUBLISH_SECONDS, PUBLISH_SHARE, PUBLISH_COSTS = 0.3, 0.02, 3
#: Stops that depend on metrics are looked for only at multiples of this many evaluations, so that where a run
#: stops does not depend on the machine's speed.
STOP_EVALUATIONS = 50
DIVERGED_EVALUATIONS = MAX_RECORDS


#: What is judged of the time after an intervention, by which metric and criterion (None: the experiment's).
_JUDGED = {"memorised": ("train_accuracy", "sustained_99"), "grokked": ("test_accuracy", None)}

#: Gives the weights that each member starts from, or its branch, or None for fresh ones; asked only before step 0.
StartWeights = Callable[[], list[dict[str, np.ndarray]] | list[Branch] | None]


def drive(
    run: Run,
    view: View | None = None,
    start: StartWeights = lambda: None,
    experiments: Sequence[Experiment] | None = None,
) -> Run:
    """Train a run from its last state to its budget, keeping everything on disk.

    Args:
        experiments: the run's experiments with another budget; None: those of the run.

    Raises:
        InputError: if another process holds the run, or the disk is full.
        Interrupted: on Ctrl-C or another signal that asks to end. In each case what is on disk is complete, and
            `resume` goes on to the same bits.
    """
    with stop_requests() as stop_requested, locks.locked(run.path) as lock:
        for folder in (run.path / "checkpoints", run.path / "state"):
            storage.sweep(folder)
        try:
            training = _Training(run, lock, make_ensemble(experiments or run.experiments), view, start)
            # not before all that may be refused
            if experiments is not None:
                RunWriter(run).experiments(experiments)
            training.go(stop_requested)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise InputError(f"{run.name} does not fit into the memory of {jax.devices()[0].device_kind}") from None
    return run


def check(ensemble: Ensemble, start: list[dict[str, np.ndarray]] | list[Branch] | None) -> None:
    """Raise InputError for what training would refuse, before its run is made."""
    lanes = ensemble.blocks()[0]
    program = program_of(ensemble.experiments[0], ensemble.tasks[0].shape)
    keys, hyperparameters = ensemble.keys(lanes), ensemble.hyperparameters(lanes)
    state = program.template(keys, hyperparameters)
    program.check(keys, hyperparameters, lambda: ensemble.raw_data(lanes))
    if start is not None:
        check_weights({name: leaf.shape[1:] for name, leaf in state["weights"].items()}, weights_of(start))
        check_branches(ensemble, branches_of(start), state)
    measures = OnlineMeasures(ensemble, 1)
    if measures.names:
        fresh = program.init(keys, hyperparameters)
        measures.check({name: np.asarray(leaf[0]) for name, leaf in fresh["weights"].items()})


class _Training:
    def __init__(self, run: Run, lock: locks.Lock, ensemble: Ensemble, view: View | None, start: StartWeights) -> None:
        self.run, self.writer, self.lock, self.ensemble, self.view = run, RunWriter(run), lock, ensemble, view
        e = ensemble.experiments[0]
        self.budget, self.checkpoints, self.criterion = e.budget, e.checkpoints, e.evaluation.criterion
        self.every = e.evaluation.every or default_every(e, ensemble.tasks[0])
        self.cadence = cadence_of(ensemble)
        self.measures = OnlineMeasures(ensemble, self.every)
        self.lanes = Lanes(ensemble)
        self.records = Records(self.lanes.program.metrics, ensemble.n_members)
        parts = ensemble.experiments, ensemble.tasks, ensemble.splits
        self.interventions = Interventions(*parts, self.every, self.cadence, self.criterion)
        self.step, self.seconds, self.rate, self.shown_rate, self.saved_at = 0, 0.0, 0.0, 0.0, time.monotonic()
        self.publish_at = self.saved_at
        self.publish_costs = deque([0.0] * PUBLISH_COSTS, PUBLISH_COSTS)
        self._restore(start)

    # -- the loop -----------------------------------------------------------------------------------------------

    def go(self, stop_requested: Callable[[], str | None]) -> None:
        try:
            self._go(stop_requested)
        except InputError as error:
            if self.lock.mine():
                with contextlib.suppress(InputError, OSError):
                    if isinstance(error, CannotContinueError) and len(self.records.steps):
                        self._save("interrupted", str(error))
                    self.writer.status(state="interrupted", reason=str(error))
            raise

    def _go(self, stop_requested: Callable[[], str | None]) -> None:
        self.writer.status(state="running", reason=None, step=self.step)
        self._show(compiling=True)
        # asked before the first chunk, too: a killed process may have saved its last state and not its last status
        self._retire()
        reason, request = self._why_stop(), stop_requested()
        if reason is None and request not in (None, "slice"):
            # nothing is to be saved yet, and to compile may take a minute; a slice of time trains a chunk at least
            self.writer.status(state="interrupted", reason=request)
            raise Interrupted(self.run.name)
        while reason is None:
            self._chunk()
            self._retire()
            self._show()
            self._publish()
            reason = self._why_stop()
            request = stop_requested()
            if request is not None and reason is None:
                self._save("interrupted", request)
                raise Interrupted(self.run.name)
            if reason is None and time.monotonic() - self.saved_at > self.checkpoints.rolling_seconds:
                self._save("running", None)
        if reason == "steps" and self.step < self.budget.steps:
            # the last leg ends between two evaluations; a longer budget will go on from before it
            if self.step:
                self._save("running", None)
            self._advance(self.budget.steps)
        if self.records.alive:
            self._advance(self.step)
        self._measure_due()
        if not np.isfinite(self.records.last("train_loss")).any():
            reason = "diverged"
        self._keep_weights(self.step, self.lanes.weights())
        self._keep_optimiser()
        self._save("diverged" if reason == "diverged" else "finished", reason)
        self._show(ended=True)

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
        self._intervene()
        self._keep_due()
        self._measure_due()
        self.seconds += took + time.monotonic() - began

    def _advance(self, stop: int) -> None:
        """Take all blocks to `stop` and append their records; stop == self.step measures without a step."""
        rows = self.lanes.advance(self.step, stop, self.every)
        first = self.step // self.every * self.every
        later = first + self.every * np.arange(1, Span(self.step, stop, self.every).n_records)
        self.records.append(np.array([self.step, *later], np.int64), rows)
        self.step = stop

    def _next_boundary(self) -> int:
        """Return where a chunk must end: always at an evaluation.

        A chunk that ended elsewhere would send some steps through another part of the compiled program, and so round
        them otherwise.
        """
        ahead = bisect_right(self.keep, self.step + self.every - 1)
        bounds = [s // self.every * self.every for s in (self.budget.steps, *self.keep[ahead : ahead + 1])]
        strides = [DIVERGED_EVALUATIONS, *([STOP_EVALUATIONS] if self.budget.stop_when_grokked else [])]
        strides = [n * self.every for n in strides] + ([self.measures.every] if self.measures.every else [])
        bounds += [(self.step // stride + 1) * stride for stride in strides]
        return min(*bounds, *self.interventions.boundaries(self.step, self.records.alive))

    # -- interventions ------------------------------------------------------------------------------------------

    def _intervene(self) -> None:
        """Apply what comes at this step, before its record and its checkpoint: both show what was changed."""
        due = self.interventions.due(self.step, self.records) if self.interventions else []
        while due:
            # states and data of all members move once for the next entry of each, however many members there are
            turn = [d for i, d in enumerate(due) if i == 0 or due[i - 1].member != d.member]
            self._apply(turn)
            due = [d for d in due if d not in turn]

    def _moment(self, due: Due, state: Mapping[str, Any]) -> Moment:
        m, experiment = due.member, self.lanes.ensemble.experiments[due.member]
        assert experiment.optimiser is not None
        seed = seed_of(self.ensemble.experiments[m], due.number)
        groups = {k: experiment.optimiser.group_of(k, v.ndim) for k, v in state["weights"].items()}
        fixed = {*experiment.network.fixed_weights, *(k for k, g in groups.items() if g.frozen or g.frozen_rows)}

        def fresh(own_seed: bool) -> dict[str, Any]:
            key = None
            if own_seed:
                drawn = jax.random.key(seed % 2**32)
                key = jax.random.fold_in(drawn, due.number + 1) if due.entry.seed is None else drawn  # type: ignore[attr-defined]
            return self.lanes.fresh(m, key)  # type: ignore[no-any-return]

        def kept(step: int) -> dict[str, np.ndarray]:
            if step == self.step:
                return dict(state["weights"])
            if step > self.step:
                raise InputError(f"goes back to step {step:,}, which is later")
            return self.run.weights(step, member=m if self.ensemble.n_members > 1 else None)

        def norm_at(event: str) -> float:
            norms, steps = self.records.metrics["weight_norm"], self.records.steps
            reached = 0 if event == "initial" else self.interventions.reached(event, m, self.step, self.records)
            if reached is None or not len(steps):
                raise InputError(f"of = {event!r}: this has not come before this step")
            return float(norms[int(np.searchsorted(steps, reached)), m])

        trained = tuple(k for k in state["weights"] if k not in fixed)
        return Moment(experiment, self.step, state, seed, trained, fresh, kept, norm_at)

    def _apply(self, turn: Sequence[Due]) -> None:
        """Apply one entry of each of some members."""
        now, states = self.lanes.ensemble, self.lanes.member_states()
        experiments, splits, changed = now.experiments, now.splits, {}
        for due in turn:
            m = due.member
            try:
                change = due.entry.apply(self._moment(due, states[m]))
            except InputError as error:
                of = f" of member {m}" if self.ensemble.n_members > 1 else ""
                raise InputError(f"interventions.{due.number}{of}, at step {self.step:,}: {error}") from None
            about = {"number": due.number, "member": m, "step": self.step, "kind": due.entry.kind}
            about["entry"] = components.as_json(due.entry)
            applied = Applied(**about, sentence=change.sentence, settings=dict(change.settings))
            self.interventions.applied.append(applied)
            experiments, splits = self.interventions.changed(experiments, splits, applied)
            changed[m] = {**states[m], **change.state}
        self.lanes.change(experiments, splits, changed)

    # -- stopping -----------------------------------------------------------------------------------------------

    def _retire(self) -> None:
        """Let members that are done stop.

        This is decided at multiples of STOP_EVALUATIONS from records before this step, so that a resumed run takes the
        same programs of the same widths, and ends in the same bits.
        """
        n = self.records.before(self.step)
        if not self.budget.retire or not n or self.step % (STOP_EVALUATIONS * self.every):
            return
        memorised = self._reached("train_accuracy", ended=False, n=n, criterion=self.criterion)
        grokked = self._reached("test_accuracy", ended=False, n=n)
        lost = ~np.isfinite(self.records.metrics["train_loss"][n - 1])
        done = []
        for m in self.records.alive:
            both = None if memorised[m] is None or self.interventions.pending(m) else grokked[m]
            if lost[m] or (both is not None and self.step >= both + self.budget.extra_steps):
                done.append(m)
        if done:
            # their last record is that of the weights that are kept
            self._advance(self.step)
            self.lanes.retire(done)
            self.records.retired |= dict.fromkeys(done, self.step)

    def _why_stop(self) -> str | None:
        if not self.records.alive:
            return "grokked"
        n = self.records.before(self.step)
        lost = n > 0 and not np.isfinite(self.records.metrics["train_loss"][n - 1]).any()
        if lost and self.step % (DIVERGED_EVALUATIONS * self.every) == 0:
            return "diverged"
        may_stop = self.budget.stop_when_grokked and not self.budget.retire
        if may_stop and not self.step % (STOP_EVALUATIONS * self.every):
            may_stop = not any(map(self.interventions.pending, self.records.alive))
            grokked = self._reached("test_accuracy", ended=False, n=n)
            if may_stop and all(g is not None and self.step >= g + self.budget.extra_steps for g in grokked):
                return "grokked"
        if self.step + self.every > self.budget.steps:
            return "steps"
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            return "seconds"
        return None

    def _reached(
        self, metric: str, ended: bool, n: int | None = None, criterion: str | None = None
    ) -> list[int | None]:
        """Return the step at which each member met a criterion, by its first n records (None: all).

        Where training may stop early, what counts is recorded since the member's last intervention.
        """
        since = {} if n is None else self.interventions.since()
        criterion = criterion or (self.criterion if metric == "test_accuracy" else "sustained_99")
        return self.records.reached(metric, criterion, self.cadence, ended, n, since)

    # -- disk ---------------------------------------------------------------------------------------------------

    def _check_mine(self) -> None:
        if not (self.run.path / "experiment.json").is_file():
            raise InputError(f"the run {self.run.path} was removed while it was being trained")

    def _save(self, status: str, reason: str | None) -> None:
        self._check_mine()
        # metrics first: a state on disk never runs ahead of them
        self.writer.metrics(self.records.frame())
        measured = self.measures.frame()
        if measured is not None:
            self.writer.measured(measured)
        retired = self.records.retired
        applied = self.interventions.applied
        lanes = self.lanes.blocks if retired or applied else []
        arrays = self.lanes.arrays()
        self.writer.state(State(self.step, self.seconds, self.every, arrays, lanes, retired, applied))
        ended = status in ("finished", "diverged")
        members = member_results(self.ensemble, self.records, self.lanes.weights(), self.step, ended)
        if self.interventions:
            members = [self._with_applied(member, m, ended) for m, member in enumerate(members)]
        ended_at = {"step": self.step, "seconds": self.seconds}
        self.writer.status(state=status, reason=reason, **ended_at, members=members, criterion=self.criterion)
        self.saved_at = time.monotonic()

    def _with_applied(self, result: MemberResult, member: int, ended: bool) -> MemberResult:
        applied = []
        for a in self.interventions.of(member):
            times = {}
            for event, (metric, criterion) in _JUDGED.items():
                criterion = criterion or self.criterion
                own = self.records.reached(metric, criterion, self.cadence, ended, since={member: a.step})
                times[f"{event}_step"] = own[member]
            applied.append(a.model_copy(update=times))
        return result.model_copy(update={"interventions": applied})

    def _publish(self) -> None:
        """Write the metrics so far, so that others see the curves move; a state may lag behind them."""
        began = time.monotonic()
        if began < self.publish_at:
            return
        self._check_mine()
        self.writer.metrics(self.records.frame())
        now = time.monotonic()
        # the quickest of the last few: a busy disk makes single ones wait, and the curves would with them
        self.publish_costs.append(now - began)
        self.publish_at = now + max(PUBLISH_SECONDS, min(self.publish_costs) / PUBLISH_SHARE)

    def _keep_due(self) -> None:
        """Keep the weights of the checkpoints from here to the next evaluation."""
        first = bisect_left(self.keep, self.step)
        for step in self.keep[first : bisect_left(self.keep, self.step + self.every)]:
            # between two evaluations by a side trip
            weights = self.lanes.weights() if step == self.step else self.lanes.weights_at(self.step, step, self.every)
            self._keep_weights(step, weights)
            if step == self.step:
                self._keep_optimiser()

    def _measure_due(self) -> None:
        if self.measures.is_due(self.step):
            self.measures.take(self.step, self.lanes.weights(), self.records.alive)

    def _keep_weights(self, step: int, weights: dict[str, np.ndarray]) -> None:
        self._check_mine()
        self.writer.checkpoint(step, weights)

    def _keep_optimiser(self) -> None:
        if self.checkpoints.optimiser and not self.step % self.every:
            self.writer.optimiser(self.step, self.lanes.rest(), self.interventions.applied)

    def _restore(self, start: StartWeights) -> None:
        saved, frame = states(self.run), None
        #: Of a training that begins here; None where one is resumed.
        branches: list[Branch] | None = None
        try:
            frame = self.run.metrics
        except DamagedError as error:
            warnings.warn(str(error), stacklevel=5)
        for state in saved:
            if frame is not None and self._restore_metrics(frame, state):
                self._restore_lanes(state)
                self.step, self.seconds = state.step, state.seconds
                self._restore_measures()
                break
        else:
            only_ends = saved and all(state.step % self.every for state in saved)
            if frame is not None and not only_ends and self._was_saved():
                warnings.warn(f"{self.run.name}: no complete state is left; training again from step 0", stacklevel=5)
            beginning = start()
            self.lanes.begin(None if beginning is None else weights_of(beginning))
            branches = branches_of(beginning)
            self._branch_off(branches)
        self.started_at = self.step
        self.keep = self.checkpoints.steps_until(self.budget.steps, self.every)
        if needed := self.interventions.needed():
            self.keep = sorted({*self.keep, *needed})
        if branches is not None:
            self._intervene()
            self._keep_due()
            if self.step:
                # its source may be gone when it is resumed
                self._save("running", None)
        self._measure_due()

    def _branch_off(self, branches: list[Branch]) -> None:
        """Take over the states, records and interventions of other runs."""
        if not branches:
            return
        self.step = branches[0].step
        frame = pl.concat(b.metrics.with_columns(pl.lit(m, pl.Int32).alias("member")) for m, b in enumerate(branches))
        self.records.restore(frame, self.step, self.every, {})
        of_members = [a.model_copy(update={"member": m}) for m, b in enumerate(branches) for a in b.applied]
        self.interventions.applied = sorted(of_members, key=lambda a: (a.step, a.member))
        needed = [step for step in sorted(self.interventions.needed()) if step < self.step]
        for step in needed:
            weights = [b.kept(step) for b in branches]
            self._keep_weights(step, {k: np.stack([w[k] for w in weights]) for k in weights[0]})
        experiments, splits = self.interventions.restored()
        self.lanes.change(experiments, splits, self.lanes.member_states())
        fitting = self.lanes.member_states()
        self.lanes.change(experiments, splits, {m: joined(fitting[m], b) for m, b in enumerate(branches)})

    def _restore_lanes(self, state: State) -> None:
        self.interventions.applied = list(state.applied)
        changed = None
        if state.applied:
            experiments, splits = self.interventions.restored()
            changed = replace(self.ensemble, experiments=experiments, splits=splits)
        self.lanes.restore(state.arrays, state.lanes, changed)

    def _was_saved(self) -> bool:
        try:
            return bool(self.run.status.step or list(self.run.path.glob("state/*.safetensors")))
        except DamagedError:
            return True

    def _restore_measures(self) -> None:
        try:
            self.measures.restore(self.run.measured, self.step)
        except DamagedError as error:
            warnings.warn(f"{error}; what was measured before step {self.step:,} is lost", stacklevel=6)

    def _restore_metrics(self, frame: pl.DataFrame, state: State) -> bool:
        """Take the records up to a state from those on disk; return whether they are there and the state fits."""
        if self.every != state.every:
            name = self.run.name
            allowed = f"{name} is measured every {state.every} steps: keep that, or retrain it with --again"
            raise InputError("evaluation.every", self.every, allowed)
        if state.step % self.every and state.step != self.budget.steps:
            # the end of a shorter budget, between two evaluations
            return False
        return self.records.restore(frame, state.step, self.every, state.retired)

    def _show(self, *, compiling: bool = False, ended: bool = False) -> None:
        if self.view is None:
            return
        records = self.records.steps, self.records.metrics
        memorised, grokked = (self._reached(f"{s}_accuracy", False) for s in ("train", "test"))
        speed = self.seconds, self.shown_rate, compiling
        name, budget = self.run.name, self.budget.steps
        self.view(Progress(name, self.step, budget, *speed, *records, memorised, grokked, ended))
