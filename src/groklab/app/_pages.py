"""The pages of the dashboard: what is on each when it opens."""

from __future__ import annotations

import datetime
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html

from groklab.app import _form as form
from groklab.app._components import (
    DECORATION,
    go,
    link,
    pairs,
    paragraphs,
    refusal,
    save_bar,
    section,
    state,
    table,
    text,
)
from groklab.app._library import LIVE, Library
from groklab.errors import InputError, check_choice
from groklab.experiment import PRESETS
from groklab.report import MARKS
from groklab.reproduction import (
    COUNTED,
    KIND_HEADINGS,
    KINDS,
    PAPERS,
    SIZES,
    ClaimResult,
    Verdict,
    bar_rows,
    label,
    overview,
    results,
)
from groklab.text import duration, percents, steps_of

#: Rows of a list on one page.
ROWS = 100
#: Milliseconds between two looks at what changes: at the dates of a few files, or at all that there is.
LOOK, SLOW_LOOK = 200, 700
#: Columns of the list of runs: key of a summary, heading.
RUN_COLUMNS = (
    ("run", "run"),
    ("task", "task"),
    ("status", "state"),
    ("steps", "step"),
    ("members", "members"),
    ("memorised_step", "memorised"),
    ("grokked_step", "generalised"),
    ("test_accuracy", "test accuracy"),
    ("changed", "changed"),
)
SWEEP_COLUMNS = (
    ("sweep", "sweep"),
    ("status", "state"),
    ("members", "members"),
    ("finished", "finished"),
    ("keys", "settings"),
    ("steps", "steps"),
    ("seconds", "time"),
    ("changed", "changed"),
)
#: Settings that the form shows at once; others are folded away.
OPEN = ("task", "split", "optimiser", "budget")
#: What the form says of the number of seeds.
MEMBERS = "members of one ensemble, with consecutive seeds"
Query = Mapping[str, Sequence[str]]


def first(query: Query, key: str, otherwise: str = "") -> str:
    """Return the first value of a setting of an address."""
    return next(iter(query.get(key, ())), otherwise)


def header(title: str, kind: str, *more: Any) -> Any:
    """Return the heading of a page."""
    return html.Header([html.P(kind, className="kind"), html.H1(text(title), id="title"), *more])


def watch(tick: str, kind: str, *names: str, every: int = LOOK) -> list[Any]:
    """Return what lets the browser look for changes of what a page shows, and then ask for its content.

    Args:
        tick: the `id` of what the callback of the page waits for.
        kind: 'run', 'sweep', or a list: 'runs' or 'sweeps'.
        names: addresses of runs, or the name of a sweep.
        every: milliseconds between two looks.
    """
    about: Any = {"data-of": urlencode({"kind": kind, "of": names}, doseq=True), "data-tick": tick, "data-every": every}
    return [html.Div(id="watch", hidden=True, **about), dcc.Store(id=tick)]


# -- lists ---------------------------------------------------------------------------------------------------------


def list_page(kind: str, query: Query) -> list[Any]:
    """Return the page of all runs or of all sweeps; its rows come with the first tick."""
    names = {"runs": "Runs", "sweeps": "Sweeps"}
    return [
        header(names[kind], "All of this folder"),
        html.Div(
            [
                dcc.Input(
                    id="filter",
                    value=first(query, "q"),
                    type="search",
                    placeholder="filter, such as demo finished",
                    debounce=0.25,
                    autoComplete="off",
                ),
                html.Span(id="count", className="hint", role="status"),
            ],
            className="bar",
        ),
        html.Div(id="picked"),
        html.Div(id="rows"),
        dcc.Store(id="list-seen"),
        dcc.Store(id="list-of", data={"kind": kind, "query": {k: list(v) for k, v in query.items()}}),
        *watch("list-tick", kind, every=SLOW_LOOK),
    ]


def list_rows(kind: str, rows: Sequence[dict[str, Any]], query: Query, words: str) -> tuple[Any, str]:
    """Return the rows of a list that are asked for, and how many there are."""
    columns: tuple[tuple[str, str], ...] = RUN_COLUMNS if kind == "runs" else SWEEP_COLUMNS
    # no column for what no summary has
    columns = tuple(c for c in columns if c[0] in ("changed", "status") or any(c[0] in row for row in rows))
    sort, falling = first(query, "sort", "changed"), first(query, "desc", "1") == "1"
    kept = [row for row in rows if matches(row, words)]
    kept.sort(key=lambda row: sort_key(row.get(sort)), reverse=falling)
    pages = max(1, math.ceil(len(kept) / ROWS))
    number = min(max(integer(first(query, "page"), 1), 1), pages)
    picked = list(query.get("pick", ()))
    base: dict[str, Any] = {"q": words, "pick": picked}
    head: list[Any] = [html.Span("compare", className="hidden")] if kind == "runs" else []
    for key, name in columns:
        # from the most, but of names from a
        other = not falling if key == sort else key not in ("run", "sweep", "task")
        mark = (" ↓" if falling else " ↑") if key == sort else ""
        head.append(go(name + mark, link(f"/{kind}", **base, sort=key, desc=str(int(other)))))
    body = [
        [
            *([_pick(row["run"], picked, {**base, "sort": sort, "desc": str(int(falling))})] if kind == "runs" else []),
            *(cell(kind, key, row) for key, _ in columns),
        ]
        for row in kept[(number - 1) * ROWS : number * ROWS]
    ]
    what = kind if len(rows) != 1 else kind.removesuffix("s")
    count = f"{len(kept):,} of {len(rows):,} {what}" if words else f"{len(rows):,} {what}"
    settings = {**base, "sort": sort, "desc": str(int(falling))}
    turn = []
    if pages > 1:
        turn = [
            go("← before", link(f"/{kind}", **settings, page=number - 1)) if number > 1 else "",
            html.Span(f"page {number:,} of {pages:,}"),
            go("next →", link(f"/{kind}", **settings, page=number + 1)) if number < pages else "",
        ]
    if not rows:
        what = "run" if kind == "runs" else "sweep"
        return html.Section([html.P(f"There is no {what} in this folder yet."), go("Start one", "/start")]), count
    if not kept:
        return html.Section(html.P("Nothing fits this filter.")), count
    return html.Section([table(head, body, className=f"list {kind}"), html.Nav(turn, className="turn")]), count


def matches(row: Mapping[str, Any], words: str) -> bool:
    """Return whether all words of a filter are in a row's name, state, task or tags."""
    parts = [row.get(key) for key in ("run", "sweep", "status", "task")] + list(row.get("tags", ()))
    hay = " ".join(str(part) for part in [*parts, *row.get("keys", ())] if part).lower()
    return all(word in hay for word in words.lower().split())


def sort_key(value: Any) -> tuple[int, Any]:
    """Return what puts rows in order: none first, then numbers, then texts; of an ensemble the middle member."""
    if isinstance(value, list):
        known = sorted(v for v in value if isinstance(v, int | float))
        value = known[len(known) // 2] if known else None
    if isinstance(value, Mapping):
        value = " ".join(value)
    if value is None:
        return (0, 0)
    return (1, value) if isinstance(value, int | float) else (2, str(value).lower())


def _pick(name: str, picked: list[str], settings: Mapping[str, Any]) -> Any:
    chosen = name in picked
    rest = [p for p in picked if p != name] if chosen else [*picked, name]
    title = f"{'Leave out' if chosen else 'Compare'} {name}"
    return go("☑" if chosen else "☐", link("/runs", **{**settings, "pick": rest}), title=text(title), className="pick")


def picked_bar(picked: Sequence[str]) -> Any:
    """Return the bar that leads from the runs that are chosen to the page that compares them."""
    if not picked:
        return None
    names = ", ".join(picked)
    compare = go(f"Compare {len(picked)} runs", link("/compare", run=list(picked)), className="button")
    more = compare if len(picked) > 1 else html.Span("choose another run to compare", className="hint")
    return html.Div([html.Span(text(names)), more, go("clear", "/runs")], className="picked")


def cell(kind: str, key: str, row: Mapping[str, Any]) -> Any:
    """Return a cell of a list."""
    value = row.get(key)
    if key == "run":
        tags = [html.Span(text(tag), className="tag") for tag in row.get("tags", ())]
        return html.Span([go(str(value), link("/run", str(value))), *tags])
    if key == "sweep":
        return go(str(value), link("/sweep", str(value)))
    if key == "status":
        return state(str(value))
    if key == "changed":
        return when(value)
    if key == "keys":
        return ", ".join(f"{name} ({len(values)})" for name, values in (value or {}).items())
    if key == "seconds":
        return duration(value) if value is not None else "–"
    if key == "test_accuracy":
        return percents(value)
    return str(value) if isinstance(value, str) else steps_of(value)


def when(moment: float | None) -> str:
    """Return a moment as a date and a time of this machine."""
    return "–" if moment is None else datetime.datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")


def integer(value: str, otherwise: int) -> int:
    """Return the number that a text is, if it is one of nine digits at most."""
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else otherwise


# -- runs ----------------------------------------------------------------------------------------------------------


def run_page(name: str, address: str, step: str, part_of: tuple[str, str] | None = None) -> list[Any]:
    """Return the page of a run; what is on it comes with the first tick, its analysis later."""
    above = [html.P(go(part_of[0], part_of[1]), className="part-of")] if part_of else []
    return [
        header(name, "Run", *above),
        html.Div(id="head", className="bar"),
        html.Div(id="notice"),
        html.Div(html.P("Reading the run …", className="hint"), id="overview"),
        html.Div(id="analysis"),
        dcc.Store(id="run-of", data={"address": address, "step": integer(step, 1) if step else None}),
        dcc.Store(id="run-seen"),
        dcc.Store(id="want"),
        *watch("run-tick", "run", address),
    ]


def run_head(address: str, status: str, trained: bool, ensemble: int, job: bool) -> list[Any]:
    """Return the state of a run, and what can be done with it."""
    own = "#" not in address
    buttons: list[Any] = []
    if own and (status in LIVE or job):
        buttons.append(html.Button("Stop", id="stop", title="Save it, and stop training"))
    elif own and status in ("interrupted", "created"):
        buttons.append(html.Button("Resume", id="resume", className="main"))
    if own:
        buttons.append(go("Choose runs to compare", link("/runs", pick=[address]), className="button"))
    if trained:
        buttons.append(html.A("As one file", href=link("/page", run=address), className="button", target="_blank"))
    members = []
    if own and ensemble > 1:
        links = [go(str(i), link("/run", f"{address}#{i}")) for i in range(min(ensemble, 50))]
        members = [html.Span(["members ", *(piece for one in links for piece in (one, " "))], className="members")]
    return [state("starting" if job and status not in LIVE else status), *buttons, *members]


# -- sweeps --------------------------------------------------------------------------------------------------------


def sweep_page(name: str, query: Query) -> list[Any]:
    """Return the page of a sweep; what is on it comes with the first tick."""
    settings = {key: first(query, key) for key in ("x", "y", "slice", "cell")}
    return [
        header(name, "Sweep"),
        html.Div(id="sweep-head", className="bar"),
        html.Div(id="notice"),
        html.Div(id="sweep-summary"),
        html.Section(
            [
                html.H2("Learning phases", id="map-title"),
                html.Div(id="axes", className="bar"),
                html.P(id="map-says"),
                html.Div(
                    dcc.Graph(
                        id={"part": "plot", "key": "map"},
                        config={"displayModeBar": False, "responsive": True},
                        className="plot map",
                        responsive=True,
                    )
                ),
                save_bar("map", "Learning phases"),
                html.P("Click a cell, or choose one in the list below, for its runs.", className="hint"),
                dcc.Store(id={"part": "spec", "key": "map"}),
            ]
        ),
        html.Div(id="cell"),
        html.Div(id="cells"),
        dcc.Store(id="sweep-of", data={"name": name, **settings}),
        dcc.Store(id="sweep-seen"),
        *watch("sweep-tick", "sweep", name),
    ]


# -- papers --------------------------------------------------------------------------------------------------------


def papers_page(library: Library) -> list[Any]:
    """Return the list of papers with the verdicts on their claims."""
    rows, about = [], ("seeds", "time", "measured")
    for one in overview(home=library.home):
        tallies = [_tally(one.tallies[kind]) for kind in KINDS]
        name = go(one.paper, link("/papers", one.paper))
        rows.append([name, one.size, *tallies, *(one.texts[heading] for heading in about)])
    head = ["paper", "size", *COUNTED.values(), *about]
    return [
        header("Papers", "Claims, and how they fared here"),
        html.Section(table(head, rows, className="list papers")),
    ]


def _tally(tally: Mapping[Verdict, int]) -> Any:
    counts = [html.Span([f"{n} ", verdict_mark(v)], className="count") for v, n in tally.items() if n]
    return html.Span([piece for count in counts for piece in (count, " ")]) if counts else "–"


def verdict_mark(verdict: str) -> Any:
    """Return a verdict with its mark."""
    mark = html.Span(MARKS[verdict], **DECORATION)
    return html.Span([mark, f" {verdict}"], className=f"badge {verdict.replace(' ', '-')}")


def paper_page(library: Library, name: str) -> list[Any]:
    """Return a paper's claims with their verdicts, at each size."""
    check_choice("paper", name, PAPERS)
    outcome = [results(name, size, home=library.home) for size in SIZES]
    parts: list[Any] = []
    for kind in KINDS:
        groups = [sides for sides in zip(*(o.claims for o in outcome), strict=True) if sides[0].claim.kind == kind]
        if groups:
            parts += [html.H2(KIND_HEADINGS[kind], className="kind"), *(_claim(sides) for sides in groups)]
    above = html.P(go("All papers", "/papers"), className="part-of")
    return [header(PAPERS[name].title, "Paper", above), *parts]


def _claim(sides: Sequence[ClaimResult]) -> Any:
    """Return a claim with its bars, quick beside full, and what each size adds."""
    claim = sides[0].claim
    about = [("source", claim.source), ("expected", claim.expected), ("control", claim.control)]
    about += [("counter-evidence", claim.counter)]
    measured = [bool(side.records) for side in sides]
    rows = [row.cells(measured) for row in bar_rows([side.judged for side in sides])]
    sizes = [side.size for side in sides if side.records]
    head = ["quantity", "bar", *(h for size in sizes for h in (size, f"{size}, control")), "origin of the bar"]
    bars = [table(head, rows, className="bars")] if rows else []
    named = {j.bar.value for side in sides for j in side.judged}
    return section(
        claim.claim,
        [pairs([(key, words) for key, words in about if words]), *bars, *(p for s in sides for p in _side(s, named))],
        id=f"claim-{claim.id}",
    )


def _side(one: ClaimResult, barred: Collection[str]) -> list[Any]:
    """Return what one size of a claim adds to the table of its bars."""
    if one.command is None:
        return []
    others = [[label(name), spread.text] for name, spread in one.measured.items() if name not in barred]
    outcomes = [f"seed {r.seed}: {r.sentence}" for r in one.records]
    return [
        html.H3([f"{one.size} ", verdict_mark(one.verdict)]),
        html.P(text(one.note[0].upper() + one.note[1:] + "."), className="hint"),
        *([html.Details([html.Summary("Also measured"), table(["measured", "value"], others)])] if others else []),
        *([html.Details([html.Summary("In words"), *paragraphs(outcomes)])] if outcomes else []),
        html.Pre(text(one.command), className="command"),
    ]


# -- starting ------------------------------------------------------------------------------------------------------


def start_page(query: Query) -> list[Any]:
    """Return the form for an experiment."""
    name = first(query, "preset", "demo")
    settings = {key: first(query, key) for key in query if key not in ("preset", "seeds")}
    try:
        experiment, problem = form.base(name, settings), ""
    except InputError as error:
        known = name in PRESETS
        # what is right of the settings stays: the kinds, from which the form is made
        name = name if known else "demo"
        experiment, problem = form.base(name, {}), str(error)
    about = PRESETS[name]
    groups = []
    for title, fields in form.sections(experiment).items():
        inputs = [_input(field, settings.get(field.name)) for field in fields]
        grid = html.Div(inputs, className="fields")
        groups.append(html.Details([html.Summary(title), grid], open=title in OPEN, className="group"))
    names = [{"label": n, "value": n} for n in sorted(PRESETS)]
    seeds = dcc.Input(id="seeds", value=first(query, "seeds", "1"), inputMode="numeric", autoComplete="off")
    return [
        header("New run", "An experiment, from a preset"),
        html.Section(
            [
                html.Label(["preset ", dcc.Dropdown(names, name, id="preset", clearable=False)], className="wide"),
                html.P(text(about.shows)),
                pairs([("costs", about.costs), ("expect", about.expect), ("source", about.source)]),
            ]
        ),
        html.Section(
            [
                *groups,
                html.Label(["seeds ", seeds, html.Span(MEMBERS, className="hint")], className="field"),
            ],
            id="form",
        ),
        html.Section(
            [
                html.Div(refusal(problem) if problem else None, id="problem"),
                html.Div(
                    [
                        html.Button("Start", id="start", className="main", disabled=bool(problem)),
                        html.Span("or, from the command line:", className="hint"),
                        html.Pre(id="command", className="command"),
                    ],
                    className="bar",
                ),
                html.Div(id="notice"),
            ],
            className="go",
        ),
        dcc.Store(id="form-of", data={"preset": name}),
        dcc.Store(id="form-link"),
    ]


def _input(field: form.Field, given: str | None) -> Any:
    value = field.value if given is None else given
    key = {"setting": field.name}
    widget: Any
    if field.choices:
        choices = [{"label": c, "value": c} for c in dict.fromkeys((*field.choices, value)) if c]
        widget = dcc.Dropdown(choices, value, id=key, clearable=False, searchable=len(choices) > 8)
    else:
        widget = dcc.Input(id=key, value=value, debounce=0.3, autoComplete="off", spellCheck="false")
    hint = [html.Span(field.hint, className="hint")] if field.hint else []
    help = [html.Span(text(field.help), className="help")] if field.help else []
    name = field.name.rpartition(".")[2]
    return html.Label([html.Span(text(name), className="name"), widget, *hint, *help], className="field")


def command_of(arguments: Sequence[str]) -> str:
    """Return the words of a command as a shell reads them."""
    return shlex.join(["groklab", *arguments])


# -- nothing -------------------------------------------------------------------------------------------------------


def missing_page(sentence: str) -> list[Any]:
    """Return the page of what is not there."""
    return [header("Not here", "groklab"), html.Section([refusal(sentence), go("All runs", "/runs")])]
