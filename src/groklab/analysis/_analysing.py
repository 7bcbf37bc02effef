"""A trained model taken apart: the one analysis that terminal, JSON and pages read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from groklab import notebook
from groklab.analysis._checkpoints import MEASURED, Checkpoints, Weights, task_of
from groklab.analysis._circuits import analyse_circuit
from groklab.analysis._features import FeatureAnalysis, analyse_features, has_features
from groklab.analysis._key_frequencies import key_frequencies_of
from groklab.analysis._mixtures import analyse_mixture
from groklab.analysis._model import PAGE, ModelAnalysis, NotApplicable, Options, Section, html_of_sections
from groklab.analysis._representations import analyse_representation
from groklab.analysis._watching import Measuring, watching_analysis
from groklab.device import threads
from groklab.errors import InputError, check_member
from groklab.experiment import Experiment
from groklab.grokking import Headline, LearningPhase, phase_of
from groklab.measures import is_kernel_machine
from groklab.notebook import Watch
from groklab.store import Run, marks_of
from groklab.tasks import Task
from groklab.text import visible


@dataclass(frozen=True, repr=False)
class Analysis:
    """The analysis of one member of a run.

    Args:
        run: the run's name.
        member: its place in the run.
        seed: the member's.
        step: that of the final weights.
        task: the task's name.
        headline: when it memorised and generalised; None before the first evaluation.
        learning_phase: one of the four phases of Liu et al. (2022), which rest on other accuracies.
        model: what was measured.
        features: what a network of one hidden layer looks at in a pair of operands; None unless it is explained.
        changes: a sentence on each change in the middle of training.
    """

    run: str
    member: int
    seed: int
    step: int
    task: str
    headline: Headline | None
    learning_phase: LearningPhase
    model: ModelAnalysis
    features: FeatureAnalysis | None = None
    changes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return visible(f"Analysis({self.run!r}, member {self.member}, step {self.step:,}: {self.verdict()})")

    def _repr_html_(self) -> str:
        title = notebook.title(self.run, f"{self.task}, member {self.member}, step {self.step:,}")
        return notebook.block(title, notebook.line(self.verdict()), html_of_sections(self.sections()))

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        return self.model.verdict()

    def sections(self) -> list[Section]:
        """Return all sentences but the verdict."""
        changes = [Section("Changes in training", self.changes)] if self.changes else []
        return [*changes, *self.model.sections(), *(self.features.sections() if self.features else [])]

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as `groklab measure --json` prints them."""
        head = {"run": self.run, "step": self.step, "task": self.task}
        headline = None if self.headline is None else self.headline.to_dict()
        any_model = {"headline": headline, "learning_phase": self.learning_phase.to_dict(), "representation": None}
        return {**head, **any_model, **self.model.to_dict()}

    def explanation(self) -> dict[str, Any]:
        """Return the sentences as `groklab explain --json` prints them."""
        head = {k: getattr(self, k) for k in ("run", "member", "seed", "step", "task")}
        sections = [{"title": section.title, "lines": list(section.sentences)} for section in self.sections()]
        headline = None if self.headline is None else self.headline.sentence()
        return {**head, "headline": headline, "verdict": self.verdict(), "sections": sections}

    def __str__(self) -> str:
        sections = (
            f"{section.title}\n" + "\n".join(f"- {s}" for s in section.sentences) for section in self.sections()
        )
        headline = "" if self.headline is None else f"{self.headline.sentence()}\n"
        return "\n\n".join([f"{self.run}: {self.task}, step {self.step:,}\n{headline}{self.verdict()}", *sections])


def analyse(
    run: Run,
    member: int = 0,
    *,
    rule: str | None = None,
    frequencies: Sequence[int] | None = None,
    view: Watch[Measuring] = "live",
) -> Analysis:
    """Measure every kept checkpoint of one member.

    Key frequencies are those of the final model, applied backwards. `analysis.model` is a `CircuitAnalysis`,
    `MixtureAnalysis`, `FeatureAnalysis`, `RepresentationAnalysis` or, where none applies, `NotApplicable`;
    `analysis.to_dict()` gives all of it as plain values.

    Args:
        run: a trained run.
        member: of an ensemble.
        rule: how key frequencies are found, a name in `measures.frequencies.RULES`; None for the task's default.
        frequencies: take these key frequencies instead.
        view: "live" shows in a notebook how many checkpoints are measured, and a line now and then elsewhere, if it
            takes long; None shows nothing; a function is called with the progress.

    Raises:
        InputError: where nothing can be measured, or for a member that the run does not have.
    """
    with watching_analysis(run.name, view) as progress:
        return _analysis(run, member, None, Options("checkpoints", rule, frequencies, progress))


def explain(run: Run, member: int = 0, *, view: Watch[Measuring] = "live") -> Analysis:
    """Measure what the final model of one member computes, and how it formed, at up to a hundred checkpoints.

    `verdict()` and `sections()` say it in sentences. The arguments and errors are those of `analyse`.
    """
    with watching_analysis(run.name, view) as progress:
        return _analysis(run, member, MEASURED, Options("explanation", progress=progress))


def _analysis(run: Run, member: int, most: int | None, options: Options) -> Analysis:
    check_member(member, run.n_members, run.name)
    experiment = run.experiments[member]
    task, metrics = task_of(run, member), run.metrics.filter(pl.col("member") == member).sort("step")
    checkpoints = Checkpoints(run, member, most)
    model = analyse_model(task, experiment, checkpoints, metrics, options)
    features = None
    if options.scope == "explanation" and not isinstance(model, FeatureAnalysis) and has_features(experiment, task):
        features = analyse_features(task, experiment, checkpoints, metrics, Options("explanation"))
    return Analysis(
        run.name,
        member,
        experiment.seed,
        max(checkpoints),
        task.name,
        next(iter(run.headlines[member : member + 1]), None),
        phase_of(run, member),
        model,
        features if isinstance(features, FeatureAnalysis) else None,
        tuple(mark.sentence() for mark in marks_of([experiment], run.status.members[member : member + 1])),
    )


def analyse_model(
    task: Task,
    experiment: Experiment,
    checkpoints: Mapping[int, Weights],
    metrics: pl.DataFrame,
    options: Options = PAGE,
) -> ModelAnalysis:
    """Take the analysis that applies to a model; the arguments are those of `analyse_circuit`."""
    if not checkpoints:
        return NotApplicable("There is no checkpoint to measure what the model computes.")
    final = checkpoints[max(checkpoints)]
    refused: ModelAnalysis | None = None
    if is_kernel_machine(final, experiment.model):
        if options.given:
            frequencies = options.frequencies
            field, value = ("rule", options.rule) if frequencies is None else ("frequencies", list(frequencies))
            allowed = "applies to networks; a kernel machine has features instead of frequencies"
            raise InputError(field, value, allowed)
        # small matrices: threads would only wait for each other
        with threads(1):
            refused = analyse_features(task, experiment, checkpoints, metrics, options)
        if not isinstance(refused, NotApplicable):
            return refused
    representation = analyse_representation(task, experiment, final, metrics)
    if representation is not None:
        if options.given:
            key_frequencies_of(final, task, experiment.network, options)
        return representation
    if refused is not None:
        return refused
    if experiment.network is None:
        return NotApplicable("This learner has no network, so there is no circuit to look for.")
    measure = analyse_mixture if task.algebra.operations else analyse_circuit
    return measure(task, experiment, checkpoints, metrics, options)


def to_dict_of_members(analyses: Sequence[Analysis]) -> dict[str, Any]:
    """Return what `Analysis.to_dict` gives of a single model; of several, with one list entry per member."""
    rows = [analysis.to_dict() for analysis in analyses]
    if len(rows) == 1:
        return rows[0]
    head = {name: rows[0][name] for name in ("run", "step", "task")}
    names = dict.fromkeys(name for row in rows for name in row if name not in head)
    return {**head, "seed": [a.seed for a in analyses], **{name: [row.get(name) for row in rows] for name in names}}
