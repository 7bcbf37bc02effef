"""Claims on losses and accuracies of kernel machines: a flat test loss, and then a sharp transition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from groklab.experiment.presets import preset
from groklab.papers.mallinar2024.claims.common import (
    KERNELS,
    accuracy,
    after_updates,
    curve,
    data_of,
    first,
    machines,
    of_all,
    solved,
    trial,
)
from groklab.papers.mallinar2024.presets import OPERATIONS
from groklab.reproduction import Bench, Claim, Finding, Trial

Curves = dict[tuple[str, str], np.ndarray]


def _curves(bench: Bench, seed: int, name: str) -> Curves:
    """A metric's values at iterations 0 to 29, by kernel and operation."""
    found: Curves = {}
    for kernel in KERNELS:
        run = machines(bench, kernel, seed)
        found |= {(kernel, operation): curve(run, name, i) for i, operation in enumerate(OPERATIONS)}
    return found


def _of_kernel(curves: Curves, kernel: str) -> list[np.ndarray]:
    return [values for (k, _), values in curves.items() if k == kernel]


def _interpolates(bench: Bench, seed: int) -> Finding:
    losses, right = _curves(bench, seed, "train_loss"), _curves(bench, seed, "train_accuracy")
    worst = {kernel: max(float(v.max()) for v in _of_kernel(losses, kernel)) for kernel in KERNELS}
    least = min(float(v.min()) for v in right.values())
    values = {f"{k}_largest_train_mse": v for k, v in worst.items()} | {"least_train_accuracy": least}
    holds = worst["quadratic"] < 1e-30 and worst["gaussian"] < 1e-24 and least == 1
    said = f"training loss at most {worst['quadratic']:.1e} (quadratic), {worst['gaussian']:.1e} (Gaussian)"
    return Finding(values, holds, said)


def _nothing_at_first(bench: Bench, seed: int) -> Finding:
    found = _curves(bench, seed, "test_accuracy")
    values: dict[str, Any] = {}
    for operation in OPERATIONS:
        start = [float(found[kernel, operation][0]) for kernel in KERNELS]
        values[f"{operation}_at_iteration_0"] = max(start)
    left = [first(found[k, o] > 0) for k in KERNELS for o in ("add", "subtract")]
    values["sums_and_differences_leave_0_at"] = min((v for v in left if v is not None), default=None)
    values["right_without_a_zero"] = _right_without_zero(bench, seed)
    sums = max(values["add_at_iteration_0"], values["subtract_at_iteration_0"])
    holds = sums == 0 and values["right_without_a_zero"] == 0 and (values["sums_and_differences_leave_0_at"] or 99) >= 7
    said = (
        f"sums and differences {sums:.3g} until iteration {values['sums_and_differences_leave_0_at']}; products "
        f"{values['multiply_at_iteration_0']:.3f} and quotients {values['divide_at_iteration_0']:.3f}, all with a zero"
    )
    return Finding(values, holds, said)


def _right_without_zero(bench: Bench, seed: int) -> int:
    """Test products and quotients that the plain kernel machine gets right though no operand is zero."""
    count = 0
    for kernel in KERNELS:
        run = machines(bench, kernel, seed)
        for operation in ("multiply", "divide"):
            member = list(OPERATIONS).index(operation)
            task, train, test = data_of(run, member)
            outputs = solved(run, run.weights(0, member), task, train, member)[test]
            free = (task.operands[test] != 0).all(axis=1)
            count += round(accuracy(outputs[free], task.targets[test][free]) * int(free.sum()))
    return count


def _transition(kernel: str) -> Callable[[Bench, int], Finding]:
    def run(bench: Bench, seed: int) -> Finding:
        trained = machines(bench, kernel, seed)
        values: dict[str, Any] = {}
        holds = True
        for i, operation in enumerate(OPERATIONS):
            right = curve(trained, "test_accuracy", i)
            at = {bar: first(right >= bar / 100) for bar in (5, 50, 90, 99)}
            values |= {f"{operation}_reaches_{bar}%": step for bar, step in at.items()}
            values[f"{operation}_at_29"] = float(right[-1])
            sharp = at[5] is not None and at[90] is not None and at[5] >= 8 and at[90] - at[5] <= 8
            holds = holds and sharp and right[-1] >= 0.98
        said = ", ".join(
            f"{word} at {of_all([values[f'{o}_reaches_{bar}%'] for o in OPERATIONS])}"
            for bar, word in ((5, "5%"), (90, "90%"), (99, "99%"))
        )
        return Finding(values, holds, f"{said}; {of_all([values[f'{o}_at_29'] for o in OPERATIONS])} in the end")

    return run


def _flat_loss(bench: Bench, seed: int) -> Finding:
    losses = _curves(bench, seed, "test_loss")
    moved = {key: first(np.abs(v / v[0] - 1) > 0.01) for key, v in losses.items()}
    values: dict[str, Any] = {}
    for kernel in KERNELS:
        own = _of_kernel(losses, kernel)
        steps = [step for (k, _), step in moved.items() if k == kernel]
        values[f"{kernel}_first_moves_1%_at"] = min((s for s in steps if s is not None), default=None)
        values[f"{kernel}_at_0"] = float(np.median([v[0] for v in own]))
        values[f"{kernel}_at_29"] = float(np.median([v[-1] for v in own]))
    ends = [float(v[-1]) for v in losses.values()]
    holds = all(s is not None and s >= 5 for s in moved.values()) and min(ends) > 0.005
    said = f"moves by 1% first at iteration {of_all(list(moved.values()))}; {of_all(ends)} in the end"
    return Finding(values, holds, said)


def _right_class(bench: Bench, seed: int) -> Finding:
    losses = _curves(bench, seed, "test_correct_loss")
    before = max(float(np.abs(v[:7] / v[0] - 1).max()) for v in losses.values())
    values: dict[str, Any] = {"largest_change_to_iteration_6": before}
    for kernel in KERNELS:
        values[f"{kernel}_at_0"] = float(np.median([v[0] for v in _of_kernel(losses, kernel)]))
        values[f"{kernel}_at_29"] = float(np.median([v[-1] for v in _of_kernel(losses, kernel)]))
    ends = [float(v[-1]) for v in losses.values()]
    holds = before < 0.03 and max(ends) < 0.6
    return Finding(values, holds, f"changes by at most {before:.1%} to iteration 6; {of_all(ends)} in the end")


def _figure_1(bench: Bench, seed: int) -> Finding:
    right = curve(bench.train(preset("mallinar2024/figure-1", {"seed": seed})), "test_accuracy")
    left, ninety = first(right > 0), first(right >= 0.9)
    values = {"leaves_0_at": left, "reaches_90%": ninety, "at_29": float(right[-1])}
    holds = left is not None and ninety is not None and left >= 7 and ninety - left <= 8 and right[-1] >= 0.99
    return Finding(values, holds, f"leaves 0 at iteration {left}, 90% at {ninety}, {right[-1]:.4f} in the end")


def _fractions(p: int, fractions: tuple[float, ...]) -> Callable[[Bench, int], Finding]:
    """What accuracy, loss and deviation come to, from fraction to fraction of the pairs: a jump, and two slides."""

    def run(bench: Bench, seed: int) -> Finding:
        asked = {"task.p": p, "seed": seed, "name": f"mallinar2024-fractions-{p}"}
        trained = bench.train(
            [preset("mallinar2024/add-gaussian", {**asked, "split.frac_train": f}) for f in fractions]
        )
        members = range(len(fractions))
        ends = {
            "accuracy": np.array([curve(trained, "test_accuracy", i)[-1] for i in members]),
            "mse": np.array([curve(trained, "test_loss", i)[-1] for i in members]),
            "deviation": np.array([after_updates(trained, "circulant_deviation.toeplitz", i)[-1] for i in members]),
        }
        values: dict[str, Any] = {
            f"{k}_at_{f:.0%}": float(x) for k, v in ends.items() for f, x in zip(fractions, v, strict=True)
        }
        # while hardly a pair is answered, the others have gone a good part of their way
        last = int(np.flatnonzero(ends["accuracy"] < 0.1)[-1]) if (ends["accuracy"] < 0.1).any() else 0
        gone = {k: float((v[last] - v[0]) / (v[-1] - v[0])) if v[-1] != v[0] else 0.0 for k, v in ends.items()}
        values |= {f"{k}_share_gone_at_{fractions[last]:.0%}": v for k, v in gone.items()}
        holds = (
            last > 0 and ends["accuracy"][-1] > 0.8 and gone["mse"] > 2 * gone["accuracy"] and gone["deviation"] > 0.5
        )
        said = (
            f"accuracy {ends['accuracy'][last]:.3f} from {fractions[last]:.0%} of the pairs and "
            f"{ends['accuracy'][-1]:.3f} from {fractions[-1]:.0%}; of the whole way the test loss has gone "
            f"{gone['mse']:.0%} by then, the deviation {gone['deviation']:.0%}, accuracy {gone['accuracy']:.0%}"
        )
        return Finding(values, bool(holds), said)

    return run


CLAIMS = [
    Claim(
        id="interpolates",
        claim="The training loss is zero, and training accuracy 100%, from the first iteration on.",
        source="section 3, figure 2",
        expected="training loss below 1e-31 (quadratic) and 2e-25 (Gaussian), accuracy 1, at all 30 iterations",
        quick=trial(_interpolates, "quick"),
        full=trial(_interpolates, "full"),
    ),
    Claim(
        id="starts-at-nothing",
        claim="Without learnt features a kernel machine generalises to no pair at all.",
        source="section 3, figure 2",
        expected="test accuracy 0 until iteration 9 for x + y and x − y, which is below chance",
        counter="x·y and x/y begin at .027–.036 and .013–.017: those are the pairs that hold a zero.",
        quick=trial(_nothing_at_first, "quick"),
        full=trial(_nothing_at_first, "full"),
    ),
    Claim(
        id="quadratic-transition",
        claim="With a quadratic kernel test accuracy jumps from nothing to all within a few iterations.",
        source="section 3, figures 2 and 3",
        expected="5% at iteration 11, 50% at 12–13, 90% at 14–17, 99% at 17–24, .994–1.0 at 29, all four operations",
        quick=trial(_transition("quadratic"), "quick"),
        full=trial(_transition("quadratic"), "full"),
    ),
    Claim(
        id="gaussian-transition",
        claim="With a Gaussian kernel test accuracy jumps from nothing to all within a few iterations.",
        source="section 3, figures 2 and 3",
        expected="5% at iteration 11–12, 50% at 12–13, 90% at 14–16, 99% at 17–21, 1.0 at 20–26 in most runs",
        counter="The paper prints exp(−D/L) with L = 2.5; with its code's exp(−D/(2L²)) it groks, as here.",
        quick=trial(_transition("gaussian"), "quick"),
        full=trial(_transition("gaussian"), "full"),
    ),
    Claim(
        id="flat-test-loss",
        claim="The test loss does not move in the first iterations, and so does not foretell the transition.",
        source="section 3, figure 2",
        expected="within 1% of its start until iteration 7–8, from .0171–.0178 to .0085–.0102",
        counter="The Gaussian machine's moves at 6 already in some seeds. It is nowhere near zero when all test pairs "
        "are right, and above the trivial answer's when it jumps.",
        quick=trial(_flat_loss, "quick"),
        full=trial(_flat_loss, "full"),
    ),
    Claim(
        id="right-class-loss",
        claim="The flat test loss is no effect of averaging over classes: that of the right class is flat, too.",
        source="section 3 and appendix",
        expected="1.0–1.03 until iteration 6–7, then .42–.51",
        quick=trial(_right_class, "quick"),
        full=trial(_right_class, "full"),
    ),
    Claim(
        id="figure-1",
        claim="The first figure: a quadratic kernel machine groks addition mod 59.",
        source="figure 1",
        expected="test accuracy leaves 0 at iteration 10, 90% at 14, .998 in the end",
        quick=Trial(setting="The paper's own setting, as it takes seconds.", seeds=3, cost=15, run=_figure_1),
        full=Trial(setting="The paper's own setting.", seeds=10, cost=50, run=_figure_1),
    ),
    Claim(
        id="data-threshold",
        claim="Accuracy appears within a narrow range of training fractions; loss and features improve gradually.",
        source="section 3 and figure 10, here mod 61",
        expected="accuracy .001 from 25%, .06 from 30%, .40 from 35%, .98 from 45%, 1.0 from 50%",
        quick=Trial(
            setting="x + y mod 61, Gaussian kernel, from 20, 25, 30, 35, 45 and 50% of the pairs.",
            seeds=3,
            cost=75,
            run=_fractions(61, (0.2, 0.25, 0.3, 0.35, 0.45, 0.5)),
        ),
        full=Trial(
            setting="x + y mod 61, Gaussian kernel, from 10 to 70% of the pairs.",
            seeds=5,
            cost=450,
            run=_fractions(61, (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7)),
        ),
    ),
    Claim(
        id="figure-10",
        claim="Mod 97, too, accuracy jumps with the training fraction while loss and features slide.",
        source="figure 10",
        expected="accuracy .0001, .03, .26, .85 from 20, 25, 30, 35%; loss .0119, .0107, .0097, .0085; deviation .57, "
        ".22, .10, .05",
        counter="The same at p = 61, over several seeds, is the claim data-threshold.",
        quick=None,
        full=Trial(
            setting="x + y mod 97, Gaussian kernel, 30 iterations, from 20, 25 and 35% of the pairs: around the jump.",
            seeds=3,
            cost=330,
            run=_fractions(97, (0.2, 0.25, 0.35)),
        ),
    ),
]
