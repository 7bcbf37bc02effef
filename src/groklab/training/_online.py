"""Measures taken of the weights during training, at a cadence of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.tasks import as_trained
from groklab.training._ensemble import Ensemble

#: Steps between measures where an experiment does not say.
DEFAULT_EVERY = 250


class OnlineMeasures:
    """The measures that an ensemble's experiments name, and their results so far.

    Attributes:
        every: steps between them, a multiple of the evaluations' cadence; 0 where there are none.
    """

    def __init__(self, ensemble: Ensemble, evaluation_every: int) -> None:
        settings = ensemble.experiments[0].measures
        self.ensemble = ensemble
        self.names = settings.names
        self.frequencies = settings.frequencies
        wished = settings.every or DEFAULT_EVERY
        self.every = -(-wished // evaluation_every) * evaluation_every if settings.names else 0
        self.rows: list[dict[str, Any]] = []

    def is_due(self, step: int) -> bool:
        """Return whether this step is to be measured and has not been."""
        return bool(self.every) and step % self.every == 0 and not (self.rows and self.rows[-1]["step"] >= step)

    def take(self, step: int, weights: dict[str, np.ndarray], members: Iterable[int]) -> None:
        """Measure the weights (a leading member axis) of some members after `step` updates.

        Weights that are not finite give nulls. Raises InputError where a measure does not apply.
        """
        for member in members:
            own = {k: v[member] for k, v in weights.items()}
            row: dict[str, Any] = {"step": step, "member": member}
            if all(np.isfinite(v).all() for v in own.values()):
                for name in self.names:
                    arrays = self._measure(name, own, member)
                    row |= {f"{name}.{k}": np.asarray(v).tolist() for k, v in arrays.items()}
            self.rows.append(row)

    def _measure(self, name: str, weights: dict[str, np.ndarray], member: int) -> Mapping[str, Any]:
        ensemble = self.ensemble
        task, split, experiment = ensemble.tasks[member], ensemble.splits[member], ensemble.experiments[member]
        if experiment.model.is_kernel_machine or "objective" in MEASURES[name].takes:
            task = as_trained(task, split)
        about: dict[str, Any] = {
            "train_targets": split.train_targets,
            "network": experiment.model,
            "frequencies": self.frequencies,
            "objective": experiment.objective,
        }
        return MEASURES[name](weights, task, split.train, **about)

    def check(self, weights: dict[str, np.ndarray]) -> None:
        """Raise InputError, naming the setting, where a measure does not apply to these weights (one member's)."""
        for name in self.names:
            try:
                self._measure(name, weights, 0)
            except InputError as error:
                raise InputError(f"measures.names = {name!r}: {error}") from None

    def frame(self) -> pl.DataFrame | None:
        """Return all rows: step, member, then one column `measure.array` each; None where nothing is measured."""
        return pl.DataFrame(self.rows, infer_schema_length=None) if self.rows else None

    def restore(self, frame: pl.DataFrame | None, step: int) -> None:
        """Take the rows up to a step from those kept on disk; columns of other measures are dropped."""
        if frame is None or not self.every:
            return
        wanted = ["step", "member", *(c for c in frame.columns if c.split(".")[0] in self.names)]
        kept = frame.select(wanted).filter((pl.col("step") <= step) & (pl.col("step") % self.every == 0))
        self.rows = kept.sort("step", "member").to_dicts()
