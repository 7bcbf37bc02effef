"""The description of an experiment: typed, frozen, checked, and hashed into its identity.

YAML files, presets, dotted overrides and Python all end here, in `read`; every refusal is one sentence that names
the field, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import Field, TypeAdapter, ValidationError

from groklab import components
from groklab.errors import InputError
from groklab.optimisers import Optimiser
from groklab.registry import kinds, load_plugin
from groklab.tasks.splits import Split

#: Raised whenever the same description would train to other weights, so that old runs are not taken for new ones.
SEMANTICS = 1

#: Compiled programs count steps in 32 bits.
MAX_STEPS = 1_000_000_000
#: Layers, heads and the like that a network may have.
MAX_COUNT = 1000
#: Random keys are made from 32 bits.
MAX_SEED = 2**32 - 1

_STRICT: Any = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: at `steps` updates, after `seconds` of training, or when every member has grokked.

    stop_when_grokked: stop once test accuracy has passed the criterion for good in every member;
    extra_steps: and then this many steps later (clean-up goes on after grokking).
    """

    __pydantic_config__ = _STRICT

    steps: Annotated[int, Ge(0), Le(MAX_STEPS)] = 10_000
    seconds: Annotated[float, Gt(0)] | None = None
    stop_when_grokked: bool = False
    extra_steps: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How often to measure, and what counts as grokked.

    every: steps between evaluations; None means 10, or 1 for a task of fewer than 1,000 inputs.
    criterion: 'sustained_99' (at least 99% for 5 evaluations or to the end), 'first_95', 'first_90' (Liu et al.)
    or 'near_maximum' (within 1% of the run's own maximum).
    """

    __pydantic_config__ = _STRICT

    every: Annotated[int, Ge(1), Le(MAX_STEPS)] | None = None
    criterion: Literal["sustained_99", "first_95", "first_90", "near_maximum"] = "sustained_99"


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Which steps' weights to keep: log-spaced (`per_decade`), every `every` steps, or those listed.

    Log-spaced and linear steps are rounded to evaluations. The last step is always kept, and step 0 unless spacing
    is 'none'.
    rolling_seconds: how often the full state for resuming is written.
    """

    __pydantic_config__ = _STRICT

    spacing: Literal["log", "linear", "listed", "none"] = "log"
    per_decade: Annotated[int, Ge(1), Le(1000)] = 10
    every: Annotated[int, Ge(1)] = 1000
    steps: tuple[Annotated[int, Ge(0)], ...] = ()
    rolling_seconds: Annotated[float, Gt(0)] = 10.0


@dataclass(frozen=True, kw_only=True)
class Start:
    """Initial weights from elsewhere: a file (.npz or .safetensors), or a checkpoint of another run.

    The identity of the experiment holds the content's hash, not the path.
    """

    __pydantic_config__ = _STRICT

    file: str | None = None
    run: str | None = None
    step: Annotated[int, Ge(0)] | None = None
    member: Annotated[int, Ge(0)] = 0
    sha256: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.run is None):
            raise ValueError("needs exactly one of `file` and `run`")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A task, a learner and how long: everything that one model's training depends on.

    seed draws initial weights and, unless split.seed is given, the split. batch_size None is full batch.
    dtype is that of weights and activations; matmul_precision is lowered only by asking for it here.
    """

    name: str = "experiment"
    task: Any
    split: Split
    learner: str = "gradient_descent"
    network: Any
    objective: Any
    optimiser: Optimiser
    batch_size: int | None = None
    dtype: Literal["float32", "float64"] = "float32"
    matmul_precision: Literal["highest", "tf32", "bfloat16"] = "highest"
    seed: int = 0
    start: Start | None = None
    budget: Budget = field(default_factory=Budget)
    evaluation: Evaluation = field(default_factory=Evaluation)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)
    plugins: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The whole description as plain JSON values; `read` of it gives an equal experiment."""
        return components.as_json(self)  # type: ignore[no-any-return]

    def to_yaml(self) -> str:
        """The whole description as YAML."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    def with_overrides(self, overrides: Mapping[str, Any]) -> Experiment:
        """A checked copy with some fields changed, by dotted name."""
        return read(self.to_dict(), overrides)

    @property
    def identity(self) -> str:
        """SHA-256 over everything that affects the result of training (not budget, cadence, name or packing)."""
        parts = self.to_dict()
        for key in ("name", "budget", "evaluation", "checkpoints", "plugins"):
            del parts[key]
        if self.split.seed is None:
            parts["split"]["seed"] = self.seed
        if self.start is not None:
            parts["start"] = self.start.sha256 or [self.start.file, self.start.run, self.start.step]
        fingerprint = getattr(self.task, "fingerprint", None)
        if fingerprint is not None:
            parts["task"] = {**parts["task"], "path": None, "sha256": fingerprint()}
        parts["plugin_sources"] = sorted(hashlib.sha256(Path(p).read_bytes()).hexdigest() for p in self.plugins)
        parts["semantics"] = SEMANTICS
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def program(self) -> str:
        """Canonical text of what decides the compiled program, apart from the sizes of the data."""
        named = {k: components.static_of(getattr(self, k)) for k in ("network", "objective", "optimiser")}
        named |= {k: getattr(self, k) for k in ("learner", "batch_size", "dtype", "matmul_precision")}
        return json.dumps(named, sort_keys=True)

    @property
    def numbers(self) -> dict[str, float]:
        """Every number that may differ between members of one ensemble, by dotted path."""
        parts = {k: getattr(self, k) for k in ("network", "objective", "optimiser")}
        return components.numbers_of(parts)


#: Sections of an experiment that a registered component fills: family, and the kind taken when none is named.
FAMILIES = {
    "task": "arithmetic",
    "network": "transformer",
    "objective": "cross_entropy",
    "optimiser": "adamw",
}
_SECTIONS: dict[str, Any] = {"split": Split, "budget": Budget, "evaluation": Evaluation, "checkpoints": Checkpoints}
_PLAIN: dict[str, Any] = {
    "name": Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/+-]{0,80}$")],
    "learner": Literal["gradient_descent"],
    "batch_size": Annotated[int, Ge(1)] | None,
    "dtype": Literal["float32", "float64"],
    "matmul_precision": Literal["highest", "tf32", "bfloat16"],
    "seed": Annotated[int, Ge(0), Le(MAX_SEED)],
    "plugins": tuple[str, ...],
    "start": Start | None,
}
#: Every name at the top of a description.
SECTIONS = (*FAMILIES, *_SECTIONS, *_PLAIN)


def read(description: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Check a nested description, with dotted overrides laid over it, and make the experiment.

    Raises InputError, naming field, value and what is allowed, at the first thing that is wrong.
    """
    try:
        raw = _overlay(description, overrides or {})
    except RecursionError:
        raise InputError("the description is nested too deeply") from None
    for path in _validate("plugins", _PLAIN["plugins"], raw.get("plugins", ())):
        load_plugin(path)
    raw["plugins"] = [str(Path(p).expanduser().resolve()) for p in raw.get("plugins", ())]
    _refuse_unknown(raw, SECTIONS)
    made: dict[str, Any] = {}
    for name, annotation in {**_PLAIN, **_SECTIONS}.items():
        if name in raw:
            made[name] = _validate(name, annotation, raw[name])
        elif name == "split":
            made[name] = _validate(name, annotation, {"frac_train": 0.3})
    for family, default in FAMILIES.items():
        made[family] = component(family, raw.get(family, {}), default)
    return Experiment(**made)


def component(family: str, raw: Any, default: str | None = None) -> Any:
    """Check one section that names a registered kind, and make the component."""
    if isinstance(raw, str):
        raw = {"kind": raw}
    if not isinstance(raw, Mapping):
        raise InputError(family, _short(raw), "needs a section of settings with a `kind`")
    fields = dict(raw)
    kind = fields.pop("kind", default)
    table = kinds(family)
    if not isinstance(kind, str) or kind not in table:
        raise InputError(f"{family}.kind", _short(kind), f"is unknown; {_nearest(str(kind), sorted(table))}")
    for name, value in fields.items():
        # networks go through their layers one by one, already when they are checked
        if name.startswith("n_") and _number(value) > MAX_COUNT:
            raise InputError(f"{family}.{name}", _short(value), f"needs to be at most {MAX_COUNT:,}")
    return _validate(family, table[kind], fields)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
    except OverflowError:
        return math.inf


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """`key=value` arguments of the command line as a mapping; values are read as YAML."""
    found: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise InputError(f"{_shown(argument)!r} is not an override; write it as key=value, for example task.p=59")
        if key in found:
            raise InputError(f"{_shown(key)} is given twice")
        try:
            found[key] = yaml.load(text, _Plain) if text else None
        except (yaml.YAMLError, ValueError):
            found[key] = text
        except RecursionError:
            raise InputError(f"{key} is nested too deeply") from None
    return found


def load_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file as nested settings; unknown tags and duplicate keys are refused."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} cannot be read: {error}") from None
    try:
        found = yaml.load(text, _Plain)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InputError(f"{file.name} is no valid YAML{where}: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise InputError(f"{file.name} is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{file.name} is no valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{file.name} needs keys and values at its top, such as `task:`")
    return found


class _Plain(yaml.SafeLoader):
    """YAML in which a key given twice is an error rather than a silent choice, and nothing is said by reference."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        # a few lines of aliases to aliases stand for more text than any memory holds
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                    )
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _overlay(description: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    raw = _as_plain(description)
    if not isinstance(raw, dict):
        raise InputError("an experiment needs to be a mapping of settings")
    sizes = [key for key in ("split.frac_train", "split.n_train") if overrides.get(key) is not None]
    if len(sizes) > 1:
        raise InputError(f"{' and '.join(sizes)} are both given; one of them is enough")
    # kinds first: a section of another kind starts from that kind's own defaults
    for key, value in sorted(overrides.items(), key=lambda item: not item[0].endswith(".kind")):
        parts = key.split(".")
        if parts[0] not in SECTIONS:
            raise InputError(f"{_shown(key)}: {_nearest(parts[0], SECTIONS)}")
        value = _as_plain(value)
        if len(parts) == 2 and parts[1] == "kind" and parts[0] in FAMILIES:
            before = raw.get(parts[0])
            if not (isinstance(before, dict) and before.get("kind") == value):
                raw[parts[0]] = {"kind": value}
            continue
        if key in ("split.frac_train", "split.n_train") and value is not None and isinstance(raw.get("split"), dict):
            raw["split"].pop("n_train" if parts[1] == "frac_train" else "frac_train", None)
        if key in ("start.file", "start.run") and isinstance(raw.get("start"), dict):
            raw["start"] = {}
        _set(raw, parts, value, key)
    return raw


def _set(node: dict[str, Any], parts: list[str], value: Any, key: str) -> None:
    for depth, part in enumerate(parts[:-1]):
        node = _section(node, part, key, parts[: depth + 1])
        # names of weights and groups hold dots themselves, so a mapping below takes the rest as one key
        if part in ("init_std", "groups"):
            rest = parts[depth + 1 :]
            if part == "groups" and len(rest) > 1:
                node = _section(node, ".".join(rest[:-1]), key, parts[:-1])
                rest = rest[-1:]
            node[".".join(rest)] = value
            return
    node[parts[-1]] = value


def _section(node: dict[str, Any], name: str, key: str, path: list[str]) -> dict[str, Any]:
    if node.get(name) is None:
        node[name] = {}
    found = node[name]
    if not isinstance(found, dict):
        raise InputError(f"{_shown(key)}: {_shown('.'.join(path))} is a single value and has no settings of its own")
    return found


def _as_plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_not_plain))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"no plain value (a number, text, true/false, a list or a mapping): {error}") from None


def _not_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return components.as_json(value)
    if hasattr(value, "item"):
        return value.item()
    raise InputError(f"{value!r} is no plain value (a number, text, true/false, a list or a mapping)")


@lru_cache(maxsize=256)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def _validate(path: str, annotation: Any, raw: Any) -> Any:
    try:
        made = _adapter(annotation).validate_python(raw)
        _refuse_odd_numbers(path, raw, made)
        return made
    except InputError as error:
        # a component names its own field; the section it stands in is known only here
        known = error.field.startswith(path) or not path
        raise error if known else InputError(f"{path}.{error}") from None
    except ValidationError as error:
        raise _sentence(path, annotation, error) from None


def _refuse_odd_numbers(path: str, raw: Any, made: Any) -> None:
    """Refuse true and false where they were read as the numbers 1 and 0, and integers that nothing can count to."""
    if isinstance(made, int) and abs(made) >= 2**64:
        raise InputError(path, _short(made), "needs to be a number below 2**64")
    if isinstance(raw, bool) and not isinstance(made, bool):
        raise InputError(path, raw, "needs to be a number")
    if isinstance(raw, dict):
        for key, value in raw.items():
            _refuse_odd_numbers(f"{path}.{key}", value, made.get(key) if isinstance(made, dict) else getattr(made, key))
    elif isinstance(raw, list):
        for i, value in enumerate(raw):
            _refuse_odd_numbers(f"{path}.{i}", value, made[i])


def _sentence(path: str, annotation: Any, error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    where = ".".join([path, *(_shown(str(part)) for part in first["loc"])])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        names = [f.name for f in dataclasses.fields(annotation)] if dataclasses.is_dataclass(annotation) else []
        return InputError(f"{where}: {_nearest(str(first['loc'][-1]), names)}")
    if first["type"] in ("missing", "missing_argument"):
        return InputError(f"{where} is missing")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "value_error":
        return InputError(f"{path}: {message}" if not first["loc"] else f"{where} = {first['input']!r}: {message}")
    return InputError(where, _short(first["input"]), f"needs to be {message}")


def _shown(name: str) -> str:
    return name if len(name) <= 80 else name[:77] + "…"


def _short(value: Any) -> Any:
    text = repr(value)
    return value if len(text) <= 60 else text[:57] + "…"


def _refuse_unknown(raw: Mapping[str, Any], allowed: Sequence[str]) -> None:
    for key in raw:
        if key not in allowed:
            raise InputError(f"{_shown(str(key))}: {_nearest(str(key), allowed)}")


def _nearest(name: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:80], allowed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no such setting or kind; {hint}allowed: {', '.join(allowed)}"
