"""Circles in the embedding: its points in the planes of the strongest frequencies (Nanda et al. 2023, section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.figures.theme import CYCLE, FAINT, INK, MUTED, PAPER, Figure, figure, slider

#: Points of a panel that carry their residue in print; the others name it when pointed at.
LABELS = 12
_AROUND = (
    "middle right",
    "top right",
    "top center",
    "top left",
    "middle left",
    "bottom left",
    "bottom center",
    "bottom right",
)


def embedding_planes(frame: pl.DataFrame) -> Figure:
    """Up to four panels, one a frequency: points coloured by residue and joined along the circle, with a slider.

    frame: as `plane_frame` makes it (step, frequency, share, residue, place, x, y).
    """
    frequencies = frame["frequency"].unique(maintain_order=True).to_list()[:4]
    steps = frame["step"].unique().sort().to_list()
    grouped = frame.sort("place").group_by("frequency", "step", maintain_order=True)
    paths = {(k, s): _closed(rows) for (k, s), rows in grouped}
    layout: dict[str, Any] = {
        "height": 340 if len(frequencies) < 3 else 680,
        "annotations": [],
        "showlegend": False,
        "margin": {"l": 12, "r": 12, "t": 32, "b": 12},
        "sliders": [slider(steps)],
    }
    traces = []
    for i, k in enumerate(frequencies):
        x_axis, y_axis = ("x", "y") if i == 0 else (f"x{i + 1}", f"y{i + 1}")
        traces.append({**_points(paths[k, steps[-1]]), "xaxis": x_axis, "yaxis": y_axis})
        reach = 1.18 * max(float(np.nanmax(np.abs(paths[k, s]["xy"]))) for s in steps)
        across, up = _domains(i, len(frequencies))
        blank = {
            "showgrid": False,
            "showline": False,
            "showticklabels": False,
            "zeroline": True,
            "range": [-reach, reach],
            "automargin": False,
        }
        suffix = x_axis[1:]
        layout[f"xaxis{suffix}"] = {**blank, "domain": across, "anchor": y_axis, "constrain": "domain"}
        layout[f"yaxis{suffix}"] = {
            **blank,
            "domain": up,
            "anchor": x_axis,
            "scaleanchor": x_axis,
            "constrain": "domain",
        }
        share = frame.filter(pl.col("frequency") == k)["share"][0]
        layout["annotations"].append(
            {
                "text": f"<b>k = {k}</b> · {share:.0%}",
                "xref": "paper",
                "yref": "paper",
                "x": sum(across) / 2,
                "y": up[1],
                "xanchor": "center",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 13, "color": INK},
            }
        )
    frames = [
        {
            "name": str(s),
            "data": [{"type": "scatter", **_xy(paths[k, s])} for k in frequencies],
            "traces": list(range(len(frequencies))),
        }
        for s in steps
    ]
    return figure(traces, layout, frames)


def _closed(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """The panel's points in the order of the circle, the first again at the end: xy (p + 1, 2), residue (p + 1,)."""
    around = [*range(len(rows)), 0]
    xy = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], axis=1).astype(np.float32)[around]
    return {"xy": xy, "residue": rows["residue"].to_numpy()[around]}


def _xy(path: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"x": np.ascontiguousarray(path["xy"][:, 0]), "y": np.ascontiguousarray(path["xy"][:, 1])}


def _points(path: dict[str, np.ndarray]) -> dict[str, Any]:
    residue = path["residue"]
    p = len(residue) - 1
    every = -(-p // LABELS)
    shown = [f"{n}" if i % every == 0 and i < p else "" for i, n in enumerate(residue)]
    angle = np.arctan2(path["xy"][:, 1], path["xy"][:, 0])
    outward = [_AROUND[round(float(a) / (np.pi / 4)) % 8] if np.isfinite(a) else _AROUND[0] for a in angle]
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        **_xy(path),
        "text": shown,
        "textposition": outward,
        "textfont": {"size": 10, "color": MUTED},
        "customdata": residue,
        "line": {"color": FAINT, "width": 1},
        "marker": {
            "color": residue,
            "cmin": 0,
            "cmax": p,
            "colorscale": [list(stop) for stop in CYCLE],
            "size": 7 if p <= 64 else 5.5,
            "line": {"width": 0.5, "color": PAPER},
        },
        "cliponaxis": False,
        "hovertemplate": "residue %{customdata}<extra></extra>",
    }


def _domains(panel: int, panels: int) -> tuple[list[float], list[float]]:
    """Where a panel stands, [left, right] and [bottom, top] of the whole: two a row, one alone in the middle."""
    if panels == 1:
        return [0.0, 1.0], [0.0, 1.0]
    row, column = divmod(panel, 2)
    across = [0.0, 0.48] if column == 0 else [0.52, 1.0]
    if panels == 2:
        return across, [0.0, 1.0]
    return across, [0.54, 1.0] if row == 0 else [0.0, 0.46]
