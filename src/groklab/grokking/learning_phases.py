"""The four learning phases: comprehension, grokking, memorisation, confusion (Liu et al. 2022, section 4.1).

They rest on the first recorded steps at which training and test accuracy reach a threshold. Both reached is
comprehension where the second follows within `gap` steps and grokking where it takes longer; training alone is
memorisation; neither is confusion. What the paper leaves open is undefined, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast, runtime_checkable

from groklab.errors import InputError, check_choice, check_member
from groklab.grokking._definition import first_step
from groklab.lazy import np
from groklab.text import listed, percent, percents

Phase = Literal["comprehension", "grokking", "memorisation", "confusion", "undefined"]

#: The paper's four phases, and what is none of them, with their letters.
LETTERS: dict[Phase, str] = {
    "comprehension": "C",
    "grokking": "G",
    "memorisation": "M",
    "confusion": "X",
    "undefined": "?",
}
PHASES: tuple[Phase, ...] = tuple(LETTERS)
THRESHOLD = 0.9
GAP = 1000
#: Whose phases these are, named wherever one appears: they rest on other accuracies than groklab's own definitions.
OWNER = "Liu et al. (2022)"

RULE = (
    "comprehension: training and test accuracy reach the threshold, the second within the gap; "
    "grokking: at least the gap after the first; memorisation: only training accuracy does; confusion: neither"
)


@dataclass(frozen=True)
class LearningPhase:
    """A run's phase and what it rests on.

    Args:
        train_step: the first recorded step with at least the threshold's training accuracy, None if not reached.
        test_step: the same for test accuracy.
        censored: whether a step was not reached within the budget, so that a longer run could change the phase.
        reason: one sentence on an undefined case, on censoring, or on how near to a bound it was; else empty.
        best_test_accuracy: the highest of all evaluations.
        threshold: of the rule.
        gap_of_rule: its gap; `gap` is the run's own.
    """

    phase: Phase
    train_step: int | None
    test_step: int | None
    censored: bool
    reason: str
    best_test_accuracy: float | None = field(default=None, compare=False)
    threshold: float = field(default=THRESHOLD, compare=False)
    gap_of_rule: float = field(default=GAP, compare=False)

    @property
    def gap(self) -> int | None:
        """Steps from training's threshold to the test's, None where one was not reached."""
        return None if self.train_step is None or self.test_step is None else self.test_step - self.train_step

    @property
    def because(self) -> str:
        """The part of the rule that holds, with the run's own numbers."""
        bar, best = f"{100 * self.threshold:g}%", f"at best {percent(self.best_test_accuracy)}"
        if self.phase in ("comprehension", "grokking"):
            assert self.gap is not None
            if self.gap < 1:
                return f"test accuracy reaches {bar} no later than training accuracy"
            most = "at most" if self.gap == self.gap_of_rule else "less than"
            long = "at least" if self.phase == "grokking" else most
            steps = f"{self.gap:,} step{'s' if self.gap > 1 else ''}"
            return f"test accuracy reaches {bar} {steps} after training accuracy, {long} {self.gap_of_rule:,g}"
        if self.phase == "memorisation":
            return f"training accuracy reaches {bar}, test accuracy does not ({best})"
        if self.phase == "confusion":
            return f"neither training nor test accuracy reaches {bar} (test: {best})"
        return self.reason.removeprefix("undefined: ")

    def sentence(self) -> str:
        """Return the phase, why it is that one, and what is doubtful."""
        doubt = f"; {self.reason}" if self.reason and self.phase != "undefined" else ""
        return f"{self.phase}: {self.because}{doubt}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, with `source`, whose phase it is, and `because`, the part of the rule that holds."""
        values = {name: value for name, value in vars(self).items() if name not in ("threshold", "gap_of_rule")}
        return {**values, "source": OWNER, "because": self.because}


@runtime_checkable
class HasCurves(Protocol):
    """What `phase_of` needs of a run."""

    @property
    def recorded(self) -> Sequence[Any]:
        """The members' experiments, each with its `budget.steps`."""

    def curves(self, member: int = 0) -> Mapping[str, np.ndarray]:
        """Return one member's metrics by name, `step` among them."""


def phase_of_steps(train_step: Any, test_step: Any, gap: float | int = GAP, boundary: str = "grokking") -> np.ndarray:
    """Return the names of the phases of any array of threshold steps; NaN or None means 'not reached'.

    The only 'undefined' case here: test accuracy reached the threshold, training accuracy did not.

    Args:
        train_step: steps, of any shape.
        test_step: steps, of a shape that broadcasts with it.
        boundary: the phase where test follows training by exactly `gap` steps: 'grokking' in the paper's text,
            'comprehension' in its authors' code.
    """
    check(gap=gap, boundary=boundary)
    train = np.asarray(train_step, object).astype(float)
    test = np.asarray(test_step, object).astype(float)
    fitted, generalised = np.isfinite(train), np.isfinite(test)
    delay = test - train
    late = delay >= gap if boundary == "grokking" else delay > gap
    return np.select(
        [fitted & generalised & ~late, fitted & generalised, fitted & ~generalised, ~fitted & ~generalised],
        PHASES[:4],
        "undefined",
    )


def learning_phase(
    steps: Any,
    train_accuracy: Any,
    test_accuracy: Any,
    *,
    threshold: float | int = THRESHOLD,
    gap: float | int = GAP,
    budget: int | None = None,
    boundary: str = "grokking",
) -> LearningPhase:
    """Return the phase of one member's curves.

    A single crossing counts, as in the paper; one on the very last step too, and the reason says so. A curve that ends
    in NaN has diverged: thresholds reached before count, others make the phase undefined.

    Args:
        steps: (n,) ascending.
        train_accuracy: (n,) between 0 and 1, NaN where not measured; None or all NaN for a run that has none.
        test_accuracy: likewise.
        budget: the steps of the experiment; None means the last recorded one.

    Raises:
        InputError: a threshold outside (0, 1], a gap below 0, or curves of different lengths.
    """
    check(threshold=threshold, gap=gap, boundary=boundary)
    at = np.asarray(steps)
    train, test = (_curve(name, c, len(at)) for name, c in (("train", train_accuracy), ("test", test_accuracy)))
    # accuracies are kept in single precision, where 0.9 is a little below the threshold
    train_step, test_step = (first_step(at, c >= threshold - 1e-7) for c in (train, test))
    known = test[np.isfinite(test)]
    best = float(known.max()) if len(known) else None
    lost = _undefined(train, test, train_step, test_step)
    if lost:
        return LearningPhase("undefined", train_step, test_step, False, lost, best, threshold, gap)
    phase = cast(Phase, str(phase_of_steps(train_step, test_step, gap, boundary)))
    last = int(at[-1])
    bar = f"{100 * threshold:g}%"
    ended = f"step {last:,}" + (f" of {budget:,}" if budget is not None and last < budget else "")
    if phase == "undefined":
        reason = (
            f"generalised without fitting: test accuracy reached {bar} at step {test_step:,}, training not by {ended}"
        )
    elif phase == "confusion":
        reason = f"censored at {ended}: a longer run could be of any phase"
    elif phase == "memorisation":
        assert train_step is not None
        still = "grokking" if last - train_step >= gap else "comprehension or grokking"
        reason = f"censored at {ended}: a longer run could still be {still}"
    else:
        reason = _near(at, train_step, test_step, gap, boundary)
    censored = train_step is None or test_step is None
    return LearningPhase(phase, train_step, test_step, censored, reason, best, threshold, gap)


def phase_of(
    run: HasCurves,
    member: int = 0,
    *,
    threshold: float | int = THRESHOLD,
    gap: float | int = GAP,
    boundary: str = "grokking",
) -> LearningPhase:
    """Return the phase of a member of a run of any learner; steps are the learner's own (iterations of an RFM).

    A member whose training loss is not finite has diverged, whatever its accuracy was counted as.

    Raises:
        InputError: as `learning_phase`, and for a member that the run does not have.
    """
    check_member(member, len(run.recorded), "the run")
    curves = run.curves(member)
    accuracies: list[Any] = [curves.get("train_accuracy"), curves.get("test_accuracy")]
    if "train_loss" in curves:
        finite = ~np.isnan(curves["train_loss"])
        # a learner that records no training loss at all has not diverged
        if finite.any():
            accuracies = [None if a is None else np.where(finite, a, np.nan) for a in accuracies]
    budget = int(run.recorded[member].budget.steps)
    given: dict[str, Any] = {"threshold": threshold, "gap": gap, "budget": budget, "boundary": boundary}
    return learning_phase(curves["step"], *accuracies, **given)


def rule_sentence(threshold: float = THRESHOLD, gap: float = GAP, boundary: str = "grokking") -> str:
    """Return whose the phases are, and their rule with its numbers."""
    return (
        f"Phases are those of {OWNER}, with a threshold of {100 * threshold:g}%, first reached at an evaluation, and a "
        f"gap of {gap:,g} steps; exactly that counts as {boundary}. {RULE[0].upper()}{RULE[1:]}."
    )


def phases_sentence(phases: Sequence[LearningPhase]) -> str:
    """Return how many members are of which phase, and the rule's numbers; '' without any."""
    if not phases:
        return ""
    rule = f"{100 * phases[0].threshold:g}%, {phases[0].gap_of_rule:,g} steps"
    return f"By the phases of {OWNER} ({rule}): {phase_counts(phases)}."


def phase_counts(phases: Sequence[LearningPhase]) -> str:
    """Return how many members are of which phase, low ones with the test accuracies that were reached."""
    names = [p.phase for p in phases]
    return listed([f"{names.count(name)} {name}{_best_of(phases, name)}" for name in PHASES if name in names])


def _best_of(phases: Sequence[LearningPhase], name: str) -> str:
    """Return the highest test accuracies of members of a phase that is named for a low one."""
    known = [p.best_test_accuracy for p in phases if p.phase == name and p.best_test_accuracy is not None]
    if name not in ("memorisation", "confusion") or not known:
        return ""
    return f" (test accuracy at best {percents(known)})"


def check(*, threshold: float | int = THRESHOLD, gap: float | int = GAP, boundary: str = "grokking") -> None:
    """Raise InputError for an impossible threshold, gap or boundary."""
    if not 0 < threshold <= 1:
        raise InputError("threshold", threshold, "needs to be above 0 and at most 1")
    if not 0 <= gap < float("inf"):
        raise InputError("gap", gap, "needs to be 0 or above")
    check_choice("boundary", boundary, ("grokking", "comprehension"))


def _curve(name: str, accuracy: Any, n: int) -> np.ndarray:
    curve = np.full(n, np.nan) if accuracy is None else np.asarray(accuracy, float)
    if curve.shape != (n,):
        raise InputError(f"{name}_accuracy has shape {curve.shape} for {n} steps")
    return curve


def _undefined(train: np.ndarray, test: np.ndarray, train_step: int | None, test_step: int | None) -> str:
    """Why these curves have no phase, '' where they have one."""
    if not len(train):
        return "undefined: nothing is recorded"
    for name, curve in (("training", train), ("test", test)):
        if np.isnan(curve).all():
            return f"undefined: there is no {name} accuracy"
    if (train_step is None or test_step is None) and (np.isnan(train[-1]) or np.isnan(test[-1])):
        return "undefined: training diverged before both accuracies had reached the threshold"
    return ""


def _near(steps: np.ndarray, train_step: int | None, test_step: int | None, gap: float | int, boundary: str) -> str:
    """Return what makes a phase of two reached steps doubtful, in one sentence, or ''."""
    assert train_step is not None
    assert test_step is not None
    doubts = []
    delay = test_step - train_step
    if delay == gap:
        doubts.append(f"test accuracy followed by exactly {gap:,g} steps, which is counted as {boundary}")
    else:
        # each threshold was passed after the evaluation before: the true delay lies between these two
        least, most = _before(steps, test_step) - train_step, test_step - _before(steps, train_step)
        if least + 1 < gap < most:
            doubts.append(f"a delay of {delay:,} steps cannot be told from {gap:,g} at this cadence of evaluation")
    if test_step == steps[-1] or train_step == steps[-1]:
        doubts.append(f"the threshold was reached on the very last step recorded, {int(steps[-1]):,}")
    return "; ".join(doubts)


def _before(steps: np.ndarray, step: int) -> int:
    """Return the recorded step before, or the step itself where that is the first."""
    place = int(np.searchsorted(steps, step))
    return int(steps[max(place - 1, 0)])
