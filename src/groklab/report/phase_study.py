"""What a sweep's phase diagrams say: the cells, how far seeds agree, and how far a published map does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from groklab.errors import InputError
from groklab.figures.phase_cells import COLUMNS, Cell, PhaseDiagram, Time, label, phase_diagrams
from groklab.grokking.learning_phases import GAP, PHASES, RULE, THRESHOLD, check, learning_phase
from groklab.papers.published import Agreement, PublishedMap, published_map
from groklab.text import listed


class SweepLike(Protocol):
    """What is asked of a sweep: its grid, a row a member, and their curves."""

    @property
    def path(self) -> Path:
        """The sweep's folder."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def keys(self) -> Mapping[str, Sequence[Any]]:
        """The settings that vary, with their values in order."""

    @property
    def table(self) -> pl.DataFrame:
        """A row a member."""

    def curves(self, member: int | None = None) -> pl.DataFrame:
        """Columns member, step, train_accuracy and test_accuracy, of one member or of all."""


@dataclass(frozen=True)
class PhaseStudy:
    """A sweep's diagrams, one a slice, with what was compared.

    agreements: one a diagram where a map was asked for. threshold, gap, boundary: what the phases were decided by.
    steps: each member's training and test step at the threshold. reasons: why a member's phase is undefined.
    """

    name: str
    diagrams: tuple[PhaseDiagram, ...]
    threshold: float
    gap: float
    boundary: str
    published: PublishedMap | None
    agreements: tuple[Agreement, ...]
    steps: dict[int, tuple[int | None, int | None]]
    reasons: dict[int, str]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values: every cell with its settings, majority, agreement, times, and the published phase."""
        first = self.diagrams[0]
        found: dict[str, Any] = {
            "sweep": self.name,
            "x": {"key": first.x_key, "values": list(first.x_values)},
            "y": None if first.y_key is None else {"key": first.y_key, "values": list(first.y_values)},
            "threshold": self.threshold,
            "gap": self.gap,
            "boundary": self.boundary,
            "rule": RULE,
            "diagrams": [
                {
                    "at": d.at,
                    "counts": counts(d),
                    "said": said(d),
                    "cells": [{**d.values(c), **_cell(c), **self._why(c), **self._theirs(d, c)} for c in d.cells],
                    **({} if self.published is None else {"published": self._compared(i)}),
                }
                for i, d in enumerate(self.diagrams)
            ],
        }
        return found

    def _why(self, cell: Cell) -> dict[str, Any]:
        return {"undefined": [self.reasons[m] for m in cell.members if m in self.reasons]}

    def _theirs(self, diagram: PhaseDiagram, cell: Cell) -> dict[str, Any]:
        if self.published is None:
            return {}
        place = self.published.place(diagram.values(cell))
        return {"published": None if place is None else str(self.published.phases(self.gap, self.boundary)[place])}

    def _compared(self, i: int) -> dict[str, Any]:
        assert self.published is not None
        p = self.published
        return {"map": p.name, "title": p.title, "source": p.source, **self.agreements[i].to_dict()}


def study(
    sweep: SweepLike,
    *,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
    threshold: float = THRESHOLD,
    gap: float = GAP,
    boundary: str = "grokking",
    published: str | None = None,
) -> PhaseStudy:
    """Gather a sweep's members into phase diagrams, and compare them with a published map where one is named.

    x, y, at: the axes, and values that other settings are held at. A threshold other than 90% is read off the kept
    curves, which are thinned. Cells whose seeds tie are not compared.
    Raises InputError as `phase_diagrams` does, for a sweep no member of which is trained yet, for an unknown map, one
    over other settings, and one at another threshold.
    """
    check(threshold=threshold, gap=gap, boundary=boundary)
    theirs = None if published is None else published_map(published)
    if theirs is not None and threshold != theirs.threshold:
        raise InputError("--threshold", threshold, f"the map {theirs.name} is one at {theirs.threshold}")
    table = sweep.table
    lacking: list[str] = [
        name for name in (*COLUMNS, "status", "phase_reason", *sweep.keys) if name not in table.columns
    ]
    if lacking:
        raise InputError(f"the table of {sweep.name} has no {listed(lacking)}")
    table = table.with_columns(pl.when(_is_decided()).then("phase").alias("phase"))
    if table["phase"].is_null().all():
        raise InputError(f"no member of {sweep.name} is trained yet, so there is no diagram")
    if threshold != THRESHOLD:
        table = _at_threshold(sweep, table, threshold, gap)
    diagrams = phase_diagrams(table, sweep.keys, x=x, y=y, at=at, gap=gap, boundary=boundary)
    agreements: list[Agreement] = []
    for diagram in diagrams if theirs is not None else ():
        assert theirs is not None
        axes = {theirs.rows.key, theirs.columns.key}
        if axes != {diagram.x_key, diagram.y_key}:
            raise _over_others(theirs, axes, diagram, sweep.keys)
        agreements.append(theirs.agreement(diagram.table(), gap, boundary))
    steps = {m: (train, test) for m, train, test in table.select("member", "train_step", "test_step").iter_rows()}
    undefined = table.filter(pl.col("phase") == "undefined").select("member", "phase_reason").iter_rows()
    reasons = {m: why for m, why in undefined if why}
    decided = (threshold, gap, boundary)
    return PhaseStudy(sweep.name, tuple(diagrams), *decided, theirs, tuple(agreements), steps, reasons)


def _over_others(
    theirs: PublishedMap, axes: set[str], diagram: PhaseDiagram, keys: Mapping[str, Sequence[Any]]
) -> InputError:
    own = [key for key in (diagram.x_key, diagram.y_key) if key is not None]
    hint = "; --x and --y choose its axes" if axes <= keys.keys() else ""
    allowed = f"is a map over {listed(sorted(axes))}, but this diagram is one over {listed(own)}{hint}"
    return InputError("--published", theirs.name, allowed)


def counts(diagram: PhaseDiagram) -> dict[str, int]:
    """Cells by phase of their majority, all phases, and those without one."""
    found: dict[str, int] = {p: sum(c.majority == p for c in diagram.cells) for p in PHASES}
    found["no majority"] = sum(len(c.leading) > 1 for c in diagram.cells)
    found["pending"] = sum(not c.leading for c in diagram.cells)
    return found


def said(diagram: PhaseDiagram) -> str:
    """Two or three sentences: runs trained, cells of each phase, and how far the seeds agree."""
    n, seeds = len(diagram.cells), max((len(c.members) for c in diagram.cells), default=0)
    size = f"{len(diagram.x_values)} × {len(diagram.y_values)}" if diagram.y_key is not None else f"{n:,}"
    trained = sum(len(c.members) - c.pending for c in diagram.cells)
    total = sum(len(c.members) for c in diagram.cells)
    found = listed([f"{k:,} {name}" for name, k in counts(diagram).items() if k])
    sentences = [
        f"{size} cells of {seeds} seed{'s' if seeds != 1 else ''}, {trained:,} of {total:,} runs trained.",
        f"{'Cells by the majority of their seeds' if seeds > 1 else 'Cells'}: {found}.",
    ]
    several = [c for c in diagram.cells if len(c.members) - c.pending > 1]
    if several:
        whole = sum(len(c.counts) == 1 for c in several)
        sentences.append(f"All seeds agree in {whole:,} of {len(several):,} cells ({whole / len(several):.0%}).")
    return " ".join(sentences)


def slice_name(diagram: PhaseDiagram) -> str:
    """What a slice is held at, in words."""
    return ", ".join(f"{key} = {label(value)}" for key, value in diagram.at.items())


def curves_of(sweep: SweepLike) -> dict[int, pl.DataFrame]:
    """Every member's curves in the order of steps; nothing recorded is an empty frame."""
    whole = sweep.curves()
    found = whole.sort("step").partition_by("member", as_dict=True)
    return {m: found.get((m,), whole.clear()) for m in sweep.table["member"]}


def _cell(cell: Cell) -> dict[str, Any]:
    times = {"train_step": cell.train_step, "test_step": cell.test_step, "gap": cell.gap}
    return {
        "majority": cell.majority,
        "tied": cell.leading if len(cell.leading) > 1 else [],
        "agreement": cell.agreement,
        "phases": cell.counts,
        "pending": cell.pending,
        "members": list(cell.members),
        "seeds": list(cell.seeds),
        **{name: _time(time) for name, time in times.items()},
    }


def _time(time: Time) -> dict[str, Any]:
    return {"median": time.median, "reached": time.reached, "censored": time.censored}


def _is_decided() -> pl.Expr:
    """Whether training further could not change a member's phase: it has ended, or has both of its times."""
    return pl.col("status").is_in(["finished", "diverged"]) | (
        pl.col("train_step").is_not_null() & pl.col("test_step").is_not_null()
    )


def _at_threshold(sweep: SweepLike, table: pl.DataFrame, threshold: float, gap: float) -> pl.DataFrame:
    """The table with steps and phases at another threshold than the sweep's own."""
    rows: list[dict[str, Any]] = []
    curves = curves_of(sweep)
    for line in table.iter_rows(named=True):
        if line["phase"] is None:
            rows.append(dict.fromkeys(("phase", "train_step", "test_step", "phase_reason")))
            continue
        c = curves[line["member"]]
        accuracies = (c["train_accuracy"].to_numpy(), c["test_accuracy"].to_numpy())
        found = learning_phase(c["step"].to_numpy(), *accuracies, threshold=threshold, gap=gap)
        rows.append({name: getattr(found, name) for name in ("phase", "train_step", "test_step")})
        rows[-1]["phase_reason"] = found.reason
    schema = {"phase": pl.String, "train_step": pl.Int64, "test_step": pl.Int64, "phase_reason": pl.String}
    return table.with_columns(pl.DataFrame(rows, schema=schema))
