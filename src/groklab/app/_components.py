"""Values of `report` as components of Dash, which escapes every text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from dash import dcc, html

from groklab.report import Page, Part, Picture, Table
from groklab.text import visible

#: What Plotly shows on no page: its own buttons.
CONFIG: Any = {"displayModeBar": False, "displaylogo": False, "responsive": True}
#: Attributes of marks that repeat the words beside them.
DECORATION: Any = {"aria-hidden": "true"}
#: Marks of states that do not rest on colour.
STATES = {
    "running": "●",
    "perhaps running": "◌",
    "finished": "✓",
    "interrupted": "‖",
    "diverged": "✗",
    "damaged": "!",
    "failed": "✗",
    "starting": "●",
}


def text(value: Any) -> str:
    """Return a value as text in which nothing is obeyed, such as marks that turn its direction."""
    return visible(str(value))


def link(path: str, *names: str, **query: Any) -> str:
    """Return the address of a page: its path, names as further parts of it, and settings."""
    address = "/".join([path, *(quote(name, safe="") for name in names)])
    settings = {key: value for key, value in query.items() if value not in (None, "", False, [])}
    return f"{address}?{urlencode(settings, doseq=True)}" if settings else address


def go(label: str, address: str, **options: Any) -> Any:
    """Return a link within the dashboard."""
    return dcc.Link(text(label), href=address, **options)


def state(status: str) -> Any:
    """Return a state with its mark."""
    mark = html.Span(STATES.get(status, "·"), **DECORATION)
    return html.Span([mark, f" {text(status)}"], className=f"state {status.replace(' ', '-')}")


def section(title: str, children: Sequence[Any], **options: Any) -> Any:
    """Return a card with a heading."""
    return html.Section([html.H2(text(title)), *children], **options)


def paragraphs(sentences: Sequence[str]) -> list[Any]:
    """Return one sentence as a paragraph, several as a list."""
    if len(sentences) < 2:
        return [html.P(text(s)) for s in sentences]
    return [html.Ul([html.Li(text(s)) for s in sentences], className="computes")]


def tiles(rows: Iterable[tuple[str, str, str]]) -> Any:
    """Return the few numbers that one looks for first."""
    return html.Dl(
        [html.Div([html.Dt(text(a)), html.Dd([html.Strong(text(b)), html.Span(text(c))])]) for a, b, c in rows],
        className="tiles",
    )


def pairs(rows: Iterable[tuple[str, Any]]) -> Any:
    """Return names with a sentence on each."""
    pieces = [piece for a, b in rows for piece in (html.Dt(text(a)), html.Dd(text(b)))]
    return html.Dl(pieces, className="provenance")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], **options: Any) -> Any:
    """Return a table whose cells are texts or components, and whose first column names the rows."""

    def cell(value: Any) -> Any:
        return text(value) if isinstance(value, str) else value

    body = [html.Tr([html.Th(cell(row[0]), scope="row"), *(html.Td(cell(v)) for v in row[1:])]) for row in rows]
    header = html.Thead(html.Tr([html.Th(cell(name), scope="col") for name in head]))
    return html.Div(html.Table([header, html.Tbody(body)], **options), className="scroll")


def named_table(value: Table) -> Any:
    """Return a table of a page, with the settings that are folded away below it."""
    more = [html.Details([html.Summary("All settings"), html.Pre(text(value.full))])] if value.full else []
    return section(value.title, [table(value.head, value.rows), *more])


def picture(value: Picture, scope: str) -> Any:
    """Return a figure with its sentence; where it is missing, the sentence that says why.

    Args:
        scope: what tells its key from that of the same figure elsewhere on the page.
    """
    key = f"{scope}-{value.key}"
    about = [html.P(text(value.about), className="hint")] if value.about else []
    tables = [table(t.head, t.rows) for t in value.tables]
    folded = [html.Details([html.Summary("The tables"), *tables])] if tables else []
    says = html.P(text(value.sentence), id={"part": "says", "key": key})
    if not value.spec:
        return html.Section([html.H2(text(value.title)), *about, says])
    graph = dcc.Graph(
        id={"part": "plot", "key": key}, config=CONFIG, className="plot", style=_size(value.style), responsive=True
    )
    # what is drawn is made in the browser, which knows its colours and the place of the slider
    spec = dcc.Store(id={"part": "spec", "key": key}, data=stored(value))
    save = save_bar(key, value.title, ("svg", "png", "csv") if value.csv else ("svg", "png"))
    return html.Section([html.H2(text(value.title)), *about, says, graph, save, spec, *folded])


def stored(value: Picture) -> dict[str, Any]:
    """Return what the browser needs to draw and to save a figure."""
    return {"name": value.key, "spec": value.spec, "csv": value.csv, "size": value.size}


def save_bar(key: str, title: str, kinds: Sequence[str] = ("svg", "png", "csv")) -> Any:
    """Return the buttons that save a figure."""
    buttons: list[Any] = [html.Span("Save")]
    for kind in kinds:
        about: Any = {"data-save": kind, "data-plot": key, "aria-label": f"Save {text(title)} as {kind.upper()}"}
        buttons.append(html.Button(kind.upper(), **about))
    return html.Div(html.Div(buttons, className="save"), className="controls")


def _size(style: str) -> dict[str, str]:
    """Return the size that a page gives a figure as CSS."""
    pairs = re.findall(r"([a-z-]+): ([^;]+)", style)
    names = {"--height": "height", "max-width": "maxWidth", "aspect-ratio": "aspectRatio"}
    return {names[name]: value for name, value in pairs if name in names}


def part(value: Part, scope: str) -> list[Any]:
    """Return a part of a page: its sentences in a card, then a card for each figure."""
    says: list[Any] = []
    if value.sentences:
        says = [section(value.title, paragraphs(value.sentences))]
    elif value.title and value.pictures:
        says = [html.H2(text(value.title), className="part")]
    return [*says, *(picture(p, scope) for p in value.pictures)]


def summary(page: Page) -> list[Any]:
    """Return what happened: problems, the sentences and the tiles."""
    problems = (
        [section("Left out or damaged", paragraphs(page.problems), className="problems")] if page.problems else []
    )
    says = html.P(text(" ".join(page.summary)), className="summary")
    return [*problems, section(page.heading, [says, *([tiles(page.tiles)] if page.tiles else [])])]


def rest(page: Page) -> list[Any]:
    """Return what follows the figures: tables, stories, how to make it again, provenance, definitions."""
    pieces = [named_table(t) for t in page.tables]
    if page.stories:
        stories = [piece for name, story in page.stories for piece in (html.H3(text(name)), html.P(text(story)))]
        pieces.append(section("Run by run", stories))
    if page.remake:
        yaml = page.remake.get("yaml")
        remark = page.remake.get("remark")
        pieces.append(
            section(
                "Train it again",
                [
                    *([html.P(["Save these settings as ", html.Code("experiment.yaml"), ", then:"])] if yaml else []),
                    html.Pre(text(page.remake["command"]), className="command"),
                    *([html.P(text(remark))] if remark else []),
                    *([html.Details([html.Summary("experiment.yaml"), html.Pre(text(yaml))])] if yaml else []),
                ],
            )
        )
    if page.provenance:
        pieces.append(section("Provenance", [pairs(page.provenance)]))
    if page.notes:
        pieces.append(section("Definitions", [html.Ul([html.Li(text(n)) for n in page.notes], className="notes")]))
    return pieces


def refusal(sentence: str) -> Any:
    """Return the sentence that says why something cannot be shown or done."""
    return html.P(text(sentence[0].upper() + sentence[1:]), className="refusal", role="alert")
