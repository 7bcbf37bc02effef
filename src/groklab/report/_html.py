"""Pages as self-contained HTML: one Jinja environment; templates, styles and scripts are files of this package."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import polars as pl
from plotly.offline.offline import get_plotlyjs

from groklab.figures import DARK, ComparisonFigure, Drawing, Figure, PageFigure
from groklab.text import visible

#: Rows of a figure's numbers that a page holds; more would double its size.
CSV_ROWS = 100_000
#: Plotly writes six letters for each `/`, of which arrays are full.
SLASH = re.compile(r"(?<!\\)\\u002f")
#: Width and height in pixels of a saved figure that has none of its own.
SAVED_WIDTH, HEIGHT = 960, 380
#: In JSON, what `groklab.text.visible` writes out, but for halves of surrogate pairs.
_UNSEEN = re.compile(r"(?<!\\)(?=\\u(?:00[01]|007f|00[89]|061c|200[ef]|202[89a-e]|206[6-9]))")


@dataclass(frozen=True)
class Table:
    """A table of a page: its first column names the rows. full: all settings, folded away below it."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    full: str = ""


@dataclass(frozen=True)
class Picture:
    """One figure of a page, or, where `spec` is empty, the sentence that gives the reason why it is missing.

    Args:
        key: the `id` on the page.
        title: its heading.
        sentence: what it shows of this run.
        spec: the figure as JSON, without Plotly's own slider; the page has one for all figures.
        steps: its checkpoints.
        style: its size, as CSS.
        layout: how the size changes on a phone, a class of the style sheet: 'lower', 'rows' or 'proportional'.
        size: width and height in pixels as it is saved.
        about: what such a figure shows in general.
        csv: the numbers that it draws, compressed, in base 64.
        tables: the same numbers as tables, folded away below it.
    """

    key: str
    title: str
    sentence: str
    spec: str = ""
    steps: tuple[int, ...] = ()
    style: str = ""
    layout: str = ""
    size: tuple[int, int] = (0, 0)
    about: str = ""
    csv: str = ""
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Part:
    """A part of a page: sentences under a title, as a list where there are several, or figures under one, or both."""

    id: str = ""
    title: str = ""
    sentences: Sequence[str] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Entry:
    """A line of a page's table of contents: the `id` of a heading, its title, and 1 for one below the line before."""

    id: str
    title: str
    level: int = 0


#: Headings of the sections at the end of a page.
TITLES = {"stories": "Run by run", "remake": "Train it again", "provenance": "Provenance", "notes": "Definitions"}


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

    @property
    def steps(self) -> list[int]:
        """The checkpoints of all figures, which one slider goes through."""
        return sorted({step for picture in self.pictures for step in picture.steps})

    @property
    def contents(self) -> list[Entry]:
        """The sections of the page, with the figures of each part below it."""
        entries = [Entry("problems", "Left out or damaged")] if self.problems else []
        entries.append(Entry("summary", self.heading))
        for part in self.parts:
            if part.title and (part.sentences or part.pictures):
                entries.append(Entry(part.id, part.title))
            entries += [
                Entry(f"{picture.key}-title", picture.title, 1 if part.title else 0) for picture in part.pictures
            ]
        entries += [Entry(f"table-{i}", table.title) for i, table in enumerate(self.tables, 1)]
        last = {"stories": self.stories, "remake": self.remake, "provenance": self.provenance, "notes": self.notes}
        return entries + [Entry(key, TITLES[key]) for key, content in last.items() if content]


def picture(
    key: str,
    title: str,
    sentence: str,
    plot: Figure,
    *,
    rows: bool = False,
    about: str = "",
    tables: Sequence[Table] = (),
) -> Picture:
    """Return a figure prepared for a page, which sets its width and moves it through its checkpoints.

    Args:
        plot: a figure with a width keeps its proportions, one without keeps its height.
        rows: keep the height on a phone, too.
        about: what such a figure shows in general.
        tables: its numbers.
    """
    steps = tuple(int(frame.name) for frame in plot.frames)
    width, height = plot.layout.width, plot.layout.height
    layout = "rows" if rows else "lower"
    style = f"--height: {height:.0f}px" if height else ""
    if width and height:
        layout, style = "proportional", f"max-width: {width:.0f}px; aspect-ratio: {width / height:.3f}"
    size = (round(width or SAVED_WIDTH), round(height or HEIGHT))
    csv = packed_csv(plot.data_frame)
    plot.layout.sliders = plot.layout.width = plot.layout.height = None
    spec = SLASH.sub("/", in_script(plot.to_json()))
    return Picture(key, title, sentence, spec, steps, style, layout, size, about, csv, tables)


def packed_csv(frame: pl.DataFrame) -> str:
    """Return a frame as compressed CSV in base 64; '' for one without rows.

    Of a long one, such as a matrix at every checkpoint, only the last step is kept.
    """
    if len(frame) > CSV_ROWS and "step" in frame.columns:
        frame = frame.filter(pl.col("step") == pl.col("step").max())
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    frame = frame.with_columns(pl.Series(name, map(str, frame[name].to_list()), pl.String) for name in nested)
    # more digits would double its size
    frame = frame.with_columns(pl.col(pl.Float64).round_sig_figs(7))
    return base64.b64encode(gzip.compress(frame.write_csv().encode(), mtime=0)).decode() if len(frame) else ""


def in_script(text: str) -> str:
    """Return JSON for a script element, which a `<` could end, with what no page shows written out."""
    return _UNSEEN.sub(r"\\", text.replace("<", "\\u003c"))


def pictures_of(figure: PageFigure | ComparisonFigure, drawings: Sequence[Drawing]) -> list[Picture]:
    """Return a registered figure's drawings prepared for a page."""
    pictures = []
    for i, drawing in enumerate(drawings):
        key = f"{figure.name}-{i}" if i else figure.name
        title = drawing.title or figure.title
        tables = [Table(t.title, t.head, t.rows) for t in drawing.tables]
        # the general sentence stands once
        about = "" if i else figure.about
        if drawing.plot is None:
            pictures.append(Picture(key, title, drawing.sentence, about=about, tables=tables))
        else:
            made = picture(key, title, drawing.sentence, drawing.plot, rows=figure.rows, about=about, tables=tables)
            pictures.append(made)
    return pictures


def render_page(page: Page, *, plotly: str = "") -> str:
    """Return a page as one HTML document that loads nothing.

    Args:
        plotly: the address of Plotly's script, which the page then loads instead of holding it.
    """
    plots = any(p.spec for p in page.pictures)
    return render("page.html.j2", page=page, plots=plots, contents=page.contents, plotly=plotly)


def render(template: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = (), **values: Any) -> str:
    """Return a template as one HTML document that loads nothing.

    Args:
        template: a file of this package, which extends `base.html.j2`.
        styles, scripts: files of this package, after the style sheet of all pages.
        values: the template's variables. `plots` says whether there are figures, which need Plotly and its script;
            `plotly` is the address of Plotly where the page does not hold it; `contents` are the page's sections,
            `contents_above` where they do not fit beside the page.
    """
    values = {"plots": False, "plotly": "", "contents": (), "contents_above": False, **values}
    made = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    style = "".join(map(read_file, ("page.css", *styles)))
    plotting = ("figures.js", "page.js") if values["plots"] else ()
    script = "".join(map(read_file, ("saving.js", "base.js", *plotting, *scripts)))
    return environment().get_template(template).render(made=made, style=style, script=script, **values)


@cache
def plotly_script() -> str:
    """Return Plotly's script."""
    return str(get_plotlyjs())


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
    made.globals |= {"plotly_script": plotly_script, "dark_colours": json.dumps(DARK)}
    return made


@cache
def read_file(name: str) -> str:
    """Return a file of this package."""
    return (resources.files("groklab.report") / name).read_text(encoding="utf-8")
