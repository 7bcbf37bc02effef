"""Regression on the outputs of a random network, the teacher."""

from __future__ import annotations

import itertools
from typing import Annotated

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.tasks._portable_random import check_seed, uniform_integers

Reals = npt.NDArray[np.float64]
Width = Annotated[int, Ge(1), Le(10_000)]


@register("task", "teacher_student")
class TeacherStudent:
    """The outputs of a random tanh network, the teacher, for inputs drawn from a standard normal distribution.

    Omnigrok's (Liu, Michaud & Tegmark 2023, arXiv 2210.01117) has `d_in` 5, two hidden layers of 100, `d_out` 5. Every
    weight and bias of the teacher is uniform within +-1/sqrt(fan-in), as PyTorch draws them.

    Attributes:
        examples: how many inputs there are, training and test together.
        teacher_seed, data_seed: what the teacher and the inputs are drawn from.
    """

    d_in: Width = 5
    d_hidden: Width = 100
    n_hidden_layers: Annotated[int, Ge(1)] = 2
    d_out: Width = 5
    examples: Annotated[int, Ge(2), Le(100_000)] = 200
    teacher_seed: Annotated[int, Ge(0)] = 0
    data_seed: Annotated[int, Ge(0)] = 0

    def build(self) -> Task:
        """Build the task: `features` (examples, d_in) and `values` (examples, d_out), both float64.

        Raises InputError for a seed of 2**64 or more.
        """
        check_seed(self.teacher_seed, "task.teacher_seed")
        check_seed(self.data_seed, "task.data_seed")
        from scipy.special import ndtri

        drawn = uniform_integers(self.examples * self.d_in, self.data_seed, "inputs")
        inputs = ndtri(_uniform(drawn)).reshape(self.examples, self.d_in)
        return Task(
            name="teacher_student",
            inputs=np.zeros((self.examples, 0), np.int32),
            targets=np.zeros(self.examples, np.int32),
            d_vocab=0,
            n_classes=self.d_out,
            algebra=Algebra(operation="teacher_student", n_answers=self.d_out),
            features=inputs,
            values=self.answers(inputs),
        )

    def answers(self, inputs: Reals) -> Reals:
        """Return the teacher's outputs (n, d_out) for inputs (n, d_in)."""
        for i, (weight, bias) in enumerate(self.teacher()):
            inputs = (inputs if i == 0 else np.tanh(inputs)) @ weight + bias
        return inputs

    def teacher(self) -> list[tuple[Reals, Reals]]:
        """Return each layer's weights (fan_in, fan_out) and biases (fan_out,)."""
        widths = [self.d_in, *[self.d_hidden] * self.n_hidden_layers, self.d_out]
        sizes = [(a + 1) * b for a, b in itertools.pairwise(widths)]
        drawn = 2 * _uniform(uniform_integers(sum(sizes), self.teacher_seed, "teacher")) - 1
        layers = []
        for part, fan_in in zip(np.split(drawn, np.cumsum(sizes)[:-1]), widths, strict=False):
            matrix = part.reshape(fan_in + 1, -1) / fan_in**0.5
            layers.append((matrix[:-1], matrix[-1]))
        return layers


def _uniform(integers: npt.NDArray[np.uint64]) -> Reals:
    """Return numbers strictly between 0 and 1, from 64-bit integers."""
    return ((integers >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
