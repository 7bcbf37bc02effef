"""A sweep's folder: what it trains, in sweep.json, and where everything lies.

sweep.json                what was asked for: keys with their values, points, members with seed, identity and pack
packs/NAME/               one run each, trained as an ensemble
table.parquet             one row a member
curves.parquet            thinned curves of every member
failures.json             packs that could not be trained, and why
progress/, workers.log    what workers tell while they train
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groklab.errors import DamagedError, InputError
from groklab.experiment.reading import read
from groklab.experiment.schema import Experiment, Start
from groklab.store import storage
from groklab.sweeps.packing import Packing
from groklab.sweeps.plan import Plan, with_start
from groklab.training.training import run_name

FORMAT = 1


@dataclass(frozen=True)
class PackFolder:
    """A pack on disk: the folder of its run, its members by number, and where its worker tells how far it is."""

    path: Path
    members: tuple[int, ...]
    progress: Path


class Folder:
    """A sweep on disk. Raises InputError where the folder is no sweep, DamagedError where its description is broken."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path).resolve()
        if not (self.path / "sweep.json").is_file():
            raise InputError(f"{self.path} is no sweep: it holds no sweep.json")
        content = storage.read_json(self.path / "sweep.json")
        try:
            self.description: dict[str, Any] = dict(content)
            self.keys: dict[str, list[Any]] = dict(content["keys"])
            self.points: list[dict[str, Any]] = list(content["points"])
            self.members: list[dict[str, Any]] = [dict(m) for m in content["members"]]
            names = [str(p["name"]) for p in content["packs"]]
            numbers = [tuple(int(m) for m in p["members"]) for p in content["packs"]]
        except (KeyError, TypeError, ValueError):
            raise DamagedError(f"{self.path / 'sweep.json'} is damaged: it lists no members and packs") from None
        self._of_points: dict[int, Experiment] = {}
        self._starts: dict[Start, Start] = {}
        self.packs = [
            PackFolder(self.path / "packs" / name, members, self.path / "progress" / f"{name}.json")
            for name, members in zip(names, numbers, strict=True)
        ]

    @classmethod
    def create(cls, path: Path, plan: Plan, packing: Packing) -> Folder:
        """Write a new sweep's description; the folder is a sweep once this has been done."""
        pack_of = {m: number for number, pack in enumerate(packing.packs) for m in pack.members}
        members = [
            {"point": point, "seed": e.seed, "identity": identity, "pack": pack_of[number]}
            for number, (point, e, identity) in enumerate(
                zip(plan.member_points, plan.experiments, plan.identities, strict=True)
            )
        ]
        packs = [
            {"name": run_name([plan.experiments[m] for m in pack.members]), "members": list(pack.members)}
            for pack in packing.packs
        ]
        content = {
            "format": FORMAT,
            "base": plan.base,
            "overrides": plan.overrides,
            "keys": plan.keys,
            "points": plan.points,
            "packing": packing.said,
            "packs": packs,
            "members": members,
        }
        storage.write_json(path / "sweep.json", content)
        return cls(path)

    def experiment(self, member: int) -> Experiment:
        """A member's experiment."""
        return self._experiments([member])[0]

    def experiments_of(self, pack: int) -> list[Experiment]:
        """The experiments of a pack's members, in the pack's order."""
        found = self._experiments(self.packs[pack].members)
        if run_name(found) != self.packs[pack].path.name:
            raise InputError(
                f"{self.path.name} was planned from another description: a plug-in, a task's file or this program "
                "has changed since; begin the sweep anew with --name"
            )
        return found

    def _experiments(self, members: Sequence[int]) -> list[Experiment]:
        found = []
        for number in members:
            member = self.members[number]
            point = int(member["point"])
            if point not in self._of_points:
                overrides = {**self.description["overrides"], **self.points[point]}
                made = read(self.description["base"], overrides)
                self._of_points[point] = with_start(made, self._starts, self.path.parent.parent)
            found.append(replace(self._of_points[point], seed=int(member["seed"])))
        return found

    @property
    def stop_file(self) -> Path:
        """The file that asks workers to stop."""
        return self.path / "stop"

    @property
    def stopping(self) -> bool:
        """Whether workers were asked to stop, or the sweep was removed."""
        return self.stop_file.exists() or not (self.path / "sweep.json").exists()

    def failures(self) -> dict[str, str]:
        """Why packs failed, by the name of their run."""
        path = self.path / "failures.json"
        try:
            return {str(k): str(v) for k, v in dict(storage.read_json(path)).items()} if path.exists() else {}
        except (DamagedError, TypeError, ValueError):
            return {}  # they are tried again, and say it again
