"""The server of the dashboard: Dash behind its guard, on one address of this machine."""

from __future__ import annotations

import contextlib
import errno
import io
import threading
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import flask
from dash import Dash, dcc, html
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from groklab.app._answers import Answers
from groklab.app._callbacks import register
from groklab.app._components import go, text
from groklab.app._guard import PAGE_POLICY, REFUSED, Guard, names_of
from groklab.app._library import Library
from groklab.app._work import Jobs
from groklab.errors import InputError
from groklab.figures import DARK
from groklab.lazy import jax
from groklab.report import overview_page, read_file

#: The page around all pages; it loads nothing but what this server has.
INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<link rel="stylesheet" href="/verdicts.css">
{%css%}
<script src="/saving.js"></script>
<script src="/figures.js"></script>
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


#: Files of `report` that the dashboard loads, too.
SHARED = {
    "page.css": "text/css",
    "verdicts.css": "text/css",
    "saving.js": "text/javascript",
    "figures.js": "text/javascript",
}
#: What the page says once its server has gone.
LOST = "The dashboard does not answer. Start `groklab app` again, and open the link that it prints."


class Dashboard:
    """The dashboard of a folder, ready to serve.

    Args:
        home: the folder of runs.
        host: the address to listen on.
        port: 0 takes any that is free.

    Attributes:
        jobs: the processes that were started from it.
        link: the address with the token.

    Raises:
        InputError: where the port is taken, or the address is not one of this machine.
    """

    def __init__(self, home: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.library, self.jobs = Library(home), Jobs(home)
        self.answers = Answers(self.library, self.jobs)
        app = _dash(self.answers, home)
        self.guard = Guard(app.server, names_of(host), app.csp_hashes())
        self._server = _bind(host, port, self.guard)
        self.port = self._server.server_port
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        self.link = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/?token={self.guard.token}"

    def serve(self) -> None:
        """Answer requests until `close`, or KeyboardInterrupt."""
        threading.Thread(target=self._prepare, daemon=True).start()
        self._server.serve_forever(poll_interval=0.2)

    def _prepare(self) -> None:
        """Load what the first page of a run would wait for."""
        with contextlib.suppress(InputError, OSError):
            newest = next(reversed([row["run"] for row in self.library.runs() if row["status"] != "damaged"]), None)
            if newest is not None:
                overview_page(self.library.run(newest))
        jax.devices()

    def close(self) -> None:
        """Stop answering; processes that were started go on."""
        self._server.shutdown()
        self._server.server_close()
        self.jobs.close()


class _Quiet(WSGIRequestHandler):
    """Prints no line for each request, and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """Print nothing."""

    def version_string(self) -> str:
        """Return what the server calls itself."""
        return "groklab"


def _bind(host: str, port: int, application: Any) -> BaseWSGIServer:
    try:
        # werkzeug prints what it meets, and ends the program
        with contextlib.redirect_stderr(io.StringIO()):
            return make_server(host, port, application, threaded=True, request_handler=_Quiet)
    except SystemExit as ended:
        reason = ended.__context__
        if isinstance(reason, OSError) and reason.errno != errno.EADDRINUSE:
            raise InputError("--host", host, f"cannot be listened on: {reason.strerror}") from None
        raise InputError("--port", port, "is in use; choose another, or 0 for any that is free") from None
    except (OSError, OverflowError) as error:
        raise InputError(f"{host}:{port} cannot be listened on: {getattr(error, 'strerror', None) or error}") from None


def _dash(answers: Answers, home: Path) -> Dash:
    app = Dash(
        "groklab",
        assets_folder=str(Path(__file__).parent / "assets"),
        index_string=INDEX,
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="groklab",
        update_title="",
        enable_mcp=False,
        add_log_handler=False,
        on_error=answers.failed,
    )
    app.layout = _layout(home)
    register(app, answers)

    @app.server.route("/page")  # type: ignore[untyped-decorator]
    def page() -> flask.Response:
        try:
            body, code = answers.file(parse_qs(flask.request.query_string.decode("utf-8", "replace"))), 200
        except InputError as error:
            body, code = REFUSED.render(title="Not here", reason=str(error)), 404
        except Exception as error:
            body, code = REFUSED.render(title="Not here", reason=answers.reason(error)), 500
        return flask.Response(body, code, {"Content-Security-Policy": PAGE_POLICY}, mimetype="text/html")

    @app.server.route("/changes")  # type: ignore[untyped-decorator]
    def changes() -> flask.Response:
        query = parse_qs(flask.request.query_string.decode("utf-8", "replace"))
        return flask.Response(answers.changes(query), mimetype="text/plain")

    @app.server.errorhandler(Exception)  # type: ignore[untyped-decorator]
    def refused(error: Exception) -> Any:
        """Answer what Dash cannot read: a path without a file of its own, or a callback that no page of it makes."""
        if isinstance(error, HTTPException):
            return error
        return flask.Response(REFUSED.render(title="Not here", reason=answers.reason(error)), 400, mimetype="text/html")

    # what the dashboard shares with the pages
    for name, kind in SHARED.items():
        answer = partial(flask.Response, read_file(name), mimetype=kind)
        app.server.add_url_rule(f"/{name}", name, answer)

    return app


def _layout(home: Path) -> Any:
    """Return what is the same on all pages."""
    names = (("Runs", "/runs"), ("Sweeps", "/sweeps"), ("Papers", "/papers"), ("New run", "/start"))
    return html.Div(
        [
            html.A("Skip to the content", href="#main", className="skip"),
            html.Nav(
                [
                    html.Strong(go("groklab", "/")),
                    *(go(name, address) for name, address in names),
                    html.Span(text(home), className="folder", title=text(home)),
                ],
                className="top",
            ),
            html.P(LOST, id="lost", role="alert", hidden=True),
            html.Div(id="failure"),
            html.Main(id="main", tabIndex=-1),
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="step"),
            dcc.Store(id="look"),
            dcc.Store(id="kept"),
            dcc.Store(id="dark", data=DARK),
        ]
    )
