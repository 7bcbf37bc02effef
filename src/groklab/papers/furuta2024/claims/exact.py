"""Claims on numbers that need no training: sizes and starting points, splits, powers, factors, labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.lazy import jax, jnp
from groklab.measures import MEASURES
from groklab.papers._published import published_of
from groklab.papers.furuta2024.claims.runs import of_all
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values
from groklab.tasks import (
    LabelStatistics,
    Split,
    Task,
    label_statistics,
    make_split,
    over_field,
    over_integers,
    power,
    resolve,
)
from groklab.training import build_task

PARAMETERS = 222_720
#: Losses of the published code's own start at seed 0, in two of its runs: it does not seed its weights.
INITIAL_LOSSES = (4.6399, 4.6534)
#: FFS, and FCR with its standard deviation, of W_E and of W_L before training.
INITIAL_SPECTRA = {"W_E": (1.0, 0.932, 0.010), "W_L": (1.0, 0.929, 0.006)}
#: Of the published range of operands: the first pairs of its shuffle at seed 0.
FIRST_PAIRS = ((58, 84), (31, 88), (25, 27), (23, 96), (92, 98))
#: Training and test pairs by the range of the operands, at 30%.
SIZES = {"vocabulary": (3121, 7283), "p": (2822, 6587)}
#: How many n-th powers there are mod p, zero among them, for n = 2 to 7.
POWERS = {97: (49, 33, 25, 97, 17, 97), 59: (30, 59, 30, 59, 30, 59), 113: (57, 113, 29, 113, 57, 17)}
#: Whether a form is irreducible mod p.
IRREDUCIBLE = {
    "x2_xy_y2": {97: False, 59: True, 113: True},
    "x2_y2": {97: False, 59: True, 113: False},
}
#: By operation: number of labels, largest and smallest count, entropy of all; KL(train‖test) and entropies of either
#: set in the mean over splits. In nats.
LABELS: dict[str, tuple[int, int, int, float, float, float, float]] = {
    "add": (97, 97, 97, 4.5747, 0.0243, 4.563, 4.5725),
    "multiply": (97, 193, 96, 4.5707, 0.0240, 4.559, 4.5686),
    "x3_xy": (97, 193, 96, 4.5707, 0.0240, 4.559, 4.5686),
    "x2_xy_y2": (97, 193, 96, 4.5707, 0.0240, 4.559, 4.5686),
    "x2_y2": (97, 193, 96, 4.5707, 0.0240, 4.559, 4.5686),
    "x3_xy2_y": (97, 113, 77, 4.5698, 0.0245, 4.558, 4.5676),
    "x3_y3": (97, 289, 81, 4.5512, 0.0245, 4.539, 4.549),
    "x4_y4": (97, 385, 40, 4.4796, 0.0239, 4.468, 4.478),
    "x6_y6": (97, 577, 12, 4.3149, 0.0241, 4.304, 4.313),
    "x_plus_y_power_2": (49, 194, 97, 3.8887, 0.0121, 3.883, 3.888),
    "x_plus_y_power_3": (33, 291, 97, 3.4874, 0.0082, 3.483, 3.487),
    "x_plus_y_power_4": (25, 388, 97, 3.2027, 0.0060, 3.200, 3.202),
    "x_plus_y_power_6": (17, 582, 97, 2.8014, 0.0040, 2.800, 2.801),
}
#: Exponents from 2 to 7 whose powers are one-to-one.
ONE_TO_ONE = {97: [5, 7], 59: [3, 5, 7], 113: [3, 5]}
#: Operations that grok and whose labels are fewer.
FEWER_LABELS = ("x_plus_y_power_2", "x_plus_y_power_3")
#: The paper's figure: two operations that grok at 30%, and two that do not.
GROKKING, NOT_GROKKING = ("x3_y3", "x2_y2"), ("x3_xy", "x2_xy_y2")
#: Operations with the label counts of multiplication.
LIKE_MULTIPLICATION = (
    "multiply", "xy_x_y", "xy_y", "xy_m_y", "x2_xy_y2", "x2_xy_y2_x", "x3_xy", "x2_y2", "x2_m_y2",
)  # fmt: skip


def _start(seed: int) -> tuple[dict[str, np.ndarray], Task, np.ndarray]:
    """Fresh weights of addition mod 97, the task, and the loss of each of its pairs."""
    experiment = preset("furuta2024", {"seed": seed})
    task = build_task(experiment)
    weights = experiment.network.init(jax.random.key(seed), task.shape, "float32")
    logits = experiment.network.apply(weights, jnp.asarray(task.inputs), task.shape)
    losses = -np.asarray(jax.nn.log_softmax(logits, axis=1))[np.arange(task.n_inputs), task.targets]
    return {k: np.asarray(v) for k, v in weights.items()}, task, losses


def _parameters(trainer: Trainer, seed: int) -> Outcome:
    weights, task, losses = _start(seed)
    train = make_split(preset("furuta2024").split, task, seed).train
    count, loss = sum(w.size for w in weights.values()), float(losses[train].mean())
    values = {"parameters": count, "initial_loss": loss}
    return Outcome(values, sentence=f"{count:,} parameters, loss {loss:.4f}")


def _spectra(trainer: Trainer, seed: int) -> Outcome:
    weights, task, _ = _start(seed)
    spectra = MEASURES["fourier_sparsity"](weights, task)
    values = {f"{what}_{name}": float(spectra[f"{what}_{name}"]) for name in INITIAL_SPECTRA for what in ("ffs", "fcr")}
    sentence = f"FFS {values['ffs_W_E']:.3f} and {values['ffs_W_L']:.3f}, FCR {values['fcr_W_E']:.3f} and "
    return Outcome(values, sentence=sentence + f"{values['fcr_W_L']:.3f} of W_E and W_L")


def _split(trainer: Trainer, seed: int) -> Outcome:
    values: dict[str, Any] = {}
    task = build_task(preset("furuta2024/published-range"))
    seen: set[int] = set()
    pairs = []
    for n in range(1, len(FIRST_PAIRS) + 1):
        # training sets of one more pair each: which one it is
        rows = set(make_split(Split(n_train=n, method="python_shuffle", seed=0), task, 0).train.tolist())
        (new,) = rows - seen
        pairs.append(tuple(int(v) for v in task.inputs[new, [0, 2]]))
        seen = rows
    values["first_pairs"] = [list(pair) for pair in pairs]
    for kind in SIZES:
        experiment = preset("furuta2024/published-range", {"task.operand_range": kind})
        split = make_split(experiment.split, build_task(experiment), experiment.seed)
        values[f"training_pairs_of_{kind}"], values[f"test_pairs_of_{kind}"] = len(split.train), len(split.test)
    sizes = {kind: (values[f"training_pairs_of_{kind}"], values[f"test_pairs_of_{kind}"]) for kind in SIZES}
    values["pairs_with_a_sign"] = int((task.inputs[:, [0, 2]] >= 97).any(axis=1).sum())
    sentence = f"first pairs {', '.join(map(str, pairs))}; {sizes['vocabulary']} pairs against {sizes['p']}"
    return Outcome(values, sentence=sentence)


def _powers(trainer: Trainer, seed: int) -> Outcome:
    counts_by_modulus = {p: tuple(power(n, p).values for n in range(2, 8)) for p in POWERS}
    one_to_one = {p: [n for n in range(2, 8) if power(n, p).bijective] for p in POWERS}
    values: dict[str, Any] = {f"powers_mod_{p}": list(counts) for p, counts in counts_by_modulus.items()}
    values |= {f"one_to_one_mod_{p}": exponents for p, exponents in one_to_one.items()}
    sentence = "; ".join(f"mod {p} the exponents {', '.join(map(str, e))}" for p, e in one_to_one.items())
    return Outcome(values, sentence=f"one-to-one: {sentence}")


def _factors(trainer: Trainer, seed: int) -> Outcome:
    values: dict[str, Any] = {}
    for operation, moduli in IRREDUCIBLE.items():
        tree = resolve(operation)[1].tree
        values[f"{operation}_irreducible_over_integers"] = over_integers(tree).irreducible
        for p in moduli:
            factors = over_field(tree, p)
            values |= {f"{operation}_mod_{p}": factors.text, f"{operation}_irreducible_mod_{p}": factors.irreducible}
    sentence = f"x² + xy + y² is {values['x2_xy_y2_mod_97']} mod 97, x² + y² is {values['x2_y2_mod_97']}"
    return Outcome(values, sentence=sentence)


@cache
def _statistics(operation: str) -> LabelStatistics:
    return label_statistics(build_task(preset(f"furuta2024/{operation}")), seeds=100)


def _labels(trainer: Trainer, seed: int) -> Outcome:
    """Compare the labels of the paper's two groups, and of one of them with powers that grok and have fewer labels."""
    trainer.check_time()
    values, control = (apart(GROKKING, others) for others in (NOT_GROKKING, FEWER_LABELS))
    sentence = (
        f"KL {of_all([_means(o)['kl'] for o in GROKKING])} of two operations that grok and "
        f"{of_all([_means(o)['kl'] for o in NOT_GROKKING])} of two that do not; the groups are at most "
        f"{max(values.values()):.1%} apart, powers with fewer labels {max(control.values()):.0%}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _means(operation: str) -> dict[str, float]:
    statistics = _statistics(operation)
    assert statistics.kl is not None
    assert statistics.train_entropy is not None
    assert statistics.test_entropy is not None
    spreads = {"kl": statistics.kl, "train_entropy": statistics.train_entropy, "test_entropy": statistics.test_entropy}
    return {name: spread.mean for name, spread in spreads.items()}


def apart(one: Sequence[str], other: Sequence[str]) -> Values:
    """Return how far the label statistics of two groups of operations are apart, as shares of the first group's."""
    means = [{name: float(np.mean([_means(o)[name] for o in of])) for name in _means(of[0])} for of in (one, other)]
    return {f"{name}_apart": abs(means[1][name] / first - 1) for name, first in means[0].items()}


def _reference(trainer: Trainer, seed: int) -> Outcome:
    """Compare 13 operations with an independent implementation."""
    values: Values = {}
    same = 0
    off = 0.0
    for operation, (n, most, least, entropy, kl, of_train, of_test) in LABELS.items():
        trainer.check_time()
        statistics = _statistics(operation)
        own = statistics.labels, statistics.largest_count, statistics.smallest_count
        same += own == (n, most, least) and abs(statistics.entropy - entropy) < 1e-4
        for measured, reference, digits in (
            (statistics.kl, kl, 8e-4),
            (statistics.train_entropy, of_train, 5e-4),
            (statistics.test_entropy, of_test, 5e-4),
        ):
            # two means of 100 splits each, the reference rounded as it was written (of KL a range)
            assert measured is not None
            assert measured.sd is not None
            off = max(off, (abs(measured.mean - reference) - digits) / (measured.sd * math.sqrt(2 / 100)))
        values[f"{operation}_kl"] = _means(operation)["kl"]
    values |= {"operations_with_reference_counts": same, "largest_deviation_in_standard_errors": off}
    return Outcome(values, sentence=f"counts of {same} operations as in the reference, means within {off:.1f} errors")


def _histograms(p: int, trainer: Trainer, seed: int) -> Outcome:
    counts = {}
    for operation in LIKE_MULTIPLICATION:
        task = build_task(preset(f"furuta2024/{operation}", {"task.p": p}))
        counts[operation] = sorted(np.bincount(task.targets, minlength=p)[:p].tolist(), reverse=True)
    same = [o for o, c in counts.items() if c == counts["multiply"]]
    published = {o: entry.by_fraction for o in same if (entry := published_of(o)) is not None}
    easy = [o for o, by in published.items() if all(v is True for v in by.values())]
    never = [o for o, by in published.items() if not any(v is True for v in by.values())]
    values: dict[str, Any] = {"same_counts": len(same), "largest_count": counts["multiply"][0]}
    values |= {"published_to_grok_from_30%": easy, "published_to_grok_from_no_share": never}
    values |= {"easy_operations": len(easy), "impossible_operations": len(never)}
    values["smallest_count"] = counts["multiply"][-1]
    sentence = f"{len(same)} operations with one histogram; published as easy: {', '.join(easy)}; never: "
    return Outcome(values, sentence=sentence + ", ".join(never))


def _exact(
    run: Callable[[Trainer, int], Outcome],
    cost: float,
    setting: str,
    bars: Sequence[Bar],
    *,
    seeds: int = 1,
    **words: Any,
) -> Claim:
    """A claim whose trial is the same for both sizes; a check unless `words` say otherwise."""
    one = Trial(setting=setting, seeds=seeds, cost=cost, run=run, fixed=seeds == 1, bars=tuple(bars))
    return Claim(quick=one, full=one, **{"kind": "check", **words})


_INITIAL = "Addition mod 97 as published, 20 draws of the initial weights, before any step."
_CODE, _COUNTED = "the published code", "arithmetic: counted apart from groklab"
_OWN_RUN = "an independent implementation, 20 draws: three standard deviations"
_A_TENTH = "groklab's own: a tenth of the value; the paper shows the bars of both groups level, without a number"

CLAIMS = [
    _exact(
        _parameters,
        20,
        _INITIAL,
        (
            Bar("parameters", "==", PARAMETERS, _CODE),
            Bar("initial_loss", ">=", INITIAL_LOSSES[0] - 0.01, f"{_CODE}: 4.6399 and 4.6534 in two runs, 0.01 aside"),
            Bar("initial_loss", "<=", INITIAL_LOSSES[1] + 0.01, f"{_CODE}: 4.6399 and 4.6534 in two runs, 0.01 aside"),
        ),
        seeds=20,
        id="size-and-start",
        claim="The model has 222,720 parameters and starts near the loss of the uniform answer over its vocabulary.",
        source="section 2.1 and the published code",
        expected="222,720; the published code starts at 4.6399 and 4.6534 in two runs (ln 102 is 4.625)",
        counter="The published code does not seed its initial weights, so that no start can be compared exactly.",
    ),
    _exact(
        _spectra,
        10,
        _INITIAL,
        (
            *(Bar(f"ffs_{name}", "==", ffs, _OWN_RUN) for name, (ffs, _, _) in INITIAL_SPECTRA.items()),
            *(Bar(f"fcr_{name}", ">=", fcr - 3 * sd, _OWN_RUN) for name, (_, fcr, sd) in INITIAL_SPECTRA.items()),
            *(Bar(f"fcr_{name}", "<=", fcr + 3 * sd, _OWN_RUN) for name, (_, fcr, sd) in INITIAL_SPECTRA.items()),
        ),
        seeds=20,
        id="initial-spectra",
        claim="Before training all frequencies are used alike, cosines and sines too.",
        source="section 4 and figure 10, at step 0",
        expected="FFS 1 of W_E and W_L; FCR .932 ± .010 of W_E, .929 ± .006 of W_L",
    ),
    _exact(
        _split,
        2,
        "The published code's split itself.",
        (
            Bar("first_pairs", "==", [list(pair) for pair in FIRST_PAIRS], f"{_CODE}, seed 0"),
            Bar("training_pairs_of_vocabulary", "==", SIZES["vocabulary"][0], _CODE),
            Bar("test_pairs_of_vocabulary", "==", SIZES["vocabulary"][1], _CODE),
            Bar("training_pairs_of_p", "==", SIZES["p"][0], "the paper: r of p² pairs"),
            Bar("test_pairs_of_p", "==", SIZES["p"][1], "the paper: r of p² pairs"),
            Bar("pairs_with_a_sign", "==", 995, _COUNTED),
        ),
        id="published-split",
        claim="In the published code operands run over all 102 tokens, so it trains on more pairs than it reports.",
        source="the published code",
        expected="seed 0 begins with (58, 84), (31, 88), (25, 27), (23, 96), (92, 98); 3,121 and 7,283 pairs where the "
        "paper's r of p² gives 2,822 and 6,587; 995 pairs hold a sign",
    ),
    _exact(
        _powers,
        1,
        "Counted.",
        (
            *(Bar(f"powers_mod_{p}", "==", list(counts), _COUNTED) for p, counts in POWERS.items()),
            *(Bar(f"one_to_one_mod_{p}", "==", of, "gcd(n, p − 1) = 1") for p, of in ONE_TO_ONE.items()),
        ),
        id="powers",
        claim="Which powers are one-to-one depends on the modulus: mod 97 (x + y)^5 and (x + y)^7 are relabelled sums.",
        source="appendix J, which compares moduli",
        expected="n-th powers for n = 2 to 7: 49, 33, 25, 97, 17, 97 mod 97; 30, 59, 30, 59, 30, 59 mod 59; 57, 113, "
        "29, 113, 57, 17 mod 113",
        counter="So what the paper says of the parity of n and of moduli is confounded with gcd(n, p − 1).",
    ),
    _exact(
        _factors,
        1,
        "Factored exactly.",
        (
            *(Bar(f"{o}_irreducible_over_integers", "==", True, "negative discriminant") for o in IRREDUCIBLE),
            *(
                Bar(f"{o}_irreducible_mod_{p}", "==", irreducible, "arithmetic: whether the discriminant is a square")
                for o, moduli in IRREDUCIBLE.items()
                for p, irreducible in moduli.items()
            ),
        ),
        id="factors",
        claim="x² + xy + y² does not factor over the integers, and mod 97, the paper's modulus, it does.",
        source="section 5 and table 5, which call it non-factorizable",
        expected="irreducible over the integers; mod 97 it is (x − 35y)(x − 61y), mod 59 and 113 irreducible; x² + y² "
        "is a product mod 97 and 113 and irreducible mod 59",
        counter="The paper's word means 'no function of x ± y', not a factor over the field of its own modulus.",
    ),
    _exact(
        _labels,
        8,
        "Mod 97 from 30% of the pairs, as published; means of 100 random splits of each operation.",
        [Bar(f"{name}_apart", "<=", 0.1, _A_TENTH) for name in ("kl", "train_entropy", "test_entropy")],
        kind="claim",
        control="(x + y)² and (x + y)³, which grok and have fewer labels, in place of the operations that do not grok",
        id="label-statistics",
        claim="Entropies of the labels, and their divergence from training to test set, do not differ between "
        "operations that grok (x³ + y³, x² + y²) and operations that do not (x³ + xy, x² + xy + y²).",
        source="appendix K",
        expected="no difference; the paper gives neither base nor list of operations",
    ),
    _exact(
        _reference,
        15,
        "Mod 97 from 30% of the pairs, 100 random splits of each of 13 operations.",
        (
            Bar("operations_with_reference_counts", "==", len(LABELS), "an independent implementation"),
            Bar("largest_deviation_in_standard_errors", "<=", 4, "an independent implementation, means of 100 splits"),
        ),
        id="label-reference",
        claim="Label statistics of 13 operations are those of an independent implementation.",
        source="appendix K, computed again",
        expected="KL .0245 for x³ + y³, .0232 to .0248 for x² + y², x³ + xy and x² + xy + y²; 13 rows in all",
    ),
    _exact(
        partial(_histograms, 97),
        2,
        "All pairs mod 97; which of them grok is taken from the published table 5.",
        (
            Bar("same_counts", "==", len(LIKE_MULTIPLICATION), _COUNTED),
            Bar("largest_count", "==", 193, _COUNTED),
            Bar("smallest_count", "==", 96, _COUNTED),
            Bar("easy_operations", ">=", 1, "the paper's table 5: grok from 30%"),
            Bar("impossible_operations", ">=", 1, "the paper's table 5: grok from no share"),
        ),
        id="identical-histograms",
        claim="Nine operations have the very same label counts, and range from easy to impossible.",
        source="appendix K and table 5",
        expected="one label 193 times and 96 labels 96 times, of xy, xy + x + y, x² ± y² (grok from 30%) as of "
        "x² + xy + y² + x (from no share)",
    ),
]
