"""Presets: named experiments with a page each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groklab.errors import InputError
from groklab.experiment.reading import SIZES, read
from groklab.experiment.schema import Experiment


@dataclass(frozen=True)
class Preset:
    """A named experiment: what it shows, costs, should give, and where it comes from."""

    name: str
    shows: str
    costs: str
    expect: str
    source: str
    settings: dict[str, Any]


PRESETS: dict[str, Preset] = {}


def define(
    name: str, base: str | None = None, *, shows: str, costs: str, expect: str, source: str, **settings: Any
) -> None:
    """Register a preset; dotted settings (written with `__` for a dot) are laid over those of `base`."""
    inherited = dict(PRESETS[base].settings) if base else {}
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    # a section of another kind starts from that kind's own defaults
    anew = tuple(f"{key.split('.')[0]}." for key in dotted if key.endswith(".kind"))
    if any(key in SIZES for key in dotted):
        anew = (*anew, *SIZES)
    inherited = {key: value for key, value in inherited.items() if not key.startswith(anew)}
    PRESETS[name] = Preset(name, shows, costs, expect, source, {**inherited, **dotted, "name": name})


def find_preset(name: str) -> Preset:
    """A preset by name; raises InputError naming the nearest one."""
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(f"there is no preset {name!r}; {hint}`groklab presets` lists them: {', '.join(PRESETS)}")
    return PRESETS[name]


def preset(name: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """The experiment of a preset, with dotted overrides laid over it."""
    return read(read({}, find_preset(name).settings).to_dict(), overrides)
