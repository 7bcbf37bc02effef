"""What happened in a run, in words computed from it."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab.analysis.facts import Facts
from groklab.grokking.learning_phases import PHASES
from groklab.text import listed, loss_of, percent, step_of, times

#: From this ratio of the two steps on, generalising counts as late; below it, as coming with memorising.
LATE = 2.0
#: Test accuracy above which a run that has not generalised has done so in part.
PARTLY = 0.5
#: What each criterion asks of an accuracy.
CRITERIA = {
    "sustained_99": "at least 99% for five evaluations in a row, or to the end of the run",
    "first_95": "95% or more for the first time",
    "first_90": "90% or more for the first time",
    "near_maximum": "within 1% of the run's own best for the first time",
}
_NAMES = {"mlp": "MLP", "gaussian": "Gaussian", "laplace": "Laplace"}


def summary(facts: Facts) -> list[str]:
    """Sentences, one paragraph together: what was trained, what it reached, how it ended."""
    said = [_opening(facts)]
    if not facts.members or facts.metrics.is_empty():
        return [*said, f"Nothing has been measured yet: the run is {facts.status['status']} at step {facts.step:,}."]
    said += _ensemble(facts) if facts.several else _single(facts)
    return [*said, *_stop(facts)]


def _opening(facts: Facts) -> str:
    if facts.kernel_machine:
        kernel = str(getattr(facts.experiment.learner, "kernel", "")).replace("_", " ")
        kind = f"Recursive Feature Machine with {_article(kernel)} {_NAMES.get(kernel, kernel)} kernel"
    else:
        kind = str(getattr(facts.experiment.network, "kind", "network")).replace("_", " ")
    article, what = _article(kind), _NAMES.get(kind, kind)
    who = f"{len(facts.experiments)} members, each {article} {what}," if facts.several else f"{article.title()} {what}"
    if facts.task is None:
        return f"{who} {'were' if facts.several else 'was'} trained on a task whose data are no longer at hand."
    share = facts.n_train / facts.task.n_inputs
    shown = f"on {facts.n_train:,} of its {facts.task.n_inputs:,} inputs ({share:.0%})"
    if facts.task.draw is not None:
        shown = f"on fresh inputs at each step, and tested on {facts.task.n_inputs:,} others"
    return f"{who} {'were' if facts.several else 'was'} trained on {facts.task.name}, {shown}."


def _article(kind: str) -> str:
    return "an" if kind[:1] in tuple("aeiou") or kind == "mlp" else "a"


def _single(facts: Facts) -> list[str]:
    m = facts.members[0]
    memorised, grokked = m.get("memorised_step"), m.get("grokked_step")
    accuracy = percent(m.get("test_accuracy"))
    if grokked is not None and memorised is not None and grokked >= LATE * max(memorised, 1):
        ratio = f", {times(grokked / memorised)} times as late" if memorised else ""
        return [
            f"It memorised the training set at step {memorised:,} and generalised at step {grokked:,}{ratio}: "
            "it grokked.",
            f"Test accuracy was {percent(_at(facts, 'test_accuracy', memorised))} when memorised and is {accuracy} "
            f"at step {facts.step:,}.",
        ]
    if grokked is not None:
        fitted = (
            f"It memorised the training set at step {memorised:,}" if memorised is not None else "It did not memorise"
        )
        how = "nearly at once" if memorised is not None else "all the same"
        return [f"{fitted} and generalised at step {grokked:,}, {how}.", f"Test accuracy is {accuracy} at the end."]
    if m.get("diverged"):
        finite = facts.metrics.filter(pl.col("train_loss").is_finite())["step"].max()
        return [f"It diverged: the last evaluation with a finite loss was at step {step_of(finite)}."]  # type: ignore[arg-type]
    chance = f", where chance is {percent(_chance(facts))}" if facts.task is not None else ""
    if memorised is not None:
        partly = (m.get("test_accuracy") or 0.0) > PARTLY
        so_far = "had generalised only in part" if partly else "had not generalised"
        return [
            f"It memorised the training set at step {memorised:,} and {so_far} by step {facts.step:,}, "
            f"with test accuracy at {accuracy}{chance}.",
            "That is censored, not 'never': a longer run may yet grok.",
        ]
    best = facts.metrics["train_accuracy"].max()
    return [
        f"It had neither memorised nor generalised by step {facts.step:,}: training accuracy reached at best "
        f"{percent(best)}, test accuracy is {accuracy}{chance}."  # type: ignore[arg-type]
    ]


def _ensemble(facts: Facts) -> list[str]:
    n = len(facts.members)
    memorised, grokked = facts.estimate("memorised"), facts.estimate("grokked")
    assert memorised is not None
    assert grokked is not None
    said = []
    for word, found in (("memorised the training set", memorised), ("generalised", grokked)):
        median = f" (median step {found.median:,.0f})" if found.median is not None else ""
        said.append(f"{found.n_grokked} of {n} {word}{median}.")
    diverged = sum(bool(m.get("diverged")) and m.get("grokked_step") is None for m in facts.members)
    said += [f"{diverged} diverged."] if diverged else []
    censored = n - grokked.n_grokked - diverged
    if censored:
        said.append(f"{censored} had not by step {facts.step:,}: censored, not 'never'.")
    if memorised.median and grokked.median:
        said.append(f"The medians lie {times(grokked.median / memorised.median)} times apart.")
    phases = [p.phase for p in facts.phases]
    counts = [f"{phases.count(p)} {p}" for p in PHASES if p in phases]
    return [*said, f"Phases: {listed(counts)}."]


def _stop(facts: Facts) -> list[str]:
    status, reason = facts.status["status"], facts.status["reason"]
    ends = {"steps": "its budget of steps", "seconds": "its budget of time", "grokked": "having grokked, as asked"}
    if status == "finished":
        return [f"The run ended at step {facts.step:,} by {ends.get(str(reason), str(reason))}."]
    if status == "diverged":
        return [f"The run stopped at step {facts.step:,}."]
    return [f"The run is {status} at step {facts.step:,} of {facts.experiment.budget.steps:,}, so this may change."]


def curves_sentence(facts: Facts) -> str:
    """What the curves of loss and accuracy say."""
    if facts.several:
        seen = [m["test_accuracy"] for m in facts.members if m.get("test_accuracy") is not None]
        if not seen:
            return "No member ends with a finite test accuracy."
        low, mid, high = (percent(float(q)) for q in np.quantile(seen, [0, 0.5, 1]))
        if low == high:
            return f"At step {facts.step:,} every member's test accuracy is {mid}."
        return f"At step {facts.step:,} the members' test accuracies run from {low} to {high}, with a median of {mid}."
    rows = facts.metrics.filter(pl.col("test_loss").is_finite()).sort("step")
    if rows.is_empty():
        return "No evaluation has a finite test loss."
    if facts.kernel_machine:
        start, last = rows.row(0, named=True), rows.row(-1, named=True)
        return (
            f"Test loss goes from {loss_of(start['test_loss'])} to {loss_of(last['test_loss'])} and test accuracy "
            f"from {percent(start['test_accuracy'])} to {percent(last['test_accuracy'])}, while training loss is never "
            f"above {loss_of(rows['train_loss'].max())}."  # type: ignore[arg-type]
        )
    peak = rows.row(int(rows["test_loss"].arg_max() or 0), named=True)
    last = rows.row(-1, named=True)
    fell = last["test_loss"] < 0.5 * peak["test_loss"]
    top, end = loss_of(peak["test_loss"]), loss_of(last["test_loss"])
    summed = f", summed over the {facts.summed} operations," if facts.summed else ""
    shape = (
        f"Test loss{summed} peaks at {top} at step {peak['step']:,} and ends at {end}"
        if fell
        else f"Test loss{summed} ends at {end}, not far from its peak of {top} at step {peak['step']:,}"
    )
    return f"{shape}, while training loss ends at {loss_of(last['train_loss'])}."


def sizes_sentence(facts: Facts) -> str:
    """How a kernel machine's M and the condition of its kernel matrix changed."""
    last = int(facts.metrics["step"].max() or 0)  # type: ignore[arg-type]
    told = []
    for words, column in (
        ("the trace of M", "trace"),
        ("its norm", "weight_norm"),
        ("the condition number of the kernel matrix", "condition"),
    ):
        first, end = _at(facts, column, 0), _at(facts, column, last)
        if first is not None and end is not None:
            told.append(f"{words} from {_plain(first)} to {_plain(end)}")
    mean = " (means over the members)" if facts.several else ""
    return f"Step 0 to {last:,} took {listed(told)}{mean}." if told else "No evaluation has finite sizes."


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def norms_sentence(facts: Facts) -> str:
    """How the norm of the weights moved between the marked steps."""
    memorised, grokked = facts.typical("memorised"), facts.typical("grokked")
    known = facts.metrics.filter(pl.col("weight_norm").is_finite())
    if known.is_empty():
        return "No evaluation has a finite norm."
    end = int(known["step"].max())  # type: ignore[arg-type]
    points = [("at the start", 0), ("when memorised", memorised), ("when it generalised", grokked), ("at the end", end)]
    if facts.several:
        points[1:3] = [("when half had memorised", memorised), ("when half had generalised", grokked)]
    values = [(words, _at(facts, "weight_norm", s)) for words, s in points if s is not None and s <= end]
    told = listed([f"{v:.1f} {words}" for words, v in values if v is not None])
    mean = "mean norm of the members' weights" if facts.several else "norm of the weights"
    first = _at(facts, "weight_norm", memorised) if memorised is not None else None
    last = _at(facts, "weight_norm", grokked) if grokked is not None else None
    change = ""
    if first and last and grokked != memorised:
        change = (
            f"; from memorising to generalising it {'fell' if last < first else 'rose'} by {abs(last / first - 1):.0%}"
        )
    return f"The {mean} is {told}{change}."


def survival_sentence(facts: Facts) -> str:
    """The median step of grokking, its interval, and how many were cut off."""
    found = facts.estimate("grokked")
    if found is None or found.n_grokked == 0:
        return f"None of the members had generalised by step {facts.step:,}; ticks show where they ended."
    if found.median is None:
        return (
            f"{found.n_grokked} of {found.n} had generalised by step {facts.step:,}, fewer than half, so the median "
            "lies beyond the run; ticks show where members ended."
        )
    high = f"to {found.high:,.0f}" if found.high is not None else "upwards, with no upper bound from so few"
    low = f"from {found.low:,.0f} " if found.low is not None else ""
    cut = found.n - found.n_grokked
    return (
        f"Half had generalised by step {found.median:,.0f} (Kaplan–Meier; shaded, the 95% interval {low}{high}); "
        f"{cut or 'none'} of {found.n} ended without having generalised{' (ticks)' if cut else ''}."
    )


def _at(facts: Facts, column: str, step: int | None) -> float | None:
    """The mean over members of a metric at the evaluation nearest to a step."""
    rows = facts.metrics
    if step is None or rows.is_empty():
        return None
    nearest = rows["step"].unique().sort().to_numpy()
    at = int(nearest[np.argmin(np.abs(nearest - step))])
    value = rows.filter(pl.col("step") == at)[column].mean()
    return float(value) if isinstance(value, float) and np.isfinite(value) else None


def _chance(facts: Facts) -> float:
    assert facts.task is not None
    return 1 / facts.task.n_answers
