"""The claims of Muon's grokking (arXiv 2504.16041), and those against it: `groklab reproduce muon2025`.

Steps are those of the criteria that each source defines. Where AdamW has not grokked within the budget it counts as
grokked at its end, so that a ratio to it is at most the one that is given; where Muon has not, there is no ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from groklab.experiment import Experiment, preset
from groklab.grokking import survival
from groklab.optimisers import AdamW
from groklab.papers.muon2025.presets import LOSSES, TASKS
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values, publish

#: AdamW as the replication of the paper has it, in place of Muon.
ADAMW = AdamW(learning_rate=2e-3, weight_decay=0.01, b2=0.95)
#: The paper's setting made small: one layer, and epochs of twelve batches. In full batch neither optimiser groks within
#: 2,000 epochs; the paper's 103 epochs are some 20,000 updates.
SMALL: dict[str, Any] = {
    "task.p": 31,
    "network.n_layers": 1,
    "network.n_heads": 2,
    "network.d_model": 32,
    "batch_size": 64,
    "evaluation.every": 12,
    "budget.steps": 3_000,
}
#: What both optimisers are tuned over, on seeds that no claim reports, and for how long.
WIDTHS, BATCHES, TUNING_SEEDS, TUNING_STEPS = (32, 64), (None, 256), (100, 101), 600
TUNED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "small": ((0.01, 0.03), (0.1, 1.0)),
    "small-adamw": ((1e-3, 3e-3), (1.0, 3.0)),
}
#: Steps of the comparison after tuning.
COMPARED_STEPS = 2_000


@dataclass(frozen=True)
class Pair:
    """One seed's network by Muon and by AdamW, and by AdamW from another seed."""

    muon: int | None
    adamw: int | None
    other: int | None
    budget: int

    def values(self) -> Values:
        """The steps of both and their ratio."""
        return _ratio(self.muon, self.adamw, self.budget)

    def control(self) -> Values:
        """The same of AdamW with another seed in Muon's place."""
        return _ratio(self.other, self.adamw, self.budget)


def _ratio(first: int | None, second: int | None, budget: int) -> Values:
    ratio = None if first is None else first / (second or budget)
    return {"grokked_step": first, "adamw_grokked_step": second, "ratio": ratio}


def _steps(trainer: Trainer, members: Sequence[Experiment]) -> list[int | None]:
    """Return when each member of an ensemble grokked."""
    return [m.grokked_step for m in trainer.train(list(members)).status.members]


def _pairs(trainer: Trainer, muon: Sequence[Experiment], adamw: Sequence[Experiment]) -> Iterator[Outcome]:
    """Return an outcome for each seed's experiment by Muon and by AdamW; each group is one ensemble."""
    first, second = _steps(trainer, muon), _steps(trainer, adamw)
    others = [*second[-1:], *second[:-1]]
    for of in zip(first, second, others, strict=True):
        pair = Pair(*of, muon[0].budget.steps)
        yield Outcome(pair.values(), sentence=_words(pair), control=pair.control())


def _by_adamw(experiment: Experiment) -> Experiment:
    return replace(experiment, optimiser=ADAMW, name=f"{experiment.name}-adamw")


def _third_less(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    members = [preset("muon2025/add-softmax", {**SMALL, "seed": seed}) for seed in seeds]
    return _pairs(trainer, members, [_by_adamw(member) for member in members])


def _all_tasks(trainer: Trainer, seed: int) -> Outcome:
    """The paper's table: the mean over seven tasks and three losses of the step by Muon and by AdamW, in epochs."""
    means: list[list[float]] = [[], [], []]
    for task, loss in product(TASKS, LOSSES):
        own, next_seed = (preset(f"muon2025/{task}-{loss}", {"seed": of}) for of in (seed, seed + 1))
        epochs = []
        for experiment in (own, _by_adamw(own), _by_adamw(next_seed)):
            (step,) = _steps(trainer, [experiment])
            epochs.append((experiment.budget.steps if step is None else step) / (experiment.evaluation.every or 1))
        for of, epoch in zip(means, epochs, strict=True):
            of.append(epoch)
    muon, adamw, other = (float(np.mean(of)) for of in means)
    values, control = ({"mean_epoch": mean, "adamw_mean_epoch": adamw, "ratio": mean / adamw} for mean in (muon, other))
    return Outcome(values, sentence=f"mean epoch {muon:.0f} by Muon, {adamw:.0f} by AdamW", control=control)


def _locked(small: bool, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    name = "muon2025/small" if small else "muon2025/na00s"
    return _pairs(trainer, *([preset(of, {"seed": seed}) for seed in seeds] for of in (name, f"{name}-adamw")))


def _tune(trainer: Trainer, name: str) -> dict[str, Any]:
    """Return the width, batch, rate and decay with which a preset groks soonest on the tuning seeds."""
    rates, decays = TUNED[name]
    best: tuple[float, dict[str, Any]] = (np.inf, {})
    for width, batch in product(WIDTHS, BATCHES):
        cells = []
        for rate, decay in product(rates, decays):
            cell = {"optimiser.learning_rate": rate, "optimiser.weight_decay": decay}
            cells.append({**cell, "network.d_model": width, "network.d_mlp": 2 * width, "batch_size": batch})
        members = [
            preset(f"muon2025/{name}", {**cell, "seed": seed, "budget.steps": TUNING_STEPS})
            for seed in TUNING_SEEDS
            for cell in cells
        ]
        steps = [TUNING_STEPS if step is None else step for step in _steps(trainer, members)]
        means = np.array(steps, float).reshape(len(TUNING_SEEDS), -1).mean(axis=0)
        if means.min() < best[0]:
            best = float(means.min()), cells[int(means.argmin())]
    if not best[1]:
        raise ValueError("no setting was tuned")
    return best[1]


def _when_tuned(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    from scipy.stats import CensoredData, logrank  # a second of importing, which other commands need not take

    chosen = {name: _tune(trainer, name) for name in TUNED}
    steps = {}
    for name, cell in chosen.items():
        settings = {**cell, "budget.steps": COMPARED_STEPS}
        steps[name] = _steps(trainer, [preset(f"muon2025/{name}", {**settings, "seed": seed}) for seed in seeds])
    untuned = _steps(trainer, [preset("muon2025/small-adamw", {"seed": seed}) for seed in seeds])
    muon, adamw = steps["small"], steps["small-adamw"]
    samples = [
        CensoredData.right_censored([s or COMPARED_STEPS for s in of], [s is None for s in of]) for of in (muon, adamw)
    ]
    medians = [survival(list(of), [COMPARED_STEPS] * len(of)).median for of in (muon, adamw)]
    shared: Values = {"muon_median": medians[0], "adamw_median": medians[1]}
    # without a seed that grokked there is nothing to compare
    some = len(seeds) > 1 and any(step is not None for step in (*muon, *adamw))
    shared["logrank_p"] = float(logrank(*samples).pvalue) if some else None
    shared |= {f"{name}_{key.split('.')[-1]}": v for name, cell in chosen.items() for key, v in cell.items()}
    for i in range(len(seeds)):
        values, control = (_no_sooner(muon[i], of[i]) | shared for of in (adamw, untuned))
        sentence = (
            f"{_at(muon[i])} by tuned Muon, {_at(adamw[i])} by tuned AdamW, {_at(untuned[i])} by AdamW as locked; "
            f"medians {medians[0]} and {medians[1]}, log-rank p = {shared['logrank_p']}"
        )
        yield Outcome(values, sentence=sentence, control=control)


def _no_sooner(muon: int | None, adamw: int | None) -> Values:
    """The ratio of steps for AdamW's sake: a Muon that has not grokked counts as grokked at the end."""
    ratio = None if adamw is None else (muon or COMPARED_STEPS) / adamw
    return {"grokked_step": muon, "adamw_grokked_step": adamw, "ratio": ratio}


def _at(step: int | None) -> str:
    return "not grokked" if step is None else f"step {step:,}"


def _words(pair: Pair) -> str:
    return f"{_at(pair.muon)} by Muon, {_at(pair.adamw)} by AdamW"


SOONER = Bar("ratio", "<=", 0.8, "the paper: 102.89 of 153.09 epochs, 0.67; 0.8 is three fifths of that gain")
_LOCKED = (
    "the small twin of the locked settings (addition mod 31, 60%, one layer of width 64, five seeds as an ensemble)"
)
CLAIMS = [
    Claim(
        id="third-less",
        claim="Muon reduces the mean grokking epoch from 153.09 to 102.89.",
        source="abstract: seven tasks, three losses",
        expected="a ratio of 0.67",
        control="AdamW with the next seed in Muon's place",
        counter="Essential AI: see no-advantage-when-tuned. In full batch neither grokked here within 2,000 epochs.",
        quick=Trial(
            setting="The rates of the paper's replication (Muon 0.02, AdamW 2·10⁻³, decay 0.01) on addition mod 31, "
            "80%, softmax, one layer of width 32 with LayerNorm, batches of 64, 250 epochs of 12 updates: one task and "
            "loss of 21, made small; five seeds as an ensemble.",
            seeds=5,
            cost=100,
            bars=(SOONER,),
            run=_third_less,
            together=True,
        ),
        full=Trial(
            setting="The 21 presets muon2025/TASK-LOSS, each by Muon and by AdamW, 300 epochs; means over all.",
            seeds=3,
            cost=3 * 21 * 3 * 3600,
            bars=(SOONER,),
            run=_all_tasks,
        ),
    ),
    Claim(
        id="locked-settings",
        claim="With the settings that sweeps selected for each, Muon groks sooner than AdamW.",
        source="Na00s/muon-grokking, its configurations",
        expected="sooner, and accuracy collapses later",
        control="AdamW with the next seed in Muon's place",
        quick=Trial(
            setting=f"muon2025/small and /small-adamw: {_LOCKED}, 2,000 steps.",
            seeds=5,
            cost=60,
            bars=(SOONER,),
            run=partial(_locked, True),
            together=True,
        ),
        full=Trial(
            setting="muon2025/na00s and /na00s-adamw: addition mod 113, 30%, one layer of width 128, 20,000 steps.",
            seeds=5,
            cost=2 * 5 * 900,
            bars=(SOONER,),
            run=partial(_locked, False),
            together=True,
        ),
    ),
    Claim(
        id="no-advantage-when-tuned",
        claim="Over a wider range of rates, batches and widths Muon's advantage disappears.",
        source="Essential AI 2025 (https://www.essential.ai/blog/grokking), against the paper",
        expected="no clear winner",
        control="AdamW at its locked settings in place of the tuned one",
        counter="Measured here, no setting of Muon grokked within the tuning budget, and untuned AdamW is sooner.",
        quick=Trial(
            setting=f"{_LOCKED}; each optimiser is tuned over two rates, two decays, two widths and two batches on "
            "seeds 100 and 101 for 600 steps, and compared on others for 2,000.",
            seeds=5,
            cost=180,
            bars=(Bar("ratio", ">", 0.8, "what third-less asks for is not met, at each seed"),),
            run=_when_tuned,
            together=True,
        ),
        full=None,
    ),
]
publish("muon2025", "Muon Optimizer Accelerates Grokking", CLAIMS)
