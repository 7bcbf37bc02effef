"""A fitted law: its parameters with intervals, how well it describes the sweep, in words and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from groklab import notebook
from groklab.laws._law import TIMES, Law
from groklab.laws._times import Times
from groklab.text import listed

if TYPE_CHECKING:
    from groklab.figures import Figure
    from groklab.laws._fitting import Solution

R2 = "1 - the sum of squared residuals of log T over that about the mean, of the members whose time was observed"


@dataclass(frozen=True)
class Estimate:
    """A parameter: its value, its 95% interval over seeds, and the source's value where it has one."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    published: float | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether the interval contains the published value; None where either is missing."""
        if self.published is None or self.low is None or self.high is None:
            return None
        return self.low <= self.published <= self.high

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """The parameter as a row of a table: name, value, interval, what the source says."""
        interval = "–" if self.low is None or self.high is None else f"{self.low:.3g} to {self.high:.3g}"
        verdict = {True: "inside", False: "outside", None: ""}[self.agrees]
        source = "–" if self.published is None else f"{self.published:g}" + (f", {verdict}" if verdict else "")
        return self.name, f"{self.value:.3g}", interval, source

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "agrees": self.agrees}


@dataclass(frozen=True, repr=False)
class Fit:
    """A law fitted to a sweep.

    Args:
        times: what it was fitted to.
        solution: the parameters of greatest likelihood.
        resamples: of the bootstrap; 0 where no cell has two seeds.
        held_out: mean log-density of log T of members whose cell was left out.
        drawn: (resamples, parameters), the bootstrap's parameters.
    """

    law: Law
    sweep: str
    times: Times
    estimates: tuple[Estimate, ...]
    solution: Solution
    resamples: int
    seed: int
    held_out: float | None
    drawn: np.ndarray

    def __repr__(self) -> str:
        return f"Fit({self.law.name!r} of {self.sweep!r}: {'; '.join(self.sentences)})"

    def _repr_html_(self) -> str:
        rows = [e.texts for e in self.estimates]
        return notebook.block(
            notebook.title(self.law.name, self.law.formula),
            notebook.table(("parameter", "value", "95% interval", "source"), rows),
            notebook.listing(self.sentences),
        )

    def __getitem__(self, name: str) -> Estimate:
        """Return the estimate of a parameter."""
        return {e.name: e for e in self.estimates}[name]

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2k - 2 log L, of densities of log T; smaller is better."""
        return 2 * self.law.n_parameters - 2 * self.solution.log_likelihood

    @property
    def r2(self) -> float | None:
        """R² of single members: see `R2`."""
        return r2_of(*self._logs())

    @property
    def r2_of_cells(self) -> float | None:
        """R² of the means of log T of cells all of whose members were observed; None for fewer than three."""
        seen, own = self.times.observed, self.times.cells
        cells = [c for c in np.unique(own) if seen[own == c].all()]
        log_time, expected = self.times.log_time, self._expected()
        return r2_of(*(np.array([values[own == c].mean() for c in cells]) for values in (log_time, expected)))

    def _expected(self) -> np.ndarray:
        from groklab.laws._fitting import predicted

        with np.errstate(divide="ignore"):
            return np.asarray(np.log(predicted(self.law, self.times.columns, self.solution)))

    def _logs(self) -> tuple[np.ndarray, np.ndarray]:
        seen = self.times.observed
        return self.times.log_time[seen], self._expected()[seen]

    @property
    def data_frame(self) -> pl.DataFrame:
        """One row per member: variables, time, whether it was observed, and the law's median time."""
        expected = pl.Series("predicted", np.exp(self._expected()))
        return self.times.frame.with_columns(expected)

    def figure(self) -> Figure:
        """Draw times and law; times that are bounds have marks of their own."""
        from groklab.figures import law_fit
        from groklab.laws._curve import axis_of, curves_of

        return law_fit(self.data_frame, curves_of(self), self.law.formula, TIMES[self.law.time], axis_of(self))

    @property
    def sentences(self) -> list[str]:
        """What was fitted, how well, and whether the source's parameters are inside the intervals."""
        frame, seen = self.times.frame, self.times.observed
        bounds = len(seen) - int(seen.sum())
        late = bounds - int(self.times.early.sum())
        parts = [f"{late:,} censored at their budget"] if late else []
        parts += [f"{bounds - late:,} grokked within the first evaluation"] if bounds - late else []
        left = [f"{n:,} {_reason(reason, n)}" for reason, n in self.times.left_out.items()]
        held = [f"{key} = {value}" for key, value in self.times.held.items()]
        of = f"{self.law.name} of {self.sweep}" + (f" at {listed(held)}" if held else "")
        texts = [
            f"{of}: {len(frame):,} members in {frame['cell'].n_unique():,} cells, {int(seen.sum()):,} with an observed "
            f"time{''.join(f', {p}' for p in parts)}." + (f" Left out: {'; '.join(left)}." if left else "")
        ]
        r2, cells = self.r2, self.r2_of_cells
        if r2 is not None:
            also = f", {cells:.3f} of the means of cells" if cells is not None else ""
            texts.append(f"R² of log T is {r2:.3f} over single members{also}.")
        texts += [_verdict(e) for e in self.estimates if e.agrees is not None]
        if max(np.bincount(self.times.cells)) < 2:
            texts.append("No cell has two members that count, so there are no intervals over seeds.")
        return texts

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        law, times = self.law, self.times
        return {
            "law": law.name,
            "formula": law.formula,
            "source": law.source,
            "claimed": law.claimed,
            "time": law.time,
            "sweep": self.sweep,
            "variables": {name: {"setting": key, "unit": unit} for name, (key, unit) in times.units.items()},
            "held": times.held,
            "members": len(times.frame),
            "cells": times.frame["cell"].n_unique(),
            "observed": int(times.observed.sum()),
            "early": int(times.early.sum()),
            "censored": int((~times.observed & ~times.early).sum()),
            "left_out": times.left_out,
            "parameters": [e.to_dict() for e in self.estimates],
            "resamples": self.resamples,
            "seed": self.seed,
            "log_likelihood": self.solution.log_likelihood,
            "aic": self.aic,
            "held_out": self.held_out,
            "r2": self.r2,
            "r2_of_cells": self.r2_of_cells,
            "r2_is": R2,
            "sentences": self.sentences,
        }


def comparison(fits: Sequence[Fit]) -> str:
    """Return in one sentence which of several laws describes the same members best, or why they cannot be compared."""
    members = {tuple(f.times.frame.select("member", "time", "observed").rows()) for f in fits}
    if len(members) > 1:
        return "The laws are of different times or members, so their likelihoods cannot be compared."
    ordered = sorted(fits, key=lambda f: f.aic)
    first, second = ordered[:2]
    by = second.aic - first.aic
    texts = [f"By AIC, {first.law.name} describes the same members better than {second.law.name}, by {by:.1f}"]
    if by < 2:  # Burnham & Anderson 2002: models within 2 have substantial support
        texts = [f"By AIC, {first.law.name} and {second.law.name} are undecided: they differ by {by:.1f}, less than 2"]
    scored = [f for f in fits if f.held_out is not None]
    if len(scored) == len(fits):
        best = max(scored, key=lambda f: f.held_out if f.held_out is not None else -np.inf)
        texts.append(
            f"held-out cells are best predicted by {best.law.name} (log-density {best.held_out:.2f} per member)"
        )
    return "; ".join(texts) + "."


def r2_of(log_time: np.ndarray, expected: np.ndarray) -> float | None:
    """Return R² of log times; None for fewer than three, or without spread."""
    total = float(((log_time - log_time.mean()) ** 2).sum()) if len(log_time) >= 3 else 0.0
    return 1 - float(((log_time - expected) ** 2).sum()) / total if total > 0 else None


def _verdict(e: Estimate) -> str:
    verb = "contains" if e.agrees else "does not contain"
    return f"{e.name} = {e.value:.3g}: its interval, {e.low:.3g} to {e.high:.3g}, {verb} the source's {e.published:g}."


def _reason(reason: str, n: int) -> str:
    """Return why members are left out, in the plural where they are several."""
    words = {"has": "have", "is": "are"}
    first, _, rest = reason.partition(" ")
    return f"{words.get(first, first)} {rest}".strip() if n > 1 else reason
