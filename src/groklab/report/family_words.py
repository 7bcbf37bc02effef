"""How a family's rows and columns are headed, and the command that trains it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from groklab.errors import InputError
from groklab.figures.phase_cells import labels
from groklab.report.settings import plain, remake
from groklab.sweeps import Sweep
from groklab.tasks.operations import resolve
from groklab.text import listed, superscript


@dataclass(frozen=True)
class Heading:
    """A row or column: what it shows, the operation's name where it has one, and the family that it is of, or ''."""

    text: str
    name: str = ""
    group: str = ""


def headings(key: str, values: Sequence[Any]) -> list[Heading]:
    """A key's values as a table shows them: operations by formula, numbers in as few digits as tell them apart."""
    if key.split(".")[-1] not in ("expression", "expressions"):
        return [Heading(text) for text in labels(values)]
    return [_heading(value) for value in values]


def value_names(key: str, values: Sequence[Any]) -> list[str]:
    """A key's values in a few words: mixtures by formula, all else as it is given."""
    return [h.text for h in headings(key, values)] if key.endswith("expressions") else labels(values)


def _heading(value: Any) -> Heading:
    if isinstance(value, str):
        return _operation(value)
    if not (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
        return Heading(labels([value])[0])
    found = [_operation(one) for one in value]
    return Heading(", ".join(h.text for h in found), ", ".join(h.name or h.text for h in found))


def _operation(text: str) -> Heading:
    try:
        operation, expression = resolve(text)
    except InputError:  # of a plug-in's task, whose expressions are its own
        return Heading(text)
    if operation is None:
        return Heading(formula(str(expression)))
    return Heading(formula(operation.expression), operation.name, str(getattr(operation, "group", "") or ""))


def formula(expression: str) -> str:
    """As one writes it by hand: `x^2 + 3*x*y` is x² + 3xy."""
    raised = re.sub(r"\^(-?\d+)", lambda match: superscript(match[1]), expression)
    return re.sub(r"\s*\*\s*(?=[a-z(])", "", raised).replace("*", " · ").replace("-", "−")


def experiment_given(sweep: Sweep) -> tuple[list[str], str]:
    """What all members were trained with: a preset and the settings laid over it, or a file and its YAML."""
    first = sweep.experiment(0)
    command, yaml = remake([first])
    words = shlex.split(command)[2:]
    # what a sweep asks of its members by itself
    own = {"checkpoints.spacing=none", "budget.stop_when_grokked=true", "budget.retire=true"}
    kept = [words[0]]
    for word in words[1:]:
        key = word.split("=")[0]
        varied = key in sweep.keys or any(k.startswith(f"{key}.") or key.startswith(f"{k}.") for k in sweep.keys)
        if word not in own and not varied:
            kept.append(word)
    return kept, yaml


def experiment_said(sweep: Sweep) -> str:
    """The experiment by its name, with what was laid over its preset."""
    words, yaml = experiment_given(sweep)
    name = sweep.experiment(0).name
    if yaml:
        return f"{name}, whose settings stand below"
    given = [word for word in words[1:] if "=" in word and not word.startswith("-")]
    return f"{name} with {listed(given)}" if given else name


def sweep_command(sweep: Sweep) -> tuple[str, str]:
    """The command that trains the sweep again, and the YAML file that it reads ('' where a preset serves)."""
    first = sweep.experiment(0)
    kept, yaml = experiment_given(sweep)
    for key, values in sweep.keys.items():
        kept += ["--grid", f"{key}={','.join(plain(v) for v in values)}"]
    per_point = sweep.n_members // max(len(sweep.folder.points), 1)
    kept += ["--seeds", str(per_point)] if per_point > 1 else []
    kept += [] if first.budget.retire else ["--no-retire"]
    name = sweep.name.rpartition("-")[0]
    kept += ["--name", name] if name not in ("", first.name) else []
    return f"groklab sweep {shlex.join(kept)}", yaml
