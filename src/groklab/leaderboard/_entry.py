"""Entries: what may differ from a track's baseline, with the settings that tuning may try."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.experiment import PRESETS, Experiment, load_yaml, preset, read
from groklab.leaderboard._track import TRACKS, Size, Track
from groklab.text import flattened, listed, number_in

#: The entry that all others are compared with.
BASELINE = "adamw-tuned"
#: What an entry may set, as dotted names or beginnings of them; the track fixes all else.
OPEN = (
    *("optimiser.", "objective.", "learner.", "batch_size", "start.", "plugins"),
    *("network.init_", "network.embedding_rank"),
)
#: Of these: weights from elsewhere have a cost that nobody counts, and another learner is another protocol.
CLOSED = ("learner.kind", "start.file", "start.run", "start.step", "start.member", "start.sha256")
#: What an experiment file may say besides, of itself.
IGNORED = ("name",)
#: What an entry's file has besides an experiment's settings.
OWN = ("about", "source", "tuning", "weak", "tracks")
#: Combinations of a grid, at most.
LARGEST = 10**6
#: The draw of trials is the same for all entries, tracks and machines.
DRAW = 20_240_530

Settings = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A method on a track.

    Attributes:
        about: what it is, in a sentence.
        source: its paper's address.
        settings: what differs from the track's baseline, by dotted name.
        tuning: values that trials may take, by dotted name; empty for one that is scored as it is.
        weak: settings of a network that is trained before, by dotted name, over the track's own: the entry's weights
            that `start.take` names start from it, and its steps, seconds and operations count; None for no such.
        tracks: the tracks that it is for; none for all.
    """

    name: str
    about: str = ""
    source: str = ""
    settings: Settings = field(default_factory=dict)
    tuning: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    weak: Settings | None = None
    tracks: tuple[str, ...] = ()

    def experiment(self, track: Track, size: Size, trial: Mapping[str, Any] | None = None) -> Experiment:
        """Return its experiment with the settings of a trial; raises InputError for what the track fixes."""
        base = track.experiment(size)
        settings = {**self.settings, **(trial or {})}
        if any(not _may_set(key) for key in settings):
            self._check(track.fixed(size), settings)
        with warnings.catch_warnings():
            # another kind of optimiser lacks some settings of the baseline's
            warnings.filterwarnings("ignore", message=".*has no setting.*")
            first = {"start.run": "weak"} if self.weak is not None else {}
            made = read(base, {**{k: v for k, v in settings.items() if _may_set(k)}, **first})
        return replace(made, name=f"{base.name}-{self.name}")

    def weak_experiment(self, track: Track, size: Size) -> Experiment | None:
        """Return the experiment of the network that is trained before, if there is one."""
        if self.weak is None:
            return None
        base = track.experiment(size)
        steps = self.weak.get("budget.steps")
        if type(steps) is not int or not 0 < steps < base.budget.steps:
            allowed = f"needs a number of steps above 0 and below those of the track, {base.budget.steps:,}"
            raise InputError("weak.budget.steps", steps, allowed)
        for key in self.weak:
            if not key.startswith(("network.", "optimiser.", "objective.", "batch_size", "budget.steps", "learner.")):
                raise InputError(f"weak.{key}: the track {track.name} fixes it")
        plain = {"budget.stop_when_grokked": False, "budget.retire": False, "budget.extra_steps": 0}
        return replace(read(base, {**plain, **self.weak}), name=f"{base.name}-{self.name}-weak")

    def trials(self, track: Track, size: Size) -> list[Settings]:
        """Return the settings to try: its own, and others drawn from its grid until the budget of trials is full.

        An entry without a grid has none. A grid with fewer combinations than the budget is tried in full.
        """
        if not self.tuning:
            return []
        budget = track.scale(size).trials
        names, values = list(self.tuning), list(self.tuning.values())
        total = math.prod(map(len, values))
        own = self.experiment(track, size)
        trials: list[Settings] = [{}]
        for place in np.random.default_rng(DRAW).permutation(total):
            if len(trials) == budget:
                break
            trial = {}
            for name, options in zip(names, values, strict=True):
                place, digit = divmod(int(place), len(options))
                trial[name] = options[digit]
            if self.experiment(track, size, trial).identity != own.identity:
                trials.append(trial)
        return trials

    def check(self, track: Track, size: Size) -> None:
        """Raise InputError, naming the field, where the entry cannot be trained on a track."""
        if self.tracks and track.name not in self.tracks:
            raise InputError(f"{self.name}: is for {listed(self.tracks)}, not for the track {track.name}")
        for name in self.tuning:
            if not _may_set(name):
                raise InputError(f"tuning.{name}: the track {track.name} fixes it; {_ALLOWED}")
            for value in self.tuning[name]:
                self.experiment(track, size, {name: value})
        self.experiment(track, size)
        self.weak_experiment(track, size)

    def _check(self, fixed: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for key, value in settings.items():
            if _may_set(key) or key in IGNORED or (key in fixed and _same(value, fixed[key])):
                continue
            if key in CLOSED and key.startswith("start."):
                raise InputError(key, value, "has a cost that nobody counts; `weak` trains a network within the entry")
            known = f" at {fixed[key]!r}" if key in fixed else ""
            raise InputError(key, value, f"is fixed by the track{known}; {_ALLOWED}")


_ALLOWED = (
    "an entry may set optimiser, objective, batch_size, start, learner, network.init_… and network.embedding_rank"
)


def _may_set(key: str) -> bool:
    return key.startswith(OPEN) and key not in CLOSED


def _same(value: Any, fixed: Any) -> bool:
    """Return whether a setting is the track's own, whether it is written as text or as a number."""
    if isinstance(value, str) and isinstance(fixed, str):
        return value.replace(" ", "") == fixed.replace(" ", "")
    return bool(value == fixed)


def read_entry(what: str | Path, track: Track) -> Entry:
    """Read an entry of one's own: the YAML file of an experiment, with a grid in `tuning`, or a preset's name.

    Of a preset it takes what an entry may set, if task, split and network are the track's.

    Raises:
        InputError: for a file that cannot be read, or is not an entry.
    """
    if str(what) in PRESETS:
        return Entry(str(what).replace("/", "-"), settings=_of_preset(str(what), track))
    path = Path(what).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        raise InputError("--entry", str(what), "needs to be a preset's name or a YAML file")
    return _entry(path.stem, load_yaml(path), track)


def _entry(name: str, content: Mapping[str, Any], track: Track | None) -> Entry:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", name):
        raise InputError("--entry", name, "needs a name of at most 31 letters, digits, dots, dashes and underscores")
    about = {key: content[key] for key in OWN if key in content}
    settings = {key: value for key, value in content.items() if key not in OWN}
    base = settings.pop("preset", None)
    own = {} if base is None else _of_preset(str(base), track)
    for key in ("tuning", "weak"):
        if not isinstance(about.get(key, {}), Mapping):
            raise InputError(key, about[key], "needs to be a section of settings")
    tuning = {key: _options(key, value) for key, value in flattened(about.get("tuning") or {}).items() if key}
    if math.prod(map(len, tuning.values())) > LARGEST:
        raise InputError(f"tuning: has more than {LARGEST:,} combinations")
    tracks = about.get("tracks", [])
    if not isinstance(tracks, list):
        raise InputError("tracks", tracks, "needs to be a list in brackets, such as [micro]")
    for one in tracks:
        check_choice("tracks", one, TRACKS)
    weak = about.get("weak")
    return Entry(
        name,
        str(about.get("about", "")),
        str(about.get("source", "")),
        own | ({key: _plain(value) for key, value in flattened(settings).items()} if settings else {}),
        tuning,
        None if weak is None else {key: _plain(value) for key, value in flattened(weak).items()},
        tuple(tracks),
    )


def _options(name: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise InputError(f"tuning.{name}", values, "needs to be a list of values in brackets, such as [0.1, 1]")
    return tuple(map(_plain, values))


def _plain(value: Any) -> Any:
    """Return the number that a text is, as in 3e-4, and other values as they are."""
    number = number_in(value) if isinstance(value, str) else None
    return value if number is None else number


def _of_preset(name: str, track: Track | None) -> Settings:
    """Return what a preset sets of that which an entry may set; raises InputError where its task is not the track's."""
    settings = flattened(preset(name).to_dict())
    if track is None:
        raise InputError("preset", name, "cannot be that of an entry for several tracks")
    fixed = track.fixed("full")
    for key, value in settings.items():
        if key.startswith(("task.", "split.", "network.")) and not _may_set(key) and not _same(value, fixed.get(key)):
            raise InputError(f"preset {name}: {key} is {value!r}, and {fixed.get(key)!r} on the track {track.name}")
    return {key: value for key, value in settings.items() if _may_set(key) and value is not None and value != []}


@cache
def entries() -> dict[str, Entry]:
    """Return groklab's own entries by name, the baseline first: one file of the folder `entries` each."""
    files = {Path(file.name).stem: file for file in _files()}
    names = sorted(files, key=lambda name: (name != BASELINE, name))
    return {name: _entry(name, load_yaml(Path(str(files[name]))), None) for name in names}


def _files() -> Sequence[Traversable]:
    return [f for f in (resources.files("groklab.leaderboard") / "entries").iterdir() if f.name.endswith(".yaml")]


def entries_of(track: Track, names: Sequence[str] = ()) -> list[Entry]:
    """Return groklab's own entries on a track, the baseline first; names: only these, with the baseline."""
    own = {name: entry for name, entry in entries().items() if not entry.tracks or track.name in entry.tracks}
    for name in names:
        check_choice("entry", name, own, f"`groklab leaderboard {track.name} --list` lists them")
    return [entry for name, entry in own.items() if not names or name in (BASELINE, *names)]
