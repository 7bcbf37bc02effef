"""What a trial may use: training in the user's own collection, until the slice of time is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from groklab.errors import InputError, OutOfTime
from groklab.experiment.schema import Experiment
from groklab.store.collection import Collection
from groklab.store.run import Run
from groklab.training import interrupts, training
from groklab.training.progress import PortionView, View

TAG = "reproduce"


class Bench:
    """Trains for trials. home: the folder of runs (None: the user's). view: told after each chunk of training.

    portion_view: told how a sweep stands that a trial makes.
    """

    def __init__(
        self, home: str | Path | None = None, view: View | None = None, portion_view: PortionView | None = None
    ) -> None:
        self.home, self.view, self.portion_view = home, view, portion_view

    def train(self, experiment: Experiment | Sequence[Experiment], seeds: int | None = None) -> Run:
        """The finished run of an experiment, or of several as one ensemble, tagged `reproduce`.

        A run that is kept already is taken as it is and an interrupted one is resumed, so claims that ask for the
        same experiment share one training. It may have gone further than the budget asked for: take curves and
        weights by step. A run of this name that was measured or kept otherwise is left alone; another is trained
        beside it, named NAME-reproduce. Raises OutOfTime, with the run saved, when the slice is over.
        """
        members = training.members_of(experiment, seeds)
        if not self._serves(members):
            members = [replace(m, name=f"{m.name[:70]}-{TAG}") for m in members]
        return training.train(members, tags=(TAG,), view=self.view, home=self.home)

    def check_time(self) -> None:
        """For a trial to call between long steps of its own: raises OutOfTime when the slice is over."""
        if interrupts.out_of_time():
            raise OutOfTime

    def _serves(self, members: list[Experiment]) -> bool:
        """Whether the run of this name, if there is one, was measured and kept as is asked."""
        path = Collection(Path(self.home) if self.home is not None else None).folder / training.run_name(members)
        if not (path / "experiment.json").is_file():
            return True
        try:
            return _kept_as(Run(path).experiment) == _kept_as(members[0])
        except InputError:
            return False


def _kept_as(experiment: Experiment) -> tuple[object, ...]:
    kept = replace(experiment.checkpoints, rolling_seconds=1.0)
    return experiment.evaluation.every, kept, experiment.measures
