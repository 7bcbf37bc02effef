"""`theory`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

import typer

from groklab.cli.app import TAKE_APART, IntOption, Json, TrustPlugin, app, console_for, emit, plain_table, titled
from groklab.cli.completing import one_of
from groklab.errors import InputError, check_choice
from groklab.text import integer_in

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.tasks import Task
    from groklab.theory import NoPrediction, Normalisation, Prediction

MOST_DRAWS = 100_000
NORMALISATIONS = ("one", "parallelograms")
#: Values for JSON, how their page is made where there is one, and how they are printed.
Shown: TypeAlias = "tuple[dict[str, Any], Callable[[], str] | None, Callable[[Console], None]]"
GROUP_NAME = re.compile(r"[SACDQ][0-9]+(x[SACDQ][0-9]+)*")


@app.command(rich_help_panel=TAKE_APART)
def theory(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="A formula or operation; by default x + y, unordered, no modulus."),
    ] = None,
    p: Annotated[int, IntOption("--p", help="Number of symbols.")] = 10,
    modular: Annotated[bool, typer.Option("--modular", help="Reduce the answers of TASK modulo p.")] = False,
    draws: Annotated[int, IntOption(help="Number of random training sets for the critical fraction.")] = 1000,
    seed: Annotated[int, IntOption(help="Seed of the random training sets.")] = 0,
    normalisation: Annotated[
        str,
        typer.Option(
            autocompletion=one_of(NORMALISATIONS),
            help="nu in the loss: 'one', as in the published code, or 'parallelograms', as in the paper.",
        ),
    ] = "one",
    against: Annotated[
        str | None,
        typer.Option(
            "--against-p", metavar="P1,P2,…", help="Show the critical fraction for these numbers of symbols instead."
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Compare the theory with this run, instead of a task.")
    ] = None,
    member: Annotated[int | None, IntOption(help="With --run: which model of an ensemble.")] = None,
    figure: Annotated[str | None, typer.Option(metavar="FILE.html", help="Write the curves to an HTML page.")] = None,
    trust_plugin: TrustPlugin = False,
    as_json: Json = False,
) -> None:
    """Show what the effective theory of representation learning predicts for a task, before any training.

    Liu et al. 2022: the null space of the parallelogram equations, the training fraction from which they force a
    linear representation, and the grokking rate lambda_3 with the time it predicts. With --run the theory's flow starts
    from that run's initial embedding, and is compared with the run's own.

    Examples:

      groklab theory --p 10

      groklab theory "x + y" --modular --p 11 --json

      groklab theory --against-p 4,6,10,20,40 --draws 100
    """
    if not 1 <= draws <= MOST_DRAWS:
        raise InputError("--draws", draws, f"needs to be from 1 to {MOST_DRAWS:,}")
    if seed < 0:
        raise InputError("--seed", seed, "needs to be 0 or above")
    check_choice("--normalisation", normalisation, NORMALISATIONS)
    path = _page_path(figure)
    if member is not None and run is None:
        raise InputError("--member", member, "needs --run, whose models it chooses from")
    if run is not None:
        if task is not None or modular:
            raise InputError("--run", run, "brings its own task; leave TASK and --modular out")
        values, page, show = _beside(run, trust_plugin, member or 0, _of(normalisation))
    elif against is not None:
        values, page, show = _against(_moduli(against), task, modular, draws, seed)
    else:
        values, page, show = _of_task(_task(p, task, modular), draws, _of(normalisation), seed)
    if path is not None:
        from groklab.store import storage

        values["figure"] = None if page is None else str(path)
        if page is not None:
            storage.atomic_write(path, page().encode())
    if as_json:
        emit(values)
        return
    console = console_for(False)
    show(console)
    if path is not None:
        where = values["figure"] or "none is drawn, as the theory does not apply"
        console.print(f"figure: {where}", soft_wrap=True)


def _of_task(task: Task, draws: int, normalisation: Normalisation, seed: int) -> Shown:
    from groklab.report import fraction_page
    from groklab.theory import Prediction, equations_of
    from groklab.theory import theory as predict

    result = predict(equations_of(task), draws=draws, normalisation=normalisation, seed=seed)
    page = partial(fraction_page, task.name, result) if isinstance(result, Prediction) else None
    return {"task": task.name, **result.to_dict()}, page, partial(_print, task.name, result)


def _task(p: int, expression: str | None, modular: bool) -> Task:
    from groklab.experiment import component

    if GROUP_NAME.fullmatch(expression or ""):
        raise InputError("TASK", expression, "names a group, and this theory is of formulas in x and y only")
    # E_i + E_j has no order, so that ordered pairs would only repeat the equations
    settings: dict[str, Any] = {"p": p, "expression": expression or "x + y", "modular": modular, "pairs": "unordered"}
    task: Task = component("task", settings, "arithmetic").build()
    return task


def _moduli(text: str) -> list[int]:
    moduli = [integer_in(part) or 0 for part in text.split(",")]
    if min(moduli) < 2:
        raise InputError("--against-p", text, "needs numbers of at least 2 with commas between, such as 4,6,10")
    return moduli


def _against(moduli: list[int], expression: str | None, modular: bool, draws: int, seed: int) -> Shown:
    from groklab.report import against_p_page
    from groklab.theory import against_p, equations_of

    rows = against_p([equations_of(_task(p, expression, modular)) for p in moduli], draws, seed)
    name = f"{expression or 'x + y'}{' modulo p' if modular else ''}"

    def show(console: Console) -> None:
        table = plain_table(("p", "pairs", "critical fraction", "pairs per symbol"), padding=(0, 1), pad_edge=True)
        for row in rows:
            fraction = f"{row.critical_fraction:.4f} ± {row.critical_fraction_se:.4f}"
            table.add_row(str(row.p), f"{row.n_pairs:,}", fraction, f"{row.pairs_per_symbol:.2f}")
        console.print(table)

    values = {"draws": draws, "seed": seed, "against_p": [vars(row) for row in rows]}
    return values, partial(against_p_page, rows, name), show


def _beside(name: str, trust_plugin: bool, member: int, normalisation: Normalisation) -> Shown:
    from groklab.cli.look import readable_run

    run = readable_run(name, trust_plugin, computing=True)
    from groklab.analysis import NoTheory, beside_run
    from groklab.report import beside_run_page

    result = beside_run(run, member, normalisation)

    def show(console: Console) -> None:
        console.print(titled(result.run, f", member {member}: {result.task}"))
        if isinstance(result, NoTheory):
            console.print(result.does_not_apply)
            return
        rows = {
            "dimensions left free": f"{result.null_dimension}, by {result.n_train} training pairs; 2 force a line",
            "λ₃": f"{result.lambda_3:.4g}",
            f"1/(λ₃ η), η={result.eta:g}": _steps(result.n_h),
            "RQI > 0.95, theory": result.when("theory"),
            "RQI > 0.95, run": f"{result.when('network')}, from {result.observed_from}",
            "RQI at the end, run": f"{result.network.rqi[-1]:.3f}",
        }
        for key, value in rows.items():
            console.print(f"{key:>24}  {value}")

    return result.to_dict(), None if isinstance(result, NoTheory) else partial(beside_run_page, result), show


def _steps(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f} steps"


def _of(text: str) -> Normalisation:
    return cast(Literal["one", "parallelograms"], text)


def _page_path(figure: str | None) -> Path | None:
    if figure is None:
        return None
    path = Path(figure).expanduser()
    if not figure.endswith(".html") or path.is_dir():
        raise InputError("--figure", figure, "needs a file name that ends in .html")
    if not path.parent.is_dir():
        raise InputError("--figure", figure, "needs a folder that exists")
    return path


def _print(task: str, result: Prediction | NoPrediction, console: Console) -> None:
    from groklab.theory import NoPrediction

    console.print(titled(str(task), f": {result.n_pairs:,} pairs, {result.n_parallelograms:,} equations"))
    values = ", ".join(f"{v:.4g}" for v in result.eigenvalues_full[:10])
    more, free = ", …" if len(result.eigenvalues_full) > 10 else "", result.null_space_dimension
    console.print(f"with all pairs they leave {free} dimension{'' if free == 1 else 's'} free")
    console.print(f"eigenvalues of G: {values}{more}", style="dim")
    if isinstance(result, NoPrediction):
        console.print(result.does_not_apply)
        return
    console.print(
        f"critical fraction {result.critical_fraction:.4f} ± {result.critical_fraction_se:.4f}: from there on, "
        "at least half of all training sets force a linear representation"
    )
    headings = ("pairs", "fraction", "force a line", "", "ideal acc.", "λ₃", f"steps at η={result.eta:g}")
    table = plain_table(headings, left=("",), padding=(0, 1), pad_edge=True)
    for row in result.by_fraction:
        steps = "never" if row.steps is None else f"{row.steps:,.0f}"
        table.add_row(
            f"{row.n_train}",
            f"{row.fraction:.1%}",
            f"{row.p_linear:.1%}",
            "█" * round(12 * row.p_linear),
            f"{row.ideal_accuracy:.1%}",
            f"{row.lambda_3:.4g}",
            steps,
        )
    console.print(table)
