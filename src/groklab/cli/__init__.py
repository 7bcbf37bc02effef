"""The program `groklab`: twins of the library's functions, and how it refuses."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer

import groklab
from groklab.cli.app import COMPLETING, Stopped, apart, app
from groklab.cli.streams import lasting
from groklab.errors import InputError, Interrupted, did_you_mean
from groklab.text import visible
from groklab.training import interrupts

__all__ = ["load_commands", "main"]

#: The exit codes of a refusal, and what the parser makes of a KeyboardInterrupt, of which it prints nothing.
REFUSED, STOPPED = 2, 130
#: Characters of a refusal that are printed.
LONGEST = 1200
#: The usage errors of the parser inside typer.
_UsageError: Any = typer.BadParameter.__bases__[0]


@app.callback(invoke_without_command=True)
def _top(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """The laboratory for grokking: train models that generalise long after they fit, and take them apart."""
    if version:
        typer.echo(f"groklab {groklab.__version__}")
        raise typer.Exit


def load_commands() -> None:
    """Import every command; each registers itself on `app`."""
    from groklab.cli import (  # noqa: F401
        dashboard,
        exchange,
        find,
        fitting,
        gallery,
        leaderboard,
        look,
        measuring,
        paper,
        reproducing,
        sweep_lists,
        sweep_pages,
        sweeping,
        tasks,
        theory,
        train,
    )


def main() -> None:
    """Run the program: one sentence and exit code 2 for what cannot be done, 128 + n for signal n."""
    try:
        with interrupts.raised() as request, lasting():
            code = _run(request)
            if request.urgent:
                # nothing waits for threads that compute
                sys.stdout.flush()
                os._exit(code)
    except OSError as error:
        code = _refuse(f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        # again, while it was ending
        os._exit(request.exit_code)
    sys.exit(code)


def _run(request: interrupts.Request) -> int:
    """Run the command, and return the exit code."""
    try:
        load_commands()
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {visible(str(message))}", file=sys.stderr)
        with apart("--json" in sys.argv):
            code = app(standalone_mode=False) or 0
        return _stop(request) if code == STOPPED else int(code)
    except InputError as error:
        return _refuse(str(error))
    except _UsageError as error:
        return _refuse(_usage(error))
    except Stopped as stop:
        return _stop(request, str(stop))
    except Interrupted as stop:
        return _stop(request, f"`groklab resume {stop}` continues from here")
    except (KeyboardInterrupt, typer.Abort):
        return _stop(request)
    except SystemExit as end:
        if COMPLETING in os.environ or {"--show-completion", "--install-completion"} & set(sys.argv):
            raise
        return _refuse(f"the code of a plug-in ended the program (with {end.code!r})")
    except MemoryError:
        return _refuse("there is not enough memory for this")
    except RecursionError:
        return _refuse("the input is nested too deeply")
    except RuntimeError as error:
        # of pathlib, which has no type of its own for it
        if "home directory" not in str(error):
            raise
        return _refuse("a name that begins with ~ is of a home that is not there: write the folder in full")
    except OSError as error:
        return _refuse(f"{error.filename or ''} {error.strerror or error}")


def _usage(error: Any) -> str:
    """Return the parser's complaint with the nearest option, of all that the command has."""
    option = getattr(error, "option_name", None)
    if not hasattr(error, "possibilities") or option is None or error.ctx is None:
        # without any argument the help has been printed, and the message is empty
        return str(error.format_message())
    names = [name for parameter in error.ctx.command.params for name in parameter.opts]
    return f"{option}: unknown option{did_you_mean(option, names)}; `{error.ctx.command_path} --help` lists them"


def _stop(request: interrupts.Request, how: str = "give the same command again to go on") -> int:
    """Print on one line how to go on after a signal, and return the exit code."""
    by = f" by {request.name}" if request.name not in (None, "ctrl-c") else ""
    print(f"groklab: stopped{by}; {visible(how)}", file=sys.stderr)
    return request.exit_code


def _refuse(sentence: str) -> int:
    """Print on one line why something cannot be done, and return the exit code."""
    line = visible(" ".join(sentence.split()))
    if len(line) > LONGEST:
        line = line[:LONGEST] + " …"
    if line:
        print(f"groklab: {line}", file=sys.stderr)
    return REFUSED
