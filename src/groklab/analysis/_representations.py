"""What the embedding of a sum or product is like, and the effective theory beside it (Liu et al. 2022)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from groklab.analysis._checkpoints import Weights, task_of
from groklab.analysis._model import ModelAnalysis, Section, sizes_of
from groklab.device import threads
from groklab.errors import InputError, check_member
from groklab.experiment import Experiment
from groklab.learners import EffectiveTheory
from groklab.measures import MEASURES, normalised, rqi, symbol_embedding
from groklab.store import Run
from groklab.tasks import Task, make_split
from groklab.text import jsonable, percent
from groklab.theory import ETA, LINEAR, REACHED, Normalisation, check_applies, equations_of, flow, flow_rates

Matrix = npt.NDArray[np.float64]
#: Steps at which the theory's traces are drawn, and between which the one predicted is looked for.
POINTS = 400
#: Where the slowest mode has decayed by e^-25 nothing moves any more; and further than this nobody trains.
DECAYED = 25.0
MOST_STEPS = 1_000_000_000


@dataclass(frozen=True, repr=False)
class RepresentationAnalysis(ModelAnalysis):
    """A final embedding, judged by the parallelograms that hold in it.

    Args:
        values: numbers of the measure `parallelograms`, and `effective_dimension` where it is defined.
        reason: why the analysis of a sum modulo p does not apply.
        sizes: what is known of any model, as `sizes_of` gives it.
    """

    values: Mapping[str, float]
    reason: str
    sizes: Mapping[str, float]

    @property
    def rqi(self) -> float:
        """Representation quality index, the share of all parallelograms that hold."""
        return self.values["rqi"]

    @property
    def is_structured(self) -> bool:
        """Whether the representation is that of the operation."""
        return self.rqi > REACHED

    def to_dict(self) -> dict[str, Any]:
        """Return the measures as `representation`, and what is known of any model."""
        known = {"key_frequencies": None, "does_not_apply": self.reason, **self.sizes}
        return dict(jsonable({**known, "representation": dict(self.values)}))

    def verdict(self) -> str:
        """Return whether the representation is that of the operation."""
        share = f"{percent(self.rqi)} of all {self.values['n_parallelograms']:,.0f} parallelograms hold"
        return f"Its representation is {'' if self.is_structured else 'not '}that of the operation: {share}."

    def sentences(self) -> list[str]:
        """Return the verdict, what the training set implies, what the embedding predicts, and its dimensions."""
        values, free = self.values, self.values.get("null_dimension")
        sentences = [
            self.verdict(),
            f"The training set has {values['n_parallelograms_train']:,.0f} of them, which imply the answers of "
            f"{percent(values['ideal_accuracy'])} of all inputs.",
        ]
        if free is not None:
            meaning = "so that they force a line" if free == LINEAR else f"and {LINEAR} would force a line"
            sentences.append(f"Its equations leave {free:.0f} dimensions free, {meaning}.")
        sentences.append(
            f"Parallelograms of the final embedding predict {percent(values['predicted_accuracy'])} of all inputs, "
            f"{percent(values['predicted_test_accuracy'])} of the test set."
        )
        if np.isfinite(values.get("effective_dimension", np.nan)):
            sentences.append(f"By its variances the embedding uses {values['effective_dimension']:.2f} dimensions.")
        return sentences

    def sections(self) -> list[Section]:
        """Return all sentences but the verdict, in one section."""
        return [Section("Representation", self.sentences()[1:])]


def analyse_representation(
    task: Task, experiment: Experiment, weights: Weights, metrics: pl.DataFrame
) -> RepresentationAnalysis | None:
    """Measure a final embedding; None where parallelograms say nothing.

    Modulo p the equations leave a constant alone, so that parallelograms there say nothing of how well it generalises.
    """
    if task.algebra.p is not None:
        return None
    train = make_split(experiment.split, task, experiment.seed).train
    values: dict[str, float] = {}
    # small matrices: threads would only wait for each other
    with threads(1):
        with contextlib.suppress(InputError):
            parallelograms = MEASURES["parallelograms"](weights, task, train, network=experiment.model)
            values = {k: float(np.asarray(v)) for k, v in parallelograms.items()}
        if not values:
            return None
        with contextlib.suppress(InputError):
            components = MEASURES["embedding_components"](weights, task, train, network=experiment.model)
            values["effective_dimension"] = float(np.asarray(components["effective_dimension"]))
    reason = f"the frequencies of a sum need a modulus, and {task.name} has none"
    return RepresentationAnalysis(values, reason, sizes_of(weights, task, metrics))


@dataclass(frozen=True)
class Traces:
    """An embedding by step.

    Args:
        step: when.
        rqi: representation quality index at each step.
        traces: one list per symbol of normalised coordinates by step: of the embedding's one dimension or, of several,
            of the first principal component of the last step.
    """

    step: list[int]
    rqi: list[float]
    traces: list[list[float]]


@dataclass(frozen=True)
class TheoryBesideRun:
    """The flow of a run's own first embedding under its training set's equations, and the run's embedding.

    Args:
        run, member, task: whose.
        normalisation: of the theory's matrix.
        eta: the embedding's learning rate in the run.
        n_train: training pairs.
        null_dimension: dimensions that the training set's equations leave free; 2 force a line.
        lambda_3: the rate of the slowest mode beyond a line.
        n_h: 1/(lambda_3 eta), the steps that it takes; None where infinite.
        predicted_step, observed_step: the first of which the RQI is above 0.95, or None.
        predicted_until, observed_until: the last steps looked at.
        observed_from: 'measures' or 'checkpoints', where the run's RQIs come from.
        theory, network: both embeddings.
    """

    run: str
    member: int
    task: str
    normalisation: Normalisation
    eta: float
    n_train: int
    null_dimension: int
    lambda_3: float
    n_h: float | None
    predicted_step: int | None
    predicted_until: int
    observed_step: int | None
    observed_until: int
    observed_from: str
    theory: Traces
    network: Traces

    @property
    def predicted_censored(self) -> bool:
        """Whether the theory's step may come later: the training set forces a line, and none was found."""
        return self.predicted_step is None and self.null_dimension <= LINEAR

    @property
    def censored(self) -> bool:
        """Whether the run's step may come later."""
        return self.observed_step is None

    def when(self, which: Literal["theory", "network"]) -> str:
        """Return when the RQI passes 0.95, in words; what ended before is censored."""
        step, until, censored = self.observed_step, self.observed_until, self.censored
        if which == "theory":
            step, until, censored = self.predicted_step, self.predicted_until, self.predicted_censored
        if step is not None:
            return f"at step {step:,}"
        return f"not by step {until:,} (censored)" if censored else "never"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "predicted_censored": self.predicted_censored, "censored": self.censored}


@dataclass(frozen=True)
class NoTheory:
    """Why the theory says nothing of a run."""

    run: str
    member: int
    task: str
    normalisation: Normalisation
    does_not_apply: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def beside_run(run: Run, member: int = 0, normalisation: Normalisation = "one") -> TheoryBesideRun | NoTheory:
    """Return the theory's prediction from a run's own first embedding, beside the run.

    Raises:
        InputError: where step 0 was not kept, or the weights hold no embedding.
    """
    check_member(member, run.n_members, run.name)
    experiment = run.experiments[member]
    task = task_of(run, member)
    try:
        equations = equations_of(task)
        check_applies(equations)
    except InputError as error:
        return NoTheory(run.name, member, task.name, normalisation, str(error))
    if 0 not in run.checkpoints:
        raise InputError(f"{run.name} keeps no checkpoint of step 0, from which the theory would start")
    chosen = np.zeros(task.n_inputs, np.bool_)
    chosen[make_split(experiment.split, task, experiment.seed).train] = True
    embeddings = np.stack([symbol_embedding(run.weights(s, member), equations.p) for s in run.checkpoints])
    start, eta = normalised(embeddings[0]), embedding_rate(experiment)

    gram, nu = equations.gram(chosen), equations.count(chosen) if normalisation == "parallelograms" else 1
    rates = flow_rates(start, gram, nu)
    rate = float(rates[LINEAR]) if len(rates) > LINEAR else 0.0
    steps = np.unique(np.linspace(0, max(run.checkpoints), POINTS).round().astype(np.int64))
    observed_from, observed = _observed(run, member, task, embeddings)
    return TheoryBesideRun(
        run=run.name,
        member=member,
        task=task.name,
        normalisation=normalisation,
        eta=eta,
        n_train=int(chosen.sum()),
        null_dimension=equations.null_dimension(chosen),
        lambda_3=rate,
        n_h=1 / (rate * eta) if rate > 0 else None,
        predicted_step=_predicted(start, gram, nu, eta, rates, task),
        predicted_until=_until(eta, rates),
        observed_step=next((int(s) for s, q in observed if q > REACHED), None),
        observed_until=int(observed[-1][0]) if observed else 0,
        observed_from=observed_from,
        theory=_traces(steps, flow(start, gram, nu, eta * steps), task),
        network=_traces(np.array(run.checkpoints), normalised(embeddings), task),
    )


def embedding_rate(experiment: Experiment) -> float:
    """Return the learning rate of the embedding: its group's, the optimiser's, or the flow's own eta."""
    optimiser = experiment.optimiser
    if optimiser is None:
        return float(experiment.learner.eta) if isinstance(experiment.learner, EffectiveTheory) else ETA
    group = optimiser.group_of("embed.W_E")
    base = optimiser.learning_rate if group.learning_rate is None else group.learning_rate
    return float(base * group.learning_rate_factor)


def _predicted(start: Matrix, gram: Matrix, nu: float, eta: float, rates: Matrix, task: Task) -> int | None:
    """Return the first step of the flow whose RQI is above 0.95, by bisection between log-spaced steps; or None."""

    def passed(step: int) -> bool:
        return rqi(flow(start, gram, nu, np.array([eta * step]))[0], task) > REACHED

    low = -1
    for high in map(int, np.unique(np.geomspace(1, _until(eta, rates) + 1, POINTS).round() - 1)):
        if passed(high):
            break
        low = high
    else:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passed(middle) else (middle, high)
    return high


def _until(eta: float, rates: Matrix) -> int:
    """Return the last step of the flow worth looking at."""
    moving = rates[rates > 0]
    slowest = float(moving.min()) * eta if moving.size else 0.0
    return int(min(np.ceil(DECAYED / slowest), MOST_STEPS)) if slowest > 0 else 0


def _observed(run: Run, member: int, task: Task, seen: Matrix) -> tuple[str, list[tuple[int, float]]]:
    """Return where RQIs of the run come from, and step and RQI of each."""
    measured, name = run.measured, "parallelograms.rqi"
    if measured is not None and name in measured.columns:
        rows = measured.filter((pl.col("member") == member) & pl.col(name).is_not_null()).sort("step")
        return "measures", list(zip(rows["step"].to_list(), rows[name].to_list(), strict=True))
    return "checkpoints", [(s, rqi(e, task)) for s, e in zip(run.checkpoints, seen, strict=True)]


def _traces(steps: npt.NDArray[np.int64], places: Matrix, task: Task) -> Traces:
    """Return RQI and one coordinate of embeddings (steps, p, d), ascending with the symbols at the last step."""
    direction = np.ones(1)
    if places.shape[2] > 1:
        direction = np.linalg.svd(places[-1], full_matrices=False)[2][0]
    line = places @ direction
    upward = 1 if line[-1] @ (np.arange(line.shape[1]) - (line.shape[1] - 1) / 2) >= 0 else -1
    quality = [rqi(e, task) for e in places]
    return Traces(steps.tolist(), quality, (upward * line.T).tolist())
