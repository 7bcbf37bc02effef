"""Claims on what moves the toy regression between the phases, besides rates and decay: batch size, initial scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groklab.experiment.presets import preset
from groklab.experiment.schema import Experiment
from groklab.papers.liu2022.claims.cells import PUBLISHED_SEED, RETIRING, phase_until
from groklab.papers.liu2022.starts import published_start
from groklab.reproduction import Bench, Claim, Finding, Trial

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

    def longer(self, other: Delay) -> bool | None:
        """Whether this delay is longer than another; None where that cannot be known."""
        if self.steps is None or other.steps is None or (self.censored and other.censored):
            return None
        if self.censored:
            return True if self.steps >= other.steps else None
        if other.censored:
            return False if self.steps <= other.steps else None
        return self.steps > other.steps


def _delays(bench: Bench, members: Sequence[Experiment], steps: int) -> list[Delay]:
    run = bench.train(members)
    found = []
    for i in range(len(members)):
        phase = phase_until(run, i, steps)
        censored = phase.train_step is not None and phase.gap is None
        lasts = steps - phase.train_step if censored and phase.train_step is not None else phase.gap
        found.append(Delay(phase.phase, lasts, censored))
    return found


def _asked(steps: int, name: str) -> dict[str, Any]:
    _, rows = published_start(PUBLISHED_SEED, recipe="notebook")
    return {**RETIRING, "split.rows": rows, "budget.steps": steps, "evaluation.every": 20, "name": name}


def _by_scale(bench: Bench, seeds: Sequence[int], steps: int) -> list[dict[float, Delay]]:
    """Of each seed, the delay with each initial scale, at full batch."""
    asked = _asked(steps, "liu2022-initial-scale")
    cells = [{"seed": seed, "network.init_scale": scale} for seed in seeds for scale in SCALES]
    found = iter(_delays(bench, [preset("liu2022/diagram", {**asked, **own}) for own in cells], steps))
    return [{scale: next(found) for scale in SCALES} for _ in seeds]


def _initial_scale(steps: int) -> Any:
    def run(bench: Bench, seeds: Sequence[int]) -> list[Finding]:
        named = [{f"scale_{x:g}": d for x, d in of.items()} for of in _by_scale(bench, seeds, steps)]
        return [_finding(of, f"scale_{SCALES[0]:g}", f"scale_{SCALES[-1]:g}") for of in named]

    return run


def _batch_size(steps: int) -> Any:
    def run(bench: Bench, seeds: Sequence[int]) -> list[Finding]:
        full = [of[1.0] for of in _by_scale(bench, seeds, steps)]
        asked = {**_asked(steps, "liu2022-batches"), "batch_size": BATCH}
        small = _delays(bench, [preset("liu2022/diagram", {**asked, "seed": seed}) for seed in seeds], steps)
        named = [{f"batch_{BATCH}": s, "batch_full": f} for s, f in zip(small, full, strict=True)]
        return [_finding(of, "batch_full", f"batch_{BATCH}") for of in named]

    return run


def _finding(by_name: dict[str, Delay], short: str, long: str) -> Finding:
    """Whether the delay by the name `long` is longer than that by the name `short`."""
    values: dict[str, Any] = {name: of.phase for name, of in by_name.items()}
    values |= {f"{name}_delay": of.steps for name, of in by_name.items()}
    values["longer"] = by_name[long].longer(by_name[short])
    told = [f"{name.replace('_', ' ')}: {of.phase}{_in_words(of)}" for name, of in by_name.items()]
    return Finding(values, values["longer"] is True, "; ".join(told))


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
    "compared, and the claim does not hold for the seed."
)
_BATCHES, _SCALES = "batches of 15 pairs and of all 45", "the decoder's initial weights times 0.3, 1 and 3"


def _trials(what: str, made: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {"together": True, "shares": "trends"}
    quick = Trial(setting=_SETTING.format(what, "20,000"), seeds=3, cost=30, run=made(20_000), **shared)
    full = Trial(setting=_SETTING.format(what, "100,000"), seeds=10, cost=500, run=made(100_000), **shared)
    return {"quick": quick, "full": full}


CLAIMS = [
    Claim(
        id="batch-size",
        claim="Smaller batches lead from comprehension towards grokking.",
        source="appendix G",
        expected="direction only: a longer delay with small batches than with full ones",
        counter=_COUNTER,
        **_trials(_BATCHES, _batch_size),
    ),
    Claim(
        id="initial-scale",
        claim="Smaller initial weights lead from grokking towards comprehension.",
        source="appendix G",
        expected="direction only: a shorter delay with a small initial scale than with a large one",
        counter=f"{_COUNTER} Which weights are scaled is not said; here it is the decoder's.",
        **_trials(_SCALES, _initial_scale),
    ),
]
