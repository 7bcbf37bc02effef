"""How `measure` prints the analysis of one model: sentences, and a table of checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from groklab.analysis import Analysis, CircuitAnalysis, FeatureAnalysis, MixtureAnalysis, NotApplicable
from groklab.text import jsonable

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


def print_analysis(analysis: Analysis, console: Console, seed: str = "") -> None:
    """Print what was measured of one model; seed: words that name it, for an ensemble."""
    model, phase = analysis.model, analysis.learning_phase
    console.print(f"[bold]{analysis.run}[/bold]{seed}: {analysis.task}, step {analysis.step:,}")
    note = f" ({phase.reason})" if phase.reason else ""
    console.print(f"learning phase: {phase.phase}{note}", markup=False, highlight=False)
    if isinstance(model, CircuitAnalysis | MixtureAnalysis) and model.key_frequencies is not None:
        keys = ", ".join(map(str, model.key_frequencies))
        console.print(f"key frequencies ({model.rule}): {keys}", markup=False, highlight=False)
    _print_sentences(model.sentences(), console)
    if isinstance(model, CircuitAnalysis):
        _print_sentences([model.stages_sentence()], console)
        _print_trajectory({"step": model.steps, **model.trajectory}, COLUMNS, console)
    elif isinstance(model, MixtureAnalysis):
        _print_sentences(model.sparsity_sentences(), console)
        for operation in model.operations:
            console.print(f"\n[underline]{operation.name}[/underline]")
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


def print_sections(analysis: Analysis, console: Console, member: str = "") -> None:
    """Print the verdict, and sentences under titles; member: words that name it, for an ensemble."""
    console.print(f"[bold]{analysis.run}[/bold]{member}: {analysis.task}, step {analysis.step:,}")
    console.print(analysis.verdict(), style="bold", markup=False)
    for section in analysis.sections():
        console.print(f"\n[underline]{section.title}[/underline]")
        _print_sentences(section.sentences, console)
    if isinstance(analysis.model, MixtureAnalysis):
        console.print("\nmore of each operation: groklab measure with --measure logit_parts, logits_2d", style="dim")


def _print_sentences(sentences: Sequence[str], console: Console) -> None:
    for sentence in sentences:
        console.print(Padding(Text(f"· {sentence}"), (0, 0, 0, 2)))


def _print_trajectory(trajectory: Mapping[str, Any], columns: Mapping[str, str], console: Console) -> None:
    """Print some rows of a trajectory, those columns that hold a number."""
    values = jsonable({k: trajectory[k] for k in ("step", *columns) if k in trajectory})
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("step", justify="right", no_wrap=True)
    shown = {k: v for k, v in columns.items() if any(x is not None for x in values.get(k, []))}
    for heading in shown.values():
        table.add_column(heading, justify="right", no_wrap=True)
    n = len(values["step"])
    for i in sorted({round(j * (n - 1) / max(ROWS - 1, 1)) for j in range(ROWS)}):
        row = [values[k][i] for k in shown]
        cells = ["–" if v is None else f"{v:.1e}" if v and not 0.01 <= abs(v) < 1e4 else f"{v:.3g}" for v in row]
        table.add_row(f"{values['step'][i]:,}", *cells)
    console.print(table)
