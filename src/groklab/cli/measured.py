"""What `measure` prints of one model: what `analyse` has found, in words and a table of checkpoints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from groklab.analysis.explaining_representations import representation_lines
from groklab.analysis.representations import RepresentationAnalysis
from groklab.measures.circulance import NAMES
from groklab.measures.training_stages import FEWEST

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


def say(found: dict[str, Any], console: Console) -> None:
    """What `analyse` gives of one model: key frequencies, phases and a table of checkpoints, or what there is else."""
    whose = f", seed {found['seed']}" if "seed" in found else ""
    console.print(f"[bold]{found['run']}[/bold]{whose}: {found['task']}, step {found['step']:,}")
    learning = found["learning_phase"]
    said = f" ({learning['reason']})" if learning["reason"] else ""
    console.print(f"learning phase: {learning['phase']}{said}", markup=False, highlight=False)
    if "learner" in found:
        _say_machine(found, console)
        return
    if found.get("representation") is not None:
        for text in (
            RepresentationAnalysis.of(found["representation"]).verdict(),
            *representation_lines(found["representation"]),
        ):
            console.print(f"  {text}", markup=False, highlight=False)
        return
    if "operations" in found:
        _say_mixture(found, console)
        return
    if "does_not_apply" in found:
        console.print(f"  {found['does_not_apply']}", markup=False)
        _say_sparsity(found, console)
        for key in ("train_loss", "test_loss", "sum_of_squares", "gini_W_E"):
            if found.get(key) is not None:
                console.print(f"  {COLUMNS[key]:>12}  {found[key]:.4g}")
        return
    _say_keys(found, found, console)
    if found.get("n_neurons"):
        console.print(
            f"{found['well_explained_neurons']} of {found['n_neurons']} neurons have at least 85% of their variance at "
            "one frequency"
        )
    _say_phases(found, console)
    _print_table(found["trajectory"], COLUMNS, console)


def _say_keys(found: dict[str, Any], fitted: dict[str, Any], console: Console) -> None:
    """The key frequencies; fitted: what holds the coefficients of all frequencies, if there are any."""
    keys, p = found["key_frequencies"], 2 * len(fitted.get("by_frequency", {}).get("alpha", [[]])[-1])
    note = "; all that there are: none stands out" if p and len(keys) == p // 2 else ""
    console.print(f"key frequencies ({found['rule']}): {', '.join(map(str, keys))}{note}")


def _say_phases(found: dict[str, Any], console: Console) -> None:
    ends = [(k.removesuffix("_ends").replace("_", " "), v) for k, v in found["phases"].items() if k != "rule"]
    told = ", ".join(f"{name} ends at {'–' if step is None else f'{step:,}'}" for name, step in ends)
    if all(step is None for _, step in ends) and len(found["trajectory"]["step"]) < FEWEST:
        told = f"{len(found['trajectory']['step'])} checkpoint(s) cannot tell them"
    console.print(f"phases: {told}")


def _say_mixture(found: dict[str, Any], console: Console) -> None:
    """The key frequencies of all operations, and the losses of each."""
    _say_keys(found, found["operations"][0], console)
    _say_sparsity(found, console)
    for one in found["operations"]:
        console.print(f"\n[underline]{one['operation']}[/underline]")
        _say_phases(one, console)
        _print_table(one["trajectory"], COLUMNS, console)
    if found["left_out"]:
        names = ", ".join(found["left_out"])
        console.print(f"\n{names}: no function of a + b or a − b, so without these losses", markup=False)
    console.print("\nmore of each operation: --measure logit_parts, --measure logits_2d", style="dim")


def _say_sparsity(found: dict[str, Any], console: Console) -> None:
    """FFS and FCR, where they are given."""
    numbers = found.get("fourier_sparsity", {})
    told = [
        f"{kind.upper()} of {of} {numbers[f'{kind}_{of}']:.3f}"
        for of in ("W_E", "W_L")
        for kind in ("ffs", "fcr")
        if numbers.get(f"{kind}_{of}") is not None
    ]
    if told:
        console.print(f"sparsity and balance of frequencies: {', '.join(told)}")


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
