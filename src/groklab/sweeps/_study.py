"""What a sweep shows, read by the terminal, JSON and the page: its cells, their phases and verdicts, in words too."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from groklab.errors import InputError, unknown
from groklab.grokking import CRITERIA, GAP, OWNER, PHASES, RULE, THRESHOLD, check, learning_phase, phase_of_steps
from groklab.sweeps._cells import (
    MOST_CELLS,
    MOST_SLICES,
    OUTCOMES,
    VERDICTS,
    Axes,
    Cell,
    Member,
    Slice,
    arrange,
    choose_axes,
    members_of,
    place_of,
    swept,
    value_names,
)
from groklab.sweeps._folder import Sweep
from groklab.text import label, listed, short_percent


@dataclass(frozen=True)
class Study:
    """A sweep's cells over two of its settings, in one slice for each combination of values of the others.

    Args:
        threshold: the accuracy that the learning phases rest on.
        gap: steps between training and test accuracy from which on a delay is grokking.
        boundary: the phase of a delay of exactly the gap.
        criterion: of generalising.
    """

    name: str
    axes: Axes
    slices: tuple[Slice, ...]
    threshold: float
    gap: float
    boundary: str
    criterion: str = "sustained_99"

    def frame(self, i: int = 0) -> pl.DataFrame:
        """Return a slice with one row per cell: its settings, its phases and its verdict.

        `phase` is that of its majority; `summary` says both in words. `grokked_step` is the median over the seeds, and
        `test_accuracy` the mean of each seed's highest.
        """
        part = self.slices[i]
        rows = [
            {
                **self.axes.values(c, part.at),
                "phase": c.majority,
                "phases": c.leading,
                "summary": phase_sentence(c),
                "verdict": c.verdict,
                "grokked_step": c.median_step,
                "test_accuracy": c.test_accuracy,
            }
            for c in part.cells
        ]
        schema: dict[str, Any] = {"phase": pl.String, "phases": pl.List(pl.String), "summary": pl.String}
        schema |= {"grokked_step": pl.Float64, "test_accuracy": pl.Float64}
        return pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)

    def slice_name(self, i: int) -> str:
        """Return what a slice is held at, in words; '' where the grid has no further settings."""
        names = []
        for key, value in self.slices[i].at.items():
            seen = list({json.dumps(s.at[key]): s.at[key] for s in self.slices}.values())
            names.append(f"{key} = {value_names(key, seen)[seen.index(value)]}")
        return ", ".join(names)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: every cell with its settings, phases, verdict, times and members."""
        axes = self.axes
        return {
            "sweep": self.name,
            "x": {"key": axes.x, "values": list(axes.x_values)},
            "y": None if axes.y is None else {"key": axes.y, "values": list(axes.y_values)},
            "threshold": self.threshold,
            "gap": self.gap,
            "boundary": self.boundary,
            "rule": RULE,
            "slices": [
                {
                    "at": part.at,
                    "counts": phase_counts(part),
                    "verdicts": verdict_counts(part),
                    "summary": f"{phase_summary(self, part)} {verdict_summary(part)} {runs_summary(self, part)}",
                    "cells": [{**axes.values(c, part.at), **_as_json(c)} for c in part.cells],
                }
                for part in self.slices
            ],
        }


def study(
    sweep: Sweep,
    *,
    x: str | None = None,
    y: str | None = None,
    at: Mapping[str, Any] | None = None,
    threshold: float = THRESHOLD,
    gap: float = GAP,
    boundary: str = "grokking",
    options: tuple[str, str] = ("--x", "--y"),
) -> Study:
    """Gather a sweep's members into cells over two of its settings.

    Args:
        x: the setting to the right; y: that of the rows; see `choose_axes` for the defaults.
        at: values at which other settings are held.
        threshold: for the learning phases; another than 90% is read off the kept curves, which are thinned.
        options: what errors call x and y.

    Raises:
        InputError: settings or values that the grid does not have, too many slices or cells for a page, a sweep in
            which nothing is evaluated yet, or an impossible threshold, gap or boundary.
    """
    check(threshold=threshold, gap=gap, boundary=boundary)
    axes = choose_axes(sweep.keys, x, y, at or {}, options)
    held = {key: _value(key, value, sweep.keys[key]) for key, value in (at or {}).items()}
    free = [k for k in swept(sweep.keys) if k not in (axes.x, axes.y) and k not in held]
    n_slices = math.prod(len(sweep.keys[key]) for key in free)
    if n_slices > MOST_SLICES:
        raise InputError(
            f"the sweep has {n_slices:,} combinations of {', '.join(free)} besides {axes.x} and {axes.y}, and a page "
            f"shows at most {MOST_SLICES}; hold some with --at key=value, or choose other axes"
        )
    n_cells = n_slices * len(axes.x_values) * len(axes.y_values)
    if n_cells > MOST_CELLS:
        raise InputError(f"{sweep.name} has {n_cells:,} cells, and a page shows at most {MOST_CELLS:,}")
    members = members_of(sweep.table_so_far())
    if all(m.test_accuracy is None and m.outcome in ("pending", "undecided") for m in members):
        raise InputError(f"no member of {sweep.name} has been evaluated yet, so there are no cells")
    if threshold != THRESHOLD:
        members = _at_threshold(sweep, members, threshold)
    members = _with_phases(members, gap, boundary)
    of_points = [sweep.members[m.number].point for m in members]
    slices = arrange(sweep.keys, axes, sweep.points, zip(of_points, members, strict=True), held)
    return Study(sweep.name, axes, tuple(slices), threshold, gap, boundary, sweep.recorded(0).evaluation.criterion)


def _value(key: str, given: Any, values: Sequence[Any]) -> Any:
    place = place_of(given, values)
    if place is None:
        raise unknown(f"--at {key}", given, [label(v) for v in values])
    return values[place]


def _with_phases(members: Sequence[Member], gap: float, boundary: str) -> list[Member]:
    """Members with their phases by this gap; what is undefined stays so."""
    steps = ([m.train_step for m in members], [m.test_step for m in members])
    phases = phase_of_steps(*steps, gap, boundary).tolist()
    return [
        m if m.phase in (None, "undefined") else dataclasses.replace(m, phase=str(phase))
        for m, phase in zip(members, phases, strict=True)
    ]


def _at_threshold(sweep: Sweep, members: Sequence[Member], threshold: float) -> list[Member]:
    """Members with the steps and phases of another threshold than the sweep's own."""
    curves = curves_of(sweep)
    changed = []
    for m in members:
        if m.phase is not None:
            c = curves[m.number]
            accuracies = (c["train_accuracy"].to_numpy(), c["test_accuracy"].to_numpy())
            result = learning_phase(c["step"].to_numpy(), *accuracies, threshold=threshold)
            reached = result.train_step is not None and result.test_step is not None
            m = dataclasses.replace(
                m,
                phase=result.phase,
                phase_reason=result.reason,
                train_step=result.train_step,
                test_step=result.test_step,
                phase_final=reached or m.outcome not in ("undecided", "pending"),
            )
        changed.append(m)
    return changed


def curves_of(sweep: Sweep) -> dict[int, pl.DataFrame]:
    """Return every member's curves in the order of steps; an empty frame where nothing is recorded."""
    curves = sweep.curves().sort("step")
    parts = curves.partition_by("member", as_dict=True)
    return {m: parts.get((m,), curves.clear()) for m in range(sweep.n_members)}


# -- in words -----------------------------------------------------------------------------------------------------


def phase_counts(part: Slice) -> dict[str, int]:
    """Return the number of cells by the phase of their majority, and of those without one."""
    counts = Counter(c.majority or ("no majority" if c.leading else "pending") for c in part.cells)
    return {name: counts[name] for name in (*PHASES, "no majority", "pending")}


def verdict_counts(part: Slice) -> dict[str, int]:
    """Return the number of cells by verdict."""
    counts = Counter(c.verdict for c in part.cells)
    return {v: counts[v] for v in VERDICTS}


def phase_summary(study: Study, part: Slice) -> str:
    """Return in two or three sentences what is trained, the cells of each phase, and how far the seeds agree."""
    n, seeds = len(part.cells), max((len(c.members) for c in part.cells), default=0)
    axes = study.axes
    size = f"{len(axes.x_values)} × {len(axes.y_values)}" if axes.y is not None else f"{n:,}"
    total = sum(len(c.members) for c in part.cells)
    trained = total - sum(c.pending for c in part.cells)
    phases = listed([f"{k:,} {name}{_best_of(part, name)}" for name, k in phase_counts(part).items() if k])
    sentences = [
        f"{size} cells of {seeds} seed{'s' if seeds != 1 else ''}, {trained:,} of {total:,} runs trained.",
        f"{'Cells by the majority of their seeds' if seeds > 1 else 'Cells'}, in the phases of {OWNER} "
        f"({100 * study.threshold:g}%, {study.gap:,g} steps): {phases}.",
    ]
    several = [c for c in part.cells if len(c.members) - c.pending > 1]
    if several:
        same = sum(len(c.counts) == 1 for c in several)
        sentences.append(f"All seeds agree in {same:,} of {len(several):,} cells ({same / len(several):.0%}).")
    return " ".join(sentences)


def _best_of(part: Slice, phase: str) -> str:
    """Return the best test accuracies of the cells of a phase that is named for a low one."""
    known = [c.test_accuracy for c in part.cells if c.majority == phase and c.test_accuracy is not None]
    if phase not in ("memorisation", "confusion") or not known:
        return ""
    return f" (best test accuracy {' to '.join(dict.fromkeys(map(short_percent, (min(known), max(known)))))})"


def runs_summary(study: Study, part: Slice) -> str:
    """Return how many runs have generalised and how many have reached the phases' threshold, each by its definition."""
    members = [m for cell in part.cells for m in cell.members]
    begun = [m for m in members if m.steps is not None]
    generalised, reached = sum(m.outcome == "grokked" for m in begun), sum(m.test_step is not None for m in begun)
    return (
        f"Of {len(begun):,} run{'s' if len(begun) != 1 else ''}, {generalised:,} generalised (test accuracy "
        f"{CRITERIA[study.criterion]}), and {reached:,} reached {100 * study.threshold:g}% once, as comprehension and "
        f"grokking of {OWNER} ask."
    )


def verdict_summary(part: Slice) -> str:
    """Return in one sentence how many cells have which verdict."""
    words = {
        "grokked": "generalised in every seed",
        "some": "generalised in some",
        "none": "did not generalise within the budget",
        "undecided": "undecided so far",
    }
    counts = [f"{n:,} {words.get(v, v)}" for v, n in verdict_counts(part).items() if n]
    n = len(part.cells)
    return f"Of {n:,} cell{'s' if n != 1 else ''}: {listed(counts)}."


def phase_sentence(cell: Cell) -> str:
    """Return a cell's phase, how many seeds agree, its median times and what is doubtful."""
    done = len(cell.members) - cell.pending
    if not done:
        return "no run of this cell is trained yet"
    parts = [f"{p} in {n} of {done} seeds" if done > 1 else p for p, n in cell.counts.items()]
    text = ("no majority: " if len(cell.leading) > 1 else "") + listed(parts)
    if "memorisation" in cell.counts or "confusion" in cell.counts:
        text += f"; best test accuracy {short_percent(cell.test_accuracy)}"
    for name, time in (("training", cell.train_step), ("test", cell.test_step), ("gap", cell.gap)):
        if time.n:
            text += f"; {name} {'not reached' if time.median is None else f'{time.median:,.0f}'}"
            text += f" ({time.reached} of {time.n} seeds)" if time.censored and time.reached else ""
    if cell.pending:
        text += f"; {cell.pending} of {len(cell.members)} runs not trained yet"
    for m in cell.members:
        if m.phase == "undefined" and m.phase_reason:
            text += f"; seed {m.seed}: {m.phase_reason.removeprefix('undefined: ')}"
    return text


def verdict_sentence(cell: Cell) -> str:
    """Return a cell's verdict in words."""
    n, k = len(cell.members), cell.count("grokked")
    best = f", best test accuracy {short_percent(cell.best)}" if cell.best is not None else ""
    step = "" if cell.median_step is None else f", {'median ' if n > 1 else ''}step {cell.median_step:,.0f}"
    seeds = f"in each of {n} seeds" if n > 1 else ""
    others = [f"{cell.count(o)} {o}" for o in OUTCOMES if o not in ("grokked", "censored") and cell.count(o)]
    return {
        "grokked": f"generalised {seeds}".strip() + step,
        "some": f"generalised in {k} of {n} seeds{step}" + (f", {', '.join(others)}" if others else ""),
        "none": f"did not generalise within the budget{best}" + (f", {', '.join(others)}" if others else ""),
        "undecided": f"undecided so far{best}" + (f", {', '.join(others)}" if n > 1 else ""),
        "diverged": f"diverged{best}",
    }.get(cell.verdict, cell.verdict)


def _as_json(cell: Cell) -> dict[str, Any]:
    undefined = [m.phase_reason for m in cell.members if m.phase_final and m.phase == "undefined" and m.phase_reason]
    return {
        "majority": cell.majority,
        "tied": cell.leading if len(cell.leading) > 1 else [],
        "agreement": cell.agreement,
        "phases": cell.counts,
        "pending": cell.pending,
        "undefined": undefined,
        "train_step": cell.train_step.to_dict(),
        "test_step": cell.test_step.to_dict(),
        "gap": cell.gap.to_dict(),
        "verdict": cell.verdict,
        "grokked": cell.count("grokked"),
        "median_step": cell.median_step,
        "best_test_accuracy": cell.best,
        "members": [m.number for m in cell.members],
        "seeds": [m.seed for m in cell.members],
    }
