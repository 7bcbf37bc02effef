"""The work of `groklab reproduce`: claim after claim, seed after seed, a slice of time at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groklab.errors import InputError, Interrupted, OutOfTime, check_choice
from groklab.reproduction import statement
from groklab.reproduction.bench import Bench
from groklab.reproduction.claim import MAX_SEEDS, PAPERS, SIZES, Claim, Finding, Paper, Size, Trial, find
from groklab.reproduction.findings import Findings, plain
from groklab.training import interrupts
from groklab.training.progress import Portion, Progress

#: Minutes that one slice of a full reproduction works, unless asked otherwise, so that it has saved within eight; a
#: quick one has no limit.
FULL_MINUTES = 7.5


@dataclass(frozen=True)
class Moment:
    """What a view of a reproduction is told: when a claim begins, after each chunk of training, after each finding.

    seeds: those being worked on, none between claims. finding: what one of them has just given. training: how the
    run being trained stands, or the sweep, None while nothing is trained. done, left: findings made and still to
    make, of all claims asked for. seconds_left: by estimate. slice: counted from 1.
    """

    claim: Claim
    seeds: tuple[int, ...]
    done: int
    left: int
    seconds_left: float
    slice: int
    training: Progress | Portion | None = None
    finding: dict[str, Any] | None = None


Watcher = Callable[[Moment], None]


def reproduce(
    what: str,
    size: Size = "quick",
    *,
    seeds: int | None = None,
    again: bool = False,
    minutes: float | None = None,
    slices: int = 1,
    view: Watcher | None = None,
    home: str | Path | None = None,
) -> dict[str, Any]:
    """Test the claims of a paper (`nanda2023`) or one of them (`nanda2023/key-frequencies`), and say how they stand.

    size: `quick` for the smallest honest settings, `full` for the paper's. seeds: that many instead of each trial's
    own. Work stops after `minutes` (None: 7.5 for full, no limit for quick), with the training under way saved, and is
    begun again at once `slices` - 1 times; the same call goes on from there another day. What has been found is kept
    and not measured again unless `again` asks for it. Returns what `groklab reproduce --json` prints.
    Raises InputError for what cannot be done as asked; Interrupted on Ctrl-C, with everything kept.
    """
    asked = _Asked(what, size, seeds, home)
    limit = FULL_MINUTES if minutes is None and size == "full" else math.inf if minutes is None else minutes
    if not limit > 0:
        raise InputError("slice", minutes, "needs a number of minutes above 0")
    if slices < 1:
        raise InputError("slices", slices, "needs an integer of at least 1")
    if again:
        for claim, _, claim_seeds in asked.trials():
            asked.findings.forget(claim, size, claim_seeds)
    for number in range(1, slices + 1):
        with interrupts.deadline(time.monotonic() + 60 * limit):
            if _Slice(asked, number, view, home).work():
                break
    return asked.object()


def standing(
    what: str, size: Size = "quick", *, seeds: int | None = None, home: str | Path | None = None
) -> dict[str, Any]:
    """How the claims stand by what has been found so far, as `reproduce` returns it; trains nothing."""
    return _Asked(what, size, seeds, home).object()


def listed() -> dict[str, Any]:
    """All papers with their claims, and what each costs in seconds (None: no trial of that size)."""
    papers = []
    for paper in PAPERS.values():
        claims = [
            {"id": c.id, "claim": c.claim, "source": c.source}
            | {f"{size}_seconds": t.cost if (t := c.trial(size)) else None for size in SIZES}
            for c in paper.claims
        ]
        papers.append({"paper": paper.name, "title": paper.title, "claims": claims})
    return {"papers": papers}


class _Asked:
    """What was asked for, and how far it is."""

    def __init__(self, what: str, size: Size, seeds: int | None, home: str | Path | None) -> None:
        check_choice("size", size, SIZES)
        if seeds is not None and not 1 <= seeds <= MAX_SEEDS:
            raise InputError("seeds", seeds, f"needs an integer from 1 to {MAX_SEEDS:,}")
        self.paper: Paper
        self.paper, self.claims = find(what)
        self.size, self.seeds = size, seeds
        self.findings = Findings(self.paper.name, home)

    def trials(self) -> list[tuple[Claim, Trial, tuple[int, ...]]]:
        """Each claim that has a trial of this size, and the seeds asked for."""
        found = []
        for claim in self.claims:
            trial = claim.trial(self.size)
            if trial is not None:
                found.append((claim, trial, trial.seeds_for(self.seeds)))
        return found

    def to_do(self) -> list[tuple[Claim, Trial, tuple[int, ...]]]:
        """What is not found yet: a claim with one seed, or with all where they are trained together."""
        left = []
        for claim, trial, seeds in self.trials():
            missing = [s for s in seeds if s not in self.findings.of(claim, self.size, seeds)]
            if trial.together:
                left += [(claim, trial, seeds)] if missing else []
            else:
                left += [(claim, trial, (s,)) for s in missing]
        return left

    def seconds_left(self) -> float:
        """Estimated seconds of what is not found yet; what several claims train counts once."""
        costs: dict[Any, float] = {}
        for claim, trial, seeds in self.to_do():
            spent = self.findings.spent(claim, self.size, seeds[0], claim.digest(self.size, seeds))
            each = trial.cost / len(trial.own_seeds)
            left = max(each * len(seeds) - spent, 0.05 * each * len(seeds))
            keys: list[Any] = [(trial.shares, s) for s in seeds] if trial.shares else [(claim.id, s) for s in seeds]
            for key in keys:
                costs[key] = max(costs.get(key, 0.0), left / len(seeds))
        for claim, trial, seeds in self.trials():
            if trial.shares:
                for seed in self.findings.of(claim, self.size, seeds):
                    costs.pop((trial.shares, seed), None)
        return sum(costs.values())

    def object(self) -> dict[str, Any]:
        """How the claims stand, as one JSON object."""
        claims = [statement.of_claim(self.paper, c, self.size, self.seeds, self.findings) for c in self.claims]
        return statement.of_paper(self.paper, self.size, claims, self.seconds_left())


class _Slice:
    """One slice of work."""

    def __init__(self, asked: _Asked, number: int, view: Watcher | None, home: str | Path | None) -> None:
        self.asked, self.number, self.view = asked, number, view
        told = self._trained if view is not None else None
        self.bench = Bench(home, told, told)
        self.now: Moment | None = None

    def work(self) -> bool:
        """Whether everything is found by the end of the slice."""
        for claim, trial, seeds in self.asked.to_do():
            if interrupts.out_of_time():
                return False
            self._tell(claim, seeds)
            began = time.monotonic()
            try:
                found = self._run(claim, trial, seeds)
            except Interrupted as stop:
                self._keep_time(claim, seeds, time.monotonic() - began)
                if isinstance(stop, OutOfTime):
                    return False
                raise
            self._keep(claim, seeds, found, time.monotonic() - began)
        return True

    def _run(self, claim: Claim, trial: Trial, seeds: tuple[int, ...]) -> list[Finding]:
        found = trial.run(self.bench, seeds if trial.together else seeds[0])
        found = found if isinstance(found, list) else [found]
        if len(found) != len(seeds):
            raise ValueError(f"{claim.id} gave {len(found)} findings for {len(seeds)} seeds")
        return found

    def _keep(self, claim: Claim, seeds: tuple[int, ...], found: list[Finding], seconds: float) -> None:
        digest, size = claim.digest(self.asked.size, seeds), self.asked.size
        seconds += self.asked.findings.spent(claim, size, seeds[0], digest)
        about = {"digest": digest, "seconds": round(seconds / len(seeds), 3), **statement.circumstances()}
        records = {seed: plain(f) | about for seed, f in zip(seeds, found, strict=True)}
        self.asked.findings.add(claim, size, records)
        for seed, record in records.items():
            self._tell(claim, (), finding={"seed": seed, **record})

    def _keep_time(self, claim: Claim, seeds: tuple[int, ...], seconds: float) -> None:
        digest, size = claim.digest(self.asked.size, seeds), self.asked.size
        total = seconds + self.asked.findings.spent(claim, size, seeds[0], digest)
        self.asked.findings.add(claim, size, {seeds[0]: {"digest": digest, "seconds": round(total, 3)}})

    def _tell(self, claim: Claim, seeds: tuple[int, ...], finding: dict[str, Any] | None = None) -> None:
        if self.view is None:
            return
        left = sum(len(s) for _, _, s in self.asked.to_do())
        total = sum(len(s) for _, _, s in self.asked.trials())
        seconds = self.asked.seconds_left()
        self.now = Moment(claim, seeds, total - left, left, seconds, self.number, finding=finding)
        self.view(self.now)

    def _trained(self, progress: Progress | Portion) -> None:
        now = self.now
        if now is not None and self.view is not None:
            moment = Moment(now.claim, now.seeds, now.done, now.left, now.seconds_left, self.number, progress)
            self.view(moment)
