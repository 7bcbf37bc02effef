"""Where output goes: objects for programs last on standard output, words for people beside them."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from groklab.text import jsonable

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on one line, last; everything else to standard error.")
]


def console_for(as_json: bool) -> Console:
    """Standard output for people, standard error where a program reads standard output."""
    return Console(stderr=as_json, highlight=False)


def emit(value: dict[str, Any]) -> None:
    """Print one JSON object on one line of standard output; a number that is none, or without bound, is null there."""
    sys.stdout.write(json.dumps(jsonable(value), allow_nan=False) + "\n")
    sys.stdout.flush()


def number(value: float | None, form: str = ",") -> str:
    """A number for people, a dash for none."""
    return "–" if value is None else format(value, form)
