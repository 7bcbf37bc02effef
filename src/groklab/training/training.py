"""Train and resume: from an experiment to a run, for the command line and Python alike."""

from __future__ import annotations

import hashlib
import platform
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from groklab import grokking
from groklab.device import cores
from groklab.errors import DamagedError, InputError
from groklab.experiment import MAX_SEED, Budget, Experiment, description_of, read
from groklab.lazy import jax, optax
from groklab.notebook import Watch
from groklab.store import Collection, Environment, MemberResult, Run, RunWriter, Status, locks
from groklab.training import _engine as engine
from groklab.training._branch import Branch
from groklab.training._ensemble import build_task, default_every, make_ensemble
from groklab.training._records import Progress
from groklab.training._start import load_start
from groklab.training._watching import watching_training

#: Members that one run may hold.
MAX_MEMBERS = 10_000


def train(
    experiment: Experiment | str | Path | Sequence[Experiment],
    overrides: Mapping[str, Any] | None = None,
    *,
    seeds: int | None = None,
    again: bool = False,
    tags: Sequence[str] = (),
    view: Watch[Progress] = "live",
    home: str | Path | None = None,
) -> Run:
    """Train an experiment (or several as one ensemble) and return its run.

    An experiment that was interrupted is resumed, and one that is finished is returned as it is.

    Args:
        experiment: an experiment, a preset's name or a YAML file; or several experiments.
        overrides: dotted settings laid over it, as in `{"optimiser.weight_decay": 0.5}`.
        seeds: train that many members, with seeds counted up from the experiment's.
        again: train a new run, even if there is one.
        view: "live" shows curves in a notebook, and a line now and then elsewhere; None shows nothing; a function is
            called with the progress after each chunk of steps.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: if the experiment cannot be trained.
    """
    members = members_of(_described(experiment, overrides or {}), seeds)
    collection = Collection(Path(home) if home is not None else None)
    loaded = [load_start(m, collection) for m in members]
    members = [m for m, _ in loaded]
    name = run_name(members)
    path = collection.folder / name
    if again:
        count = 2
        while path.exists():
            path = collection.folder / f"{name}-{count}"
            count += 1
    start = _start_of([w for _, w in loaded])
    if not (path / "experiment.json").is_file():
        # refuse what cannot be trained before a folder is made
        engine.check(make_ensemble(members), start)
        with locks.locked(path):
            # another process may have been quicker
            if not (path / "experiment.json").is_file():
                RunWriter.create(path, members, environment())
    run = Run(path)
    if tags:
        run.tags = [*run.tags, *tags]
    return _continue(run, members, view, lambda: start)


def _described(
    experiment: Experiment | str | Path | Sequence[Experiment], overrides: Mapping[str, Any]
) -> Experiment | Sequence[Experiment]:
    """Return experiments with overrides, and that of a preset's name or of a YAML file."""
    if isinstance(experiment, str | Path):
        description, settings = description_of(experiment)
        return read(description, {**settings, **overrides})
    if not overrides:
        return experiment
    several = not isinstance(experiment, Experiment)
    changed = [read(e, overrides) for e in members_of(experiment)]
    return changed if several else changed[0]


def members_of(experiment: Experiment | Sequence[Experiment], seeds: int | None = None) -> list[Experiment]:
    """Return the experiments of a run's members; `seeds` makes that many of one, counted up from its own seed.

    Those with code of the user's are read again: it may have been edited since.
    """
    members: list[Any] = list(experiment) if isinstance(experiment, list | tuple) else [experiment]
    for member in members:
        if not isinstance(member, Experiment):
            raise InputError(f"{member!r} is not an experiment; gl.preset(name) or gl.read(settings) makes one")
        if member.split.method == "unknown":
            raise InputError("split.method", "unknown", "is of imported weights; training needs a split that is known")
    if not members:
        raise InputError("needs at least one experiment")
    members = [read(m) if m.code else m for m in members]
    if seeds is None:
        return members
    if not 1 <= seeds <= MAX_MEMBERS or len(members) != 1:
        raise InputError("seeds", seeds, f"needs one experiment and a number from 1 to {MAX_MEMBERS:,}")
    if members[0].seed + seeds - 1 > MAX_SEED:
        raise InputError("seeds", seeds, f"leads beyond the largest seed, {MAX_SEED}")
    return [replace(members[0], seed=members[0].seed + i) for i in range(seeds)]


def resume(
    run: Run | str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    trust_plugin: bool = False,
    view: Watch[Progress] = "live",
    home: str | Path | None = None,
) -> Run:
    """Go on with a run that was interrupted, or past its end with a longer budget (`{"budget.steps": 40000}`).

    Args:
        trust_plugin: of a run that is given by name, run plug-ins that the user has not named before, too.
        view: "live" shows curves in a notebook, and a line now and then elsewhere; None shows nothing; a function is
            called with the progress after each chunk of steps.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: if it cannot go on, or its plug-ins may not be run or have changed.
    """
    collection = Collection(Path(home) if home is not None else None)
    run = run if isinstance(run, Run) else collection.find(run, trust_plugin=trust_plugin)
    if run.trust_plugin and run.changes:
        # changed code would train another experiment, trusted or not
        raise InputError(f"{run.changes[0]}; put it back as it was, or train again")
    for key in overrides or {}:
        if not key.startswith(("budget.", "checkpoints.", "evaluation.criterion")):
            raise InputError(
                f"{key} cannot change when resuming: only budget.*, checkpoints.* and evaluation.criterion can; "
                "train a new experiment from here with --from"
            )
    members = [read(e, overrides or {}) for e in run.experiments]
    # start weights are needed only before the first state is saved; what they came from may be gone by now
    return _continue(run, members, view, lambda: _start_of([load_start(m, collection)[1] for m in members]))


def run_name(members: Sequence[Experiment]) -> str:
    """Return the folder's name: the experiment's own, and eight digits of the members' identities."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", members[0].name).strip("-.") or "experiment"
    if len(members) > 1:
        slug += f"-x{len(members)}"
    joined = "\n".join(m.identity for m in members)
    return f"{slug}-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"


def environment() -> Environment:
    """Return machine and versions, as kept with every run."""
    import groklab

    device = jax.devices()[0]
    return Environment(
        groklab=groklab.__version__,
        python=platform.python_version(),
        jax=jax.__version__,
        jaxlib=metadata.version("jaxlib"),
        optax=optax.__version__,
        numpy=np.__version__,
        platform=platform.platform(),
        processor=platform.machine(),
        cores=cores(),
        device=f"{device.platform}: {device.device_kind}",
        definition_of_grokking=grokking.DEFINITION,
    )


def _continue(run: Run, members: list[Experiment], view: Watch[Progress], start: engine.StartWeights) -> Run:
    if run.identities != [m.identity for m in members]:
        raise InputError(
            f"{run.name} was trained from another description: a plug-in, its start weights or this program have "
            "changed since; train it again with `groklab train … --again`"
        )
    if _is_done(run, members[0].budget):
        _apply_criterion(run, members)
        return run
    if run.imported:
        raise InputError(
            f"{run.name} was imported without its optimiser's state and cannot go on; `groklab train … --from "
            f"{run.name}@{max(run.checkpoints, default=0)}` starts a new experiment from its weights"
        )
    with watching_training(view) as watch:
        return engine.drive(run, watch, start, members)


def _apply_criterion(run: Run, members: list[Experiment]) -> None:
    """Recompute a finished run's grokking steps if its criterion has changed; its weights stay as they are."""
    wanted, had = members[0].evaluation, run.recorded[0].evaluation
    if wanted.every not in (None, had.every):
        warnings.warn(
            f"{run.name} was measured every {had.every or 'default'} steps; --again measures it again", stacklevel=4
        )
    status = run.status
    if wanted.criterion == had.criterion == (status.criterion or had.criterion):
        locks.tidy(run.path)
        return
    default = default_every(members[0], build_task(members[0]))
    cadence = max(had.every or default, default)
    members_now = []
    for number, member in enumerate(status.members):
        curves = run.curves(number)
        step = grokking.reached_step(
            curves["step"], curves["test_accuracy"], wanted.criterion, cadence, train=curves["train_accuracy"]
        )
        lowest = grokking.lowest_since(curves["step"], curves["test_accuracy"], step)
        now = {"grokked_step": step, "censored": step is None, "lowest_since_grokked": lowest}
        members_now.append(member.model_copy(update=now))
    changed = []
    for trained, kept_as in zip(members, run.recorded, strict=True):
        as_kept = {name: getattr(kept_as, name) for name in ("name", "budget", "checkpoints", "measures")}
        evaluation = replace(kept_as.evaluation, criterion=wanted.criterion)
        changed.append(replace(trained, **as_kept, evaluation=evaluation))
    with locks.locked(run.path):
        writer = RunWriter(run)
        writer.experiments(changed)
        writer.status(members=members_now, criterion=wanted.criterion)


def _is_done(run: Run, budget: Budget) -> bool:
    """Return whether a run has reached a budget and its files are complete.

    Raises InputError where the budget needs more steps of members that have all retired.
    """
    try:
        status = run.status
        complete = run.metrics["step"].max() == status.step
    except DamagedError:
        return False  # the engine warns, and computes them again
    if not complete or status.state not in ("finished", "diverged"):
        return False
    try:
        run.weights(status.step)
    except InputError as error:
        warnings.warn(f"{error}; computing it again", stacklevel=4)
        return False
    done = (
        status.step >= budget.steps
        or status.reason == "diverged"
        or (status.reason == "grokked" and budget.stop_when_grokked and _past_extra(status, budget.extra_steps))
        or (status.reason == "seconds" and budget.seconds is not None and status.seconds >= budget.seconds)
    )
    if not done and status.reason == "grokked" and run.recorded[0].budget.retire:
        raise InputError(
            f"{run.name} ended when all its members had retired, of which only the weights are kept: it cannot go on "
            "with another budget; --again retrains it"
        )
    return bool(done)


def _past_extra(status: Status, extra: int) -> bool:
    def past(member: MemberResult) -> bool:
        grokked, ended = member.grokked_step, status.step if member.steps is None else member.steps
        return (grokked is not None and ended >= grokked + extra) or member.diverged

    return all(past(m) for m in status.members)


def _start_of(weights: list[Any]) -> list[dict[str, np.ndarray]] | list[Branch] | None:
    if len({isinstance(w, Branch) for w in weights}) > 1:
        raise InputError("start.with_optimiser: needs to be the same for every member of one ensemble")
    if all(w is None for w in weights):
        return None
    if any(w is None for w in weights):
        raise InputError("start: every member of one ensemble needs start weights, or none")
    return weights
