"""From nested settings and dotted overrides to an experiment.

YAML files, presets, the command line and Python all end in `read`. Every refusal is one sentence that names the field,
the value, what is allowed, and the nearest valid name.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticKnownError, SchemaValidator, core_schema

from groklab import components, objectives  # noqa: F401
from groklab.errors import InputError, did_you_mean, shorten, unknown
from groklab.experiment._presets import SIZES
from groklab.experiment._schema import MAX_SEED, Budget, Checkpoints, Evaluation, Experiment, Measures, Start
from groklab.measures import MEASURES
from groklab.optimisers import Group, Optimiser
from groklab.plugins import load_again, load_plugin
from groklab.registry import BASES, kinds, load_all, plugin_of, register
from groklab.tasks import Split
from groklab.text import integer_in, listed, number_in

__all__ = ["SECTIONS", "component", "read", "read_loaded", "read_recorded", "register"]

# what an experiment may name; objectives and optimisers are modules, imported above
for _package in ("tasks", "networks", "gradient_filters", "learners", "interventions"):
    load_all(f"groklab.{_package}")

#: Layers, heads and the like that a network may have.
MAX_COUNT = 1000
#: Sections of an experiment that a registered component fills, and the kind where none is named.
FAMILIES = {
    "task": "arithmetic",
    "learner": "gradient_descent",
    "network": "transformer",
    "objective": "cross_entropy",
    "optimiser": "adamw",
}
#: Sections within these, by path: the family of what fills them. They may be null.
INNER = {"optimiser.filter": "gradient_filter"}
GROUPS: dict[str, Any] = {
    "split": Split,
    "budget": Budget,
    "evaluation": Evaluation,
    "checkpoints": Checkpoints,
    "measures": Measures,
}
PLAIN: dict[str, Any] = {
    "name": Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/+-]{0,80}$")],
    "batch_size": Annotated[int, Ge(1)] | None,
    "dtype": Literal["float32", "float64"],
    "matmul_precision": Literal["highest", "tf32", "bfloat16"],
    "seed": Annotated[int, Ge(0), Le(MAX_SEED)],
    "plugins": tuple[str, ...],
    "start": Start | None,
}
#: Sections that only some learners read, and those for which another learner has its own defaults.
OPTIONAL = ("network", "objective", "optimiser", "batch_size")
OF_LEARNER = (*OPTIONAL, "dtype", "budget", "evaluation", "checkpoints", "measures")
#: Every name at the top of a description.
SECTIONS = (*FAMILIES, *GROUPS, *PLAIN, "interventions")


def read(description: Mapping[str, Any] | Experiment, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Check nested settings, or an experiment, with dotted overrides on top, and return the experiment.

    Plug-ins that they name are imported, and remembered as the user's own.

    Args:
        description: settings as a nested mapping, or an experiment to change.
        overrides: settings by dotted name, such as {'task.p': 59}.

    Raises:
        InputError: naming field, value and what is allowed, at the first thing that is wrong.
    """
    # an experiment may be that of a run whose code is another's
    named = not isinstance(description, Experiment) or "plugins" in (overrides or {})
    load = load_plugin if named else load_again
    # first, as a plug-in's kind keeps the settings that it shares with the one before
    paths = _with_overrides(description, {k: v for k, v in (overrides or {}).items() if k == "plugins"})
    plugins = [str(load(path)) for path in _validate("plugins", PLAIN["plugins"], paths.get("plugins", ()))]
    dropped: dict[str, list[str]] = {}
    raw = _with_overrides(description, overrides, dropped)
    raw["plugins"] = plugins
    experiment = _experiment(raw)
    for kind, settings in dropped.items():
        warnings.warn(f"optimiser.kind={kind} has no setting {listed(settings)}: dropped", stacklevel=2)
    files = {name: getattr(experiment.task, name) for name in experiment.task.paths}
    # so that the run can be looked at from another folder
    absolute = {k: os.path.abspath(os.path.expanduser(v)) for k, v in files.items() if isinstance(v, str) and v}
    return replace(experiment, task=replace(experiment.task, **absolute)) if absolute else experiment


def read_recorded(description: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Return what `read` does of a run's description, without its plug-ins: what they register is `Unloaded`.

    Nothing is imported, and no class of a plug-in is used that is loaded already.
    """
    return _experiment(_with_overrides(description, overrides), recorded=True)


def read_loaded(description: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Return what `read` does of a run's description whose plug-ins have been loaded."""
    raw = _with_overrides(description, overrides)
    for family in FAMILIES:
        kind = raw[family].get("kind") if isinstance(raw.get(family), Mapping) else None
        if isinstance(kind, str) and kind not in kinds(family):
            allowed = "is registered by no plug-in of it; run the cell or script again that registers it"
            raise InputError(f"{family}.kind", _short(kind), allowed)
    return _experiment(raw)


def _with_overrides(
    description: Mapping[str, Any] | Experiment,
    overrides: Mapping[str, Any] | None,
    dropped: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    try:
        return _overlay(_without_frozen(_as_plain(description)), overrides or {}, {} if dropped is None else dropped)
    except RecursionError:
        raise InputError("the description is nested too deeply") from None


def _experiment(raw: dict[str, Any], recorded: bool = False) -> Experiment:
    make = _recorded_component if recorded else component
    for key in raw:
        if key not in SECTIONS:
            raise _unknown_setting("", str(key), SECTIONS)
    learner = make("learner", raw.get("learner", {}), FAMILIES["learner"])
    given = [name for name in OPTIONAL if raw.get(name) is not None]
    sections = given if isinstance(learner, Unloaded) else learner.sections
    for name in given:
        if name not in sections:
            read_by = ", ".join(("task", "split", "learner", *sections))
            raise InputError(f"{name}: the learner {learner.kind} has no such section; it reads {read_by}")
    raw = _with_defaults(raw, learner.defaults)
    parts: dict[str, Any] = {"learner": learner}
    for name, annotation in {**PLAIN, **GROUPS}.items():
        if name in raw:
            parts[name] = _validate(name, annotation, raw[name])
        elif name == "split":
            parts[name] = _validate(name, annotation, {"frac_train": 0.3})
    for family, default in FAMILIES.items():
        if family == "task" or family in sections:
            parts[family] = make(family, raw.get(family, {}), default)
    if "interventions" in raw:
        parts["interventions"] = _interventions(raw["interventions"], recorded)
    if recorded:
        return Experiment(**parts)
    if "measures" in parts:
        _check_measures(parts["measures"])
    if parts.get("start") is not None and parts["start"].freeze:
        parts["optimiser"] = _with_frozen(parts.get("optimiser"), parts["start"], parts["task"])
    experiment = _with_plugins(Experiment(**parts))
    _check_settings(experiment)
    return experiment


def _with_plugins(experiment: Experiment) -> Experiment:
    """Return the experiment with the plug-ins that define its parts and were loaded without being named by it."""
    loaded = {str(plugin.file) for plugin in map(plugin_of, experiment.definitions) if plugin is not None}
    return dataclasses.replace(experiment, plugins=(*experiment.plugins, *sorted(loaded - set(experiment.plugins))))


def component(family: str, raw: Any, default: str | None = None, path: str = "", recorded: bool = False) -> Any:
    """Check one section that names a registered kind, and return the component.

    Args:
        path: the section's name in messages, if it is not the family's.
        recorded: whether sections within it that name a plug-in's kind are `Unloaded`.
    """
    path = path or family
    if isinstance(raw, str):
        raw = {"kind": raw}
    if not isinstance(raw, Mapping):
        raise InputError(path, _short(raw), "needs a section of settings with a `kind`")
    fields = dict(raw)
    kind = fields.pop("kind", default)
    table = kinds(family)
    if kind is None and path in INNER:
        raise InputError(f"{path}.kind is missing; allowed: {', '.join(sorted(table))}")
    if not isinstance(kind, str) or kind not in table:
        raise unknown(f"{path}.kind", _short(kind), sorted(table))
    for name, value in fields.items():
        # networks go through their layers one by one, already when they are checked
        if family != "intervention" and name.startswith("n_") and _as_float(value) > MAX_COUNT:
            raise InputError(f"{path}.{name}", _short(value), f"needs to be at most {MAX_COUNT:,}")
    for name, inner in components.sections_of(table[kind]).items():
        if fields.get(name) is not None:
            make = _recorded_component if recorded else component
            fields[name] = make(inner, fields[name], path=f"{path}.{name}")
    return _validate(path, table[kind], fields)


def _interventions(raw: Any, recorded: bool) -> tuple[Any, ...]:
    """Return the entries of `interventions`; fixed steps ascend."""
    if not isinstance(raw, list | tuple):
        raise InputError("interventions", _short(raw), "needs to be a list of entries, each with a `kind` and a time")
    make = _recorded_component if recorded else component
    entries = tuple(make("intervention", entry, path=f"interventions.{i}") for i, entry in enumerate(raw))
    last = 0
    for i, entry in enumerate(entries):
        if (step := getattr(entry, "step", None)) is None:
            continue
        if step < last:
            allowed = f"comes before an entry above it, at step {last:,}: put entries in the order of their steps"
            raise InputError(f"interventions.{i}.step", step, allowed)
        last = step
    return entries


class Unloaded(dict[str, Any]):
    """A component of a plug-in that is not loaded: its settings as they are recorded, and its family's defaults."""

    def __init__(self, family: str, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._base = BASES.get(family)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or (name not in self and not hasattr(self._base, name)):
            raise AttributeError(name)
        value = getattr(self._base, name, self.get(name))
        if callable(value):
            raise InputError(f"the code of {self['kind']!r}, which a plug-in registers, is not loaded")
        return value


def _check_settings(experiment: Experiment) -> None:
    """Refuse interventions of a learner that takes none, and settings that could not be."""
    if experiment.interventions and "optimiser" not in experiment.learner.sections:
        allowed = f"are for a network under gradient descent; the learner {experiment.learner.kind} takes none"
        raise InputError(f"interventions {allowed}")
    changed = experiment
    for i, entry in enumerate(experiment.interventions):
        changed = with_settings(changed, entry.settings_for(changed), f"interventions.{i}")


def with_settings(experiment: Experiment, settings: Mapping[str, Any], entry: str = "interventions") -> Experiment:
    """Return an experiment as an intervention's settings make it, without its interventions.

    Raises:
        InputError: naming the entry, if they could not be.
    """
    if not settings:
        return experiment
    try:
        return _experiment(_with_overrides(replace(experiment, interventions=()), settings, {}))
    except InputError as error:
        raise InputError(f"{entry}: {error}") from None


def _recorded_component(family: str, raw: Any, default: str | None = None, path: str = "") -> Any:
    """Return a component of groklab's own; another's as `Unloaded`."""
    kind = raw.get("kind", default) if isinstance(raw, Mapping) else None
    known = kinds(family).get(kind) if isinstance(kind, str) else None
    if isinstance(kind, str) and (known is None or not known.__module__.startswith("groklab.")):
        return Unloaded(family, {"kind": kind, **raw})
    return component(family, raw, default, path, recorded=True)


# -- frozen weights, defaults and measures ------------------------------------------------------------------------


def _with_frozen(optimiser: Any, start: Start, task: Any) -> Any:
    """Return the optimiser with groups that keep the weights of `start.take` as they are."""
    if optimiser is None:
        raise InputError("start.freeze", True, "needs a learner with an optimiser, such as gradient_descent")
    if start.unused_rows == "train" and getattr(task, "p", None) is None:
        raise InputError("start.unused_rows", "train", "needs a task of numbers mod p, whose rows come first")
    frozen = _frozen_groups(start, getattr(task, "p", None))
    # last, as later groups win
    kept = {pattern: group for pattern, group in optimiser.groups.items() if pattern not in frozen}
    return dataclasses.replace(optimiser, groups={**kept, **frozen})


def _frozen_groups(start: Start, p: int | None) -> dict[str, Group]:
    frozen = {pattern: Group(frozen=True) for pattern in start.patterns}
    if start.unused_rows == "train":
        frozen["embed.W_E"] = Group(frozen_rows=p or 0)
    return frozen


def _without_frozen(description: Any) -> Any:
    """Return a description without the groups that its own `start.freeze` made, so that overrides may change that."""
    if not isinstance(description, Mapping):
        return description  # refused where overrides are laid over it
    start, optimiser = description.get("start"), description.get("optimiser")
    if not isinstance(start, Mapping) or start.get("freeze") is not True or not isinstance(optimiser, Mapping):
        return description
    task = description.get("task")
    frozen = _frozen_groups(_validate("start", Start, start), task.get("p") if isinstance(task, Mapping) else None)
    groups = {k: v for k, v in (optimiser.get("groups") or {}).items() if v != components.as_json(frozen.get(k))}
    return {**description, "optimiser": {**optimiser, "groups": groups}}


def _with_defaults(raw: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description with a learner's own defaults where it sets nothing."""
    filled = {**defaults, **raw}
    for name, value in defaults.items():
        if isinstance(value, dict) and isinstance(raw.get(name), dict):
            filled[name] = {**value, **raw[name]}
    return filled


def _check_measures(measures: Measures) -> None:
    online = sorted(name for name, measure in MEASURES.items() if measure.online)
    for name in measures.names:
        if name in MEASURES and name not in online:
            raise InputError("measures.names", name, f"cannot run online; allowed: {', '.join(online)}")
        if name not in online:
            raise unknown("measures.names", name, online)
        if "frequencies" in MEASURES[name].takes and measures.frequencies is None:
            allowed = "needs measures.frequencies online; `groklab measure` takes it of the checkpoints without"
            raise InputError("measures.names", name, allowed)


# -- overrides ----------------------------------------------------------------------------------------------------


def _as_float(value: Any) -> float:
    try:
        return float(number_in(value) or 0 if isinstance(value, str) else value)
    except (TypeError, ValueError):
        return 0.0
    except OverflowError:
        return math.inf


def _overlay(raw: Any, overrides: Mapping[str, Any], dropped: dict[str, list[str]]) -> dict[str, Any]:
    """Return a description with overrides on top; dropped: takes settings that a new kind of optimiser lacks."""
    if not isinstance(raw, dict):
        raise InputError("an experiment needs to be a mapping of settings")
    sizes = [key for key in SIZES if overrides.get(key) is not None]
    if len(sizes) > 1:
        raise InputError(f"{' and '.join(sizes)} are both given; one of them is enough")
    for family in FAMILIES:
        if isinstance(raw.get(family), str):
            raw[family] = {"kind": raw[family]}
    for path in INNER:
        around, name = path.split(".")
        if isinstance(raw.get(around), dict) and isinstance(raw[around].get(name), str):
            raw[around] = {**raw[around], name: {"kind": raw[around][name]}}
    for section in ("learner", "optimiser", *INNER):
        if isinstance(overrides.get(section), str):
            others = {k: v for k, v in overrides.items() if k != section}
            overrides = {f"{section}.kind": overrides[section], **others}
    # kinds first, the learner's before all: what is of another kind starts from that kind's own defaults, and an
    # optimiser keeps the settings that it shares
    for key, value in sorted(overrides.items(), key=lambda kv: (kv[0] != "learner.kind", not kv[0].endswith(".kind"))):
        parts = key.split(".")
        if parts[0] not in SECTIONS:
            raise _unknown_setting("", key, SECTIONS)
        value = _as_plain(value)
        if len(parts) == 2 and parts[1] == "kind" and parts[0] in FAMILIES:
            before = raw.get(parts[0])
            if not (isinstance(before, dict) and before.get("kind", FAMILIES[parts[0]]) == value):
                raw[parts[0]] = {"kind": value}
                if key == "optimiser.kind" and isinstance(before, dict):
                    raw[parts[0]] |= _shared(before, value, dropped)
                if key == "learner.kind" and (before or value != FAMILIES["learner"]):
                    for name in OF_LEARNER:
                        raw.pop(name, None)
            continue
        if key.removesuffix(".kind") in INNER and key.endswith(".kind"):
            outer = _section(raw, parts[0], key, parts[:1])
            before = outer.get(parts[1])
            if not (isinstance(before, dict) and before.get("kind") == value):
                outer[parts[1]] = {"kind": value}
            continue
        if key in SIZES and value is not None and isinstance(raw.get("split"), dict):
            for other in SIZES:
                raw["split"].pop(other.split(".")[1], None)
        if key in ("start.file", "start.run") and isinstance(raw.get("start"), dict):
            kept = ("take", "freeze", "unused_rows", "with_optimiser")
            raw["start"] = {k: v for k, v in raw["start"].items() if k in kept}
        _set(raw, parts, value, key)
    return raw


def _shared(before: Mapping[str, Any], kind: Any, dropped: dict[str, list[str]]) -> dict[str, Any]:
    """Return those settings of an optimiser, of all that are not its kind's defaults, that another kind has, too."""
    known = kinds("optimiser")
    old, new = (known.get(str(k), Optimiser) for k in (before.get("kind", FAMILIES["optimiser"]), kind))
    defaults = {f.name: components.as_json(components.default_of(f)) for f in dataclasses.fields(old)}
    changed = {k: v for k, v in before.items() if k != "kind" and v != defaults.get(k, dataclasses.MISSING)}
    names = {f.name for f in dataclasses.fields(new)}
    if lacking := [f"{name} (here {value!r})" for name, value in changed.items() if name not in names]:
        dropped[str(kind)] = lacking
    return {name: value for name, value in changed.items() if name in names}


def _set(node: dict[str, Any], parts: list[str], value: Any, key: str) -> None:
    if parts[0] == "interventions" and len(parts) > 1:
        node, parts = _entry(node, parts, key), parts[2:]
        if not parts:
            raise InputError(f"{key}: an entry is set by its settings, such as {key}.step")
    for depth, part in enumerate(parts[:-1]):
        node = _section(node, part, key, parts[: depth + 1])
        # names of weights and groups hold dots themselves, so a mapping below takes the rest as one key
        if part in ("init_std", "groups", "clamps", "settings"):
            rest = parts[depth + 1 :]
            if part == "groups" and len(rest) > 1:
                node = _section(node, ".".join(rest[:-1]), key, parts[:-1])
                rest = rest[-1:]
            node[".".join(rest)] = value
            return
    node[parts[-1]] = value


def _entry(raw: dict[str, Any], parts: list[str], key: str) -> dict[str, Any]:
    """Return the entry that `interventions.N…` names, a new one where N is their number."""
    entries = raw.setdefault("interventions", [])
    entries = raw["interventions"] = [] if entries is None else entries
    number = int(parts[1]) if parts[1].isdecimal() and len(parts[1]) < 6 else -1
    if not isinstance(entries, list) or not 0 <= number <= len(entries):
        n = len(entries) if isinstance(entries, list) else 0
        raise InputError(f"{shorten(key)}: needs the number of an entry, from 0 to {n}")
    if number == len(entries):
        entries.append({})
    if not isinstance(entries[number], dict):
        raise InputError(f"interventions.{number}", _short(entries[number]), "needs a section of settings")
    entry: dict[str, Any] = entries[number]
    return entry


def _section(node: dict[str, Any], name: str, key: str, path: list[str]) -> dict[str, Any]:
    if node.get(name) is None:
        node[name] = {}
    section = node[name]
    if not isinstance(section, dict):
        raise InputError(f"{shorten(key)}: {shorten('.'.join(path))} is a single value and has no settings of its own")
    return section


def _as_plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_not_plain))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"not a plain value (a number, text, true/false, a list or a mapping): {error}") from None


def _not_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return components.as_json(value)
    if hasattr(value, "item"):
        return value.item()
    raise InputError(f"{value!r} is not a plain value (a number, text, true/false, a list or a mapping)")


# -- checking one section -------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _validator(annotation: Any) -> SchemaValidator:
    return SchemaValidator(_with_readers(dict(TypeAdapter(annotation).core_schema)))


def _with_readers(schema: Any) -> Any:
    """Return pydantic's schema with our readers before its numbers and texts.

    A choice between text and something else stays as it is: there a text is a text.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_readers, schema))
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind is None or (kind == "union" and any(c["type"] == "str" for c in schema["choices"] if isinstance(c, dict))):
        return schema
    inner = {key: part if key == "default" else _with_readers(part) for key, part in schema.items()}
    reader = _READERS.get(kind)
    return inner if reader is None else core_schema.no_info_before_validator_function(reader, inner)


def _number(value: Any, parsing_error: Literal["int_parsing", "float_parsing"]) -> Any:
    if not isinstance(value, str):
        return value
    number: float | None = integer_in(value) if parsing_error == "int_parsing" else None
    number = number_in(value) if number is None else number
    if number is None:
        raise PydanticKnownError(parsing_error)
    return number


#: By the type of pydantic's schema: what makes numbers of texts, and texts of numbers.
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": partial(_number, parsing_error="int_parsing"),
    "float": partial(_number, parsing_error="float_parsing"),
    "str": lambda value: repr(value) if type(value) in (int, float) else value,
}


def _validate(path: str, annotation: Any, raw: Any) -> Any:
    try:
        value = _validator(annotation).validate_python(raw)
        _check_plain(path, raw, value)
        return value
    except InputError as error:
        # a component names its own field, and only here its section is known
        known = error.field.startswith(path) or not path
        raise error if known else InputError(f"{path}.{error}") from None
    except ValidationError as error:
        raise _sentence(path, annotation, error) from None
    except PydanticUserError:
        kind = getattr(annotation, "kind", "")
        allowed = "has a setting whose type is none of int, float, str, bool, tuple and the like"
        raise InputError(f"the {path} {kind!r} {allowed}") from None


def _check_plain(path: str, raw: Any, value: Any) -> None:
    """Refuse true and false that were read as the numbers 1 and 0, and integers of more than 64 bits."""
    if isinstance(value, int) and abs(value) >= 2**64:
        raise InputError(path, _short(value), "needs to be a number below 2**64")
    if isinstance(raw, bool) and not isinstance(value, bool):
        raise InputError(path, raw, "needs to be a number")
    if isinstance(raw, dict):
        for key, inner in raw.items():
            _check_plain(f"{path}.{key}", inner, value.get(key) if isinstance(value, dict) else getattr(value, key))
    elif isinstance(raw, list):
        for i, inner in enumerate(raw):
            _check_plain(f"{path}.{i}", inner, value[i])


def _sentence(path: str, annotation: Any, error: ValidationError) -> InputError:
    """Return pydantic's first complaint as one sentence."""
    first = error.errors(include_url=False)[0]
    where = ".".join([path, *(shorten(str(part)) for part in first["loc"])])
    value, kind = _short(first["input"]), first["type"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        of = Group if "groups" in first["loc"] else annotation
        names = [f.name for f in dataclasses.fields(of)] if dataclasses.is_dataclass(of) else []
        return _unknown_setting(f"{where.rpartition('.')[0]}.", str(first["loc"][-1]), names)
    if kind in ("missing", "missing_argument"):
        return InputError(f"{where} is missing")
    if kind == "string_type":
        return InputError(where, value, """needs to be text; true, false and null are text in quotes, as in '"true"'""")
    if kind == "string_pattern_mismatch":
        return InputError(where, value, "may hold letters, digits, spaces and . _ / + -, at most 81")
    if kind == "int_parsing_size":
        return InputError(where, value, "needs to be a number below 2**64")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "literal_error" and isinstance(first["input"], str):
        names = [name.strip("'") for name in message.replace(" or ", ", ").split(", ")]
        return unknown(where, value, names)
    if kind == "value_error" and path.startswith("interventions.") and not first["loc"]:
        head, colon, _ = message.partition(": ")
        field = f".{message}" if colon and " " not in head else f": {message}"
        return InputError(f"{path}{field}")
    if kind == "value_error":
        if message.startswith(f"{path}."):
            return InputError(message)  # a component that names its own field in full
        return InputError(f"{path}: {message}" if not first["loc"] else f"{where} = {first['input']!r}: {message}")
    if kind in ("dataclass_type", "dict_type"):
        return InputError(where, value, "needs to be a section of settings")
    if kind == "tuple_type":
        return InputError(where, value, "needs to be a list in brackets, such as [one,two]")
    return InputError(where, value, f"needs to be {message.partition(', unable to')[0]}")


def _short(value: Any) -> Any:
    text = repr(value)
    return value if len(text) <= 60 else text[:57] + "…"


def _unknown_setting(section: str, name: str, allowed: Sequence[str]) -> InputError:
    """Return the refusal of a setting that does not exist; `section` ends in a dot, or is empty at the top."""
    head = name.split(".")[0]
    hint = did_you_mean(head, allowed, section)
    return InputError(f"{section}{shorten(name)}: unknown setting{hint}; allowed: {', '.join(allowed)}")
