"""What the pages of the dashboard ask for while they are open: callbacks of Dash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import dash
from dash import dcc, html, no_update, set_props

from groklab.app import _form as form
from groklab.app import _pages as pages
from groklab.app._components import go, link, part, refusal, rest, section, state, stored, summary, table, text, tiles
from groklab.app._library import LIVE, Cache, Library, last_step, run_stamp, stamp_of
from groklab.app._work import Jobs
from groklab.errors import InputError, shorten
from groklab.figures import phase_diagram
from groklab.plugins import is_own
from groklab.registry import read_plugin
from groklab.report import Page, comparison_page, opening, overview_page, picture, render_page, run_page, sweep_command
from groklab.report import tiles as sweep_tiles
from groklab.store import Run
from groklab.sweeps import Member, Study, Sweep, phase_sentence, phase_summary, study, swept, verdict_sentence
from groklab.text import percent
from groklab.training import training

#: Pages that are kept.
KEPT = 12
#: Characters of an unexpected error that are shown.
MOST_OF_ERROR = 200
LOG = logging.getLogger(__name__)


class Answers:
    """The callbacks of one dashboard, and what they share.

    Args:
        library: what the folder holds.
        jobs: the processes that are started from here.
    """

    def __init__(self, library: Library, jobs: Jobs) -> None:
        self.library, self.jobs = library, jobs
        self._overviews: Cache[Page] = Cache(KEPT)
        self._analyses: Cache[Page] = Cache(KEPT)
        self._comparisons: Cache[Page] = Cache(KEPT)
        self._files: Cache[str] = Cache(4)
        self._logged: set[str] = set()

    def failed(self, error: Exception) -> None:
        """Show on the page why a callback has failed, such as of a run that was damaged or removed meanwhile."""
        set_props("failure", {"children": refusal(self.reason(error))})

    def reason(self, error: Exception) -> str:
        """Return a sentence on an error; one that nobody expects is logged, once however often a page asks."""
        if isinstance(error, InputError | OSError):
            return str(error) or type(error).__name__
        about = shorten(f"{type(error).__name__}: {error}", MOST_OF_ERROR)
        if about not in self._logged:
            self._logged.add(about)
            LOG.error("the dashboard has failed", exc_info=error)
        return f"this cannot be shown ({about})"

    # -- pages ------------------------------------------------------------------------------------------------------

    def page(self, path: str | None, search: str | None) -> list[Any]:
        """Return the page of an address."""
        set_props("failure", {"children": None})
        parts = [unquote(one) for one in (path or "/").split("/")[1:]]
        query = parse_qs((search or "").removeprefix("?"), keep_blank_values=True)
        try:
            return self._page(parts, query)
        except InputError as error:
            return pages.missing_page(str(error))

    def _page(self, parts: list[str], query: dict[str, list[str]]) -> list[Any]:
        match parts:
            case [""] | ["runs"]:
                return pages.list_page("runs", query)
            case ["sweeps"]:
                return pages.list_page("sweeps", query)
            case ["run", address]:
                if self.jobs.get(address) is None:
                    self.library.find(address)
                above = link("/run", address.rpartition("#")[0]) if "#" in address else ""
                part_of = (address.rpartition("#")[0], above) if above else None
                return pages.run_page(address, address, pages.first(query, "step"), part_of)
            case ["sweep", name]:
                self.library.sweep(name)
                return pages.sweep_page(name, query)
            case ["sweep", name, member]:
                address = f"sweeps/{name}#{member}"
                run = self.library.find(address)
                return pages.run_page(run.name, address, pages.first(query, "step"), (name, link("/sweep", name)))
            case ["compare"]:
                return self._compare_page(query.get("run", []))
            case ["papers"]:
                return pages.papers_page(self.library)
            case ["papers", name]:
                return pages.paper_page(self.library, name)
            case ["start"]:
                return pages.start_page(query)
        raise InputError("this page does not exist")

    def _compare_page(self, addresses: list[str]) -> list[Any]:
        if len(addresses) < 2:
            raise InputError("a comparison needs two runs or more; choose them in the list")
        for address in addresses:
            self.library.find(address)
        names = [go(a, link("/run", a)) for a in addresses]
        return [
            pages.header(f"{len(addresses)} runs beside each other", "Comparison"),
            html.Div([piece for name in names for piece in (name, " ")], className="bar"),
            html.Div(html.P("Reading the runs …", className="hint"), id="compared"),
            dcc.Store(id="compare-of", data=addresses),
            dcc.Store(id="compare-seen"),
            *pages.watch("compare-tick", "run", *addresses),
        ]

    def file(self, query: Mapping[str, list[str]]) -> str:
        """Return the page of a run, or of several, as one HTML file; raises InputError where there is none."""
        addresses = list(query.get("run", []))
        runs = [self.library.find(address) for address in addresses]
        if not runs:
            raise InputError("a page needs a run")
        stamp = tuple(run_stamp(run) for run in runs)
        return self._files.get(
            (*addresses, stamp),
            lambda: render_page(self._analysis(runs[0]) if len(runs) == 1 else comparison_page(runs)),
        )

    def changes(self, query: Mapping[str, list[str]]) -> str:
        """Return what differs once the page of runs, of a sweep or of a list does, at the cost of a look at files."""
        kind, names = pages.first(query, "kind"), query.get("of", [])
        if kind == "run":
            return _digest([self._run_now(name) for name in names])
        if kind == "sweep":
            return _digest([self._sweep_now(name) for name in names])
        return _digest(self.library.runs() if kind == "runs" else self.library.sweeps())

    def _run_now(self, address: str) -> tuple[Any, ...]:
        """Return what changes when a run does, or the process that was started for it."""
        job = self.jobs.get(address)
        work = job is not None and (job.running, job.refusal)
        try:
            run = self.library.find(address)
            return *run_stamp(run), run.status.state, work
        except (InputError, OSError) as error:
            return str(error), work

    def _sweep_now(self, name: str) -> tuple[Any, ...]:
        """Return what changes when a sweep does, its packs under way, or the process that was started for it."""
        job = self.jobs.get(f"sweeps/{name}")
        work = job is not None and (job.running, job.refusal)
        try:
            sweep = self.library.sweep(name)
            status = sweep.status
            stamp = stamp_of(sweep.path, "sweep.json", "table.parquet", "lock.json", "failures.json")
            packs = sweep.packs if status in LIVE or (job is not None and job.running) else []
            under_way = [n for pack in packs for n in stamp_of(pack.path, "metrics.parquet", "status.json")]
            return *stamp, *under_way, status, work
        except (InputError, OSError) as error:
            return str(error), work

    # -- lists ------------------------------------------------------------------------------------------------------

    def rows(self, tick: str | None, words: str | None, of: dict[str, Any], seen: Any) -> tuple[Any, ...]:
        """Return the rows of a list, where they have changed."""
        kind, query = of["kind"], of["query"]
        rows = self.library.runs() if kind == "runs" else self.library.sweeps()
        body, count = pages.list_rows(kind, rows, query, words or "")
        # what a list shows is what it is made of
        now = _digest([kind, query, words, rows])
        if now == seen:
            raise dash.exceptions.PreventUpdate
        return body, count, pages.picked_bar(query.get("pick", [])) if kind == "runs" else None, now

    # -- one run ----------------------------------------------------------------------------------------------------

    def run(self, tick: str | None, of: dict[str, Any], seen: Any, wanted: Any) -> tuple[Any, ...]:
        """Return what is known of a run, where it has changed, and whether its analysis is to be shown."""
        address = of["address"]
        job = self.jobs.get(address)
        stamp = _digest(self._run_now(address))
        if seen is not None and seen["stamp"] == stamp:
            raise dash.exceptions.PreventUpdate
        try:
            run = self.library.find(address)
            page, status = self._overview(run), run.status.state
        except (InputError, OSError) as error:
            if job is not None and job.running:
                starting = html.P("The process has been started, and prepares the run …", className="hint")
                return [state("starting")], starting, no_update, no_update
            if job is not None and job.refusal:
                return [state("failed")], refusal(job.refusal), no_update, no_update
            # it may have been damaged or removed while it was shown
            return [], refusal(self.reason(error)), no_update, None
        refused = job.refusal if job is not None else None
        if seen is not None and (refused or seen["status"] != status):
            # the run itself may be well, such as where another process trains it
            set_props("notice", {"children": refusal(refused) if refused else None})
        pictures = [p for one in page.parts for p in one.pictures]
        layout = [[p.key, bool(p.spec)] for p in pictures]
        live = status in LIVE or (job is not None and job.running)
        if live:
            # the status on disk is that of the last state, the metrics are ahead of it
            done = html.Span(f"step {last_step(run.path):,} of {run.recorded[0].budget.steps:,}", className="hint")
        head = pages.run_head(address, status, bool(run.checkpoints), run.n_members, job is not None and job.running)
        overview: Any = no_update
        if seen is None or seen["layout"] != layout or not live:
            overview = [*summary(page), *(piece for one in page.parts for piece in part(one, "now"))]
            overview = [html.Div(overview, id="overview-body")]
        else:
            for p in pictures:
                set_props({"part": "spec", "key": f"now-{p.key}"}, {"data": stored(p)})
                set_props({"part": "says", "key": f"now-{p.key}"}, {"children": text(p.sentence)})
        want: Any = no_update
        if seen is None or bool(seen["live"]) != live:
            want = {"live": live, "stamp": stamp}
        now = {"stamp": stamp, "layout": layout, "live": live, "status": status}
        return [*head, *([done] if live else [])], overview, want, now

    def _overview(self, run: Run) -> Page:
        return self._overviews.get((run.path, run.name, run_stamp(run)), lambda: overview_page(run))

    def _analysis(self, run: Run) -> Page:
        return self._analyses.get((run.path, run.name, run_stamp(run)), lambda: run_page(run))

    def analysis(self, want: dict[str, Any] | None, of: dict[str, Any]) -> Any:
        """Return the analysis of a run with its figures, and the slider that moves them."""
        if want is None:
            raise dash.exceptions.PreventUpdate
        if want.get("live"):
            button = html.Button("Take it apart as it is now", id="now")
            return section("What it computes", [html.P("The run is still training."), button])
        try:
            run = self.library.find(of["address"])
            page = self._analysis(run)
        except InputError as error:
            return refusal(str(error))
        shown = {p.key for one in self._overview(run).parts for p in one.pictures}
        kept = [dataclasses.replace(o, pictures=[p for p in o.pictures if p.key not in shown]) for o in page.parts]
        pieces = [piece for one in kept for piece in part(one, "all")]
        return [*scrubber(page.steps, of.get("step")), *pieces, *rest(page)]

    # -- several runs -----------------------------------------------------------------------------------------------

    def comparison(self, tick: str | None, addresses: list[str], seen: Any) -> tuple[Any, Any]:
        """Return runs beside each other, where one has changed."""
        try:
            runs = [self.library.find(address) for address in addresses]
            stamp = _digest([self._run_now(address) for address in addresses])
            if stamp == seen:
                raise dash.exceptions.PreventUpdate
            page = self._comparisons.get((*addresses, stamp), lambda: comparison_page(runs))
        except InputError as error:
            return refusal(str(error)), no_update
        pieces = [piece for one in page.parts for piece in part(one, "compare")]
        return [*summary(page), *scrubber(page.steps, None), *pieces, *rest(page)], stamp

    # -- sweeps -----------------------------------------------------------------------------------------------------

    def sweep(self, tick: str | None, of: dict[str, Any], seen: Any) -> tuple[Any, ...]:
        """Return what is known of a sweep, where it has changed: its overview, its map and its cells."""
        address = f"sweeps/{of['name']}"
        job = self.jobs.get(address)
        now = _digest(self._sweep_now(of["name"]))
        if now == seen:
            raise dash.exceptions.PreventUpdate
        if seen is not None and job is not None and job.refusal:
            set_props("notice", {"children": refusal(job.refusal)})
        try:
            sweep = self.library.sweep(of["name"])
            status = sweep.status
        except (InputError, OSError) as error:
            return [], refusal(self.reason(error)), *[no_update] * 4, None
        live = status in LIVE or (job is not None and job.running)
        buttons: list[Any] = [state("starting" if live and status not in LIVE else status)]
        if live:
            buttons.append(html.Button("Stop", id="stop", title="Save what is trained, and stop"))
        elif status == "interrupted":
            buttons.append(html.Button("Resume", id="resume", className="main"))
        overview = [section("What was swept", [tiles(sweep_tiles(sweep))])]
        try:
            result, part = self._study(sweep, of)
        except InputError as error:
            says = f"{sweep.n_members:,} members. {str(error)[0].upper()}{str(error)[1:]}."
            return buttons, overview, None, text(says), None, None, now
        says = f"{opening(result, sweep)}"
        overview = [section("What was swept", [html.P(text(says), className="summary"), tiles(sweep_tiles(sweep))])]
        slice_ = result.slices[part]
        figure = picture("map", "", "", phase_diagram(result.frame(part), result.axes.x, result.axes.y))
        set_props({"part": "plot", "key": "map"}, {"style": _map_size(figure.style)})
        axes = self._axes(result, sweep, of)
        return (
            buttons,
            overview,
            axes,
            text(phase_summary(result, slice_)),
            stored(figure),
            self._cells(result, part, sweep),
            now,
        )

    def _study(self, sweep: Sweep, of: Mapping[str, Any]) -> tuple[Study, int]:
        result = study(sweep, x=of.get("x") or None, y=of.get("y") or None)
        place = pages.integer(of.get("slice") or "0", 0)
        return result, min(place, len(result.slices) - 1)

    def _axes(self, result: Study, sweep: Sweep, of: Mapping[str, Any]) -> Any:
        keys, chosen = list(swept(sweep.keys)), []
        if len(keys) > 1:
            for axis, value in (("x", result.axes.x), ("y", result.axes.y)):
                others = [{"label": k, "value": k} for k in keys]
                menu = dcc.Dropdown(others, value, id={"axis": axis}, clearable=False, searchable=False)
                chosen.append(html.Label([f"{axis} ", menu]))
        if len(result.slices) > 1:
            names = [{"label": result.slice_name(i), "value": str(i)} for i in range(len(result.slices))]
            menu = dcc.Dropdown(names, of.get("slice") or "0", id={"axis": "slice"}, clearable=False)
            chosen.append(html.Label(["at ", menu], className="wide"))
        return chosen

    def _cells(self, result: Study, part: int, sweep: Sweep) -> Any:
        axes = result.axes
        rows = []
        for cell in result.slices[part].cells:
            values = axes.values(cell, {})
            runs = html.Span([piece for m in cell.members for piece in (_member(m, sweep), " ")])
            rows.append([*(str(v) for v in values.values()), phase_sentence(cell), verdict_sentence(cell), runs])
        if not rows:
            return None
        head = [*axes.values(result.slices[part].cells[0], {}), "phase (Liu et al. 2022)", "verdict", "runs"]
        return section("Every cell", [table(head, rows, className="list")])

    def cell(self, click: dict[str, Any] | None, of: dict[str, Any]) -> tuple[Any, Any]:
        """Return the runs of the cell that was clicked; of a single run, lead to it."""
        if not click or not click.get("points"):
            raise dash.exceptions.PreventUpdate
        point = click["points"][0]
        try:
            sweep = self.library.sweep(of["name"])
            result, part = self._study(sweep, of)
        except InputError as error:
            return refusal(str(error)), no_update
        at = (point.get("x"), point.get("y"))
        cell = next((c for c in result.slices[part].cells if (c.column, c.row) == at), None)
        if cell is None:
            raise dash.exceptions.PreventUpdate
        if len(cell.members) == 1 and cell.members[0].has_page:
            return no_update, link("/sweep", sweep.name, str(cell.members[0].number))
        values = ", ".join(f"{key} = {value}" for key, value in result.axes.values(cell, {}).items())
        rows = [
            [
                _member(m, sweep),
                m.outcome,
                "–" if m.steps is None else f"{m.steps:,}",
                percent(m.train_accuracy),
                percent(m.test_accuracy),
            ]
            for m in cell.members
        ]
        says = [html.P(text(phase_sentence(cell))), html.P(text(verdict_sentence(cell)))]
        head = ["run", "outcome", "steps", "training accuracy", "test accuracy"]
        return section(values, [*says, table(head, rows)]), no_update

    def turn(self, values: list[Any], of: dict[str, Any]) -> Any:
        """Lead to the same sweep with other axes; an axis that takes the other's setting gives it its own."""
        given = {item["id"]["axis"]: item["value"] for item in dash.callback_context.inputs_list[0]}
        axes = self._study(self.library.sweep(of["name"]), of)[0].axes
        now = {"x": axes.x, "y": axes.y, "slice": of.get("slice") or "0"}
        chosen = {**now, **given}
        if chosen == now:
            raise dash.exceptions.PreventUpdate
        if chosen["x"] == chosen["y"]:
            chosen |= {"x": axes.y, "y": axes.x}
        turned = (chosen["x"], chosen["y"]) != (axes.x, axes.y)
        slice_ = None if turned else chosen["slice"]
        return link("/sweep", of["name"], x=chosen["x"], y=chosen["y"], slice=slice_)

    # -- work -------------------------------------------------------------------------------------------------------

    def stop(self, clicks: int | None, path: str) -> Any:
        """Ask the process that trains a run or sweep to save it and end."""
        if not clicks:
            raise dash.exceptions.PreventUpdate
        kind, name = _target(path)
        if kind == "sweep":
            self.jobs.stop(f"sweeps/{name}", self.library.sweep(name).path)
        else:
            self.jobs.stop(name, self.library.home / name if self.jobs.get(name) else self.library.run(name).path)
        return html.P("It was asked to save and stop.", className="hint", role="status")

    def resume(self, clicks: int | None, path: str) -> Any:
        """Go on with a run or sweep that was interrupted, in a process of its own."""
        if not clicks:
            raise dash.exceptions.PreventUpdate
        kind, name = _target(path)
        if kind == "sweep":
            sweep = self.library.sweep(name)
            _check_plugins(sweep)
            command, yaml = sweep_command(sweep)
            words = shlex.split(command)[1:]
            if yaml:
                folder = Path(tempfile.mkdtemp(prefix="groklab-"))
                (folder / "experiment.yaml").write_text(yaml, encoding="utf-8")
                words[1] = str(folder / "experiment.yaml")
            self.jobs.start(f"sweeps/{name}", [*words, "--quiet"])
        else:
            self.library.run(name)
            # the name of a folder may look like an option
            self.jobs.start(name, ["resume", "--quiet", "--", name])
        return html.P("It goes on.", className="hint", role="status")

    def _form(self, of: dict[str, Any], seeds: Any) -> tuple[dict[str, str], int]:
        """Return what a form changes of its preset, and how many members are asked for."""
        given = next(group for group in _groups() if group and "setting" in group[0]["id"])
        values = {item["id"]["setting"]: str(item.get("value") or "") for item in given}
        return form.changes(of["preset"], values), pages.integer(str(seeds or "").strip(), 0)

    def check(self, values: list[Any], seeds: Any, of: dict[str, Any]) -> tuple[Any, str, bool, Any]:
        """Return what is wrong with a form, the command that it stands for, and its address."""
        try:
            changed, number = self._form(of, seeds)
            words = form.arguments(of["preset"], changed, number)
        except InputError as error:
            return refusal(str(error)), "", True, no_update
        address = link("/start", preset=of["preset"], **changed, seeds=number if number > 1 else None)
        try:
            form.base(of["preset"], changed)
        except InputError as error:
            return refusal(str(error)), pages.command_of(words), True, address
        return None, pages.command_of(words), False, address

    def remake(self, name: str, values: list[Any], of: dict[str, Any]) -> Any:
        """Lead to the form of another preset, or with the settings of another kind."""
        triggered = dash.callback_context.triggered_id
        if triggered == "preset" and name != of["preset"]:
            return link("/start", preset=name)
        if isinstance(triggered, dict) and triggered["setting"].endswith(".kind"):
            given = next(group for group in _groups() if group and "setting" in group[0]["id"])
            values_by_name = {item["id"]["setting"]: item["value"] for item in given}
            family = triggered["setting"].split(".")[0]
            # the settings of another kind are not those of this one
            kept = {
                k: v or ""
                for k, v in values_by_name.items()
                if k == triggered["setting"] or not (k.startswith(f"{family}.") or family == "learner")
            }
            return link("/start", preset=of["preset"], **form.changes(of["preset"], kept))
        raise dash.exceptions.PreventUpdate

    def start(self, clicks: int | None, values: list[Any], seeds: Any, of: dict[str, Any]) -> tuple[Any, Any]:
        """Start training in a process of its own, and lead to the page of its run."""
        if not clicks:
            raise dash.exceptions.PreventUpdate
        try:
            changed, number = self._form(of, seeds)
            experiment = form.base(of["preset"], changed)
            name = training.run_name(training.members_of(experiment, number if number > 1 else None))
            self.jobs.start(name, [*form.arguments(of["preset"], changed, number), "--quiet"])
        except InputError as error:
            return refusal(str(error)), no_update
        return no_update, link("/run", name)


def _digest(value: Any) -> str:
    """Return a text that differs where plain values do."""
    return hashlib.sha256(json.dumps(value, default=str, sort_keys=True).encode()).hexdigest()[:16]


def scrubber(steps: list[int], step: int | None) -> list[Any]:
    """Return the slider over the checkpoints that moves all figures; it begins at the last, or at a given step."""
    if len(steps) < 2:
        return []
    place = len(steps) - 1 if step is None else max((i for i, s in enumerate(steps) if s <= step), default=0)
    return [
        html.Div(
            [
                html.Button("Play", id="play"),
                html.Label("Checkpoint", htmlFor="scrub"),
                dcc.Input(id="scrub", type="range", min=0, max=len(steps) - 1, step=1, value=place, debounce=False),
                html.Span(f"step {steps[place]:,}", id="scrub-says", role="status"),
                dcc.Store(id="scrub-steps", data=steps),
                dcc.Interval(id="player", interval=250, disabled=True),
            ],
            className="scrubber",
        )
    ]


def _check_plugins(sweep: Sweep) -> None:
    """Raise InputError where a sweep, which may be another's, needs code that the user has not named.

    The command that continues it names that code, and so would run it.
    """
    if any(key.split(".")[0] == "plugins" for key in sweep.keys):
        raise InputError(f"{sweep.name} varies its plug-ins; resume it from the command line")
    for path in sweep.recorded(0).plugins:
        if not is_own(read_plugin(path).sha256):
            raise InputError(f"{sweep.name} needs the code of {path}, which you have not named with --plugin")


def _member(member: Member, sweep: Sweep) -> Any:
    """Return a member's seed, which leads to its page where it has one."""
    seed = f"seed {member.seed}"
    return go(seed, link("/sweep", sweep.name, str(member.number))) if member.has_page else seed


def _target(path: str) -> tuple[str, str]:
    """Return 'run' or 'sweep', and the name, of an address."""
    parts = [unquote(one) for one in path.split("/")[1:]]
    if len(parts) != 2 or parts[0] not in ("run", "sweep"):
        raise InputError("this is not the page of a run or sweep")
    return parts[0], parts[1]


def _groups() -> list[Any]:
    context = dash.callback_context
    return [g for g in [*context.inputs_list, *context.states_list] if isinstance(g, list)]


def _map_size(style: str) -> dict[str, str]:
    return {"height": style.removeprefix("--height: ")} if style.startswith("--height") else {}
