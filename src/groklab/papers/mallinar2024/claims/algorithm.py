"""The Fourier multiplication algorithm, and the theorem that kernel machines of circulant features compute it."""

from __future__ import annotations

import numpy as np

from groklab.device import threads
from groklab.learners.rfm.kernels import kernel_of
from groklab.learners.rfm.machine import fit
from groklab.learners.rfm.points import Pairs, Rows
from groklab.papers.mallinar2024.claims.common import indefinite
from groklab.reproduction import Bench, Claim, Finding, Trial

PRIMES = (5, 7, 11, 13)


def fourier(p: int) -> np.ndarray:
    """(p, p) the unitary discrete Fourier transform, F_jk = exp(−2πi jk / p) / √p."""
    j = np.arange(p)
    return np.asarray(np.exp(-2j * np.pi * np.outer(j, j) / p) / np.sqrt(p))


def subtract_by_fourier(p: int, index: np.ndarray) -> np.ndarray:
    """(p, p, p) √p <F e_a · F e_index[l], F e_b> for a, b and classes l, with <u, v> = u' conj(v).

    The paper prints index p − l − 1; with (p − l) mod p this is 1 where a − b = l mod p and 0 elsewhere.
    """
    f = fourier(p)
    return np.asarray(np.sqrt(p) * np.einsum("ka,kl,kb->abl", f, f[:, index], f.conj()).real)


def add_by_fourier(p: int) -> np.ndarray:
    """(p, p, p) √p <F e_a · F e_b, F e_l>: 1 where a + b = l mod p."""
    f = fourier(p)
    return np.asarray(np.sqrt(p) * np.einsum("ka,kb,kl->abl", f, f, f.conj()).real)


def _algorithm(bench: Bench, seed: int) -> Finding:
    with threads(1):  # small products in several threads wait for each other
        return _compared(bench, seed)


def _compared(bench: Bench, seed: int) -> Finding:
    generator = np.random.default_rng(seed)
    off = {"coefficients": 0.0, "on_pairs": 0.0, "anywhere": 0.0, "algorithm": 0.0, "addition": 0.0}
    printed: list[int] = []
    conditions: list[float] = []
    for p in PRIMES:
        bench.check_time()
        a, b, c = np.indices((p, p, p))
        right = ((a - b - c) % p == 0).astype(float)
        backwards = -np.arange(p)
        own = subtract_by_fourier(p, backwards % p)
        off["algorithm"] = max(off["algorithm"], np.abs(own - right).max())
        sums = np.abs(add_by_fourier(p) - ((a + b - c) % p == 0)).max()
        off["algorithm"] = max(off["algorithm"], sums)
        as_printed = subtract_by_fourier(p, (backwards - 1) % p)
        printed.append(int((as_printed.argmax(axis=2) == right.argmax(axis=2)).sum()))
        for k, v in _machine(p, own, generator, False, conditions).items():
            off[k] = max(off[k], v)
        off["addition"] = max(off["addition"], *_machine(p, add_by_fourier(p), generator, True, conditions).values())
    values = {f"largest_deviation_{k}": v for k, v in off.items()}
    values |= {"right_as_printed": sum(printed), "condition_over_p_plus_1": max(conditions)}
    said = f"deviates by at most {max(off.values()):.0e}; with the index as printed {sum(printed)} pairs are right"
    holds = max(off.values()) < 1e-13 and sum(printed) == 0
    return Finding(values, holds, said)


def _machine(
    p: int, wanted: np.ndarray, generator: np.random.Generator, adds: bool, conditions: list[float]
) -> dict[str, float]:
    """How far quadratic kernel machines, one a class on all p² pairs, are from the theorem's closed forms.

    wanted: (p, p, p) what the Fourier algorithm gives on pairs. Appends the condition of the kernel matrix over p + 1.
    """
    first, second = (v.ravel() for v in np.indices((p, p)))
    pairs, kernel = Pairs(first, second, p), kernel_of("quadratic", 1.0)
    rows = Rows(pairs.dense(float))
    i = np.arange(p)
    shift = (i[None, :] - i[:, None] == 1) | (i[None, :] - i[:, None] == 1 - p)
    # classes of a sum: the circulant read backwards
    turned = (i[:, None] + i[None, :]) % p == 0
    anywhere = generator.normal(size=(50, 2 * p))
    x1, x2 = anywhere[:, :p], anywhere[:, p:]
    rest = (anywhere**2).sum(1) / (2 * p + 2) - x1.sum(1) * x2.sum(1) / (p + 1)
    off = {"coefficients": 0.0, "on_pairs": 0.0, "anywhere": 0.0}
    for label in range(p):
        block = np.linalg.matrix_power(shift.astype(float), label)
        block = block @ turned if adds else block
        metric = np.block([[np.zeros((p, p)), block], [block.T, np.zeros((p, p))]])
        answers = ((first + second - label) % p == 0) if adds else ((first - second - label) % p == 0)
        right, room = answers[:, None] * 1.0, np.empty((p * p, p * p))
        with indefinite():
            machine, solution = fit(kernel, pairs, right, metric, 0.0, room)
            # by products instead of look-ups, as its inputs are then any
            of_any, _ = fit(kernel, rows, right, metric, 0.0, room)
        target = answers.reshape(p, p).astype(float)
        # W = M A M holds the block B a' B in its upper right, which is to be the target
        exact = 0.5 * (block.T @ target @ block.T).T - 1 / (2 * p + 2)
        if not adds:
            cubed = np.linalg.matrix_power(shift.astype(float), 3 * label)
            assert np.array_equal(exact, 0.5 * cubed - 1 / (2 * p + 2))
        off["coefficients"] = max(off["coefficients"], np.abs(solution.coefficients.reshape(p, p) - exact).max())
        on_pairs = machine.predict(pairs).reshape(p, p)
        off["on_pairs"] = max(off["on_pairs"], np.abs(on_pairs - wanted[:, :, label]).max())
        closed = np.einsum("na,ab,nb->n", x1, target, x2) + rest
        off["anywhere"] = max(off["anywhere"], np.abs(of_any.predict(Rows(anywhere))[:, 0] - closed).max())
        sizes = np.abs(np.linalg.eigvalsh((rows.x @ metric @ rows.x.T) ** 2))
        conditions.append(float(sizes.max() / sizes.min() / (p + 1)))
    return off


_SETTING = (
    "Exact linear algebra for p = 5, 7, 11 and 13, in double precision: kernel machines on all p² pairs, one a class, "
    "by the learner's own solver, against the closed forms on all pairs and on 50 points of normal noise."
)

CLAIMS = [
    Claim(
        id="fourier-multiplication",
        claim="A quadratic kernel machine with one circulant a class computes the Fourier multiplication algorithm.",
        source="theorem 5.1 and its proof",
        expected="coefficients ½ C^3l − 11'/(2p + 2), and the algorithm's answers on all pairs, to 1e-13",
        counter="The algorithm's index for subtraction is printed as p − l − 1, with which no pair is right: it is "
        "(p − l) mod p. Off the pairs the machine has a further term, (|x1|² + |x2|²)/(2p + 2) − (1'x1)(1'x2)/(p + 1), "
        "the same for all classes.",
        quick=Trial(setting=_SETTING, seeds=3, cost=3, run=_algorithm),
        full=Trial(setting=_SETTING, seeds=3, cost=3, run=_algorithm),
    )
]
