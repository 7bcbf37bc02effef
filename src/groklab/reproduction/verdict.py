"""From the outcomes of several seeds to a verdict and to values with their spread; and results to be published."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from groklab import notebook
from groklab.errors import InputError
from groklab.reproduction._bar import Bar, label, shown
from groklab.reproduction._claim import KINDS, SIZES, Claim, Kind, Paper, Size, Values
from groklab.reproduction._ledger import Ledger, Record, provenance
from groklab.store import Stored, storage
from groklab.text import duration

Verdict = Literal["reproduced", "partly", "not reproduced", "not run"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "partly", "not reproduced", "not run")
#: What the published entry of a claim holds of each size that has been measured.
EVIDENCE = (
    *("command", "measured", "control", "bars", "seeds", "holds", "verdict", "note", "setting", "cost", "seconds"),
    *("date", "hardware", "groklab", "digest"),
)


@dataclass(frozen=True)
class Spread:
    """One measured value over the seeds, None for a seed that lacks it; median, min and max where all are numbers."""

    values: tuple[Any, ...]
    median: float | None = None
    min: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Sequence[Any]) -> Spread:
        """Return the spread of the seeds' values."""
        known = [v for v in values if v is not None]
        if not known or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
            return cls(tuple(values))
        return cls(tuple(values), statistics.median(known), min(known), max(known))

    @property
    def text(self) -> str:
        """The spread in words: `1,480 (1,280 to 2,010)`, `true in 19 of 20`, `14, 35, 41`."""
        known = [v for v in self.values if v is not None]
        missing = len(self.values) - len(known)
        rest = f", none in {missing} of {len(self.values)}" if missing else ""
        if not known:
            return "none"
        if self.median is not None:
            low, middle, high = (shown(v) for v in (self.min, self.median, self.max))
            return (middle if low == high else f"{middle} ({low} to {high})") + rest
        counted = Counter(json.dumps(v) for v in known)
        if len(counted) == 1 and not missing:
            return shown(known[0])
        if all(isinstance(v, bool) for v in self.values):
            return f"true in {sum(self.values)} of {len(self.values)}"
        counts = {name: f" in {n}" if max(counted.values()) > 1 else "" for name, n in counted.items()}
        return "; ".join(shown(json.loads(name)) + count for name, count in counts.items()) + rest

    def to_dict(self) -> dict[str, Any]:
        """Return `values`, and for numbers `median`, `min` and `max`."""
        return {k: list(v) if k == "values" else v for k, v in vars(self).items() if v is not None}


@dataclass(frozen=True, repr=False)
class ClaimResult:
    """A claim with the outcomes of its trial so far.

    Args:
        count: number of seeds asked for, None for the trial's own.
        records: one per seed that is measured.
        n_cells: of a trial over a table the number of cells that are measured with every seed.
    """

    paper: Paper
    claim: Claim
    size: Size
    count: int | None
    records: tuple[Record, ...]
    n_cells: int = 0

    @classmethod
    def of(cls, paper: Paper, claim: Claim, size: Size, count: int | None, ledger: Ledger) -> ClaimResult:
        """Return what a ledger holds of a claim."""
        trial = claim.trial(size)
        if trial is None:
            return cls(paper, claim, size, count, ())
        seeds = trial.seeds_for(count)
        records = tuple(ledger.records(claim, size, seeds).values())
        kept = ledger.cells(claim, size, seeds, trial.cells.names) if trial.cells is not None else {}
        return cls(paper, claim, size, count, records, sum(len(of) == len(seeds) for of in kept.values()))

    def __repr__(self) -> str:
        return f"ClaimResult({self.claim.id!r}: {self.verdict}, {self.note})"

    def _repr_html_(self) -> str:
        rows = {"source": self.claim.source, "expected": self.claim.expected}
        rows |= {"bars": "; ".join(bar.text for bar in self.bars), "control": self.claim.control}
        rows |= {label(name): spread.text for name, spread in self.measured.items()}
        rows |= {"setting": self.setting or "", "verdict": f"{self.verdict}: {self.note}", "again": self.command or ""}
        kept = {name: text for name, text in rows.items() if text}
        return notebook.block(notebook.title(self.claim.id, self.claim.claim), notebook.pairs(kept))

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds asked for."""
        trial = self.claim.trial(self.size)
        return trial.seeds_for(self.count) if trial is not None else ()

    @property
    def verdict(self) -> Verdict:
        """Supported by every seed, by some, by none; 'not run' until all seeds are measured."""
        if not self.records or len(self.records) < len(self.all_seeds):
            return "not run"
        n = self.n_supporting
        return "reproduced" if n == len(self.records) else "partly" if n else "not reproduced"

    @property
    def n_supporting(self) -> int:
        """Number of seeds in which the values pass the bars and those of the control do not."""
        return sum(r.supports for r in self.records)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of the share of seeds that support the claim; None before any is measured."""
        from scipy import stats  # takes long to import

        if not self.records:
            return None
        low, high = stats.binomtest(self.n_supporting, len(self.records)).proportion_ci(method="wilson")
        return float(low), float(high)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """What the measured values must be."""
        trial = self.claim.trial(self.size)
        return trial.bars if trial is not None else ()

    @property
    def measured(self) -> dict[str, Spread]:
        """Each measured value over the seeds."""
        return _spreads([r.values for r in self.records])

    @property
    def control(self) -> dict[str, Spread]:
        """Each value measured of the control over the seeds."""
        return _spreads([r.control or {} for r in self.records])

    @property
    def note(self) -> str:
        """Why the claim has no verdict yet, or in how many seeds it holds, with the interval of that share."""
        n_seeds, claim = len(self.all_seeds), self.claim
        if not n_seeds:
            other = "full" if self.size == "quick" else "quick"
            has_one = claim.quick or claim.full
            return f"there is no {self.size} trial; --{other} has one" if has_one else "there is no trial yet"
        if not self.records and self.n_cells:
            trial = claim.trial(self.size)
            assert trial is not None
            assert trial.cells is not None
            return f"{self.n_cells:,} of {len(trial.cells.names):,} cells measured so far"
        if not self.records:
            return "not measured yet"
        n, holding = len(self.records), sum(r.holds for r in self.records)
        so_far = f"{n} of {n_seeds} seeds measured so far; " if n < n_seeds else ""
        interval = self.interval
        share = f" (95% interval {interval[0]:.0%} to {interval[1]:.0%})" if interval and n > 1 else ""
        controls = [r.control_holds for r in self.records if r.control_holds is not None]
        also = f"; the control passes in {sum(controls)} of {len(controls)}" if any(controls) else ""
        return f"{so_far}holds in {holding} of {n} seed{'s' if n > 1 else ''}{share}{also}"

    @property
    def command(self) -> str | None:
        """The command that repeats the trial."""
        trial = self.claim.trial(self.size)
        if trial is None:
            return None
        own = self.count is None or self.all_seeds == trial.own_seeds
        command = f"groklab reproduce {self.paper.name}/{self.claim.id} --{self.size}"
        return command if own else f"{command} --seeds {self.count}"

    @property
    def setting(self) -> str | None:
        """What is trained."""
        trial = self.claim.trial(self.size)
        return trial.setting if trial is not None else None

    @property
    def cost_seconds(self) -> float | None:
        """Estimated seconds on two cores."""
        trial = self.claim.trial(self.size)
        return None if trial is None else round(trial.cost * len(self.all_seeds) / len(trial.own_seeds), 1)

    @property
    def seconds(self) -> float:
        """Seconds spent here."""
        return round(sum(r.seconds for r in self.records), 3)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        claim, seeds = self.claim, self.all_seeds
        return {
            "id": claim.id,
            "kind": claim.kind,
            "claim": claim.claim,
            "source": claim.source,
            "command": self.command,
            "expected": claim.expected,
            "bars": [{"text": bar.text, **vars(bar)} for bar in self.bars],
            "control_is": claim.control,
            "measured": {name: spread.to_dict() for name, spread in self.measured.items()},
            "control": {name: spread.to_dict() for name, spread in self.control.items()},
            "seeds": [r.seed for r in self.records],
            "holds": [r.supports for r in self.records],
            "interval": list(self.interval) if self.interval else None,
            "verdict": self.verdict,
            "note": self.note,
            "setting": self.setting,
            "counter": claim.counter,
            "cost_seconds": self.cost_seconds,
            "seconds": self.seconds,
            "digest": claim.digest(self.size, seeds) if seeds else None,
            "outcomes": [r.to_dict() for r in self.records],
        }

    def evidence(self) -> dict[str, Any]:
        """Return what is published of the result: its newest date, machine and version, and `EVIDENCE`."""
        newest = max(self.records, key=lambda r: r.date)
        entry = {**self.to_dict(), "cost": self.cost_seconds}
        return {key: getattr(newest, key) if key in ("date", "hardware", "groklab") else entry[key] for key in EVIDENCE}


@dataclass(frozen=True, repr=False)
class PaperResult:
    """The claims of a paper that were asked for, with their results so far. seconds_left: by estimate."""

    paper: Paper
    size: Size
    claims: tuple[ClaimResult, ...]
    seconds_left: float

    def __repr__(self) -> str:
        return f"PaperResult({self.paper.name!r}, {self.size}: {self._counts()})"

    def _repr_html_(self) -> str:
        rows = [(c.claim.id, c.verdict, c.note, c.claim.claim) for c in self.claims]
        title = notebook.title(self.paper.name, f"{self.paper.title}, {self.size}")
        table = notebook.table(("claim", "verdict", "seeds", "in words"), rows)
        return notebook.block(title, table, notebook.line(self._counts()))

    def _counts(self) -> str:
        left = f"; about {duration(self.seconds_left)} left" if self.seconds_left else ""
        return ", ".join(f"{n} {verdict}" for verdict, n in self.tally.items() if n) + left

    @property
    def complete(self) -> bool:
        """Whether everything asked for is measured."""
        return self.seconds_left == 0

    @property
    def tallies(self) -> dict[Kind, dict[Verdict, int]]:
        """Number of claims by kind and verdict: checks and groklab's own findings are counted apart."""
        verdicts = [(c.claim.kind, c.verdict) for c in self.claims]
        return {kind: {v: verdicts.count((kind, v)) for v in VERDICTS} for kind in KINDS}

    @property
    def tally(self) -> dict[Verdict, int]:
        """Number of the paper's claims by verdict."""
        return self.tallies["claim"]

    def to_dict(self) -> dict[str, Any]:
        """Return what `groklab reproduce --json` prints."""
        return {
            "paper": self.paper.name,
            "title": self.paper.title,
            "size": self.size,
            **provenance(),
            "complete": self.complete,
            "seconds_left": round(self.seconds_left, 1),
            "tallies": self.tallies,
            "claims": [c.to_dict() for c in self.claims],
        }


def save(result: PaperResult, folder: str | Path) -> Path:
    """Write a result into `folder/PAPER.json`, each claim with its evidence of each size; return the path.

    Evidence of the other size, and of claims that were not asked for now, stays as long as it is of the claim's present
    trial. Raises InputError where the folder cannot be written, DamagedError where the file is not such a file.
    """
    paper = result.paper
    path = Path(folder).expanduser() / f"{paper.name}.json"
    before = {c["id"]: c for c in load(path)["claims"]} if path.exists() else {}
    now = {c.claim.id: c for c in result.claims}
    entries = []
    for claim in paper.claims:
        kept = {size: before.get(claim.id, {}).get(size) for size in SIZES}
        evidence = {size: e for size, e in kept.items() if e is not None and _is_of_present_trial(claim, size, e)}
        if claim.id in now and now[claim.id].verdict != "not run":
            evidence[result.size] = now[claim.id].evidence()
        entries.append(_entry(claim, evidence))
    about = provenance()
    content = {"paper": paper.name, "date": about["date"], "hardware": about["hardware"], "claims": entries}
    storage.write_json(path, content)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote; raises DamagedError if it is not that, InputError if it cannot be read."""
    try:
        return storage.read_json(path, _Published, "remove it, and save again").to_dict()
    except FileNotFoundError:
        raise InputError(f"{path} cannot be read: there is no such file") from None


class _PublishedClaim(Stored):
    model_config = ConfigDict(extra="allow")

    id: str
    quick: dict[str, Any] | None = None
    full: dict[str, Any] | None = None


class _Published(Stored):
    model_config = ConfigDict(extra="allow")

    claims: list[_PublishedClaim]


def _is_of_present_trial(claim: Claim, size: Size, evidence: dict[str, Any]) -> bool:
    seeds = evidence.get("seeds")
    if claim.trial(size) is None or not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        return False
    return set(evidence) == set(EVIDENCE) and evidence["digest"] == claim.digest(size, tuple(seeds))


def _entry(claim: Claim, evidence: dict[Size, dict[str, Any]]) -> dict[str, Any]:
    """Return a claim with the evidence of each size; neither stands for the other."""
    about = ("id", "kind", "claim", "source", "expected", "control", "counter")
    return {**{key: getattr(claim, key) for key in about}, **{size: evidence.get(size) for size in SIZES}}


def _spreads(values: Sequence[Values]) -> dict[str, Spread]:
    """Return each value over the seeds."""
    names = dict.fromkeys(name for seed in values for name in seed)
    return {name: Spread.of([seed.get(name) for seed in values]) for name in names}
