"""Branches: training that goes on from a kept state of another run, with its optimiser's state and its steps so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab import components
from groklab.errors import InputError
from groklab.lazy import jax
from groklab.store import Applied, Collection, Run, digest
from groklab.training._ensemble import Ensemble, default_every

if TYPE_CHECKING:
    import polars as pl

    from groklab.experiment import Experiment, Start

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Branch:
    """One member's state in another run, after so many steps.

    Attributes:
        source: the run's name.
        weights, rest: its weights, and the other arrays of its state by their paths.
        metrics: what that run recorded before this step.
        applied: interventions up to this step.
        kept: gives the run's weights at an earlier step.
    """

    source: str
    step: int
    weights: Weights
    rest: dict[str, np.ndarray]
    metrics: pl.DataFrame
    applied: tuple[Applied, ...]
    kept: Callable[[int], Weights]

    @property
    def sha256(self) -> str:
        """The digest of the state."""
        return digest({**self.weights, **{f"state {path}": array for path, array in self.rest.items()}})


def weights_of(start: Sequence[Weights | Branch]) -> list[Weights]:
    """Return the weights of branches; weights as they are."""
    return [s.weights if isinstance(s, Branch) else s for s in start]


def branches_of(start: Sequence[Weights | Branch] | None) -> list[Branch]:
    """Return what are branches."""
    return [s for s in start or () if isinstance(s, Branch)]


def load_branch(start: Start, collection: Collection) -> Branch:
    """Return the state that an experiment's `start` with `with_optimiser` names.

    Raises InputError where the run did not keep it.
    """
    run = collection.find(start.run or "")
    if run.n_members > 1 and start.member is None:
        allowed = f"holds {run.n_members} models; start.member says which, from 0 to {run.n_members - 1}"
        raise InputError("start.run", run.name, allowed)
    member, step = start.member or 0, start.step
    if step is None:
        step = run.last_weights()[0]
    weights = run.weights(step, member if run.n_members > 1 else None)
    rest, applied = run.optimiser_state(step, member)
    return Branch(
        source=run.name,
        step=step,
        weights=weights,
        rest=rest,
        metrics=run.metrics.filter((run.metrics["member"] == member) & (run.metrics["step"] < step)),
        applied=tuple(applied),
        kept=lambda earlier: _kept(run, earlier, member),
    )


def _kept(run: Run, step: int, member: int) -> Weights:
    return run.weights(step, member if run.n_members > 1 else None)


def check_branches(ensemble: Ensemble, branches: Sequence[Branch], state: Any) -> None:
    """Raise InputError where training cannot go on from these states; `state` is a block's, or like one."""
    if not branches:
        return
    experiments = ensemble.experiments
    every = experiments[0].evaluation.every or default_every(experiments[0], ensemble.tasks[0])
    shaped: Any = jax.ShapeDtypeStruct
    member = jax.tree.map(lambda leaf: shaped(leaf.shape[1:], leaf.dtype), state)
    first = branches[0]
    for experiment, branch in zip(experiments, branches, strict=True):
        if branch.step != first.step:
            raise InputError("start.step", branch.step, f"needs to be {first.step} for all members of one ensemble")
        recorded = branch.metrics["step"].to_numpy()
        if branch.step % every:
            allowed = f"needs to be a multiple of {every}, the steps between evaluations, to go on with the optimiser"
            raise InputError("start.step", branch.step, allowed)
        if not np.isin(np.arange(0, branch.step, every), recorded).all():
            spacing = int(np.diff(recorded).max(initial=0)) or None
            allowed = f"needs to be that of {branch.source}, whose records a branch goes on with"
            raise InputError("evaluation.every", every, f"{allowed}: {spacing}")
        if branch.step >= experiment.budget.steps:
            allowed = f"counts from step 0, and the branch begins at {branch.step:,}: it needs to be above that"
            raise InputError("budget.steps", experiment.budget.steps, allowed)
        _check_interventions(experiment, branch)
        if not branch.applied:
            joined(member, branch)


def _check_interventions(experiment: Experiment, branch: Branch) -> None:
    """Refuse a branch whose experiment lacks what was applied before, or has what was not."""
    applied = {a.number for a in branch.applied}
    for a in branch.applied:
        own = experiment.interventions[a.number] if a.number < len(experiment.interventions) else None
        if own is None or components.as_json(own) != a.entry:
            raise InputError(
                f"interventions.{a.number}: {branch.source} has had {a.kind!r} at step {a.step:,}, before the branch: "
                "its entry is needed here, too, in the same place"
            )
    for i, entry in enumerate(experiment.interventions):
        if entry.step is not None and entry.step < branch.step and i not in applied:
            allowed = f"comes before the branch at step {branch.step:,}, and {branch.source} has not had it"
            raise InputError(f"interventions.{i}.step", entry.step, allowed)


def joined(state: Any, branch: Branch) -> Any:
    """Return a member's state with the arrays of a branch. Raises InputError where they do not fit."""
    paths, tree = jax.tree_util.tree_flatten_with_path(state)
    leaves, left = [], set(branch.rest)
    for path, leaf in paths:
        name = jax.tree_util.keystr(path)
        if name.startswith("['weights']"):
            leaves.append(leaf)
            continue
        array = branch.rest.get(name)
        if array is None or array.shape != leaf.shape or array.dtype != leaf.dtype:
            raise _misfit(branch, name)
        leaves.append(array)
        left.discard(name)
    masks = {name: array for name, array in branch.rest.items() if name.startswith("['masks']")}
    if left - set(masks):
        raise _misfit(branch, min(left - set(masks)))
    made = jax.tree_util.tree_unflatten(tree, leaves)
    if masks:
        made["masks"] = {name: branch.rest[f"['masks']['{name}']"] for name in state["weights"]}
    return made


def _misfit(branch: Branch, name: str) -> InputError:
    return InputError(
        f"start.with_optimiser: the optimiser's state of {branch.source} does not fit this experiment's at {name}; "
        f"branch with that run's own optimiser, and change it by an intervention at step {branch.step}"
    )
