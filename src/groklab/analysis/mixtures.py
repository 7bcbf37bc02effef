"""What a model of several operations computes: the one judgement that terminal, JSON and pages repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

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

    @classmethod
    def of(cls, task: str, p: int, key_frequencies: Sequence[int], losses: Sequence[OperationLoss]) -> MixtureAnalysis:
        """Return the analysis of these losses."""
        return cls(task, p, tuple(int(k) for k in key_frequencies), tuple(losses))

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out, at most half of all."""
        return 2 * len(self.key_frequencies) <= self.p // 2

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        if not self.operations:
            return (
                f"No operation of {self.task} is a function of a + b or a − b, so no loss is restricted to key "
                "frequencies."
            )
        keys, n = self.key_frequencies, self.p // 2
        which = f"the frequencies {listed(keys)}" if self.few else f"{len(keys)} of {n} frequencies, which is not few"
        losses = [
            f"{one.operation} has a loss of {loss_of(one.restricted_loss)} (its own {loss_of(one.loss)})"
            for one in self.operations
        ]
        uniform = loss_of(math.log(self.p))
        return f"Restricted to functions of its sum at {which}, {listed(losses)}; the uniform answer has {uniform}."

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, criterion and verdict as plain JSON values."""
        return {**asdict(self), "few": self.few, "verdict": self.verdict()}
