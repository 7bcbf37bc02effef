"""The program `groklab`: twins of the library's functions, and how it refuses."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer

import groklab
from groklab.cli.app import Stopped, app
from groklab.errors import InputError, Interrupted, did_you_mean
from groklab.text import visible

__all__ = ["load_commands", "main"]

#: The exit codes of a refusal, and after Ctrl-C.
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
        exchange,
        find,
        look,
        measuring,
        reproducing,
        sweep_pages,
        sweeping,
        tasks,
        theory,
        train,
    )


def main() -> None:
    """Run the program: one sentence and exit code 2 for what cannot be done, 130 for Ctrl-C."""
    load_commands()
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {visible(str(message))}", file=sys.stderr)
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
        code = _refuse(_usage(error))
    except Stopped as stop:
        code = _stop(f"; {stop}")
    except Interrupted as stop:
        code = _stop(f"; `groklab resume {stop}` continues from here")
    except (KeyboardInterrupt, typer.Abort):
        code = _stop("")
    except MemoryError:
        code = _refuse("there is not enough memory for this")
    except RecursionError:
        code = _refuse("the input is nested too deeply")
    except BrokenPipeError:
        # the reader has gone (`| head`), so that nothing more can be printed
        sys.stdout = None
        code = 0
    except OSError as error:
        code = _refuse(f"{error.filename or ''} {error.strerror or error}")
    sys.exit(code or 0)


def _usage(error: Any) -> str:
    """Return the parser's complaint with the nearest option, of all that the command has."""
    option = getattr(error, "option_name", None)
    if not hasattr(error, "possibilities") or option is None or error.ctx is None:
        # without any argument the help has been printed, and the message is empty
        return str(error.format_message())
    names = [name for parameter in error.ctx.command.params for name in parameter.opts]
    return f"{option}: unknown option{did_you_mean(option, names)}; `{error.ctx.command_path} --help` lists them"


def _stop(how: str) -> int:
    print(f"groklab: stopped{visible(how)}", file=sys.stderr)
    return STOPPED


def _refuse(sentence: str) -> int:
    """Print on one line why something cannot be done, and return the exit code."""
    line = visible(" ".join(sentence.split()))
    if len(line) > LONGEST:
        line = line[:LONGEST] + " …"
    if line:
        print(f"groklab: {line}", file=sys.stderr)
    return REFUSED
