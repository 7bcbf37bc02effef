"""The tracks: what all entries train on, for how long, and how many trials and seeds each may have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from groklab.errors import check_choice
from groklab.experiment import Experiment, read
from groklab.text import flattened

Size = Literal["reduced", "full"]
SIZES: tuple[Size, ...] = ("reduced", "full")
#: The first seed of tuning and the first of the scores: no track has so many seeds that they meet, and presets and
#: their surveys use those from 0.
TUNING_SEED, SCORE_SEED = 100, 1000
#: Fewer matched seeds decide nothing.
FEWEST_SEEDS = 10


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much a track trains at one size.

    Attributes:
        steps: the budget of each model; one that has not grokked by then is censored there.
        stay: steps that each model goes on after it has grokked, which show whether its accuracy stays.
        trials: settings that each tuned entry may try, its own among them.
        tuning_seeds: with how many seeds each of them is tried.
        seeds: fresh seeds of the score.
        settings: what differs from the track's own settings, by dotted name.
        why: what is reduced, and what that leaves open.
        minutes: estimated minutes on two idle cores for all of groklab's own entries; None where nobody knows.
    """

    steps: int
    stay: int
    trials: int
    tuning_seeds: int
    seeds: int = FEWEST_SEEDS
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class Track:
    """A task with its split and network, which no entry changes.

    Attributes:
        title: what is trained, in a few words.
        settings: the complete experiment of the published baseline, by dotted name.
        source: whose setting it is.
        sizes: its two scales.
        every: steps between evaluations.
    """

    name: str
    title: str
    source: str
    settings: Mapping[str, Any]
    sizes: Mapping[Size, Scale]
    every: int = 10

    def __repr__(self) -> str:
        return f"Track({self.name!r}: {self.title})"

    def scale(self, size: Size) -> Scale:
        """Return how much is trained at a size; raises InputError for an unknown one."""
        check_choice("size", size, SIZES)
        return self.sizes[size]

    def experiment(self, size: Size) -> Experiment:
        """Return the baseline as published, with the budget and the evaluations that all entries have."""
        scale = self.scale(size)
        rules = {
            "name": f"leaderboard-{self.name}",
            "seed": SCORE_SEED,
            "evaluation.every": self.every,
            "checkpoints.spacing": "none",
            "budget.steps": scale.steps,
            "budget.stop_when_grokked": True,
            "budget.retire": True,
            "budget.extra_steps": scale.stay,
        }
        return _read(json.dumps({**self.settings, **scale.settings, **rules}))

    def fixed(self, size: Size) -> Mapping[str, Any]:
        """Return every setting of the baseline by dotted name."""
        return flattened(self.experiment(size).to_dict())

    def tuning_seeds(self, size: Size) -> tuple[int, ...]:
        """Return the seeds of tuning."""
        return tuple(range(TUNING_SEED, TUNING_SEED + self.scale(size).tuning_seeds))

    def score_seeds(self, size: Size) -> tuple[int, ...]:
        """Return the fresh seeds of the scores, each with its own split."""
        return tuple(range(SCORE_SEED, SCORE_SEED + self.scale(size).seeds))


_TRANSFORMER: dict[str, Any] = {
    "task.layout": "a b =",
    "network.kind": "transformer",
    "network.init_scheme": "nanda2023",
    "optimiser.learning_rate": 1e-3,
    "optimiser.weight_decay": 1.0,
    "optimiser.b2": 0.98,
    "optimiser.warmup_steps": 10,
}
_MICRO: dict[str, Any] = {
    "task.p": 23,
    "task.expression": "x + y",
    "task.layout": "a b",
    "split.frac_train": 0.65,
    "network.kind": "mlp",
    "network.d_mlp": 128,
    "network.activation": "quadratic",
    "network.init_scheme": "micro",
    "optimiser.learning_rate": 1e-3,
    "optimiser.weight_decay": 1.0,
}

TRACKS: dict[str, Track] = {
    track.name: track
    for track in (
        Track(
            name="addition",
            title="x + y mod 97 from 30% of the pairs, a one-layer transformer",
            source="the model of Nanda et al. 2023 (arXiv 2301.05217)",
            settings={
                **_TRANSFORMER,
                "task.p": 97,
                "task.expression": "x + y",
                "task.outputs": "vocabulary",
                "split.frac_train": 0.3,
            },
            sizes={
                "full": Scale(steps=30_000, stay=1000, trials=16, tuning_seeds=3),
                "reduced": Scale(
                    steps=1500,
                    stay=200,
                    trials=4,
                    tuning_seeds=3,
                    settings={
                        "task.p": 43,
                        "split.frac_train": 0.5,
                        "network.d_mlp": 256,
                        "optimiser.learning_rate": 3e-3,
                        "optimiser.weight_decay": 2.0,
                    },
                    why="mod 43, 50% of the pairs and half the neurons, where the baseline is that of the preset "
                    "micro-transformer; fewer trials, and a tenth of the steps",
                ),
            },
        ),
        Track(
            name="product",
            title="x·y mod 97 from 50% of the pairs, two layers with LayerNorm, batches of 512",
            source="the setting of Lee et al. 2024 (Grokfast, arXiv 2405.20233) with the network of Power et al. 2022",
            settings={
                **_TRANSFORMER,
                "task.p": 97,
                "task.expression": "x * y",
                "task.outputs": "vocabulary",
                "split.frac_train": 0.5,
                "network.n_layers": 2,
                "network.n_heads": 4,
                "network.d_model": 128,
                "network.layer_norm": "pre",
                "network.biases": "all",
                "network.init_scheme": "fan_in",
                "batch_size": 512,
            },
            sizes={
                "full": Scale(steps=20_000, stay=1000, trials=16, tuning_seeds=3),
                "reduced": Scale(
                    steps=2000,
                    stay=200,
                    trials=4,
                    tuning_seeds=2,
                    settings={
                        "task.p": 31,
                        "network.d_model": 32,
                        "batch_size": 128,
                        "optimiser.learning_rate": 3e-3,
                        "optimiser.weight_decay": 2.0,
                    },
                    why="mod 31, a quarter of the width, batches of 128; fewer trials, and a tenth of the steps",
                ),
            },
        ),
        Track(
            name="one-hot",
            title="x + y mod 113 from 40% of the pairs, two hidden layers on one-hot inputs",
            source="the network of Prieto et al. 2025 (arXiv 2501.04697)",
            settings={
                "task.p": 113,
                "task.expression": "x + y",
                "task.layout": "a b",
                "split.frac_train": 0.4,
                "network.kind": "mlp",
                "network.d_mlp": 200,
                "network.n_hidden_layers": 2,
                "network.activation": "relu",
                "network.init_scheme": "torch",
                "optimiser.learning_rate": 1e-2,
                "optimiser.weight_decay": 1.0,
                "optimiser.b2": 0.98,
            },
            sizes={
                "full": Scale(steps=5000, stay=500, trials=16, tuning_seeds=3),
                "reduced": Scale(
                    steps=2000,
                    stay=200,
                    trials=6,
                    tuning_seeds=3,
                    settings={"task.p": 59, "network.d_mlp": 100, "optimiser.weight_decay": 2.0},
                    why="mod 59 and half the width; fewer trials and steps",
                ),
            },
        ),
        Track(
            name="micro",
            title="x + y mod 23 from 65% of the pairs, one quadratic hidden layer",
            source="groklab's preset micro",
            settings=_MICRO,
            every=5,
            sizes={
                "full": Scale(steps=10_000, stay=1000, trials=32, tuning_seeds=5, seeds=30),
                "reduced": Scale(
                    steps=3000,
                    stay=300,
                    trials=12,
                    tuning_seeds=3,
                    seeds=20,
                    why="the same task and network; fewer trials, seeds and steps",
                ),
            },
        ),
        Track(
            name="s5",
            title="products of permutations of five things from 50% of the pairs, one hidden layer",
            source="the task of Power et al. 2022 (arXiv 2201.02177); for a graphics card",
            settings={
                "task.kind": "group",
                "task.group": "S5",
                "task.layout": "a b",
                "split.frac_train": 0.5,
                "network.kind": "mlp",
                "network.d_mlp": 256,
                "network.activation": "relu",
                "network.init_scheme": "micro",
                "optimiser.learning_rate": 1e-2,
                "optimiser.weight_decay": 1.0,
                "optimiser.b2": 0.98,
            },
            sizes={
                "full": Scale(steps=20_000, stay=1000, trials=16, tuning_seeds=3),
                "reduced": Scale(
                    steps=3000,
                    stay=200,
                    trials=4,
                    tuning_seeds=2,
                    settings={"network.d_mlp": 128},
                    why="half the width; fewer trials and steps. On two cores it takes hours: give it --hours",
                ),
            },
        ),
    )
}


@lru_cache(maxsize=64)
def _read(settings: str) -> Experiment:
    return read({}, json.loads(settings))


def find_track(name: str) -> Track:
    """Return a track by its name; raises InputError naming the nearest one."""
    check_choice("track", name, TRACKS, "`groklab leaderboard` lists them")
    return TRACKS[name]
