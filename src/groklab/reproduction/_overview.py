"""The ledger in one table: of each paper and size the verdicts, with seeds, time, dates and hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groklab.reproduction._claim import PAPERS, SIZES, Kind, Paper, Size
from groklab.reproduction._judged import Verdict, verdict_of
from groklab.reproduction._ledger import Ledger
from groklab.reproduction.verdict import ClaimResult, tallies_of
from groklab.text import duration

#: The headings of `OverviewRow.texts`: claims by verdict, checks of the code and groklab's own findings apart.
OVERVIEW = (
    *("paper", "size", "reproduced", "partly", "not", "not run", "checks", "own findings"),
    *("seeds", "time", "measured", "hardware"),
)


@dataclass(frozen=True)
class OverviewRow:
    """The claims of a paper at one size.

    Args:
        tallies: number of claims by kind and verdict.
        seeds: of each claim that has outcomes, their number.
        seconds: spent on them.
        cost: estimated seconds of all trials of the size, with every training counted once.
        dates, hardware: when and where they were measured.
    """

    paper: str
    title: str
    size: Size
    tallies: dict[Kind, dict[Verdict, int]]
    seeds: tuple[int, ...]
    seconds: float
    cost: float
    dates: tuple[str, ...]
    hardware: tuple[str, ...]

    @property
    def texts(self) -> dict[str, str]:
        """The row in words, by the headings of `OVERVIEW`: checks and groklab's own findings are counted apart."""
        seeds = sorted({min(self.seeds), max(self.seeds)}) if self.seeds else []
        dates = sorted({self.dates[0], self.dates[-1]}) if self.dates else []
        cost = f"about {duration(self.cost)}"
        claims = self.tallies["claim"]
        return {
            "paper": self.paper,
            "size": self.size,
            "reproduced": str(claims["reproduced"]),
            "partly": str(claims["partly"]),
            "not": str(claims["not reproduced"]),
            "not run": str(claims["not run"]),
            "checks": _counts(self.tallies["check"]),
            "own findings": _counts(self.tallies["own"]),
            "seeds": " to ".join(str(n) for n in seeds) or "–",
            "time": f"{duration(self.seconds)} (all: {cost})" if self.seeds else cost,
            "measured": " to ".join(dates) or "–",
            "hardware": "; ".join(self.hardware) or "–",
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}


def overview(papers: Sequence[str] | None = None, home: str | Path | None = None) -> list[OverviewRow]:
    """Return a row per paper and size of what was measured here.

    Args:
        papers: names, None for all.
        home: the folder of runs; by default $GROKLAB_HOME.
    """
    rows = []
    for name in sorted(PAPERS) if papers is None else papers:
        paper, ledger = PAPERS[name], Ledger(name, home)
        for size in SIZES:
            results = [ClaimResult.of(paper, claim, size, None, ledger) for claim in paper.claims]
            records = [r for result in results for r in result.records]
            rows.append(
                OverviewRow(
                    *(paper.name, paper.title, size, tallies_of((r.claim.kind, r.verdict) for r in results)),
                    tuple(len(r.records) for r in results if r.records),
                    sum(r.seconds for r in records),
                    cost_of(paper, size),
                    *_sorted(vars(r) for r in records),
                )
            )
    return rows


def overview_of(content: Mapping[str, Any]) -> list[OverviewRow]:
    """Return a row per size of what `verdict.save` wrote of a paper, see `load`."""
    paper, rows = PAPERS[content["paper"]], []
    for size in SIZES:
        verdicts = [(c["kind"], verdict_of(c["kind"], (c[size] or {}).get("holds", ()))) for c in content["claims"]]
        evidence = [c[size] for c in content["claims"] if c[size]]
        rows.append(
            OverviewRow(
                *(paper.name, paper.title, size, tallies_of(verdicts)),
                tuple(len(e["seeds"]) for e in evidence),
                sum(e["seconds"] for e in evidence),
                cost_of(paper, size),
                *_sorted(evidence),
            )
        )
    return rows


def cost_of(paper: Paper, size: Size) -> float:
    """Return the estimated seconds of all trials of a size; what several claims train counts once."""
    costs: dict[tuple[str, int], float] = {}
    for claim in paper.claims:
        trial = claim.trial(size)
        for seed in trial.own_seeds if trial is not None else ():
            assert trial is not None
            key = trial.shares or f"{claim.id}/", seed
            costs[key] = max(costs.get(key, 0.0), trial.cost / len(trial.own_seeds))
    return sum(costs.values())


def _counts(tally: Mapping[Verdict, int]) -> str:
    return ", ".join(f"{n} {verdict}" for verdict, n in tally.items() if n) or "–"


def _sorted(measured: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the dates and the machines."""
    kept = list(measured)
    return tuple(sorted({m["date"] for m in kept})), tuple(sorted({m["hardware"] for m in kept}))
