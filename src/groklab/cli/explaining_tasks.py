"""`tasks`, `tasks explain` and `tasks labels`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit

if TYPE_CHECKING:
    from groklab.tasks.operations import Operation

tasks_app = typer.Typer(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(tasks_app, name="tasks", rich_help_panel="Find")


@tasks_app.callback()
def tasks(context: typer.Context, as_json: Json = False) -> None:
    """List the named operations by family; any expression in x, y, z works too, as task.expression='x**2 + x*y'.

    Examples:

      groklab tasks

      groklab tasks explain "x**2 + x*y + y**2" --p 97
    """
    from groklab.tasks.operations import OPERATIONS

    if context.invoked_subcommand is not None:
        return
    if as_json:
        emit({"tasks": [_operation(o) for o in OPERATIONS.values()]})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for group, operations in groupby(sorted(OPERATIONS.values(), key=_place), key=lambda o: o.group):
        table.add_row(f"[not bold]{group}[/not bold]", style="cyan")
        for o in operations:
            table.add_row(f"  {o.name}", f"{o.expression}   [dim]{o.description}; {o.source}[/dim]")
    console_for(False).print(table)


@tasks_app.command("explain")
def explain(
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION|NAME", help="A formula in x and y, or an operation.")
    ],
    p: Annotated[int, typer.Option("--p", help="The modulus.")] = 97,
    frac_train: Annotated[float, typer.Option(help="Fraction trained on, for the label statistics.")] = 0.3,
    seeds: Annotated[int, typer.Option(help="Random splits behind the label statistics.")] = 100,
    as_json: Json = False,
) -> None:
    """What algebra says of an operation before any training, and which operations of Furuta et al. 2024 it resembles.

    Whether it is a function of a form such as x + y, a sum g(x) + h(y), a product, or addition or multiplication with
    operands and answers renamed; its factors over the integers and mod p; its symmetry; which powers are one-to-one;
    how its labels are distributed; and, of the paper's operations that share most of these properties, what was
    published and what was measured here. Each property counts one, and nothing else enters.

    Examples:

      groklab tasks explain "x**2 + x*y + y**2" --p 97

      groklab tasks explain x5_y5 --p 59 --json
    """
    from groklab.papers.task_explanation import explain_task

    found = explain_task(expression, p, frac_train=frac_train, seeds=seeds)
    if as_json:
        emit(found)
        return
    _print(found, console_for(False))


@tasks_app.command("labels")
def labels(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="An experiment, of any task with classes.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings by dotted name, such as task.p=59 split.frac_train=0.5.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Random splits, with seeds counted up from the experiment's.")] = 100,
    as_json: Json = False,
) -> None:
    """How often each label of a task occurs, and how far training labels are from test labels over random splits.

    Entropies and the divergence KL(train||test) in nats (Furuta et al. 2024, appendix K); of a mixture, of each
    operation, too.

    Examples:

      groklab tasks labels furuta2024/mixture-elementary

      groklab tasks labels micro split.frac_train=0.7 --json
    """
    from groklab.cli.task_words import labels_in_words
    from groklab.experiment.reading import read
    from groklab.experiment.yaml_input import parse_overrides
    from groklab.sweeps.plan import description_of
    from groklab.tasks.label_statistics import label_statistics
    from groklab.training.ensemble import build_task

    base, settings = description_of(what)
    experiment = read(base, {**settings, **parse_overrides(overrides or [])})
    task = build_task(experiment)
    found = label_statistics(task, experiment.split, seeds=seeds, first_seed=experiment.seed)
    if as_json:
        emit({"task": task.name, **found})
        return
    console = console_for(False)
    for name, own in {task.name: found, **found.get("by_operation", {})}.items():
        one = {**found, **own}
        console.print(f"[bold]{name}[/bold]: {one['inputs']:,} inputs", highlight=False)
        _print_facts(labels_in_words(one), console)


def _place(operation: Operation) -> int:
    from groklab.tasks.operations import OPERATIONS

    groups = list(dict.fromkeys(o.group for o in OPERATIONS.values()))
    return groups.index(operation.group)


def _operation(o: Operation) -> dict[str, Any]:
    return {
        "name": o.name,
        "formula": o.expression,
        "group": o.group,
        "papers": list(o.papers),
        "expression": o.expression,
        "description": o.description,
        "source": o.source,
        "spellings": list(o.spellings),
    }


def _print_facts(rows: Iterable[tuple[str, str]], console: Console) -> None:
    """What each fact is about, and what it says."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim", justify="right")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console.print(table, markup=False)


def _print(found: dict[str, Any], console: Console) -> None:
    from groklab.cli.task_words import facts_in_words, measured, published

    modulus = f"mod {found['p']}" if found["modular"] else f"on 0..{found['p'] - 1}"
    console.print(f"[bold]{found['formula']} {modulus}[/bold]: {found['inputs']:,} inputs")
    _print_facts(facts_in_words(found), console)
    console.print(
        "It resembles most, of the 35 operations of Furuta et al. 2024, by the number of properties they share:"
    )
    console.print(f"({', '.join(found['properties'])})", style="dim", markup=False)
    for row in found["resembles"]:
        differs = f"; differs in: {', '.join(row['differs'])}" if row["differs"] else ""
        untold = f"; cannot be told: {', '.join(row['untold'])}" if row["untold"] else ""
        console.print(f"  [bold]{row['operation']}[/bold] ({row['formula']}; {row['group']})", soft_wrap=True)
        console.print(f"    shares {row['shared']} of {row['of']}{differs}{untold}", soft_wrap=True, markup=False)
        console.print(f"    published: {published(row['published'])}", soft_wrap=True, markup=False)
        console.print(f"    measured here: {measured(row['measured'])}", soft_wrap=True, markup=False)
