"""The parts of a model's logits on its page: what is kept and what that costs (Furuta et al. 2024, table 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from groklab import figures
from groklab.analysis.circuits import CircuitAnalysis
from groklab.analysis.mixtures import MixtureAnalysis
from groklab.analysis.model import ModelAnalysis
from groklab.measures.logit_parts import parts_tables
from groklab.report.page import Table
from groklab.report.pictures import Picture, picture
from groklab.text import loss_of

MEASURE = "logit_parts"
TITLE = "The parts of the logits"
PARTS = (
    "Parts of the logits: key, their projection on cos and sin of w_k s at the key frequencies, s = a + b or a − b; "
    "non-key, that at all other frequencies; residual, what is left, the means among it; key + bias, the key part and "
    "the means, whose loss is the restricted loss. 'Others needed' counts the other frequencies without any one of "
    "which the training loss rises by more than 1e-9 (Furuta et al. 2024, appendix E).",
)


@dataclass(frozen=True)
class PartsOfLogits:
    """The figures and tables of the parts of a model's logits."""

    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def parts_of_logits(model: ModelAnalysis) -> PartsOfLogits:
    """Draw the parts by the page's own key frequencies and by those of Furuta et al. 2024, of a mixture by the latter.

    Nothing for a model without a modulus.
    """
    if not isinstance(model, CircuitAnalysis | MixtureAnalysis):
        return PartsOfLogits()
    if MEASURE in model.parts:
        parts = model.parts[MEASURE]
        rule = model.rule if isinstance(model, CircuitAnalysis) else "given"
        return PartsOfLogits(_pictures(parts, model.uniform), _tables(parts, rule))
    if isinstance(model, MixtureAnalysis):
        return PartsOfLogits()
    return PartsOfLogits([Picture("parts", TITLE, f"Left out: {model.left_out[MEASURE]}.")])


def _pictures(found: Mapping[str, Any], uniform: float) -> list[Picture]:
    """A figure for each operation, by the first rule."""
    several = "operations" in found
    told = []
    for i, name in enumerate(found["operations"] if several else [""]):
        losses = {
            k: np.asarray(found[k])[i, 0] if several else np.asarray(found[k])[0]
            for k in ("train_loss", "test_loss")
            if k in found
        }
        # of all inputs nothing is left to test on
        empty = np.full(len(found["parts"]), np.nan)
        frame = pl.DataFrame({"part": found["parts"]} | {k: losses.get(k, empty) for k in ("train_loss", "test_loss")})
        of = f" of {name}" if several else ""
        sentence = _sentence(dict(zip(found["parts"], losses.get("train_loss", empty), strict=True)), of)
        drawn = figures.logit_parts(frame, uniform)
        told.append(picture(f"parts{i or ''}", TITLE + of, sentence, drawn, tall=True))
    return told


def _sentence(train: Mapping[str, float], of: str) -> str:
    return (
        f"Training loss{of} is {loss_of(train['all'])} with everything, {loss_of(train['key'])} with the key "
        f"frequencies alone ({loss_of(train['key_mean'])} with the means), {loss_of(train['key_residual'])} without "
        f"the other frequencies and {loss_of(train['non_key_residual'])} without the key ones."
    )


def _tables(found: Mapping[str, Any], rule: str) -> list[Table]:
    return [Table(t.title, t.head, t.rows) for t in parts_tables(found, {"given": rule}, loss_of)]
