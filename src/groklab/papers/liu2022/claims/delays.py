"""Claims on what lengthens the delay of the toy regression: batches, and the scale of initial weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from groklab.experiment import Experiment, preset
from groklab.papers.liu2022.claims.runs import (
    PUBLISHED_SEED,
    RETIRING,
    phase_until,
)
from groklab.papers.liu2022.starts import published_start
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values

#: Steps between two evaluations of the networks whose delays are compared.
EVALUATED = 20


#: Size of mini-batches of the 45 training pairs.
BATCH = 15


#: Factors of the decoder's initial weights.
SCALES = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Delay:
    """A member's phase, and the steps from training's threshold to the test's.

    steps: None where training did not get there; at least so many, up to the budget, where `censored`.
    """

    phase: str
    steps: int | None
    censored: bool

    def times(self, other: Delay) -> float | None:
        """Return how many times as long this delay is as another, at least where this one is censored.

        None where that cannot be known: one that did not begin, or is as long as one that is cut off. Delays below
        `EVALUATED` steps count as those.
        """
        if (
            self.steps is None
            or other.steps is None
            or (other.censored and (self.censored or self.steps > other.steps))
        ):
            return None
        return max(self.steps, EVALUATED) / max(other.steps, EVALUATED)


def _delays(trainer: Trainer, members: Sequence[Experiment], steps: int) -> list[Delay]:
    run = trainer.train(members)
    delays = []
    for i in range(len(members)):
        phase = phase_until(run, i, steps)
        censored = phase.train_step is not None and phase.gap is None
        lasts = steps - phase.train_step if censored and phase.train_step is not None else phase.gap
        delays.append(Delay(phase.phase, lasts, censored))
    return delays


def _settings(steps: int, name: str) -> dict[str, Any]:
    _, rows = published_start(PUBLISHED_SEED, recipe="notebook")
    return {**RETIRING, "split.rows": rows, "budget.steps": steps, "evaluation.every": EVALUATED, "name": name}


def _by_scale(trainer: Trainer, seeds: Sequence[int], steps: int) -> list[dict[float, Delay]]:
    """Of each seed, the delay with each initial scale, at full batch."""
    settings = _settings(steps, "liu2022-initial-scale")
    cells = [{"seed": seed, "network.init_scale": scale} for seed in seeds for scale in SCALES]
    delays = iter(_delays(trainer, [preset("liu2022/diagram", {**settings, **own}) for own in cells], steps))
    return [{scale: next(delays) for scale in SCALES} for _ in seeds]


def _initial_scale(steps: int, trainer: Trainer, seeds: Sequence[int]) -> list[Outcome]:
    by_seed = _by_scale(trainer, seeds, steps)
    usual = [of[1.0] for of in by_seed]
    outcomes = []
    for of, own, other in zip(by_seed, usual, _next(usual), strict=True):
        named = {f"scale_{x:g}": delay for x, delay in of.items()}
        outcomes.append(_finding(named, (of[SCALES[0]], of[SCALES[-1]]), (own, other)))
    return outcomes


def _batch_size(steps: int, trainer: Trainer, seeds: Sequence[int]) -> list[Outcome]:
    full = [of[1.0] for of in _by_scale(trainer, seeds, steps)]
    settings = {**_settings(steps, "liu2022-batches"), "batch_size": BATCH}
    small = _delays(trainer, [preset("liu2022/diagram", {**settings, "seed": seed}) for seed in seeds], steps)
    outcomes = []
    for batches, own, other in zip(small, full, _next(full), strict=True):
        named = {f"batch_{BATCH}": batches, "batch_full": own}
        outcomes.append(_finding(named, (own, batches), (own, other)))
    return outcomes


def _next(delays: Sequence[Delay]) -> list[Delay]:
    """The delays of the next seed each: another seed alone must not make the difference."""
    return [*delays[1:], *delays[:1]]


def _finding(by_name: dict[str, Delay], pair: tuple[Delay, Delay], same: tuple[Delay, Delay]) -> Outcome:
    """Compare two delays, the shorter by the claim first; and two of one setting, the control."""
    values, control = (_compared(*both) for both in (pair, same))
    values |= {name: of.phase for name, of in by_name.items()}
    values |= {f"{name}_delay": of.steps for name, of in by_name.items()}
    sentence = "; ".join(f"{name.replace('_', ' ')}: {of.phase}{_in_words(of)}" for name, of in by_name.items())
    return Outcome(values, sentence=sentence, control=control)


def _compared(short: Delay, long: Delay) -> Values:
    longer = None if short.steps is None or long.steps is None else long.steps - short.steps
    return {"comprehends": short.phase == "comprehension", "times_as_long": long.times(short), "steps_longer": longer}


def _in_words(delay: Delay) -> str:
    if delay.steps is None:
        return ""
    return f", not within {delay.steps:,} steps" if delay.censored else f", after {delay.steps:,} steps"


_SETTING = (
    "The toy regression, decoder rate 1e-4 without decay, on the training set of the published seed, from initial "
    "weights of the seeds; {}; {} steps, all seeds side by side."
)


_COUNTER = (
    "Known second-hand and without numbers. Delays are in steps; where both outlast the budget they cannot be "
    "compared, and the seed does not support the claim. Seeds differ as much: see the control."
)


_FAIR = "groklab's: the paper gives a direction; twice is more than the reading of a curve"


TRENDS = (
    Bar("comprehends", "==", True, "the sentence's 'comprehension' at the one end"),
    Bar("times_as_long", ">=", 2, _FAIR),
    Bar("steps_longer", ">=", 100, "groklab's: a tenth of the 1,000 steps that part grokking from comprehension"),
)


def _trials(what: str, made: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {"together": True, "shares": "trends", "bars": TRENDS}
    quick = Trial(setting=_SETTING.format(what, "20,000"), seeds=6, cost=70, run=partial(made, 20_000), **shared)
    full = Trial(setting=_SETTING.format(what, "100,000"), seeds=10, cost=500, run=partial(made, 100_000), **shared)
    return {"quick": quick, "full": full}


CLAIMS = [
    Claim(
        id="batch-size",
        control="the next seed at full batch in place of the small batches",
        claim="Smaller batches lead from comprehension towards grokking.",
        source="appendix G",
        expected="direction only: a longer delay with small batches than with full ones",
        counter=f"{_COUNTER} Measured: of six seeds two do not comprehend at full batch, in two the delay grows to "
        "four and six times, in one by half, and in one it is shorter; the cause is the seed: between seeds at full "
        "batch delays go from −20 steps to over 16,000.",
        **_trials("batches of 15 pairs and of all 45", _batch_size),
    ),
    Claim(
        id="initial-scale",
        control="the next seed and the seed itself, both at the usual scale",
        claim="Smaller initial weights lead from grokking towards comprehension.",
        source="appendix G",
        expected="direction only: a shorter delay with a small initial scale than with a large one",
        counter=f"{_COUNTER} Which weights are scaled is not said; here it is the decoder's. Measured: all six seeds "
        "comprehend with small weights; with large ones three memorise and one groks, and two comprehend. The cause is "
        "the seed: at the usual scale three of the pairs of neighbouring seeds differ as much as the scales do.",
        **_trials("the decoder's initial weights times 0.3, 1 and 3", _initial_scale),
    ),
]
