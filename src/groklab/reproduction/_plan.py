"""The plan of a reproduction that has so many hours: the claims in the order of what they tell per hour."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groklab import notebook
from groklab.errors import DamagedError, InputError
from groklab.reproduction._claim import PAPERS, Claim, Paper, Size
from groklab.reproduction._ledger import folder
from groklab.store import Seconds, Stored, storage
from groklab.text import duration

if TYPE_CHECKING:
    from groklab.notebook import Watch
    from groklab.reproduction._runner import ClaimProgress
    from groklab.reproduction.verdict import PaperResult

#: What a seed of the other size counts beside one of the size that is planned: it is another setting.
OTHER_SIZE = 0.5
#: Most hours of one plan: a year.
MAX_HOURS = 8760
#: In the time of the plan; begun in it, but continued in another; not begun; measured already.
Place = Literal["fits", "begins", "left out", "measured"]
#: The headings of `Plan.rows`.
PLANNED = ("begins after", "claim", "seeds", "takes")


@dataclass(frozen=True)
class Item:
    """A claim that is not measured yet.

    Args:
        seeds: those that are missing.
        costs: estimated seconds by what is trained; items that name the same training share its cost.
        bits: see `information`.
    """

    paper: Paper
    claim: Claim
    seeds: tuple[int, ...]
    costs: dict[tuple[str, int], float]
    bits: float


@dataclass(frozen=True)
class Step:
    """A claim in a plan. seconds: by estimate, without what steps before it have trained."""

    paper: Paper
    claim: Claim
    seeds: tuple[int, ...]
    seconds: float
    bits: float
    place: Place

    @property
    def name(self) -> str:
        """The claim as it is typed."""
        return f"{self.paper.name}/{self.claim.id}"

    @property
    def takes(self) -> str:
        """The time that the step takes, in words."""
        return duration(self.seconds) if self.seconds else "shared"


@dataclass(frozen=True, repr=False)
class Plan:
    """What to measure in so many hours, in order.

    Args:
        what: papers and claims, as they are typed.
        hours: time of the plan in all.
        worked: seconds that were worked by it before.
        steps: what was planned, with what is measured by now.
    """

    what: tuple[str, ...]
    size: Size
    hours: float
    seeds: int | None
    home: str | Path | None
    worked: float
    steps: tuple[Step, ...]

    @property
    def seconds_left(self) -> float:
        """Seconds of the plan's hours that are left."""
        return max(0.0, 3600 * self.hours - self.worked)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Of each step, under `PLANNED`: when it begins by estimate, its claim, its seeds, and the time it takes."""
        rows, at = [], self.worked
        for step in self.steps:
            begins = step.place if step.place in ("left out", "measured") else duration(at) if at else "now"
            seeds = f"{len(step.seeds)} seed{'s' if len(step.seeds) > 1 else ''}"
            rows.append((begins, step.name, seeds, step.takes))
            at += step.seconds if step.place != "measured" else 0.0
        return rows

    @property
    def notes(self) -> list[str]:
        """What the rows do not say: which claim is begun without an end, and what `shared` means."""
        begun = "does not fit in what is left: begun, saved at the end, and continued by the next call"
        shared = ["shared: another claim trains for it"] if any(s.takes == "shared" for s in self.steps) else []
        return [f"{step.name} {begun}" for step in self.steps if step.place == "begins"] + shared

    def __repr__(self) -> str:
        return "\n".join([self.summary, *("  ".join(row) for row in self.rows), *self.notes])

    def _repr_html_(self) -> str:
        notes = [notebook.line(note) for note in self.notes]
        return notebook.block(notebook.title("Plan", self.summary), notebook.table(PLANNED, self.rows), *notes)

    @property
    def summary(self) -> str:
        """The plan in one sentence."""
        fitting, rest = (
            [s.seconds for s in self.steps if s.place in places] for places in (("fits",), ("begins", "left out"))
        )
        if all(s.place == "measured" for s in self.steps):
            return f"nothing is left to measure at {self.size} size"
        sentence = f"{duration(3600 * self.hours)} for {self.size} trials"
        sentence += f", {duration(self.worked)} of them worked" if self.worked else ""
        fit = "claim fits" if len(fitting) == 1 else "claims fit"
        sentence += f": {len(fitting)} {fit}, by estimate in {duration(sum(fitting))}"
        return sentence + (f"; {len(rest)} more would take {duration(sum(rest))}" if rest else "")

    def work(self, view: Watch[ClaimProgress] = "live") -> tuple[PaperResult, ...]:
        """Measure what is planned until its hours are over; return the results of each paper or claim of it.

        Raises:
            Interrupted: on Ctrl-C or another signal that asks to end, with everything kept: the same plan continues.
        """
        from groklab.reproduction._runner import work_on

        return work_on(self, view)

    def keep(self, worked: float) -> None:
        """Write the plan down, with the seconds that were worked by it."""
        steps = [
            {"paper": s.paper.name, "claim": s.claim.id, "seeds": s.seeds, "place": s.place}
            | {"digest": s.claim.digest(self.size, s.seeds), "seconds": s.seconds, "bits": s.bits}
            for s in self.steps
        ]
        storage.write_json(self._path(), {"worked": round(worked, 3), "steps": steps})

    def kept(self) -> Plan | None:
        """Return the plan as it was written down, None where there is none, or not of the claims as they are."""
        try:
            stored = storage.read_json(self._path(), _StoredPlan)
        except (FileNotFoundError, DamagedError):
            return None
        steps = []
        for step in stored.steps:
            claim = (
                next((c for c in PAPERS[step.paper].claims if c.id == step.claim), None)
                if step.paper in PAPERS
                else None
            )
            if claim is None or claim.trial(self.size) is None or claim.digest(self.size, step.seeds) != step.digest:
                return None
            steps.append(Step(PAPERS[step.paper], claim, step.seeds, step.seconds, step.bits, step.place))
        return replace(self, worked=stored.worked, steps=tuple(steps))

    def _path(self) -> Path:
        question = json.dumps([self.what, self.size, self.hours, self.seeds])
        return folder(self.home) / "plans" / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        about = {
            "what": list(self.what),
            "size": self.size,
            "hours": self.hours,
            "worked_seconds": round(self.worked, 1),
        }
        steps = [
            {
                "claim": s.name,
                "seeds": list(s.seeds),
                "place": s.place,
                "seconds": round(s.seconds, 1),
                "bits": round(s.bits, 3),
            }
            for s in self.steps
        ]
        return {**about, "steps": steps}


def information(known: Sequence[bool], missing: int, other: Sequence[bool] = ()) -> float:
    """Return the bits that the missing seeds of a trial are expected to tell about its verdict.

    It is the entropy of the verdict (every seed supports the claim, some do, none does) as predicted by what is
    measured: the share of seeds that support the claim has a Beta distribution, which begins as Jeffreys' Beta(½, ½);
    each seed of this size adds 1 to its side, and each of the other size ½. With three seeds, a claim of which
    nothing is known tells 1.6 bits, one whose quick trial holds in two of three seeds 1.4, one whose quick trial holds
    in all three 1.2, and a verdict that cannot change any more none. A plan takes first what tells most per hour, and
    counts a training that several claims share once.

    Args:
        known: whether each measured seed of this size supports the claim.
        other: the same of the other size.
    """
    support = 0.5 + sum(known) + OTHER_SIZE * sum(other)
    oppose = 0.5 + len(known) - sum(known) + OTHER_SIZE * (len(other) - sum(other))

    def all_on(side: float) -> float:
        return math.prod((side + i) / (support + oppose + i) for i in range(missing))

    every = all_on(support) if all(known) else 0.0
    none = all_on(oppose) if not any(known) else 0.0
    return -sum(p * math.log2(p) for p in (every, none, 1 - every - none) if p > 1e-12)


def ordered(items: Sequence[Item], seconds: float) -> list[Step]:
    """Return items in order: what tells most per hour and fits, one that is begun at the end, and what is left out."""
    left, rest, steps = seconds, list(items), []
    is_over = False  # from the first that does not fit
    paid: dict[tuple[str, int], float] = {}

    def marginal(item: Item) -> float:
        return sum(max(0.0, cost - paid.get(key, 0.0)) for key, cost in item.costs.items())

    def free_after(item: Item) -> list[Item]:
        """What costs nothing once an item is measured, as it trains the same."""
        covered = {**paid, **{k: max(c, paid.get(k, 0.0)) for k, c in item.costs.items()}}
        return [o for o in rest if o is not item and all(c <= covered.get(k, 0.0) for k, c in o.costs.items())]

    def tells(item: Item) -> tuple[float, float]:
        bits = item.bits + sum(o.bits for o in free_after(item))
        cost = marginal(item)
        return -(bits / cost if cost else math.inf), cost

    while rest:
        fitting = [item for item in rest if marginal(item) <= left and not is_over]
        # what fits, then one that is begun in the time that is left, then the others
        place: Place = "fits" if fitting else "begins" if left > 0 and not is_over else "left out"
        item = min(fitting or rest, key=tells)
        cost = marginal(item)
        steps.append(Step(item.paper, item.claim, item.seeds, cost, item.bits, place))
        paid |= {key: max(c, paid.get(key, 0.0)) for key, c in item.costs.items()}
        left -= cost if fitting else 0.0
        is_over = not fitting
        rest.remove(item)
    return steps


class _StoredStep(Stored):
    paper: str
    claim: str
    seeds: tuple[int, ...]
    place: Place
    digest: str
    seconds: Seconds
    bits: float


class _StoredPlan(Stored):
    worked: Seconds
    steps: tuple[_StoredStep, ...]


def check_hours(hours: float) -> None:
    """Check the hours of a plan; raises InputError."""
    if not 0 < hours <= MAX_HOURS:
        raise InputError("hours", hours, f"needs a number above 0, at most {MAX_HOURS:,}")
