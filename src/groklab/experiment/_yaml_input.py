"""Settings as text: YAML files, and `key=value` arguments whose values are YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from groklab.errors import InputError, shorten


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """Return `key=value` arguments of the command line as a mapping; values are read as YAML."""
    settings: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise InputError(f"{shorten(argument)!r} is not an override; write it as key=value, for example task.p=59")
        if key in settings:
            raise InputError(f"{shorten(key)} is given twice")
        try:
            settings[key] = yaml.load(text, _Plain) if text else None
        except (yaml.YAMLError, ValueError):
            settings[key] = text
        except RecursionError:
            raise InputError(f"{key} is nested too deeply") from None
    return settings


def load_yaml(path: str | Path) -> dict[str, Any]:
    """Return a YAML file as nested settings; unknown tags and duplicate keys are refused."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{str(path)!r}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} cannot be read: {error}") from None
    try:
        settings = yaml.load(text, _Plain)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InputError(f"{file.name} is not valid YAML{where}: {getattr(error, 'problem', error)}") from None
    except RecursionError:
        raise InputError(f"{file.name} is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{file.name} is not valid YAML: {error}") from None
    if not isinstance(settings, dict):
        raise InputError(f"{file.name} needs keys and values at its top, such as `task:`")
    return settings


class _Plain(yaml.SafeLoader):
    """YAML in which a key given twice is an error rather than a silent choice, and aliases are not read."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        # a few lines of aliases to aliases can expand to more text than any memory holds
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
