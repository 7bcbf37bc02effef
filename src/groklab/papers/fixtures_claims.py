"""What is claimed of the small systems, tested in seconds: the laboratory's own controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from groklab.experiment.presets import preset
from groklab.papers.fixtures import SOURCE
from groklab.reproduction import Bench, Claim, Finding, Trial, publish
from groklab.store.run import Run


def _ensemble(bench: Bench, name: str, seeds: Sequence[int]) -> Run:
    return bench.train([replace(preset(name), seed=seed) for seed in seeds])


def _groks(bench: Bench, seeds: Sequence[int]) -> list[Finding]:
    found = []
    for member in _ensemble(bench, "micro", seeds).status["members"]:
        memorised, grokked = member["memorised_step"], member["grokked_step"]
        late = grokked / memorised if grokked and memorised else None
        values = {"memorised_step": memorised, "grokked_step": grokked, "times_as_late": late}
        said = f"memorised at {memorised}, grokked at {grokked}"
        found.append(Finding(values, late is not None and late >= 3, said))
    return found


def _faster(bench: Bench, seeds: Sequence[int]) -> list[Finding]:
    slow = _ensemble(bench, "micro", seeds).status["members"]
    fast = _ensemble(bench, "micro-fast", seeds).status["members"]
    found = []
    for one, other in zip(slow, fast, strict=True):
        delays = [_delay(one), _delay(other)]
        share = delays[1] / delays[0] if None not in delays else None
        values = {"delay_at_1e-3": delays[0], "delay_at_1e-2": delays[1], "ratio": share}
        said = f"{delays[0]} steps of delay at 10⁻³, {delays[1]} at 10⁻²"
        found.append(Finding(values, share is not None and share < 0.5, said))
    return found


def _delay(member: dict[str, Any]) -> Any:
    memorised, grokked = member["memorised_step"], member["grokked_step"]
    return None if memorised is None or grokked is None else grokked - memorised


def _never(steps: int) -> Any:
    def run(bench: Bench, seed: int) -> Finding:
        trained = bench.train(preset("never", {"seed": seed, "budget.steps": steps}))
        # the run may have gone further, for the other size
        curves = trained.curves()
        before = curves["step"] <= steps
        best = float(curves["test_accuracy"][before].max())
        memorised = trained.status["members"][0]["memorised_step"]
        values = {"memorised_step": memorised, "best_test_accuracy": best}
        said = f"memorised at {memorised}; best test accuracy {best:.1%} in {steps:,} steps"
        return Finding(values, memorised is not None and best < 0.9, said)

    return run


MICRO = "micro: a quadratic network of width 128 on x + y mod 23, 65% of the pairs, AdamW at 10⁻³ with decay 1"

publish(
    "fixtures",
    "Small systems whose behaviour is known",
    [
        Claim(
            id="micro-groks",
            claim="The preset micro groks in every seed, at least three times as late as it memorises.",
            source=SOURCE,
            expected="memorised at step 190–270, grokked at 1,280–2,010",
            quick=Trial(
                setting=f"{MICRO}, 3,000 steps, 20 seeds as one ensemble; the preset itself, as it takes seconds.",
                seeds=20,
                cost=10,
                run=_groks,
                together=True,
                shares="micro",
            ),
            full=Trial(
                setting=f"{MICRO}, 3,000 steps, 100 seeds as one ensemble.",
                seeds=100,
                cost=45,
                run=_groks,
                together=True,
            ),
        ),
        Claim(
            id="rate-shortens-delay",
            claim="Ten times the learning rate makes micro's delay less than half as long, in steps.",
            source=SOURCE,
            expected="grokked at a median of 1,480 steps at 10⁻³ and of 470 at 10⁻²",
            quick=Trial(
                setting=f"{MICRO}, beside micro-fast, which differs in its rate of 10⁻² and its 1,500 steps; 20 seeds "
                "of each as one ensemble.",
                seeds=20,
                cost=15,
                run=_faster,
                together=True,
                shares="micro",
            ),
            full=None,
        ),
        Claim(
            id="too-few-pairs",
            claim="With only half of the pairs, the network memorises at once and does not generalise.",
            source=SOURCE,
            expected="memorised at step 40–50; test accuracy stays below 90%",
            quick=Trial(
                setting="never: micro with ReLU at rate 10⁻² and half of the pairs, 4,000 steps: a hundred times as "
                "long as it takes to memorise.",
                seeds=3,
                cost=10,
                run=_never(4_000),
            ),
            full=Trial(
                setting="never: micro with ReLU at rate 10⁻² and half of the pairs, 20,000 steps.",
                seeds=5,
                cost=25,
                run=_never(20_000),
            ),
            counter="A budget that ran out is censoring, not 'never': the full trial looks five times as far.",
        ),
    ],
)
