"""What the analysis of any trained model offers: a verdict, sentences, and plain values."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from groklab import notebook
from groklab.analysis._checkpoints import Progress, Weights, no_progress
from groklab.errors import InputError
from groklab.measures import MEASURES, component_norms, embedding_matrix, gini
from groklab.tasks import Task
from groklab.text import jsonable, visible

#: How much is measured: the checkpoints for `groklab measure`, the final model too for `groklab explain`, and what a
#: page draws besides, unless that takes longer than a page should.
Scope = Literal["checkpoints", "explanation", "page"]


@dataclass(frozen=True)
class Options:
    """How a model is measured.

    Args:
        scope: what is measured.
        rule: how key frequencies are found, None for the task's default.
        frequencies: take these instead.
        progress: called as checkpoints are measured.
    """

    scope: Scope = "page"
    rule: str | None = None
    frequencies: Sequence[int] | None = None
    progress: Progress = no_progress

    @property
    def given(self) -> bool:
        """Whether key frequencies are asked for by a rule or by themselves."""
        return self.rule is not None or self.frequencies is not None


PAGE = Options()


@dataclass(frozen=True)
class Section:
    """Sentences on one part of a model, under a title."""

    title: str
    sentences: Sequence[str]


def sections_of(sentences: Mapping[str, Sequence[str]]) -> list[Section]:
    """Return sections from sentences by title, without empty ones."""
    kept = {title: [sentence for sentence in each if sentence] for title, each in sentences.items()}
    return [Section(title, each) for title, each in kept.items() if each]


def html_of_sections(sections: Sequence[Section]) -> str:
    """Return sections for a notebook."""
    return "".join(f"<b>{notebook.escaped(s.title)}</b>{notebook.listing(s.sentences)}" for s in sections)


class ModelAnalysis(abc.ABC):
    """The measures of one trained model, judged and worded."""

    def __repr__(self) -> str:
        return visible(f"{type(self).__name__}({self.verdict()})")

    def _repr_html_(self) -> str:
        title = notebook.title(type(self).__name__)
        return notebook.block(title, notebook.line(self.verdict()), html_of_sections(self.sections()))

    @abc.abstractmethod
    def verdict(self) -> str:
        """Return the judgement in one sentence."""

    def sentences(self) -> list[str]:
        """Return the few sentences that one reads first, the verdict before all others."""
        return [self.verdict()]

    def sections(self) -> list[Section]:
        """Return all sentences but the verdict."""
        return []

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the measures as plain JSON values."""


@dataclass(frozen=True, repr=False)
class NotApplicable(ModelAnalysis):
    """The analysis of a model to which no other applies.

    Args:
        sentence: the reason, as the verdict.
        reason: the measure's own words, without a full stop.
        sizes: what is known of any model, as `sizes_of` gives it.
        trajectory: values by step, with `step` among them; empty where there is nothing to follow.
    """

    sentence: str
    reason: str = ""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    trajectory: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @classmethod
    def because(cls, error: Exception, sizes: Mapping[str, Any] | None = None) -> NotApplicable:
        """Return the analysis of a model of which no measure holds."""
        return cls(f"None of groklab's analyses applies: {error}.", str(error), sizes or {})

    def verdict(self) -> str:
        """Return the reason."""
        return self.sentence

    def to_dict(self) -> dict[str, Any]:
        """Return the reason as `does_not_apply`, and what is known of any model."""
        values = {"key_frequencies": None, "does_not_apply": self.reason or self.sentence, **jsonable(self.sizes)}
        return values | ({"trajectory": jsonable(self.trajectory)} if self.trajectory else {})


def take_parts(
    names: Sequence[str], weights: Weights, task: Task, train: np.ndarray, **settings: Any
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Return measures of a final model by name, and the reason of each that does not apply."""
    parts: dict[str, Mapping[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            parts[name] = MEASURES[name](weights, task, train, **settings)
        except (InputError, KeyError) as error:
            left_out[name] = str(error)
    return parts, left_out


def sizes_of(weights: Weights, task: Task, metrics: pl.DataFrame) -> dict[str, float]:
    """Return what is known of any network: losses and accuracies as last recorded, and the size of its weights."""
    last = {} if metrics.is_empty() else metrics.row(-1, named=True)
    sizes: dict[str, float] = {
        k: float(v) for k, v in last.items() if k.endswith(("loss", "accuracy")) and v is not None
    }
    sizes["sum_of_squares"] = float(sum(np.sum(np.square(w, dtype=np.float64)) for w in weights.values()))
    with contextlib.suppress(InputError):
        sizes["gini_W_E"] = gini(component_norms(embedding_matrix(weights, task)))
    return sizes
