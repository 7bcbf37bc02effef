"""The description of an experiment: typed, frozen, and hashed into its identity.

`groklab.experiment.reading` makes it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from groklab import components, notebook
from groklab.experiment._label import task_label
from groklab.experiment._yaml_input import dump_yaml
from groklab.learners import Learner
from groklab.measures import MEASURES
from groklab.networks import Model
from groklab.objectives import Objective
from groklab.optimisers import Optimiser
from groklab.registry import fingerprint, plugin_of, read_plugin
from groklab.tasks import Split
from groklab.text import label, visible

#: Raised whenever the same description would train to other weights, so that old runs are not taken for new ones.
SEMANTICS = 2

#: Components that hold the hyperparameters in which members of an ensemble may differ.
PARTS = ("learner", "network", "objective", "optimiser")

#: Compiled programs count steps in 32 bits.
MAX_STEPS = 1_000_000_000
#: Random keys are made from 32 bits.
MAX_SEED = 2**32 - 1

_STRICT: Any = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: at `steps` updates, after `seconds` of training, or when every member has grokked.

    Attributes:
        stop_when_grokked: stop once test accuracy has passed the criterion for good in every member.
        extra_steps: with stop_when_grokked, stop this many steps later (clean-up goes on after grokking).
        retire: with stop_when_grokked, each member stops on its own once its training accuracy has passed the
            criterion, too, or its loss is not a number; its later records are null.
    """

    __pydantic_config__ = _STRICT

    steps: Annotated[int, Ge(0), Le(MAX_STEPS)] = 10_000
    seconds: Annotated[float, Gt(0)] | None = None
    stop_when_grokked: bool = False
    extra_steps: Annotated[int, Ge(0)] = 0
    retire: bool = False


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How often to measure, and what counts as grokked.

    Attributes:
        every: steps between evaluations; None means 10, or 1 for a task of fewer than 1,000 inputs.
        criterion: 'sustained_99' (at least 99% for 5 evaluations or to the end), 'first_95', 'first_90' (Liu et al.),
            'near_maximum' (within 1% of the run's own maximum), 'tveit' (95% once the training set was all right; Tveit
            et al. 2025), 'essential_ai' (within 1% of the run's own maximum, if that exceeds 95%) or 'five_in_a_row'
            (95% for 5 evaluations; Na00s/muon-grokking).
    """

    __pydantic_config__ = _STRICT

    every: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    criterion: Literal[
        "sustained_99", "first_95", "first_90", "near_maximum", "tveit", "essential_ai", "five_in_a_row"
    ] = "sustained_99"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Which steps' weights to keep: log-spaced (`per_decade`), every `every` steps, or those listed.

    Log-spaced and linear steps are rounded to evaluations. The last step is always kept, and step 0 unless spacing
    is 'none'.

    Attributes:
        rolling_seconds: how often the full state for resuming is written.
        optimiser: keep the optimiser's state beside the weights, so that other runs can branch off
            (`start.with_optimiser`); of checkpoints between two evaluations the weights alone are kept.
    """

    __pydantic_config__ = _STRICT

    spacing: Literal["log", "linear", "listed", "none"] = "log"
    per_decade: Annotated[int, Ge(1), Le(1000)] = 10
    every: Annotated[int, Ge(1)] = 1000
    steps: tuple[Annotated[int, Ge(0)], ...] = ()
    rolling_seconds: Annotated[float, Gt(0)] = 10.0
    optimiser: bool = components.later(False)

    def steps_until(self, budget: int, every: int) -> Sequence[int]:
        """Return the steps whose weights are kept, ascending from 0; the last step is always kept besides."""
        if self.spacing == "none":
            return []
        if self.spacing == "listed":
            return sorted({0, *(s for s in self.steps if s <= budget)})
        if self.spacing == "linear":
            return range(0, budget + 1, -(-self.every // every) * every)
        decades = int(math.log10(max(budget, 1)) * self.per_decade)
        rounded = {round(10 ** (k / self.per_decade) / every) * every for k in range(decades + 1)}
        return sorted({0, *(s for s in rounded if s <= budget)})


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What to measure of the weights while training, besides losses, accuracies and norms.

    Attributes:
        names: registered measures that can run online.
        every: steps between them, rounded up to evaluations; None is 250.
        frequencies: key frequencies, for those that need them (the final model's are not known while it trains;
            `groklab measure` applies them backwards to the checkpoints).
    """

    __pydantic_config__ = _STRICT

    names: tuple[str, ...] = ()
    every: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    frequencies: tuple[Annotated[int, Ge(1)], ...] | None = None


#: Parts of a network by the names under which weights are taken over, and the patterns of their names.
PARTS_OF_NETWORK = {"embedding": "embed.*", "transformer": "blocks.*", "unembedding": "unembed.*"}


@dataclass(frozen=True, kw_only=True)
class Start:
    """Initial weights from elsewhere: a file (.npz or .safetensors), or a checkpoint of another run.

    The identity of the experiment holds the content's hash, not the path.

    Attributes:
        member: which model of an ensemble.
        take: patterns of weights' names, or 'embedding', 'transformer' (attention and MLP), 'unembedding': only these
            are taken and the others newly drawn; None takes all.
        freeze: weights that are taken are not trained.
        unused_rows: the embedding's rows of tokens that the source has never seen, the signs of other operations,
            which weight decay shrinks to zero there: 'fresh' draws them again, and freezes them with the others;
            'train' does so and trains all rows beyond the numbers; 'keep' takes them unchanged, as published (Furuta
            et al. 2024). It applies to weights that are chosen by `take`.
        with_optimiser: go on with the run's optimiser, its steps and its records so far: a branch, whose bits are those
            of the run as long as nothing differs. The run needs to have kept it (`checkpoints.optimiser`).
    """

    __pydantic_config__ = _STRICT

    file: str | None = None
    run: str | None = None
    step: Annotated[int, Ge(0)] | None = None
    member: Annotated[int, Ge(0)] | None = None
    sha256: str | None = None
    take: tuple[str, ...] | None = None
    freeze: bool = False
    unused_rows: Literal["fresh", "train", "keep"] = "fresh"
    with_optimiser: bool = components.later(False)

    def __post_init__(self) -> None:
        if (self.file is None) == (self.run is None):
            raise ValueError("needs exactly one of `file` and `run`")
        if self.take is None and (self.freeze or self.unused_rows != "fresh"):
            raise ValueError("freeze and unused_rows are of weights that `take` names, such as take=[embedding]")
        if self.take is not None and not self.take:
            raise ValueError("take needs to name a part; without it all weights are taken")
        if self.with_optimiser and (self.run is None or self.take is not None):
            raise ValueError("with_optimiser goes on with all of a run's state: with `run`, and without `take`")

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of the names of the weights that are taken."""
        return ("*",) if self.take is None else tuple(PARTS_OF_NETWORK.get(name, name) for name in self.take)


@dataclass(frozen=True, kw_only=True, repr=False)
class Experiment:
    """A task, a learner and how long: everything that one model's training depends on.

    seed draws initial weights and, unless split.seed is given, the split. batch_size None is full batch, as is
    one of at least the training set. Sections that the learner does not read (`learner.sections`) are None.
    dtype is that of weights and activations; matmul_precision is lowered only by asking for it here.
    interventions are what is changed in the middle of training (`groklab.interventions`).
    """

    name: str = "experiment"
    task: Any
    split: Split
    learner: Learner
    network: Any = None
    objective: Objective | None = None
    optimiser: Optimiser | None = None
    batch_size: int | None = None
    dtype: Literal["float32", "float64"] = "float32"
    matmul_precision: Literal["highest", "tf32", "bfloat16"] = "highest"
    seed: int = 0
    start: Start | None = None
    budget: Budget = field(default_factory=Budget)
    evaluation: Evaluation = field(default_factory=Evaluation)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    measures: Measures = field(default_factory=Measures)
    plugins: tuple[str, ...] = ()
    interventions: tuple[Any, ...] = components.later(())

    def to_dict(self) -> dict[str, Any]:
        """Return the complete description as plain JSON values; `read` of it gives an equal experiment."""
        return components.as_json(self)  # type: ignore[no-any-return]

    def chosen(self) -> dict[str, Any]:
        """Return by dotted name, as plain JSON values, the kind of each part and what differs from its defaults."""
        return _chosen(self, "")

    def __repr__(self) -> str:
        return visible(f"Experiment({self.name!r}, {self._in_words()})")

    def __str__(self) -> str:
        return self.to_yaml()

    def _repr_html_(self) -> str:
        rows = {name: label(value) for name, value in self.chosen().items()}
        return notebook.block(notebook.title(self.name, self._in_words()), notebook.pairs(rows))

    def _in_words(self) -> str:
        """Return task, learner, budget and seed in a few words."""
        task, network, learner = (components.as_json(part) for part in (self.task, self.network, self.learner))
        kinds = [network["kind"], getattr(self.optimiser, "kind", "")] if network else [learner["kind"]]
        named = [task_label(task), *kinds, f"{self.budget.steps:,} steps", f"seed {self.seed}"]
        return ", ".join(str(name) for name in named)

    def to_yaml(self) -> str:
        """Return the complete description as YAML."""
        return dump_yaml(self.to_dict(), sort_keys=False)

    @property
    def model(self) -> Model:
        """What weights belong to: the network, or a learner without one."""
        return self.learner if self.network is None else self.network

    @property
    def identity(self) -> str:
        """SHA-256 over everything that affects the result of training (not budget, cadence, name or packing)."""
        parts = self.to_dict()
        for key in ("name", "budget", "evaluation", "checkpoints", "measures", "plugins"):
            del parts[key]
        if self.split.seed is None:
            parts["split"]["seed"] = self.seed
        if self.start is not None:
            parts["start"] = self.start.sha256 or [self.start.file, self.start.run, self.start.step]
            if self.start.take is not None:
                parts["start"] = [parts["start"], sorted(self.start.patterns), self.start.unused_rows]
            if self.start.with_optimiser:
                parts["start"] = [parts["start"], "with_optimiser", self.start.step]
        fingerprint = self.task.fingerprint()
        if fingerprint:
            parts["task"] = {**parts["task"], **dict.fromkeys(self.task.paths), "sha256": fingerprint}
        parts["plugin_sources"] = self.code
        parts["semantics"] = SEMANTICS
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def code(self) -> list[str]:
        """Fingerprints of the users' code that takes part: of plug-ins, and of what has no file of its own."""
        return sorted({*map(fingerprint, self.definitions), *self.plugin_sources.values()} - {""})

    @property
    def plugin_sources(self) -> dict[str, str]:
        """Fingerprints of the plug-ins by path: as they were loaded; of one that defines no part, the file as it is."""
        loaded = {str(p.file): p.sha256 for p in map(plugin_of, self.definitions) if p is not None}
        return {path: loaded.get(path) or read_plugin(path).sha256 for path in self.plugins}

    @property
    def definitions(self) -> list[Any]:
        """The classes of its components, and the functions of its measures."""
        functions = [MEASURES[name].function for name in self.measures.names if name in MEASURES]
        parts = [p for k in ("task", *PARTS) for p in components.with_sections(getattr(self, k))]
        return [*map(type, (*parts, *self.interventions)), *functions]

    @property
    def program(self) -> str:
        """Canonical text of what decides the compiled program, apart from the sizes of the data."""
        named = {k: components.static_of(getattr(self, k)) for k in PARTS}
        named["code"] = [fingerprint(type(p)) for k in PARTS for p in components.with_sections(getattr(self, k))]
        named |= {k: getattr(self, k) for k in ("batch_size", "dtype", "matmul_precision")}
        return json.dumps(named, sort_keys=True)

    @property
    def hyperparameters(self) -> dict[str, float]:
        """Every hyperparameter that may differ between members of one ensemble, by dotted path."""
        parts = {k: getattr(self, k) for k in PARTS}
        return components.hyperparameters_of(parts)


def _chosen(part: Any, path: str) -> dict[str, Any]:
    """Return the kind and the settings of a part, of all that are not the defaults of its class."""
    if isinstance(part, Mapping):  # of a plug-in that is not loaded
        return {path + name: value for name, value in part.items()}
    chosen = {f"{path}kind": part.kind} if hasattr(part, "kind") else {}
    for f in dataclasses.fields(part):
        value = getattr(part, f.name)
        if dataclasses.is_dataclass(value) or (isinstance(value, Mapping) and "kind" in value):
            chosen |= _chosen(value, f"{path}{f.name}.")
        elif f.default_factory is not dataclasses.MISSING:
            chosen |= {} if value == f.default_factory() else {path + f.name: components.as_json(value)}
        elif isinstance(value, tuple) and any(hasattr(part, "kind") for part in value):
            chosen[path + f.name] = [_chosen(part, "") for part in value]
        elif value != f.default:
            chosen[path + f.name] = components.as_json(value)
    return chosen
