"""`measure` and `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from groklab.cli.looking import find_whole
from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit
from groklab.errors import InputError
from groklab.explaining_representations import representation_lines, representation_verdict
from groklab.figures.orientations import NAMES
from groklab.measures.phases import FEWEST
from groklab.measuring import Told, analyse, take

GROUP = "Take apart"
#: Rows of the table of checkpoints.
ROWS = 14
#: Of a kernel machine; beside them the deviation of its orientation.
MACHINE_COLUMNS = {
    "test_loss": "test",
    "test_accuracy": "acc.",
    "transpose_free_accuracy": "without transposes",
    "off_block": "alignment",
    "trace": "tr M",
    "condition": "cond.",
}
COLUMNS = {
    "train_loss": "train",
    "test_loss": "test",
    "test_accuracy": "acc.",
    "restricted_loss": "restr.",
    "excluded_loss": "excl.",
    "logit_fve": "FVE",
    "gini_W_E": "G(W_E)",
    "gini_W_L": "G(W_L)",
    "sum_of_squares": "Σw²",
}


@app.command(rich_help_panel=GROUP)
def measure(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    name: Annotated[
        str | None, typer.Option("--measure", help="Only this measure, over all checkpoints; `measures` lists them.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How key frequencies are found: neuron_logit_map, embedding, neurons, logits, furuta, furuta_union."
        ),
    ] = None,
    frequencies: Annotated[
        str | None, typer.Option(metavar="K,K,…", help="Take these key frequencies instead of the final model's own.")
    ] = None,
    member: Annotated[int | None, typer.Option(help="With --measure: which model of an ensemble.")] = None,
    as_json: Json = False,
) -> None:
    """Take the progress measures of a run over all of its checkpoints; of a kernel machine those of its features.

    Key frequencies are those of the final model, applied backwards. The restricted loss is over all pairs, the excluded
    loss over the training set.

    Examples:

      groklab measure demo

      groklab measure demo --measure neurons --json
    """
    found = find_whole(run)
    keys = _frequencies(frequencies)
    console = console_for(as_json)
    if rule is not None and (keys is not None or name is not None):
        other = "--frequencies" if keys is not None else "--measure"
        raise InputError(
            "--rule", rule, f"cannot go with {other}: the frequencies of a rule are those of `measure RUN`"
        )
    if member is not None and name is None:
        raise InputError("--member", member, "goes with --measure only: without it all members are measured")
    member = member or 0
    if name is not None:
        if not 0 <= member < found.n_members:
            raise InputError("--member", member, f"{found.name} has members 0 to {found.n_members - 1}")
        frame = take(found, name, member, keys)
        if as_json:
            emit({"run": found.name, "measure": name, "member": member, **frame.to_dict(as_series=False)})
        else:
            _print_frame(frame, console)
        return
    with bar(console, "measuring checkpoints") as told:
        result = analyse(found, rule=rule, frequencies=keys, told=told)
    if as_json:
        emit(result)
        return
    for one in members_of(result, found.n_members):
        _say(one, console)


def _print_frame(frame: pl.DataFrame, console: Console) -> None:
    """Numbers by name at the first, the middle and the last checkpoint; arrays by their length."""
    steps = frame["step"].to_list()
    places = sorted({0, len(steps) // 2, len(steps) - 1})
    table = Table(box=None, padding=(0, 1))
    table.add_column("step")
    for place in places:
        table.add_column(f"{steps[place]:,}", justify="right")
    for name in frame.columns[1:]:
        values = [frame[name][place] for place in places]
        table.add_row(name, *(_cell(v) for v in values))
    console.print(table)
    console.print("--json prints every checkpoint, and arrays in full", style="dim")


def _cell(value: Any) -> str:
    if isinstance(value, pl.Series):
        if value.dtype == pl.String:
            return ", ".join(value) if len(value) <= 3 else f"{len(value)} names"
        return f"{len(value)} rows" if len(value) and isinstance(value[0], pl.Series) else f"{len(value)} numbers"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@app.command(rich_help_panel=GROUP)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    member: Annotated[int, typer.Option(help="Which model of an ensemble.")] = 0,
    as_json: Json = False,
) -> None:
    """Say what algorithm a trained model has found, in words and numbers of that model.

    Example:

      groklab explain demo
    """
    from groklab.explaining import explain as explained

    console = console_for(as_json)
    run_found = find_whole(run)
    with bar(console, "measuring checkpoints") as told:
        found = explained(run_found, member, told)
    if as_json:
        emit(found)
        return
    whose = f", member {member} (seed {found['seed']})" if run_found.n_members > 1 else ""
    console.print(f"[bold]{found['run']}[/bold]{whose}: {found['task']}, step {found['step']:,}")
    console.print(found["verdict"], style="bold", markup=False)
    for section in found["sections"]:
        console.print(f"\n[underline]{section['title']}[/underline]")
        for line in section["lines"]:
            console.print(Padding(Text(f"· {line}"), (0, 0, 0, 2)))


def members_of(result: dict[str, Any], n_members: int) -> list[dict[str, Any]]:
    """One object a member, from what `analyse` gives."""
    if n_members == 1:
        return [result]
    shared = {k: result[k] for k in ("run", "step", "task")}
    return [
        {**shared, **{k: v[m] for k, v in result.items() if k not in shared and v[m] is not None}}
        for m in range(n_members)
    ]


@contextmanager
def bar(console: Console, what: str) -> Iterator[Told]:
    """A bar with the time left, that goes away when all is done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _frequencies(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError("--frequencies", text, "needs integers with commas between them, such as 14,35") from None


def _say(found: dict[str, Any], console: Console) -> None:
    whose = f", seed {found['seed']}" if "seed" in found else ""
    console.print(f"[bold]{found['run']}[/bold]{whose}: {found['task']}, step {found['step']:,}")
    learning = found["learning_phase"]
    said = f" ({learning['said']})" if learning["said"] else ""
    console.print(f"learning phase: {learning['phase']}{said}", markup=False, highlight=False)
    if "learner" in found:
        _say_machine(found, console)
        return
    if found.get("representation") is not None:
        for text in (representation_verdict(found["representation"]), *representation_lines(found["representation"])):
            console.print(f"  {text}", markup=False, highlight=False)
        return
    if "does_not_apply" in found:
        console.print(f"  {found['does_not_apply']}", markup=False)
        for key in ("train_loss", "test_loss", "sum_of_squares", "gini_W_E"):
            if found.get(key) is not None:
                console.print(f"  {COLUMNS[key]:>12}  {found[key]:.4g}")
        return
    keys, p = found["key_frequencies"], 2 * len(found.get("by_frequency", {}).get("alpha", [[]])[-1])
    note = "; all that there are: none stands out" if p and len(keys) == p // 2 else ""
    console.print(f"key frequencies ({found['rule']}): {', '.join(map(str, keys))}{note}")
    if found.get("n_neurons"):
        console.print(
            f"{found['well_explained_neurons']} of {found['n_neurons']} neurons have at least 85% of their variance at "
            "one frequency"
        )
    ends = [(k.removesuffix("_ends").replace("_", " "), v) for k, v in found["phases"].items() if k != "rule"]
    told = ", ".join(f"{name} ends at {'–' if step is None else f'{step:,}'}" for name, step in ends)
    if all(step is None for _, step in ends) and len(found["trajectory"]["step"]) < FEWEST:
        told = f"{len(found['trajectory']['step'])} checkpoint(s) cannot tell them"
    console.print(f"phases: {told}")
    _print_table(found["trajectory"], COLUMNS, console)


def _say_machine(found: dict[str, Any], console: Console) -> None:
    if "does_not_apply" in found:
        console.print(f"  {found['does_not_apply']}", markup=False)
    else:
        best, hidden = found["orientation"], found["hidden_progress"]
        if best is not None:
            other = {k: v for k, v in found["circulant_deviation"].items() if k != best and v is not None}
            rest = ", ".join(f"{NAMES[k]} {v:.3f}" for k, v in other.items())
            console.print(
                f"circulant deviation of the off-diagonal block: {NAMES[best]} {found['circulant_deviation'][best]:.4f}"
                + (f" ({rest})" if rest else "")
            )
        structure = {k: "–" if v is None else f"{v:.3g}" for k, v in found["block_structure"].items()}
        console.print(
            f"top-left block c1 I + c2 11': c1 {structure['c1']}, c2 p/c1 {structure['ratio']}, residual "
            f"{structure['residual']}; off-diagonal share {structure['off_diagonal_share']}"
        )
        steps = [hidden[k] for k in ("loss_moves_step", "accuracy_rises_step")]
        loss, risen = ("–" if s is None else f"{s:,}" for s in steps)
        console.print(f"test loss moves by 1% at step {loss}, accuracy passes {hidden['accuracy_over']:.0%} at {risen}")
    strata = found.get("stratified_accuracy")
    if strata and strata["transpose_free_accuracy"] is not None:
        console.print(
            f"accuracy on the {int(strata['n_transpose_free']):,} test pairs whose transpose was not trained on: "
            f"{strata['transpose_free_accuracy']:.1%}"
        )
    of_best = {found["orientation"]: "deviation"} if found.get("orientation") else {}
    _print_table(found["trajectory"], {**MACHINE_COLUMNS, **of_best}, console)


def _print_table(trajectory: dict[str, Any], columns: dict[str, str], console: Console) -> None:
    """Some rows of a trajectory, those columns that hold a number."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("step", justify="right", no_wrap=True)
    shown = {k: v for k, v in columns.items() if any(x is not None for x in trajectory.get(k, []))}
    for heading in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    n = len(trajectory["step"])
    for i in sorted({round(j * (n - 1) / max(ROWS - 1, 1)) for j in range(ROWS)}):
        values = [trajectory[k][i] for k in shown]
        cells = ["–" if v is None else f"{v:.1e}" if v and not 0.01 <= abs(v) < 1e4 else f"{v:.3g}" for v in values]
        table.add_row(f"{trajectory['step'][i]:,}", *cells)
    console.print(table)
