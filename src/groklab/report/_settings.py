"""Settings of an experiment as a short table, and the command that trains the run again."""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from groklab.components import as_json
from groklab.errors import InputError
from groklab.experiment import PRESETS, Experiment, parse_overrides, plain, preset
from groklab.figures import RunContext
from groklab.report._html import Table
from groklab.text import flattened

#: Settings that are shown even at their defaults.
ALWAYS = {"n_layers", "n_heads", "d_model", "d_mlp", "activation", "form", "learning_rate", "weight_decay"}
ALWAYS |= {"kernel", "ridge", "agop_power", "centre"}


def settings_table(run: RunContext) -> Table:
    """Return the settings that matter most, and all of them folded away."""
    e, task = run.experiment, run.task
    if task is None:
        rows = [("task", _section(e.task)), ("split", _section(e.split))]
    else:
        inputs = f"{run.n_train:,} of {task.n_inputs:,} inputs ({run.n_train / task.n_inputs:.0%})"
        rows = [("task", task.name), ("training set", inputs if task.draw is None else "fresh inputs at each step")]
    if e.split.label_noise:
        rows.append(("label noise", f"{e.split.label_noise:.0%} of the training labels"))
    size = run.count_weights()
    weights = ("weights", f"{size:,}" if size is not None else "not kept")
    if e.network is None:
        rows += [("learner", _section(e.learner)), weights]
    else:
        everything = e.batch_size is None or (task is not None and task.draw is None and e.batch_size >= run.n_train)
        rows += [
            ("network", _section(e.network)),
            weights,
            ("objective", _section(e.objective)),
            ("optimiser", _section(e.optimiser)),
            ("batch", "all training inputs" if everything else f"{e.batch_size:,} inputs"),
        ]
    products = f"; matrix products: {e.matmul_precision}" if e.network is not None else ""
    rows += [
        ("seeds" if run.several else "seed", seeds_of(run.experiments)),
        ("precision", f"{e.dtype}{products}"),
        ("budget", f"{e.budget.steps:,} steps" + (", or until generalised" if e.budget.stop_when_grokked else "")),
    ]
    return Table("Settings", ("setting", "value"), rows, full=e.to_yaml())


def remake(experiments: Sequence[Experiment]) -> tuple[str, str]:
    """Return the command that trains the run again, and the YAML file that it reads ('' where a preset serves)."""
    first = experiments[0]
    members = f"--seeds {len(experiments)}" if len(experiments) > 1 and counted_up(experiments) else ""
    overrides = _overrides(first)
    if overrides is None:
        return f"groklab train experiment.yaml {members}".strip(), first.to_yaml()
    plugins = [f"--plugin {shlex.quote(p)}" for p in first.plugins]
    return " ".join(filter(None, ["groklab train", first.name, *map(shlex.quote, overrides), members, *plugins])), ""


def counted_up(experiments: Sequence[Experiment]) -> bool:
    """Return whether the members differ in nothing but seeds counted up, so that one command makes them all."""
    first = experiments[0]
    return all(e == dataclasses.replace(first, seed=first.seed + i) for i, e in enumerate(experiments))


def _overrides(experiment: Experiment) -> list[str] | None:
    """Return `key=value` arguments that turn the preset of this name into the experiment; None where none do."""
    if experiment.name not in PRESETS:
        return None
    wanted = _comparable(experiment)
    kinds = {k: v for k, v in flattened(wanted).items() if k.endswith(".kind")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a preset with another kind of optimiser loses settings, as the run has
        return _arguments(experiment, wanted, kinds)


def _arguments(experiment: Experiment, wanted: dict[str, Any], kinds: dict[str, Any]) -> list[str] | None:
    try:
        base = flattened(_comparable(preset(experiment.name, kinds)))
        presets = flattened(_comparable(preset(experiment.name)))
        changed = {k: v for k, v in flattened(wanted).items() if k not in base or base[k] != v}
        changed = {k: v for k, v in kinds.items() if presets.get(k) != v} | changed
        # what is unset mostly follows from what is set, such as n_train unsetting frac_train
        for attempt in ({k: v for k, v in changed.items() if v is not None}, changed):
            arguments = [f"{k}={plain(v)}" for k, v in attempt.items()]
            if _comparable(preset(experiment.name, parse_overrides(arguments))) == wanted:
                return arguments
    except InputError:
        return None
    return None


def _comparable(experiment: Experiment) -> dict[str, Any]:
    """Return the description without the hash of start weights, which training fills in, and without plug-ins.

    Those are options of the command, and to name them here would be to import them.
    """
    described = {**experiment.to_dict(), "plugins": []}
    if described.get("start"):
        described["start"] = {**described["start"], "sha256": None}
    return described


def _section(component: Any) -> str:
    """Return a component in one line: its kind, the settings of ALWAYS, and those that are not the default."""
    if isinstance(component, Mapping):  # of a plug-in that is not loaded
        settings = [f"{k} {plain(v)}" for k, v in component.items() if k != "kind" and v is not None]
        return ": ".join(filter(None, [str(component["kind"]), ", ".join(settings)]))
    settings = []
    for f in dataclasses.fields(component):
        value = getattr(component, f.name)
        default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
        if value is not None and (f.name in ALWAYS or value != default):
            settings.append(f"{f.name} {plain(as_json(value))}")
    return ": ".join(part for part in (getattr(component, "kind", ""), ", ".join(settings)) if part)


def seeds_of(experiments: Sequence[Experiment]) -> str:
    """Return the members' seeds, as a range where they are counted up."""
    seeds = [e.seed for e in experiments]
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
