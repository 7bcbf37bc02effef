"""Claims on losses and accuracies of kernel machines: a flat test loss, then a sharp transition, also for two tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.learners import RFM
from groklab.papers.mallinar2024.claims.runs import (
    INITIAL,
    KERNELS,
    RANDOM_MACHINES,
    Machine,
    accuracy,
    curve,
    data_of,
    first,
    largest,
    machines,
    random_labels,
    random_machines,
    smallest,
    solved,
    trials,
)
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values
from groklab.store import Run
from groklab.tasks import Task, in_transpose

#: Operations of which no test pair is right by a zero.
SUMS = ("add", "subtract")


def _interpolates(trainer: Trainer, seed: int) -> Outcome:
    made = machines(trainer, seed)
    worst = {k: max(float(m.curve("train_loss").max()) for m in made if m.kernel == k) for k in KERNELS}
    values = {f"{k}_largest_train_mse": v for k, v in worst.items()}
    values["least_train_accuracy"] = min(float(m.curve("train_accuracy").min()) for m in made)
    sentence = f"training loss at most {worst['quadratic']:.1e} (quadratic), {worst['gaussian']:.1e} (Gaussian)"
    return Outcome(values, sentence=sentence)


def _nothing_at_first(trainer: Trainer, seed: int) -> Outcome:
    made, random = machines(trainer, seed), random_machines(trainer, seed)
    sums = [m for m in made if m.operation in SUMS]
    products = [m for m in made if m.operation not in SUMS]
    values = _starting(sums, products)
    starts = {m.operation: float(m.curve("test_accuracy")[0]) for m in products}
    values |= {f"{operation}_at_0": start for operation, start in starts.items()}
    sentence = (
        f"sums and differences {values['sums_and_differences_at_0']:.3g} until iteration {values['they_leave_0_at']}; "
        f"products {starts['multiply']:.3f} and quotients {starts['divide']:.3f}, all with a zero"
    )
    return Outcome(values, sentence=sentence, control=_starting(random, random))


def _starting(sums: list[Machine], products: list[Machine]) -> Values:
    """What the plain kernel machines get right, and when those without zeros get their first test pair right."""
    right = [m.curve("test_accuracy") for m in sums]
    return {
        "sums_and_differences_at_0": max(float(v[0]) for v in right),
        "they_leave_0_at": smallest(first(v > 0) for v in right),
        "right_without_a_zero": sum(_right_without_zero(m) for m in products),
    }


def _right_without_zero(machine: Machine) -> int:
    """Count the test pairs that the plain kernel machine gets right though no operand is zero."""
    run, member = machine.run, machine.member
    task, train, test = data_of(run, member)
    outputs = solved(run, run.weights(0, member), task, train, member)[test]
    free = (task.operands[test] != 0).all(axis=1)
    return int((outputs[free].argmax(axis=1) == task.targets[test][free]).sum())


#: Test accuracies whose first iteration is noted, in per cent.
LEVELS = (5, 50, 90, 99)


def transition(curves: Sequence[np.ndarray]) -> Values:
    """When accuracies leave nothing, how many iterations they take from 5% to 90%, and where they end."""
    at = [{level: first(v >= level / 100) for level in LEVELS} for v in curves]
    rise = [None if t[5] is None or t[90] is None else t[90] - t[5] for t in at]
    return {
        "first_at_5%": smallest(t[5] for t in at),
        "most_iterations_from_5_to_90%": largest(rise),
        "least_accuracy_at_29": min(float(v[-1]) for v in curves),
        **{f"all_at_{level}%": largest(t[level] for t in at) for level in LEVELS[1:]},
    }


def _in_words(values: Values) -> str:
    return (
        f"5% at iteration {values['first_at_5%']}, all at 90% by {values['all_at_90%']} and at 99% by "
        f"{values['all_at_99%']}; {values['least_accuracy_at_29']:.4f} or more in the end"
    )


def _transition(kernel: str, trainer: Trainer, seed: int) -> Outcome:
    made = machines(trainer, seed, (kernel,))
    values = transition([m.curve("test_accuracy") for m in made])
    values |= {f"{m.operation}_at_29": float(m.curve("test_accuracy")[-1]) for m in made}
    control = transition([m.curve("test_accuracy") for m in random_machines(trainer, seed, (kernel,))])
    return Outcome(values, sentence=_in_words(values), control=control)


def _figure_1(trainer: Trainer, seed: int) -> Outcome:
    right = curve(trainer.train(preset("mallinar2024/figure-1", {"seed": seed})), "test_accuracy")
    values = {"leaves_0_at": first(right > 0), **transition([right])}
    control = transition([m.curve("test_accuracy") for m in random_machines(trainer, seed, ("quadratic",), p=59)])
    return Outcome(values, sentence=_in_words(values), control=control)


def flatness(curves: Sequence[np.ndarray]) -> Values:
    """How much curves change in the initial iterations, and how far they have fallen in the end."""
    change = [np.abs(v / v[0] - 1) for v in curves]
    return {
        f"largest_change_to_{INITIAL}": max(float(c[: INITIAL + 1].max()) for c in change),
        "least_fall_by_29": min(float(1 - v[-1] / v[0]) for v in curves),
        "first_change_of_1%_at": smallest(first(c > 0.01) for c in change),
    }


def _flat(name: str, trainer: Trainer, seed: int) -> Outcome:
    made = machines(trainer, seed)
    losses = [m.curve(name) for m in made]
    values = flatness(losses)
    for kernel in KERNELS:
        own = [v for m, v in zip(made, losses, strict=True) if m.kernel == kernel]
        values |= {f"{kernel}_at_{t}": float(np.median([v[t] for v in own])) for t in (0, 29)}
    sentence = (
        f"changes by at most {values[f'largest_change_to_{INITIAL}']:.2%} to iteration {INITIAL}, by 1% first at "
        f"{values['first_change_of_1%_at']}; in the end it has fallen by {values['least_fall_by_29']:.0%} or more"
    )
    paths = [m.after_updates(f"circulant_deviation.{m.orientation}") for m in made]
    return Outcome(values, sentence=sentence, control=flatness(paths))


def _fractions(
    p: int, fractions: tuple[float, ...], around: tuple[float, float, float], trainer: Trainer, seed: int
) -> Outcome:
    """What accuracy, loss and deviation come to, from fraction to fraction of the pairs: a jump, and two slides."""
    settings = {"task.p": p, "seed": seed, "name": f"mallinar2024-fractions-{p}"}
    name = "mallinar2024/add-gaussian"
    run = trainer.train([preset(name, {**settings, "split.frac_train": f}) for f in fractions])
    settings |= {**random_labels(seed, p), "name": f"mallinar2024-random-fractions-{p}"}
    random = trainer.train([preset(name, {**settings, "split.frac_train": f}) for f in around])
    ends, random_ends = _ends(run, fractions), _ends(random, around)
    values: Values = {f"{k}_at_{f:.0%}": float(x) for k, v in ends.items() for f, x in v.items()}
    values |= jump(ends, around)
    below, above = (f"{f:.0%}" for f in around[1:])
    sentence = (
        f"accuracy {values['accuracy_below_the_jump']:.3f} from {below} of the pairs and "
        f"{values['accuracy_above_the_jump']:.3f} from {above}; of its way from {around[0]:.0%} to {above} the test "
        f"loss has gone {values['mse_share_gone_below']:.0%} by {below}, the deviation "
        f"{values['deviation_share_gone_below']:.0%}"
    )
    return Outcome(values, sentence=sentence, control=jump(random_ends, around))


def _ends(run: Run, fractions: Sequence[float]) -> dict[str, dict[float, float]]:
    """What the machines from each fraction of the pairs end with."""
    return {
        "accuracy": {f: float(curve(run, "test_accuracy", i)[-1]) for i, f in enumerate(fractions)},
        "mse": {f: float(curve(run, "test_loss", i)[-1]) for i, f in enumerate(fractions)},
        "deviation": {
            f: float(Machine(run, i, "gaussian", "add").after_updates("circulant_deviation.toeplitz")[-1])
            for i, f in enumerate(fractions)
        },
    }


def jump(ends: dict[str, dict[float, float]], around: tuple[float, float, float]) -> Values:
    """Accuracy at a fraction below and one above its jump, and the share of their way that the others have gone below.

    around: a low fraction, at which the way begins, and the two.
    """
    low, below, above = around
    shares = {
        f"{k}_share_gone_below": (ends[k][below] - ends[k][low]) / (ends[k][above] - ends[k][low])
        for k in ("mse", "deviation")
    }
    right = ends["accuracy"]
    return {"accuracy_below_the_jump": right[below], "accuracy_above_the_jump": right[above], **shares}


#: Iterations at which each task's own accuracy is taken: each asks for one more solve.
LOOKED_AT = (0, 1, 2, 4, 6, 7, 8, 9, 10, 12, 29)
#: The last of those that the control, which is iterated for this alone, goes to.
SETTLED = 12
NAMES = ("sums", "squares")


def _by_task(trainer: Trainer, size: str, seed: int) -> tuple[Values, Values]:
    """Of each task: accuracy over `LOOKED_AT`, and at the end apart for pairs whose transpose was trained on.

    Also of the control, to iteration `SETTLED`.
    """
    # the measure of the preset, which does not tell the tasks apart, would cost as much again as the machine
    settings = {"seed": seed, "measures.names": [], "name": "mallinar2024-two-tasks"}
    run = trainer.train(preset("mallinar2024/two-tasks", {**settings, "task.p": 31 if size == "quick" else 61}))
    return _accuracies(trainer, run.path, seed)


@lru_cache(maxsize=32)
def _accuracies(trainer: Trainer, path: Path, seed: int) -> tuple[Values, Values]:
    run = Run(path)
    task, train, test = data_of(run)

    def learnt(step: int) -> np.ndarray:
        trainer.check_time()
        return solved(run, run.weights(step), task, train)

    shuffled = _shuffled(task, seed)
    learner = run.experiments[0].learner
    assert isinstance(learner, RFM)
    machine = learner.start(shuffled, train)

    def of_shuffled(step: int) -> np.ndarray:
        while machine.steps < step:
            trainer.check_time()
            machine.step()
        return learner.outputs(machine.weights, shuffled, train)

    settled = [t for t in LOOKED_AT if t <= SETTLED]
    return _looked_at(task, train, test, learnt, LOOKED_AT), _looked_at(shuffled, train, test, of_shuffled, settled)


def _shuffled(task: Task, seed: int) -> Task:
    """Return a mixture with the answers of each operation in a random order: as many of each, and no rule."""
    generator, targets = np.random.default_rng(seed), task.targets.copy()
    for i in range(len(NAMES)):
        rows = np.flatnonzero(task.operands[:, 2] == i)
        targets[rows] = targets[generator.permutation(rows)]
    return replace(task, targets=targets)


def _looked_at(
    task: Task, train: np.ndarray, test: np.ndarray, outputs_at: Callable[[int], np.ndarray], steps: Sequence[int]
) -> Values:
    transposed = in_transpose(task, train)
    assert transposed is not None
    of_task = [test[task.operands[test, 2] == i] for i in range(len(NAMES))]
    values: Values = {"steps": list(steps), **{name: [] for name in NAMES}}
    for step in steps:
        outputs = outputs_at(step)
        for name, rows in zip(NAMES, of_task, strict=True):
            values[name].append(accuracy(outputs[rows], task.targets[rows]))
    for name, rows in zip(NAMES, of_task, strict=True):
        both = transposed[rows]
        values[f"{name}_transposed_share"] = float(both.mean())
        for key, own in (("transposed", rows[both]), ("transpose_free", rows[~both])):
            values[f"{name}_{key}_accuracy"] = accuracy(outputs[own], task.targets[own])
    return values


def jumps(right: Values) -> Values:
    """Of each task the largest rise from one iteration looked at to the next, and after which one it is."""
    values: Values = {}
    for name in NAMES:
        rises = np.diff(right[name])
        values[f"{name}_largest_jump"] = float(rises.max())
        values[f"{name}_jump_after"] = right["steps"][int(rises.argmax())]
        values[f"{name}_at_{SETTLED}"] = float(right[name][right["steps"].index(SETTLED)])
    values["iterations_apart"] = abs(values["sums_jump_after"] - values["squares_jump_after"])
    return values


def _transitions(size: str, trainer: Trainer, seed: int) -> Outcome:
    right, control = _by_task(trainer, size, seed)
    values = jumps(right)
    values |= {f"{k}_at_{t}": float(right[k][LOOKED_AT.index(t)]) for k in NAMES for t in (0, 1, 7, 10, 29)}
    sentence = (
        f"x² + y² rises by {values['squares_largest_jump']:.2f} after iteration {values['squares_jump_after']}, to "
        f"{values['squares_at_29']:.2f} in the end; x + y by {values['sums_largest_jump']:.2f} after "
        f"{values['sums_jump_after']}, to {values['sums_at_29']:.4f}"
    )
    return Outcome(values, sentence=sentence, control=jumps(control))


def _generalise(size: str, trainer: Trainer, seed: int) -> Outcome:
    right, control = _by_task(trainer, size, seed)
    values, of_shuffled = _generalised(right), _generalised(control)
    sentence = (
        f"x + y: {values['sums_accuracy']:.4f} of all test pairs, where {values['sums_transposed_share']:.4f} have "
        f"their transpose in training; {values['sums_transposed_accuracy']:.3f} of these and "
        f"{values['sums_transpose_free_accuracy']:.3f} of the others are right"
    )
    return Outcome(values, sentence=sentence, control=of_shuffled)


def _generalised(right: Values) -> Values:
    values = {k: v for k, v in right.items() if k not in (*NAMES, "steps")}
    return {**values, **{f"{k}_accuracy": right[k][-1] for k in NAMES}}


_QUICK = (
    "x + y and x² + y² mod 31 from 80% of the pairs, Gaussian kernel, 30 iterations: mod 61 a seed takes ten minutes, "
    "and at 31 the transitions and where they stop are the same."
)
_FULL = "The paper's setting: x + y and x² + y² mod 61 from 80% of the pairs, Gaussian kernel, 30 iterations."
_SHUFFLED = "the same machine with the answers of each operation in a random order, iterated to 12, where both settle"


def _claim(run: Any, bars: tuple[Bar, ...], **words: Any) -> Claim:
    quick = Trial(setting=_QUICK, seeds=2, cost=90, run=partial(run, "quick"), bars=bars, shares="two tasks")
    full = Trial(setting=_FULL, seeds=3, cost=3600, run=partial(run, "full"), bars=bars, shares="two tasks")
    return Claim(quick=quick, full=full, source="appendix G", control=_SHUFFLED, **words)


_INDEPENDENT = "an independent implementation of the paper, over 3 seeds"
INTERPOLATES = (
    Bar("quadratic_largest_train_mse", "<=", 1e-31, f"rounding in double precision: {_INDEPENDENT}"),
    Bar("gaussian_largest_train_mse", "<=", 2e-25, f"rounding in double precision: {_INDEPENDENT}"),
    Bar("least_train_accuracy", "==", 1, "the paper: 'identically zero' training loss"),
)
NOTHING = (
    Bar("sums_and_differences_at_0", "==", 0, f"{_INDEPENDENT}: not one pair, where chance is 1 in 61"),
    Bar("they_leave_0_at", ">=", 10, f"{_INDEPENDENT}: 0 over the iterations 0 to 9"),
    Bar("right_without_a_zero", "==", 0, "the claim's 'no pair', beyond those that any answer to 0·y gives"),
)
TRANSITION = (
    Bar("first_at_5%", ">=", 10, "'near zero' for a third of the 30 iterations; chance is 1.6%"),
    Bar("most_iterations_from_5_to_90%", "<=", 6, f"'fast': {_INDEPENDENT}, from 11 to 14–17"),
    Bar("least_accuracy_at_29", ">=", 0.99, "'perfect test accuracy': groklab's own threshold of grokking"),
)
FLAT = (
    Bar(
        f"largest_change_to_{INITIAL}",
        "<=",
        0.01,
        "'remains constant in initial iterations': 1% cannot be seen in a figure, and 5 is half of the way to the jump",
    ),
    Bar(
        "least_fall_by_29", ">=", 0.3, "it is not constant for want of learning: the figures' losses fall by 40 to 60%"
    ),
)
_GRADUAL = "half of what a straight line would have gone by then: the paper's 'gradual'"
JUMP = (
    Bar("accuracy_below_the_jump", "<=", 0.1, "hardly a pair: a tenth of the way"),
    Bar("accuracy_above_the_jump", ">=", 0.9, "nearly all pairs: nine tenths of the way"),
    Bar("mse_share_gone_below", ">=", 0.2, _GRADUAL),
    Bar("deviation_share_gone_below", ">=", 0.2, _GRADUAL),
)
_SHARP = "half of all test pairs within one or two of 30 iterations; an independent run of p = 61 had .03 to .65"
JUMPS = (
    Bar("squares_largest_jump", ">=", 0.5, _SHARP),
    Bar("sums_largest_jump", ">=", 0.5, _SHARP),
    Bar("iterations_apart", ">=", 2, "two transitions rather than one"),
    Bar(f"squares_at_{SETTLED}", ">=", 0.95, "the figure: a transition to all pairs"),
)
GENERALISED = tuple(
    Bar(f"{name}_transpose_free_accuracy", ">=", 0.99, "'all test pairs'; groklab's own threshold of grokking")
    for name in NAMES
)

CLAIMS = [
    Claim(
        id="interpolates",
        kind="check",
        claim="The training loss is zero, and training accuracy 100%, from the first iteration on.",
        source="abstract; section 3, figure 2",
        expected="training loss below 1e-31 (quadratic) and 2e-25 (Gaussian), accuracy 1, at all 30 iterations",
        counter="A property of kernel regression without ridge: random labels are interpolated as well.",
        **trials(_interpolates, INTERPOLATES),
    ),
    Claim(
        id="starts-at-nothing",
        claim="Without learnt features a kernel machine generalises to no pair at all: test accuracy is near zero.",
        source="abstract; section 3, figure 2",
        expected="test accuracy 0 until iteration 9 for x + y and x − y, which is below chance",
        control=RANDOM_MACHINES,
        counter="x·y and x/y begin at .027–.036 and .013–.017: those are the pairs that hold a zero.",
        **trials(_nothing_at_first, NOTHING),
    ),
    Claim(
        id="quadratic-transition",
        claim="Iterating RFM with a quadratic kernel makes a fast transition from near zero to perfect test accuracy.",
        source="abstract; section 3, figures 2 and 3",
        expected="5% at iteration 11, 50% at 12–13, 90% at 14–17, 99% at 17–24, .994–1.0 at 29, all four operations",
        control=RANDOM_MACHINES,
        **trials(partial(_transition, "quadratic"), TRANSITION),
    ),
    Claim(
        id="gaussian-transition",
        claim="Iterating RFM with a Gaussian kernel makes a fast transition from near zero to perfect test accuracy.",
        source="abstract; section 3, figures 2 and 3",
        expected="5% at iteration 11–12, 50% at 12–13, 90% at 14–16, 99% at 17–21, 1.0 at 20–26 in most runs",
        control=RANDOM_MACHINES,
        counter="The paper prints exp(−D/L) with L = 2.5; with its code's exp(−D/(2L²)) it groks, as here.",
        **trials(partial(_transition, "gaussian"), TRANSITION),
    ),
    Claim(
        id="flat-test-loss",
        claim="The test loss remains constant in the initial iterations, and so does not foretell the transition.",
        source="abstract; section 3, figure 2",
        expected="within 1% of its start until iteration 7–8, from .0171–.0178 to .0085–.0102",
        control="the circulant deviation of the same machines in the loss's place, which is to foretell it",
        counter="The Gaussian machine's moves at 6 already in some seeds, and both kernels' before accuracy does. It "
        "is nowhere near zero when all test pairs are right.",
        **trials(partial(_flat, "test_loss"), FLAT),
    ),
    Claim(
        id="right-class-loss",
        claim="The flat test loss is not an effect of averaging over classes: that of the right class is flat, too.",
        source="section 3 and appendix",
        expected="1.0–1.03 until iteration 6–7, then .42–.51",
        control="the circulant deviation of the same machines in the loss's place, which is to foretell it",
        **trials(partial(_flat, "test_correct_loss"), FLAT),
    ),
    Claim(
        id="figure-1",
        claim="The first figure: a quadratic kernel machine groks addition mod 59.",
        source="figure 1",
        expected="test accuracy leaves 0 at iteration 10, 90% at 14, .998 in the end",
        control="the same machine on a table of random labels, a new one for each seed",
        quick=Trial(
            setting="The paper's own setting, as it takes seconds.", seeds=3, cost=20, run=_figure_1, bars=TRANSITION
        ),
        full=Trial(setting="The paper's own setting.", seeds=10, cost=70, run=_figure_1, bars=TRANSITION),
    ),
    Claim(
        id="data-threshold",
        claim="Accuracy appears within a narrow range of training fractions; loss and features improve gradually.",
        source="section 3 and figure 10, here mod 61",
        expected="accuracy .001 from 25%, .06 from 30%, .40 from 35%, .98 from 45%, 1.0 from 50%",
        control="the same machines on a table of random labels, from 20, 30 and 45% of the pairs",
        quick=Trial(
            setting="x + y mod 61, Gaussian kernel, from 20, 25, 30, 35, 45 and 50% of the pairs; the jump lies "
            "between 30 and 45%.",
            seeds=3,
            cost=110,
            run=partial(_fractions, 61, (0.2, 0.25, 0.3, 0.35, 0.45, 0.5), (0.2, 0.3, 0.45)),
            bars=JUMP,
        ),
        full=Trial(
            setting="x + y mod 61, Gaussian kernel, from 10 to 70% of the pairs; the jump lies between 30 and 45%.",
            seeds=5,
            cost=510,
            run=partial(
                _fractions,
                61,
                (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7),
                (0.2, 0.3, 0.45),
            ),
            bars=JUMP,
        ),
    ),
    Claim(
        id="figure-10",
        claim="Mod 97, too, accuracy jumps with the training fraction while loss and features slide.",
        source="figure 10",
        expected="accuracy .0001, .03, .26, .85 from 20, 25, 30, 35%; loss .0119, .0107, .0097, .0085; deviation .57, "
        ".22, .10, .05",
        control="the same machines on a table of random labels, from 20, 25 and 40% of the pairs",
        counter="The same at p = 61, over several seeds, is the claim data-threshold.",
        quick=None,
        full=Trial(
            setting="x + y mod 97, Gaussian kernel, 30 iterations, from 20, 25, 35 and 40% of the pairs; the jump lies "
            "between 25 and 40%.",
            seeds=3,
            cost=900,
            run=partial(_fractions, 97, (0.2, 0.25, 0.35, 0.4), (0.2, 0.25, 0.4)),
            bars=JUMP,
        ),
    ),
    _claim(
        _transitions,
        JUMPS,
        id="two-tasks",
        claim="One kernel machine on two operations, told apart by a bit, makes a sharp transition in each.",
        expected="x² + y² at .95 by iteration 1 and 1.0 by 9; x + y from .03 at 8 to .65 at 9 (text and caption "
        "disagree which comes first)",
        counter="The transition of x + y is to commutativity: see two-tasks-generalise.",
    ),
    _claim(
        _generalise,
        GENERALISED,
        id="two-tasks-generalise",
        claim="Both transitions are to the operation itself: pairs are right that it has seen in neither order.",
        expected="all test pairs right in both",
        counter="x + y stops at .7624 mod 61 and .7150 mod 31 in an independent implementation, the very share of test "
        "pairs whose transpose was trained on: it has learnt that x + y = y + x, and nothing of addition.",
    ),
]
