"""Traces of a one-dimensional embedding over the steps, theory and network (Liu et al. 2022, figures 4c and 4d)."""

from __future__ import annotations

from typing import Any

from groklab.figures.theme import INK, MUTED, TEST, TRAIN, Figure, figure

#: Share of the width between the two panels.
GAP = 0.08
#: Symbols labelled at the ends of their lines, at most; more would lie on one another.
MOST_LABELS = 20


def embedding_traces(found: dict[str, Any]) -> Figure:
    """A line a symbol: the theory's coordinates by step on the left, the network's on the right.

    Each line ends in its symbol's number; a dotted line marks the step at which the RQI passes 0.95.
    found: what `groklab.analysis.predicting.beside_run` gives where the theory applies.
    """
    titles = {"theory": "effective theory", "network": "network"}
    marks = {"theory": found["predicted_step"], "network": found["observed_step"]}
    last = max(found["network"]["step"][-1], 1)
    layout: dict[str, Any] = {"height": 460, "showlegend": False, "annotations": [], "shapes": []}
    layout["margin"] = {"l": 56, "r": 24, "t": 84, "b": 52}
    traces = []
    for i, (name, title) in enumerate(titles.items()):
        suffix = "" if i == 0 else "2"
        across = [0, (1 - GAP) / 2] if i == 0 else [(1 + GAP) / 2, 1]
        rows = found[name]["traces"]
        every = -(-len(rows) // MOST_LABELS)
        for symbol, row in enumerate(rows):
            colour = shade(symbol / max(len(rows) - 1, 1))
            label = str(symbol) if symbol % every == 0 else ""
            traces.append(
                {
                    "type": "scatter",
                    "name": f"symbol {symbol}",
                    "mode": "lines+text" if len(row) > 1 else "markers+text",
                    "x": found[name]["step"],
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
        when = reached(found, name).replace(" (", "<br>(")
        layout["annotations"].append(_title(f"<b>{title}</b><br>RQI &gt; 0.95<br>{when}", sum(across) / 2))
        if step is not None and step <= last:
            layout["shapes"].append(_mark(step, suffix))
    return figure(traces, layout)


def reached(found: dict[str, Any], name: str) -> str:
    """When the RQI passes 0.95 in 'theory' or 'network', in words: a run that ended before says nothing of later."""
    key = {"theory": "predicted", "network": "observed"}[name]
    step, censored = found[f"{key}_step"], found["censored" if name == "network" else "predicted_censored"]
    if step is not None:
        return f"at step {step:,}"
    return f"not by step {found[f'{key}_until']:,} (censored)" if censored else "never"


def shade(share: float) -> str:
    """A colour between two of the theme's hues, for symbols in their order; both pages show it well."""
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in (TEST, TRAIN)]
    mixed = [round(a + share * (b - a)) for a, b in zip(*ends, strict=True)]
    return f"rgb({', '.join(map(str, mixed))})"


def _title(text: str, x: float) -> dict[str, Any]:
    place = {"x": x, "y": 1.02, "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
    return {**place, "text": text, "showarrow": False, "font": {"size": 13, "color": INK}}


def _mark(step: int, suffix: str) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1, "dash": "dot"}
    span = {"x0": step, "x1": step, "y0": 0, "y1": 1, "yref": f"y{suffix} domain", "xref": f"x{suffix}"}
    return {"type": "line", "line": line, **span}
