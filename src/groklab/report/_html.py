"""Pages as self-contained HTML: one Jinja environment; templates, styles and scripts are files of this package."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from plotly.offline.offline import get_plotlyjs

from groklab.figures import DARK, Drawing, Figure, PageFigure
from groklab.text import visible

#: Plotly writes six letters for each `/`, of which arrays are full.
SLASH = re.compile(r"(?<!\\)\\u002f")
#: In JSON, what `groklab.text.visible` writes out, but for halves of surrogate pairs.
_UNSEEN = re.compile(r"(?<!\\)(?=\\u(?:00[01]|007f|00[89]|061c|200[ef]|202[89a-e]|206[6-9]))")


@dataclass(frozen=True)
class Picture:
    """One figure of a page, or, where `spec` is empty, the sentence that gives the reason why it is missing.

    Args:
        key: the `id` on the page.
        title: its heading.
        sentence: what it shows.
        spec: the figure as JSON, without Plotly's own slider, which cannot be reached by keyboard.
        steps: the checkpoints of its slider.
        style: its size, as CSS.
        layout: how the size changes on a phone, a class of the style sheet: 'lower', 'rows' or 'proportional'.
    """

    key: str
    title: str
    sentence: str
    spec: str = ""
    steps: tuple[int, ...] = ()
    style: str = ""
    layout: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a page: its first column names the rows. full: all settings, folded away below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    full: str = ""


@dataclass(frozen=True)
class Part:
    """A part of a page: sentences under a title, as a list where there are several, then figures."""

    id: str = ""
    title: str = ""
    sentences: Sequence[str] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Page:
    """What a page shows; every text is plain and is escaped by the template.

    Args:
        title: the heading.
        kind: what the page is of.
        summary: sentences of one paragraph.
        notes: definitions, at the end.
        heading: the title of the summary.
        tags: the run's.
        tiles: label, value and remark.
        problems: what is left out or damaged.
        parts: figures, in their order.
        tables: after the figures.
        stories: each run's name and summary, where there are several.
        remake: `command`, `yaml` and `remark`, or nothing.
        provenance: label and value.
        part_of: the page that this one belongs to, by name and address.
    """

    title: str
    kind: str
    summary: Sequence[str]
    notes: Sequence[str]
    heading: str = "What happened"
    tags: Sequence[str] = ()
    tiles: Sequence[tuple[str, str, str]] = ()
    problems: Sequence[str] = ()
    parts: Sequence[Part] = ()
    tables: Sequence[Table] = ()
    stories: Sequence[tuple[str, str]] = ()
    remake: dict[str, str] | None = None
    provenance: Sequence[tuple[str, str]] = ()
    part_of: tuple[str, str] | None = None

    @property
    def pictures(self) -> list[Picture]:
        """The figures of all parts."""
        return [picture for part in self.parts for picture in part.pictures]


def picture(key: str, title: str, sentence: str, plot: Figure, *, rows: bool = False) -> Picture:
    """Return a figure prepared for a page, which sets its width and gives it a slider of its own.

    Args:
        plot: a figure with a width keeps its proportions, one without keeps its height.
        rows: keep the height on a phone, too.
    """
    steps = tuple(int(frame.name) for frame in plot.frames)
    width, height = plot.layout.width, plot.layout.height
    layout = "rows" if rows else "lower"
    style = f"--height: {height:.0f}px" if height else ""
    if width and height:
        layout, style = "proportional", f"max-width: {width:.0f}px; aspect-ratio: {width / height:.3f}"
    plot.layout.sliders = plot.layout.width = plot.layout.height = None
    spec = SLASH.sub("/", in_script(plot.to_json()))
    return Picture(key, title, sentence, spec, steps, style, layout)


def in_script(text: str) -> str:
    """Return JSON for a script element, which a `<` could end, with what no page shows written out."""
    return _UNSEEN.sub(r"\\", text.replace("<", "\\u003c"))


def pictures_of(figure: PageFigure, drawings: Sequence[Drawing]) -> list[Picture]:
    """Return a registered figure's drawings prepared for a page."""
    pictures = []
    for i, drawing in enumerate(drawings):
        key, title = f"{figure.name}{i or ''}", drawing.title or figure.title
        if drawing.plot is None:
            pictures.append(Picture(key, title, drawing.sentence))
        else:
            pictures.append(picture(key, title, drawing.sentence, drawing.plot, rows=figure.rows))
    return pictures


def render_page(page: Page) -> str:
    """Return a page as one HTML document that loads nothing."""
    return render("page.html.j2", page=page, plots=any(p.spec for p in page.pictures))


def render(template: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = (), **values: Any) -> str:
    """Return a template as one HTML document that loads nothing.

    Args:
        template: a file of this package, which extends `base.html.j2`.
        styles, scripts: files of this package, after the style sheet of all pages.
        values: the template's variables. `plots` says whether there are figures, which need Plotly and its script.
    """
    values.setdefault("plots", False)
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    style = "".join(map(read_file, ("page.css", *styles)))
    script = "".join(map(read_file, ("page.js",) * values["plots"] + tuple(scripts)))
    return environment().get_template(template).render(made=made, style=style, script=script, **values)


def _shown(value: Any) -> Any:
    """Return what a page prints of a value; what templates made is as it shall be."""
    return visible(value) if type(value) is str else value


@cache
def environment() -> jinja2.Environment:
    """Return the environment of all pages."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_file),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"plotly": cache(get_plotlyjs), "dark_colours": json.dumps(DARK)}
    return made


@cache
def read_file(name: str) -> str:
    """Return a file of this package."""
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")
