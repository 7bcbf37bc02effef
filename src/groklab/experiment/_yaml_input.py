"""Settings as text: YAML files, and `key=value` arguments. Unquoted texts mean what `groklab.text.scalar` says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from groklab.errors import InputError, shorten
from groklab.text import read_file, scalar

#: What a missing value is refused with.
NO_VALUE = "has no value; null says none, where a setting allows it"
_PLAIN = "plain"


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` arguments of the command line as a mapping of dotted names to values."""
    settings: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise InputError(f"{shorten(argument)!r} is not an override; write it as key=value, for example task.p=59")
        if key in settings:
            raise InputError(f"{shorten(key)} is given twice")
        settings[key] = parse_value(key, text)
    return settings


def parse_value(key: str, text: str) -> Any:
    """Return what the text of a setting means: lists, mappings and quoted texts as in YAML, all else as one scalar."""
    text = text.strip()
    if not text:
        raise InputError(f"{shorten(key)} {NO_VALUE}")
    if text[0] not in "[{\"'":
        return scalar(text)
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text
    except RecursionError:
        raise InputError(f"{shorten(key)} is nested too deeply") from None
    except InputError as error:
        raise InputError(f"{shorten(key)}: {error}") from None


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Return a YAML file as nested settings; tags, aliases, duplicate keys and keys without a value are refused."""
    file = Path(path)
    try:
        text = read_file(file, "settings").decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{str(path)!r}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        settings = yaml.load(text, _Loader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{error.character:04X}"
        raise InputError(f"{file.name} is not valid YAML (line {line}): it holds the character {character}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InputError(f"{file.name} is not valid YAML{where}: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise InputError(f"{file.name} is nested too deeply") from None
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{file.name} needs keys and values at its top, such as `task:`")
    return settings


def dump_yaml(value: Any, **options: Any) -> str:
    """Return a value as YAML that reads back as the same, here and in readers of YAML 1.1."""
    return str(yaml.dump(value, Dumper=_Dumper, allow_unicode=True, **options))


class _Loader(yaml.SafeLoader):
    """YAML of plain values: a key given twice is an error, keys are texts, and aliases and tags are not read."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012  (as the base class has it)
    yaml_constructors = {  # noqa: RUF012
        _PLAIN: lambda self, node: self.construct_plain(node),
        None: yaml.SafeLoader.construct_undefined,
        **{
            f"tag:yaml.org,2002:{k}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{k}"]
            for k in ("str", "seq", "map")
        },
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        # a few lines of aliases to aliases can expand to more text than any memory holds
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_plain(self, node: Any, key: str = "an entry of a list") -> Any:
        if not node.value:
            raise InputError(f"{shorten(key)} (line {node.start_mark.line + 1}) {NO_VALUE}")
        return scalar(node.value)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)
        settings: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            problem = f"the key {key!r} is given twice" if isinstance(key, str) and key in settings else ""
            if not isinstance(key_node, yaml.ScalarNode):
                problem = "a key needs to be text"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            plain = value_node.tag == _PLAIN
            settings[key] = self.construct_plain(value_node, key) if plain else self.construct_object(value_node, deep)
        return settings


class _Dumper(yaml.SafeDumper):
    """Quotes what `scalar` would not read as text, besides what YAML 1.1 would not."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+"), list("-+.0123456789")
)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # spaces of Unicode at the ends, and its line breaks anywhere, survive in double quotes alone
    odd = text != text.strip() or len(text.splitlines()) > text.count("\n") + 1
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if odd else None)


_Dumper.add_representer(str, _text)
