"""Claims on features: those that kernel machines learn, those that are planted, and the algorithm they compute."""

from __future__ import annotations

import numpy as np

from groklab.device import threads
from groklab.experiment import preset
from groklab.learners import RFM, Pairs, Rows, fit, kernel_of
from groklab.measures import alignment, blocks, deviations, fit_identity_and_ones
from groklab.papers.mallinar2024.claims.runs import (
    INITIAL,
    ITERATIONS,
    KERNELS,
    RANDOM_MACHINES,
    SETTING,
    WRONG,
    Machine,
    accuracy,
    data_of,
    indefinite,
    machines,
    of_all,
    random_machines,
    solved,
    trials,
    worst,
)
from groklab.papers.mallinar2024.presets import OPERATIONS
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values
from groklab.tasks import ORIENTATIONS, Task, circulant, log_order, make_split
from groklab.training import build_task

AT = (0, 4, 8, 12, 29)


def _progress(machine: Machine) -> Values:
    """How a machine's circulant deviation falls, while test loss and accuracy do not move."""
    orientation = _orientation(machine)
    path = machine.after_updates(f"circulant_deviation.{orientation}")
    wrong = machine.after_updates(f"circulant_deviation.{WRONG[orientation]}")
    loss = machine.curve("test_loss")
    return {
        "least_share_of_falling_iterations": float(np.mean(np.diff(path[1:]) < 0)),
        f"largest_share_left_at_{INITIAL}": float(path[INITIAL] / path[1]),
        "largest_at_29": float(path[-1]),
        "least_of_wrong_orientation_from_1_on": float(wrong[1:].min()),
        f"largest_loss_change_to_{INITIAL}": float(np.abs(loss[: INITIAL + 1] / loss[0] - 1).max()),
        f"largest_accuracy_at_{INITIAL}": float(machine.curve("test_accuracy")[INITIAL]),
    }


def _orientation(machine: Machine) -> str:
    """The operation's own orientation; with random labels the one that the block comes closest to."""
    if machine.operation in OPERATIONS:
        return machine.orientation
    ends = {o: float(machine.after_updates(f"circulant_deviation.{o}")[-1]) for o in ORIENTATIONS}
    return min(ends, key=lambda o: ends[o])


def _deviation(trainer: Trainer, seed: int) -> Outcome:
    made = machines(trainer, seed)
    values = worst([_progress(m) for m in made])
    control = worst([_progress(m) for m in random_machines(trainer, seed)])
    sentence = _progress_in_words(values)
    for kernel in KERNELS:
        paths = [m.after_updates(f"circulant_deviation.{m.orientation}") for m in made if m.kernel == kernel]
        values |= {f"{kernel}_after_{t}": float(np.median([v[t] for v in paths])) for t in AT}
    return Outcome(values, sentence=sentence, control=control)


def _progress_in_words(values: Values) -> str:
    return (
        f"at iteration {INITIAL} at most {values[f'largest_share_left_at_{INITIAL}']:.0%} of that of 1 is left and "
        f"{values['largest_at_29']:.3f} in the end, where the test loss has changed by at most "
        f"{values[f'largest_loss_change_to_{INITIAL}']:.1%}; the wrong orientation stays above "
        f"{values['least_of_wrong_orientation_from_1_on']:.2f}"
    )


#: Random orders that a block is put in for comparison.
RANDOM_ORDERS = 20


def _logarithms(trainer: Trainer, seed: int) -> Outcome:
    values: Values = {}
    plain, ordered, shuffled = [], [], []
    generator = np.random.default_rng(seed)
    for m in machines(trainer, seed):
        if not m.orientation.endswith("_log"):
            continue
        before = np.minimum(*(m.after_updates(f"circulant_deviation.{o}") for o in ORIENTATIONS[:2]))
        after = m.after_updates(f"circulant_deviation.{m.orientation}")
        plain.append(float(before[1:].min()))
        ordered.append(float(after[-1]))
        shuffled.append(in_random_orders(blocks(m.matrix(ITERATIONS - 1))[2], generator))
        values |= {f"{m.kernel}_{m.operation}_in_order_after_{t}": float(after[t]) for t in (0, 29)}
    least = min(plain)
    values |= {"largest_in_order_at_29": max(ordered), "least_as_it_is_from_1_on": least}
    sentence = (
        f"as it is never below {least:.2f} from iteration 1 on; in order {of_all(ordered)} at last, in the best of "
        f"{RANDOM_ORDERS} random orders {min(shuffled):.2f}"
    )
    control = {"largest_in_order_at_29": min(shuffled), "least_as_it_is_from_1_on": least}
    return Outcome(values, sentence=sentence, control=control)


def in_random_orders(block: np.ndarray, generator: np.random.Generator) -> float:
    """Return the least circulant deviation of a block (p, p) without zero in `RANDOM_ORDERS` random orders."""
    orders = [1 + generator.permutation(len(block) - 1) for _ in range(RANDOM_ORDERS)]
    each = [deviations(block[np.ix_(order, order)]) for order in orders]
    return min(min(d["toeplitz"], d["hankel"]) for d in each)


def _aligned(made: list[Machine]) -> Values:
    """How feature matrices come closer to the final one, whole and their off-diagonal block alone."""
    values: Values = {}
    quiet = max(float(m.curve("test_accuracy")[8]) for m in made)
    for name in ("full", "block"):
        alignments = np.array([[_aligned_at(m, t, name) for t in AT] for m in made])
        values[f"{name}_least_rise"] = float(np.diff(alignments, axis=1).min())
        gone = (alignments[:, 2] - alignments[:, 0]) / (1 - alignments[:, 0])
        values[f"{name}_least_share_gone_at_8"] = float(gone.min())
        values[f"{name}_least_at_12"] = float(alignments[:, 3].min())
        for kernel in KERNELS:
            own = np.median(alignments[[m.kernel == kernel for m in made]], axis=0)
            values |= {f"{kernel}_{name}_after_{t}": float(v) for t, v in zip(AT, own, strict=True)}
    return {**values, "largest_accuracy_at_8": quiet}


def _aligned_at(machine: Machine, iteration: int, of: str) -> float:
    now, final = machine.matrix(iteration), machine.matrix(ITERATIONS - 1)
    return alignment(now, final) if of == "full" else alignment(blocks(now)[2], blocks(final)[2])


def _alignment(trainer: Trainer, seed: int) -> Outcome:
    values, control = _aligned(machines(trainer, seed)), _aligned(random_machines(trainer, seed))
    return Outcome(values, sentence=_aligned_in_words(values), control=control)


def _aligned_in_words(values: Values) -> str:
    sentence = "; ".join(
        f"{kernel} "
        + ", ".join(f"{values[f'{kernel}_full_after_{t}']:.2f}" for t in AT[:-1])
        + " (block "
        + ", ".join(f"{values[f'{kernel}_block_after_{t}']:.2f}" for t in AT[:-1])
        + ")"
        for kernel in KERNELS
    )
    return f"after iterations 0, 4, 8, 12: {sentence}"


def _diagonals(machine: Machine) -> Values:
    """How close both diagonal blocks of a machine's final matrix are to one c1 (I − 11'/p).

    The residual is of products and quotients without row and column 0, as the paper has them in the order of
    logarithms: a quotient's second operand is never 0, so that its row is empty.
    """
    matrices = blocks(machine.matrix(ITERATIONS - 1))[::3]
    (a1, a2, _), (b1, b2, _) = (fit_identity_and_ones(block) for block in matrices)
    zeros = int(machine.operation in OPERATIONS and machine.orientation.endswith("_log"))
    p = len(matrices[0])
    return {
        "largest_deviation_of_c2_p_over_c1": max(abs(a2 * p / a1 + 1), abs(b2 * p / b1 + 1)),
        "largest_residual": max(fit_identity_and_ones(block[zeros:, zeros:])[2] for block in matrices),
        "largest_difference_of_c1": abs(a1 / b1 - 1),
    }


def _diagonal_block(trainer: Trainer, seed: int) -> Outcome:
    each = {f"{m.kernel}_{m.operation}": _diagonals(m) for m in machines(trainer, seed)}
    control = worst([_diagonals(m) for m in random_machines(trainer, seed)])
    values = worst(list(each.values()))
    values |= {f"{name}_residual": own["largest_residual"] for name, own in each.items()}
    sentence = (
        f"c2 p / c1 is −1 to within {values['largest_deviation_of_c2_p_over_c1']:.4f}, the residual "
        f"{of_all(own['largest_residual'] for own in each.values())}, {control['largest_residual']:.3f} with random "
        f"labels; the two blocks' c1 differ by at most {values['largest_difference_of_c1']:.1%}"
    )
    return Outcome(values, sentence=sentence, control=control)


FRACTIONS = (0.2, 0.3, 0.5)


def _planted(trainer: Trainer, seed: int) -> Outcome:
    right: dict[str, list[float]] = {}
    wrong: dict[str, list[float]] = {}
    values: Values = {}
    for kernel in KERNELS:
        for operation, (_, orientation) in OPERATIONS.items():
            for fraction in FRACTIONS:
                trainer.check_time()
                own = _one_solve(operation, kernel, orientation, fraction, seed)
                other = _one_solve(operation, kernel, WRONG[orientation], fraction, seed)
                right.setdefault(f"least_at_{fraction:.0%}", []).append(own)
                wrong.setdefault(f"least_at_{fraction:.0%}", []).append(other)
                values[f"{kernel}_{operation}_at_{fraction:.0%}"] = own
    # of the control the best, not the worst
    control = {k: max(v) for k, v in wrong.items()}
    sentence = (
        ", ".join(f"{of_all(right[f'least_at_{f:.0%}'])} from {f:.0%}" for f in reversed(FRACTIONS))
        + f" of the pairs; with the wrong orientation at most {max(control.values()):.3f}"
    )
    return Outcome({**values, **{k: min(v) for k, v in right.items()}}, sentence=sentence, control=control)


def _one_solve(operation: str, kernel: str, orientation: str, fraction: float, seed: int) -> float:
    """Test accuracy of one kernel solve with planted features; nothing is iterated."""
    settings = {"seed": seed, "learner.features_seed": seed, "split.frac_train": fraction}
    name = f"mallinar2024/planted-{operation}-{kernel}"
    experiment = preset(name, {**settings, "learner.features": orientation})
    task = build_task(experiment)
    train = make_split(experiment.split, task, seed).train
    assert isinstance(experiment.learner, RFM)
    return float(experiment.learner.start(task, train).evaluate()["test_accuracy"])


def enforced(matrix: np.ndarray, orientation: str) -> np.ndarray:
    """Return a feature matrix (2p, 2p) with its structure made exact (appendix F).

    Scaled to a diagonal of ones; diagonal blocks become I − 11'/p, the bottom-left one the circulant that its first
    column generates, of the given orientation, and the top-right one its transpose. With logarithms that is done in
    their order, and row and column 0 become zero.
    """
    p = len(matrix) // 2
    root = np.sqrt(np.diag(matrix))
    lower = blocks(matrix / np.outer(root, root))[2]
    order = log_order(p) if orientation.endswith("_log") else np.arange(p)
    column = lower[order, order[0]]
    wrapping = "toeplitz" if orientation.startswith("toeplitz") else "hankel"
    # a Toeplitz matrix is given by its first row, which is its first column backwards
    generator = np.roll(column[::-1], 1) if wrapping == "toeplitz" else column
    made = np.zeros((p, p))
    made[np.ix_(order, order)] = circulant(generator, wrapping)  # type: ignore[arg-type]
    plain = np.eye(p) - 1 / p
    return np.block([[plain, made.T], [made, plain]])


def _enforced(trainer: Trainer, seed: int) -> Outcome:
    values: Values = {}
    gains: dict[int, list[float]] = {10: [], 12: []}
    losses: dict[int, list[float]] = {10: [], 12: []}
    for m in machines(trainer, seed):
        trainer.check_time()
        task, train, test = data_of(m.run, m.member)
        plain = m.curve("test_accuracy")
        for t in (10, 12) if m.operation == "add" else (10,):
            right, wrong = (
                _with_structure(m, task, train, test, orientation, t)
                for orientation in (m.orientation, WRONG[m.orientation])
            )
            values[f"{m.kernel}_{m.operation}_plain_{t}"] = float(plain[t + 1])
            values[f"{m.kernel}_{m.operation}_enforced_{t}"] = right
            gains[t].append(right - float(plain[t + 1]))
            losses[t].append(wrong - float(plain[t + 1]))
    accuracies = {
        (kind, t): [v for k, v in values.items() if k.endswith(f"{kind}_{t}")]
        for kind in ("plain", "enforced")
        for t in (10, 12)
    }
    sentence = "; ".join(
        f"after iteration {t} {of_all(accuracies['plain', t])} as it is, {of_all(accuracies['enforced', t])} enforced"
        for t in (10, 12)
    )
    values |= {f"least_gain_at_{t}": min(v) for t, v in gains.items()}
    control = {f"least_gain_at_{t}": max(v) for t, v in losses.items()}
    return Outcome(values, sentence=sentence, control=control)


def _with_structure(m: Machine, task: Task, train: np.ndarray, test: np.ndarray, orientation: str, t: int) -> float:
    """Test accuracy of a machine after iteration t, with exact structure of an orientation."""
    matrix = {"M": enforced(m.matrix(t), orientation)}
    with indefinite():
        outputs = solved(m.run, matrix, task, train, m.member)[test]
    return accuracy(outputs, task.targets[test])


PRIMES = (5, 7, 11, 13)


def fourier(p: int) -> np.ndarray:
    """Return the unitary discrete Fourier transform (p, p), F_jk = exp(−2πi jk / p) / √p."""
    j = np.arange(p)
    return np.asarray(np.exp(-2j * np.pi * np.outer(j, j) / p) / np.sqrt(p))


def subtract_by_fourier(p: int, index: np.ndarray) -> np.ndarray:
    """Return (p, p, p) √p <F e_a · F e_index[l], F e_b> for a, b and classes l, with <u, v> = u' conj(v).

    The paper prints index p − l − 1; with (p − l) mod p this is 1 where a − b = l mod p and 0 elsewhere.
    """
    f = fourier(p)
    return np.asarray(np.sqrt(p) * np.einsum("ka,kl,kb->abl", f, f[:, index], f.conj()).real)


def add_by_fourier(p: int) -> np.ndarray:
    """Return (p, p, p) √p <F e_a · F e_b, F e_l>: 1 where a + b = l mod p."""
    f = fourier(p)
    return np.asarray(np.sqrt(p) * np.einsum("ka,kb,kl->abl", f, f, f.conj()).real)


def _algorithm(trainer: Trainer, seed: int) -> Outcome:
    with threads(1):  # small products in several threads wait for each other
        return _compared(trainer, seed)


def _compared(trainer: Trainer, seed: int) -> Outcome:
    generator = np.random.default_rng(seed)
    off = {"coefficients": 0.0, "on_pairs": 0.0, "anywhere": 0.0, "algorithm": 0.0, "addition": 0.0}
    printed: list[int] = []
    conditions: list[float] = []
    for p in PRIMES:
        trainer.check_time()
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
    values: Values = {f"largest_deviation_{k}": float(v) for k, v in off.items()}
    values |= {"right_as_printed": sum(printed), "condition_over_p_plus_1": max(conditions)}
    sentence = f"deviates by at most {max(off.values()):.0e}; with the index as printed {sum(printed)} pairs are right"
    return Outcome(values, sentence=sentence)


def _machine(
    p: int, wanted: np.ndarray, generator: np.random.Generator, adds: bool, conditions: list[float]
) -> dict[str, float]:
    """How far quadratic kernel machines, one per class on all p² pairs, are from the theorem's closed forms.

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
_INDEPENDENT = "an independent implementation of the paper, over 3 seeds"
PROGRESS = (
    Bar("least_share_of_falling_iterations", ">=", 1, "'gradually': at every iteration from 1 on"),
    Bar(
        f"largest_share_left_at_{INITIAL}",
        "<=",
        0.5,
        "half of it is gone when half of the iterations before the jump are",
    ),
    Bar("largest_at_29", "<=", 0.05, "circulant but for a twentieth of the energy; a random block has .98"),
    Bar("least_of_wrong_orientation_from_1_on", ">=", 0.9, f"{_INDEPENDENT}: .95 to 1, as a random block"),
    Bar(f"largest_loss_change_to_{INITIAL}", "<=", 0.01, "the loss is constant, by the bar of flat-test-loss"),
    Bar(f"largest_accuracy_at_{INITIAL}", "<=", 0.05, "nothing but the pairs with a zero is right, .04 at most"),
)
LOGARITHMS = (
    Bar("largest_in_order_at_29", "<=", 0.05, "circulant but for a twentieth of the energy; a random block has .98"),
    Bar("least_as_it_is_from_1_on", ">=", 0.9, f"far from circulant: above .75 in {_INDEPENDENT}, a random block .98"),
)
_THIRD = "a third of its way from iteration 0 to the end, while accuracy has gone a twentieth of its own"
ALIGNED = (
    Bar("full_least_rise", ">", 0, "'nears': it rises from each of the iterations 0, 4, 8, 12 and 29 to the next"),
    Bar("block_least_rise", ">", 0, "the same of the block alone, which no diagonal dominates"),
    Bar("full_least_share_gone_at_8", ">=", 1 / 3, _THIRD),
    Bar("block_least_share_gone_at_8", ">=", 1 / 3, _THIRD),
    Bar("full_least_at_12", ">=", 0.9, f"{_INDEPENDENT}: .97"),
    Bar("largest_accuracy_at_8", "<=", 0.05, "hidden: nothing but the pairs with a zero is right"),
)
DIAGONALS = (
    Bar("largest_deviation_of_c2_p_over_c1", "<=", 0.005, f"−1.00, to the digits of {_INDEPENDENT}"),
    Bar("largest_residual", "<=", 0.1, f"{_INDEPENDENT}: .08 to .09 of sums and differences, which have no zero apart"),
    Bar("largest_difference_of_c1", "<=", 0.05, "observation 1: it is the same A in both diagonal blocks"),
)
PLANTED = (
    Bar("least_at_50%", ">=", 0.99, "figure 4: all pairs; groklab's own threshold of grokking"),
    Bar("least_at_30%", ">=", 0.7, f"figure 4: most pairs; .81 to .91 in {_INDEPENDENT}"),
    Bar("least_at_20%", ">=", 0.16, "ten times chance, 1 in 61"),
)
ENFORCED = (
    Bar("least_gain_at_10", ">=", 0.1, "ten points on the same split: nine standard errors of 1,861 test pairs"),
    Bar("least_gain_at_12", ">", 0, "'earlier': still ahead two iterations later"),
)
_EXACT = "exact algebra: rounding in double precision"
FOURIER = (
    *(
        Bar(f"largest_deviation_{k}", "<=", 1e-13, _EXACT)
        for k in ("coefficients", "on_pairs", "anywhere", "algorithm", "addition")
    ),
    Bar("right_as_printed", "==", 0, "the index as printed is off by one, so that no pair may be right by it"),
)


CLAIMS = [
    Claim(
        id="hidden-progress",
        claim="RFM gradually learns block-circulant features, from iteration 1 on, before test loss and accuracy move.",
        source="abstract; section 4, figures 2 and 3, observation 1",
        expected="quadratic .52, .35, .11, .05, .017, Gaussian .77, .36, .12, .05, .012 after its 0, 4, 8, 12, 29",
        control=f"{RANDOM_MACHINES}, by the orientation that their block comes closest to",
        counter="'Circulant' is Toeplitz for x + y and x·y, Hankel for x − y and x/y; the other one stays near 1. "
        "Only after iteration 0 of a quadratic machine is it at .5–.7: up to a third of the block's energy is a "
        "constant there, which is both. Without it the deviation begins at .7, as the Gaussian one does.",
        **trials(_deviation, PROGRESS),
    ),
    Claim(
        id="logarithms",
        claim="For x·y and x/y the block is circulant only in the order of discrete logarithms.",
        source="section 4, figure 3, lemma J.1",
        expected="above .75 as it is; from .43–.5 to .017 in the order of logarithms",
        control=f"the same blocks in random orders of 1 to 60: the least deviation of {RANDOM_ORDERS} orders for each",
        **trials(_logarithms, LOGARITHMS),
    ),
    Claim(
        id="alignment",
        claim="The feature matrix nears that of the final machine from the first iterations on.",
        source="section 4, figures 2 and 3",
        expected="quadratic .79, .81, .90, .97 and Gaussian .755, .78, .88, .97 after iterations 0, 4, 8, 12",
        control=RANDOM_MACHINES,
        counter="As numbers go it is as published, but the machine on random labels, which learns nothing, nears its "
        "own final one as soon (.96 after iteration 12, too; its block has gone 72% of its way after 8): the "
        "alignment measures that the iteration converges, and not what it learns. It starts high because the diagonal "
        "dominates, and needs the final machine, so it foretells nothing.",
        **trials(_alignment, ALIGNED),
    ),
    Claim(
        id="diagonal-block",
        claim="Both diagonal blocks of the final matrix are the same c1 I + c2 11'.",
        source="observation 1",
        expected="c2 = −c1/p to three digits, residual .08–.09 (sums, differences), .11–.14 (products, quotients, with "
        "the row of the zero)",
        control=RANDOM_MACHINES,
        counter="Of x·y and x/y without the row and column of the zero, as the paper reorders them. With these the "
        "residual of x/y is .152, and failed a first bar of .15: its second operand is never 0. That c2 = −c1/p "
        "follows from centring, and holds with random labels too, whose residual is .15–.17: the form is not the "
        "operation's own, its exactness is.",
        **trials(_diagonal_block, DIAGONALS),
    ),
    Claim(
        id="planted-features",
        claim="Random circulant features let a kernel machine generalise at once, without any learning of features.",
        source="section 5, figure 4",
        expected="1.0 from half of the pairs, all operations and kernels; from 30% .81–.91, from 20% about .39–.41 "
        "(quadratic) and .19–.24 (Gaussian); the wrong orientation at most .05",
        control="circulant features of the other orientation, as random and of the same size; the best of all",
        quick=Trial(
            setting="The paper's p = 61 and one solve each from 20, 30 and 50% of the pairs; both kernels, all four "
            "operations, features and split drawn for each seed.",
            seeds=3,
            cost=60,
            run=_planted,
            bars=PLANTED,
        ),
        full=Trial(
            setting="p = 61, one solve each from 20, 30 and 50% of the pairs; both kernels, all four operations.",
            seeds=10,
            cost=200,
            run=_planted,
            bars=PLANTED,
        ),
    ),
    Claim(
        id="enforced-structure",
        claim="Features made exactly circulant in the middle of learning generalise earlier than the learnt ones.",
        source="appendix F (there for p = 97)",
        expected="x + y, quadratic: .198 as it is against .745 enforced after iteration 10, .784 against .984 after "
        "12; Gaussian .115 against .588, .684 against .979",
        control="the same matrices made exactly circulant in the other orientation; the largest gain of all",
        counter="The structure alone does it: a random circulant, which has learnt nothing, does better still "
        "(planted-features, all pairs from half of them).",
        **trials(
            _enforced, ENFORCED, f"{SETTING}; M after iteration 10, for x + y also 12, made exact and solved once."
        ),
    ),
    Claim(
        id="fourier-multiplication",
        kind="check",
        claim="A quadratic kernel machine with one circulant a class computes the Fourier multiplication algorithm.",
        source="theorem 5.1 and its proof",
        expected="coefficients ½ C^3l − 11'/(2p + 2), and the algorithm's answers on all pairs, to 1e-13",
        counter="The algorithm's index for subtraction is printed as p − l − 1, with which no pair is right: it is "
        "(p − l) mod p. Off the pairs the machine has a further term, (|x1|² + |x2|²)/(2p + 2) − (1'x1)(1'x2)/(p + 1), "
        "the same for all classes.",
        quick=Trial(setting=_SETTING, seeds=3, cost=3, run=_algorithm, bars=FOURIER),
        full=Trial(setting=_SETTING, seeds=3, cost=3, run=_algorithm, bars=FOURIER),
    ),
]
