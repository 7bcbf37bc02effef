"""Which part of the dashboard's pages asks for which answer, and when: callbacks of Dash."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, no_update

from groklab.app._components import refusal
from groklab.errors import InputError

if TYPE_CHECKING:
    from groklab.app._answers import Answers

#: While the content of a page is on its way, the browser asks for no newer one, which would make it drop this one.
BUSY: Any = [(Output("watch", "data-busy"), "yes", "no")]


def register(app: Dash, answers: Answers) -> None:
    """Register the callbacks of all pages."""
    app.callback(Output("main", "children"), Input("url", "pathname"), Input("url", "search"))(answers.page)
    _list(app, answers)
    _run(app, answers)
    _sweep(app, answers)
    _work(app, answers)
    _form(app, answers)
    _figures(app)
    _address(app)


def _list(app: Dash, answers: Answers) -> None:
    """Register what the lists of runs and of sweeps ask for."""
    app.callback(
        Output("rows", "children"),
        Output("count", "children"),
        Output("picked", "children"),
        Output("list-seen", "data"),
        Input("list-tick", "data"),
        Input("filter", "value"),
        State("list-of", "data"),
        State("list-seen", "data"),
        running=BUSY,
    )(answers.rows)


def _run(app: Dash, answers: Answers) -> None:
    """Register what the pages of one run and of several ask for."""
    app.callback(
        Output("head", "children"),
        Output("overview", "children"),
        Output("want", "data"),
        Output("run-seen", "data"),
        Input("run-tick", "data"),
        State("run-of", "data"),
        State("run-seen", "data"),
        State("want", "data"),
        running=BUSY,
    )(answers.run)
    app.callback(Output("analysis", "children"), Input("want", "data"), State("run-of", "data"))(answers.analysis)
    app.callback(Output("want", "data", allow_duplicate=True), Input("now", "n_clicks"), prevent_initial_call=True)(
        lambda clicks: {"now": clicks} if clicks else no_update
    )
    app.callback(
        Output("compared", "children"),
        Output("compare-seen", "data"),
        Input("compare-tick", "data"),
        State("compare-of", "data"),
        State("compare-seen", "data"),
        running=BUSY,
    )(answers.comparison)


def _sweep(app: Dash, answers: Answers) -> None:
    """Register what the page of a sweep asks for."""
    app.callback(
        Output("sweep-head", "children"),
        Output("sweep-summary", "children"),
        Output("axes", "children"),
        Output("map-says", "children"),
        Output({"part": "spec", "key": "map"}, "data"),
        Output("cells", "children"),
        Output("sweep-seen", "data"),
        Input("sweep-tick", "data"),
        State("sweep-of", "data"),
        State("sweep-seen", "data"),
        running=BUSY,
    )(answers.sweep)
    app.callback(
        Output("cell", "children"),
        Output("url", "href"),
        Input({"part": "plot", "key": "map"}, "clickData"),
        State("sweep-of", "data"),
    )(answers.cell)
    app.callback(
        Output("url", "href", allow_duplicate=True),
        Input({"axis": ALL}, "value"),
        State("sweep-of", "data"),
        prevent_initial_call=True,
    )(answers.turn)


def _work(app: Dash, answers: Answers) -> None:
    """Register what stops and resumes training."""
    for button, act in (("stop", answers.stop), ("resume", answers.resume)):
        app.callback(
            Output("notice", "children", allow_duplicate=True),
            Input(button, "n_clicks"),
            State("url", "pathname"),
            prevent_initial_call=True,
        )(_refusing(act))


def _refusing(act: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callback that shows the sentence of a refusal."""

    @wraps(act)
    def answer(*arguments: Any) -> Any:
        try:
            return act(*arguments)
        except InputError as error:
            return refusal(str(error))

    return answer


def _form(app: Dash, answers: Answers) -> None:
    """Register what the form for an experiment asks for."""
    settings, preset = {"setting": ALL}, State("form-of", "data")
    # where the browser is led
    address = Output("url", "href", allow_duplicate=True)
    app.callback(
        Output("problem", "children"),
        Output("command", "children"),
        Output("start", "disabled"),
        Output("form-link", "data"),
        Input(settings, "value"),
        Input("seeds", "value"),
        preset,
    )(answers.check)
    app.callback(address, Input("preset", "value"), Input(settings, "value"), preset, prevent_initial_call=True)(
        answers.remake
    )
    app.callback(
        Output("notice", "children", allow_duplicate=True),
        address,
        Input("start", "n_clicks"),
        State(settings, "value"),
        State("seeds", "value"),
        preset,
        prevent_initial_call=True,
    )(answers.start)


def _script(name: str) -> ClientsideFunction:
    """Return a function of assets/app.js, which runs in the browser alone."""
    return ClientsideFunction("groklab", name)


def _figures(app: Any) -> None:
    """Register what draws figures, and moves them along the checkpoints."""
    app.clientside_callback(
        _script("draw"),
        Output({"part": "plot", "key": MATCH}, "figure"),
        Input({"part": "spec", "key": MATCH}, "data"),
        Input("step", "data"),
        Input("look", "data"),
        State("dark", "data"),
    )
    app.clientside_callback(
        _script("scrub"),
        Output("step", "data"),
        Output("scrub-says", "children"),
        Input("scrub", "value"),
        State("scrub-steps", "data"),
    )
    app.clientside_callback(
        _script("play"),
        Output("player", "disabled"),
        Output("play", "children"),
        Output("scrub", "value", allow_duplicate=True),
        Input("play", "n_clicks"),
        Input("player", "n_intervals"),
        State("player", "disabled"),
        State("scrub", "value"),
        State("scrub", "max"),
        prevent_initial_call=True,
    )


def _address(app: Any) -> None:
    """Register what keeps the address and the title those of what is seen."""
    app.clientside_callback(_script("keep"), Output("kept", "data"), Input("filter", "value"))
    app.clientside_callback(
        _script("address"),
        Output("kept", "data", allow_duplicate=True),
        Input("form-link", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        _script("named"),
        Output("kept", "data", allow_duplicate=True),
        Input("title", "children"),
        prevent_initial_call=True,
    )
