"""What the claims share: the settings of either size, and the runs that they look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from groklab.experiment import preset
from groklab.measures import MEASURES
from groklab.reproduction import Bar, Size, Trainer, Trial, Values
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.training import build_task

SEEDS = 3
#: Share of the pairs at which the paper tells easy operations from hard ones, and what stands for it mod 37.
FRACTION: dict[Size, float] = {"quick": 0.6, "full": 0.3}
#: Share of the pairs for families of operations; mod 37 powers are so many-to-one that 60% do not suffice.
MORE: dict[Size, float] = {"quick": 0.75, "full": 0.3}
#: Steps within which operations are to grok, all alike.
STEPS: dict[Size, int] = {"quick": 4_000, "full": 100_000}
#: The same for hard operations, alone and with parts of other models, and for the easy ones that they are compared
#: with: some six times what x + y takes.
LONG_STEPS: dict[Size, int] = {"quick": 8_000, "full": 100_000}
#: Steps of clean-up that are trained after grokking where weights are looked at.
CLEAN_UP: dict[Size, int] = {"quick": 2_000, "full": 4_000}
#: Steps of these runs at most.
CLEANED_STEPS: dict[Size, int] = {size: STEPS[size] + 2 * CLEAN_UP[size] for size in STEPS}
SIZE_SETTINGS: dict[Size, dict[str, Any]] = {
    "quick": {"task.p": 37, "evaluation.every": 20},
    "full": {"task.p": 97, "evaluation.every": 50},
}
#: What differs from that in quick trials. Mod 37 subtraction is slow; of x² + y² nearly all pairs are known from some
#: (±x, ±y) there.
OWN: dict[str, dict[str, Any]] = {
    "subtract": {"split__frac_train": 0.75},
    "x2_y2": {"task__p": 73, "split__frac_train": 0.35, "budget__steps": 5_000, "budget__extra_steps": 1_000},
}
#: The two settings in words, but for how long.
SETTING: dict[Size, str] = {
    "quick": "Mod 37 from 60% of the pairs, the network as in the paper, {}: the smallest modulus above 13 whose n-th "
    "powers, n = 2 to 7, are as many-to-one as mod 97",
    "full": "Mod 97 from 30% of the pairs, the paper's setting, {}; the paper judges within 300,000",
}
#: Operations that have a sign of their own, and are shown with it.
ELEMENTARY = ("add", "subtract", "multiply")


@dataclass(frozen=True)
class Trained:
    """One run with a member per operation and seed, operation by operation. budget: its steps."""

    run: Run
    operations: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int

    def member(self, operation: str, seed: int) -> int:
        """Return its member in the run."""
        return self.operations.index(operation) * len(self.seeds) + self.seeds.index(seed)

    def grokked(self, operation: str, seed: int) -> int | None:
        """Return the step at which it grokked within the budget, or None."""
        step = self.run.status.members[self.member(operation, seed)].grokked_step
        return step if step is not None and step <= self.budget else None

    def curves(self, operation: str, seed: int) -> dict[str, np.ndarray]:
        """Return its metrics up to the budget, or to where it retired."""
        curves = self.run.curves(self.member(operation, seed))
        kept = (curves["step"] <= self.budget) & ~np.isnan(curves["train_loss"])
        return {name: values[kept] for name, values in curves.items()}

    def best(self, operation: str, seed: int) -> float:
        """Return its best test accuracy."""
        return float(self.curves(operation, seed)["test_accuracy"].max())

    def end(self, operation: str, seed: int) -> tuple[int | None, float]:
        """Return the step at which it grokked, or None, and its best test accuracy."""
        return self.grokked(operation, seed), self.best(operation, seed)

    def weights(self, operation: str, seed: int) -> dict[str, np.ndarray]:
        """Return its last weights."""
        return self.run.weights(member=self.member(operation, seed) if self.run.n_members > 1 else None)

    def task(self, operation: str, seed: int) -> Task:
        """Return its task."""
        return build_task(self.run.experiments[self.member(operation, seed)])

    def train_rows(self, operation: str, seed: int) -> np.ndarray:
        """Return the rows of the task that it is trained on."""
        experiment = self.run.experiments[self.member(operation, seed)]
        return make_split(experiment.split, build_task(experiment), experiment.seed).train

    def spectra(self, operation: str, seed: int) -> Mapping[str, Any]:
        """Return `fourier_sparsity` of its last weights."""
        return _spectra(self.run.path, self.member(operation, seed), self.run.status.step)

    def path(self, operation: str, seed: int, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and values of one array of `fourier_sparsity` during training."""
        measured = self.run.measured
        assert measured is not None
        own = measured.filter(measured["member"] == self.member(operation, seed)).sort("step")
        own = own.drop_nulls(f"fourier_sparsity.{column}")
        return own["step"].to_numpy(), own[f"fourier_sparsity.{column}"].to_numpy().astype(float)


@lru_cache(maxsize=64)
def _spectra(path: Path, member: int, step: int) -> Mapping[str, Any]:
    run = Run(path)
    weights = run.weights(step, member=member if run.n_members > 1 else None)
    return MEASURES["fourier_sparsity"](weights, build_task(run.experiments[member]))


def trained(
    trainer: Trainer, size: Size, what: str, operations: Sequence[str], seeds: Sequence[int], **changes: Any
) -> Trained:
    """Train operations in one run named after `what`, until each has grokked or the steps of the size are over.

    Several operations are all shown with the sign '=', as the members of one run share their tokens.

    Args:
        changes: settings with `__` for a dot, over those of the size; value i of a `PerSeed` is that of seed i.
    """
    settings = settings_of(size, what)
    if len(operations) > 1:
        settings["task.op_token"] = "="
    settings |= {key.replace("__", "."): value for key, value in changes.items()}
    members = []
    for operation in operations:
        for i, seed in enumerate(seeds):
            own = {k: v[i] if isinstance(v, PerSeed) else v for k, v in settings.items()}
            members.append(preset(f"furuta2024/{operation}", {**own, "seed": seed}))
    return Trained(trainer.train(members), tuple(operations), tuple(seeds), settings["budget.steps"])


def settings_of(size: Size, what: str) -> dict[str, Any]:
    """Return the settings of a size for a run named after `what`, which stops once its members have grokked."""
    budget = {"steps": STEPS[size], "stop_when_grokked": True, "retire": True, "extra_steps": 0}
    return {
        **SIZE_SETTINGS[size],
        **{f"budget.{key}": value for key, value in budget.items()},
        "split.frac_train": FRACTION[size],
        "checkpoints.spacing": "none",
        "measures.names": [],
        "name": f"furuta2024-{size}-{what}",
    }


def endings(ends: Mapping[str, tuple[int | None, float]]) -> Values:
    """Return when each of several models grokked and its best test accuracy, as values.

    Args:
        ends: by name, the step at which it grokked, None where it did not, and the best test accuracy.
    """
    values: Values = {}
    for name, (step, best) in ends.items():
        values |= {f"{name}_grokked_step": step, f"{name}_best_test_accuracy": best}
    return values


def in_words(ends: Mapping[str, tuple[int | None, float]]) -> str:
    """Return the same in words."""
    return ", ".join(f"{name} {grokked_at(*end)}" for name, end in ends.items())


def groks(name: str, steps: int) -> Bar:
    """Return the bar of what is to grok within some steps; a model that has not has no step."""
    value = f"{name}_grokked_step" if name else "grokked_step"
    return Bar(value, "<=", steps, "the paper: it groks; groklab: 99% of the test pairs, within the steps of the trial")


def stays_below(name: str, accuracy: float, origin: str) -> Bar:
    """Return the bar of what is not to grok: its best test accuracy stays where the paper has it."""
    return Bar(f"{name}_best_test_accuracy", "<=", accuracy, origin)


class PerSeed(tuple[Any, ...]):
    """A setting's values, one per seed."""


def cleaned_up(trainer: Trainer, size: Size, operation: str, seeds: Sequence[int]) -> Trained:
    """Train one operation with its own sign, also after it has grokked, with its spectra during training."""
    more: dict[str, Any] = {
        "budget__extra_steps": CLEAN_UP[size],
        "measures__names": ["fourier_sparsity"],
        "measures__every": 100,
    }
    more |= {"budget__steps": CLEANED_STEPS[size]} | (OWN.get(operation, {}) if size == "quick" else {})
    return trained(trainer, size, operation, (operation,), seeds, **more)


def alone(trainer: Trainer, size: Size, operation: str, seeds: Sequence[int]) -> Trained:
    """Train a hard operation from scratch, from the share of the pairs from which easy ones grok."""
    return trained(trainer, size, f"{operation}-alone", (operation,), seeds, budget__steps=LONG_STEPS[size])


@dataclass(frozen=True)
class Transfer:
    """An operation learnt with a frozen part of a model that has grokked another."""

    source: str
    part: str
    operation: str

    @property
    def name(self) -> str:
        """A short name."""
        return f"{self.operation}-with-{self.part}-of-{self.source}"

    def trained(self, trainer: Trainer, size: Size, seeds: Sequence[int], **changes: Any) -> Trained:
        """Train each seed from the source of its own seed."""
        source = cleaned_up(trainer, size, self.source, seeds).run
        members = PerSeed(range(len(seeds)) if source.n_members > 1 else [None])
        taken = {"start__run": source.name, "start__member": members, "start__take": [self.part]}
        settings = {"start__freeze": True, "budget__steps": LONG_STEPS[size], **taken, **changes}
        return trained(trainer, size, self.name, (self.operation,), seeds, **settings)


def following(seeds: Sequence[int], seed: int) -> int:
    """Return the next of some seeds, after the last one the first."""
    return seeds[(seeds.index(seed) + 1) % len(seeds)]


def trial(
    run: Any,
    size: Size,
    cost: float,
    setting: str = "{}.",
    cleaned: bool = False,
    steps: Mapping[Size, int] = STEPS,
    **more: Any,
) -> Trial:
    """Return the trial of `run(trainer, size, seeds)`, which yields outcomes.

    Args:
        setting: with {} for that of the size.
        cleaned: its runs continue after they have grokked, as those of `cleaned_up`.
        steps: for how long it trains.
        more: `bars`, and other fields of the trial.
    """
    span = f"for up to {steps[size]:,} steps"
    if cleaned:
        span = f"until {CLEAN_UP[size]:,} steps after it has grokked, for up to {CLEANED_STEPS[size]:,} steps"
    return Trial(
        setting=setting.format(SETTING[size].format(span)),
        cost=cost,
        run=lambda trainer, seeds: run(trainer, size, seeds),
        together=True,
        **{"seeds": SEEDS, **more},
    )


class Trials(TypedDict):
    """The trials of a claim."""

    quick: Trial
    full: Trial


def both(trial_of: Callable[[Size], Trial]) -> Trials:
    """Return the trials of either size."""
    return {"quick": trial_of("quick"), "full": trial_of("full")}


def grokked_at(step: int | None, best: float | None = None) -> str:
    """Write when something grokked."""
    if step is not None:
        return f"grokked at {step:,}"
    return "not grokked" if best is None else f"not grokked (best {best:.1%})"


def of_all(values: Sequence[float]) -> str:
    """Write the range of values: `0.5`, or `0.5 to 0.7`."""
    low, high = (f"{v:.3g}" for v in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
