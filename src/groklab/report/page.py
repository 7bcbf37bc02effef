"""The HTML of a page: template, style and script are files of this package, `plotly.js` is the plotly wheel's."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import jinja2
from plotly.offline.offline import get_plotlyjs

from groklab.figures.theme import DARK
from groklab.report.pictures import Picture


@dataclass(frozen=True)
class Table:
    """A table of the page: its first column names the rows. full: all settings, folded away below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    full: str = ""


@dataclass(frozen=True)
class Page:
    """What a page shows; every text is plain and is escaped by the template.

    tiles: label, value and remark. remake: `command`, `yaml` and `remark`, or nothing. stories: each run's name and
    summary, where there are several. computes: sentences on what a model computes, in a list. features: on what it
    looks at, before `feature_pictures`, which stand after all other pictures. part_of: the page that
    this one belongs to, by name and address.
    """

    title: str
    kind: str
    tags: Sequence[str]
    summary: Sequence[str]
    tiles: Sequence[tuple[str, str, str]]
    problems: Sequence[str]
    pictures: Sequence[Picture]
    tables: Sequence[Table]
    provenance: Sequence[tuple[str, str]]
    remake: dict[str, Any]
    notes: Sequence[str]
    stories: Sequence[tuple[str, str]] = ()
    computes: Sequence[str] = ()
    features: Sequence[str] = ()
    feature_pictures: Sequence[Picture] = ()
    heading: str = "What happened"
    part_of: tuple[str, str] | None = None


def render(page: Page) -> str:
    """The whole page as one HTML document that loads nothing."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return environment.from_string(_file("page.html.j2")).render(
        page=page,
        made=made,
        style=_file("page.css"),
        script=_file("page.js"),
        plotly=_plotly(),
        dark=json.dumps(DARK),
        drawn=any(p.spec for p in (*page.pictures, *page.feature_pictures)),
    )


def _file(name: str) -> str:
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _plotly() -> str:
    return str(get_plotlyjs())
