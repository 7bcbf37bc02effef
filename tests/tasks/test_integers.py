from __future__ import annotations

import math

import numpy as np
import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.tasks import IntegerPairs, Parity


def test_answers_are_gcds_and_powers() -> None:
    gcd, power = IntegerPairs(p=11).build(), IntegerPairs(p=11, function="power").build()
    pairs = [(x, y) for x in range(11) for y in range(11)]
    assert gcd.inputs[:, :2].tolist() == [list(pair) for pair in pairs]
    assert gcd.targets.tolist() == [math.gcd(x, y) for x, y in pairs]
    assert power.targets.tolist() == [pow(x, y, 11) for x, y in pairs]
    assert (gcd.n_classes, gcd.d_vocab, gcd.algebra.commutative, power.algebra.commutative) == (11, 12, True, False)


@pytest.mark.parametrize(("bits", "relevant"), [(5, None), (6, 2), (4, 4), (1, 1)])
def test_parity_counts_the_first_bits(bits: int, relevant: int | None) -> None:
    task = Parity(bits=bits, relevant=relevant).build()
    words = [format(number, f"0{bits}b") for number in range(2**bits)]
    assert task.inputs.tolist() == [[int(bit) for bit in word] for word in words]
    assert task.targets.tolist() == [word[: relevant or bits].count("1") % 2 for word in words]
    assert (task.d_vocab, task.n_classes, task.n_ctx) == (2, 2, bits)


def test_networks_learn_them(home: object) -> None:
    sizes = {"network.d_mlp": 16, "split.frac_train": 0.6, "budget.steps": 20}
    for task in ({"task.kind": "parity", "task.bits": 6}, {"task.kind": "integers", "task.p": 7}):
        for network in ("mlp", "transformer"):
            kind = {"network.kind": network} | ({"network.d_model": 8} if network == "transformer" else {})
            run = gl.train(gl.read({}, task | sizes | kind))
            assert np.isfinite(run.summary()["train_loss"])


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"task\.relevant.*at most task\.bits = 4"):
        Parity(bits=4, relevant=5).build()
    with pytest.raises(InputError, match=r"task\.p"):
        IntegerPairs(p=100_000).build()
    with pytest.raises(InputError, match=r"task\.function.*lcm"):
        gl.read({}, {"task.kind": "integers", "task.p": 7, "task.function": "lcm"})
