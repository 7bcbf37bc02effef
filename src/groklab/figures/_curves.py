"""Curves of training over the steps: losses, accuracies and norms, those of each operation of a mixture too."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import (
    ACCURACY,
    Panel,
    domain,
    first_and_last_step,
    in_panels,
    joined_lines,
    marks,
    metric_line,
    thinned,
)
from groklab.figures._registry import Drawing, figure
from groklab.figures._theme import (
    DASHES,
    GREEN,
    PINK,
    SERIES,
    TEST,
    TRAIN,
    axis,
    axis_suffix,
    log_axis,
    log_heights,
    styled,
    trace,
)
from groklab.store import thin, thin_evenly
from groklab.text import listed, loss_of, percent

#: Points of one line, and of all members' lines together.
POINTS, ALL_POINTS = 1500, 30_000
STEP = "training step (log scale)"
TOO_FEW = "There are no curves yet: fewer than two evaluations after step 0."
#: Sizes of a kernel machine, by their columns.
SIZES = {"trace": "the trace of M", "weight_norm": "its norm", "condition": "the condition number of the kernel matrix"}
#: The panels, from above: what a column of metrics begins with, and its title.
OPERATION_PANELS = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "train_loss": "training loss",
}


def has_curves(run: RunContext) -> bool:
    """Return whether there are two evaluations after step 0."""
    return run.metrics.filter(pl.col("step") > 0)["step"].n_unique() > 1


@figure(
    "curves",
    title="Loss and accuracy",
    place=20,
    about="Loss and accuracy on the training set and on the test set: a model that groks fits the first long before "
    "the second.",
    applies_to=lambda run: has_curves(run) or run.running,
)
def curves(run: RunContext) -> Drawing:
    """Draw loss and accuracy over the steps."""
    if not has_curves(run):
        return Drawing(TOO_FEW)
    # a kernel machine has few steps, and a training loss of zero
    plot = training_curves(run.metrics, **_events(run), loss=run.loss_name, linear=run.kernel_machine)
    return Drawing(_curves_of_ensemble(run) if run.several else _curves_of_one(run), plot)


@figure(
    "norms",
    title="Norms of weights and gradient",
    place=30,
    about="How large the weights and their gradient are: weight decay shrinks what the loss does not need, and a "
    "kernel machine shows the size of its matrix instead.",
    applies_to=lambda run: has_curves(run) and bool({"grad_norm", "condition"} & set(run.metrics.columns)),
)
def weight_norms(run: RunContext) -> Drawing:
    """Draw norms of weights and gradient, or of a kernel machine its size and conditioning."""
    if {"trace", "condition"} <= set(run.metrics.columns):
        return Drawing(_sizes(run), machine_sizes(run.metrics, **_events(run)), title="Size and conditioning")
    return Drawing(_norms(run), norms(run.metrics, **_events(run)))


@figure(
    "operations",
    title="The operations of the mixture",
    place=40,
    about="The same curves for each operation of a mixture, which need not be learnt at the same time.",
    applies_to=lambda run: (
        run.experiment.network is not None and bool(run.operations) and "test_accuracy_op0" in run.metrics.columns
    ),
    rows=True,
)
def operations(run: RunContext) -> Drawing:
    """Draw accuracy and loss of each operation of a mixture."""
    names, metrics = run.operations, run.member_metrics
    last = metrics.row(-1, named=True)
    accuracies = [f"{name} {percent(last[f'test_accuracy_op{i}'])}" for i, name in enumerate(names)]
    sentence = (
        f"One split of the pairs for all operations. Test accuracy at step {last['step']:,}: {listed(accuracies)}."
    )
    if "test_loss_op0" in last:
        losses = [f"{name} {loss_of(last[f'test_loss_op{i}'])}" for i, name in enumerate(names)]
        sentence += f" Test loss, each operation's own {run.loss_unit}: {listed(losses)}."
    return Drawing(sentence, operation_curves(metrics, names))


def _events(run: RunContext) -> dict[str, int | None]:
    return {event: run.typical_step(event) for event in ("memorised", "grokked")}


def _curves_of_ensemble(run: RunContext) -> str:
    accuracies = [m.test_accuracy for m in run.members if m.test_accuracy is not None]
    if not accuracies:
        return "No member ends with a finite test accuracy."
    low, mid, high = (percent(float(q)) for q in np.quantile(accuracies, [0, 0.5, 1]))
    if low == high:
        return f"At step {run.step:,} every member's test accuracy is {mid}."
    return f"At step {run.step:,} the members' test accuracies run from {low} to {high}, with a median of {mid}."


def _curves_of_one(run: RunContext) -> str:
    rows = run.metrics.filter(pl.col("test_loss").is_finite()).sort("step")
    if rows.is_empty():
        return "No evaluation has a finite test loss."
    start, last = rows.row(0, named=True), rows.row(-1, named=True)
    if run.kernel_machine:
        return (
            f"Test loss goes from {loss_of(start['test_loss'])} to {loss_of(last['test_loss'])} and test accuracy "
            f"from {percent(start['test_accuracy'])} to {percent(last['test_accuracy'])}, while training loss is never "
            f"above {loss_of(rows['train_loss'].max())}."  # type: ignore[arg-type]
        )
    peak = rows.row(int(rows["test_loss"].arg_max() or 0), named=True)
    top, end = loss_of(peak["test_loss"]), loss_of(last["test_loss"])
    summed = f", summed over the {run.summed} operations," if run.summed else ""
    shape = (
        f"Test loss{summed} peaks at {top} at step {peak['step']:,} and ends at {end}"
        if last["test_loss"] < 0.5 * peak["test_loss"]
        else f"Test loss{summed} ends at {end}, not far from its peak of {top} at step {peak['step']:,}"
    )
    return f"{shape}, while training loss ends at {loss_of(last['train_loss'])}."


def _sizes(run: RunContext) -> str:
    last = int(run.metrics["step"].max() or 0)  # type: ignore[arg-type]
    changes = []
    for column, name in SIZES.items():
        ends = [mean_at(run.metrics, column, step) for step in (0, last)]
        if None not in ends:
            first, end = (f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.3g}" for v in ends if v is not None)
            changes.append(f"{name} from {first} to {end}")
    mean = " (means over the members)" if run.several else ""
    return f"Step 0 to {last:,} took {listed(changes)}{mean}." if changes else "No evaluation has finite sizes."


def _norms(run: RunContext) -> str:
    known = run.metrics.filter(pl.col("weight_norm").is_finite())
    if known.is_empty():
        return "No evaluation has a finite norm."
    memorised, grokked = run.typical_step("memorised"), run.typical_step("grokked")
    end = int(known["step"].max())  # type: ignore[arg-type]
    points = [("at the start", 0), ("when memorised", memorised), ("when it generalised", grokked), ("at the end", end)]
    if run.several:
        points[1:3] = [("when half had memorised", memorised), ("when half had generalised", grokked)]
    values = [(when, mean_at(run.metrics, "weight_norm", s)) for when, s in points if s is not None and s <= end]
    norms_then = listed([f"{v:.1f} {when}" for when, v in values if v is not None])
    mean = "mean norm of the members' weights" if run.several else "norm of the weights"
    first, last = (mean_at(run.metrics, "weight_norm", step) for step in (memorised, grokked))
    change = ""
    if first and last and grokked != memorised:
        change = (
            f"; from memorising to generalising it {'fell' if last < first else 'rose'} by {abs(last / first - 1):.0%}"
        )
    return f"The {mean} is {norms_then}{change}."


def mean_at(metrics: pl.DataFrame, column: str, step: int | None) -> float | None:
    """Return the mean over members of a metric at the evaluation nearest to a step; None where it is not finite."""
    if step is None or metrics.is_empty():
        return None
    evaluated = metrics["step"].unique().sort().to_numpy()
    nearest = int(evaluated[np.argmin(np.abs(evaluated - step))])
    value = metrics.filter(pl.col("step") == nearest)[column].mean()
    return float(value) if isinstance(value, float) and np.isfinite(value) else None


def training_curves(
    metrics: pl.DataFrame,
    memorised: int | None = None,
    grokked: int | None = None,
    *,
    loss: str = "loss",
    linear: bool = False,
) -> Figure:
    """Draw the loss (log-log) above accuracy (log-x), of training and test set, with one thin line per member.

    Args:
        metrics: columns step, member, train_loss, test_loss, train_accuracy, test_accuracy. Step 0 is left of a
            logarithmic axis.
        memorised, grokked: steps to mark; of several members those by which half of them have.
        loss: what the loss is, with its unit.
        linear: neither axis is logarithmic, for few steps and losses of zero.
    """
    lines = [
        (f"{split}_{what}", split, colour, panel)
        for panel, what in enumerate(("loss", "accuracy"))
        for split, colour in (("train", TRAIN), ("test", TEST))
    ]
    upper = axis(loss, rangemode="tozero") if linear else axis(loss, type="log")
    axes = (upper, axis("accuracy", tickformat=".0%", range=[-0.03, 1.05]))
    return _in_two_panels(metrics, (memorised, grokked), lines, axes, linear=linear, height=560)


def norms(metrics: pl.DataFrame, memorised: int | None = None, grokked: int | None = None) -> Figure:
    """Draw the Euclidean norm of all weights above that of the gradient (log), with one thin line per member.

    Args:
        metrics: columns step, member, weight_norm, grad_norm.
    """
    lines = [("weight_norm", "weights", GREEN, 0), ("grad_norm", "gradient", PINK, 1)]
    axes = (axis("norm of weights", rangemode="tozero"), axis("norm of gradient", type="log"))
    plot = _in_two_panels(metrics, (memorised, grokked), lines, axes)
    plot.layout.showlegend = False
    return plot


def machine_sizes(metrics: pl.DataFrame, memorised: int | None = None, grokked: int | None = None) -> Figure:
    """Draw trace and norm of a kernel machine's M above the condition number of its kernel matrix (log).

    Args:
        metrics: columns step, member, trace, weight_norm, condition; one thin line per member.
    """
    lines = [("trace", "trace of M", GREEN, 0), ("weight_norm", "norm of M", TEST, 0)]
    lines.append(("condition", "condition number", PINK, 1))
    axes = (axis("size of M", rangemode="tozero"), axis("condition number", type="log"))
    return _in_two_panels(metrics, (memorised, grokked), lines, axes, linear=True)


def accuracy_overlay(frame: pl.DataFrame, points: int = POINTS) -> Figure:
    """Draw test accuracy over the steps (log), with one colour and dash per run and one thin line per member.

    Args:
        frame: columns run (its name), member, step, test_accuracy.
        points: of each run's lines, about.
    """
    heights = axis("test accuracy", tickformat=".0%", range=[-0.03, 1.05])
    return _overlay(frame, "test_accuracy", heights, "%{y:.2%}", points)


def loss_overlay(frame: pl.DataFrame, points: int = POINTS) -> Figure:
    """Draw test loss over the steps, both logarithmic; the arguments are those of `accuracy_overlay`.

    Args:
        frame: columns run (its name), member, step, test_loss.
        points: of each run's lines, about.
    """
    positive = frame.filter(pl.col("test_loss") > 0)
    heights = log_heights(positive["test_loss"].to_list(), "test loss")
    return _overlay(positive, "test_loss", heights, "%{y:.3g}", points)


def _overlay(frame: pl.DataFrame, column: str, heights: dict[str, Any], value: str, points: int) -> Figure:
    """Draw a metric of several runs; value: how it is shown where the pointer is."""
    after = frame.filter(pl.col("step") > 0)
    low, high = int(after["step"].min() or 1), int(after["step"].max() or 10)  # type: ignore[arg-type]
    traces: list[dict[str, Any]] = []
    for i, ((run,), rows) in enumerate(after.group_by("run", maintain_order=True)):
        members, name = rows["member"].n_unique(), html.escape(str(run))
        kept = thin(rows["step"].unique().sort().to_numpy(), max(150, points // members))
        line = {"dash": DASHES[i % len(DASHES)], "width": 2.25 if members == 1 else 1.25}
        points_of = joined_lines(rows.filter(pl.col("step").is_in(kept)), column, "member")
        hover, opacity = f"{name}<br>step %{{x:,}}: {value}", 1 if members == 1 else 0.75
        colour = SERIES[i % len(SERIES)]
        traces.append(trace("lines", **points_of, hover=hover, colour=colour, name=name, line=line, opacity=opacity))
    layout = {
        "height": 420,
        "xaxis": log_axis(low, max(high, low + 1), STEP),
        "yaxis": heights,
        "margin": {"t": 40},
        "showlegend": True,
    }
    return styled(traces, layout, data=after.select("run", "member", "step", column))


def operation_curves(metrics: pl.DataFrame, names: Sequence[str]) -> Figure:
    """Draw panels of test and training accuracy and of test and training loss (log), with a line for each operation.

    Args:
        metrics: of one member, columns step, train_accuracy_op0, test_accuracy_op0, train_loss_op0, test_loss_op0, …,
            the losses each operation's own mean; panels whose columns are missing are left out.
        names: the operations'.
    """
    kept = thinned(metrics)
    panels: list[Panel] = []
    for prefix, title in OPERATION_PANELS.items():
        columns = [f"{prefix}_op{i}" for i in range(len(names))]
        if not set(columns) <= set(kept.columns):
            continue
        is_loss = prefix.endswith("loss")
        lines = [
            metric_line(
                kept,
                column,
                name,
                SERIES[i % len(SERIES)],
                dash=DASHES[i // len(SERIES) % len(DASHES)],
                positive=is_loss,
                markers=0,
                legendgroup=name,
                # the operations are the same in all panels: one legend names them
                showlegend=not panels,
            )
            for i, (column, name) in enumerate(zip(columns, names, strict=True))
        ]
        values = [float(v) for line in lines for v in line["y"]]
        panels.append((title, lines, log_heights(values, title) if is_loss else ACCURACY))
    return in_panels(panels, *first_and_last_step(kept), top=36, data=_by_operation(metrics, names))


def _by_operation(metrics: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return columns step, operation and those of OPERATION_PANELS that there are, one row per step and operation."""
    parts = []
    for i, name in enumerate(names):
        columns = {p: f"{p}_op{i}" for p in OPERATION_PANELS if f"{p}_op{i}" in metrics.columns}
        own = metrics.select("step", **{p: pl.col(c) for p, c in columns.items()})
        parts.append(own.insert_column(1, pl.lit(name).alias("operation")))
    return pl.concat(parts) if parts else metrics.select("step")


def _in_two_panels(
    metrics: pl.DataFrame,
    events: tuple[int | None, int | None],
    lines: Sequence[tuple[str, str, str, int]],
    axes: Sequence[dict[str, Any]],
    *,
    linear: bool = False,
    height: int = 480,
) -> Figure:
    """Draw metrics over the steps in two panels, with one line per member.

    Args:
        metrics: columns step, member, and those of the lines.
        events: the steps of memorising and grokking, which are marked.
        lines: column, name, colour and panel (0 or 1).
        axes: settings of the panels' vertical axes; a logarithmic one gets its ticks from its lines.
        linear: the axis of steps is not logarithmic, and has step 0.
    """
    members = max(metrics["member"].n_unique(), 1)
    points = max(200, min(POINTS, ALL_POINTS // members))
    if linear:
        kept = thin_evenly(metrics["step"].unique().sort().to_numpy(), points) or [0, 10]
    else:
        after = metrics.filter(pl.col("step") > 0)["step"].unique().sort().to_numpy()
        kept = (thin(after, points, events) if len(after) else []) or [1, 10]
    low, high = kept[0], max(kept[-1], kept[0] + 1) if linear else kept[-1]
    frame = metrics.filter(pl.col("step").is_in(kept)).sort("member", "step")
    half, pad = "half " if members > 1 else "", 0.015 * (high - low)
    even = {"range": [low - pad, high + pad], "tickformat": ","}
    lower = axis("step", **even) if linear else log_axis(low, high, STEP)
    layout: dict[str, Any] = {
        "height": height,
        "xaxis": {**(even if linear else log_axis(low, high)), "anchor": "y", "matches": "x2", "showticklabels": False},
        "xaxis2": {**lower, "anchor": "y2"},
        # between the panels, where no line and no name of a step can meet it
        "legend": {"orientation": "h", "x": 0, "y": 0.5, "yanchor": "middle", "xanchor": "left"},
        "margin": {"l": 68, "t": 56},
        "hovermode": "x unified" if members == 1 else "closest",
        **marks({f"{half}memorised": events[0], f"{half}generalised": events[1]}, low, high, 2, linear=linear),
    }
    traces = []
    for panel, scale in enumerate(axes):
        suffix = axis_suffix(panel)
        own = [(column, name, colour) for column, name, colour, place in lines if place == panel]
        if scale.get("type") == "log":
            values = [v for column, *_ in own for v in frame[column].to_list() if v is not None]
            scale = log_heights(values, scale["title"]["text"])
        layout[f"yaxis{suffix}"] = {**scale, "domain": domain(1 - panel, 2, 0.08), "anchor": f"x{suffix}"}
        for column, name, colour in own:
            line = _members_lines(frame, column, name, colour, members, panel)
            # the first panel's legend names the lines of both, where they are the same
            traces.append({**line, "showlegend": panel == 0})
    return styled(traces, layout, data=metrics.select("step", "member", *dict.fromkeys(c for c, *_ in lines)))


def _members_lines(
    frame: pl.DataFrame, column: str, name: str, colour: str, members: int, panel: int
) -> dict[str, Any]:
    """Return all members' lines of a metric as one trace."""
    several = members > 1
    points: dict[str, Any] = joined_lines(frame, column, "member")
    if not several:
        del points["customdata"]
    if column.endswith(("loss", "grad_norm")):
        # zero and below have no place on a logarithmic axis
        points["y"] = np.where(points["y"] > 0, points["y"], np.float32(np.nan))
    value = "%{y:.2%}" if column.endswith("accuracy") else "%{y:.4g}"
    whose = "<br>member %{customdata}, step %{x:,}" if several else ""
    look = {"color": colour, "width": 1.25 if several else 2.25}
    opacity = max(0.3, 0.9 - 0.02 * members) if several else 1
    settings: dict[str, Any] = {"name": name, "panel": panel, "legendgroup": name, "line": look, "opacity": opacity}
    return trace("lines", hover=f"{name} {value}{whose}", **settings, **points)
