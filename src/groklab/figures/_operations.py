"""The operations of a mixture beside each other, by step."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._panels import ACCURACY, Panel, first_and_last_step, in_panels, metric_line, thinned
from groklab.figures._registry import Drawing, figure
from groklab.figures._theme import DASHES, SERIES, Figure, log_heights
from groklab.text import listed, loss_of, percent

#: The panels, from above: what a column of metrics begins with, and its title.
PANELS = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "train_loss": "training loss",
}


@figure(
    "operations",
    title="The operations of the mixture",
    place=40,
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


def operation_curves(metrics: pl.DataFrame, names: Sequence[str]) -> Figure:
    """Draw panels of test and training accuracy and of test and training loss (log), with a line for each operation.

    Args:
        metrics: of one member, columns step, train_accuracy_op0, test_accuracy_op0, train_loss_op0, test_loss_op0, …,
            the losses each operation's own mean; panels whose columns are missing are left out.
        names: the operations'.
    """
    kept = thinned(metrics)
    panels: list[Panel] = []
    for prefix, title in PANELS.items():
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
    return in_panels(panels, *first_and_last_step(kept), top=36)
