"""Claims on the frequencies that trained models use: how many, cosines or sines, and what each does to the logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from groklab.measures import (
    MEASURES,
    PARTS,
    coefficient_ratio,
    cosine_led,
    embedding_matrix,
    neuron_logit_map,
    singular_ratio,
)
from groklab.papers.furuta2024.claims.runs import Trained, cleaned_up, grokked_at, trial
from groklab.reproduction import Claim, Outcome, Size, Trainer

#: Below this share of its components a matrix counts as sparse; above `DENSE` it counts as using all frequencies.
SPARSE, DENSE = 0.5, 0.9
#: Above this FCR cosines and sines count as used alike.
BALANCED = 0.7
#: Share of the frequencies in which one phase leads, from which a matrix counts as biased to it.
BIASED = 0.95
#: Seconds on two cores of one operation's runs with their clean-up, three seeds; and of the three elementary
#: operations, which many claims look at.
COST: dict[Size, float] = {"quick": 75, "full": 1500}
ELEMENTARY_COST: dict[Size, float] = {"quick": 270, "full": 6000}


def _values(trained: Trained, operation: str, seed: int) -> dict[str, Any]:
    """When it grokked, and FFS, FCR and the share of frequencies that cosines lead, of both matrices."""
    spectra = trained.spectra(operation, seed)
    values: dict[str, Any] = {"grokked_step": trained.grokked(operation, seed)}
    for name in ("W_E", "W_L"):
        values |= {f"{what}_{name}": float(spectra[f"{what}_{name}"]) for what in ("ffs", "fcr", "cosine_led")}
    return values


def _sentence(values: dict[str, Any]) -> str:
    return f"{grokked_at(values['grokked_step'])}; " + ", ".join(
        f"{name} with FFS {values[f'ffs_{name}']:.2f} and FCR {values[f'fcr_{name}']:.2f}" for name in ("W_E", "W_L")
    )


def _addition(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "add", seeds)
    for seed in seeds:
        values = _values(trained, "add", seed)
        few = max(values["ffs_W_E"], values["ffs_W_L"]) < SPARSE
        alike = min(values["fcr_W_E"], values["fcr_W_L"]) > BALANCED
        yield Outcome(values, values["grokked_step"] is not None and few and alike, _sentence(values))


def _multiplication(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "multiply", seeds)
    for seed in seeds:
        values = _values(trained, "multiply", seed)
        values["fcr_W_E_at_the_start"] = float(trained.path("multiply", seed, "fcr_W_E")[1][0])
        all_used = min(values["ffs_W_E"], values["ffs_W_L"]) > DENSE
        falls = values["fcr_W_E_at_the_start"] - values["fcr_W_E"] > 0.1
        cosines = min(values["cosine_led_W_E"], values["cosine_led_W_L"]) > BIASED
        for name in ("W_E", "W_L"):
            values[f"led_by_one_phase_{name}"] = max(values[f"cosine_led_{name}"], 1 - values[f"cosine_led_{name}"])
        sentence = (
            f"{_sentence(values)}; cosines lead {values['cosine_led_W_E']:.0%} and {values['cosine_led_W_L']:.0%}"
        )
        yield Outcome(values, values["grokked_step"] is not None and all_used and falls and cosines, sentence)


def _subtraction(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    minus, plus = (cleaned_up(trainer, size, operation, seeds) for operation in ("subtract", "add"))
    for seed in seeds:
        values = _values(minus, "subtract", seed)
        values["fcr_W_L_of_addition"] = float(plus.spectra("add", seed)["fcr_W_L"])
        few = max(values["ffs_W_E"], values["ffs_W_L"]) < SPARSE
        biased = values["fcr_W_L"] < values["fcr_W_L_of_addition"] - 0.1
        sentence = f"{_sentence(values)}, where addition's W_L has FCR {values['fcr_W_L_of_addition']:.2f}"
        yield Outcome(values, values["grokked_step"] is not None and few and biased, sentence)


def _squares(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "x2_y2", seeds)
    for seed in seeds:
        values = _values(trained, "x2_y2", seed)
        like_product = values["ffs_W_E"] > DENSE and values["fcr_W_E"] < 0.5 and values["cosine_led_W_E"] > BIASED
        like_sum = values["ffs_W_L"] < SPARSE and values["fcr_W_L"] > BALANCED
        sentence = f"{_sentence(values)}; cosines lead {values['cosine_led_W_E']:.0%} of the frequencies of W_E"
        yield Outcome(values, values["grokked_step"] is not None and like_product and like_sum, sentence)


def _shifted(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "xy_x_y", seeds)
    for seed in seeds:
        values = _values(trained, "xy_x_y", seed)
        weights, task = trained.weights("xy_x_y", seed), trained.task("xy_x_y", seed)
        for name, matrix in (("W_E", embedding_matrix(weights, task)), ("W_L", neuron_logit_map(weights, task))):
            # xy + x + y = (x + 1)(y + 1) − 1: the row of x becomes that of x + 1
            renamed = np.roll(matrix, 1, axis=0)
            values[f"fcr_{name}_renamed"] = coefficient_ratio(renamed)
            values[f"cosine_led_{name}_renamed"] = cosine_led(renamed)
            values[f"singular_ratio_{name}_changes_by"] = abs(singular_ratio(renamed) - singular_ratio(matrix))
        before, after = ([values[f"cosine_led_{name}{end}"] for name in ("W_E", "W_L")] for end in ("", "_renamed"))
        falls = all(values[f"fcr_{name}_renamed"] < values[f"fcr_{name}"] for name in ("W_E", "W_L"))
        same = max(v for k, v in values.items() if k.endswith("changes_by")) < 1e-9
        holds = values["grokked_step"] is not None and max(before) < BIASED < min(after) and falls and same
        sentence = (
            f"{grokked_at(values['grokked_step'])}; cosines lead {before[0]:.0%} and {before[1]:.0%} of W_E's "
            f"frequencies and W_L's, and {after[0]:.0%} and {after[1]:.0%} once x is renamed x + 1"
        )
        yield Outcome(values, bool(holds), sentence)


def _progress(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    plus, times = (cleaned_up(trainer, size, operation, seeds) for operation in ("add", "multiply"))
    for seed in seeds:
        grokked = plus.grokked("add", seed)
        half = half_way(*plus.path("add", seed, "ffs_W_E"))
        curves = times.curves("multiply", seed)
        reached = np.flatnonzero(curves["test_accuracy"] >= 0.5)
        steps, ratio = times.path("multiply", seed, "fcr_W_E")
        at_half = float(np.interp(curves["step"][reached[0]], steps, ratio)) if len(reached) else None
        values = {
            "addition_grokked_step": grokked,
            "addition_ffs_half_way_at": half,
            "multiplication_grokked_step": times.grokked("multiply", seed),
            "multiplication_fcr_at_half_accuracy": at_half,
            "multiplication_fcr_at_the_end": float(ratio[-1]),
        }
        with_it = grokked is not None and half is not None and 0.5 <= half / grokked <= 2
        late = at_half is not None and at_half >= 0.9 and at_half - ratio[-1] > 0.1
        before = "none" if at_half is None else f"{at_half:.3f}"
        sentence = (
            f"addition groks at {grokked} and its FFS is half way down at {half}; multiplication's FCR is {before} at "
            f"half accuracy and {ratio[-1]:.3f} in the end"
        )
        yield Outcome(values, bool(with_it and late), sentence)


def half_way(steps: np.ndarray, values: np.ndarray) -> int | None:
    """Return the first step at which a falling curve is halfway from its start to its end."""
    if not values[-1] < values[0]:
        return None
    return int(steps[np.flatnonzero(values <= (values[0] + values[-1]) / 2)[0]])


def _claim(run: Any, quick: str = "{}.", elementary: bool = True, **words: Any) -> Claim:
    """A claim on the elementary operations' runs, or on one operation's own. quick: the setting, with {} for all's."""
    costs, shares = (ELEMENTARY_COST, "elementary") if elementary else (COST, "")
    of_quick = trial(run, "quick", costs["quick"], quick, cleaned=True, shares=shares)
    return Claim(quick=of_quick, full=trial(run, "full", costs["full"], cleaned=True, shares=shares), **words)


#: The reading of the paper's key frequencies that is ours to choose: a component of W_L above half of the largest.
RULE = "furuta"


def _losses(trainer: Trainer, trained: Trained, operation: str, seed: int) -> dict[str, Any]:
    """Training losses of the combinations by name, for each rule of key frequencies, and those it names."""
    trainer.check_time()
    experiment = trained.run.experiments[trained.member(operation, seed)]
    rows = trained.train_rows(operation, seed)
    parts = MEASURES["logit_parts"](
        trained.weights(operation, seed), trained.task(operation, seed), rows, network=experiment.network
    )
    losses: dict[str, Any] = {}
    for i, rule in enumerate(parts["rules"]):
        losses[rule] = dict(zip(PARTS, np.asarray(parts["train_loss"])[i].tolist(), strict=True))
        losses[rule]["frequencies"] = (np.flatnonzero(np.asarray(parts["is_key"])[i]) + 1).tolist()
    return losses


def _values_of_parts(trained: Trained, losses: dict[str, Any], operation: str, seed: int) -> dict[str, Any]:
    values: dict[str, Any] = {"grokked_step": trained.grokked(operation, seed)}
    for rule, of in losses.items():
        values |= {f"{rule}_{name}": value for name, value in of.items()}
    return values


def _parts_of_addition(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "add", seeds)
    for seed in seeds:
        losses = _losses(trainer, trained, "add", seed)
        of = losses[RULE]
        uniform = float(np.log(trained.task("add", seed).modulus))
        change = abs(of["key_residual"] / of["all"] - 1)
        worst = min(of["non_key"], of["residual"], of["non_key_residual"])
        values = _values_of_parts(trained, losses, "add", seed) | {
            "uniform_loss": uniform,
            "without_non_key_changes_by": change,
        }
        holds = (
            values["grokked_step"] is not None and of["key"] < of["all"] and change <= 0.01 and worst > 0.95 * uniform
        )
        sentence = (
            f"key frequencies {', '.join(map(str, of['frequencies']))}: loss {of['all']:.2e} of all parts, "
            f"{of['key']:.2e} of the key ones, without the others {change:.2%} off; {worst:.2f} at least without key "
            f"parts (uniform {uniform:.2f})"
        )
        yield Outcome(values, bool(holds), sentence)


def _parts_of_subtraction(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    trained = cleaned_up(trainer, size, "subtract", seeds)
    for seed in seeds:
        losses = _losses(trainer, trained, "subtract", seed)
        of = losses[RULE]
        values = _values_of_parts(trained, losses, "subtract", seed)
        values |= {"key_over_all": of["key"] / of["all"], "without_non_key_over_all": of["key_residual"] / of["all"]}
        holds = values["grokked_step"] is not None and values["key_over_all"] > 1e5
        holds = holds and values["without_non_key_over_all"] > 10
        union = losses["furuta_union"]
        sentence = (
            f"{len(of['frequencies'])} key frequencies of W_L: loss {of['all']:.2e} of all, {of['key']:.2e} of the key "
            f"parts ({of['key_mean']:.2e} with the mean of each class), {of['key_residual']:.2e} without the others; "
            f"with the {len(union['frequencies'])} of W_E or W_L {union['key']:.2e}, {union['key_mean']:.2e} and "
            f"{union['key_residual']:.2e}"
        )
        yield Outcome(values, bool(holds), sentence)


CLAIMS = [
    _claim(
        _addition,
        id="addition-spectrum",
        claim="Addition comes to few frequencies, whose cosines and sines stay alike.",
        source="figures 3 and 10, appendix H",
        expected="FFS falls (reference: .146 of W_E, .125 of W_L), FCR stays high (.850, .836)",
        counter="The bars are ours: FFS below .5 and FCR above .7, of both matrices. Reference values are one seed of "
        "an independent implementation.",
    ),
    _claim(
        _multiplication,
        id="multiplication-spectrum",
        claim="Multiplication keeps all frequencies, and becomes biased towards cosines.",
        source="figures 3 and 10",
        expected="FFS stays 1 in W_E and W_L; FCR of W_E falls (reference: from .932 to .702); cosines lead all 48 "
        "frequencies of either matrix",
        counter="The paper's example program calls cosines sines. Algebra prefers neither: of the characters that make "
        "up a product the even ones are cosines and the odd ones sines. The bars are ours: FFS above .9, FCR of W_E "
        "falls by more than .1, cosines lead 95%.",
    ),
    _claim(
        _subtraction,
        quick="{}; subtraction from 75%, which from 60% takes too long.",
        id="subtraction-spectrum",
        claim="Subtraction is sparse like addition, but its W_L is biased to one phase.",
        source="figure 3",
        expected="FFS falls (reference: .208 of W_E, .062 of W_L at r = .6); FCR of W_L .603 where addition's is .836",
        counter="The bars are ours: FFS below .5, FCR of W_L lower than addition's of the same seed by .1.",
    ),
    _claim(
        _squares,
        elementary=False,
        quick="Mod 73 from 35% of the pairs, the network as in the paper, until 1,000 steps after it has grokked, for "
        "up to 5,000 steps: mod 37 nearly all pairs are right once (±x, ±y) have one answer.",
        id="squares-spectrum",
        claim="x² + y² has an embedding like multiplication's and a neuron-logit map like addition's.",
        source="figure 6",
        expected="reference: W_E with FFS 1, FCR .073 and cosines leading all frequencies; W_L with FFS .104, FCR .801",
        counter="The bars are ours: W_E with FFS above .9, FCR below .5, cosines leading 95%; W_L with FFS below .5, "
        "FCR above .7. A function of x² is even in x, so that the cosines follow from the data.",
    ),
    _claim(
        _shifted,
        elementary=False,
        id="shifted-product",
        claim="xy + x + y = (x + 1)(y + 1) − 1 uses all frequencies, with sines where xy has cosines.",
        source="figure 6",
        expected="cosines lead all frequencies of both matrices once x is renamed x + 1, and FCR falls (reference: to "
        ".724 and .571); not before",
        counter="The sines are multiplication's bias turned by the angle w_k: FCR depends on where residues begin, the "
        "ratio of singular values does not. As with multiplication a seed may be biased to sines: see the numbers.",
    ),
    _claim(
        _progress,
        id="progress-measures",
        claim="FFS and FCR turn when the model generalises: they are measures of progress.",
        source="section 6, figure 10",
        expected="FFS of addition falls with grokking; multiplication's FCR is still above .9 (reference: .911) when "
        "half of the test pairs are right, and falls after that",
        counter="The bars are ours: FFS half way down within a factor of 2 of the step of grokking; FCR falls by .1 "
        "from half accuracy on.",
    ),
    Claim(
        id="logit-parts-addition",
        claim="Addition needs its key frequencies alone: with them the loss is lower than with everything.",
        source="appendix E, table 4",
        expected="1.008e-7 of all parts, 4.985e-8 of the key ones, 1.015e-7 without non-key frequencies; 4.576, 5.385 "
        "and 5.383 of non-key, residual and both",
        counter="The paper gives no rule of key frequencies: here a component of W_L above half of the largest. The "
        "bars: key below all, 1% without the non-key, .95 ln p without the key ones.",
        quick=trial(_parts_of_addition, "quick", ELEMENTARY_COST["quick"], cleaned=True, shares="elementary"),
        full=trial(_parts_of_addition, "full", ELEMENTARY_COST["full"], cleaned=True, shares="elementary"),
    ),
    Claim(
        id="logit-parts-subtraction",
        claim="Subtraction needs all its parts: with its key frequencies alone the loss is large.",
        source="appendix E, table 4",
        expected="1.336e-7 of all parts, .7141 of the key ones, 5.348e-6 without non-key frequencies; the bars: above "
        "10⁵ times and 10 times all parts",
        counter="The numbers hang on what counts as key, and on whether the mean of each class is given back: both "
        "are given, for the frequencies of W_L and for those of W_E or W_L.",
        quick=trial(
            _parts_of_subtraction,
            "quick",
            ELEMENTARY_COST["quick"],
            "{}, here from 75%.",
            cleaned=True,
            shares="elementary",
        ),
        full=trial(_parts_of_subtraction, "full", ELEMENTARY_COST["full"], cleaned=True, shares="elementary"),
    ),
]
