"""One member of an ensemble as a run of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.experiment.schema import Experiment
from groklab.store.run import Run


class OneMember(Run):
    """A member of a run, read-only: its experiment, its curves, its weights.

    A member that stopped before the others keeps its last weights in all later checkpoints of the run; here they are
    those of the step at which it stopped.
    """

    def __init__(self, run: Run, place: int, title: str) -> None:
        super().__init__(run.path)
        self.run, self.place, self.title = run, place, title

    @property
    def name(self) -> str:
        """What it is called."""
        return self.title

    @property
    def experiments(self) -> list[Experiment]:
        """Its experiment, alone."""
        return [self.run.experiments[self.place]]

    @property
    def identities(self) -> list[str]:
        """Its identity, alone."""
        return [self.run.identities[self.place]]

    @property
    def n_members(self) -> int:
        """One."""
        return 1

    @property
    def status(self) -> dict[str, Any]:
        """The run's status, with this member's alone, and its share of the time."""
        of_run = self.run.status
        own = of_run["members"][self.place : self.place + 1]
        status = {**of_run, "members": own, "seconds": of_run["seconds"] / self.run.n_members}
        if not own:
            return status
        status["step"] = int(own[0].get("steps", of_run["step"]))
        if of_run["status"] in ("finished", "diverged"):
            status["status"] = "diverged" if own[0].get("diverged") else "finished"
            # what ended the last of them need not have ended this one
            if own[0].get("diverged"):
                status["reason"] = "diverged"
            elif status["step"] < of_run["step"] or of_run["reason"] == "diverged":
                status["reason"] = "grokked"
        return status

    @property
    def metrics(self) -> pl.DataFrame:
        """Its evaluations, as member 0."""
        return self._alone(self.run.metrics)

    @property
    def measured(self) -> pl.DataFrame | None:
        """Its online measures, as member 0."""
        measured = self.run.measured
        return None if measured is None else self._alone(measured)

    def _alone(self, frame: pl.DataFrame) -> pl.DataFrame:
        own = frame.filter(pl.col("member") == self.place)
        return own.with_columns(pl.lit(0, frame.schema["member"]).alias("member"))

    @property
    def checkpoints(self) -> list[int]:
        """The steps whose weights are kept, up to the member's last."""
        last = self.status["step"]
        return sorted({min(step, last) for step in self.run.checkpoints})

    def weights(self, step: int | None = None, member: int | None = None) -> dict[str, np.ndarray]:
        """Its weights at a kept step, without a member axis, as those of any single run."""
        place = self.place if self.run.n_members > 1 else None
        if step is None or step in self.run.checkpoints:
            return self.run.weights(step, place)
        later = [s for s in self.run.checkpoints if s > step]
        return self.run.weights(later[0] if later and step in self.checkpoints else step, place)
