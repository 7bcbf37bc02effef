"""The program `groklab`: its commands, and how it says no."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer

import groklab
from groklab.errors import InputError, Interrupted

#: The exit code after Ctrl-C.
STOPPED = 130
#: Characters of a refusal that are printed.
LONGEST = 1200
#: The usage errors of the parser that typer carries.
_UsageError: Any = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="groklab",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with [bold]groklab train demo[/bold]. Runs are kept in ~/groklab, or where GROKLAB_HOME says.",
)


class Stopped(Exception):
    """Ctrl-C in a command whose work is kept; the text says how to go on."""


@app.callback(invoke_without_command=True)
def top(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """The laboratory for grokking: train models that generalise long after they fit, and take them apart."""
    if version:
        typer.echo(f"groklab {groklab.__version__}")
        raise typer.Exit


def load_commands() -> None:
    """Import every command; each registers itself on `app`."""
    from groklab.cli import (  # noqa: F401
        explaining_tasks,
        files,
        listings,
        looking,
        measuring,
        reproducing,
        running,
        sweep_pages,
        sweeping,
        theorising,
    )


def main() -> None:
    """Entry point: one sentence and exit code 2 for what cannot be done, 130 for Ctrl-C."""
    load_commands()
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        # names of files need not be text that the terminal can show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
        if code == STOPPED:
            # the parser turns a KeyboardInterrupt into this code, and prints nothing
            print("groklab: stopped", file=sys.stderr)
    except InputError as error:
        code = _refuse(str(error))
    except _UsageError as error:
        # without any argument the help has been printed, and nothing is left to say
        code = _refuse(error.format_message())
    except Stopped as stop:
        print(f"groklab: stopped; {stop}", file=sys.stderr)
        code = STOPPED
    except Interrupted as stop:
        print(f"groklab: stopped; `groklab resume {stop}` goes on from here", file=sys.stderr)
        code = STOPPED
    except (KeyboardInterrupt, typer.Abort):
        print("groklab: stopped", file=sys.stderr)
        code = STOPPED
    except MemoryError:
        code = _refuse("there is not enough memory for this")
    except RecursionError:
        code = _refuse("the input is nested too deeply")
    except BrokenPipeError:
        # the reader has gone (`| head`): nothing to say, and nowhere to say it
        sys.stdout = None
        code = 0
    except OSError as error:
        code = _refuse(f"{error.filename or ''} {error.strerror or error}")
    sys.exit(code or 0)


def _refuse(sentence: str) -> int:
    """Say on one line why something cannot be done; the exit code of that."""
    words = " ".join(sentence.split())
    if len(words) > LONGEST:
        words = words[:LONGEST] + " …"
    if words:
        print(f"groklab: {words}", file=sys.stderr)
    return 2
