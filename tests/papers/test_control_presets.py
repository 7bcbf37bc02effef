"""The small systems that examples show."""

from __future__ import annotations

import pytest

import groklab as gl
from amounts import amount


# some 400 steps of a real transformer (three seconds) in the suite, ten seeds in `make test-long`
@pytest.mark.long
def test_micro_transformer_groks_by_few_frequencies(home: object) -> None:
    members = amount(1, 10)
    seed = amount(4, 0)  # 4 is the first to grok
    run = gl.train(gl.preset("micro-transformer", {"seed": seed, "budget.extra_steps": amount(0, 500)}), seeds=members)
    task = gl.tasks.Arithmetic(p=43, layout="a b =", outputs="vocabulary").build()
    for member, outcome in enumerate(run.status.members):
        assert outcome.grokked_step is not None
        assert outcome.memorised_step is not None
        assert outcome.grokked_step >= 5 * outcome.memorised_step
        keys = gl.MEASURES["key_frequencies"](run.weights(member=member), task)["frequencies"]
        assert 1 <= len(keys) <= 6, "of 21"
