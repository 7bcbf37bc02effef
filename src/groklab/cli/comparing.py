"""What `compare` prints of runs, or of members of one, beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from groklab.cli.app import console_for, emit, interval_text, plain_table, step_text

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.measures import NamedTable


def compare_runs(names: Sequence[str], as_json: bool, quick: bool) -> None:
    """Print runs beside each other: what happened, the settings that differ, and what their models compute."""
    from groklab.analysis import compare
    from groklab.cli.measuring import bar
    from groklab.grokking import OWNER, headline_sentence, phase_counts

    console = console_for(as_json)
    comparison = compare(names)
    if not quick:
        with bar(console, "taking models apart") as progress:
            comparison.measure(progress)
    if as_json:
        emit(comparison.to_dict(models=not quick))
        return
    for sentence in comparison.sentences():
        console.print(sentence)
    for group in comparison.statistics["pooled"]:
        _print_pooled(group, console)
    for name, run, phases in zip(comparison.names, comparison.runs, comparison.phases, strict=True):
        console.print(f"\n{name}: {run.status.state}, {run.status.step:,} steps", style="bold")
        console.print(headline_sentence(run.headlines) or "nothing is evaluated yet")
        alone = phases[0].sentence() if len(phases) == 1 else phase_counts(phases)
        console.print(f"phase of {OWNER}: {alone}")
    settings = comparison.settings_table()
    if settings is not None:
        _print_table(settings, console)
    if quick:
        return
    console.print("\nWhat they compute", style="underline")
    for sentence in comparison.model_sentences():
        console.print(f"· {sentence}")
    for table in (comparison.models_table(), comparison.ablations_table()):
        if table is not None:
            _print_table(table, console)
    console.print("\n`groklab report` with the same names draws their curves, spectra and circles", style="dim")


def _print_pooled(group: dict[str, Any], console: Console) -> None:
    g = group["grokking"]
    if g:
        console.print(
            f"pooled over {len(group['runs'])} runs that differ in seeds: {g['n_grokked']} of {g['n']} generalised, "
            f"median step {step_text(g['median'])}, 95% interval {interval_text(g)}"
        )


def _print_table(table: NamedTable, console: Console) -> None:
    console.print(f"\n{table.title}", style="underline")
    drawn = plain_table(padding=(0, 2, 0, 0))
    for i, heading in enumerate(table.head):
        drawn.add_column(heading, justify="right" if i else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)
