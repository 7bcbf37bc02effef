"""The program that commands belong to, and where their output goes.

Objects for other programs come last on standard output, text for people beside them.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from groklab.errors import InputError
from groklab.text import duration, integer_in, jsonable, number_in, visible

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

F = TypeVar("F", bound=Callable[..., Any])

#: The groups of commands in `groklab --help`.
TRAIN, LOOK, TAKE_APART, EXCHANGE, FIND = "Train", "Look", "Take apart", "Exchange", "Find"
#: Settings of every group of commands.
HELP: dict[str, Any] = {"context_settings": {"help_option_names": ["-h", "--help"]}}

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line; everything else goes to standard error.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings by dotted name, such as task.p=59 split.frac_train=0.5 seed=3.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing while working.")]
#: Seconds of work that begin in a terminal without `--yes`.
LONG = 600
Yes = Annotated[
    bool, typer.Option("--yes", "-y", help=f"In a terminal: begin even what takes over {LONG // 60} minutes.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
TrustPlugin = Annotated[
    bool,
    typer.Option("--trust-plugin", help="Run the plug-ins of the run even if they may be another's, or have changed."),
]


#: Set by the shell that asks for completions.
COMPLETING = "_GROKLAB_COMPLETE"


class _Values:
    """Of a command or a group: refuses empty options and arguments, as those of an unset shell variable are."""

    def parse_args(self: Any, ctx: Any, args: list[str]) -> Any:
        given = {} if ctx.resilient_parsing else self.make_parser(ctx).parse_args(list(args))[0]
        for parameter in self.get_params(ctx):
            value = given.get(parameter.name)
            texts = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(text, str) and not text.strip() for text in texts):
                name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.metavar
                raise InputError(f"{name or parameter.name} has no value")
        return super().parse_args(ctx, args)  # type: ignore[misc]


class _Command(_Values, TyperCommand):
    pass


class _Group(_Values, TyperGroup):
    pass


class Commands(typer.Typer):
    """Commands that refuse empty values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=_Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[F], F]:
        """Return the decorator that adds a command."""
        add = super().command(name, cls=_Command, **options)
        if COMPLETING not in os.environ:
            return add

        def add_completed(function: F) -> F:
            from groklab.cli.completing import add_completion

            add_completion(function)
            return add(function)

        return add_completed


def _float_in(text: str) -> float | None:
    number = number_in(text)
    return None if number is None else float(number)


def _reader(read: Callable[[str], float | None], what: str) -> Callable[[Any], Any]:
    def parser(value: Any) -> Any:
        number = read(value) if isinstance(value, str) else value
        if number is None or not math.isfinite(number):
            raise typer.BadParameter(f"{value!r} is not {what}")
        return number

    return parser


#: Options that read numbers as settings do.
IntOption = partial(typer.Option, parser=_reader(integer_in, "an integer"))
FloatOption = partial(typer.Option, parser=_reader(_float_in, "a number"))

app = Commands(
    name="groklab",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with [bold]groklab train demo[/bold]. Runs are kept in ~/groklab, or where GROKLAB_HOME says.",
    **HELP,
)


class Stopped(Exception):
    """Ctrl-C in a command whose work is kept; the text says how to continue."""


def console_for(as_json: bool) -> Console:
    """Return standard output for people, standard error where a program reads standard output."""
    from groklab.cli.terminal import Terminal

    return Terminal(stderr=as_json)


@contextmanager
def apart(as_json: bool) -> Iterator[None]:
    """Keep standard output for `emit`, if `as_json`: what else is printed, as by plug-ins, goes to standard error."""
    global _emitted
    _emitted = sys.stdout if as_json else None
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            yield
    finally:
        _emitted = None


#: Standard output while all else goes to standard error.
_emitted: TextIO | None = None


def run_and_step(option: str, text: str) -> tuple[str, int]:
    """Return the run and the step of a RUN@STEP."""
    run, _, step_text = text.rpartition("@")
    step = integer_in(step_text)
    if step is None:
        raise InputError(option, text, "needs a run and a kept step, such as micro-1a2b3c4d@1000")
    return run, step


def emit(value: Any) -> None:
    """Print one JSON object on one line of standard output; numbers that are not finite become null."""
    stream = _emitted or sys.stdout
    stream.write(json.dumps(jsonable(value), allow_nan=False) + "\n")
    stream.flush()


def view_for(console: Console, quiet: bool, live: Callable[[Console], Any], plain: Callable[[Console], Any]) -> Any:
    """Return the context of a view: a picture in a terminal, lines elsewhere, nothing where it is quiet."""
    if quiet:
        return nullcontext(None)
    if console.is_terminal and not console.is_dumb_terminal:
        return live(console)
    return nullcontext(plain(console))


def open_page(page: Path | str, console: Console) -> None:
    """Open a file or an address in the browser; where there is none, say so."""
    import webbrowser

    if not webbrowser.open(page if isinstance(page, str) else page.absolute().as_uri()):
        console.print("no browser could be opened; open it yourself", style="dim")


def number(value: float | None, form: str = ",") -> str:
    """Return a number for people, a dash for none."""
    return "–" if value is None else format(value, form)


def step_text(step: float | None) -> str:
    """Return a step, or a median of steps, for people."""
    return "not reached" if step is None else f"{step:,.0f}"


def interval_text(survival: dict[str, Any]) -> str:
    """Return a confidence interval of steps for people."""
    return f"{number(survival['low'], ',.0f')} to {step_text(survival['high'])}"


def plain_table(headings: Sequence[str] = (), left: Iterable[str] = (), **options: Any) -> Table:
    """Return a table without lines, whose columns are aligned to the right but those of `left`."""
    from rich.table import Table

    table = Table(box=None, **{"pad_edge": False, **options})
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right")
    return table


def check_long(seconds: float, yes: bool, at_most: bool = False) -> None:
    """Refuse long work that a person has not confirmed; at_most: the estimate is an upper bound."""
    if seconds > LONG and not yes and sys.stdin.isatty():
        about = f"this takes {'at most ' if at_most else ''}about {duration(seconds)}"
        raise InputError(f"{about}; add --yes to begin, or --slice MINUTES for a part of it")


def titled(title: str, rest: str = "") -> Text:
    """Return a line whose first words are bold."""
    from rich.text import Text

    return Text.assemble((visible(title), "bold"), visible(rest))


def print_pairs(rows: Iterable[tuple[str, str]], *, style: str = "bold", right: bool = False) -> None:
    """Print names in a style with a sentence on each; right: align the names to the right."""
    table = plain_table(show_header=False)
    table.add_column(no_wrap=True, style=style, justify="right" if right else "left")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console_for(False).print(table)
