"""Components of a user's own take the defaults of their family's base class."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.networks import Network
from groklab.registry import FAMILIES
from groklab.tasks import TaskShape

SHAPE = TaskShape(5, 2, 5, (None, None), n_symbols=5)


def test_a_class_without_a_base_takes_the_defaults_of_its_family() -> None:
    @gl.register("network", "plain")
    class Plain:
        width: int = 3

        def init(self, key: Any, shape: TaskShape, dtype: Any) -> dict[str, Any]:
            return {"embed.W_E": jax.random.normal(key, (shape.d_vocab, self.width), dtype)}

        def apply(self, weights: Any, tokens: Any, shape: TaskShape) -> Any:
            return weights["embed.W_E"][tokens].sum(1)

    network: Any = Plain(width=4)
    assert isinstance(network, Network)
    assert (network.kind, network.reads_features, network.fixed_weights, network.noisy) == ("plain", False, (), False)
    tokens = jnp.zeros((2, 2), jnp.int32)
    np.testing.assert_array_equal(network.prepare(tokens, SHAPE), tokens)
    # two operations for each of 5 * 4 weights and 10 rows
    assert network.flops(SHAPE, 10) == 2 * 10 * 20


def test_what_a_class_defines_stays() -> None:
    @gl.register("objective", "strict")
    class Strict:
        tolerance: float = 0.5

        def per_row(self, logits: Any, targets: Any) -> Any:
            return logits[:, 0]

    objective: Any = Strict()
    assert (objective.tolerance, objective.agop_penalty, objective.of_weights({})) == (0.5, None, None)


@pytest.mark.parametrize(("family", "missing"), [("network", "apply"), ("objective", "per_row"), ("task", "build")])
def test_a_class_that_lacks_a_method_is_refused_by_name(family: str, missing: str) -> None:
    class Empty:
        """Nothing."""

    with pytest.raises(InputError, match=rf"the {family} 'empty' needs a method {missing}\(\)"):
        gl.register(family, "empty")(Empty)
    assert "empty" not in FAMILIES[family]


def test_an_unknown_family_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"family = 'optimizer': unknown \(did you mean optimiser\?\)"):
        gl.register("optimizer", "mine")
    assert "optimizer" not in FAMILIES
