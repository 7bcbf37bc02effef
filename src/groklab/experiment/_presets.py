"""Presets: named experiments with a page each."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab.errors import check_choice
from groklab.registry import Discovered, enter, load_part
from groklab.text import flattened

if TYPE_CHECKING:
    from groklab.experiment._schema import Experiment


#: Settings of how much is trained on: one replaces another.
SIZES = ("split.frac_train", "split.n_train", "split.rows")


@dataclass(frozen=True)
class Preset:
    """A named experiment: what it shows, costs, should give, and where it comes from.

    `definition` holds its settings by dotted name; a value that takes time to compute is a function that returns it.
    """

    name: str
    shows: str
    costs: str
    expect: str
    source: str
    definition: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by dotted name."""
        return {key: value() if callable(value) else value for key, value in self.definition.items()}


PRESETS: Discovered[Preset] = Discovered(partial(load_part, "presets"))


def define(
    name: str, base: str | None = None, *, shows: str, costs: str, expect: str, source: str, **settings: Any
) -> None:
    """Register a preset; dotted settings (written with `__` for a dot) are laid over those of `base`.

    Raises:
        InputError: for a name that is taken by groklab or by another file.
    """
    inherited = dict(PRESETS[base].definition) if base else {}
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    # a section of another kind starts from that kind's own defaults
    dropped = tuple(f"{key.split('.')[0]}." for key in dotted if key.endswith(".kind"))
    if any(key in SIZES for key in dotted):
        dropped = (*dropped, *SIZES)
    inherited = {key: value for key, value in inherited.items() if not key.startswith(dropped)}
    made = Preset(name, shows, costs, expect, source, {**inherited, **dotted, "name": name})
    enter(PRESETS, "preset", name, made, sys._getframe(1).f_globals["__name__"])


def find_preset(name: str) -> Preset:
    """Return a preset by its name; raises InputError naming the nearest one."""
    check_choice("preset", name, PRESETS, "`groklab presets` lists them")
    return PRESETS[name]


def check_name(what: str) -> None:
    """Raise InputError, naming the nearest preset, for what is neither a preset's name nor a file of settings."""
    path = Path(what)
    if path.suffix not in (".yaml", ".yml") and (path.is_dir() or not path.exists()):
        find_preset(what)


def preset(name: str, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Return the experiment of a preset, with dotted overrides laid over it."""
    from groklab.experiment.reading import read  # listing presets takes less time without

    return read(read({}, find_preset(name).settings), overrides)


def description_of(what: str | Path | Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an experiment, a preset's name or a YAML file as a description, and settings by dotted name on top."""
    from groklab.experiment._yaml_input import load_yaml

    if not isinstance(what, str | Path):
        return what.to_dict(), {}
    if str(what) in PRESETS:
        return preset(str(what)).to_dict(), {}
    check_name(str(what))
    description = load_yaml(what)
    base = description.pop("preset", None)
    if base is None:
        return description, {}
    settings = flattened(description) if description else {}
    return preset(str(base)).to_dict(), {"name": Path(what).stem, **settings}
