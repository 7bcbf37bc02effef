"""The claims of arXiv 2603.13331 on the length of the delay: `groklab reproduce separation2026`.

A grid of rates and weight decays on the preset micro; each seed is a grid of its own, so that a law is fitted to one
seed's cells and judged by the others. `groklab fit` does the same with intervals over seeds for a sweep of yours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from groklab.experiment import Experiment, preset
from groklab.laws import fit_arrays, law
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values, publish
from groklab.store import Run

RATES, DECAYS = (1e-3, 2e-3, 4e-3), (0.5, 1.0, 2.0, 4.0)
CELLS = tuple(product(RATES, DECAYS))
STEPS = 6_000
#: Rates and decays of gradient descent with momentum, from which the best is taken.
SGD = tuple(product((0.03, 0.1, 0.3, 1.0), (0.0, 1e-3, 1e-2)))
SGD_STEPS = 3_000


@dataclass(frozen=True)
class Grid:
    """One seed's cells: delays with bounds, and norms.

    Args:
        rate, decay: (n,) of each cell whose network memorised.
        delay: (n,) steps from memorised to grokked, or to the end of the budget where it is not `observed`.
        norm_ratio: (n,) norm at the step of grokking over that at memorising.
    """

    rate: np.ndarray
    decay: np.ndarray
    delay: np.ndarray
    observed: np.ndarray
    norm_ratio: np.ndarray

    def permuted(self, seed: int) -> Grid:
        """Return the grid with its delays moved to other cells."""
        order = np.random.Generator(np.random.PCG64(seed)).permutation(len(self.rate))
        return Grid(self.rate, self.decay, self.delay[order], self.observed[order], self.norm_ratio[order])

    def fitted(self, name: str) -> tuple[np.ndarray, float | None]:
        """Return the exponents of a law, and its R² of log delay over the observed cells; None for too few."""
        if self.observed.sum() < 5:
            return np.full(len(law(name).exponents), np.nan), None
        return fit_arrays(name, {"lr": self.rate, "decay": self.decay}, self.delay, self.observed)


def cell(rate: float, decay: float, seed: int) -> Experiment:
    """Return the experiment of a cell."""
    about: dict[str, Any] = {"optimiser.learning_rate": rate, "optimiser.weight_decay": decay, "seed": seed}
    about |= {"budget.steps": STEPS, "budget.stop_when_grokked": True, "budget.retire": True}
    return preset("micro", {"name": "micro-rates-decays", **about})


def grids(trainer: Trainer, seeds: Sequence[int]) -> list[Grid]:
    """Train all cells with these seeds as one ensemble, and return one grid per seed."""
    run = trainer.train([cell(*at, seed) for seed in seeds for at in CELLS])
    return [_grid(run, i * len(CELLS)) for i in range(len(seeds))]


def _grid(run: Run, first: int) -> Grid:
    rows: list[tuple[Any, ...]] = []
    for place, (rate, decay) in enumerate(CELLS, first):
        member, curves = run.status.members[place], run.curves(place)
        if member.memorised_step is None:
            continue
        end = member.grokked_step if member.grokked_step is not None else int(curves["step"][-1])
        norms = [float(curves["weight_norm"][curves["step"] == step][0]) for step in (member.memorised_step, end)]
        # a member that grokked as it memorised has the shortest delay that is evaluated
        delay = max(end - member.memorised_step, 10)
        rows.append((rate, decay, delay, member.grokked_step is not None, norms[1] / norms[0]))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Grid(columns[0], columns[1], columns[2].astype(float), columns[3], columns[4])


def _law_values(grid: Grid) -> Values:
    _, r2 = grid.fitted("inverse-rate-decay")
    falls = float((grid.norm_ratio[grid.observed] < 1).mean())
    return {"r2": r2, "share_with_falling_norm": falls, "grokked": int(grid.observed.sum())}


def _law(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    for seed, grid in zip(seeds, grids(trainer, seeds), strict=True):
        values, control = _law_values(grid), _law_values(grid.permuted(seed))
        sentence = (
            f"R² {_shown(values['r2'])} over {values['grokked']} of {len(CELLS)} cells that grokked; the norm falls in "
            f"{values['share_with_falling_norm']:.0%} of them; R² {_shown(control['r2'])} with permuted delays"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _exponents(grid: Grid) -> Values:
    (a, b), r2 = grid.fitted("rate-decay")
    known = np.isfinite([a, b]).all()
    values = {"exponent_of_rate": float(a), "exponent_of_decay": float(b)} if known else {}
    off = {"rate_off_by": abs(float(a) + 1), "decay_off_by": abs(float(b) + 1)} if known else {}
    measured = {"exponent_of_rate": None, "exponent_of_decay": None, **values, **off, "r2_of_powers": r2}
    return measured | _of_those_that_grokked(grid)


def _of_those_that_grokked(grid: Grid) -> Values:
    """Return the exponents without the cells that did not grok: those of the networks that decay does not hold down."""
    seen = grid.observed
    columns = (grid.rate, grid.decay, grid.delay, grid.observed, grid.norm_ratio)
    rate, decay, delay, observed, ratio = (column[seen] for column in columns)
    (a, b), r2 = Grid(rate, decay, delay, observed, ratio).fitted("rate-decay")
    known = r2 is not None
    return {
        "exponent_of_rate_if_grokked": float(a) if known else None,
        "exponent_of_decay_if_grokked": float(b) if known else None,
        "r2_if_grokked": r2,
        "grokked_at_decay_4": int((grid.observed & (grid.decay == max(DECAYS))).sum()),
    }


def _powers(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    for seed, grid in zip(seeds, grids(trainer, seeds), strict=True):
        values, control = _exponents(grid), _exponents(grid.permuted(seed))
        sentence = (
            f"delay goes as rate to the power of {_shown(values['exponent_of_rate'])} and decay to that of "
            f"{_shown(values['exponent_of_decay'])}"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _rises(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    for grid in grids(trainer, seeds):
        weak, strong = (grid.observed & (grid.decay == d) for d in (1.0, max(DECAYS)))
        values, control = ({"median_norm_ratio": _median(grid.norm_ratio[which])} for which in (weak, strong))
        sentence = (
            f"norm at grokking over norm at memorising: {_shown(values['median_norm_ratio'])} with decay 1, "
            f"{_shown(control['median_norm_ratio'])} with decay {max(DECAYS):g}"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None


def _sgd(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    members = []
    for seed, (rate, decay) in product(seeds, SGD):
        about = {"optimiser.kind": "sgd", "optimiser.momentum": 0.9, "optimiser.learning_rate": rate, "seed": seed}
        members.append(
            preset("micro", {"name": "micro-sgd", "optimiser.weight_decay": decay, "budget.steps": SGD_STEPS, **about})
        )
    run = trainer.train(members)
    adamw = trainer.train([preset("micro", {"seed": seed}) for seed in seeds])
    for i in range(len(seeds)):
        own = [_accuracies(run.curves(place)) for place in range(i * len(SGD), (i + 1) * len(SGD))]
        values = {"best_train_accuracy": max(a for a, _ in own), "best_test_accuracy": max(b for _, b in own)}
        train, test = _accuracies(adamw.curves(i))
        control = {"best_train_accuracy": train, "best_test_accuracy": test}
        sentence = f"best test accuracy {values['best_test_accuracy']:.1%} over {len(SGD)} settings, AdamW {test:.1%}"
        yield Outcome(values, sentence=sentence, control=control)


def _accuracies(curves: Any) -> tuple[float, float]:
    pair = (float(np.nanmax(curves[name])) for name in ("train_accuracy", "test_accuracy"))
    train, test = pair
    return train, test


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


SOURCE = "arXiv 2603.13331"
GRID = (
    f"micro, rates {', '.join(f'{r:g}' for r in RATES)}, decays {', '.join(f'{d:g}' for d in DECAYS)}, at most "
    f"{STEPS:,} steps, 5 seeds, all as one ensemble: small networks, so that a grid of every seed is affordable; what "
    "did not grok is censored in the fit."
)
ABOUT: dict[str, Any] = {"seeds": 5, "together": True, "shares": "micro-rates-decays", "cost": 60.0}
PERMUTED = "the same delays, moved to other cells at random"

publish(
    "separation2026",
    "The delay as a separation of norms (arXiv 2603.13331)",
    [
        Claim(
            id="delay-law",
            claim="The delay T_gen - T_mem is proportional to log(‖θ_mem‖² / ‖θ_post‖²) over rate times decay.",
            source=f"{SOURCE}, 293 runs",
            expected="R² above .97",
            control=PERMUTED,
            counter="Measured here: the norm rises from memorising to grokking in every network, where the logarithm "
            "is negative, so no constant makes this law one of micro. With decay 4 at most 2 of 3 rates grok.",
            quick=Trial(
                setting=f"{GRID} R² is of log delay over the cells that grokked, for C / (rate · decay) with C fitted.",
                bars=(
                    Bar("r2", ">", 0.97, "the paper: R² > .97"),
                    Bar("share_with_falling_norm", ">=", 0.9, "where it rises, the law's logarithm is negative"),
                ),
                run=_law,
                **ABOUT,
            ),
            full=None,
        ),
        Claim(
            id="inverse-in-rate",
            claim="The delay is inversely proportional to the rate.",
            source=SOURCE,
            expected="an exponent of -1",
            control=PERMUTED,
            counter="A likely cause is decay 4, where at most 2 of 3 networks grok and the censored times bend both "
            "exponents; a grid without it was not trained. Without them the rate has -0.56 to -0.93.",
            quick=Trial(
                setting=f"{GRID} The exponents of delay = C · rate^a · decay^b are fitted together.",
                bars=(Bar("rate_off_by", "<=", 0.15, "a factor between 1.8 and 2.2 for half the rate"),),
                run=_powers,
                **ABOUT,
            ),
            full=None,
        ),
        Claim(
            id="inverse-in-decay",
            claim="The delay is inversely proportional to weight decay.",
            source=SOURCE,
            expected="an exponent of -1",
            control=PERMUTED,
            counter="Measured for this project before: delay · rate · decay rises from 0.5 to 1.9 over eight times the "
            "decay. Here, without the networks that decay 4 holds down, decay has -0.68 to 0.09.",
            quick=Trial(
                setting=f"{GRID} The exponents of delay = C · rate^a · decay^b are fitted together.",
                bars=(Bar("decay_off_by", "<=", 0.15, "a factor between 1.8 and 2.2 for half the decay"),),
                run=_powers,
                **ABOUT,
            ),
            full=None,
        ),
        Claim(
            id="norm-rises",
            kind="own",
            claim="On micro the norm of the weights rises from memorising to grokking, where the law needs it to fall.",
            source="groklab's own, against the law's mechanism",
            expected="from 25 to 32 to 47 at decay 1",
            control="the networks with a decay of 4",
            counter="The norm rises with decay 4 as well, by 4 to 18% where a network groks: the control passes in two "
            "seeds because the finding is wider than its sentence.",
            quick=Trial(
                setting=f"{GRID} The median ratio over the rates, at decay 1.",
                bars=(Bar("median_norm_ratio", ">=", 1.1, "more than a tenth: no rounding, and the wrong direction"),),
                run=_rises,
                **ABOUT,
            ),
            full=None,
        ),
        Claim(
            id="sgd-fails",
            claim="Gradient descent fails where AdamW groks.",
            source=SOURCE,
            expected="SGD does not generalise, AdamW does",
            control="AdamW, the preset micro itself",
            counter="Failing within a budget is censoring; SGD's rate and decay are chosen here among 12, for the best "
            "test accuracy of any.",
            quick=Trial(
                setting="micro with momentum 0.9, rates 0.03, 0.1, 0.3, 1 and decays 0, 0.001, 0.01, 3,000 steps, "
                "beside micro, 5 seeds: SGD has the best of all its settings, AdamW the one of the preset.",
                seeds=5,
                cost=60,
                bars=(Bar("best_test_accuracy", "<", 0.9, "below the 90% at which groklab calls a model generalised"),),
                run=_sgd,
                together=True,
            ),
            full=None,
        ),
    ],
)
