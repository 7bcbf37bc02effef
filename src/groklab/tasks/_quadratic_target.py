"""Regression on the square of one direction of Gaussian inputs (Kumar et al. 2023, arXiv 2310.06110).

https://arxiv.org/abs/2310.06110
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.tasks._portable_random import check_seed, normals


@register("task", "quadratic_target")
class QuadraticTarget:
    """The answer is y = (beta · x)² / 2, for inputs x from N(0, 1/d) and a fixed vector beta of length √d.

    Attributes:
        d_in: dimension d of the inputs.
        examples: how many inputs there are, training and test together.
        data_seed: what inputs and beta are drawn from.
    """

    d_in: Annotated[int, Ge(1), Le(10_000)] = 100
    examples: Annotated[int, Ge(2), Le(100_000)] = 1_450
    data_seed: Annotated[int, Ge(0)] = 0

    def build(self) -> Task:
        """Build the task: `features` (examples, d_in) and `values` (examples, 1), both float64.

        Raises InputError for a seed of 2**64 or more.
        """
        check_seed(self.data_seed, "task.data_seed")
        drawn = normals(self.examples * self.d_in, self.data_seed, "inputs")
        inputs = drawn.reshape(self.examples, self.d_in) / self.d_in**0.5
        direction = normals(self.d_in, self.data_seed, "teacher")
        direction *= self.d_in**0.5 / np.linalg.norm(direction)
        return Task(
            name="quadratic_target",
            inputs=np.zeros((self.examples, 0), np.int32),
            targets=np.zeros(self.examples, np.int32),
            d_vocab=0,
            n_classes=1,
            algebra=Algebra(operation="quadratic_target", n_answers=1),
            features=inputs,
            values=0.5 * (inputs @ direction)[:, None] ** 2,
        )
