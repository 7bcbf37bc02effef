"""Draw the pictures of the documentation: `python docs/pictures.py`, or with names of pictures only those.

They are kept in git, in docs/assets/: one for each figure of a run's page, and those of the lesson. The runs that they
show are trained once and kept in .venv/pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import groklab as gl
from groklab.sweeps import study
from groklab.tasks import make_split

DOCS = Path(__file__).parent
ASSETS = DOCS / "assets"
HOME = DOCS.parent / ".venv" / "pictures"
#: The runs to draw each figure of, the first that has it: name, what is trained, settings, members.
RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "transformer": ("demo", {"name": "demo"}, 1),
    "kernel": ("rfm-small", {}, 1),
    "mixture": ("furuta2024/mixture-add-multiply", {"task.p": 23, "budget.steps": 2000}, 1),
    "ensemble": ("micro", {}, 10),
    "micro": ("micro", {}, 1),
}
FRACTIONS, DECAYS, SEEDS = (0.3, 0.4, 0.5, 0.65, 0.8), (0, 0.5, 1, 2, 4), 3
#: How large a picture is.
PAGE: dict[str, Any] = {"width": "page", "dpi": 150}


@gl.measure("effective_rank")
def effective_rank(weights: dict[str, Any], task: Any, train_rows: Any = None) -> dict[str, Any]:
    """Effective rank of each matrix: the exponential of the entropy of its squared singular values."""
    ranks = {}
    for name, matrix in weights.items():
        if matrix.ndim == 2:
            share = np.linalg.svd(matrix, compute_uv=False) ** 2
            share = share / share.sum()
            ranks[name] = np.exp(-(share * np.log(share + 1e-30)).sum())
    return ranks


@cache
def run(name: str) -> gl.Run:
    """Return one of RUNS."""
    preset, settings, seeds = RUNS[name]
    return gl.train(preset, {"name": name, **settings}, seeds=seeds, view=None, home=HOME)


def figures() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Return the figures of a run's page, each of the first run that has it, and those of a sweep."""
    for name in gl.figures.list_figures().names:
        yield name, partial(of_first, name)
    yield "phase_diagram", phase_diagram


def of_first(name: str) -> Any:
    """Draw a figure of the first of RUNS that has it."""
    for source in RUNS:
        if name in run(source).plot().names:
            return run(source).plot[name]()
    raise LookupError(f"no run of {list(RUNS)} has the figure {name}")


def phase_diagram() -> Any:
    """Draw the map of a small sweep."""
    grid = {"optimiser.weight_decay": [0, 0.5, 1, 2, 4], "optimiser.learning_rate": [0.001, 0.003, 0.01, 0.03, 0.1]}
    sweep = gl.sweep("micro-fast", grid, seeds=2, name="map", view=None, home=HOME)
    studied = study(sweep, gap=200)
    return gl.figures.phase_diagram(studied.frame(), studied.axes.x, studied.axes.y)


def lesson() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Return the pictures of the lesson."""
    yield "table", table
    yield "curves", lambda: run("micro").plot.curves()
    yield "fraction", lambda: compared("split.frac_train", {f"{v:.0%}": v for v in FRACTIONS})
    yield "decay", lambda: compared("optimiser.weight_decay", {f"decay {v:g}": v for v in DECAYS})
    yield "seeds", lambda: overlay({"ten seeds": run("ensemble")})
    yield "circles", lambda: run("transformer").plot.circles()
    yield "stages", lambda: run("transformer").plot.stages()


def table() -> Any:
    """Draw the table of addition mod 23, with the training pairs of the preset `micro`."""
    experiment = gl.preset("micro")
    task = experiment.task.build()
    rows = make_split(experiment.split, task, experiment.seed).train
    p = experiment.task.p
    shown = np.zeros(p * p)
    shown[rows] = 1
    cells = {
        "type": "heatmap",
        "z": shown.reshape(p, p),
        "colorscale": [[0, "#FFFFFF"], [1, "#BFD9EC"]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
    }
    ends = {"showgrid": False, "zeroline": False, "dtick": 2}
    axes = {
        "xaxis": {"title": {"text": "b"}, **ends},
        "yaxis": {"title": {"text": "a"}, "autorange": "reversed", **ends},
    }
    return gl.figures.styled([cells], {"height": 560, **axes})


def compared(setting: str, values: dict[str, Any]) -> Any:
    """Draw test accuracy at several values of one setting, three seeds each."""
    runs = {}
    for label, value in values.items():
        settings = {"name": f"{setting.split('.')[1]}-{value}", setting: value}
        runs[label] = gl.train("micro", settings, seeds=SEEDS, view=None, home=HOME)
    return overlay(runs)


def overlay(runs: dict[str, gl.Run]) -> Any:
    """Draw the test accuracy of runs over each other."""
    columns = [pl.lit(name).alias("run") for name in runs]
    frames = [
        run.metrics.select(column, "member", "step", "test_accuracy")
        for run, column in zip(runs.values(), columns, strict=True)
    ]
    return gl.figures.accuracy_overlay(pl.concat(frames))


def write(names: list[str]) -> Iterator[Path]:
    """Draw all pictures, or those of some names, such as 'lesson/table'."""
    for folder, pictures in (("figures", figures()), ("lesson", lesson())):
        (ASSETS / folder).mkdir(parents=True, exist_ok=True)
        for name, draw in pictures:
            if not names or f"{folder}/{name}" in names:
                yield draw().save(ASSETS / folder / f"{name}.png", **PAGE)


if __name__ == "__main__":
    for path in write(sys.argv[1:]):
        print(f"{path.relative_to(DOCS)}: {path.stat().st_size / 1000:.0f} kB", flush=True)
