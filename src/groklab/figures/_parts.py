"""The loss of the logits' parts and their combinations (Furuta et al. 2024, table 4 of the first version)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl

from groklab.figures._context import RunContext
from groklab.figures._figure import Figure
from groklab.figures._panels import level, row_layout
from groklab.figures._registry import Drawing, figure
from groklab.figures._taken import final, first_rule, spread
from groklab.figures._theme import TEST, TRAIN, styled, trace
from groklab.measures import PART_NAMES, LogitParts, parts_tables
from groklab.text import loss_of

TITLE = "The parts of the logits"
DEFINITION = (
    "Parts of the logits: key frequencies, their projection on cos and sin of w_k s there, s = a + b or a − b; other "
    "frequencies, that at all others; residual, what is left, the mean over inputs among it. Key frequencies and the "
    "mean have the restricted loss. 'Others needed' counts the other frequencies without any one of which the training "
    "loss rises by more than 1e-9 (Furuta et al. 2024, appendix E)."
)


@figure(
    "logit_parts",
    title=TITLE,
    section="computes",
    place=150,
    applies_to=attrgetter("has_logit_parts"),
    about="The loss of parts of the logits alone and together: key frequencies, other frequencies, and what is left.",
    definitions=(DEFINITION,),
    rows=True,
)
def parts(run: RunContext) -> Iterator[Drawing]:
    """Draw the losses of the parts of the logits, of each operation of a mixture."""
    part = run.circuit.part("logit_parts", LogitParts) if run.logit_parts is None else run.logit_parts
    rule = run.circuit.rule if run.has_circuit else "given"
    tables = parts_tables(part, {"given": rule}, loss_of)
    several = "operations" in part
    for i, operation in enumerate(part["operations"] if several else [""]):
        # the first rule's
        losses = {
            key: np.asarray(part[key])[i, 0] if several else np.asarray(part[key])[0]
            for key in ("train_loss", "test_loss")
            if key in part
        }
        # trained on all inputs, it has no test loss
        missing = np.full(len(part["parts"]), np.nan)
        columns = {key: losses.get(key, missing) for key in ("train_loss", "test_loss")}
        of = f" of {operation}" if several else ""
        sentence = _sentence(dict(zip(part["parts"], columns["train_loss"], strict=True)), of)
        plot = logit_parts(pl.DataFrame({"part": part["parts"]} | columns), run.uniform_loss)
        yield Drawing(sentence, plot, title=TITLE + of, tables=() if i else tables)


def _sentence(train: Mapping[str, float], of: str) -> str:
    return (
        f"Training loss{of} is {loss_of(train['all'])} with everything, {loss_of(train['key'])} with the key "
        f"frequencies alone ({loss_of(train['key_mean'])} with the means), {loss_of(train['key_residual'])} without "
        f"the other frequencies and {loss_of(train['non_key_residual'])} without the key ones."
    )


def logit_parts(frame: pl.DataFrame, uniform: float) -> Figure:
    """Draw the losses on training and test set (log) of each combination of parts that is kept.

    Args:
        frame: columns part (names of the measure `logit_parts`), train_loss, test_loss; a loss that is missing or not
            positive has no mark. Or the measure `logit_parts`, as `gl.take` returns it, by the first rule, at its
            last step.
        uniform: the loss of guessing evenly, a line.
    """
    of_sets = [c for c in ("train_loss", "test_loss") if c in frame.columns]
    frame = final(spread(first_rule(frame, *of_sets), {"part": "parts"} | {c: c for c in of_sets}, ("place", 0)))
    names = [PART_NAMES.get(part, part) for part in frame["part"]]
    losses = {name: frame[f"{name}_loss"].cast(pl.Float64).to_numpy() for name in ("train", "test")}
    traces: list[dict[str, Any]] = (
        [level(uniform, "uniform guessing", [-1, len(frame)], along="y")] if uniform > 0 else []
    )
    for name, colour, symbol in (("train", TRAIN, "circle"), ("test", TEST, "diamond-open")):
        x = np.where(losses[name] > 0, losses[name], np.nan)
        look: dict[str, Any] = {"customdata": names, "marker": {"size": 10, "symbol": symbol}}
        traces.append(
            trace("markers", x, list(range(len(frame))), f"%{{customdata}}: %{{x:.3g}} ({name})", colour, name, **look)
        )
    layout = row_layout(names, [*losses["train"], *losses["test"], uniform], "loss of what is kept (nats)")
    return styled(traces, layout, data=frame)
