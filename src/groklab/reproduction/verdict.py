"""The results of claims: of each its verdict and its values over the seeds; and results to be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from groklab import notebook
from groklab.errors import InputError
from groklab.reproduction._bar import Bar, label
from groklab.reproduction._claim import KINDS, SIZES, Claim, Kind, Paper, Size
from groklab.reproduction._judged import VERDICTS, Judged, Spread, Verdict, interval_of, judge, spreads, verdict_of
from groklab.reproduction._ledger import Ledger, Record, provenance
from groklab.store import Stored, storage
from groklab.text import duration

#: What the published entry of a claim holds of each size that has been measured.
EVIDENCE = (
    *("command", "measured", "control", "bars", "seeds", "holds", "verdict", "note", "setting", "cost", "seconds"),
    *("date", "hardware", "groklab", "digest"),
)


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
        rows = {"source": self.claim.source, "expected": self.claim.expected, "control": self.claim.control}
        rows |= {"setting": self.setting or "", "verdict": f"{self.verdict}: {self.note}", "again": self.command or ""}
        kept = {name: text for name, text in rows.items() if text}
        bars = [(label(j.bar.value), j.bar.condition, *j.texts, j.bar.origin) for j in self.judged]
        named = {j.bar.value for j in self.judged}
        others = [(label(name), spread.text) for name, spread in self.measured.items() if name not in named]
        return notebook.block(
            notebook.title(self.claim.id, self.claim.claim),
            notebook.pairs(kept),
            notebook.table(("quantity", "bar", "measured", "control", "origin of the bar"), bars) if bars else "",
            notebook.table(("also measured", "values"), others) if others else "",
        )

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds asked for."""
        trial = self.claim.trial(self.size)
        return trial.seeds_for(self.count) if trial is not None else ()

    @property
    def verdict(self) -> Verdict:
        """Supported by every seed, by some, by none, in the words of its kind; 'not run' until all are measured."""
        return verdict_of(self.claim.kind, self.supports, len(self.records) >= len(self.all_seeds))

    @property
    def supports(self) -> tuple[bool, ...]:
        """Whether each seed's values pass the bars, and those of its control do not."""
        return tuple(r.supports for r in self.records)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of the share of seeds that support the claim; None before any is measured."""
        return interval_of(self.supports)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """What the measured values must be."""
        trial = self.claim.trial(self.size)
        return trial.bars if trial is not None else ()

    @property
    def measured(self) -> dict[str, Spread]:
        """Each measured value over the seeds."""
        return spreads([r.values for r in self.records])

    @property
    def control(self) -> dict[str, Spread]:
        """Each value measured of the control over the seeds."""
        return spreads([r.control or {} for r in self.records])

    @property
    def judged(self) -> list[Judged]:
        """Each bar beside what was measured for it."""
        return judge(self.bars, [r.values for r in self.records], [r.control for r in self.records])

    @property
    def control_passes(self) -> int:
        """Number of seeds in which the control passes every bar, so that they tell nothing."""
        return sum(bool(r.control_holds) for r in self.records)

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
        controls = sum(r.control_holds is not None for r in self.records)
        also = f"; the control passes in {self.control_passes} of {controls}" if self.control_passes else ""
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
            "holds": list(self.supports),
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
    """The claims of a paper that were asked for, with their results so far.

    Args:
        complete: whether everything asked for is measured.
        seconds_left: by estimate; what another claim has trained costs nothing more, measured or not.
        home: the folder of runs that has the outcomes, None for the user's.
    """

    paper: Paper
    size: Size
    claims: tuple[ClaimResult, ...]
    complete: bool
    seconds_left: float
    home: str | Path | None = None

    def __repr__(self) -> str:
        return f"PaperResult({self.paper.name!r}, {self.size}: {self._counts()})"

    def _repr_html_(self) -> str:
        parts = [notebook.title(self.paper.name, f"{self.paper.title}, {self.size}")]
        for kind in KINDS:
            rows = [(c.claim.id, c.verdict, c.note, c.claim.claim) for c in self.claims if c.claim.kind == kind]
            parts += [notebook.table((COUNTED[kind], "verdict", "seeds", "in words"), rows)] if rows else []
        return notebook.block(*parts, notebook.line(self._counts()))

    def _counts(self) -> str:
        left = f"; about {duration(self.seconds_left)} left" if self.seconds_left else ""
        return "; ".join(self.counts) + left

    @property
    def counts(self) -> list[str]:
        """The tallies in words, one per kind that the paper has: `claims: 3 reproduced, 1 partly`."""
        return counts_of(self.tallies)

    @property
    def tallies(self) -> dict[Kind, dict[Verdict, int]]:
        """Number of claims by kind and verdict: checks and groklab's own findings are counted apart."""
        return tallies_of((c.claim.kind, c.verdict) for c in self.claims)

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


#: The kinds of claims, as they are counted.
COUNTED: dict[Kind, str] = {"claim": "claims", "check": "checks of the code", "own": "groklab's own findings"}
#: The kinds of claims, as headings.
KIND_HEADINGS: dict[Kind, str] = {
    "claim": "Claims of the paper",
    "check": "Checks of the code",
    "own": "Findings of groklab's own",
}


def tallies_of(verdicts: Iterable[tuple[Kind, Verdict]]) -> dict[Kind, dict[Verdict, int]]:
    """Return how often each verdict was given on the claims of each kind."""
    counted = Counter(verdicts)
    return {kind: {verdict: counted[kind, verdict] for verdict in VERDICTS[kind]} for kind in KINDS}


def counts_of(tallies: dict[Kind, dict[Verdict, int]]) -> list[str]:
    """Return tallies in words, one text per kind that has any claims."""
    words = {kind: ", ".join(f"{n} {verdict}" for verdict, n in tally.items() if n) for kind, tally in tallies.items()}
    return [f"{COUNTED[kind]}: {text}" for kind, text in words.items() if text]


def save(result: PaperResult, folder: str | Path) -> Path:
    """Write the claims of a result into `folder/PAPER.json`, with the evidence of both sizes; return the path.

    Evidence of other claims, and of a size that was not measured here, stays as long as it is of the claim's present
    trial. Raises InputError where the folder cannot be written, DamagedError where the file is not such a file.
    """
    paper, ledger = result.paper, Ledger(result.paper.name, result.home)
    path = Path(folder).expanduser() / f"{paper.name}.json"
    before = {c["id"]: c for c in load(path)["claims"]} if path.exists() else {}
    now = {c.claim.id: c for c in result.claims}
    entries = []
    for claim in paper.claims:
        kept = {size: before.get(claim.id, {}).get(size) for size in SIZES}
        evidence = {
            size: {**e, "verdict": verdict_of(claim.kind, e["holds"])}
            for size, e in kept.items()
            if e is not None and _is_of_present_trial(claim, size, e)
        }
        for size in SIZES if claim.id in now else ():
            same = size == result.size
            measured = now[claim.id] if same else ClaimResult.of(paper, claim, size, None, ledger)
            if measured.verdict != "not run":
                evidence[size] = measured.evidence()
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
    """Return a claim with the evidence of each size; neither replaces the other."""
    about = ("id", "kind", "claim", "source", "expected", "control", "counter")
    return {**{key: getattr(claim, key) for key in about}, **{size: evidence.get(size) for size in SIZES}}
