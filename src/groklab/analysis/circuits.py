"""What a network computes of a sum modulo p: the one judgement that terminal, JSON and pages repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groklab.measures.grid import Grid
from groklab.text import listed, loss_of, percent

Share = Literal["all", "part", "none"]

#: Shares of the logits' variance from which the sum of cosines is nearly all that a model computes, or a part of it.
COMPUTES, PARTLY = 0.9, 0.5
#: Frequencies that are named one by one.
MANY = 8


def few_stand_out(key_frequencies: Sequence[int], p: int) -> bool:
    """Return whether few frequencies stand out, at most half of all; of an unstructured model the rule names most."""
    return 2 * len(key_frequencies) <= p // 2


@dataclass(frozen=True)
class CircuitAnalysis:
    """A model's final weights, judged by the Fourier components of its logits (Nanda et al. 2023, section 4).

    Args:
        p: the modulus.
        direction: 1 where the answer is a function of a + b, -1 where of a − b.
        formula: what a cosine at the right answer is a function of, such as 'a + b − c'.
        key_frequencies: in ascending order.
        logit_fve: share of the variance of the centred logits that the sum of cosines explains; None where residues
            share answers, so that there is no cosine for each.
        loss: on all pairs, in nats.
        restricted_loss: on all pairs, with the key frequencies of the sum alone.
    """

    p: int
    direction: int
    formula: str
    key_frequencies: tuple[int, ...]
    logit_fve: float | None
    loss: float
    restricted_loss: float

    @classmethod
    def of(cls, grid: Grid, key_frequencies: Sequence[int], final: Mapping[str, Any]) -> CircuitAnalysis:
        """Return the analysis of the values that the measure `progress` gives of a final model."""
        fve = final.get("logit_fve")
        loss, restricted = float(final["loss"]), float(final["restricted_loss"])
        keys = tuple(int(k) for k in key_frequencies)
        return cls(grid.p, grid.direction, grid.formula, keys, None if fve is None else float(fve), loss, restricted)

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out."""
        return few_stand_out(self.key_frequencies, self.p)

    @property
    def share(self) -> Share | None:
        """How much of what the model computes is the sum of cosines; None where that is not defined."""
        if self.logit_fve is None:
            return None
        return "all" if self.logit_fve >= COMPUTES else "part" if self.logit_fve >= PARTLY else "none"

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        keys, n = self.key_frequencies, self.p // 2
        if self.logit_fve is None:
            sign = "+" if self.direction == 1 else "−"
            return (
                f"Residues share answers, so there is no cosine for each; functions of a {sign} b at {len(keys)} "
                f"frequencies ({listed(keys)}) alone have a loss of {loss_of(self.restricted_loss)}, and the complete "
                f"model {loss_of(self.loss)}."
            )
        formula = f"Σ αₖ cos(wₖ({self.formula}))"
        if self.formula.endswith("s(c)"):
            formula += ", where s(c) is the sum that c answers,"
        explains = f"explains {percent(self.logit_fve)} of the variance of its logits"
        if not self.few:
            how = {"all": "it computes by that sum", "part": "it computes partly by that sum"}
            judged = how.get(str(self.share), "it does not compute by that sum")
            return (
                f"No few frequencies stand out: {len(keys)} of the {n} pass the rule, and {formula} over them "
                f"{explains}, so {judged}."
            )
        which = f"k = {listed(keys)}" if len(keys) <= MANY else f"{len(keys)} of {n} frequencies k"
        if self.share == "all":
            return f"It computes {formula} with {which}: that {explains}."
        if self.share == "part":
            return f"It computes partly by {formula} with {which}: that {explains}."
        return f"It does not compute by {formula}: with {which}, the strongest, that {explains}."


def not_applicable(reason: str) -> str:
    """Return the verdict on a model of which none of groklab's analyses holds."""
    return f"Nothing that groklab looks for: {reason}."
