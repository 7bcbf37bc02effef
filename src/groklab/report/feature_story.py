"""What a run's features say, in sentences whose every number is measured on this run."""

from __future__ import annotations

import numpy as np

from groklab.analysis.feature_frames import power_frame
from groklab.analysis.features import FeatureAnalysis
from groklab.measures.circulance import CIRCULANT, ENTRIES, FAR, NAMES
from groklab.text import listed, loss_of, percent


def told(f: FeatureAnalysis) -> list[str]:
    """A few sentences: orientation, when it moved, block structure, accuracy on strata, numbers of the machine."""
    said = [
        *([f.verdict()] if f.kernel_machine else []),
        orientation_sentence(f),
        hidden_sentence(f),
        structure_sentence(f),
    ]
    if f.stratified:
        said.append(stratified_sentence(f))
    if f.kernel_machine:
        said.append(machine_sentence(f))
    if f.by_class:
        said.append(class_sentence(f))
    return said


def orientation_sentence(f: FeatureAnalysis) -> str:
    """How circulant the off-diagonal block is, which way, and what that compares."""
    if f.orientation is None:
        return f"The off-diagonal block of {f.matrix} is zero at step {f.end:,}: there is nothing circulant to find."
    deviation = f.last(f.orientation)
    others = [
        f"{f.last(k):.2f} as {name}" for k, name in NAMES.items() if k != f.orientation and f.last(k) == f.last(k)
    ]
    rest = f" ({listed(others)})" if others else ""
    if deviation > FAR:
        return (
            f"The off-diagonal block of {f.matrix} is not circulant at step {f.end:,}: it deviates by "
            f"{deviation:.2f} at best, as {NAMES[f.orientation]}{rest}; 0 is circulant, 1 not at all."
        )
    how = "is" if deviation <= CIRCULANT else "is partly"
    return (
        f"The off-diagonal block of {f.matrix} {how} {ENTRIES[f.orientation]} at step {f.end:,}: it deviates from a "
        f"circulant by {deviation:.3g}{rest}."
    )


def hidden_sentence(f: FeatureAnalysis) -> str:
    """How far the features had come when loss and accuracy had hardly moved."""
    moved, risen = f.turning["loss_moves_step"], f.turning["accuracy_rises_step"]
    bar = percent(f.turning["accuracy_over"], 0)
    first = _first(f)
    if moved is None and risen is None:
        if len(f.metrics) and f.at("test_accuracy", 0) > f.turning["accuracy_over"]:
            return f"Test accuracy is above {bar} from the start, so there is no flat stretch to look behind."
        return f"Test loss never moves by 1% and test accuracy never passes {bar} within these steps."
    parts = []
    if moved is not None:
        parts.append(f"Test loss first moves by 1% at step {moved:,}")
    if risen is not None:
        parts.append(f"test accuracy first passes {bar} at step {risen:,}")
    head = " and ".join(parts)
    head = head[0].upper() + head[1:]
    if risen is None:
        head += f"; test accuracy {_flat(f)}"
    mark = risen if risen is not None else moved
    if f.orientation is None or first is None or mark is None or mark <= first:
        return f"{head}."
    before = f.at(f.orientation, first), f.at(f.orientation, mark)
    aligned = f.at("off_block", first), f.at("off_block", mark)
    verb = "fallen" if before[1] < before[0] else "risen"
    return (
        f"{head}; by step {mark:,} the circulant deviation had {verb} from {before[0]:.2f} (step {first:,}) to "
        f"{before[1]:.2f}, and the block's alignment with its final self gone from {aligned[0]:.2f} to "
        f"{aligned[1]:.2f}."
    )


def _flat(f: FeatureAnalysis) -> str:
    bar = percent(f.turning["accuracy_over"], 0)
    above = len(f.metrics) and f.at("test_accuracy", 0) > f.turning["accuracy_over"]
    return f"is above {bar} from the start" if above else f"never passes {bar}"


def _first(f: FeatureAnalysis) -> int | None:
    """The first step with a deviation."""
    if f.orientation is None:
        return None
    seen = f.history.filter(f.history[f.orientation].is_not_null())
    return int(seen["step"][0]) if len(seen) else None


def structure_sentence(f: FeatureAnalysis) -> str:
    """The diagonal blocks as c1 I + c2 11', and how much lies off them."""
    return (
        f"The top-left block is c₁ I + c₂ 11' with c₁ = {_signed(f.last('c1'))} and c₂ = {_signed(f.last('c2'))}, "
        f"so c₂p/c₁ = {_signed(f.last('ratio'))} (−1 takes out the mean), up to {percent(f.last('residual'))} of its "
        f"norm; {percent(f.last('off_diagonal_share'))} of the squares of {f.matrix} lie in the off-diagonal blocks."
    )


def _signed(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def stratified_sentence(f: FeatureAnalysis) -> str:
    """Accuracy on test pairs whose transpose was not trained on."""
    s = f.stratified
    free, other = int(s["n_transpose_free"]), int(s["n_transposed"])
    if not free:
        return (
            f"Every one of the {other:,} test pairs has its transpose in the training set, where symmetry answers it."
        )
    more = f"; {percent(float(s['transposed_accuracy']))} on the other {other:,}, which symmetry alone would answer"
    return (
        f"On the {free:,} test pairs whose transpose was not trained on its accuracy is "
        f"{percent(float(s['transpose_free_accuracy']))}{more if other else ''}."
    )


def machine_sentence(f: FeatureAnalysis) -> str:
    """Condition number, trace, and the loss on the right class alone."""
    if not {"condition", "trace", "test_correct_loss"} <= set(f.metrics.columns) or f.metrics.is_empty():
        return "No evaluation says how well its kernel matrix was conditioned."
    began, ended = f.metrics.row(0, named=True), f.metrics.row(-1, named=True)
    return (
        f"The condition number of its kernel matrix goes from {loss_of(began['condition'])} to "
        f"{loss_of(ended['condition'])} and tr M from {began['trace']:.4g} to {ended['trace']:.4g}; the squared error "
        f"at the right class alone goes from {began['test_correct_loss']:.3g} to {ended['test_correct_loss']:.3g}."
    )


def class_sentence(f: FeatureAnalysis) -> str:
    """How alike the classes' own AGOPs are."""
    seen = np.asarray(f.by_class["alignment"], np.float64)
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return "No class has an AGOP of its own to compare."
    return (
        f"The AGOPs of the {len(seen)} classes, one by one, align with their sum by {seen.min():.2f} to "
        f"{seen.max():.2f}, with a median of {np.median(seen):.2f} (1 is equal)."
    )


def matrix_sentence(f: FeatureAnalysis) -> str:
    """What the heat map shows."""
    off = np.abs(f.final[~np.eye(len(f.final), dtype=bool)]).max(initial=0.0)
    order = ""
    if f.reordered:
        order = "; on the right residues stand in the order of powers of a generator, where products are sums"
    return (
        f"Rows and columns are the residues of a, then those of b{order}. At step {f.end:,} the diagonal is "
        f"{np.mean(np.diag(f.final)):.3g} on average, and the largest other entry {off:.2g}: the colours end there."
    )


def progress_sentence(f: FeatureAnalysis) -> str:
    """What the picture of hidden progress draws, and which orientation it takes."""
    if f.orientation is None:
        return hidden_sentence(f)
    others = any(f.last(k) == f.last(k) for k in NAMES if k != f.orientation)
    faint = "; the others are drawn faint" if others else ""
    return (
        f"{hidden_sentence(f)} Deviation is shown for {NAMES[f.orientation]}, the orientation of the smallest at the "
        f"end{faint}."
    )


def spectrum_sentence(f: FeatureAnalysis) -> str:
    """How many directions the matrix holds."""
    first, last = f.history["effective_rank"][0], f.last("effective_rank")
    start = int(f.history["step"][0])
    began = f"; at step {start:,} they were {first:.0f}" if first is not None and start < f.end else ""
    return (
        f"Of {len(f.final)} directions {f.matrix} holds about {last:.0f} at step {f.end:,} (exp of the entropy of its "
        f"eigenvalues), the largest with {percent(f.last('top_share'))} of the sum{began}."
    )


def fourier_sentence(f: FeatureAnalysis) -> str:
    """Where a circulant would show, and what share is there."""
    assert f.orientation is not None
    where = "the diagonal" if f.orientation.startswith("toeplitz") else "the places (k, −k)"
    order = ", in the order of logarithms," if f.reordered else ""
    return (
        f"A circulant of this orientation lies on {where} alone: of the block{order} "
        f"{percent(1 - f.last(f.orientation))} of the squares lie there at step {f.end:,}."
    )


def power_sentence(f: FeatureAnalysis) -> str:
    """Whether few frequencies carry the circulant, or all alike."""
    assert f.orientation is not None
    power = power_frame({f.end: f.final}, f.orientation)["power"].to_numpy()
    total = float(power.sum())
    if total <= 0:
        return "There is no power in any frequency."
    order = np.argsort(-power)
    share = power / total
    half = int(np.searchsorted(np.cumsum(share[order]), 0.5)) + 1
    return (
        f"At step {f.end:,}, {half} of the {len(power) - 1} frequencies besides 0 hold half of the power, the "
        f"strongest, k = {order[0]}, {percent(share[order[0]])}, where even shares would be "
        f"{percent(1 / max(len(power) - 1, 1))}."
    )
