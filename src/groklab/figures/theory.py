"""The effective theory's curves over the training fraction: where a linear representation is forced, and how fast."""

from __future__ import annotations

from typing import Any

from groklab.figures.theme import GREEN, PINK, TEST, TRAIN, Figure, figure, log_heights


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
    """Over the training fraction, from above: share of training sets that force the linear representation and ideal
    accuracy; lambda_3; and the steps 1/(lambda_3 eta), a gap where they are infinite.

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
    half = found["critical_fraction"]
    finite = [row["steps"] for row in rows if row["steps"] is not None]
    # a narrow span may hold one power of ten only
    wide = bool(finite) and max(finite) > 300 * min(finite)
    ticks = {"tickformat": ",", "dtick": 1 if wide else "D2"}
    layout = {
        "height": 680,
        "xaxis": {"title": {"text": "training fraction"}, "tickformat": ".0%", "range": [0, 1.02], "anchor": "y3"},
        "yaxis": {"title": {"text": "share"}, "tickformat": ".0%", "range": [-0.03, 1.06], "domain": [0.7, 1]},
        "yaxis2": {"title": {"text": "λ₃"}, "rangemode": "tozero", "domain": [0.35, 0.65]},
        "yaxis3": {**log_heights(finite, "steps 1/(λ₃ η)"), **ticks, "domain": [0, 0.3]},
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
                "y": 1,
                "xref": "x",
                "yref": "paper",
                "xanchor": "left" if half < 0.3 else "right" if half > 0.7 else "center",
                "yanchor": "bottom",
                "showarrow": False,
                "text": f"critical fraction {half:.3f}",
            }
        ],
        "legend": {"orientation": "h", "y": 1.05, "yanchor": "bottom"},
        "margin": {"l": 68, "r": 16, "t": 84, "b": 52},
    }
    return figure(traces, layout)
