"""A kernel machine in one's hands: iterated without a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groklab.components import hyperparameters_of
from groklab.learners.rfm.data import Data
from groklab.learners.rfm.kernels import Array
from groklab.learners.rfm.machine import Fitted

if TYPE_CHECKING:
    from groklab.learners.rfm.learner import RFM


class Iterations:
    """A machine that is iterated by hand. M: its feature matrix (d, d); steps: how many iterations it has gone."""

    def __init__(self, learner: RFM, data: Data, weights: dict[str, Array]) -> None:
        self.learner, self.data, self.weights, self.steps = learner, data, weights, 0

    @property
    def M(self) -> Array:
        """(d, d)."""
        return self.weights["M"]

    def step(self) -> dict[str, float]:
        """The metrics of the machine as it stands, which then goes one iteration on."""
        with self.learner.around():
            self.weights, row = self.learner.step(self.weights, self.data, self._numbers(), True, True)
        self.steps += 1
        return row

    def evaluate(self) -> dict[str, float]:
        """The metrics of the machine as it stands."""
        with self.learner.around():
            return self.learner.step(self.weights, self.data, self._numbers(), True, False)[1]

    def fitted(self) -> Fitted:
        """The kernel machine as it stands, for predictions and AGOPs."""
        return self.learner.fitted(self.M, self.data)[0]

    def _numbers(self) -> dict[str, float]:
        return hyperparameters_of(self.learner, "learner")
