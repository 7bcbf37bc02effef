"""The work of `groklab reproduce`: claim after claim, seed after seed, one slice of time after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from groklab import notebook
from groklab.errors import InputError, Interrupted, OutOfTime, check_choice
from groklab.notebook import Watch
from groklab.reproduction._cells import check_cells, combined, measure_cells
from groklab.reproduction._claim import MAX_SEEDS, PAPERS, SIZES, Claim, Size, Trainer, Trial, find
from groklab.reproduction._ledger import Ledger, Record
from groklab.reproduction._plan import Item, Plan, Step, check_hours, information, ordered
from groklab.reproduction._watching import Watching
from groklab.reproduction.verdict import ClaimResult, PaperResult
from groklab.text import duration
from groklab.training import Portion, Progress, interrupts

#: Default minutes of one slice of a full reproduction, so that it has saved within eight; a quick one has no limit.
FULL_MINUTES = 7.5


@dataclass(frozen=True)
class ClaimProgress:
    """Progress of a reproduction: when a claim begins, after each chunk of training, after each outcome.

    Args:
        seeds: those being worked on, none between claims.
        done, left: number of outcomes made and still to make, of all claims asked for.
        seconds_left: by estimate.
        slice: counted from 1.
        training: progress of the run or sweep being trained, None while nothing is trained.
        record: the outcome just made.
        name: the claim, with its paper where there are several.
        note: what is to say before a claim begins, such as that it does not fit in the hours that are left.
    """

    claim: Claim
    seeds: tuple[int, ...]
    done: int
    left: int
    seconds_left: float
    slice: int
    training: Progress | Portion | None = None
    record: Record | None = None
    name: str = ""
    note: str = ""


ProgressView = Callable[[ClaimProgress], None]
#: A claim with its trial and seeds.
_Task = tuple[Claim, Trial, tuple[int, ...]]
#: A claim of a plan, with what asks for it and the seconds that it will take by estimate.
_PlannedStep = tuple["_Request", Claim, float]


def reproduce(
    what: str,
    size: Size = "quick",
    *,
    seeds: int | None = None,
    again: bool = False,
    minutes: float | None = None,
    slices: int = 1,
    cells: Sequence[str] | None = None,
    view: Watch[ClaimProgress] = "live",
    home: str | Path | None = None,
) -> PaperResult:
    """Test the claims of a paper (`nanda2023`) or one of them (`nanda2023/key-frequencies`).

    Outcomes are kept, and not measured again unless `again` asks for it.

    Args:
        size: `quick` for the smallest settings that test the claim, `full` for the paper's.
        seeds: number of seeds instead of each trial's own.
        minutes: work stops after this time (by default 7.5 for full, no limit for quick), with the training under way
            saved; the same call continues from there another day.
        slices: number of such slices in a row.
        cells: of one claim on a table the cells to measure, by name or with * and ?; None for all. Each is kept by
            itself, and the claim has its outcome once all are.
        view: "live" shows the claims in a notebook as they are tested, and a line now and then elsewhere; None shows
            nothing; a function is called with the progress.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: for what cannot be done as asked.
        Interrupted: on Ctrl-C or another signal that asks to end, with everything kept.
    """
    request = _Request(what, size, seeds, home, cells)
    limit = _limit(size, minutes, slices)
    if again:
        for claim, trial, claim_seeds in request.tasks():
            request.ledger.forget(claim, size, claim_seeds, trial.cells.chosen(cells) if trial.cells else ())
    so_far = Watching()
    with notebook.watching(view, so_far.picture, so_far.sentence) as watch:

        def show(progress: ClaimProgress) -> None:
            so_far.take(progress)
            if watch is not None:
                watch(progress)

        for number in range(1, slices + 1):
            with interrupts.deadline(time.monotonic() + 60 * limit):
                if _Slice([request], number, None if watch is None else show, home).work():
                    break
    return request.result()


def plan(
    what: str | Sequence[str],
    size: Size = "full",
    *,
    hours: float,
    seeds: int | None = None,
    home: str | Path | None = None,
) -> Plan:
    """Plan what to measure in so many hours, in the order of what it tells per hour; see `information`.

    A plan that was begun with the same arguments, and has hours and claims left, is continued.

    Args:
        what: papers or claims, or `all`.
        hours: time of the plan in all. Claims that do not fit are named by the plan; the first of them is begun in the
            rest of the time.
        seeds: number of seeds instead of each trial's own.

    Raises:
        InputError: for what cannot be done as asked.
    """
    check_hours(hours)
    requests = _requests(what, size, seeds, home)
    names = (what,) if isinstance(what, str) else tuple(what)
    new = Plan(names, size, float(hours), seeds, home, 0.0, tuple(_ordered(requests, hours)))
    before = new.kept()
    if before is None or not before.seconds_left:
        return new
    missing = {(r.paper.name, id) for r in requests for id in r.costs()}
    steps = [s if (s.paper.name, s.claim.id) in missing else replace(s, place="measured") for s in before.steps]
    if {(s.paper.name, s.claim.id) for s in steps if s.place != "measured"} != missing or not missing:
        return new
    return replace(before, steps=tuple(steps))


def _ordered(requests: Sequence[_Request], hours: float) -> list[Step]:
    return ordered([item for request in requests for item in request.items()], 3600 * hours)


def _requests(what: str | Sequence[str], size: Size, seeds: int | None, home: str | Path | None) -> list[_Request]:
    """Return a request for each paper or claim, each claim once."""
    names = [what] if isinstance(what, str) else list(what)
    if not names:
        raise InputError("needs the name of a paper, or all")
    if "all" in names:
        names = sorted(PAPERS)
    for name in names:
        find(name)
    complete = {name for name in names if "/" not in name}
    kept = [name for name in dict.fromkeys(names) if name in complete or name.partition("/")[0] not in complete]
    return [_Request(name, size, seeds, home) for name in kept]


def work_on(plan: Plan, view: Watch[ClaimProgress]) -> tuple[PaperResult, ...]:
    """Measure what is planned until its hours are over, see `Plan.work`."""
    requests = _requests(plan.what, plan.size, plan.seeds, plan.home)
    of_claim = {(r.paper.name, c.id): r for r in requests for c in r.claims}
    so_far, began = Watching(), time.monotonic()
    plan.keep(plan.worked)
    with notebook.watching(view, so_far.picture, so_far.sentence) as watch:

        def show(progress: ClaimProgress) -> None:
            so_far.take(progress)
            if watch is not None:
                watch(progress)

        slice = _Slice(requests, 1, None if watch is None else show, plan.home)
        try:
            with interrupts.deadline(began + plan.seconds_left):
                steps = [(of_claim[s.paper.name, s.claim.id], s.claim, s.seconds) for s in plan.steps]
                while steps := _missing(steps):
                    request, claim, note = _next(steps, began + plan.seconds_left - time.monotonic())
                    tasks = [task for task in request.remaining() if task[0] is claim]
                    if not all(slice.measure(request, *t, note=note if t is tasks[0] else "") for t in tasks):
                        break
                    plan.keep(plan.worked + time.monotonic() - began)
        finally:
            plan.keep(plan.worked + time.monotonic() - began)
    return tuple(request.result() for request in requests)


def _missing(steps: Sequence[_PlannedStep]) -> list[_PlannedStep]:
    """Return the steps that are not measured yet, with what they take now."""
    costs = {request: request.costs() for request in {request for request, _, _ in steps}}
    return [(r, c, sum(costs[r][c.id].values())) for r, c, _ in steps if c.id in costs[r]]


def _next(steps: Sequence[_PlannedStep], left: float) -> tuple[_Request, Claim, str]:
    """Return the first step that fits in the seconds left; where none does the first, with a sentence that says so."""
    for request, claim, cost in steps:
        if cost <= left:
            return request, claim, ""
    request, claim, cost = steps[0]
    note = f"takes about {duration(cost)} and does not fit in the {duration(max(left, 0.0))} that are left: "
    return request, claim, note + "it is saved when they are over, and continues with the next call"


def seconds_ahead(
    what: str,
    size: Size = "quick",
    *,
    seeds: int | None = None,
    minutes: float | None = None,
    slices: int = 1,
    cells: Sequence[str] | None = None,
    home: str | Path | None = None,
) -> float:
    """Return the seconds that `reproduce` would work with these arguments, by estimate."""
    limit = _limit(size, minutes, slices)
    return min(_Request(what, size, seeds, home, cells).seconds_left(), 60 * limit * slices)


def _limit(size: Size, minutes: float | None, slices: int) -> float:
    """Return the minutes of one slice, without end where none are given for a quick one."""
    limit = minutes if minutes is not None else FULL_MINUTES if size == "full" else math.inf
    if not limit > 0:
        raise InputError("slice", minutes, "needs a number of minutes above 0")
    if slices < 1:
        raise InputError("slices", slices, "needs an integer of at least 1")
    return limit


def results(
    what: str,
    size: Size = "quick",
    *,
    seeds: int | None = None,
    cells: Sequence[str] | None = None,
    home: str | Path | None = None,
) -> PaperResult:
    """Return the results so far, as `reproduce` does, without training."""
    return _Request(what, size, seeds, home, cells).result()


def merge(
    what: str, files: Sequence[str | Path], size: Size = "quick", *, home: str | Path | None = None
) -> PaperResult:
    """Take in the outcomes of other machines, and the cells of their slices of tables; return the results.

    Args:
        files: `reproductions/PAPER.json` from the folders of runs of the other machines.

    Raises:
        InputError: a file cannot be read, or is not such a file.
    """
    request = _Request(what, size, None, home)
    for file in files:
        request.ledger.merge(Path(file).expanduser())
    for claim, trial, seeds in request.remaining():
        if trial.cells is not None:
            request.combine(claim, trial, seeds)
    return request.result()


class _Request:
    """What was asked for, and how far it is."""

    def __init__(
        self,
        what: str,
        size: Size,
        seeds: int | None,
        home: str | Path | None,
        cells: Sequence[str] | None = None,
    ) -> None:
        check_choice("size", size, SIZES)
        if seeds is not None and not 1 <= seeds <= MAX_SEEDS:
            raise InputError("seeds", seeds, f"needs an integer from 1 to {MAX_SEEDS:,}")
        self.paper, self.claims = find(what)
        check_cells(self.claims, size, cells, self.paper.name)
        self.size, self.seeds, self.cells = size, seeds, cells
        self.ledger = Ledger(self.paper.name, home)

    def tasks(self) -> list[_Task]:
        """Return each claim that has a trial of this size, with the seeds asked for."""
        trials = ((claim, claim.trial(self.size)) for claim in self.claims)
        return [(claim, trial, trial.seeds_for(self.seeds)) for claim, trial in trials if trial is not None]

    def remaining(self) -> list[_Task]:
        """Return what is not measured yet: a claim with one seed, or with all where they are trained together."""
        remaining: list[_Task] = []
        for claim, trial, seeds in self.tasks():
            measured = self.ledger.records(claim, self.size, seeds)
            missing = [s for s in seeds if s not in measured]
            if missing and self.cells is not None and self.missing_cells(claim, trial, seeds) == 0:
                continue
            if trial.together:
                remaining += [(claim, trial, seeds)] if missing else []
            else:
                remaining += [(claim, trial, (s,)) for s in missing]
        return remaining

    def missing_cells(self, claim: Claim, trial: Trial, seeds: tuple[int, ...]) -> float:
        """Return the share of the cells that are asked for and not measured yet; 1 for a trial without cells."""
        if trial.cells is None:
            return 1.0
        requested = trial.cells.chosen(self.cells)
        kept = self.ledger.cells(claim, self.size, seeds, requested)
        return sum(seed not in kept[name] for name in requested for seed in seeds) / len(trial.cells.names) / len(seeds)

    def combine(self, claim: Claim, trial: Trial, seeds: tuple[int, ...]) -> list[Record]:
        """Keep the outcome of each seed whose cells are all measured; return them."""
        digest = claim.digest(self.size, seeds)
        done = combined(self.ledger, claim, self.size, seeds)
        records = [Record.of(seed, digest, claim, trial, outcome, seconds) for seed, outcome, seconds in done]
        self.ledger.add(claim, self.size, records)
        return records

    def costs(self) -> dict[str, dict[tuple[str, int], float]]:
        """Estimate the seconds of what is not measured yet, by claim and by what it trains: a name and a seed."""
        costs: dict[str, dict[tuple[str, int], float]] = {}
        for claim, trial, seeds in self.remaining():
            digest = claim.digest(self.size, seeds)
            spent = 0.0 if trial.cells is not None else self.ledger.spent(claim, self.size, seeds[0], digest)
            each = trial.cost / len(trial.own_seeds) * self.missing_cells(claim, trial, seeds)
            left = max(each * len(seeds) - spent, 0.05 * each * len(seeds))
            name = f"{self.paper.name}/{trial.shares or claim.id + '/'}"
            costs.setdefault(claim.id, {}).update({(name, seed): left / len(seeds) for seed in seeds})
        trained = {
            (f"{self.paper.name}/{trial.shares}", seed)
            for claim, trial, seeds in self.tasks()
            if trial.shares
            for seed in self.ledger.records(claim, self.size, seeds)
        }
        return {id: {key: 0.0 if key in trained else c for key, c in of.items()} for id, of in costs.items()}

    def seconds_left(self) -> float:
        """Estimate the seconds of what is not measured yet; what several claims train counts once."""
        costs: dict[tuple[str, int], float] = {}
        for of in self.costs().values():
            costs |= {key: max(cost, costs.get(key, 0.0)) for key, cost in of.items()}
        return sum(costs.values())

    def items(self) -> list[Item]:
        """Return the claims that are not measured yet, for a plan."""
        missing: dict[str, tuple[Claim, tuple[int, ...]]] = {}
        for claim, _, seeds in self.remaining():
            missing[claim.id] = claim, (*missing.get(claim.id, (claim, ()))[1], *seeds)
        other: Size = "quick" if self.size == "full" else "full"
        items, costs = [], self.costs()
        for id, (claim, seeds) in missing.items():
            sides = [
                ClaimResult.of(self.paper, claim, size, self.seeds if size == self.size else None, self.ledger)
                for size in (self.size, other)
            ]
            together = len(seeds) == len(self.tasks_of(claim))
            known = () if together else sides[0].supports
            items.append(Item(self.paper, claim, seeds, costs[id], information(known, len(seeds), sides[1].supports)))
        return items

    def tasks_of(self, claim: Claim) -> tuple[int, ...]:
        """Return the seeds of a claim."""
        return next(seeds for c, _, seeds in self.tasks() if c is claim)

    def result(self) -> PaperResult:
        """Return the claims with their results so far."""
        claims = (ClaimResult.of(self.paper, c, self.size, self.seeds, self.ledger) for c in self.claims)
        return PaperResult(
            self.paper, self.size, tuple(claims), not self.remaining(), self.seconds_left(), self.ledger.home
        )


class _Slice:
    """One slice of work on what was asked for."""

    def __init__(
        self, requests: Sequence[_Request], number: int, view: ProgressView | None, home: str | Path | None
    ) -> None:
        self.requests, self.number, self.view = requests, number, view
        watch = self._watch_training if view is not None else None
        self.trainer = Trainer(home, watch, watch)
        self.latest: ClaimProgress | None = None

    def work(self) -> bool:
        """Work until the slice is over; return whether everything is measured."""
        tasks = ((request, task) for request in self.requests for task in request.remaining())
        return all(self.measure(request, *task) for request, task in tasks)

    def measure(self, request: _Request, claim: Claim, trial: Trial, seeds: tuple[int, ...], note: str = "") -> bool:
        """Measure a claim with some seeds; return whether there was the time; note: what to say before."""
        if interrupts.out_of_time():
            return False
        self._show(request, claim, seeds, note=note)
        began = time.monotonic()
        ledger, size, digest = request.ledger, request.size, claim.digest(request.size, seeds)
        spent = ledger.spent(claim, size, seeds[0], digest)
        try:
            if trial.cells is not None:
                names = trial.cells.chosen(request.cells)
                measure_cells(self.trainer, ledger, claim, size, seeds, names)
                for record in request.combine(claim, trial, seeds):
                    self._show(request, claim, (), record)
                return True
            outcomes = trial.outcomes(self.trainer, seeds)
        except Interrupted as stop:
            ledger.add_time(claim, size, seeds[0], digest, spent + time.monotonic() - began)
            if isinstance(stop, OutOfTime):
                return False
            raise
        seconds = (spent + time.monotonic() - began) / len(seeds)
        records = [Record.of(s, digest, claim, trial, o, seconds) for s, o in zip(seeds, outcomes, strict=True)]
        ledger.add(claim, size, records)
        for record in records:
            self._show(request, claim, (), record)
        return True

    def _show(
        self,
        request: _Request,
        claim: Claim,
        seeds: tuple[int, ...],
        record: Record | None = None,
        note: str = "",
    ) -> None:
        if self.view is None:
            return
        left = sum(len(s) for r in self.requests for _, _, s in r.remaining())
        total = sum(len(s) for r in self.requests for _, _, s in r.tasks())
        seconds = sum(r.seconds_left() for r in self.requests)
        name = claim.id if len(self.requests) == 1 else f"{request.paper.name}/{claim.id}"
        self.latest = ClaimProgress(
            claim, seeds, total - left, left, seconds, self.number, record=record, name=name, note=note
        )
        self.view(self.latest)

    def _watch_training(self, training: Progress | Portion) -> None:
        if self.latest is not None and self.view is not None:
            self.view(replace(self.latest, training=training, record=None, note=""))
