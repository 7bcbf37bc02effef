"""A sweep's folder: what it trains, and one table of what its members did.

sweep.json                what was asked for: keys with their values, points, members with seed, identity and pack
packs/NAME/               one run each, trained as an ensemble
table.parquet             one row per member
curves.parquet            thinned curves of every member
failures.json             packs that could not be trained, and why
progress/, workers.log    what workers report while they train

Table and curves are derived from the packs, and can be written again at any time.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from groklab import notebook
from groklab.components import as_json
from groklab.errors import DamagedError, InputError, check_member
from groklab.experiment import Experiment, Start, read_loaded, read_recorded, task_label
from groklab.grokking import PHASES, learning_phase
from groklab.store import MemberResult, Run, Status, check_data, load_plugins, locks, sources_of, storage, thin
from groklab.sweeps._accessors import SweepAccessors
from groklab.sweeps._packing import Packing
from groklab.sweeps._plan import Plan, with_start
from groklab.sweeps._records import MemberPlan, PackPlan, Row, SweepPlan
from groklab.text import first_of, visible
from groklab.training import run_name

if TYPE_CHECKING:
    from groklab.sweeps._plots import SweepPlots

#: Statuses of members whose training is over.
ENDED = ("finished", "diverged")
#: About how many points of a member's curves are kept.
CURVE_POINTS = 200
LAST = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "weight_norm")
CURVES = LAST[:4]
#: Columns of the table besides the grid's keys, which follow `seed`. `reason`: why the member ended or failed;
#: `phase_reason`: why its phase is undefined, censored or doubtful.
SCHEMA: dict[str, Any] = {
    "member": pl.Int32,
    "point": pl.Int32,
    "seed": pl.Int64,
    "identity": pl.String,
    "pack": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "steps": pl.Int64,
    "seconds": pl.Float64,
    **dict.fromkeys(("memorised_step", "grokked_step", "train_step", "test_step"), pl.Int64),
    "phase": pl.String,
    "censored": pl.Boolean,
    "phase_reason": pl.String,
    **dict.fromkeys((*LAST, "best_test_accuracy"), pl.Float32),
}
#: The columns that the plan alone determines.
PLANNED = ("member", "point", "seed", "identity", "pack")
STATUSES = {"pending", "running", "perhaps running", "interrupted", *ENDED, "failed"}
CURVE_SCHEMA = pl.Schema({"member": pl.Int32, "step": pl.Int64, **dict.fromkeys(CURVES, pl.Float32)})


@dataclass(frozen=True)
class PackFolder:
    """A pack on disk: the folder of its run, its members by number, and the file where its worker reports progress."""

    path: Path
    members: tuple[int, ...]
    progress: Path


class Sweep(SweepAccessors):
    """A sweep on disk: its grid, its members and their results.

    Table and curves are read from their files, or from the packs where those are missing or damaged.

    Raises:
        InputError: the folder is not a sweep; DamagedError: its description is damaged.
    """

    def __init__(self, path: Path | str, *, trust_plugin: bool = False) -> None:
        self.path, self.trust_plugin = Path(path).resolve(), trust_plugin
        if not (self.path / "sweep.json").is_file():
            raise InputError(f"{self.path} is not a sweep: it holds no sweep.json")
        self.plan = storage.read_json(self.path / "sweep.json", SweepPlan)
        self.keys, self.points, self.members = self.plan.keys, self.plan.points, self.plan.members
        self._of_points: dict[int, Experiment] = {}
        self._starts: dict[Start, Start] = {}
        self.packs = [
            PackFolder(self.path / "packs" / p.name, tuple(p.members), self.path / "progress" / f"{p.name}.json")
            for p in self.plan.packs
        ]

    @classmethod
    def create(cls, path: Path, plan: Plan, packing: Packing) -> Sweep:
        """Write a new sweep's description; the folder is a sweep once this has been done."""
        pack_of = {m: number for number, pack in enumerate(packing.packs) for m in pack.members}
        members = [
            MemberPlan(point=point, seed=e.seed, identity=identity, pack=pack_of[number])
            for number, (point, e, identity) in enumerate(
                zip(plan.member_points, plan.experiments, plan.identities, strict=True)
            )
        ]
        packs = [
            PackPlan(name=run_name([plan.experiments[m] for m in pack.members]), members=list(pack.members))
            for pack in packing.packs
        ]
        content = SweepPlan(
            format=1,
            base=plan.base,
            overrides=plan.overrides,
            keys=plan.keys,
            points=plan.points,
            packing=packing.description,
            packs=packs,
            members=members,
            sources=sources_of(plan.experiments),
        )
        storage.write_json(path / "sweep.json", content.to_dict())
        return cls(path)

    def __repr__(self) -> str:
        try:
            return visible(f"Sweep({self.name!r}, {self._in_words()})")
        except (InputError, OSError) as error:
            return f"Sweep({self.name!r}, damaged: {visible(str(error))})"

    def _repr_html_(self) -> str:
        from groklab.sweeps._reprs import html_of  # which needs cells and figures

        try:
            return html_of(self, self._in_words())
        except (InputError, OSError) as error:
            return notebook.block(notebook.title(self.name, "damaged"), notebook.line(str(error)))

    def _in_words(self) -> str:
        s = self.summary()
        failed = f", {s['failed']:,} failed" if s["failed"] else ""
        return (
            f"{s['status']}: {s['finished']:,} of {s['members']:,} members trained, {s['memorised']:,} memorised, "
            f"{s['generalised']:,} generalised{failed}"
        )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def plot(self) -> SweepPlots:
        """The figures of the sweep: `plot()` lists them, `plot.phases()` draws one."""
        from groklab.sweeps._plots import SweepPlots  # which needs cells and figures

        return SweepPlots(self)

    @property
    def n_members(self) -> int:
        """How many members there are: points times seeds."""
        return len(self.members)

    @property
    def packing(self) -> str:
        """How the members are packed, and why, in one sentence."""
        return self.plan.packing

    @property
    def task_label(self) -> str:
        """The task in a few words; the first two where the grid has several."""
        settings = as_json(self.recorded(0).task)
        swept = ({k.removeprefix("task."): v for k, v in p.items() if k.startswith("task.")} for p in self.points)
        return first_of(list(dict.fromkeys(task_label({**settings, **values}) for values in swept)), 2)

    def experiment(self, member: int) -> Experiment:
        """Return a member's experiment; raises InputError as `Run.experiments`, and for one that does not exist."""
        check_member(member, self.n_members, self.name)
        return self._experiments([member])[0]

    def recorded(self, member: int) -> Experiment:
        """Return a member's experiment for looking, without plug-ins: see `Run.recorded`."""
        check_member(member, self.n_members, self.name)
        planned = self.members[member]
        settings = {**self.plan.overrides, **self.points[planned.point]}
        return replace(read_recorded(self.plan.base, settings), seed=planned.seed)

    def run(self, member: int) -> tuple[Run, int]:
        """Return the run that holds a member, and its place there: its weights are `run.weights(member=place)`."""
        check_member(member, self.n_members, self.name)
        its_pack = self.packs[self.members[member].pack]
        return Run(its_pack.path, trust_plugin=self.trust_plugin), its_pack.members.index(member)

    def experiments_of(self, pack: int) -> list[Experiment]:
        """Return the experiments of a pack's members, in the pack's order."""
        experiments = self._experiments(self.packs[pack].members)
        if run_name(experiments) != self.packs[pack].path.name:
            raise InputError(
                f"{self.path.name} was planned from another description: a plug-in, a task's file or this program "
                "has changed since; start a new sweep with --name"
            )
        return experiments

    def _experiments(self, members: Sequence[int]) -> list[Experiment]:
        experiments = []
        for number in members:
            member = self.members[number]
            if member.point not in self._of_points:
                overrides = {**self.plan.overrides, **self.points[member.point], "plugins": self._plugins}
                made = read_loaded(self.plan.base, overrides)
                check_data([made], self.plan.sources, self.name)
                self._of_points[member.point] = with_start(made, self._starts, self.path.parent.parent)
            experiments.append(replace(self._of_points[member.point], seed=member.seed))
        return experiments

    @cached_property
    def _plugins(self) -> list[str]:
        """The plug-ins, which are imported when this is first asked."""
        return list(load_plugins([self.recorded(0)], self.plan.sources, self.name, self.trust_plugin).values())

    @property
    def stop_file(self) -> Path:
        """The file that asks workers to stop."""
        return self.path / "stop"

    @property
    def stopping(self) -> bool:
        """Whether workers were asked to stop, or the sweep was removed."""
        return self.stop_file.exists() or not (self.path / "sweep.json").exists()

    def failures(self) -> dict[str, str]:
        """Return why packs failed, by the name of their run."""
        try:
            return storage.read_json(self.path / "failures.json", dict[str, str])
        except (DamagedError, FileNotFoundError):
            return {}  # they are tried again, and fail again

    @cached_property
    def _records(self) -> SweepRecords:
        return SweepRecords(self)

    @property
    def table(self) -> pl.DataFrame:
        """One row per member: point, seed, one column for each key, status, steps, phase, losses and accuracies."""
        table = read_table(self.path / "table.parquet", self._planned.schema)
        fixed = [*PLANNED, *(key for key in self.keys if key not in SCHEMA)]
        sound = (
            table is not None
            and table.select(fixed).equals(self._planned.select(fixed))
            and set(table["status"]) <= STATUSES
            and set(table["phase"]) <= {*PHASES, None}
            and all(table.select(pl.selectors.float().is_finite().all(), (pl.selectors.integer() >= 0).all()).row(0))
        )
        return table if table is not None and sound else table_of(self, self._records.rows)

    def table_so_far(self) -> pl.DataFrame:
        """Return the table with what packs under way have recorded since it was written."""
        table = self.table
        if locks.state(self.path) == "interrupted":
            return table
        open_packs = set(table.filter(~pl.col("status").is_in((*ENDED, "failed")))["pack"])
        rows = []
        for number, pack in enumerate(self.packs):
            if pack.path.name in open_packs and (pack.path / "experiment.json").is_file():
                with contextlib.suppress(InputError, OSError):
                    rows += rows_of_pack(self, number)[0]
        if not rows:
            return table
        known = table_of(self, rows)
        return pl.concat([table.join(known, on="member", how="anti"), known]).sort("member")

    @cached_property
    def _planned(self) -> pl.DataFrame:
        """The table before anything is trained."""
        return table_of(self, empty_rows(self))

    def curves(self, member: int | None = None) -> pl.DataFrame:
        """Return columns member, step, losses and accuracies of one member or of all, thinned to some 200 steps."""
        curves = read_table(self.path / "curves.parquet", CURVE_SCHEMA)
        if curves is None or not set(curves["member"]) <= set(range(self.n_members)) or (curves["step"] < 0).any():
            curves = curves_of(self._records.curves)
        if member is None:
            return curves
        check_member(member, self.n_members, self.name)
        return curves.filter(pl.col("member") == member)

    @property
    def status(self) -> str:
        """'running', 'perhaps running', 'interrupted', 'finished', or 'failed' where no member could be trained."""
        if (present := locks.state(self.path)) != "interrupted":
            return present
        states = set(self.table["status"])
        if states == {"failed"}:
            return "failed"
        return "finished" if states <= {*ENDED, "failed"} else "interrupted"

    def summary(self) -> dict[str, Any]:
        """Return counts of members: finished, diverged, failed, memorised, generalised, and of each phase."""
        rows = self.table
        counts = dict(rows["status"].value_counts().iter_rows())
        ended = rows.filter(pl.col("status").is_in(ENDED))
        phases = dict(ended["phase"].value_counts().iter_rows())
        reasons = rows.filter(pl.col("status") == "failed")["reason"].unique().sort().to_list()
        return {
            "sweep": self.name,
            "path": str(self.path),
            "task": self.task_label,
            "status": self.status,
            "members": self.n_members,
            "finished": counts.get("finished", 0) + counts.get("diverged", 0),
            "diverged": counts.get("diverged", 0),
            "failed": counts.get("failed", 0),
            "memorised": len(rows) - rows["memorised_step"].null_count(),
            "generalised": len(rows) - rows["grokked_step"].null_count(),
            "phases": {phase: phases.get(phase, 0) for phase in PHASES},
            "steps": int(rows["steps"].sum()),
            "seconds": round(float(rows["seconds"].sum()), 3),
            "keys": self.keys,
            "packs": len(self.packs),
            "packing": self.packing,
            "failures": reasons,
        }


def empty_rows(sweep: Sweep) -> list[Row]:
    """Return the rows of a sweep before anything is trained."""
    return [_empty_row(sweep, number) for number in range(sweep.n_members)]


def _empty_row(sweep: Sweep, number: int) -> Row:
    member = sweep.members[number]
    return Row(number, member.point, member.seed, member.identity, sweep.plan.packs[member.pack].name)


def rows_of_pack(sweep: Sweep, number: int) -> tuple[list[Row], pl.DataFrame]:
    """Return a pack's results, one row per member (without the grid's keys), and the members' thinned curves.

    Raises:
        InputError: the pack has no run; DamagedError: its run is damaged.
    """
    pack = sweep.packs[number]
    run = Run(pack.path)
    if run.identities != [sweep.members[m].identity for m in pack.members]:
        raise DamagedError(f"{pack.path} is damaged: it does not hold the members of its pack")
    status = run.status
    ended = status.state in ENDED
    curves = run.metrics.partition_by("member", as_dict=True)
    budgets = [e.budget.steps for e in run.recorded]
    rows, thinned = [], []
    for place, member in enumerate(pack.members):
        known = status.members[place] if status.members else None
        own = curves.get((place,), run.metrics.clear()).sort("step")
        row = _with_results(_empty_row(sweep, member), known, own, budgets[place])
        row = replace(row, seconds=status.seconds / len(pack.members))
        if ended:
            state = "diverged" if known is not None and known.diverged else "finished"
            row = replace(row, status=state, reason=_reason(known, row, status))
        else:
            row = replace(row, status=locks.state(pack.path))
        rows.append(row)
        kept = own.filter(pl.col("step").is_in(thin(own["step"].to_numpy(), CURVE_POINTS)))
        # of float64 runs too: these curves are only drawn
        thinned.append(kept.select(pl.lit(member).alias("member"), "step", *CURVES).cast(CURVE_SCHEMA))
    return rows, pl.concat(thinned)


def _with_results(row: Row, known: MemberResult | None, own: pl.DataFrame, budget: int) -> Row:
    steps = own["step"].to_numpy()
    if not len(steps):
        return replace(row, steps=0)  # it has begun, and saved nothing yet
    # a loss that is not finite ends a member, whatever its accuracy is counted as
    finite = np.isfinite(own["train_loss"].to_numpy())
    accuracies = (np.where(finite, own[f"{s}_accuracy"].to_numpy(), np.nan) for s in ("train", "test"))
    phase = learning_phase(steps, *accuracies, budget=budget)
    ended = None if known is None else known.steps
    row = replace(
        row,
        steps=int(steps[-1]) if ended is None else ended,
        memorised_step=None if known is None else known.memorised_step,
        grokked_step=None if known is None else known.grokked_step,
        train_step=phase.train_step,
        test_step=phase.test_step,
        phase=phase.phase,
        censored=phase.censored,
        phase_reason=phase.reason,
    )
    last = own.tail(1).to_dicts()[0]
    # of all evaluations: the kept curves may miss the highest one
    best = own.filter(pl.col("test_accuracy").is_finite())["test_accuracy"].max()
    values: dict[str, Any] = {**{name: last.get(name) for name in LAST}, "best_test_accuracy": best}
    return replace(row, **{name: v for name, v in values.items() if v is not None and math.isfinite(v)})


def _reason(known: MemberResult | None, row: Row, status: Status) -> str | None:
    if known is not None and known.diverged:
        return "diverged"
    if row.steps is not None and row.steps < status.step:
        return "grokked"
    reason = status.reason
    # in a pack whose last member diverged, the others had ended before
    return "grokked" if reason == "diverged" else reason


def table_of(sweep: Sweep, rows: Sequence[Row]) -> pl.DataFrame:
    """Return rows as a frame, with one column for each key of the grid."""
    frame = pl.DataFrame([vars(row) for row in rows], schema=SCHEMA)
    keys = [
        pl.Series(key, _column([sweep.points[row.point][key] for row in rows]), strict=False)
        for key in sweep.keys
        if key not in SCHEMA
    ]
    place = frame.columns.index("seed") + 1
    return frame.select(*frame.columns[:place], *keys, *frame.columns[place:])


def curves_of(packs: Mapping[int, pl.DataFrame]) -> pl.DataFrame:
    """Return the curves of all packs in one frame."""
    return pl.concat([pl.DataFrame(schema=CURVE_SCHEMA), *packs.values()]).sort("member", "step")


def _column(values: list[Any]) -> list[Any]:
    """Return values of one type: numbers, strings or booleans as they are, anything mixed or nested as JSON."""
    for kinds in ((bool,), (int,), (int, float), (str,)):
        if all(v is None or type(v) in kinds for v in values):
            return [float(v) if v is not None and kinds == (int, float) else v for v in values]
    return [None if v is None else json.dumps(v) for v in values]


def read_table(path: Path, schema: pl.Schema) -> pl.DataFrame | None:
    """Read a table of a sweep; None where it is missing, damaged or has other columns, and is built again."""
    try:
        frame = storage.read_table(path)
    except (InputError, OSError):
        return None
    return frame if frame.schema == schema else None


class SweepRecords:
    """The rows and curves of all members, read from the packs, and the files that hold them."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.rows = empty_rows(sweep)
        self.curves: dict[int, pl.DataFrame] = {}
        self.failures = sweep.failures()
        self.written_at = 0.0
        for number, pack in enumerate(sweep.packs):
            if (pack.path / "experiment.json").is_file():
                with contextlib.suppress(InputError, OSError):
                    self.take(number)
            if pack.path.name in self.failures and not self.is_done(number):
                self.fail(number, self.failures[pack.path.name])

    def take(self, number: int) -> None:
        """Read a pack; raises InputError where it has no run, DamagedError where its run is damaged."""
        rows, self.curves[number] = rows_of_pack(self.sweep, number)
        for row in rows:
            self.rows[row.member] = row

    def is_done(self, number: int) -> bool:
        """Return whether all of a pack's members have been trained to their end."""
        return all(self.rows[m].status in ENDED for m in self.sweep.packs[number].members)

    def fail(self, number: int, reason: str) -> None:
        """Record that a pack could not be trained."""
        pack = self.sweep.packs[number]
        for member in pack.members:
            self.rows[member] = replace(self.rows[member], status="failed", reason=reason)
        self.failures[pack.path.name] = reason

    def forget_failures(self) -> None:
        """Let packs that failed be tried again."""
        failed = [row.member for row in self.rows if row.status == "failed"]
        for member in failed:
            self.rows[member] = replace(self.rows[member], status="pending", reason=None)
        self.failures = {}

    def write(self) -> None:
        """Write table, curves and failures."""
        path = self.sweep.path
        storage.write_json(path / "failures.json", self.failures)
        storage.write_table(path / "curves.parquet", curves_of(self.curves))
        storage.write_table(path / "table.parquet", table_of(self.sweep, self.rows))
        self.written_at = time.monotonic()
