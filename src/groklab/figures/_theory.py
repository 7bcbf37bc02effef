"""The effective theory of Liu et al. 2022: where a linear representation is forced, how fast, and beside a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from groklab.analysis import TheoryBesideRun
from groklab.figures._panels import axis_suffix, domain, note, vertical
from groklab.figures._theme import GREEN, PINK, TEST, TRAIN, Figure, log_heights, styled

if TYPE_CHECKING:
    from groklab.theory import CriticalFraction, Prediction

#: Symbols labelled at the ends of their lines, at most; more would overlap.
MOST_LABELS = 20


def critical_fraction_by_p(rows: Sequence[CriticalFraction]) -> Figure:
    """Draw the critical training fraction over p, on logarithmic axes."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [row.p for row in rows],
        "y": [row.critical_fraction for row in rows],
        "error_y": {"type": "data", "array": [row.critical_fraction_se for row in rows]},
        "line": {"color": TEST, "width": 2.25},
        "hovertemplate": "p = %{x}: %{y:.1%}<extra></extra>",
    }
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "p"}, "type": "log"},
        "yaxis": {"title": {"text": "critical training fraction"}, "type": "log", "tickformat": ".0%"},
        "margin": {"t": 24},
    }
    return styled([trace], layout)


def theory_by_fraction(prediction: Prediction) -> Figure:
    """Draw what a random training set of each size forces, how fast, and with which answers.

    From above: the share of training sets that force the linear representation and the ideal accuracy; lambda_3; and
    the steps 1/(lambda_3 eta), with a gap where they are infinite.
    """
    rows = prediction.by_fraction
    x = [row.fraction for row in rows]

    def line(key: str, name: str, colour: str, axis: str, form: str) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": x,
            "y": [getattr(row, key) for row in rows],
            "connectgaps": False,
            "showlegend": axis == "y",
            "line": {"color": colour, "width": 2.25},
            "xaxis": "x",
            "yaxis": axis,
            "hovertemplate": f"{name} %{{y:{form}}} at %{{x:.0%}}<extra></extra>",
        }

    traces = [
        line("p_linear", "training sets that force a line", TEST, "y", ".1%"),
        line("ideal_accuracy", "ideal accuracy", GREEN, "y", ".1%"),
        line("lambda_3", "λ₃ (median)", TRAIN, "y2", ".3g"),
        line("steps", "1/(λ₃ η) (median), steps:", PINK, "y3", ",.0f"),
    ]
    half = prediction.critical_fraction
    finite = [row.steps for row in rows if row.steps is not None]
    # a narrow span may hold one power of ten only
    wide = bool(finite) and max(finite) > 300 * min(finite)
    ticks = {"tickformat": ",", "dtick": 1 if wide else "D2"}
    layout = {
        "height": 680,
        "xaxis": {"title": {"text": "training fraction"}, "tickformat": ".0%", "range": [0, 1.02], "anchor": "y3"},
        "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "range": [-0.03, 1.06], "domain": [0.7, 1]},
        "yaxis2": {"title": {"text": "λ₃"}, "rangemode": "tozero", "domain": [0.35, 0.65]},
        "yaxis3": {**log_heights(finite, "steps 1/(λ₃ η)"), **ticks, "domain": [0, 0.3]},
        "shapes": [vertical(half, dash="dot") | {"yref": "paper"}],
        "annotations": [
            note(
                f"critical fraction {half:.3f}",
                half,
                1,
                xref="x",
                xanchor="left" if half < 0.3 else "right" if half > 0.7 else "center",
            )
        ],
        "legend": {"orientation": "h", "y": 1.05, "yanchor": "bottom"},
        "margin": {"l": 68, "t": 84},
    }
    return styled(traces, layout)


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
            traces.append(
                {
                    "type": "scatter",
                    "name": f"symbol {symbol}",
                    "mode": "lines+text" if len(row) > 1 else "markers+text",
                    "x": panels[name].step,
                    "y": row,
                    "text": [""] * (len(row) - 1) + [f" {label}"],
                    "textposition": "middle right",
                    "textfont": {"size": 11, "color": colour},
                    "cliponaxis": False,
                    "line": {"color": colour, "width": 2},
                    "xaxis": f"x{suffix}",
                    "yaxis": f"y{suffix}",
                    "hovertemplate": f"symbol {symbol}: %{{y:.3f}} at step %{{x:,}}<extra></extra>",
                }
            )
        layout[f"xaxis{suffix}"] = {
            "domain": across,
            "range": [0, last],
            "tickformat": ",",
            "anchor": f"y{suffix}",
            "title": {"text": "step"},
        }
        own = {"title": {"text": "embedding, normalised"}} if i == 0 else {"matches": "y", "showticklabels": False}
        layout[f"yaxis{suffix}"] = {"anchor": f"x{suffix}", **own}
        step = marks[name]
        # in lines of their own, for screens on which a panel is narrow
        when = beside.when(name).replace(" (", "<br>(")
        text = f"<b>{title}</b><br>RQI &gt; 0.95<br>{when}"
        layout["annotations"].append(note(text, sum(across) / 2, 1.02))
        if step is not None and step <= last:
            layout["shapes"].append(vertical(step, i, "dot"))
    return styled(traces, layout)


def shade(share: float) -> str:
    """Return a colour between two of the theme's hues, which is legible on light and dark pages."""
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (TEST, TRAIN)]
    mixed = [round(a + share * (b - a)) for a, b in zip(*ends, strict=True)]
    return f"rgb({', '.join(map(str, mixed))})"
