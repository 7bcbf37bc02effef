"""Claims on what networks learn, against the theory: accuracy and RQI, and the circle of addition mod p."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from groklab.experiment import preset, read
from groklab.grokking import first_step
from groklab.measures import normalised, parallelogram_quality, rqi, structure_of
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values
from groklab.store import Run
from groklab.tasks import make_split
from groklab.theory import (
    ETA,
    LINEAR,
    Equations,
    critical_fraction,
    critical_group_sizes,
    equations_of,
    flow,
    grokking_rate,
)
from groklab.training import build_task

#: Training sets of 55 pairs, as in figure 3.
SIZES = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 54)
#: RQI above this is a linear representation.
GOOD = 0.95
_SETTING = "p = 10, d = 1, regression, training sets of 5 to 54 pairs, 5,000 steps as in the paper"


def _runs(trainer: Trainer, seed: int) -> Run:
    """One seed's networks of all training sizes, by size."""
    settings = {"evaluation.every": 10, "seed": seed, "checkpoints.spacing": "linear", "checkpoints.every": 5000}
    members = [preset("liu2022/addition", {**settings, "split.n_train": n}) for n in SIZES]
    return trainer.train([replace(m, name="liu2022-sizes") for m in members])


def _data(run: Run, member: int) -> tuple[Equations, np.ndarray, np.ndarray]:
    """Equations, training rows and (N,) bool of them."""
    experiment = run.experiments[member]
    task = build_task(experiment)
    train = make_split(experiment.split, task, experiment.seed).train
    chosen = np.zeros(task.n_inputs, np.bool_)
    chosen[train] = True
    return equations_of(task), train, chosen


def _accuracies(trainer: Trainer, seed: int) -> Outcome:
    run = _runs(trainer, seed)
    real = []
    for i, n in enumerate(SIZES):
        curves = run.curves(i)
        right = curves["train_accuracy"][-1] * n + curves["test_accuracy"][-1] * (55 - n)
        real.append(float(right / 55))
    values, control = (_predicted(run, np.array(real), step) for step in (None, 0))
    sentence = (
        f"correlation {values['correlation']:.4f}, mean error {values['mean_absolute_error']:.3f}; of the untrained "
        f"embeddings {control['correlation']:.4f}, {control['mean_absolute_error']:.3f}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _predicted(run: Run, real: np.ndarray, step: int | None) -> Values:
    """The accuracies of all sizes against those that the embeddings of a step predict."""
    predicted, ideal = [], []
    for i in range(len(SIZES)):
        _, train, _ = _data(run, i)
        weights = run.weights(member=i) if step is None else run.weights(step, i)
        quality = parallelogram_quality(weights["embed.W_E"], build_task(run.experiments[i]), train)
        predicted.append(quality.predicted_accuracy)
        ideal.append(quality.ideal_accuracy)
    guess = np.array(predicted)
    return {
        "correlation": float(np.corrcoef(real, guess)[0, 1]),
        "mean_absolute_error": float(np.abs(real - guess).mean()),
        "on_or_above_the_diagonal": float((real >= guess - 1e-9).mean()),
        "predicted_below_ideal": float((guess <= np.array(ideal) + 1e-9).mean()),
        "accuracies": real.tolist(),
        "predicted": predicted,
    }


def _times(run: Run, member: int) -> tuple[int | None, float, float]:
    """The first measured step of RQI above GOOD, that of the theory's flow from the same start, and lambda_3."""
    measured = run.measured
    assert measured is not None
    own = measured.filter(measured["member"] == member)
    good = own.filter(own["parallelograms.rqi"] > GOOD)["step"]
    equations, _, chosen = _data(run, member)
    start = normalised(run.weights(0, member)["embed.W_E"])
    gram, task = equations.gram(chosen), build_task(run.experiments[member])
    steps = np.unique(np.geomspace(1, 1e6, 200).astype(int))
    path = flow(start, gram, 1.0, steps * ETA)
    reached = (int(s) for s, e in zip(steps, path, strict=True) if rqi(e, task) > GOOD)
    rate = grokking_rate(equations.eigenvalues(chosen), equations.count(chosen))
    return (int(good[0]) if len(good) else None), float(next(reached, np.inf)), rate


@dataclass(frozen=True)
class _Set:
    """A training set and its network: pairs, whether the line is forced, the theory's time, the network's or None."""

    n: int
    forced: bool
    theory: float
    seen: int | None


def _necessary(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    sets, dealt = [], []
    for seed in seeds:
        run = _runs(trainer, seed)
        own = []
        for i, n in enumerate(SIZES):
            equations, _, chosen = _data(run, i)
            seen, theory, _ = _times(run, i)
            own.append(_Set(n, equations.null_dimension(chosen) == LINEAR, theory, seen))
        order = np.random.default_rng(seed).permutation(len(own))
        sets.append(own)
        dealt.append([replace(of, seen=own[k].seen) for of, k in zip(own, order, strict=True)])
    orders, dealt_orders = _orders(sets), _orders(dealt)
    for own, other in zip(sets, dealt, strict=True):
        values, control = _counts(own) | orders, _counts(other) | dealt_orders
        sentence = (
            f"RQI > {GOOD} in {values['of_them_reach_rqi']} of {values['forced_sets']} forced sets and "
            f"{values['others_reach_rqi']} of {values['other_sets']} others"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _counts(sets: list[_Set]) -> Values:
    reached = [of for of in sets if of.seen is not None]
    forced = sum(of.forced for of in sets)
    return {
        "forced_sets": forced,
        "of_them_reach_rqi": sum(of.forced for of in reached),
        "other_sets": len(sets) - forced,
        "others_reach_rqi": sum(not of.forced for of in reached),
        "pairs": [of.n for of in reached],
        "observed_steps": [of.seen for of in reached],
        "theory_steps": [of.theory if np.isfinite(of.theory) else None for of in reached],
    }


def _orders(sets: list[list[_Set]]) -> Values:
    """Rank correlations over all seeds of the networks' times with the theory's, and with the number of pairs."""
    from scipy.stats import spearmanr  # a second of importing, which other commands need not take

    reached = [of for own in sets for of in own if of.seen is not None]
    if len(reached) < 3:
        return {"rank_correlation_with_theory": None, "rank_correlation_with_pairs": None}
    seen, theory, pairs = ([getattr(of, name) for of in reached] for name in ("seen", "theory", "n"))
    return {
        "rank_correlation_with_theory": float(spearmanr(seen, theory).statistic),
        "rank_correlation_with_pairs": float(spearmanr(seen, pairs).statistic),
    }


#: Share of the first two components that one frequency has on an ordered circle, here.
CIRCLE = 0.75


def on_one_circle(coordinates: np.ndarray) -> tuple[int, float]:
    """Return the leading frequency k of points (p, 2), and its share of their variance.

    The share is 1 where point a lies at the angle 2 pi k a / p of a circle (or an ellipse), and about 2 / (p - 1) each
    for points in no order.
    """
    power = (np.abs(np.fft.fft(coordinates - coordinates.mean(axis=0), axis=0)) ** 2).sum(axis=1)
    shares = power[1 : (len(coordinates) + 1) // 2] / power[1:].sum()
    # k and p - k are one frequency of real coordinates
    return int(shares.argmax()) + 1, 2 * float(shares.max())


def _measured(run: Run, steps: int) -> pl.DataFrame:
    assert run.measured is not None
    return run.measured.filter(pl.col("step") <= steps).sort("step")


def _points(row: list[list[float]]) -> np.ndarray:
    return np.array(row)[:, :2]


def _grokking_embedding(name: str, steps: int, trainer: Trainer, seed: int) -> Outcome:
    own = preset(name, {"seed": seed, "budget.steps": steps})
    random = {"task": RANDOM_ANSWERS, "name": f"{own.name}-random-answers"}
    trained, other = (trainer.train(e) for e in (own, read(own, random)))
    curves = trained.curves()
    at = curves["step"][curves["step"] <= steps]
    right = curves["test_accuracy"][: len(at)]
    values: Values = {"memorised_at": first_step(at, curves["train_accuracy"][: len(at)] >= 0.99)}
    values |= {f"test_{bar:.0%}_at": first_step(at, right >= bar) for bar in (0.1, 0.5, 0.9)}
    # looked at when the network itself generalises
    passed = [values[f"test_{bar}%_at"] for bar in (10, 50, 90)]
    values, control = values | _course(_measured(trained, steps), *passed), _course(_measured(other, steps), *passed)
    sentence = (
        f"effective dimension {values['dimension_at_start']:.1f} at the start, {values['dimension_at_most']:.1f} at "
        f"step {values['dimension_at_most_at']:,}, {values['dimension_at_end']:.1f} in the end; test accuracy passes "
        f"50% at step {passed[1]}; the first two components go from {values['circle_share_at_start']:.0%} to "
        f"{values['circle_share_at_end']:.0%} of one frequency, {values['circle_frequency']}"
    )
    return Outcome(values, sentence=sentence, control=control)


#: A table of random answers of the size of the presets on addition mod 53.
RANDOM_ANSWERS = {"kind": "random_labels", "p": 53, "layout": "a b"}


def _course(measured: pl.DataFrame, ten: int | None, half: int | None, ninety: int | None) -> Values:
    """How the effective dimension and the circle go, beside the steps at which test accuracy passes 10, 50, 90%."""
    dimension = measured["embedding_components.effective_dimension"].to_numpy()
    at = measured["step"].to_numpy()
    peak = int(dimension.argmax())
    points = map(_points, measured["embedding_components.coordinates"].to_list())
    frequencies, shares = zip(*map(on_one_circle, points), strict=True)
    before, after = (None if step is None else float(np.interp(step, at, dimension)) for step in (ten, ninety))
    return {
        "dimension_at_start": float(dimension[0]),
        "dimension_at_most": float(dimension[peak]),
        "dimension_at_most_at": int(at[peak]),
        "dimension_at_test_10%": before,
        "dimension_at_test_90%": after,
        "dimension_at_end": float(dimension[-1]),
        "dimension_rises_to": float(dimension[peak] / dimension[0]),
        "peak_over_time_of_test_50%": None if half is None else float(at[peak] / half),
        "dimension_falls_to": None if before is None or after is None else after / before,
        "dimension_ends_at": None if after is None else float(dimension[-1] / after),
        "circle_frequency": frequencies[-1],
        "circle_share_at_start": shares[0],
        "circle_share_at_end": shares[-1],
        "circle_share_grows_to": shares[-1] / shares[0],
    }


#: Training sets of S3, of 36 pairs, whose share that implies all answers is told.
S3_SIZES = (14, 16, 18, 20, 22, 26)


def _closure(draws: int, trainer: Trainer, seed: int) -> Outcome:
    values, control = (_closure_of(group, draws, seed) for group in ("S3", OTHER_GROUP))
    sentence = (
        f"{values['parallelograms']} parallelograms; half of all training sets imply the whole table at "
        f"{values['critical_fraction']:.3f} of the pairs, and of {OTHER_GROUP} at {control['critical_fraction']:.3f}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _closure_of(group: str, draws: int, seed: int) -> Values:
    task = build_task(preset("liu2022/s3", {"task.group": group}))
    sizes = critical_group_sizes(task, draws, seed)
    fraction, error = critical_fraction(sizes, task.n_inputs)
    counted = structure_of(task, "product").n_parallelograms
    values: Values = {"parallelograms": counted, "critical_fraction": fraction, "critical_fraction_error": error}
    return values | {f"implied_by_{k}_of_36": float(np.mean(sizes <= k / 36 * task.n_inputs)) for k in S3_SIZES}


#: A larger group, whose critical fraction is another.
OTHER_GROUP = "D4"


PREDICTS = (
    Bar("correlation", ">=", 0.99, "the released results of 33 networks correlate at 0.996"),
    Bar("mean_absolute_error", "<=", 0.02, "the released results of 33 networks differ by 0.019 on average"),
    Bar("on_or_above_the_diagonal", ">", 0.5, "the sentence's 'most'"),
)
_RANKED = "groklab's: with a dozen runs, chance gives one half once in ten draws"
NECESSARY = (
    Bar("others_reach_rqi", "==", 0, "the sentence's 'only': not once"),
    Bar("of_them_reach_rqi", ">=", 1, "some network must become linear for its time to be known"),
    Bar("rank_correlation_with_theory", ">=", 0.5, _RANKED),
    Bar("rank_correlation_with_pairs", "<=", -0.5, _RANKED),
)
CIRCLES = (
    Bar("dimension_rises_to", ">=", 1.02, "groklab's: 'rises', by more than neighbouring evaluations differ"),
    Bar("peak_over_time_of_test_50%", "<", 1, "'at first': before the network generalises"),
    Bar(
        "dimension_falls_to",
        "<=",
        0.9,
        "groklab's: 'falls' by a tenth at least while test accuracy goes from 10 to 90%",
    ),
    Bar("dimension_ends_at", "<=", 1, "it does not rise again"),
    Bar("circle_share_at_end", ">=", CIRCLE, "groklab's: points in no order have 4%, some order less than 25%"),
    Bar("circle_share_grows_to", ">=", 2, "'come to lie': not so from the start"),
)
IMPLIES = (
    Bar("parallelograms", "==", 90, "six answers, each of the 15 pairs of its six entries"),
    Bar("critical_fraction", ">=", 0.45, "the paper's 0.5 to one digit"),
    Bar("critical_fraction", "<", 0.55, "the paper's 0.5 to one digit"),
)


CLAIMS = [
    Claim(
        id="predicted-accuracy",
        claim="What parallelograms of the final embedding predict is the accuracy of the network, and most points lie "
        "on or above the diagonal.",
        source="figure 3",
        expected="correlation .996, mean absolute error .019 in the released results; most points on or above the "
        "diagonal",
        control="the same prediction from the untrained embeddings",
        quick=Trial(setting=f"{_SETTING}.", seeds=3, cost=90, run=_accuracies, bars=PREDICTS, shares="sizes"),
        full=Trial(setting=f"{_SETTING}.", seeds=8, cost=240, run=_accuracies, bars=PREDICTS, shares="sizes"),
    ),
    Claim(
        id="linear-representation",
        claim="The representation becomes linear only where the training set forces it, and later for fewer data, in "
        "the order of the theory's times.",
        source="figures 4b and 5b",
        expected="RQI > .95 never where more than two dimensions are free; in about half of the runs where two are",
        control="the same networks, their outcomes dealt out at random among the training sets of a seed",
        counter="Qualitative only: the order of times is the theory's, their scale is not. Adam normalises gradients, "
        "so networks take 480 to 1,130 steps where the theory's flow takes 550 to 12,500.",
        quick=Trial(
            setting=f"{_SETTING}; RQI every 10 steps.",
            seeds=3,
            cost=90,
            run=_necessary,
            bars=NECESSARY,
            together=True,
            shares="sizes",
        ),
        full=Trial(
            setting=f"{_SETTING}; RQI every 10 steps.",
            seeds=8,
            cost=240,
            run=_necessary,
            bars=NECESSARY,
            together=True,
            shares="sizes",
        ),
    ),
    Claim(
        id="effective-dimension",
        claim="The effective dimension of the embeddings rises at first and falls as the network generalises, while "
        "they come to lie on an ordered circle.",
        source="section 4.2, figures 1 and 7",
        expected="exp(S) of the components' shares of variance rises to generalisation, and then falls; the first two "
        "components show a circle of the numbers in order (or in steps of a frequency) when test accuracy has risen",
        control="the same network on random answers, looked at at the same steps",
        counter="Direction only: no code and no numbers are published for it. The authors show a transformer, and note "
        "that the first components can mix several frequencies.",
        quick=Trial(
            setting="Addition mod 53 from 60% of the pairs, by a network of one hidden layer on embeddings of width "
            "128, after one of the authors' public demonstration: it groks in 6,000 steps, where the transformer "
            "takes minutes. The table starts uniform with deviation 1, and biases at zero.",
            seeds=2,
            cost=90,
            run=partial(_grokking_embedding, "liu2022/mlp-53", 6000),
            bars=CIRCLES,
        ),
        full=Trial(
            setting="Addition mod 53 from half of the pairs, by a transformer of one layer and width 256, 20,000 "
            "steps.",
            seeds=3,
            cost=6000,
            run=partial(_grokking_embedding, "liu2022/transformer-53", 20_000),
            bars=CIRCLES,
        ),
    ),
    Claim(
        id="permutations",
        claim="Of permutations, too, parallelograms imply the rest of the table once about half of it is known.",
        source="section 4.2, appendix H, figure 18b",
        expected="90 parallelograms; critical fraction about 0.5",
        control=f"the symmetries of the square, {OTHER_GROUP}, in place of S3",
        counter="One parallelogram follows from three others here, not from one equation, so that this counts what "
        "the closure of the training set implies.",
        quick=Trial(
            setting="S3, 200 random orders of its 36 pairs a seed.",
            seeds=3,
            cost=20,
            run=partial(_closure, 200),
            bars=IMPLIES,
        ),
        full=Trial(
            setting="S3, 2,000 random orders of its 36 pairs a seed.",
            seeds=3,
            cost=200,
            run=partial(_closure, 2000),
            bars=IMPLIES,
        ),
    ),
]
