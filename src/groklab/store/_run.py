"""A run on disk: a directory that explains itself, readable with no groklab installed.

experiment.json      the settings: a list of members with their identities
environment.json     machine and versions
status.json          how far it is, how it ended, the results of each member
metrics.parquet      step, member, losses, accuracies, norms
measures.parquet     step, member, and the arrays of online measures
checkpoints/         step_000001000.safetensors: weights (a leading member axis in an ensemble);
                     optimiser_000001000.safetensors: what branches need besides, where it is kept
state/               the two newest full states, for resuming
tags.json, report.html, lock.json (while a process writes it)
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import grokking, notebook
from groklab.errors import DamagedError, InputError, check_member
from groklab.lazy import np, pl
from groklab.store import locks, storage
from groklab.store._accessors import RunAccessors
from groklab.store._records import (
    Applied,
    CheckpointHeader,
    Description,
    Descriptions,
    Environment,
    Imported,
    OptimiserHeader,
    Status,
)
from groklab.store._reprs import html_of
from groklab.store._sources import Sources, below, changes, check_data, load_plugins, moved
from groklab.text import visible

if TYPE_CHECKING:
    from groklab.experiment import Experiment


class Run(RunAccessors):
    """One run: a member, or an ensemble of them, and everything kept of its training.

    Nothing of it is executed, but for `experiments`, which import the plug-ins that the user has named before.

    Args:
        trust_plugin: import plug-ins that are another's, too, or have changed.

    Raises InputError where the folder is not a run, DamagedError where one of its files was altered.
    """

    def __init__(self, path: Path, *, trust_plugin: bool = False) -> None:
        self.path, self.trust_plugin = Path(path), trust_plugin
        if not (self.path / "experiment.json").is_file():
            raise InputError(f"{self.path} is not a run: it holds no experiment.json")

    def __repr__(self) -> str:
        try:
            status, headlines = self.status, self.headlines
        except InputError as error:
            return f"Run({self.name!r}, damaged: {visible(str(error))})"
        sentence = grokking.headline_sentence(headlines)
        words = f"{status.state} at step {status.step:,}" + (f": {sentence}" if sentence else "")
        return visible(f"Run({self.name!r}, {words})")

    def _repr_html_(self) -> str:
        try:
            return html_of(self)
        except InputError as error:
            return notebook.block(notebook.title(self.name, "damaged"), notebook.line(str(error)))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs; what was read from the folder is read again."""
        return {"path": self.path, "trust_plugin": self.trust_plugin}

    def _forget(self) -> None:
        """Read the experiments from disk when they are next asked for."""
        for name in ("_content", "_settings", "_sources", "recorded", "experiments"):
            self.__dict__.pop(name, None)

    @property
    def name(self) -> str:
        """The folder's name."""
        return os.path.basename(os.path.abspath(self.path))

    @cached_property
    def _content(self) -> Descriptions:
        return storage.read_json(self.path / "experiment.json", Descriptions)

    @property
    def _description(self) -> list[Description]:
        return self._content.members

    @cached_property
    def _settings(self) -> list[dict[str, Any]]:
        return [moved(m.experiment.to_dict(), below(self.path)) for m in self._description]

    @cached_property
    def _sources(self) -> Sources:
        return {below(self.path)(path): digest for path, digest in self._content.sources.items()}

    @cached_property
    def recorded(self) -> list[Experiment]:
        """The members' experiments, in order, for looking: no plug-in is imported, and what they register is kept as
        its settings alone.
        """
        from groklab.experiment import read_recorded  # listing runs takes less time without

        return [read_recorded(settings) for settings in self._settings]

    @cached_property
    def experiments(self) -> list[Experiment]:
        """The members' experiments, in order, for computing: with their plug-ins, and their files unchanged.

        Raises:
            InputError: a plug-in or a file of the task is missing or has changed, or a plug-in is not the user's own.
        """
        from groklab.experiment import read_loaded

        places = load_plugins(self.recorded, self._sources, self.name, self.trust_plugin)
        plugins = [{"plugins": [places[path] for path in e.plugins]} for e in self.recorded]
        made = [read_loaded({**settings, **p}) for settings, p in zip(self._settings, plugins, strict=True)]
        check_data(made, self._sources, self.name)
        if not self.changes and [e.identity for e in made] != self.identities:
            warnings.warn(
                f"{self.name} was trained from another description than it has now: its experiment.json was altered, "
                "or a class that it names, or groklab itself, has changed since",
                stacklevel=2,
            )
        return made

    @property
    def task_label(self) -> str:
        """The task in a few words, from its settings alone."""
        from groklab.experiment import task_label

        return task_label(self._settings[0].get("task", {}))

    @property
    def changes(self) -> list[str]:
        """A sentence on each plug-in and file of the task that is missing, or has changed since it was trained."""
        return changes(self.recorded, self._sources, self.name)

    @property
    def experiment(self) -> Experiment:
        """The first member's experiment."""
        return self.experiments[0]

    @property
    def identities(self) -> list[str]:
        """The members' identities, in order."""
        return [m.identity for m in self._description]

    @property
    def n_members(self) -> int:
        """How many models this run trains."""
        return len(self._description)

    @property
    def status(self) -> Status:
        """The content of status.json; 'running' becomes 'interrupted' or 'perhaps running', by who holds the lock."""
        path, help = self.path / "status.json", "`resume` writes it again"
        try:
            status = storage.read_json(path, Status, help)
        except FileNotFoundError:
            raise DamagedError(f"{self.path} has lost its status.json; {help}") from None
        ended = status.state in ("finished", "diverged")
        if len(status.members) != self.n_members and (status.members or ended):
            raise DamagedError(f"{path} is damaged: it has {len(status.members)} members of {self.n_members}; {help}")
        if status.state in ("running", "created"):
            return replace(status, state=locks.state(self.path))
        return status

    @property
    def environment(self) -> Environment:
        """Machine and versions at the start."""
        path = self.path / "environment.json"
        try:
            return storage.read_json(path, Environment)
        except FileNotFoundError:
            raise DamagedError(f"{path} is missing") from None

    @property
    def imported(self) -> Imported | None:
        """The file that the run was imported from; None for runs trained here."""
        try:
            return self.environment.imported
        except InputError:
            return None

    # -- metrics ------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> pl.DataFrame:
        """One row per evaluation and member: step, member, then losses, accuracies and norms."""
        from groklab.learners import LOSSES, METRICS

        metrics = self._read_table("metrics.parquet", LOSSES)
        if metrics is None:
            schema = {"step": pl.Int64, "member": pl.Int32, **dict.fromkeys(METRICS, pl.Float32)}
            return pl.DataFrame(schema=schema)
        return metrics

    @property
    def measured(self) -> pl.DataFrame | None:
        """Online measures: step, member, and one column `measure.array` per array; None where there are none."""
        return self._read_table("measures.parquet")

    def _read_table(self, name: str, metrics: Sequence[str] = ()) -> pl.DataFrame | None:
        """Return a table by step and member, with these columns of floats; None where there is none."""
        path, help = self.path / name, "`resume` rebuilds it by training again"
        if not path.exists():
            return None
        frame = storage.read_table(path, help)
        types = frame.schema
        lacking = [c for c in ("step", "member") if c not in types or not types[c].is_integer()]
        lacking += [c for c in metrics if c not in types or not types[c].is_float()]
        if lacking:
            raise DamagedError(f"{path} is damaged: its column {lacking[0]} is missing or not of numbers; {help}")
        places = (pl.col("step") >= 0) & pl.col("member").is_between(0, self.n_members - 1)
        if not frame.select((places & places.is_not_null()).all()).item():
            raise DamagedError(f"{path} is damaged: it holds steps below 0, or members that the run lacks; {help}")
        return frame

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def checkpoints(self) -> list[int]:
        """The steps whose weights are kept, ascending."""
        names = (path.name for path in (self.path / "checkpoints").glob("step_*"))
        matches = (re.fullmatch(r"step_([0-9]{9}|[1-9][0-9]{9,14})\.safetensors", name) for name in names)
        return sorted(int(m.group(1)) for m in matches if m)

    def weights(self, step: int | None = None, member: int | None = None) -> dict[str, np.ndarray]:
        """Return the weights by name at a kept step, without member axis for a single model.

        Args:
            step: None is the last whose file is complete.
            member: which model of an ensemble; None gives all, with a leading member axis.

        Raises:
            InputError: for a step that was not kept.
            DamagedError: for a damaged file, if it was named by its step.
        """
        if step is None:
            return self.last_weights(member)[1]
        kept = self.checkpoints
        if step not in kept:
            near = f" (the nearest is {min(kept, key=lambda s: abs(s - step))})" if kept else ""
            known = ", ".join(map(str, kept)) or "none"
            raise InputError(f"{self.name} keeps no checkpoint of step {step}{near}; kept: {known}")
        return self._of_member(*self._load_weights(step), member)

    def last_weights(self, member: int | None = None) -> tuple[int, dict[str, np.ndarray]]:
        """Return the last step whose file is complete, and its weights as `weights` does; damage is warned of.

        Raises:
            InputError: if no file is complete.
            DamagedError: for weights of another experiment.
        """
        for step in reversed(self.checkpoints):
            try:
                arrays, identities = self._load_weights(step)
            except DamagedError as error:
                warnings.warn(f"{error}; using the one before", stacklevel=2)
                continue
            return step, self._of_member(arrays, identities, member)
        raise InputError(f"{self.name} has no complete checkpoint yet")

    def optimiser_state(self, step: int, member: int = 0) -> tuple[dict[str, np.ndarray], list[Applied]]:
        """Return one member's state besides its weights, by path, and the interventions that it had had by then.

        Raises:
            InputError: where it was not kept.
        """
        path = self.path / "checkpoints" / f"optimiser_{step:09d}.safetensors"
        arrays, applied = {}, []
        if path.is_file():
            content, header = storage.load_arrays(path, OptimiserHeader)
            start = f"{member}/"
            arrays = {name.removeprefix(start): array for name, array in content.items() if name.startswith(start)}
            applied = [a for a in header.applied if a.member == member]
        if not arrays:
            raise InputError(
                f"{self.name} kept no optimiser at step {step}: train it with checkpoints.optimiser=true (and --again, "
                "if it has been trained), or start from its weights alone, without --with-optimiser"
            )
        return arrays, applied

    def _load_weights(self, step: int) -> tuple[dict[str, np.ndarray], list[str]]:
        path = self.path / "checkpoints" / f"step_{step:09d}.safetensors"
        arrays, header = storage.load_arrays(path, CheckpointHeader)
        if header.step != step:
            raise DamagedError(f"{path} is damaged: it holds the weights of step {header.step}")
        n = len(header.identities)
        if n > 1 and not all(v.ndim and len(v) == n for v in arrays.values()):
            raise DamagedError(f"{path} is damaged: it does not hold {n} members")
        return arrays, header.identities

    def _of_member(
        self, arrays: dict[str, np.ndarray], identities: list[str], member: int | None
    ) -> dict[str, np.ndarray]:
        if identities != self.identities:
            raise DamagedError(f"a checkpoint of {self.path} belongs to another experiment")
        if member is not None:
            check_member(member, self.n_members, self.name)
        return {k: v[member] for k, v in arrays.items()} if self.n_members > 1 and member is not None else arrays

    # -- results ------------------------------------------------------------------------------------------

    @property
    def tags(self) -> list[str]:
        """The run's tags, sorted."""
        path = self.path / "tags.json"
        try:
            return sorted(storage.read_json(path, list[str]))
        except FileNotFoundError:
            return []

    @tags.setter
    def tags(self, tags: Sequence[str]) -> None:
        storage.write_json(self.path / "tags.json", sorted(set(tags)))

    def curves(self, member: int = 0) -> dict[str, np.ndarray]:
        """Return one member's metrics as arrays by column."""
        frame = self.metrics.filter(pl.col("member") == member).sort("step")
        return {name: frame[name].to_numpy() for name in frame.columns if name != "member"}

    @property
    def headlines(self) -> list[grokking.Headline]:
        """When each member memorised and generalised, and the delay; empty before the first evaluation."""
        status = self.status
        imported = self.imported if status.reason == "imported" else None
        return status.headlines(at_most=imported is not None and not imported.exact_steps)

    def summary(self) -> dict[str, Any]:
        """Return the run's status and results as one JSON object; of an ensemble, lists over members."""
        status = self.status
        members = status.members
        one: dict[str, Any] = {
            "run": self.name,
            "path": str(self.path),
            "status": status.state,
            "reason": status.reason,
            "steps": status.step,
            "seconds": round(status.seconds, 3),
        }
        keys = ("memorised_step", "grokked_step", "censored", "train_accuracy", "test_accuracy", "train_loss")
        for key in (*keys, "test_loss", "lowest_since_grokked", "weights_sha256", "seed"):
            values = [getattr(m, key) for m in members] or [None] * self.n_members
            one[key] = values if self.n_members > 1 else values[0]
        operations = [None if m.operations is None else [o.to_dict() for o in m.operations] for m in members]
        if any(operations):
            one["operations"] = operations if self.n_members > 1 else operations[0]
        if any(m.interventions is not None for m in members):
            applied = [[a.to_dict() for a in m.interventions or []] for m in members]
            one["interventions"] = applied if self.n_members > 1 else applied[0]
        headlines = self.headlines
        for key, values in (("delay", [h.delay for h in headlines]), ("headline", [h.sentence() for h in headlines])):
            one[key] = (values or [None] * self.n_members) if self.n_members > 1 else next(iter(values), None)
        one["definition"] = grokking.DEFINITION
        one["criterion"] = status.criterion or self._criterion
        one["tags"] = self.tags
        return one

    @property
    def _criterion(self) -> str:
        """The criterion of grokking, without reading the experiment as a whole."""
        return self._description[0].experiment.evaluation.criterion

    def to_json(self) -> str:
        """`summary()` on one line."""
        return json.dumps(self.summary())
