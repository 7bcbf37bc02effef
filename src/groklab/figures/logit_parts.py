"""The loss of the logits' parts and their combinations (Furuta et al. 2024, table 4 of the first version)."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab.figures.theme import GRID, INK, MUTED, PAPER, TEST, TRAIN, Figure, figure, legend, log_heights

#: What is kept, in words, by the names of the measure `logit_parts`.
KEPT = {
    "all": "everything",
    "key": "key frequencies",
    "non_key": "other frequencies",
    "residual": "residual",
    "key_non_key": "key and other frequencies",
    "key_residual": "key frequencies and residual",
    "non_key_residual": "other frequencies and residual",
    "key_mean": "key frequencies and the mean",
}


def logit_parts(frame: pl.DataFrame, uniform: float) -> Figure:
    """A row for each combination of parts that is kept, with its loss on the training and the test set (log).

    frame: columns part (names of the measure `logit_parts`), train_loss, test_loss; a loss that is not there, or not
    positive, has no mark. uniform: the loss of guessing evenly, a line.
    """
    n, place = len(frame), list(range(len(frame)))
    losses = {name: frame[f"{name}_loss"].cast(pl.Float64).to_numpy() for name in ("train", "test")}
    seen = [float(v) for values in losses.values() for v in values if v > 0 and np.isfinite(v)]
    seen += [uniform] if uniform > 0 else []
    names = [KEPT.get(part, part) for part in frame["part"]]
    marks = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": np.where(values > 0, values, np.nan),
            "y": place,
            "customdata": names,
            "marker": {"size": 10, "color": colour, "symbol": symbol},
            "hovertemplate": f"%{{customdata}}: %{{x:.3g}} ({name})<extra></extra>",
        }
        for (name, values), colour, symbol in zip(
            losses.items(), (TRAIN, TEST), ("circle", "diamond-open"), strict=True
        )
    ]
    guesses = {
        "type": "scatter",
        "mode": "lines",
        "name": "even guesses",
        "x": [uniform, uniform],
        "y": [-1, n],
        "line": {"color": MUTED, "width": 1.5, "dash": "dot"},
        "hovertemplate": f"{uniform:.3g}<extra></extra>",
    }
    floor, top = min(seen, default=1e-3) / 4, 4 * max(seen, default=1.0)
    # a name above its marks leaves them the whole width, on a phone too
    annotations = [
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "y",
            "y": i,
            "yanchor": "bottom",
            "yshift": 7,
            "text": name,
            "showarrow": False,
            "font": {"size": 12, "color": INK},
            "bgcolor": PAPER,
            "borderpad": 0,
        }
        for i, name in enumerate(names)
    ]
    layout = {
        "height": 90 + 40 * n,
        "xaxis": log_heights(seen, "loss of what is kept (nats)") | {"range": [np.log10(floor), np.log10(top)]},
        "yaxis": {
            "range": [n - 0.4, -0.95],
            "tickvals": place,
            "showticklabels": False,
            "gridcolor": GRID,
            "zeroline": False,
        },
        "annotations": annotations,
        "legend": legend(1.0),
        "margin": {"l": 16, "r": 16, "t": 32, "b": 52},
        "showlegend": True,
    }
    return figure([guesses, *marks] if uniform > 0 else marks, layout)
