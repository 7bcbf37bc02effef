"""Measures of one's own, over the checkpoints of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis import measure_models
from groklab.errors import InputError
from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._heatmaps import heatmap
from groklab.figures._panels import Panel, first_and_last_step, in_panels, metric_line
from groklab.figures._registry import Drawing, figure
from groklab.figures._theme import SEQUENTIAL, SERIES, axis, styled
from groklab.measures import Measure, own_measures
from groklab.tasks import make_split
from groklab.text import listed

#: Numbers that are drawn and named, and lists of numbers that are drawn.
MOST_LINES, MOST_MAPS = 18, 4


def _applies(run: RunContext) -> bool:
    return bool(own_measures()) and run.task is not None and bool(run.checkpoints)


@figure(
    "own_measures",
    title="Measures of your own",
    place=900,
    applies_to=_applies,
    about="The measures that plug-ins and notebooks have registered, at the kept checkpoints.",
)
def own(run: RunContext) -> Iterator[Drawing]:
    """Draw each measure that is not groklab's own."""
    for measure in own_measures():
        try:
            yield from _drawings(run, measure, _frame_of(run, measure))
        except InputError as error:
            yield Drawing(f"Left out: {error}.", title=measure.name)
        except Exception as error:
            # a plug-in's measure must not cost the page
            yield Drawing(f"Left out: its function raised {type(error).__name__}: {error}.", title=measure.name)


def _frame_of(run: RunContext, measure: Measure[Mapping[str, Any]]) -> pl.DataFrame:
    assert run.task is not None
    experiment = run.experiment
    models = [(step, run.checkpoints[step]) for step in run.slider_steps]
    split = make_split(experiment.split, run.task, experiment.seed)
    return measure_models(measure, models, run.task, experiment.model, split, run.final_weights)


def _drawings(run: RunContext, measure: Measure[Mapping[str, Any]], frame: pl.DataFrame) -> Iterator[Drawing]:
    types = frame.schema
    scalars = [k for k, t in types.items() if k != "step" and t.is_numeric()]
    lists = [k for k, t in types.items() if isinstance(t, pl.List) and t.inner.is_numeric()]
    others = [k for k in types if k not in ("step", *scalars, *lists[:MOST_MAPS])]
    last = frame.tail(1).to_dicts()[0]
    values = [f"{name} is {last[name]:.4g}" for name in scalars[:6] if last[name] is not None]
    sentences = [f"{run.whose}{measure.about}"]
    if values:
        sentences.append(f"At step {last['step']:,} {listed(values)}.")
    if others or len(scalars) > MOST_LINES:
        sentences.append(f"Not drawn: {listed([*scalars[MOST_LINES:], *others])}.")
    drawn = scalars[:MOST_LINES]
    yield Drawing(" ".join(sentences), measure_lines(frame.select("step", *drawn)) if drawn else None, measure.name)
    for name in lists[:MOST_MAPS]:
        yield Drawing(
            f"Each column is a checkpoint, each row one of the numbers of {name}.",
            measure_map(frame, name),
            f"{measure.name}: {name}",
        )


def measure_lines(frame: pl.DataFrame) -> Figure:
    """Draw named numbers over the steps, at most six in one panel.

    Args:
        frame: columns step and one per number.
    """
    names = [k for k in frame.columns if k != "step"]
    groups = [names[i : i + len(SERIES)] for i in range(0, len(names), len(SERIES))]
    panels: list[Panel] = [
        ("value", [metric_line(frame, k, k, colour) for k, colour in zip(group, SERIES, strict=False)], {})
        for group in groups
    ]
    return in_panels(panels, *first_and_last_step(frame), data=frame)


def measure_map(frame: pl.DataFrame, name: str) -> Figure:
    """Draw a list of numbers at each checkpoint as a heat map.

    Args:
        frame: columns step and `name`, a list of numbers.
    """
    rows = frame.filter(pl.col(name).is_not_null()).select("step", name)
    longest = int(rows[name].list.len().max() or 0)  # type: ignore[arg-type]
    z = np.full((longest, len(rows)), np.nan, np.float32)
    for column, values in enumerate(rows[name].to_list()):
        z[: len(values), column] = [np.nan if v is None else v for v in values]
    steps = [f"{step:,}" for step in rows["step"]]
    colours: dict[str, Any] = {"colorscale": [list(pair) for pair in SEQUENTIAL], "colorbar": {"thickness": 12}}
    hover = f"{name} %{{y}} at step %{{x}}: %{{z:.4g}}"
    layout = {
        "height": 380,
        "xaxis": axis("step", type="category", showgrid=False),
        "yaxis": axis(f"place in {name}", showgrid=False),
    }
    data = rows.with_columns(pl.int_ranges(pl.col(name).list.len()).alias("place")).explode(name, "place")
    return styled([heatmap(z, hover, x=steps, **colours)], layout, data=data)
