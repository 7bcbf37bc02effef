"""What happened in a run, in words computed from it."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab.figures import RunContext, mean_at
from groklab.grokking import phases_sentence
from groklab.text import percent, step_of, times

#: The least ratio of the two steps at which generalising counts as late.
LATE = 2.0
#: Test accuracy above which a run that has not generalised has done so in part.
PARTLY = 0.5
#: Changes in the middle of training that the paragraph names; the table has all.
MOST_CHANGES = 3
_NAMES = {
    "mlp": "MLP",
    "effective theory": "embedding of the effective theory",
    "gaussian": "Gaussian",
    "laplace": "Laplace",
}


def summary(run: RunContext) -> list[str]:
    """Return the sentences of one paragraph: what was trained, how it went, how it ended."""
    opening = _opening(run)
    if not run.metrics.is_empty() and not run.members:
        # results are saved less often than metrics
        steps = run.metrics["step"].to_numpy()
        last = run.metrics.filter(steps == steps.max())
        train, test = (percent(np.median(last[f"{name}_accuracy"].to_numpy())) for name in ("train", "test"))
        middle = ", in the median" if run.several else ""
        return [opening, f"At step {steps.max():,} training accuracy is {train} and test accuracy {test}{middle}."]
    if run.metrics.is_empty():
        return [opening, f"Nothing has been measured yet: the run is {run.status.state} at step {run.step:,}."]
    changes = [mark.sentence() for mark in run.marks][:MOST_CHANGES]
    return [opening, *(_ensemble(run) if run.several else _single(run)), *changes, _stop(run)]


def _opening(run: RunContext) -> str:
    if run.kernel_machine:
        kernel = str(getattr(run.experiment.learner, "kernel", "")).replace("_", " ")
        kind = f"Recursive Feature Machine with {_article(kernel)} {_NAMES.get(kernel, kernel)} kernel"
    else:
        learnt = run.experiment.network or run.experiment.learner
        kind = str(getattr(learnt, "kind", "model")).replace("_", " ")
    article, name = _article(kind), _NAMES.get(kind, kind)
    who = f"{article.title()} {name} was"
    if run.several:
        who = f"{len(run.experiments)} members, each {article} {name}, were"
    if run.task is None:
        return f"{who} trained on a task whose data are no longer at hand."
    inputs = f"on {run.n_train:,} of its {run.task.n_inputs:,} inputs ({run.n_train / run.task.n_inputs:.0%})"
    if run.task.draw is not None:
        inputs = f"on fresh inputs at each step, and tested on {run.task.n_inputs:,} others"
    return f"{who} trained on {run.task.name}, {inputs}."


def _article(kind: str) -> str:
    return "an" if kind[:1] in tuple("aeiou") or kind == "mlp" else "a"


def _single(run: RunContext) -> list[str]:
    m = run.members[0]
    memorised, grokked = m.memorised_step, m.grokked_step
    accuracy = percent(m.test_accuracy)
    if grokked is not None and memorised is not None and grokked >= LATE * max(memorised, 1):
        ratio = f", {times(grokked / memorised)} times as late" if memorised else ""
        before = percent(mean_at(run.metrics, "test_accuracy", memorised))
        return [
            f"It memorised the training set at step {memorised:,} and generalised at step {grokked:,}{ratio}.",
            f"Test accuracy was {before} when memorised and is {accuracy} at step {run.step:,}.",
        ]
    if grokked is not None:
        fitted = (
            f"It memorised the training set at step {memorised:,}" if memorised is not None else "It did not memorise"
        )
        how = "nearly at once" if memorised is not None else "anyway"
        return [f"{fitted} and generalised at step {grokked:,}, {how}.", f"Test accuracy is {accuracy} at the end."]
    if m.diverged:
        finite = run.metrics.filter(pl.col("train_loss").is_finite())["step"].max()
        return [f"It diverged: the last evaluation with a finite loss was at step {step_of(finite)}."]  # type: ignore[arg-type]
    chance = f", where chance is {percent(_chance(run))}" if run.task is not None else ""
    if memorised is not None:
        partly = (m.test_accuracy or 0.0) > PARTLY
        so_far = "had generalised only in part" if partly else "had not generalised"
        return [
            f"It memorised the training set at step {memorised:,} and {so_far} by step {run.step:,}, "
            f"with test accuracy at {accuracy}{chance}.",
            "That is censored, not 'never': a longer run may yet generalise.",
        ]
    best = run.metrics["train_accuracy"].max()
    return [
        f"It had neither memorised nor generalised by step {run.step:,}: training accuracy reached at best "
        f"{percent(best)}, test accuracy is {accuracy}{chance}."  # type: ignore[arg-type]
    ]


def _ensemble(run: RunContext) -> list[str]:
    n = len(run.members)
    memorised, grokked = run.survival("memorised"), run.survival("grokked")
    assert memorised is not None
    assert grokked is not None
    sentences = []
    for verb, summary in (("memorised the training set", memorised), ("generalised", grokked)):
        median = f" (median step {summary.median:,.0f})" if summary.median is not None else ""
        sentences.append(f"{summary.n_grokked} of {n} {verb}{median}.")
    diverged = sum(m.diverged and m.grokked_step is None for m in run.members)
    sentences += [f"{diverged} diverged."] if diverged else []
    censored = n - grokked.n_grokked - diverged
    if censored:
        sentences.append(f"{censored} had not by step {run.step:,}: censored, not 'never'.")
    if memorised.median and grokked.median:
        sentences.append(f"The medians are {times(grokked.median / memorised.median)} times apart.")
    return [*sentences, phases_sentence(run.phases)]


def _stop(run: RunContext) -> str:
    status, reason = run.status.state, str(run.status.reason)
    ends = {"steps": "its budget of steps", "seconds": "its budget of time", "grokked": "having generalised, as set"}
    if status == "finished":
        return f"The run ended at step {run.step:,} by {ends.get(reason, reason)}."
    if status == "diverged":
        return f"The run stopped at step {run.step:,}."
    return f"The run is {status} at step {run.step:,} of {run.experiment.budget.steps:,}, so this may change."


def _chance(run: RunContext) -> float:
    assert run.task is not None
    return 1 / run.task.n_answers
