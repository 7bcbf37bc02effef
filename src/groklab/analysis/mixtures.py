"""What a model of several operations computes: the one judgement that terminal, JSON and pages repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass

from groklab.analysis.circuits import few_stand_out
from groklab.text import listed, loss_of


@dataclass(frozen=True)
class OperationLoss:
    """One operation's losses on all of its pairs, in nats: its own, and with key frequencies of its sum alone."""

    operation: str
    loss: float
    restricted_loss: float


@dataclass(frozen=True)
class MixtureAnalysis:
    """A model of several operations, judged by what key frequencies alone are worth to each (Furuta et al. 2024).

    Args:
        task: the mixture's name.
        p: the modulus.
        key_frequencies: those that the operations share.
        operations: those whose answer is a function of a + b or a − b; empty where there is none.
    """

    task: str
    p: int
    key_frequencies: tuple[int, ...]
    operations: tuple[OperationLoss, ...]

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        if not self.operations:
            return (
                f"No operation of {self.task} is a function of a + b or a − b, so no loss is restricted to key "
                "frequencies."
            )
        keys, n = self.key_frequencies, self.p // 2
        which = (
            f"the frequencies {listed(keys)}"
            if few_stand_out(keys, self.p)
            else f"{len(keys)} of {n} frequencies, which is not few"
        )
        losses = [
            f"{one.operation} has a loss of {loss_of(one.restricted_loss)} (its own {loss_of(one.loss)})"
            for one in self.operations
        ]
        uniform = loss_of(math.log(self.p))
        return f"Restricted to functions of its sum at {which}, {listed(losses)}; the uniform answer has {uniform}."
