"""Hidden progress: accuracy and loss over what the features do meanwhile (Mallinar et al. 2024, figures 2, 3 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from groklab.figures.panels import Panel, stacked
from groklab.figures.theme import (
    FAINT,
    GREEN,
    INK,
    MUTED,
    OLIVE,
    PINK,
    TEST,
    TRAIN,
    Figure,
    figure,
    log_heights,
)
from groklab.measures.circulance import NAMES
from groklab.store.thinning import thin_evenly

#: Pixels of the narrowest plot in which the names of marks may not leave it, and of a letter.
NARROW, LETTER = 260, 6.2


def hidden_progress(
    metrics: pl.DataFrame,
    history: pl.DataFrame,
    orientation: str | None,
    marked: Mapping[str, int | None],
    *,
    loss: str = "loss",
    logarithmic: bool = False,
    points: int = 1200,
) -> Figure:
    """Four panels over the steps: accuracy, loss, circulant deviation, alignment with the final feature matrix.

    metrics: columns step, train_loss, test_loss, train_accuracy, test_accuracy. history: columns step, whole,
    off_block and the deviations (`feature_frames.history_frame`), of which `orientation` is drawn in colour and the
    others faint. marked: steps by their names, a line across all panels each. loss: what it is, with its unit;
    logarithmic: on a logarithmic axis.
    """
    kept = metrics.filter(pl.col("step").is_in(thin_evenly(metrics["step"].unique().sort().to_numpy(), points)))
    kept, history = kept.sort("step"), history.sort("step")
    others = [k for k in NAMES if k != orientation and history[k].null_count() < len(history)]
    deviating = [_line(history, k, NAMES[k], FAINT, "solid", faint=True) for k in others]
    for place, line in enumerate(deviating):
        # one name for all, which a phone has room for; the line itself says which
        line |= {"name": "others", "legendgroup": "others", "showlegend": place == 0}
    if orientation is not None:
        deviating.append(_line(history, orientation, NAMES[orientation], GREEN, "solid"))
    panels: list[Panel] = [
        (
            "accuracy",
            [_line(kept, "train_accuracy", "train", TRAIN, "dash"), _line(kept, "test_accuracy", "test", TEST)],
            {"range": [-0.04, 1.06], "tickformat": ".0%"},
        ),
        (
            loss,
            [_line(kept, f"{s}_loss", s, c, d) for s, c, d in (("train", TRAIN, "dash"), ("test", TEST, "solid"))],
            {"rangemode": "tozero", "nticks": 5},
        ),
        ("deviation", deviating, {"range": [-0.04, 1.06]}),
        (
            "alignment",
            [
                _line(history, "full", "full matrix", OLIVE, "dash"),
                _line(history, "off_block", "off-diagonal block", PINK),
            ],
            {"range": [min(0.0, float(history["off_block"].min() or 0)) - 0.04, 1.06]},  # type: ignore[arg-type]
        ),
    ]
    if logarithmic:
        seen = [float(v) for line in panels[1][1] for v in line["y"]]
        panels[1] = (loss, panels[1][1], log_heights(seen, loss))
    low = min(int(metrics["step"].min() or 0), int(history["step"].min() or 0))  # type: ignore[arg-type]
    high = max(int(metrics["step"].max() or 1), int(history["step"].max() or 1), low + 1)  # type: ignore[arg-type]
    layout = stacked(panels, low, high)
    layout |= _marks({k: s for k, s in marked.items() if s is not None}, low, high, len(panels))
    return figure([line for _, lines, _ in panels for line in lines], layout)


def _line(
    frame: pl.DataFrame, column: str, name: str, colour: str, dash: str = "solid", *, faint: bool = False
) -> dict[str, Any]:
    y = frame[column].cast(pl.Float64).to_numpy().astype(np.float32)
    value = "%{y:.1%}" if column.endswith("accuracy") else "%{y:.3g}"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(frame) <= 60 and not faint else "lines",
        "name": name,
        "legendrank": 1001 if faint else 1000,
        "x": frame["step"].to_numpy(),
        "y": y,
        "line": {"color": colour, "width": 1.25 if faint else 2, "dash": dash},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{name} {value} at step %{{x:,}}<extra></extra>",
    }


def _marks(steps: dict[str, int], low: int, high: int, panels: int) -> dict[str, Any]:
    """Lines across all panels, and their names above, each in a row of its own."""
    shapes, names = [], []
    for row, (name, step) in enumerate(sorted(steps.items(), key=lambda item: -item[1])):
        for i in range(panels):
            suffix = "" if i == 0 else str(i + 1)
            ends = {"type": "line", "xref": "x", "yref": f"y{suffix} domain", "x0": step, "x1": step, "y0": 0, "y1": 1}
            shapes.append({**ends, "line": {"color": MUTED, "width": 1.25, "dash": "dot"}})
        text = f"{name}: {step:,}"
        right = NARROW * (step - low) / max(high - low, 1) + LETTER * len(text) > NARROW
        names.append(
            {
                "xref": "x",
                "yref": "paper",
                "x": step,
                "y": 1,
                "yshift": 22 + 16 * row,
                "yanchor": "bottom",
                "xanchor": "right" if right else "left",
                "text": text,
                "showarrow": False,
                "font": {"size": 12, "color": INK},
            }
        )
    return {"shapes": shapes, "annotations": names}
