"""The effective theory's curves over the training fraction: where a linear representation is forced, and how fast."""

from __future__ import annotations

from typing import Any

from groklab.figures.theme import GREEN, TEST, TRAIN, Figure, figure


def critical_fraction_by_p(rows: list[dict[str, Any]]) -> Figure:
    """The critical training fraction against p, on logarithmic axes; rows: what `against_p` gives."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [row["p"] for row in rows],
        "y": [row["critical_fraction"] for row in rows],
        "error_y": {"type": "data", "array": [row["critical_fraction_se"] for row in rows]},
        "line": {"color": TEST, "width": 2.25},
        "hovertemplate": "p = %{x}: %{y:.1%}<extra></extra>",
    }
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "p"}, "type": "log"},
        "yaxis": {"title": {"text": "critical training fraction"}, "type": "log", "tickformat": ".0%"},
        "margin": {"l": 64, "r": 16, "t": 24, "b": 52},
    }
    return figure([trace], layout)


def theory_by_fraction(found: dict[str, Any]) -> Figure:
    """Share of training sets that force the linear representation and ideal accuracy, above; lambda_3, below.

    found: what `theory` gives of a task that it applies to.
    """
    rows = found["by_fraction"]
    x = [row["fraction"] for row in rows]

    def line(key: str, name: str, colour: str, axis: str, form: str) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": x,
            "y": [row[key] for row in rows],
            "line": {"color": colour, "width": 2.25},
            "xaxis": "x",
            "yaxis": axis,
            "hovertemplate": f"{name} %{{y:{form}}} at %{{x:.0%}}<extra></extra>",
        }

    traces = [
        line("p_linear", "training sets that force a line", TEST, "y", ".1%"),
        line("ideal_accuracy", "ideal accuracy", GREEN, "y", ".1%"),
        line("lambda_3", "λ₃ (median)", TRAIN, "y2", ".3g"),
    ]
    half = found["critical_fraction"]
    layout = {
        "height": 520,
        "xaxis": {"title": {"text": "training fraction"}, "tickformat": ".0%", "range": [0, 1.02], "anchor": "y2"},
        "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "range": [-0.03, 1.06], "domain": [0.54, 1]},
        "yaxis2": {"title": {"text": "grokking rate λ₃"}, "rangemode": "tozero", "domain": [0, 0.46]},
        "shapes": [
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": half,
                "x1": half,
                "y0": 0,
                "y1": 1,
                "line": {"color": "gray", "width": 1, "dash": "dot"},
            }
        ],
        "annotations": [
            {
                "x": half,
                "y": 1.02,
                "xref": "x",
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "text": f"critical fraction {half:.3f}",
            }
        ],
        "legend": {"orientation": "h", "y": 1.12, "yanchor": "bottom"},
        "margin": {"l": 64, "r": 16, "t": 84, "b": 52},
    }
    return figure(traces, layout)
