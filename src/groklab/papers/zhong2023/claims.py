"""Attention rate decides between clock and pizza: `groklab reproduce zhong2023`.

Both rates are trained as one ensemble from one seed, and each is the control of claims on the other. Bars are the bands
of `groklab.analysis`, from the authors' table of runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from groklab.analysis import CLOCK, PIZZA, likeness
from groklab.experiment import preset
from groklab.measures import MEASURES, ClockOrPizza
from groklab.papers.zhong2023.presets import SOURCE
from groklab.reproduction import Bar, Claim, Outcome, Size, Trainer, Trial, Values, publish

RATES = (0.0, 1.0)
SETTINGS: dict[Size, dict[str, Any]] = {
    "quick": {"name": "zhong2023-small", "task.p": 31, "network.d_model": 64, "budget.steps": 3_000},
    "full": {},
}


def _of_rates(trainer: Trainer, size: Size, seed: int) -> list[Values]:
    """Return the values of both rates, with what they are like."""
    own = {**SETTINGS[size], "seed": seed}
    members = [preset("zhong2023", {**own, "network.attention_rate": rate}) for rate in RATES]
    run, values = trainer.train(members), []
    steps = members[0].budget.steps
    step = max(s for s in run.checkpoints if steps is None or s <= steps)
    for member, experiment in enumerate(members):
        task = experiment.task.build()
        taken = MEASURES["clock_or_pizza"](run.weights(step, member), task, network=experiment.network)
        assert isinstance(taken, ClockOrPizza)
        values.append({**asdict(taken), "like": likeness(taken)})
    return values


def _judged(rate: int, size: Size, trainer: Trainer, seed: int) -> Outcome:
    values = _of_rates(trainer, size, seed)
    words = [
        f"at rate {rate:g} symmetricity {v['gradient_symmetricity']:.2f}, irrelevance {v['distance_irrelevance']:.2f}"
        for rate, v in zip(RATES, values, strict=True)
    ]
    return Outcome(values[rate], sentence="; ".join(words), control=values[1 - rate])


def _trials(rate: int, bars: tuple[Bar, ...]) -> dict[str, Trial]:
    run: Callable[[Size], Callable[[Trainer, int], Outcome]] = partial(_at, rate)
    right = Bar("accuracy", ">=", 0.99, "the network must have learnt the task")
    both = (right, *bars)
    return {
        "quick": Trial(
            setting="p = 31, width 64, 3,000 steps at attention rates 0 and 1; all else as published (p = 59, width "
            "128, 20,000 steps): the smallest size that groks within a minute.",
            seeds=3,
            cost=25,
            run=run("quick"),
            bars=both,
            shares="zhong2023",
        ),
        "full": Trial(
            setting="as published: p = 59, 80% of the pairs, one layer of width 128 with four heads and ReLU, AdamW at "
            "10⁻³ with decay 2, 20,000 steps.",
            seeds=3,
            cost=1200,
            run=run("full"),
            bars=both,
            shares="zhong2023",
        ),
    }


def _at(rate: int, size: Size) -> Callable[[Trainer, int], Outcome]:
    return partial(_judged, rate, size)


TABLE = "the authors' table of runs, by attention rate"
publish(
    "zhong2023",
    "Zhong et al. 2023: the clock and the pizza",
    [
        Claim(
            id="symmetric-without-attention",
            claim="Without attention (rate 0) a logit's gradients in the two embeddings are alike.",
            source=SOURCE,
            expected="gradient symmetricity .99 at rates 0 to .5",
            control="the same seed at attention rate 1",
            **_trials(0, (Bar("gradient_symmetricity", ">=", PIZZA[0], f"halfway between .99 and .89, {TABLE}"),)),  # type: ignore[arg-type]
        ),
        Claim(
            id="distances-matter-without-attention",
            claim="Without attention (rate 0) the right logits depend on the distance a − b.",
            source=SOURCE,
            expected="distance irrelevance .21–.25 at rates 0 to .4, .33 at .5",
            control="the same seed at attention rate 1",
            counter="The authors' program records the largest wrong logit under this name; p and the length of "
            "training change it, too.",
            **_trials(0, (Bar("distance_irrelevance", "<=", PIZZA[1], f"halfway between .33 and .54, {TABLE}"),)),  # type: ignore[arg-type]
        ),
        Claim(
            id="clock-with-attention",
            claim="With full attention (rate 1) networks are clocks: gradients differ, and distances do not matter.",
            source=SOURCE,
            expected="gradient symmetricity .43, distance irrelevance .84",
            control="the same seed at attention rate 0",
            counter="An untrained network passes both bars on gradients and distances (.43 and .99): only that it "
            "answers rightly tells it from a clock.",
            **_trials(  # type: ignore[arg-type]
                1,
                (
                    Bar("gradient_symmetricity", "<=", CLOCK[0], f"halfway between .73 and .60, {TABLE}"),
                    Bar("distance_irrelevance", ">=", CLOCK[1], f"halfway between .65 and .73, {TABLE}"),
                ),
            ),
        ),
    ],
)
