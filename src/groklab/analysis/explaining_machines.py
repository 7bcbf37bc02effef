"""What a kernel machine has learnt, in words and numbers of that machine."""

from __future__ import annotations

from typing import Any

from groklab.measures.circulance import NAMES, compared
from groklab.tasks.base import Task

Section = tuple[str, list[str]]


def explain_machine(found: dict[str, Any], task: Task) -> list[Section]:
    """A title and lines of each section, of what `analyse` found."""
    return [_orientation(found, task), _hidden(found), _blocks(found), _strata(found, task), _machine(found)]


def _orientation(found: dict[str, Any], task: Task) -> Section:
    if found["orientation"] is None:
        return "Orientation", []
    lines = [
        f"{NAMES[k]}: deviation {v:.3f}; it would put together pairs of the same {compared(k)}"
        for k, v in sorted(found["circulant_deviation"].items(), key=lambda item: item[1] if item[1] is not None else 2)
        if v is not None
    ]
    lines.append("0 is circulant, 1 not at all; log order is that of the powers of a generator, without 0")
    return "Orientation of the off-diagonal block", lines


def _hidden(found: dict[str, Any]) -> Section:
    hidden, trajectory = found["hidden_progress"], found["trajectory"]
    loss, risen, bar = hidden["loss_moves_step"], hidden["accuracy_rises_step"], hidden["accuracy_over"]
    lines = []
    orientation = found["orientation"]
    seen = [i for i, v in enumerate(trajectory[orientation]) if v is not None] if orientation is not None else []
    if len(seen) > 1:
        first = trajectory[orientation][seen[0]]
        moved = next((i for i in seen if trajectory[orientation][i] < 0.9 * first), None)
        begins = f"from {first:.3f} at step {trajectory['step'][seen[0]]:,}, the first that has one"
        when = (
            f"is a tenth lower from step {trajectory['step'][moved]:,}" if moved is not None else "never falls a tenth"
        )
        lines.append(f"the circulant deviation, {begins}, {when}")
    lines.append(f"test loss first moves by 1% at step {loss:,}" if loss is not None else "test loss never moves by 1%")
    began = trajectory["test_accuracy"][0] if trajectory.get("test_accuracy") else None
    if risen is not None:
        lines.append(f"test accuracy first passes {bar:.0%} at step {risen:,}")
        at = next((i for i in seen if trajectory["step"][i] >= risen), None)
        if at is not None:
            aligned = trajectory["off_block"][at]
            lines.append(
                f"by then the deviation is {trajectory[orientation][at]:.3f}, and the block aligns with its final self "
                f"by {aligned:.2f}"
            )
    elif began is not None and began > bar:
        lines.append(f"test accuracy is above {bar:.0%} from the start, {began:.1%}")
    else:
        lines.append(f"test accuracy never passes {bar:.0%}")
    return "Hidden progress", lines


def _blocks(found: dict[str, Any]) -> Section:
    s = {k: float("nan") if v is None else v for k, v in found["block_structure"].items()}
    return "Block structure of M", [
        f"top-left block c1 I + c2 11': c1 = {s['c1']:.3g}, c2 p / c1 = {s['ratio']:.3f} (−1 takes out the mean), up "
        f"to {s['residual']:.1%} of its norm",
        f"{s['off_diagonal_share']:.1%} of the squares of M are in the off-diagonal blocks",
        f"about {found['effective_rank']:.0f} directions, by the entropy of its eigenvalues",
    ]


def _strata(found: dict[str, Any], task: Task) -> Section:
    title = "Commutativity"
    s = found.get("stratified_accuracy")
    if s is None:
        if task.algebra.commutative:
            return title, []
        return title, ["the order of operands matters here, so that no test pair follows from its transpose"]
    free, other = int(s["n_transpose_free"]), int(s["n_transposed"])
    if not free:
        return title, [
            f"all {other:,} test pairs have their transpose in the training set, where symmetry answers them"
        ]
    lines = [f"{s['transpose_free_accuracy']:.1%} of the {free:,} test pairs whose transpose was not trained on"]
    if other:
        lines.append(f"{s['transposed_accuracy']:.1%} of the other {other:,}, which symmetry alone would answer")
    return title, lines


def _machine(found: dict[str, Any]) -> Section:
    lines = [
        f"{words}: {found[k]:.3g}"
        for k, words in (
            ("train_loss", "mean squared error on the training set"),
            ("test_loss", "on the test set"),
            ("test_correct_loss", "on the test set, at the right class alone"),
            ("condition", "condition number of the kernel matrix"),
            ("trace", "trace of M"),
        )
        if found.get(k) is not None
    ]
    return "The machine", lines
