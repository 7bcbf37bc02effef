"""Claims on permutations of three things: what a training set implies of S3, and what decay does to its networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab.experiment.presets import preset
from groklab.grokking.learning_phases import LETTERS
from groklab.measures.representation import structure_of
from groklab.papers.liu2022.claims.cells import RETIRING, phase_until
from groklab.reproduction import Bench, Claim, Finding, Trial
from groklab.theory.closure import critical_sizes
from groklab.theory.effective_theory import critical_fraction
from groklab.training.ensemble import build_task

#: Training sets of S3, of 36 pairs, whose share that implies all answers is told.
SIZES = (14, 16, 18, 20, 22, 26)


def _closure(draws: int) -> Any:
    def run(bench: Bench, seed: int) -> Finding:
        task = build_task(preset("liu2022/s3"))
        n = structure_of(task, "product").n_parallelograms
        sizes = critical_sizes(task, draws, seed)
        fraction, error = critical_fraction(sizes, task.n_inputs)
        shares = {f"implied_by_{k}_of_36": float(np.mean(sizes <= k)) for k in SIZES}
        values = {"parallelograms": n, "critical_fraction": fraction, "critical_fraction_error": error, **shares}
        holds = n == 90 and abs(fraction - 0.5) <= 0.05 and shares["implied_by_14_of_36"] < 0.1
        holds = holds and shares["implied_by_26_of_36"] > 0.95
        said = f"{n} parallelograms; half of all training sets imply the whole table at {fraction:.3f} of the pairs"
        return Finding(values, holds, said)

    return run


@dataclass(frozen=True)
class Plane:
    """Decoder rates and decays, and for how many steps they are trained."""

    rates: tuple[float, ...]
    decays: tuple[float, ...]
    steps: int

    def letters(self, bench: Bench, seeds: Sequence[int]) -> list[dict[tuple[float, float], str]]:
        """Of each seed, the phase's letter by rate and decay; all are one ensemble."""
        cells = [(rate, decay) for rate in self.rates for decay in self.decays]
        asked = {**RETIRING, "budget.steps": self.steps, "name": "liu2022-permutations"}
        members = []
        for seed in seeds:
            for rate, decay in cells:
                own = {"optimiser.learning_rate": rate, "optimiser.weight_decay": decay, "seed": seed}
                members.append(preset("liu2022/diagram-s3", {**asked, **own}))
        run = bench.train(members)
        phases = iter(phase_until(run, i, self.steps).phase for i in range(len(members)))
        return [{cell: LETTERS[next(phases)] for cell in cells} for _ in seeds]


def _decay(plane: Plane, wanted: str, lowest: float, highest: float, least: float, said: str) -> Any:
    """Whether more than `least` of the cells with decay from `lowest` to `highest`, or all, are of wanted phases."""

    def run(bench: Bench, seeds: Sequence[int]) -> list[Finding]:
        found = []
        for letters in plane.letters(bench, seeds):
            own = {cell: letter for cell, letter in letters.items() if lowest <= cell[1] <= highest}
            right = sum(letter in wanted for letter in own.values())
            values: dict[str, Any] = {f"rate_{r:g}_decay_{d:g}": letter for (r, d), letter in own.items()}
            values["share"] = right / len(own)
            where = ", ".join(f"{letter} at rate {r:g} and decay {d:g}" for (r, d), letter in own.items())
            holds = right == len(own) or right > least * len(own)
            found.append(Finding(values, holds, f"{right} of {len(own)} networks {said}: {where}"))
        return found

    return run


PLANES = {
    "quick": Plane((1e-3, 1e-2), (20.0, 50.0, 100.0, 200.0), 10_000),
    "full": Plane((1e-4, 1e-3, 1e-2), (20.0, 30.0, 50.0, 100.0, 200.0), 100_000),
}
_NETWORKS = (
    "S3, 24 of its 36 ordered pairs, elements as 3 x 3 matrices, as the released notebook; decoder rates {} with decay "
    "{}; {} steps, all seeds side by side"
)


def _on_networks(wanted: str, lowest: float, highest: float, least: float, said: str, **words: Any) -> Claim:
    """A claim on the networks of a plane, which all such claims share."""
    settings = {"quick": ("1e-3 and 1e-2", "20, 50, 100 and 200", "10,000")}
    settings["full"] = ("1e-4, 1e-3 and 1e-2", "20, 30, 50, 100 and 200", "100,000")
    seeds, costs = {"quick": 3, "full": 5}, {"quick": 40.0, "full": 900.0}
    trials = {
        size: Trial(
            setting=_NETWORKS.format(*settings[size]) + ".",
            seeds=seeds[size],
            cost=costs[size],
            run=_decay(plane, wanted, lowest, highest, least, said),
            together=True,
            shares="permutations",
        )
        for size, plane in PLANES.items()
    }
    return Claim(quick=trials["quick"], full=trials["full"], **words)


CLAIMS = [
    Claim(
        id="permutations",
        claim="Of permutations, too, parallelograms imply the rest of the table once about half of it is known.",
        source="section 4.2, appendix H, figure 18b",
        expected="90 parallelograms; critical fraction about 0.5",
        counter="One parallelogram follows from three others here, not from one equation, so that this counts what "
        "the closure of the training set implies; the bar is 0.05 on the fraction.",
        quick=Trial(setting="S3, 200 random orders of its 36 pairs a seed.", seeds=3, cost=12, run=_closure(200)),
        full=Trial(setting="S3, 2,000 random orders of its 36 pairs a seed.", seeds=3, cost=120, run=_closure(2000)),
    ),
    _on_networks(
        "CG",
        20,
        50,
        0.5,
        "with decay 20 to 50 generalise",
        id="permutations-decay",
        claim="Networks generalise on permutations with a decoder decay of 20 to 50, even where the decoder is fast.",
        source="section 4.2, figure 6d; numbers of the released grids",
        expected="comprehension or grokking with decay 20 to 50 up to a rate of 1e-2",
        counter="The published diagram is one seed; the bar, more than half of a seed's networks, is ours.",
    ),
    _on_networks(
        "X",
        100,
        200,
        1,
        "with decay 100 and 200 learn nothing",
        id="permutations-too-much-decay",
        claim="With a decoder decay of 100 or more nothing is learnt of permutations.",
        source="section 4.2, figure 6d; numbers of the released grids",
        expected="confusion with decay 100 and 200",
        counter="The authors' own later run of 10,000 steps has 13 of 110 cells of confusion, fewer than the 20 with a "
        "decay of 100 or 200.",
    ),
]
