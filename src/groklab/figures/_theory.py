"""The effective theory of Liu et al. 2022: where a linear representation is forced, how fast, and beside a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from groklab.analysis import TheoryBesideRun
from groklab.figures._figure import Figure
from groklab.figures._panels import domain, note, vertical
from groklab.figures._theme import GREEN, PINK, TEST, TRAIN, axis, axis_suffix, log_heights, styled, trace

if TYPE_CHECKING:
    from groklab.theory import CriticalFraction, Prediction

#: Symbols labelled at the ends of their lines, at most; more would overlap.
MOST_LABELS = 20


def critical_fraction_by_p(rows: Sequence[CriticalFraction]) -> Figure:
    """Draw the critical training fraction over p, on logarithmic axes."""
    x, y = [row.p for row in rows], [row.critical_fraction for row in rows]
    errors = {"type": "data", "array": [row.critical_fraction_se for row in rows]}
    line = trace("lines+markers", x, y, "p = %{x}: %{y:.1%}", TEST, line={"width": 2.25}, error_y=errors)
    layout = {
        "height": 380,
        "xaxis": axis("p", type="log"),
        "yaxis": axis("critical training fraction", type="log", tickformat=".0%"),
        "margin": {"t": 24},
    }
    return styled([line], layout, data=pl.DataFrame([vars(row) for row in rows]))


def theory_by_fraction(prediction: Prediction) -> Figure:
    """Draw what a random training set of each size forces, how fast, and with which answers.

    From above: the share of training sets that force the linear representation and the ideal accuracy; lambda_3; and
    the steps 1/(lambda_3 eta), with a gap where they are infinite.
    """
    rows = prediction.by_fraction
    x = [row.fraction for row in rows]

    def line(key: str, name: str, colour: str, panel: int, form: str) -> dict[str, Any]:
        hover, y = f"{name} %{{y:{form}}} at %{{x:.0%}}", [getattr(row, key) for row in rows]
        look: dict[str, Any] = {"connectgaps": False, "showlegend": panel == 0, "line": {"width": 2.25}}
        return {**trace("lines+markers", x, y, hover, colour, name, panel, **look), "xaxis": "x"}

    traces = [
        line("p_linear", "training sets that force a line", TEST, 0, ".1%"),
        line("ideal_accuracy", "ideal accuracy", GREEN, 0, ".1%"),
        line("lambda_3", "λ₃ (median)", TRAIN, 1, ".3g"),
        line("steps", "1/(λ₃ η) (median), steps:", PINK, 2, ",.0f"),
    ]
    half = prediction.critical_fraction
    finite = [row.steps for row in rows if row.steps is not None]
    # a narrow span may hold one power of ten only
    wide = bool(finite) and max(finite) > 300 * min(finite)
    side = "left" if half < 0.3 else "right" if half > 0.7 else "center"
    ticks = {"tickformat": ",", "dtick": 1 if wide else "D2"}
    layout = {
        "height": 680,
        "xaxis": axis("training fraction", tickformat=".0%", range=[0, 1.02], anchor="y3"),
        "yaxis": axis("share", tickformat=".0%", range=[-0.03, 1.06], domain=[0.7, 1]),
        "yaxis2": axis("λ₃", rangemode="tozero", domain=[0.35, 0.65]),
        "yaxis3": {**log_heights(finite, "steps 1/(λ₃ η)"), **ticks, "domain": [0, 0.3]},
        "shapes": [vertical(half, dash="dot") | {"yref": "paper"}],
        "annotations": [note(f"critical fraction {half:.3f}", half, 1, xref="x", xanchor=side)],
        "legend": {"orientation": "h", "y": 1.05, "yanchor": "bottom"},
        "margin": {"l": 68, "t": 84},
    }
    return styled(traces, layout, data=pl.DataFrame([vars(row) for row in rows]))


def embedding_traces(beside: TheoryBesideRun) -> Figure:
    """Draw one line per symbol: the theory's coordinates by step on the left, the network's on the right.

    Each line ends in its symbol's number; a dotted line marks the step at which the RQI passes 0.95.

    Args:
        beside: the prediction and the run.
    """
    titles: dict[Literal["theory", "network"], str] = {"theory": "effective theory", "network": "network"}
    panels = {"theory": beside.theory, "network": beside.network}
    marks = {"theory": beside.predicted_step, "network": beside.observed_step}
    last = max(beside.network.step[-1], 1)
    layout: dict[str, Any] = {"height": 460, "showlegend": False, "annotations": [], "shapes": []}
    layout["margin"] = {"l": 56, "r": 24, "t": 84, "b": 52}
    traces = []
    for i, (name, title) in enumerate(titles.items()):
        suffix = axis_suffix(i)
        across = domain(i, 2, 0.08)
        rows = panels[name].traces
        every = -(-len(rows) // MOST_LABELS)
        for symbol, row in enumerate(rows):
            colour = shade(symbol / max(len(rows) - 1, 1))
            label = str(symbol) if symbol % every == 0 else ""
            ends = {
                "text": [""] * (len(row) - 1) + [f" {label}"],
                "textposition": "middle right",
                "textfont": {"size": 11, "color": colour},
            }
            kind = "lines+text" if len(row) > 1 else "markers+text"
            name_of = f"symbol {symbol}"
            look: dict[str, Any] = {"cliponaxis": False, "line": {"color": colour, "width": 2}, **ends}
            hover = f"{name_of}: %{{y:.3f}} at step %{{x:,}}"
            traces.append(trace(kind, panels[name].step, row, hover, name=name_of, panel=i, **look))
        steps = axis("step", domain=across, range=[0, last], tickformat=",", anchor=f"y{suffix}")
        layout[f"xaxis{suffix}"] = steps
        own = {"title": {"text": "embedding, normalised"}} if i == 0 else {"matches": "y", "showticklabels": False}
        layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", **own}
        step = marks[name]
        # in lines of their own, for screens on which a panel is narrow
        when = beside.when(name).replace(" (", "<br>(")
        text = f"<b>{title}</b><br>RQI &gt; 0.95<br>{when}"
        layout["annotations"].append(note(text, sum(across) / 2, 1.02))
        if step is not None and step <= last:
            layout["shapes"].append(vertical(step, i, "dot"))
    frames = [
        pl.DataFrame({"side": name, "symbol": symbol, "step": panels[name].step, "place": row})
        for name in titles
        for symbol, row in enumerate(panels[name].traces)
    ]
    return styled(traces, layout, data=pl.concat(frames, how="vertical_relaxed"))


def shade(share: float) -> str:
    """Return a colour between two of the theme's hues, which is legible on light and dark pages."""
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (TEST, TRAIN)]
    mixed = [round(a + share * (b - a)) for a, b in zip(*ends, strict=True)]
    return f"rgb({', '.join(map(str, mixed))})"
