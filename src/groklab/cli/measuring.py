"""`measure` and `explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import TAKE_APART, IntOption, Json, TrustPlugin, app, console_for, emit, plain_table, titled
from groklab.errors import InputError, check_member
from groklab.text import integer_in, jsonable

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from groklab.analysis import Analysis, Measuring
    from groklab.measures import NamedTable
    from groklab.store import Run

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


@app.command(rich_help_panel=TAKE_APART)
def measure(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--measure", metavar="MEASURE", help="Only this measure, at all checkpoints; `groklab measures` lists them."
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="How key frequencies are found: neuron_logit_map, embedding, neurons, logits, furuta, furuta_union."
        ),
    ] = None,
    frequencies: Annotated[
        str | None, typer.Option(metavar="K,K,…", help="Use these key frequencies instead of the final model's own.")
    ] = None,
    member: Annotated[int | None, IntOption(help="With --measure: which model of an ensemble.")] = None,
    step: Annotated[
        int | None,
        IntOption(help="With --measure: only this checkpoint; by default tables show the last."),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A Python file with your own measures, which are taken, too."),
    ] = None,
    trust_plugin: TrustPlugin = False,
    as_json: Json = False,
) -> None:
    """Compute the progress measures of a run, or a kernel machine's feature measures, at all of its checkpoints.

    Key frequencies are those of the final model, applied backwards. The restricted loss is over all pairs, the excluded
    loss over the training set. In a mixture each operation has its own.

    Examples:

      groklab measure demo

      groklab measure demo --measure logit_parts

      groklab measure demo --measure neurons --json

      groklab measure demo --plugin my_measure.py
    """
    for file in plugin or ():
        from groklab.plugins import load_plugin

        load_plugin(file)
    from groklab.analysis import analyse, take, to_dict_of_members
    from groklab.cli.look import readable_run

    trained = readable_run(run, trust_plugin, computing=True)
    keys = _frequencies(frequencies)
    console = console_for(as_json)
    if rule is not None and (keys is not None or name is not None):
        other = "--frequencies" if keys is not None else "--measure"
        raise InputError(
            "--rule", rule, f"cannot go with {other}: the frequencies of a rule are those of `measure RUN`"
        )
    if member is not None and name is None:
        raise InputError("--member", member, "needs --measure: without it all members are measured")
    if step is not None and name is None:
        raise InputError("--step", step, "needs --measure: without it all checkpoints are measured")
    member = member or 0
    if name is not None:
        check_member(member, trained.n_members, trained.name)
        steps = None if step is None else [step]
        if as_json:
            frame = take(trained, name, member, keys, steps)
            emit({"run": trained.name, "measure": name, "member": member, **frame.to_dict(as_series=False)})
        elif not _print_tables(trained, name, member, keys, step, console):
            _print_frame(take(trained, name, member, keys, steps), console)
        return
    analyses = []
    with bar(console, "measuring checkpoints") as progress:
        n = trained.n_members
        for i in range(n):

            def report(measuring: Measuring, before: int = i) -> None:
                progress(before * measuring.total + measuring.done, n * measuring.total)

            analyses.append(analyse(trained, i, rule=rule, frequencies=keys, view=report))
    own = [_own_frames(trained, i, keys) for i in range(n)]
    if as_json:
        dicts = [{k: v if isinstance(v, str) else v.to_dict(as_series=False) for k, v in o.items()} for o in own]
        more = {"measures": dicts if len(dicts) > 1 else dicts[0]} if any(own) else {}
        emit({**to_dict_of_members(analyses), **more})
        return
    for analysis, frames in zip(analyses, own, strict=True):
        _print_analysis(analysis, console, f", seed {analysis.seed}" if len(analyses) > 1 else "")
        for measure, values in frames.items():
            console.print()
            console.print(titled(measure, f": {values}" if isinstance(values, str) else ""), soft_wrap=True)
            if not isinstance(values, str):
                _print_frame(values, console)


def _own_frames(run: Run, member: int, frequencies: list[int] | None) -> dict[str, pl.DataFrame | str]:
    """Return the values of the user's own measures at all checkpoints, or why there are none."""
    from groklab.analysis import take
    from groklab.measures import own_measures

    frames: dict[str, pl.DataFrame | str] = {}
    for measure in own_measures():
        try:
            frames[measure.name] = take(run, measure.name, member, frequencies)
        except InputError as error:
            frames[measure.name] = f"left out: {error}"
    return frames


def _print_analysis(analysis: Analysis, console: Console, seed: str = "") -> None:
    """Print what was measured of one model; seed: words that name it, for an ensemble."""
    from groklab.analysis import CircuitAnalysis, FeatureAnalysis, MixtureAnalysis, NotApplicable
    from groklab.grokking import OWNER

    model, phase = analysis.model, analysis.learning_phase
    console.print(titled(analysis.run, f"{seed}: {analysis.task}, step {analysis.step:,}"))
    _print_headline(analysis, console)
    console.print(f"phase of {OWNER}: {phase.sentence()}")
    if isinstance(model, CircuitAnalysis | MixtureAnalysis) and model.key_frequencies is not None:
        keys = ", ".join(map(str, model.key_frequencies))
        console.print(f"key frequencies ({model.rule}): {keys}")
    _print_sentences(model.sentences(), console)
    if isinstance(model, CircuitAnalysis):
        _print_sentences([model.stages_sentence()], console)
        _print_trajectory({"step": model.steps, **model.trajectory}, COLUMNS, console)
    elif isinstance(model, MixtureAnalysis):
        _print_sentences(model.sparsity_sentences(), console)
        for operation in model.operations:
            console.print()
            console.print(operation.name, style="underline")
            _print_sentences([operation.stages_sentence()], console)
            _print_trajectory({"step": operation.steps, **operation.trajectory}, COLUMNS, console)
        console.print("\nmore of each operation: --measure logit_parts, --measure logits_2d", style="dim")
    elif isinstance(model, FeatureAnalysis):
        deviation = {model.orientation: "deviation"} if model.orientation else {}
        _print_trajectory(model.to_dict()["trajectory"], {**MACHINE_COLUMNS, **deviation}, console)
    elif isinstance(model, NotApplicable):
        for key, heading in COLUMNS.items():
            if model.sizes.get(key) is not None and not model.trajectory:
                console.print(f"  {heading:>12}  {model.sizes[key]:.4g}")
        if model.trajectory:
            _print_trajectory(model.trajectory, MACHINE_COLUMNS, console)


def _print_sections(analysis: Analysis, console: Console, member: str = "") -> None:
    """Print the verdict, and sentences under titles; member: words that name it, for an ensemble."""
    from groklab.analysis import MixtureAnalysis

    console.print(titled(analysis.run, f"{member}: {analysis.task}, step {analysis.step:,}"))
    _print_headline(analysis, console)
    console.print(analysis.verdict(), style="bold")
    for section in analysis.sections():
        console.print()
        console.print(section.title, style="underline")
        _print_sentences(section.sentences, console)
    if isinstance(analysis.model, MixtureAnalysis):
        console.print("\nmore of each operation: groklab measure with --measure logit_parts, logits_2d", style="dim")


def _print_headline(analysis: Analysis, console: Console) -> None:
    if analysis.headline is not None:
        console.print(analysis.headline.sentence())


def _print_sentences(sentences: Sequence[str], console: Console) -> None:
    from rich.padding import Padding

    for sentence in sentences:
        console.print(Padding(f"· {sentence}", (0, 0, 0, 2)))


def _print_trajectory(trajectory: Mapping[str, Any], columns: Mapping[str, str], console: Console) -> None:
    """Print some rows of a trajectory, those columns that hold a number."""
    from groklab.store import thin_evenly

    values = jsonable({k: trajectory[k] for k in ("step", *columns) if k in trajectory})
    table = plain_table(padding=(0, 1, 0, 0))
    table.add_column("step", justify="right", no_wrap=True)
    shown = {k: v for k, v in columns.items() if any(x is not None for x in values.get(k, []))}
    for heading in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for i in thin_evenly(range(len(values["step"])), ROWS):
        row = [values[k][i] for k in shown]
        cells = ["–" if v is None else f"{v:.1e}" if v and not 0.01 <= abs(v) < 1e4 else f"{v:.3g}" for v in row]
        table.add_row(f"{values['step'][i]:,}", *cells)
    console.print(table)


def _print_tables(run: Run, name: str, member: int, keys: list[int] | None, step: int | None, console: Console) -> bool:
    """Print a measure of one checkpoint as tables; return whether it has any."""
    from groklab.analysis import last_complete_step, take
    from groklab.measures import MEASURES

    as_tables = MEASURES[name].tables if name in MEASURES else None
    if as_tables is None:
        return False
    at = last_complete_step(run, member) if step is None else step
    tables = as_tables(take(run, name, member, keys, [at]).drop("step").row(0, named=True))
    if not tables:
        return False
    console.print(titled(run.name, f": {name}, step {at:,}"))
    for table in tables:
        console.print(f"\n{table.title}")
        _print_named(table, console)
    console.print("\n--step takes another checkpoint, --json prints every one, and arrays in full", style="dim")
    return True


def _print_named(table: NamedTable, console: Console) -> None:
    drawn = plain_table(padding=(0, 2, 0, 0))
    for place, heading in enumerate(table.head):
        numeric = place > 0 and all(row[place][:1] in "-0123456789–" and ", " not in row[place] for row in table.rows)
        drawn.add_column(heading, justify="right" if numeric else "left")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)


def _print_frame(frame: pl.DataFrame, console: Console) -> None:
    """Print numbers by name at the first, the middle and the last checkpoint, and arrays by their length."""
    steps = frame["step"].to_list()
    places = sorted({0, len(steps) // 2, len(steps) - 1})
    table = plain_table(padding=(0, 1), pad_edge=True)
    table.add_column("step")
    for place in places:
        table.add_column(f"{steps[place]:,}", justify="right")
    for name in frame.columns[1:]:
        values = [frame[name][place] for place in places]
        table.add_row(name, *(_cell(v) for v in values))
    console.print(table)
    console.print("--json prints every checkpoint, and arrays in full", style="dim")


def _cell(value: Any) -> str:
    import polars as pl

    if isinstance(value, pl.Series):
        if value.dtype == pl.String:
            return ", ".join(value) if len(value) <= 3 else f"{len(value)} names"
        return f"{len(value)} rows" if len(value) and isinstance(value[0], pl.Series) else f"{len(value)} numbers"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@app.command(rich_help_panel=TAKE_APART)
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    member: Annotated[int, IntOption(help="Which model of an ensemble.")] = 0,
    trust_plugin: TrustPlugin = False,
    as_json: Json = False,
) -> None:
    """Explain which algorithm a trained model has learnt, in sentences with the values of that model.

    Example:

      groklab explain demo
    """
    from groklab.analysis import explain as explained
    from groklab.cli.look import readable_run

    console = console_for(as_json)
    trained = readable_run(run, trust_plugin, computing=True)
    with bar(console, "measuring checkpoints") as progress:
        analysis = explained(trained, member, view=lambda m: progress(m.done, m.total))
    if as_json:
        emit(analysis.explanation())
        return
    _print_sections(analysis, console, f", member {member} (seed {analysis.seed})" if trained.n_members > 1 else "")


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left, which goes away at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _frequencies(text: str | None) -> list[int] | None:
    if text is None:
        return None
    frequencies = [integer_in(part) for part in text.split(",")]
    if None in frequencies:
        raise InputError("--frequencies", text, "needs integers with commas between them, such as 14,35")
    return [k for k in frequencies if k is not None]
