"""What the shell completes: presets, runs, sweeps, measures, papers, settings and their values.

Each function takes what is typed so far, and returns what it may become: nothing where something cannot be read.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from groklab.errors import InputError


def add_completion(command: Callable[..., Any]) -> None:
    """Let the shell complete a command's arguments and options, by their names and metavars."""
    # kept, as each look at annotations that are texts makes other objects
    command.__annotations__ = get_type_hints(command, include_extras=True)
    for name, annotation in command.__annotations__.items():
        for info in getattr(annotation, "__metadata__", ()):
            complete = _completer(name, str(getattr(info, "metavar", None) or ""))
            if complete is not None and getattr(info, "autocompletion", ...) is None:
                info.autocompletion = complete


def _completer(name: str, metavar: str) -> Callable[..., Any] | None:
    """Return what completes a parameter, such as runs and sweeps for RUN…|SWEEP."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    if "@" in metavar:
        return steps
    words = [_BY_WORD[word] for word in re.findall("[A-Z]+", metavar) if word in _BY_WORD]
    return _any_of(words) if words else None


def _any_of(functions: Sequence[Callable[[str], list[Any]]]) -> Callable[[str], list[Any]]:
    def complete(incomplete: str) -> list[Any]:
        return [item for function in functions for item in function(incomplete)]

    return complete


def presets(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a preset."""
    from groklab.experiment import PRESETS

    return [(p.name, p.shows) for p in PRESETS.values() if p.name.startswith(incomplete)]


def measures(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a measure."""
    from groklab.measures import MEASURES

    return [(m.name, m.about) for m in MEASURES.values() if m.name.startswith(incomplete)]


def papers(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a paper whose claims are tested, or of one of its claims."""
    from groklab.reproduction import PAPERS

    known = [(name, paper.title) for name, paper in PAPERS.items()]
    if "/" in incomplete:
        known = [(f"{name}/{claim.id}", claim.claim) for name, paper in PAPERS.items() for claim in paper.claims]
    return [pair for pair in known if pair[0].startswith(incomplete)]


def figures(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a figure of a run, the last of several with commas between them."""
    from groklab.figures import FIGURES

    before, comma, last = incomplete.rpartition(",")
    return [(f"{before}{comma}{f.name}", f.title) for f in FIGURES.values() if f.name.startswith(last)]


def one_of(values: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what completes one of some values."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def some_of(values: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what completes the last of several values with commas between them."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{value}" for value in values if value.startswith(last)]

    return complete


def trackers(incomplete: str) -> list[str]:
    """Complete the name of a tracking program."""
    from groklab.trackers import tracker_names

    return [name for name in tracker_names() if name.startswith(incomplete)]


def targets(incomplete: str) -> list[str]:
    """Complete what a run is exported to: a format of weights, or a tracking program."""
    from groklab.interop import Format

    return [name for name in (*get_args(Format), *trackers("")) if name.startswith(incomplete)]


def published(incomplete: str) -> list[str]:
    """Complete the name of a published map."""
    from groklab.papers import published_maps

    return [name for name in published_maps() if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Complete the name of a run, and after RUN# the numbers of its members."""
    from groklab.store import MEMBER_MARK, Collection

    with contextlib.suppress(InputError, OSError):
        names = [path.name for path in Collection().paths() if path.name.startswith(incomplete)]
        name, mark, _ = incomplete.rpartition(MEMBER_MARK)
        if names or not mark:
            return names
        members = [f"{name}{mark}{place}" for place in range(Collection().find(name).n_members)]
        return [member for member in members if member.startswith(incomplete)]
    return []


def sweeps(incomplete: str) -> list[str]:
    """Complete the name of a sweep."""
    from groklab.sweeps import sweep_paths

    with contextlib.suppress(InputError, OSError):
        return [path.name for path in sweep_paths() if path.name.startswith(incomplete)]
    return []


def steps(incomplete: str) -> list[str]:
    """Complete a RUN@STEP."""
    from groklab.store import Collection

    name, at, _ = incomplete.partition("@")
    if not at:
        return [text for run in runs(incomplete) for text in (run, f"{run}@")]
    with contextlib.suppress(InputError, OSError):
        kept = Collection().find(name).checkpoints
        return [text for text in (f"{name}@{step}" for step in kept) if text.startswith(incomplete)]
    return []


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete a setting: its name with its present value, and after `=` the values that it may have."""
    before = [str(text) for text in ctx.params.get("overrides") or ()]
    experiment = _experiment(ctx)
    # bash hands over a, = and b of a=b as words of their own, and click drops a last =
    split = before[:-1] if before[-1:] == ["="] else before if os.environ.get("COMP_WORDS", "")[-1:] == "=" else []
    if split and not incomplete.count("="):
        return [text for text in _values(experiment, split[-1]) if text.startswith(incomplete)]
    name, equals, value = incomplete.partition("=")
    if equals:
        return [f"{name}={text}" for text in _values(experiment, name) if text.startswith(value)]
    known = [key for key in _names(experiment) if key.startswith(name)]
    if len(known) == 1:
        return [f"{known[0]}={text}" for text in _values(experiment, known[0])] or [f"{known[0]}="]
    return [f"{key}={(_values(experiment, key, present=True) or [''])[0]}" for key in known]


def _experiment(ctx: typer.Context) -> Any:
    """Return the experiment of the preset, file or run that the command names; None where there is none."""
    from groklab.experiment import PRESETS, description_of, read

    # an option without a value yet leaves no parameters
    words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
    with contextlib.suppress(InputError, OSError):
        if what := ctx.params.get("what") or next((word for word in words if word in PRESETS), None):
            return read(*description_of(what))
        if run := ctx.params.get("run"):
            from groklab.store import Collection

            return Collection().find(run).recorded[0]
    return None


def _names(experiment: Any) -> list[str]:
    from groklab.text import flattened

    return [] if experiment is None else [key for key in flattened(experiment.to_dict()) if key != "plugins"]


def _values(experiment: Any, name: str, present: bool = False) -> list[str]:
    """Return the values of a closed set, or the present value of another setting."""
    from groklab.experiment import plain
    from groklab.text import flattened

    choices = [] if present else _choices(experiment, name)
    if choices or experiment is None:
        return choices
    value = flattened(experiment.to_dict()).get(name)
    text = "" if value is None else plain(value)
    return [text] if text and not set(text) & set(" '\"[{") else []


def _choices(experiment: Any, name: str) -> list[str]:
    from groklab.registry import kinds

    section, _, field = name.rpartition(".")
    if field == "kind":
        return sorted(kinds(section))
    part = getattr(experiment, section, None) if section else experiment
    if part is None or isinstance(part, Mapping):
        return []
    with contextlib.suppress(NameError, TypeError):
        kind = get_type_hints(type(part)).get(field)
        if kind is bool:
            return ["true", "false"]
        if get_origin(kind) is Literal:
            return [str(value) for value in get_args(kind)]
    return []


#: By the name of a parameter.
_BY_NAME: dict[str, Callable[..., Any]] = {
    "overrides": settings,
    "grid": settings,
    "to": targets,
    "published": published,
}
#: By the words of a metavar.
_BY_WORD: dict[str, Callable[[str], list[Any]]] = {
    "RUN": runs,
    "SWEEP": sweeps,
    "PRESET": presets,
    "MEASURE": measures,
    "PAPER": papers,
    "FIGURE": figures,
    "TRACKER": trackers,
}
