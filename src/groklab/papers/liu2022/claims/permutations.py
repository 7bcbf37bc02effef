"""Claims on permutations of S3: phases of networks by learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.grokking import LETTERS
from groklab.papers.liu2022.claims.runs import RETIRING, phase_until
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values


@dataclass(frozen=True)
class Plane:
    """Decoder rates and decays, and for how many steps they are trained."""

    rates: tuple[float, ...]
    decays: tuple[float, ...]
    steps: int

    def letters(self, trainer: Trainer, seeds: Sequence[int]) -> list[dict[tuple[float, float], str]]:
        """Train all seeds as one ensemble, and return the phase's letter by rate and decay for each."""
        cells = [(rate, decay) for rate in self.rates for decay in self.decays]
        settings = {**RETIRING, "budget.steps": self.steps, "name": "liu2022-permutations"}
        members = []
        for seed in seeds:
            for rate, decay in cells:
                own = {"optimiser.learning_rate": rate, "optimiser.weight_decay": decay, "seed": seed}
                members.append(preset("liu2022/diagram-s3", {**settings, **own}))
        run = trainer.train(members)
        phases = iter(phase_until(run, i, self.steps).phase for i in range(len(members)))
        return [{cell: LETTERS[next(phases)] for cell in cells} for _ in seeds]

    def table(self, letters: dict[tuple[float, float], str]) -> Values:
        """Return the cells, one word of letters per rate, by growing decay."""
        return {f"phases_at_rate_{r:.2g}": "".join(letters[r, d] for d in self.decays) for r in self.rates}


#: From this rate on the decoder is fast.
FAST_RATE = 0.99e-3


def _decay(plane: Plane, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    for letters in plane.letters(trainer, seeds):
        values, control = (
            _generalising(letters, lowest, highest) | plane.table(letters) for lowest, highest in ((20, 50), (0, 0))
        )
        sentence = (
            f"{values['generalising']:.0%} of the networks with a fast decoder and decay 20 to 50 generalise, "
            f"{control['generalising']:.0%} of those without decay"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _generalising(letters: dict[tuple[float, float], str], lowest: float, highest: float) -> Values:
    """Shares of the networks with a fast decoder, and with the fastest, that generalise with such a decay."""
    fast = {cell: x in "CG" for cell, x in letters.items() if cell[0] > FAST_RATE and lowest <= cell[1] <= highest}
    fastest = max(rate for rate, _ in fast)
    return {
        "generalising": float(np.mean(list(fast.values()))),
        "generalising_at_the_fastest": float(np.mean([x for (rate, _), x in fast.items() if rate == fastest])),
    }


def _too_much_decay(plane: Plane, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    for letters in plane.letters(trainer, seeds):
        values, control = (
            _confused(letters, most, less) | plane.table(letters) for most, less in ((200, 100), (100, 50))
        )
        sentence = (
            f"{values['confused_with_200']:.0%} of the networks with decay 200 learn nothing, "
            f"{values['confused_with_100']:.0%} with 100, {control['confused_with_100']:.0%} with 50"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _confused(letters: dict[tuple[float, float], str], most: float, less: float) -> Values:
    """Shares of the networks that learn nothing with a decay and with a smaller one, by the claim's names for both."""
    named = {"confused_with_200": most, "confused_with_100": less}
    return {name: float(np.mean([x == "X" for (_, d), x in letters.items() if d == at])) for name, at in named.items()}


#: Decoder rates and decays of the published diagram.
RATES = tuple(10 ** (-5 + k / 5) for k in range(16))


DECAYS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0)


PLANES = {
    "quick": Plane((RATES[10], RATES[15]), (0.0, 20.0, 50.0, 100.0, 200.0), 10_000),
    "full": Plane(RATES, DECAYS, 100_000),
}


_PANEL = (
    "S3, 24 of its 36 ordered pairs, elements as 3 x 3 matrices; four seeds side by side, which also draw the split"
)


_ON_NETWORKS = {
    "quick": f"{_PANEL}; decoder rates 1e-3 and 1e-2 of the 16 with decay 0, 20, 50, 100 and 200 of the 11, for 10,000 "
    "steps: where rates are high, phases show within a tenth of the published budget.",
    "full": f"{_PANEL}; all 176 published cells, 100,000 steps.",
}


GENERALISE = (
    Bar("generalising", ">=", 0.75, "the paper shows all such cells of one seed; one in four may be a seed's bad luck"),
    Bar(
        "generalising_at_the_fastest", ">=", 0.5, "the sentence's 'even where the decoder is fast': half of two decays"
    ),
)


CONFUSE = (
    Bar("confused_with_200", ">=", 0.5, "10 of 16 cells of the released grid, rounded down"),
    Bar("confused_with_100", "<=", 0.1, "none of 16 cells of the released grid; at most one here"),
)


def _on_networks(
    run: Callable[[Plane, Trainer, Sequence[int]], Iterator[Outcome]], bars: tuple[Bar, ...], **words: Any
) -> Claim:
    """A claim on the networks of a plane, which all such claims share."""
    costs = {"quick": 70.0, "full": 11_000.0}
    trials = {
        size: Trial(
            setting=_ON_NETWORKS[size],
            seeds=4,
            cost=costs[size],
            run=partial(run, plane),
            bars=bars,
            together=True,
            shares="permutations",
        )
        for size, plane in PLANES.items()
    }
    return Claim(quick=trials["quick"], full=trials["full"], **words)


CLAIMS = [
    _on_networks(
        _decay,
        GENERALISE,
        id="permutations-decay",
        claim="Networks generalise on permutations with a decoder decay of 20 to 50, even where the decoder is fast.",
        source="section 4.2, figure 6d; numbers of the released grid",
        expected="comprehension or grokking with decay 20 to 50 up to a rate of 1e-2; memorisation without decay",
        control="the networks of the same rates without decay",
        counter="The published diagram is one seed. Measured: of the four cells none, two, three and all generalise "
        "in four seeds, although each training set implies the whole table. The cause is the seed, or the budget: "
        "10,000 steps are a tenth of the published ones.",
    ),
    _on_networks(
        _too_much_decay,
        CONFUSE,
        id="permutations-too-much-decay",
        claim="With the largest decoder decay, 200, most networks learn nothing of permutations; with 100 all learn.",
        source="section 4.2, figure 6d; numbers of the released grid",
        expected="confusion in 10 of the 16 cells with decay 200, and in none of those with decay 100",
        control="decay 100 in the place of 200, and 50 in that of 100",
        counter="The authors' own later run of 10,000 steps has 13 of 110 cells of confusion. Measured: with decay 200 "
        "nothing is learnt; with 100 at the rate of 1e-2, where each step takes the whole decoder away, one of four "
        "seeds fits, at step 8,446, and the others not by 24,000 (at most 71% of the training set). The cause is the "
        "seed, or the budget: the published run has 100,000 steps.",
    ),
]
