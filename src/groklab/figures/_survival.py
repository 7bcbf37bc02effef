"""When members of an ensemble memorise and generalise: Kaplan–Meier curves, which count those that ended before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._registry import Drawing, figure
from groklab.figures._theme import GREEN, TEST, TRAIN, axis, log_axis, styled, trace
from groklab.grokking import Survival

COLOURS = {"memorised": TRAIN, "generalised": TEST}
EVENTS = {"memorised": "memorised", "generalised": "grokked"}


@figure(
    "survival",
    title="When the members generalised",
    place=10,
    applies_to=lambda run: run.several and run.step > 0,
    about="The share of an ensemble's members that have memorised and generalised by each step; members whose training "
    "ended before count for as long as they ran.",
)
def survival(run: RunContext) -> Drawing | None:
    """Draw the share of an ensemble's members that have generalised by each step."""
    summary = run.survival("grokked")
    if summary is None:
        return None
    frame = event_frame({name: run.event_steps(event) for name, event in EVENTS.items()}, [run.step] * len(run.members))
    plot = reached_share(frame, summary.low, summary.high if summary.n_grokked > 1 else summary.low)
    return Drawing(_sentence(summary, run.step), plot)


def _sentence(summary: Survival, step: int) -> str:
    if summary.n_grokked == 0:
        return f"None of the members had generalised by step {step:,}; ticks show where they ended."
    if summary.median is None:
        return (
            f"{summary.n_grokked} of {summary.n} had generalised by step {step:,}, fewer than half, so the median "
            "is beyond the end of the run; ticks show where members ended."
        )
    low = f"from {summary.low:,.0f} " if summary.low is not None else ""
    high = f"to {summary.high:,.0f}" if summary.high is not None else "upwards, with no upper bound from so few"
    censored = summary.n - summary.n_grokked
    return (
        f"Half had generalised by step {summary.median:,.0f} (Kaplan–Meier; shaded, the 95% interval {low}{high}); "
        f"{censored or 'none'} of {summary.n} ended without having generalised{' (ticks)' if censored else ''}."
    )


def event_frame(events: Mapping[str, Sequence[int | None]], ended: Sequence[int]) -> pl.DataFrame:
    """Return columns event, step, share (of members, by then) and censored (members that ended there without it).

    The share is 1 minus the Kaplan–Meier estimate, so that members that ended early count for as long as they ran.

    Args:
        events: the members' steps by the event's name, None where it did not happen.
        ended: the last step of each member.
    """
    from scipy import stats  # takes long to import

    parts = []
    for name, steps in events.items():
        happened = np.array([s is not None for s in steps], bool)
        times = np.array([e if s is None else s for s, e in zip(steps, ended, strict=True)], np.int64)
        remaining = stats.ecdf(stats.CensoredData.right_censored(times, ~happened)).sf
        at = remaining.quantiles.astype(np.int64)
        censored = np.array([np.sum(~happened & (times == t)) for t in at], np.int32)
        columns = {"step": at, "share": 1 - remaining.probabilities, "censored": censored}
        parts.append(pl.DataFrame(columns).insert_column(0, pl.lit(name).alias("event")))
    return pl.concat(parts)


def reached_share(frame: pl.DataFrame, low: float | None = None, high: float | None = None) -> Figure:
    """Draw the share of members over the steps as staircases, with a tick where members are censored.

    Args:
        frame: as `event_frame` returns it.
        low, high: the 95% interval of the median step of grokking, shaded; a high of None is beyond the last step.
    """
    first = max(int(frame["step"].min() or 1), 1)  # type: ignore[arg-type]
    last = max(int(frame["step"].max() or 1), first + 1)  # type: ignore[arg-type]
    start = max(first / 2, 1)
    traces: list[dict[str, Any]] = []
    for (event,), rows in frame.sort("step").group_by("event", maintain_order=True):
        colour = COLOURS.get(str(event), GREEN)
        steps = np.maximum(np.concatenate([[start], rows["step"].to_numpy(), [last]]), start)
        shares = np.concatenate([[0.0], rows["share"].to_numpy(), rows["share"].to_numpy()[-1:]])
        line = {"width": 2.25, "shape": "hv"}
        hover = "%{y:.0%} " + str(event) + " by step %{x:,}"
        traces.append(trace("lines", steps, shares, hover, colour, str(event), legendgroup=str(event), line=line))
        ticks = rows.filter(pl.col("censored") > 0)
        if len(ticks):
            x, y, n = (ticks[column].to_numpy() for column in ("step", "share", "censored"))
            name, hover = f"ended before having {event}", f"%{{customdata}} ended at step %{{x:,}}, not {event}"
            marker = {"symbol": "line-ns-open", "size": 16, "line": {"width": 2.5}}
            look: dict[str, Any] = {"customdata": n, "marker": marker, "cliponaxis": False}
            traces.append(trace("markers", x, y, hover, colour, name, **look))
    shapes = []
    if low is not None:
        band = {"xref": "x", "yref": "y", "x0": low, "x1": high if high is not None else last, "y0": 0, "y1": 1}
        look = {"layer": "below", "fillcolor": TEST, "opacity": 0.1, "line": {"width": 0}}
        shapes.append({"type": "rect", **band, **look})
    layout = {
        "height": 380,
        "xaxis": log_axis(start, last, "training step (log scale)"),
        "yaxis": axis("share of members", tickformat=".0%", range=[-0.03, 1.06]),
        "shapes": shapes,
        "margin": {"t": 36},
    }
    return styled(traces, layout, data=frame)
