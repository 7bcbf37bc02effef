"""Claims on the course of the mainline: measures of progress, and the stages of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.grokking import first_step
from groklab.measures import (
    embedding_matrix,
    gini,
    neuron_logit_map,
)
from groklab.papers.nanda2023.claims.runs import (
    OTHER_FREQUENCIES,
    analysis,
    chance_loss,
    claim_on_mainline,
    final,
    mainline,
    other_analysis,
    random_labels,
)
from groklab.reproduction import Bar, Outcome, Trainer, Values


def _restricted_first(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    half = chance_loss(final(run)[1].modulus) / 2
    values, control = (
        _halves(c["trajectory"], half) for c in (analysis(trainer, run), other_analysis(trainer, run, seed))
    )
    restricted, test = values["restricted_below_half_uniform"], values["test_below_half_uniform"]
    return Outcome(values, sentence=f"restricted loss at step {restricted}, test loss at step {test}", control=control)


def _halves(path: dict[str, Any], half: float) -> Values:
    steps, restricted_loss, test_loss = (np.asarray(path[k], float) for k in ("step", "restricted_loss", "test_loss"))
    restricted = first_step(steps, restricted_loss < half)
    after_peak = int(np.argmax(test_loss))
    test = first_step(steps[after_peak:], test_loss[after_peak:] < half)
    ratio = restricted / test if restricted is not None and test else None
    return {
        "restricted_below_half_uniform": restricted,
        "test_below_half_uniform": test,
        "restricted_over_test": ratio,
    }


def _excluded_rises(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    circuit, uniform = analysis(trainer, run), chance_loss(final(run)[1].modulus)
    turn = circuit["training_stages"]["circuit_formation_ends"]
    if turn is None:
        return Outcome({}, sentence="test accuracy never passes 50%")
    values, control = (_rise(c["trajectory"], turn, uniform) for c in (circuit, other_analysis(trainer, run, seed)))
    sentence = f"least at step {values['step_of_minimum']}, above 1 at step {values['passes_1_at']}"
    return Outcome(values, sentence=sentence, control=control)


def _rise(path: dict[str, Any], turn: int, uniform: float) -> Values:
    """Return the excluded loss's minimum before grokking, and the train and test loss once it has risen to 1."""
    names = ("step", "excluded_loss", "train_loss", "test_loss")
    steps, excluded, train, test = (np.asarray(path[k], float) for k in names)
    low = int(np.argmin(np.where(steps <= turn, excluded, np.inf)))
    passed = np.flatnonzero((excluded >= 1) & (steps > steps[low]))
    at = int(passed[0]) if len(passed) else None
    return {
        "step_of_minimum": int(steps[low]),
        "excluded_loss_at_minimum": float(excluded[low]),
        "train_loss_at_minimum": float(train[low]),
        "passes_1_at": None if at is None else int(steps[at]),
        "train_loss_then": None if at is None else float(train[at]),
        "train_change": None if at is None else abs(float(train[at] - train[low])),
        "test_over_uniform": None if at is None else float(test[at]) / uniform,
    }


def _stage_ends(circuit: dict[str, Any]) -> tuple[int, int, int] | None:
    """Return where memorisation, circuit formation and cleanup end, the last step for a cleanup that has not."""
    ends = circuit["training_stages"]
    low, turn, still = (ends[f"{stage}_ends"] for stage in ("memorisation", "circuit_formation", "cleanup"))
    if low is None or turn is None:
        return None
    return low, turn, still or int(circuit["trajectory"]["step"][-1])


def _course(steps: Any, values: Any, ends: tuple[int, int, int]) -> tuple[list[float], float, float]:
    """Return a curve's values at the ends of the stages, and its slopes in circuit formation and in cleanup."""
    low, turn, still = ends
    first, second, third = (float(np.interp(s, np.asarray(steps, float), np.asarray(values, float))) for s in ends)
    return [first, second, third], (second - first) / max(turn - low, 1), (third - second) / max(still - turn, 1)


def _gini(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    circuit = analysis(trainer, run)
    ends = _stage_ends(circuit)
    if ends is None:
        return Outcome({}, sentence="there is no cleanup to look at")
    path, task = circuit["trajectory"], final(run)[1]
    p = task.modulus
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(p, p)))[0]
    kept = [min(run.checkpoints, key=lambda step: abs(step - end)) for end in ends]
    models = [run.weights(step) for step in kept]
    values: Values = {}
    control: Values = {}
    for name, matrix in (("gini_W_E", embedding_matrix), ("gini_W_L", neuron_logit_map)):
        values |= _sparsening(name, *_course(path["step"], path[name], ends))
        rows = [np.asarray(matrix(weights, task))[:p] for weights in models]
        rotated = [gini(np.linalg.norm(basis @ row, axis=1)) for row in rows]
        control |= _sparsening(name, *_course(kept, rotated, ends))
    sentence = (
        f"W_L {values['gini_W_L_at_grokking']:.2f} at grokking, {values['gini_W_L_after_cleanup']:.2f} after cleanup"
    )
    return Outcome(values, sentence=sentence, control=control)


def _sparsening(name: str, course: list[float], before: float, after: float) -> Values:
    return {
        f"{name}_at_grokking": course[1],
        f"{name}_after_cleanup": course[2],
        f"{name}_rise": course[2] - course[1],
        f"{name}_slope_ratio": after / before if before > 0 else None,
    }


def _squares(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    ends = _stage_ends(analysis(trainer, run))
    if ends is None:
        return Outcome({}, sentence="there is no cleanup to look at")
    path, curves = analysis(trainer, run)["trajectory"], random_labels(trainer, size, seed).curves()
    values = _falling(*_course(path["step"], path["sum_of_squares"], ends))
    control = _falling(*_course(curves["step"], curves["weight_norm"].astype(float) ** 2, ends))
    sentence = ", ".join(f"{values[k]:.0f}" for k in ("when_memorised", "at_grokking", "after_cleanup"))
    return Outcome(values, sentence=sentence, control=control)


def _falling(course: list[float], before: float, after: float) -> Values:
    first, second, third = course
    return {
        "when_memorised": first,
        "at_grokking": second,
        "after_cleanup": third,
        "share_left_at_grokking": second / first,
        "slope_ratio": after / before if before < 0 else None,
    }


def _phases(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    values, control = (
        _lengths(c["training_stages"]) for c in (analysis(trainer, run), other_analysis(trainer, run, seed))
    )
    a, b, c = (values[f"{k}_ends"] for k in ("memorisation", "circuit_formation", "cleanup"))
    return Outcome(values, sentence=f"memorisation to {a}, circuit formation to {b}, cleanup to {c}", control=control)


def _lengths(ends: dict[str, Any]) -> Values:
    a, b, c = (ends[f"{k}_ends"] for k in ("memorisation", "circuit_formation", "cleanup"))
    return {
        "memorisation_ends": a,
        "circuit_formation_ends": b,
        "cleanup_ends": c,
        "formation_over_memorisation": b / a if a and b else None,
        "cleanup_over_formation": c / b if b and c else None,
    }


LONG_BEFORE = (Bar("restricted_over_test", "<=", 0.5, "'long before': in half the steps; the paper's figure has 0.27"),)


RISES = (
    Bar("passes_1_at", ">=", 1, "the paper's figure: from 7e-5 to above 1 before grokking"),
    Bar("train_change", "<=", 0.01, "'flat': a hundredth of what the excluded loss rises by meanwhile"),
    Bar("test_over_uniform", ">", 1, "not yet generalised: the test loss is still above that of guessing"),
)


JUMPS = tuple(
    bar
    for name in ("gini_W_E", "gini_W_L")
    for bar in (
        Bar(f"{name}_slope_ratio", ">", 1, "'fastest in cleanup': faster there than in circuit formation"),
        Bar(f"{name}_rise", ">=", 0.1, "the paper's figure: W_L from .35 to .81; a rise, not the spread of a curve"),
    )
)


FALLS = (
    Bar("share_left_at_grokking", "<", 1, "'falls during circuit formation'"),
    Bar("slope_ratio", ">", 1, "'sharply in cleanup': faster there than in circuit formation"),
)


PHASES = (
    Bar("formation_over_memorisation", ">=", 2, "a stage of its own: the paper's is 1,400 to 9,400, 6.7 times"),
    Bar("cleanup_over_formation", ">=", 1.25, "a stage of its own: the paper's is 9,400 to 14,000, 1.5 times"),
)


BY_1400 = Bar("memorisation_ends", "<=", 2000, "the paper: about 1,400 in every seed; checkpoints are 500 steps apart")


CLAIMS = [
    claim_on_mainline(
        _restricted_first,
        LONG_BEFORE,
        control=OTHER_FREQUENCIES,
        id="restricted-first",
        claim="The restricted loss falls long before the test loss does.",
        source="section 5.2 and figure 7",
        expected="below half of ln p from about step 2,500, the test loss at about 9,300",
    ),
    claim_on_mainline(
        _excluded_rises,
        RISES,
        control=OTHER_FREQUENCIES,
        id="excluded-rises",
        claim="While train and test loss are flat, the excluded loss rises: memory gives way to the circuit.",
        source="section 5.2 and figure 7",
        expected="least at step 1,400, above 1 by about 7,200",
    ),
    claim_on_mainline(
        _gini,
        JUMPS,
        control="the same weights in a random orthogonal basis in place of Fourier's",
        id="gini-jumps",
        claim="The Gini coefficients of W_E and W_L rise fastest in cleanup.",
        source="section 5.2 and figure 7",
        expected="W_L from .35 at step 9,000 to .81 at 12,000",
        counter="At p = 59 circuit formation takes 760 to 1,600 steps in the place of 7,700, and in one of three "
        "seeds W_L's coefficient rises no faster in cleanup (0.89 times; 1.2 and 2.0 times in the others). At "
        "p = 113 it rises 5 times as fast in cleanup (the paper's own start).",
    ),
    claim_on_mainline(
        _squares,
        FALLS,
        quick_cost=45,
        full_cost=300,
        control="the same network trained on random answers, at the same steps",
        id="weights-fall",
        claim="The sum of squared weights falls during circuit formation, and sharply in cleanup.",
        source="section 5.2 and figure 7",
        expected="3,635 at step 1,000, 2,052 at 9,000, 1,021 at 12,000",
        counter="At p = 59 the sum falls 0.47, 1.10 and 0.69 times as fast per step in cleanup as in circuit "
        "formation. On random answers, where no circuit forms, it falls as well, and with seed 1 passes both "
        "bars: it is at its peak when the circuit of the model with that seed forms, early. At p = 113 it "
        "falls 2.1 times as fast in cleanup (the paper's own start).",
    ),
    claim_on_mainline(
        _phases,
        PHASES,
        BY_1400,
        control=OTHER_FREQUENCIES,
        id="three-phases",
        claim="Training has three phases: memorisation, circuit formation, cleanup.",
        source="section 5.2",
        expected="to step 1,400, 9,400 and 14,000; in every seed memorisation ends by about 1,400",
    ),
]
