"""What a model looks at in a pair of operands (Mallinar et al. 2024): its feature matrices, judged and worded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import Weights, readable
from groklab.analysis._feature_history import TurningPoints, history_frame, power_by_frequency, recorded, turning_points
from groklab.analysis._model import PAGE, ModelAnalysis, NotApplicable, Options, Section, sections_of, take_parts
from groklab.errors import InputError
from groklab.experiment import Experiment
from groklab.measures import (
    ALIKE,
    CIRCULANT,
    ENTRIES,
    FAR,
    NAMES,
    best,
    compared,
    feature_matrix,
    has_two_operands,
    is_ambiguous,
    is_function_of,
    is_kernel_machine,
)
from groklab.networks import MLP
from groklab.store import thin
from groklab.tasks import ORIENTATIONS, Task, as_trained, make_split
from groklab.text import in_powers, jsonable, listed, loss_of, percent

#: Floating-point operations that a page waits for, of all checkpoints' feature matrices and of one more solution.
PATIENCE, PATIENCE_OF_ONE = 4e11, 2e10
#: Features have come far when the circulant deviation is this much of its first value.
LOWER = 0.9


@dataclass(frozen=True, repr=False)
class FeatureAnalysis(ModelAnalysis):
    """One member's feature matrices (2p, 2p) through training; a kernel machine's is judged by its off-diagonal block.

    Args:
        task: what it was trained on.
        learner: the settings of a kernel machine; None for a network.
        steps: the checkpoints, those that cannot be read among them.
        matrices: by step.
        history: one row per step, as `history_frame` makes it.
        turning: as `turning_points` gives it.
        metrics: the member's evaluations.
        stratified: the measure `stratified_accuracy` of the final model, empty where it does not apply or would take
            too long.
        by_class: the measure `class_agops`, likewise.
    """

    task: Task
    learner: Mapping[str, Any] | None
    steps: Sequence[int]
    matrices: Mapping[int, np.ndarray]
    history: pl.DataFrame
    turning: TurningPoints
    metrics: pl.DataFrame
    stratified: Mapping[str, Any]
    by_class: Mapping[str, Any]

    @property
    def kernel_machine(self) -> bool:
        """Whether it is a kernel machine rather than a network."""
        return self.learner is not None

    @property
    def p(self) -> int:
        """The modulus."""
        return len(self.final) // 2

    @property
    def end(self) -> int:
        """The last step."""
        return max(self.matrices)

    @property
    def final(self) -> np.ndarray:
        """The last feature matrix."""
        return self.matrices[self.end]

    @property
    def matrix(self) -> str:
        """The name of the feature matrix."""
        return "M" if self.kernel_machine else "√AGOP"

    @property
    def deviations(self) -> dict[str, float | None]:
        """How far the final block is from each circulant orientation, 0 to 1; None where it is zero."""
        return {k: self.history[k][-1] for k in ORIENTATIONS}

    @property
    def orientation(self) -> str | None:
        """That of the smallest deviation; None where the block is zero."""
        return best(self.deviations)

    @property
    def reordered(self) -> bool:
        """Whether the block is circulant in the order of logarithms rather than as it is."""
        return self.orientation is not None and self.orientation.endswith("_log")

    @property
    def determines_answer(self) -> bool:
        """Whether the task's answer is a function of what the block compares."""
        return self.orientation is not None and is_function_of(self.task, self.orientation)

    def at(self, name: str, step: int | None = None) -> float:
        """Return a number of `history` or of the metrics at the step nearest to one, or the last; NaN where none is."""
        frame = self.history if name in self.history.columns else self.metrics
        if step is not None:
            frame = frame.sort((pl.col("step") - step).abs(), maintain_order=True).head(1)
        known = name in frame.columns and not frame.is_empty() and frame[name][-1] is not None
        return float(frame[name][-1]) if known else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return what is recorded and measured of a kernel machine at its last checkpoint, and values by step."""
        trajectory = recorded(self.metrics, self.steps)
        history = pl.DataFrame({"step": self.steps}).join(self.history, on="step", how="left", maintain_order="left")
        final = {k: v[-1] for k, v in recorded(self.metrics, [self.end]).items() if k != "step"}
        one = self.history.row(-1, named=True)
        values = {
            "learner": self.learner,
            **final,
            "hidden_progress": vars(self.turning),
            **({"stratified_accuracy": self.stratified} if self.stratified else {}),
            "circulant_deviation": self.deviations,
            "orientation": self.orientation,
            "alignment": {k: history[k].to_list() for k in ("full", "off_block")},
            "block_structure": {k: one[k] for k in ("c1", "c2", "ratio", "residual", "off_diagonal_share")},
            **{k: one[k] for k in ("effective_rank", "top_share")},
            "trajectory": {**trajectory, **{k: history[k].to_list() for k in history.columns if k != "step"}},
        }
        return dict(jsonable(values))

    def verdict(self) -> str:
        """Return what a kernel machine's features compare, or how circulant a network's block is."""
        if not self.kernel_machine:
            return self.orientation_sentence()
        accuracy = self.at("test_accuracy", self.end)
        right = f"it answers {percent(accuracy)} of the test pairs"
        if accuracy != accuracy:
            right = "its accuracy is not recorded"
        if self.orientation is None:
            return f"No features yet: the off-diagonal block of its feature matrix M is zero, and {right}."
        deviation = float(self.deviations[self.orientation] or 0.0)
        if deviation > FAR:
            return (
                f"No circulant features: the off-diagonal block of M deviates from every circulant by "
                f"{deviation:.2f} or more, and {right}."
            )
        if is_ambiguous(self.deviations):
            return f"The off-diagonal block of M is {ALIKE}; {right}."
        meaning = "as the task requires" if self.determines_answer else "which is not what the task requires"
        how = "It has learnt" if deviation <= CIRCULANT else "It has partly learnt"
        return (
            f"{how} features that group pairs with the same {compared(self.orientation)}, {meaning}: the off-diagonal "
            f"block of M is {ENTRIES[self.orientation]} except for {percent(deviation)} of its squared entries, and "
            f"{right}."
        )

    def sentences(self) -> list[str]:
        """Return the verdict, orientation, when it moved, block structure, accuracy on strata, sizes and classes."""
        verdict = [self.verdict()] if self.kernel_machine else []
        sentences = [*verdict, self.orientation_sentence(), self.hidden_sentence(), self.structure_sentence()]
        if self.stratified:
            sentences.append(self.stratified_sentence())
        if self.kernel_machine:
            sentences.append(self.machine_sentence())
        return [*sentences, self.class_sentence()] if self.by_class else sentences

    def sections(self) -> list[Section]:
        """Return what is measured of the block, of training, of the matrix, of strata, sizes and classes."""
        hidden, orientation = [self.tenth_sentence(), self.hidden_sentence()], self.orientation_sentence()
        follows = self.stratified or self.task.algebra.transposable
        strata = self.stratified_sentence() if self.stratified else ""
        if not follows:
            strata = "The order of operands matters, so no test pair follows from its transpose."
        return sections_of(
            {
                f"Off-diagonal block of {self.matrix}": [orientation, self.meaning_sentence()],
                "Hidden progress of the features": hidden,
                f"Block structure of {self.matrix}": [self.structure_sentence(), self.spectrum_sentence()],
                "Commutativity": [strata],
                "The machine": [self.errors_sentence(), self.machine_sentence()] if self.kernel_machine else [],
                "Classes": [self.class_sentence()] if self.by_class else [],
            }
        )

    def orientation_sentence(self) -> str:
        """Return how circulant the off-diagonal block is, which way, and what that compares."""
        if self.orientation is None:
            return f"The off-diagonal block of {self.matrix} is zero at step {self.end:,}, so nothing is circulant."
        deviation = float(self.deviations[self.orientation] or 0.0)
        others = {k: v for k, v in self.deviations.items() if k != self.orientation and v is not None}
        rest = f" ({listed([f'{v:.2f} as {NAMES[k]}' for k, v in others.items()])})" if others else ""
        if deviation > FAR:
            return (
                f"The off-diagonal block of {self.matrix} is not circulant at step {self.end:,}: it deviates by "
                f"{deviation:.2f} at best, as {NAMES[self.orientation]}{rest}; 0 is circulant, 1 not at all."
            )
        how = "is" if deviation <= CIRCULANT else "is partly"
        return (
            f"The off-diagonal block of {self.matrix} {how} {ENTRIES[self.orientation]} at step {self.end:,}: it "
            f"deviates from a circulant by {deviation:.3g}{rest}."
        )

    def meaning_sentence(self) -> str:
        """Return what each orientation of a kernel machine's block compares; nothing of a network or a zero block."""
        if not self.kernel_machine or self.orientation is None:
            return ""
        each = [f"{compared(k)} ({NAMES[k]})" for k, v in self.deviations.items() if v is not None]
        return (
            f"A circulant block groups pairs with the same {', '.join(each[:-1])} or {each[-1]}; log order is "
            "that of the powers of a generator, without 0."
        )

    def tenth_sentence(self) -> str:
        """Return when the circulant deviation is a tenth lower than at first; nothing where one step has it."""
        if self.orientation is None:
            return ""
        rows = self.history.filter(pl.col(self.orientation).is_not_null())
        if len(rows) < 2:
            return ""
        first = rows[self.orientation][0]
        lower = rows.filter(pl.col(self.orientation) < LOWER * first)["step"]
        when = f"is a tenth lower from step {lower[0]:,} on" if len(lower) else "never falls by a tenth"
        return (
            f"The circulant deviation is first defined at step {rows['step'][0]:,}, where it is {first:.2f}; it {when}."
        )

    def hidden_sentence(self) -> str:
        """Return how far the features had come when loss and accuracy had hardly moved."""
        moved, risen = self.turning.loss_moves_step, self.turning.accuracy_rises_step
        bar = percent(self.turning.accuracy_over, 0)
        first = self._first()
        above = len(self.metrics) and self.at("test_accuracy", 0) > self.turning.accuracy_over
        if moved is None and risen is None:
            if above:
                return f"Test accuracy is above {bar} from the start, so there is no plateau with hidden progress."
            return f"Test loss never moves by 1% and test accuracy never passes {bar} within these steps."
        parts = []
        if moved is not None:
            parts.append(f"test loss first moves by 1% at step {moved:,}")
        if risen is not None:
            parts.append(f"test accuracy first passes {bar} at step {risen:,}")
        head = " and ".join(parts)
        head = head[0].upper() + head[1:]
        if risen is None:
            head += f"; test accuracy {f'is above {bar} from the start' if above else f'never passes {bar}'}"
        mark = risen if risen is not None else moved
        if self.orientation is None or first is None or mark is None or mark <= first:
            return f"{head}."
        before = self.at(self.orientation, first), self.at(self.orientation, mark)
        aligned = self.at("off_block", first), self.at("off_block", mark)
        verb = "falls" if before[1] < before[0] else "rises"
        change = f"{aligned[0]:.2f} to {aligned[1]:.2f}".replace("-", "−")
        return (
            f"{head}; by step {mark:,} the circulant deviation {verb} from {before[0]:.2f} (step {first:,}) to "
            f"{before[1]:.2f}, and the alignment of the block with the final one goes from {change}."
        )

    def _first(self) -> int | None:
        """Return the first step with a deviation."""
        if self.orientation is None:
            return None
        steps = self.history.filter(pl.col(self.orientation).is_not_null())["step"]
        return int(steps[0]) if len(steps) else None

    def structure_sentence(self) -> str:
        """Return the diagonal blocks as c1 I + c2 11', and how much is off them."""
        c1, c2, ratio = (in_powers(f"{self.at(k):.3g}") for k in ("c1", "c2", "ratio"))
        return (
            f"The top-left block is c₁ I + c₂ 11' with c₁ = {c1} and c₂ = {c2}, so c₂p/c₁ = {ratio} (−1 removes the "
            f"mean), up to {percent(self.at('residual'))} of its norm; the off-diagonal blocks hold "
            f"{percent(self.at('off_diagonal_share'))} of the squared entries of {self.matrix}."
        )

    def spectrum_sentence(self) -> str:
        """Return how many directions the matrix holds."""
        first, last = self.history["effective_rank"][0], self.at("effective_rank")
        start = int(self.history["step"][0])
        began = f"; at step {start:,} it was {first:.0f}" if first is not None and start < self.end else ""
        return (
            f"The largest eigenvalue of {self.matrix} holds {percent(self.at('top_share'))} of their sum at step "
            f"{self.end:,}; the effective rank (exp of their entropy) is {last:.0f} of {len(self.final)}{began}."
        )

    def stratified_sentence(self) -> str:
        """Return the accuracy on test pairs whose transpose was not trained on."""
        s = self.stratified
        symmetry = "symmetry" if self.task.algebra.commutative else "f(y, x) = -f(x, y)"
        free, other = int(s["n_transpose_free"]), int(s["n_transposed"])
        if not free:
            return (
                f"Every one of the {other:,} test pairs has its transpose in the training set, so {symmetry} alone "
                "could answer it."
            )
        known = percent(float(s["transposed_accuracy"]))
        more = f", and {known} on the other {other:,}, which {symmetry} alone could answer"
        return (
            f"Accuracy is {percent(float(s['transpose_free_accuracy']))} on the {free:,} test pairs whose transpose is "
            f"not in the training set{more if other else ''}."
        )

    def errors_sentence(self) -> str:
        """Return the mean squared errors at the end."""
        train, test = (loss_of(self.at(k, self.end)) for k in ("train_loss", "test_loss"))
        return f"Its mean squared error is {train} on the training set and {test} on the test set."

    def machine_sentence(self) -> str:
        """Return condition number, trace, and the loss on the right class alone, at the beginning and at the end."""
        if not {"condition", "trace", "test_correct_loss"} <= set(self.metrics.columns) or self.metrics.is_empty():
            return "No evaluation recorded the condition number of its kernel matrix."
        began, ended = self.metrics.row(0, named=True), self.metrics.row(-1, named=True)
        return (
            f"The condition number of its kernel matrix goes from {loss_of(began['condition'])} to "
            f"{loss_of(ended['condition'])} and tr M from {began['trace']:.4g} to {ended['trace']:.4g}; the squared "
            f"error at the correct class alone goes from {began['test_correct_loss']:.3g} to "
            f"{ended['test_correct_loss']:.3g}."
        )

    def class_sentence(self) -> str:
        """Return how alike the classes' own AGOPs are."""
        alike = np.asarray(self.by_class["alignment"], np.float64)
        alike = alike[np.isfinite(alike)]
        if not len(alike):
            return "No class has an AGOP of its own to compare."
        return (
            f"The alignment of each of the {len(alike)} classes' AGOPs with their sum is {alike.min():.2f} to "
            f"{alike.max():.2f}, with a median of {np.median(alike):.2f} (1: identical)."
        )

    def matrix_sentence(self) -> str:
        """Return what a heat map of the matrix shows."""
        off = np.abs(self.final[~np.eye(len(self.final), dtype=bool)]).max(initial=0.0)
        order = ""
        if self.reordered:
            order = "; on the right residues are in the order of powers of a generator, where products are sums"
        return (
            f"Rows and columns are the residues of a, then those of b{order}. At step {self.end:,} the diagonal is "
            f"{np.mean(np.diag(self.final)):.3g} on average, and the largest other entry is {off:.2g}, where the "
            "colour scale ends."
        )

    def progress_sentence(self) -> str:
        """Return hidden progress, and which orientation a figure of it takes."""
        if self.orientation is None:
            return self.hidden_sentence()
        others = any(v is not None for k, v in self.deviations.items() if k != self.orientation)
        faint = "; the others are drawn faint" if others else ""
        return (
            f"{self.hidden_sentence()} Deviation is shown for {NAMES[self.orientation]}, the orientation of the "
            f"smallest at the end{faint}."
        )

    def fourier_sentence(self) -> str:
        """Return where a circulant would show among the Fourier components, and what share is there."""
        assert self.orientation is not None
        where = "the diagonal" if self.orientation.startswith("toeplitz") else "the places (k, −k)"
        order = ", in the order of logarithms," if self.reordered else ""
        return (
            f"A circulant of this orientation has power only on {where}: {percent(1 - self.at(self.orientation))} "
            f"of the block's power{order} is there at step {self.end:,}."
        )

    def power_sentence(self) -> str:
        """Return whether few frequencies carry the circulant, or all alike."""
        assert self.orientation is not None
        power = power_by_frequency(self.final, self.orientation)
        total = float(power.sum())
        if total <= 0:
            return "There is no power in any frequency."
        order = np.argsort(-power)
        share = power / total
        half = int(np.searchsorted(np.cumsum(share[order]), 0.5)) + 1
        return (
            f"At step {self.end:,}, {half} of the {len(power) - 1} frequencies above 0 hold half of the power; the "
            f"strongest, k = {order[0]}, holds {percent(share[order[0]])} (equal shares would be "
            f"{percent(1 / max(len(power) - 1, 1))})."
        )


def analyse_features(
    task: Task,
    experiment: Experiment,
    checkpoints: Mapping[int, Weights],
    metrics: pl.DataFrame,
    options: Options = PAGE,
) -> FeatureAnalysis | NotApplicable:
    """Measure one member's feature matrices; the arguments are those of `analyse_circuit`."""
    if not checkpoints:
        return NotApplicable("There is no checkpoint to measure features in.")
    model, split = experiment.model, make_split(experiment.split, task, experiment.seed)
    end = max(checkpoints)
    machine = is_kernel_machine(checkpoints[end], model)
    # where the split is unknown, feature matrices are of all inputs
    train = split.train if len(split.train) else None
    n_rows = task.n_inputs if train is None else len(train)
    if machine:
        task = as_trained(task, split)
    steps = list(checkpoints)
    if not machine:
        each = 2.0 * n_rows * int(getattr(model, "d_mlp", 0) or 0) ** 2
        steps = thin(steps, max(2, int(PATIENCE // max(each, 1.0))))
    flops = experiment.learner.flops(experiment, task.shape, n_rows) if machine and options.scope == "page" else 0
    names = [] if options.scope == "checkpoints" else ["class_agops"]
    names = [] if flops > PATIENCE_OF_ONE else ["stratified_accuracy", *names]
    results, _ = take_parts(names, checkpoints[end], task, split.train, network=model)
    stratified = results.get("stratified_accuracy", {})
    turning = turning_points(metrics)
    learner = experiment.to_dict()["learner"] if machine else None
    matrices = {}
    try:
        for done, step in enumerate(steps, 1):
            for _, weights in readable(checkpoints, [step]):
                matrices[step] = feature_matrix(weights, task, train, model)
            options.progress(done, len(steps))
    except (InputError, KeyError) as error:
        values = recorded(metrics, steps)
        sizes = {"learner": learner, **{k: v[-1] for k, v in values.items() if k != "step"}}
        sizes |= {"hidden_progress": vars(turning)}
        sizes |= {"stratified_accuracy": stratified} if stratified else {}
        return NotApplicable(f"The measures of features do not apply: {error}.", str(error), sizes, values)
    return FeatureAnalysis(
        task,
        learner,
        steps,
        matrices,
        history_frame(matrices),
        turning,
        metrics,
        stratified,
        results.get("class_agops", {}),
    )


def has_features(experiment: Experiment, task: Task | None) -> bool:
    """Return whether features are analysed: of a kernel machine, or one hidden layer on one-hot pairs mod p."""
    network = experiment.network
    if network is None:
        return is_kernel_machine({}, experiment.model)
    if task is None or not task.algebra.p or not has_two_operands(task):
        return False
    return isinstance(network, MLP) and network.n_hidden_layers == 1 and network.d_embed is None
