"""A form for an experiment, made from the schema of its parts, and its contents as settings of the command line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import PydanticUserError, TypeAdapter

from groklab.errors import InputError, check_choice
from groklab.experiment import PRESETS, Experiment, parse_value, plain, preset
from groklab.registry import kinds

#: Sections of an experiment with a kind, those without, and settings of the experiment itself, in the form's order.
FAMILIES = ("task", "network", "learner", "objective", "optimiser")
ORDER: tuple[str, ...] = (
    *("task", "split", "network", "learner", "objective", "optimiser"),
    *("training", "budget", "evaluation", "checkpoints", "measures"),
)
TOP: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "description": "of the run's folder"},
    "seed": {"type": "integer", "minimum": 0, "description": "draws initial weights and the split"},
    "batch_size": {"type": "integer", "minimum": 1, "description": "null is full batch"},
    "dtype": {"enum": ["float32", "float64"]},
    "matmul_precision": {"enum": ["highest", "tf32", "bfloat16"]},
}
#: Settings that name files or code, which the dashboard does not read for a browser.
CLOSED = ("plugins", "start")
#: The part of a docstring that describes attributes, and one description there.
_ATTRIBUTES = re.compile(r"\n( *)(?:Attributes|Args):\n((?:\1 +\S.*(?:\n|$)|\n)+)")
_ATTRIBUTE = re.compile(r"^ *([a-z_0-9, ]+): ((?:.|\n(?! *[a-z_0-9, ]+: ))+)", re.M)
#: Most members of an ensemble that the form asks for.
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Field:
    """One setting of the form.

    Args:
        name: dotted.
        value: its text, as one writes it after `=`.
        choices: of a closed set, its members; empty for a text.
        hint: what is allowed.
        help: the sentence on it of its class's documentation.
    """

    name: str
    value: str
    choices: tuple[str, ...] = ()
    hint: str = ""
    help: str = ""


def base(name: str, settings: Mapping[str, str]) -> Experiment:
    """Return the experiment of a preset with settings as texts on top.

    Raises:
        InputError: for what the experiment refuses, and for settings that name files or code.
    """
    check_choice("preset", name, PRESETS)
    for key in settings:
        check_open(name, key)
    made = preset(name, {key: parse_value(key, value) for key, value in settings.items()})
    own = preset(name).task
    for path in made.task.paths:
        # a whole section may be given at once
        if getattr(made.task, path) != getattr(own, path, None):
            raise _closed(f"task.{path}")
    return made


def check_open(name: str, key: str) -> None:
    """Raise InputError for a setting that only the command line takes."""
    part = key.split(".")[0]
    files = [f"task.{path}" for path in preset(name).task.paths]
    if part in CLOSED or key in files or (part == "task" and key.rpartition(".")[2] in ("path", "file", "images")):
        raise _closed(key)


def _closed(key: str) -> InputError:
    return InputError(f"{key}: names files or code; use `groklab train` for it")


def sections(experiment: Experiment) -> dict[str, list[Field]]:
    """Return the fields of an experiment by section, in the form's order."""
    flat = experiment.to_dict()
    result: dict[str, list[Field]] = {}
    for title in ORDER:
        if title == "training":
            result[title] = [_field(key, flat[key], schema, "") for key, schema in TOP.items() if key in flat]
            continue
        part = getattr(experiment, title)
        if part is None:
            continue
        kind: Any = type(part)
        schema, help = _schema(kind), _documentation(kind)
        fields = []
        if title in FAMILIES and (title != "task" or len(kinds(title)) > 1):
            fields.append(Field(f"{title}.kind", flat[title].get("kind", ""), tuple(sorted(kinds(title)))))
        closed = {f"task.{path}" for path in experiment.task.paths}
        for name in (f.name for f in dataclasses.fields(part)):
            if f"{title}.{name}" not in closed and name in flat[title]:
                fields.append(_field(f"{title}.{name}", flat[title][name], schema.get(name, {}), help.get(name, "")))
        if fields:
            result[title] = fields
    return result


def texts(experiment: Experiment) -> dict[str, str]:
    """Return the form's texts for an experiment, by dotted name."""
    return {field.name: field.value for fields in sections(experiment).values() for field in fields}


def changes(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return those of the form's texts that are not the preset's own, a kind before the settings of its section."""
    original = texts(preset(name))
    changed = {k: v for k, v in values.items() if k.endswith(".kind") and v != original.get(k)}
    # another kind starts from its own defaults
    start = texts(preset(name, changed)) if changed else original
    for key, value in values.items():
        if not key.endswith(".kind") and value.strip() != start.get(key, ""):
            changed[key] = value.strip() or "null"
    return changed


def arguments(name: str, changed: Mapping[str, str], seeds: int) -> list[str]:
    """Return the words after `groklab` that train it."""
    check_choice("preset", name, PRESETS)
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError("seeds", seeds, f"needs an integer from 1 to {MOST_SEEDS:,}")
    return ["train", name, *(f"{k}={v}" for k, v in changed.items()), *(["--seeds", str(seeds)] if seeds > 1 else [])]


def _field(name: str, value: Any, schema: Mapping[str, Any], help: str) -> Field:
    inner = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    one = inner[0] if len(inner) == 1 else {}
    choices = tuple(str(v) for v in one.get("enum", ())) or (("true", "false") if one.get("type") == "boolean" else ())
    if choices and len(inner) < len(schema.get("anyOf", [schema])):
        choices = (*choices, "null")
    return Field(name, plain(value), choices, _hint(one), help or str(schema.get("description", "")))


def _hint(schema: Mapping[str, Any]) -> str:
    """Return what a schema allows, in a few words."""
    words = {"integer": "integer", "number": "number", "array": "list in brackets", "object": "mapping"}
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    limits = [f"{sign} {schema[key]:,}" for key, sign in bounds if key in schema]
    return " ".join([words.get(str(schema.get("type")), ""), ", ".join(limits)]).strip()


@lru_cache(maxsize=128)
def _schema(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of each setting of a component."""
    try:
        schema = TypeAdapter(kind).json_schema()
    except PydanticUserError:  # a type that JSON has no name for is a text
        return {}
    return dict(schema.get("properties", {}))


@lru_cache(maxsize=128)
def _documentation(kind: Any) -> dict[str, str]:
    """Return the sentence on each setting of a component, from the documentation of its class and those below."""
    sentences: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        block = _ATTRIBUTES.search((one.__doc__ or "").expandtabs())
        for names, words in _ATTRIBUTE.findall(block[2]) if block else ():
            sentences |= dict.fromkeys((name.strip() for name in names.split(",")), " ".join(words.split()))
    return sentences
