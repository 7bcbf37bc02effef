"""The claims of Omnigrok (arXiv 2210.01117): `groklab reproduce omnigrok`.

Those on images are also in Liu et al. 2022 (arXiv 2205.10343), section 4.3. 60% of the test digits count as
generalised, as in its phase diagram (figure 8b), 90% of the training set as fitted, and a delay of 1,000 steps as
grokking. Curves are cut at a trial's own budget, since a kept run may be longer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.grokking import first_step
from groklab.reproduction import Claim, Outcome, Size, Trainer, Trial, publish
from groklab.store import Run

Curves = Mapping[str, np.ndarray]

#: Test accuracy from which digits count as generalised, and the delay that counts as one.
GENERALISED, DELAY = 0.6, 1000
#: Weight decays that are compared, ascending, and the steps that each is given.
DECAYS: dict[Size, dict[float, int]] = {
    "quick": {0.03: 18_000, 0.1: 10_000, 0.3: 3_000},
    "full": {0.01: 100_000, 0.03: 40_000, 0.1: 30_000, 0.3: 10_000},
}
#: The decay of the run that shows the delay.
MAIN_DECAY: dict[Size, float] = {"quick": 0.1, "full": 0.01}
NO_DECAY: dict[Size, int] = {"quick": 20_000, "full": 100_000}
NO_DELAY: dict[Size, int] = {"quick": 500, "full": 3_000}


#: Setting, number of seeds and cost of a trial.
Plan = tuple[str, int, float]


def trial(run: Callable[[Trainer, Size, int], Outcome], size: Size, plan: Plan, shares: str) -> Trial:
    """Return the trial of a size."""
    setting, seeds, cost = plan
    return Trial(
        setting=setting, seeds=seeds, cost=cost, shares=shares, run=lambda trainer, seed: run(trainer, size, seed)
    )


def until(run: Run, budget: int, member: int = 0) -> Curves:
    """Return a member's curves up to step `budget`."""
    curves = run.curves(member)
    return {k: v[curves["step"] <= budget] for k, v in curves.items()}


def first(curves: Curves, name: str, bar: float) -> int | None:
    """Return the first step at which an accuracy reaches a bar."""
    # accuracies are kept in single precision, where 0.9 is a little less
    return first_step(curves["step"], curves[name] >= bar - 1e-7)


def at(curves: Curves, name: str, step: int | None) -> float | None:
    """Return a metric at an evaluated step."""
    return None if step is None else float(curves[name][curves["step"] == step][0])


def at_step(step: int | None) -> str:
    """Write a step that was reached or not."""
    return "not reached" if step is None else f"at step {step:,}"


def _times(curves: Curves) -> tuple[int | None, int | None]:
    """The steps of 90% of the training set, and of 60% of the test digits."""
    return first(curves, "train_accuracy", 0.9), first(curves, "test_accuracy", GENERALISED)


def _delay(curves: Curves) -> int | None:
    """Steps from the first of these to the second, None where one was not reached."""
    fitted, generalised = _times(curves)
    return None if fitted is None or generalised is None else generalised - fitted


def _decayed(trainer: Trainer, size: Size, seed: int, decay: float) -> Curves:
    """From weights 8 times too large, at a weight decay: the presets' own runs where there are such."""
    name = {0.01: "mnist", 0.1: "mnist-small"}.get(decay)
    steps = DECAYS[size][decay]
    settings: dict[str, Any] = {"seed": seed, "budget.steps": steps}
    if name is None:
        name = "mnist-small"
        settings |= {"name": "omnigrok/mnist-decay", "optimiser.weight_decay": decay}
    return until(trainer.train(preset(f"omnigrok/{name}", settings)), steps)


def _course(curves: Curves) -> tuple[dict[str, Any], str]:
    """When a network fitted and generalised, as values and in words."""
    fitted, generalised = _times(curves)
    values: dict[str, Any] = {"train_90%_at": fitted, "test_when_train_90%": at(curves, "test_accuracy", fitted)}
    values |= {f"test_{bar:.0%}_at": first(curves, "test_accuracy", bar) for bar in (0.5, GENERALISED, 0.8, 0.85)}
    values["test_end"] = float(curves["test_accuracy"][-1])
    return values, f"90% of the training set {at_step(fitted)}, 60% of the test digits {at_step(generalised)}"


def _delayed(trainer: Trainer, size: Size, seed: int) -> Outcome:
    curves = _decayed(trainer, size, seed, MAIN_DECAY[size])
    delay = _delay(curves)
    values, sentence = _course(curves)
    return Outcome(values, delay is not None and delay >= DELAY, sentence)


def _no_delay(trainer: Trainer, size: Size, seed: int) -> Outcome:
    settings: dict[str, Any] = {"seed": seed, "budget.steps": NO_DELAY[size], "evaluation.every": 5}
    curves = until(trainer.train(preset("omnigrok/mnist-no-delay", settings)), NO_DELAY[size])
    delay = _delay(curves)
    values, sentence = _course(curves)
    return Outcome(values, delay is not None and delay < DELAY, sentence)


def _by_decay(trainer: Trainer, size: Size, seed: int) -> tuple[dict[str, Any], list[int | None], float | None]:
    """Values, the step of 60% for each decay, and the slope of its logarithm in the decay's."""
    times = [_times(_decayed(trainer, size, seed, decay))[1] for decay in DECAYS[size]]
    steps = dict(zip(DECAYS[size], times, strict=True))
    reached = np.array([(decay, time) for decay, time in steps.items() if time], float)
    slope = float(np.polyfit(np.log(reached[:, 0]), np.log(reached[:, 1]), 1)[0]) if len(reached) > 1 else None
    values: dict[str, Any] = {f"test_60%_at_decay_{decay:g}": time for decay, time in steps.items()}
    return {**values, "slope": slope}, times, slope


def _shorter(trainer: Trainer, size: Size, seed: int) -> Outcome:
    values, times, _ = _by_decay(trainer, size, seed)
    # what was not reached comes later than what was; of two such nothing is known
    late = [np.inf if t is None else t for t in times]
    holds = all(a > b for a, b in itertools.pairwise(late))
    parts = (f"{at_step(t)} with decay {decay:g}" for t, decay in zip(times, DECAYS[size], strict=True))
    return Outcome(values, holds, f"60% of the test digits {', '.join(parts)}")


def _inverse(trainer: Trainer, size: Size, seed: int) -> Outcome:
    values, times, slope = _by_decay(trainer, size, seed)
    holds = slope is not None and None not in times and abs(slope + 1) < 0.25
    sentence = "too few decays got there" if slope is None else f"time goes with decay to the power of {slope:.2f}"
    return Outcome(values, holds, sentence)


def _without_decay(trainer: Trainer, size: Size, seed: int) -> Outcome:
    steps = NO_DECAY[size]
    curves = until(trainer.train(preset("omnigrok/mnist-no-decay", {"seed": seed, "budget.steps": steps})), steps)
    fitted, generalised = _times(curves)
    start, end = at(curves, "test_accuracy", fitted), float(curves["test_accuracy"][-1])
    norm = [float(curves["weight_norm"][i]) for i in (0, -1)]
    values: dict[str, Any] = {"train_90%_at": fitted, "test_when_train_90%": start, "test_end": end}
    values |= {"test_60%_at": generalised, "norm_start": norm[0], "norm_end": norm[1]}
    if start is None:
        return Outcome(values, False, "90% of the training set not reached")
    sentence = (
        f"test accuracy {start:.2f} at the fit, {end:.2f} after {curves['step'][-1]:,} steps; norm {norm[0]:.1f}, "
    )
    return Outcome(values, generalised is None and end - start < 0.1, f"{sentence}then {norm[1]:.1f}")


def _norm(trainer: Trainer, size: Size, seed: int) -> Outcome:
    from scipy.stats import spearmanr  # a second of importing, which other commands need not take

    decay = MAIN_DECAY[size]
    curves = _decayed(trainer, size, seed, decay)
    fitted, generalised = _times(curves)
    norm = np.asarray(curves["weight_norm"], float)
    usual = preset("omnigrok/mnist")
    assert usual.optimiser is not None
    by_decay = float(norm[0] * np.exp(-usual.optimiser.learning_rate * decay * float(curves["step"][-1])))
    start, end = float(norm[0]), float(norm[-1])
    values: dict[str, Any] = {"norm_start": start, "norm_end": end, "norm_end_by_decay_alone": by_decay}
    values["norm_at_test_60%"] = passed = at(curves, "weight_norm", generalised)
    # in units of the norm of weights as PyTorch draws them: the scale of the landscapes
    unit = start / usual.network.init_scale
    values |= {"scale_at_test_60%": None if passed is None else passed / unit, "scale_end": end / unit}
    if fitted is None:
        return Outcome(values, False, "90% of the training set not reached")
    later = curves["step"] >= fitted
    falls = bool(np.all(np.diff(norm[later]) < 0))
    together = float(spearmanr(norm[later], curves["test_accuracy"][later]).statistic)
    values |= {"falls_throughout": falls, "rank_correlation_with_test_accuracy": together}
    sentence = f"norm {start:.1f}, then {end:.1f}; rank correlation with test accuracy {together:.3f}"
    return Outcome(values, falls and together < -0.95, sentence)


_DIGITS = (
    "1,000 digits for training, drawn from 5,000 of MNIST, the other 4,000 for test; 784-200-200-10, AdamW at 10⁻³, "
    "batches of 200"
)
_LARGE = f"{_DIGITS}; weights 8 times as large as PyTorch draws them"
# seconds are those of one core, 3.5 for 1,000 steps
_MAIN: dict[Size, Plan] = {
    "quick": (f"{_LARGE}; decay 0.1, 10,000 steps. The paper's decay is a tenth of it, and takes over 20,000.", 2, 70),
    "full": (f"{_LARGE}; the paper's decay 0.01, 100,000 steps.", 3, 1050),
}
_ALL_DECAYS: dict[Size, Plan] = {
    "quick": (f"{_LARGE}; decay 0.03, 0.1, 0.3 for 18,000, 10,000, 3,000 steps: 60% takes somewhat less.", 2, 217),
    "full": (f"{_LARGE}; decay 0.01, 0.03, 0.1 and 0.3 for 100,000, 40,000, 30,000 and 10,000 steps.", 3, 1890),
}
_USUAL: dict[Size, Plan] = {
    "quick": (f"{_DIGITS}; weights as PyTorch draws them, decay 0.01, 500 steps.", 2, 10),
    "full": (f"{_DIGITS}; weights as PyTorch draws them, decay 0.01, 3,000 steps.", 3, 60),
}
_PLAIN: dict[Size, Plan] = {
    "quick": (f"{_LARGE}; no decay, 20,000 steps: enough to tell a rise from none, not to see where it leads.", 2, 140),
    "full": (f"{_LARGE}; no decay, the paper's 100,000 steps.", 3, 1050),
}
_DATA = "The paper trains on MNIST's first 1,000 digits and tests on 10,000 others, in double precision."


def _claim(run: Callable[[Trainer, Size, int], Outcome], plans: dict[Size, Plan], shares: str, **words: Any) -> Claim:
    quick, full = (trial(run, size, plan, shares) for size, plan in plans.items())
    return Claim(quick=quick, full=full, **words)


STEPS: dict[Size, int] = {"quick": 5_000, "full": 10_000}
STUDENT_STEPS = 100_000
#: Factors of the initial weights, and so of the norm that is kept.
SCALES: dict[Size, tuple[float, ...]] = {
    "quick": (0.3, 0.6, 1.0, 2.0, 8.0),
    "full": (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
}
#: Scales that are too small and too large, and where the training set begins to be fitted.
SMALL, LARGE, FITS = 0.3, 8.0, 0.6
RATE = 1e-3


def _lowest(trainer: Trainer, size: Size, seed: int, cells: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """The lowest errors and losses met at each scale and learning rate: one run, side by side."""
    members = []
    for scale, rate in cells:
        own = {"network.init_scale": scale, "optimiser.learning_rate": rate}
        members.append(preset("omnigrok/landscape", {**own, "seed": seed, "budget.steps": STEPS[size]}))
    run = trainer.train(members)
    lowest = []
    for i in range(len(cells)):
        curves = until(run, STEPS[size], i)
        errors = {f"{part}_error": 1 - float(curves[f"{part}_accuracy"].max()) for part in ("train", "test")}
        lowest.append(errors | {f"{part}_loss": float(curves[f"{part}_loss"].min()) for part in ("train", "test")})
    return lowest


def _landscape(trainer: Trainer, size: Size, seed: int) -> dict[float, dict[str, float]]:
    """What `_lowest` gives at each scale."""
    lowest = _lowest(trainer, size, seed, [(scale, RATE) for scale in SCALES[size]])
    return dict(zip(SCALES[size], lowest, strict=True))


def _lu(trainer: Trainer, size: Size, seed: int) -> Outcome:
    by_scale = _landscape(trainer, size, seed)
    train = {scale: of["train_error"] for scale, of in by_scale.items()}
    test = {scale: of["test_error"] for scale, of in by_scale.items()}
    best = min(test, key=lambda scale: test[scale])
    falls_to_zero = train[SMALL] > 0.05 and all(e <= 0.005 for scale, e in train.items() if scale >= FITS)
    has_minimum = FITS <= best <= 2 and test[SMALL] > 1.5 * test[best] and test[LARGE] > 2 * test[best]
    values: dict[str, Any] = {f"{name}_at_{scale:g}": v for scale, of in by_scale.items() for name, v in of.items()}
    values |= {"best_scale": best, "training_is_an_L": falls_to_zero, "test_is_a_U": has_minimum}
    sentence = (
        f"training error {train[SMALL]:.2f} at scale {SMALL:g}, {train[FITS]:.3f} at {FITS:g}; test error "
        f"{test[SMALL]:.2f} at {SMALL:g}, {test[best]:.2f} at {best:g}, {test[LARGE]:.2f} at {LARGE:g}"
    )
    return Outcome(values, falls_to_zero and has_minimum, sentence)


def _rate_with_norm(trainer: Trainer, size: Size, seed: int) -> Outcome:
    plain = _landscape(trainer, size, seed)
    scaled = _lowest(trainer, size, seed, [(LARGE, RATE * LARGE)])[0]
    least = min(of["test_error"] for of in plain.values())
    values = {"least_test_error": least} | {f"{name}_at_usual_rate": v for name, v in plain[LARGE].items()}
    values |= {f"{name}_at_rate_with_norm": v for name, v in scaled.items()}
    sentence = (
        f"test error at scale {LARGE:g} is {plain[LARGE]['test_error']:.2f} at the usual rate, "
        f"{scaled['test_error']:.2f} at {LARGE:g} times it, and {least:.2f} at the best norm"
    )
    return Outcome(values, scaled["test_error"] > 2 * least, sentence)


def _student(trainer: Trainer, size: Size, seed: int) -> Outcome:
    run = trainer.train(preset("omnigrok/teacher-student", {"seed": seed, "budget.steps": STUDENT_STEPS}))
    curves = until(run, STUDENT_STEPS)
    fitted = first(curves, "train_accuracy", 0.9)
    half, most, all_right = (first(curves, "test_accuracy", bar) for bar in (0.5, 0.9, 1.0))
    values: dict[str, Any] = {"train_90%_at": fitted, "test_50%_at": half, "test_90%_at": most}
    values |= {"test_100%_at": all_right, "test_end": float(curves["test_accuracy"][-1])}
    values["test_when_train_90%"] = at(curves, "test_accuracy", fitted)
    holds = fitted is not None and most is not None and most - fitted >= DELAY
    return Outcome(values, holds, f"90% of the training inputs {at_step(fitted)}, of the others {at_step(most)}")


_CONSTANT = (
    "200 digits for training, 4,800 for test; AdamW without decay, all weights scaled to one norm after each step"
)
_LANDSCAPE: dict[Size, Plan] = {
    "quick": (f"{_CONSTANT}; scales 0.3, 0.6, 1, 2 and 8, 5,000 steps, half of the paper's.", 1, 65),
    "full": (f"{_CONSTANT}; 13 scales from 0.1 to 8, the paper's 10,000 steps.", 3, 975),
}
_CONTROL: dict[Size, Plan] = {
    "quick": (f"{_CONSTANT}; scales 0.3 to 8, and 8 at a rate of 0.008; 5,000 steps, half of the paper's.", 1, 78),
    "full": (f"{_CONSTANT}; 13 scales from 0.1 to 8, and 8 at a rate of 0.008; 10,000 steps.", 3, 1050),
}
_TEACHING = "The paper's own setting, as it takes seconds: 5-100-100-5, 100 examples, 100,000 steps."


CLAIMS = [
    _claim(
        _delayed,
        _MAIN,
        "mnist",
        id="mnist-delayed",
        claim="A network with large initial weights fits 1,000 digits at once and generalises to others much later.",
        source="Liu et al. 2022 (arXiv 2205.10343), section 4.3 and figure 8a; Omnigrok (arXiv 2210.01117)",
        expected="90% of the training set by step 1,300; 60% of the test digits at 23,500, 89% at 100,000; at ten "
        "times the decay 60% at 6,300, 80% at 9,500",
        counter=f"Held to: 60% of the test digits at least 1,000 steps after 90% of the training set. {_DATA}",
    ),
    _claim(
        _no_delay,
        _USUAL,
        "mnist-usual",
        id="mnist-small-init-no-delay",
        claim="With initial weights of the usual size the same network fits and generalises together.",
        source="Liu et al. 2022 (arXiv 2205.10343), section 4.3; Omnigrok (arXiv 2210.01117)",
        expected="90% of the training set and 85% of the test digits at step 32, 91% in the end",
        counter="Held to: 60% of the test digits less than 1,000 steps after 90% of the training set.",
    ),
    _claim(
        _shorter,
        _ALL_DECAYS,
        "mnist",
        id="mnist-decay-shortens",
        claim="The more weight decay, the sooner a network with large initial weights generalises.",
        source="Liu et al. 2022 (arXiv 2205.10343), section 4.3 and figure 8b; Omnigrok (arXiv 2210.01117)",
        expected="the step of 60% of the test digits falls from each decay to the next",
    ),
    _claim(
        _inverse,
        _ALL_DECAYS,
        "mnist",
        id="mnist-time-inverse-in-decay",
        claim="The time to generalise is inverse to the weight decay.",
        source="Omnigrok (arXiv 2210.01117), from w(t) = w(0) exp(−ηγt)",
        expected="slope −1 of log time in log decay",
        counter="Held to: a slope between −1.25 and −0.75 over all decays. Below 0.1 it is flatter: in earlier runs "
        "50% came at step 4,800 with decay 0.1 and at 19,250 with 0.01.",
    ),
    _claim(
        _without_decay,
        _PLAIN,
        "mnist-no-decay",
        id="mnist-no-decay-never",
        claim="Without weight decay the norm stays as it is, and the network never generalises.",
        source="Omnigrok (arXiv 2210.01117)",
        expected="norm constant; test accuracy stays where it was when the training set was fitted",
        counter="Held to: test accuracy rises by less than ten points after the fit, and never to 60%. In an earlier "
        "run of ours it came to 50% at step 26,700 and 56% at 30,000.",
    ),
    _claim(
        _norm,
        _MAIN,
        "mnist",
        id="mnist-norm",
        claim="Weight decay takes the norm down towards that of best generalisation while test accuracy rises.",
        source="Liu et al. 2022 (arXiv 2205.10343), section 4.3; Omnigrok (arXiv 2210.01117)",
        expected="from 93.7 to 51–52 at step 100,000; at ten times the decay to 19–20 at 30,000",
        counter="Held to: the norm falls at every evaluation after the fit, and its rank correlation with test "
        "accuracy is below −0.95. The scale at 60% is for comparison with the claim landscape-lu.",
    ),
    _claim(
        _lu,
        _LANDSCAPE,
        "landscape",
        id="landscape-lu",
        claim="At a constant norm training error falls to zero and stays there, an L; test error has a minimum, a U.",
        source="Omnigrok (arXiv 2210.01117), reduced landscapes",
        expected="200 digits: training error 0 from scale 0.6 on; lowest test error 0.18 near scale 1, 0.78 at 8",
        counter="Held to: training error above 0.05 at scale 0.3 and at most 0.005 from 0.6; least test error between "
        "0.6 and 2, 1.5 times as much at 0.3 and twice as much at 8.",
    ),
    _claim(
        _rate_with_norm,
        _CONTROL,
        "landscape",
        id="landscape-rate-control",
        claim="It is the norm that spoils generalisation at the U's right, not that Adam's steps are small beside it.",
        source="Omnigrok (arXiv 2210.01117), reduced landscapes; the control follows a public comment by L. Chan",
        expected="no such control in the paper: test error 0.78 at scale 8 at the usual rate, 0.18 near scale 1",
        counter="At a fixed rate Adam moves large weights by a smaller share. Held to: with the rate in proportion to "
        "the norm, test error at scale 8 is still twice the least.",
    ),
    _claim(
        _student,
        {"quick": (_TEACHING, 2, 40), "full": (_TEACHING, 10, 200)},
        "",
        id="teacher-student",
        claim="In regression, too, a student with large initial weights fits first and generalises much later.",
        source="Omnigrok (arXiv 2210.01117), teacher and student",
        expected="90% of the training inputs at step 600; 62% of the others at 15,000, all at about 50,000",
        counter="Held to: 90% of the test inputs at least 1,000 steps after 90% of the training inputs.",
    ),
]

publish("omnigrok", "Omnigrok: grokking beyond algorithmic data", CLAIMS)
