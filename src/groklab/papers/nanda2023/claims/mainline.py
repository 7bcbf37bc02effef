"""Claims on what one trained model computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.measures import (
    MEASURES,
    ablations,
    attention,
    directions,
    find_frequencies,
    key_frequencies,
    progress,
)
from groklab.papers.nanda2023.claims.runs import (
    ENOUGH_DATA,
    FEW,
    FULL_COST,
    LATE,
    MEMORISED,
    OTHER_FREQUENCIES,
    analysis,
    chance_loss,
    claim_on_mainline,
    enough_data,
    final,
    mainline,
    memorised_weights,
    other_analysis,
    other_frequencies,
    times,
    trial,
)
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Values
from groklab.store import Run
from groklab.tasks import Task

PAPER_KEYS = [14, 35, 41, 42, 52]


def _groks(trainer: Trainer, size: str, seed: int) -> Outcome:
    values = times(mainline(trainer, size, seed))
    sentence = f"memorised at {values['memorised_step']}, grokked at {values['grokked_step']}"
    return Outcome(values, sentence=sentence, control=times(enough_data(trainer, size, seed)))


def _key_frequencies(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, _, experiment = final(run)
    by_rule = key_frequencies(weights, task, network=experiment.network)
    values: Values = {"n_key_frequencies": len(by_rule["frequencies"])}
    values |= {f"by_{k}": v for k, v in by_rule.items() if k != "frequencies"}
    control = {"n_key_frequencies": len(find_frequencies(memorised_weights(run), task, experiment.network))}
    sentence = f"key frequencies {', '.join(map(str, by_rule['frequencies']))}"
    return Outcome(values, sentence=sentence, control=control)


def _paper_keys(trainer: Trainer, size: str, seed: int) -> Outcome:
    measured, other = ({"key_frequencies": _keys(mainline(trainer, size, s))} for s in (seed, seed + 1))
    return Outcome(
        measured, sentence=f"key frequencies {', '.join(map(str, measured['key_frequencies']))}", control=other
    )


def _keys(run: Run) -> list[int]:
    weights, task, _, experiment = final(run)
    return list(find_frequencies(weights, task, experiment.network))


def _logit_fit(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    values, control = (_fit(c) for c in (analysis(trainer, run), other_analysis(trainer, run, seed)))
    sentence = (
        f"{values['logit_fve']:.1%} of variance; test loss {values['trig_loss']:.2e} against {values['test_loss']:.2e}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _fit(circuit: dict[str, Any]) -> Values:
    values = {k: circuit[k] for k in ("logit_fve", "trig_loss", "test_loss", "trig_accuracy")}
    return {**values, "trig_over_test_loss": circuit["trig_loss"] / circuit["test_loss"]}


def _rank(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, _, experiment = final(run)
    keys = analysis(trainer, run)["key_frequencies"]
    values, control = (_rank_of(w, task, experiment.network, keys) for w in (weights, memorised_weights(run)))
    sentence = (
        f"{2 * len(keys)} singular values, then a gap of {values['gap']:.1f} times; they leave "
        f"{values['rank_residual']:.2%} of the norm, the waves {values['wave_residual']:.2%}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _rank_of(weights: dict[str, np.ndarray], task: Task, network: Any, keys: list[int]) -> Values:
    """Return how much of W_L two directions for each key frequency hold: the best ones, and the waves."""
    spectrum = directions(weights, task, network=network, frequencies=keys)
    singular, n = spectrum.singular_values, 2 * len(keys)
    return {
        "directions": n,
        "largest_gap_after": int(np.argmax(singular[:-1] / singular[1:])) + 1,
        "beyond_directions": int(np.argmax(singular[:-1] / singular[1:])) + 1 - n,
        "gap": float(singular[n - 1] / singular[n]),
        "rank_residual": float(np.linalg.norm(singular[n:]) / np.linalg.norm(singular)),
        "wave_residual": spectrum.residual_ratio_with_constant,
        "wave_residual_of_squares": spectrum.residual_ratio_with_constant**2,
    }


def _directions(trainer: Trainer, size: str, seed: int) -> Outcome:
    weights, task, _, experiment = final(mainline(trainer, size, seed))
    keys = list(find_frequencies(weights, task, experiment.network))
    values, control = (
        _waves(weights, task, experiment.network, k) for k in (keys, other_frequencies(keys, task.modulus, seed))
    )
    sentence = f"{values['smallest_fve']:.1%} to {values['largest_fve']:.1%} over {2 * len(keys)} directions"
    return Outcome(values, sentence=sentence, control=control)


def _waves(weights: dict[str, np.ndarray], task: Task, network: Any, keys: list[int]) -> Values:
    along = directions(weights, task, network=network, frequencies=keys)
    fve = [*along.cos_fve, *along.sin_fve]
    return {"smallest_fve": float(min(fve)), "largest_fve": float(max(fve))}


def _neurons(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, _, experiment = final(run)
    values, control = (_explained(w, task, experiment.network) for w in (weights, memorised_weights(run)))
    sentence = f"{values['well_explained_neurons']} neurons, {values['share']:.1%}"
    return Outcome(values, sentence=sentence, control=control)


def _explained(weights: dict[str, np.ndarray], task: Task, network: Any) -> Values:
    measured = MEASURES["neurons"](weights, task, network=network)
    well = int(measured["well_explained_neurons"])
    return {"well_explained_neurons": well, "share": well / len(measured["fve"])}


def _attention(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, _, experiment = final(run)
    values, control = (_heads(w, task, experiment.network) for w in (weights, memorised_weights(run)))
    linear = values["linear_fve"]
    sentence = (
        f"'=' gets {values['attention_to_equals']:.2%}; linear form explains {min(linear):.1%} to {max(linear):.1%}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _heads(weights: dict[str, np.ndarray], task: Task, network: Any) -> Values:
    heads = attention(weights, task, network=network)
    return {
        "attention_to_equals": float(np.max(heads.mean_pattern[:, -1])),
        "smallest_linear_fve": float(heads.linear_fve.min()),
        "linear_fve": heads.linear_fve.tolist(),
    }


def _ablations(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, train, experiment = final(run)
    without = ablations(weights, task, train, network=experiment.network).loss_without_frequency
    own, other = analysis(trainer, run), other_analysis(trainer, run, seed)
    values, control = (_harm(c, without, chance_loss(task.modulus)) for c in (own, other))
    sentence = (
        f"without key frequencies {values['excluded_loss']:.2f} (uniform {values['uniform_loss']:.2f}), with them "
        f"alone {values['restricted_loss']:.1e} (all {values['loss']:.1e}); the least of them alone multiplies it by "
        f"{values['least_key_times']:.3g}"
    )
    return Outcome(values, sentence=sentence, control=control)


def _harm(circuit: dict[str, Any], without: np.ndarray, uniform: float) -> Values:
    """Return what removing frequencies does to the loss on all pairs; without (p//2,): the loss without each alone."""
    values = {name: circuit[name] for name in ("excluded_loss", "restricted_loss", "loss")}
    rise = without - circuit["loss"]
    key = np.isin(np.arange(1, len(rise) + 1), circuit["key_frequencies"])
    least, most = float(rise[key].min()), float(rise[~key].max()) if not key.all() else None
    return {
        **values,
        "uniform_loss": uniform,
        "excluded_over_uniform": circuit["excluded_loss"] / uniform,
        "restricted_over_loss": circuit["restricted_loss"] / circuit["loss"],
        "least_key_times": 1 + least / circuit["loss"],
        "largest_rise_by_another": most,
        # where every frequency is key there is no other to compare with
        "another_over_least_key": None if most is None or least <= 0 else max(most, 0.0) / least,
    }


def _centring(trainer: Trainer, size: str, seed: int) -> Outcome:
    weights, task, train, experiment = final(mainline(trainer, size, seed))
    moved = dict(weights)
    # the same number added to all answers, of a size that depends on the input
    direction = np.random.default_rng(seed).normal(size=(weights["unembed.W_U"].shape[0], 1)).astype("float64")
    moved["unembed.W_U"] = weights["unembed.W_U"] + direction
    one, other = (progress(w, task, train, network=experiment.network) for w in (weights, moved))
    change = max(abs(other[k] / one[k] - 1) for k in ("loss", "train_loss", "test_loss", "logit_fve"))
    return Outcome({"largest_relative_change": change}, sentence=f"changes by at most {change:.1e}")


#: The paper: 'losing the rest helps', 2.4e-7 to 4.7e-8.
FIT = (
    Bar("logit_fve", ">=", 0.95, "the paper: 95% of variance"),
    Bar("trig_over_test_loss", "<", 1, "the paper: the loss falls, from 2.4e-7 to 4.7e-8"),
)
RESIDUAL = 0.0055
RANK = (
    Bar("beyond_directions", "==", 0, "the paper: rank 10 for five frequencies, so the gap comes after two for each"),
    Bar(
        "rank_residual",
        "<=",
        RESIDUAL,
        "the paper: a residual below 0.55% of the norm, by the best matrix of that rank",
    ),
    Bar(
        "wave_residual_of_squares",
        "<=",
        RESIDUAL,
        "the paper's 0.55%, of the waves themselves, as a share of squares: see the counter-evidence",
    ),
)
WAVES = (Bar("smallest_fve", ">=", 0.85, "the paper's own threshold for 'well explained'; its numbers are 93% to 98%"),)
NEURONS = (Bar("share", ">=", 0.7, "'most'; the paper has 84.6%, a released model whose cleanup is not done 36%"),)
HEADS = (
    Bar("attention_to_equals", "<=", 0.004, "the paper: 0.1% to 0.4%"),
    Bar("smallest_linear_fve", ">=", 0.9, "nearly all of each pattern; the paper's least is 97.9%"),
)
HARM = (
    Bar("excluded_over_uniform", ">", 1, "the paper: worse than chance without its key frequencies"),
    Bar("restricted_over_loss", "<", 1, "the paper: the loss falls when all other components are ablated"),
    Bar("least_key_times", ">=", 10, "figure 6: each key frequency stands out; a re-run of the mainline has 860"),
    Bar("another_over_least_key", "<=", 0.01, "figure 6: no other frequency shows beside the least of the key ones"),
)


RATIO_OF_SQUARES = (
    "As a share of the norm the waves leave 7.3% on the paper's own model after 40,000 steps, the square of which is "
    "0.54%: the paper's 0.55% is that of squares. The best matrix of rank 10 leaves 0.15% of the norm on another "
    "program's run. On the released model of decay 0.1 the waves leave 10%. Where a quick seed fails, it does so by "
    "little: 0.554% of squares."
)


CLAIMS = [
    claim_on_mainline(
        _groks,
        LATE,
        quick_cost=10,
        full_cost=60,
        control=ENOUGH_DATA,
        id="groks",
        claim="A one-layer transformer on modular addition memorises, and groks long afterwards.",
        source="section 3 and figure 2",
        expected="memorised by about step 140, grokked at some 10,000",
    ),
    claim_on_mainline(
        _key_frequencies,
        FEW,
        control="the same network when it has memorised, before it groks",
        id="key-frequencies",
        claim="The trained model computes with a handful of key frequencies.",
        source="sections 4.1 and 4.2, appendix C.2",
        expected="five for the paper's own model, 3 to 5 for other seeds",
    ),
    Claim(
        id="paper-keys",
        claim="The mainline's key frequencies are 14, 35, 41, 42 and 52.",
        source="section 4.1",
        expected="14, 35, 41, 42, 52",
        control="the same network with seed 1",
        quick=None,
        full=trial(
            _paper_keys,
            "full",
            bars=(Bar("key_frequencies", "==", PAPER_KEYS, "the paper's own list"),),
            setting="The mainline from the published code's initial weights and split for seed 0, in double precision.",
            seeds=(0,),
            cost=2 * FULL_COST,
            fixed=True,
        ),
        counter="Rounding decides between close rivals: trained in single precision, 55 takes the place of 41.",
    ),
    claim_on_mainline(
        _logit_fit,
        FIT,
        control=OTHER_FREQUENCIES,
        id="trigonometric-logits",
        claim="Logits are nearly a sum of cos(w_k(a+b−c)) over the key frequencies, and losing the rest helps.",
        source="section 4.1, table 1",
        expected="95% of variance; test loss 2.4e-7 falls to 4.7e-8",
    ),
    claim_on_mainline(
        _rank,
        RANK,
        control=MEMORISED,
        id="low-rank-map",
        claim="The neuron-logit map W_L has two directions for each key frequency, and little else.",
        source="section 4.2",
        expected="rank 10 for five frequencies; residual below 0.55% of its norm",
        counter=RATIO_OF_SQUARES,
    ),
    claim_on_mainline(
        _directions,
        WAVES,
        control=OTHER_FREQUENCIES,
        id="directions",
        claim="Along these directions the neurons compute cos and sin of w_k(a+b).",
        source="section 4.2, table 1",
        expected="93.2% to 98.2% of variance",
    ),
    claim_on_mainline(
        _neurons,
        NEURONS,
        control="the same network when it has memorised, before it groks",
        id="neurons",
        claim="Most neurons are polynomials of degree 2 in the sine and cosine of one frequency.",
        source="section 4.2 and appendix C.1",
        expected="433 of 512 (84.6%) have more than 85% of their variance at one frequency",
    ),
    claim_on_mainline(
        _attention,
        HEADS,
        control="the same network when it has memorised, before it groks",
        id="attention",
        claim="Attention to '=' is negligible, and each head's pattern is linear in cos and sin of one frequency.",
        source="appendix C.1",
        expected="0.1% to 0.4% to '='; the linear form explains 97.9% to 99.1%",
        counter="Heads mix frequencies, and part with the second one slowly. In the quick runs one frequency explains "
        "41% to 97% of a head and three of the key frequencies 94% to 98%; in the weakest head of seed 2 one "
        "explains 51% at step 4,000, 66% at 6,000 and 70% at 8,000. On the released model of decay 0.1 it is "
        "39% to 67%, on the paper's own start after 40,000 steps 90% to 96%. To '=' go 0.39% to 0.57% at p = "
        "59, 0.50% on the paper's own start.",
    ),
    claim_on_mainline(
        _ablations,
        HARM,
        control=OTHER_FREQUENCIES,
        id="ablations",
        claim="Without all key frequencies the model is worse than chance, and much worse than whole without any one; "
        "without another frequency nothing shows; with the key frequencies alone it is better than whole.",
        source="section 4.4 and figure 6",
        expected="excluded loss above ln p; the loss rises without each of the five and without no other; with only "
        "the five it falls from 2.4e-7 to 7e-8",
    ),
    claim_on_mainline(
        _centring,
        (Bar("largest_relative_change", "<", 1e-9, "rounding of double precision at losses near 1e-9"),),
        kind="check",
        id="centring",
        claim="A number added to all answers of an input changes no loss and no fraction of explained variance.",
        source="definition in section 4.1, with logits centred over answers",
        expected="no change",
    ),
]
