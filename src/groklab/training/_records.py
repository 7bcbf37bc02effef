"""What training has measured so far, and what a view shows of it while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from groklab import grokking
from groklab.lazy import pl


class Records:
    """Metrics of all members at all evaluations.

    Attributes:
        steps: (n,) int64, ascending.
        metrics: (n, n_members) by name; NaN for a member after the step at which it retired.
        retired: the step at which each retired member stopped.
    """

    def __init__(self, names: Iterable[str], n_members: int) -> None:
        self.n_members = n_members
        self.steps = np.zeros(0, np.int64)
        self.metrics = {name: np.zeros((0, n_members), np.float32) for name in names}
        self.retired: dict[int, int] = {}

    @property
    def alive(self) -> list[int]:
        """Members that have not retired."""
        return [m for m in range(self.n_members) if m not in self.retired]

    def before(self, step: int) -> int:
        """Return how many records are of earlier steps.

        A resumed run may hold the record of this very step already, and one that runs through does not yet; what both
        must decide alike is decided by these.
        """
        return int(np.searchsorted(self.steps, step))

    def append(self, steps: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        """Add records (n, n_members) of later steps; the first may be that of the last step again."""
        if len(self.steps) and self.steps[-1] == steps[0]:
            gone = list(self.retired)
            for name, row in rows.items():
                row[0, gone] = self.metrics[name][-1, gone]
            self.steps = self.steps[:-1]
            self.metrics = {k: v[:-1] for k, v in self.metrics.items()}
        self.steps = np.concatenate([self.steps, steps])
        self.metrics = {k: np.concatenate([v, rows[k]]) for k, v in self.metrics.items()}

    def last(self, metric: str) -> np.ndarray:
        """Return each member's last record of a metric, (n_members,)."""
        last: np.ndarray = self.metrics[metric][-1].copy()
        for m, step in self.retired.items():
            last[m] = self.metrics[metric][self.before(step), m]
        return last

    def reached(
        self,
        metric: str,
        criterion: str,
        cadence: int,
        ended: bool,
        n: int | None = None,
        since: Mapping[int, int] | None = None,
    ) -> list[int | None]:
        """Return when each member's metric met a criterion of `grokking`, by the first n records (None: all).

        Args:
            since: by member, the step from which its records count; all of them where it has none.
        """
        values = self.metrics[metric]
        train = self.metrics.get(metric.replace("test_", "train_"), np.full_like(values, np.nan))
        reached = []
        for m in range(self.n_members):
            own = slice(n)
            if m in self.retired:
                end = self.before(self.retired[m]) + 1
                own = slice(end if n is None else min(n, end))
            if since and m in since:
                own = slice(int(np.searchsorted(self.steps, since[m])), own.stop)
            of = self.steps[own], values[own, m]
            reached.append(grokking.reached_step(*of, criterion, cadence, ended, train[own, m]))
        return reached

    def frame(self) -> pl.DataFrame:
        """Return one row per evaluation and member, without those of members that had retired."""
        steps = np.repeat(self.steps, self.n_members)
        columns = {"step": steps, "member": np.tile(np.arange(self.n_members, dtype=np.int32), len(self.steps))}
        made = pl.DataFrame(columns | {k: v.reshape(-1) for k, v in self.metrics.items()})
        if not self.retired:
            return made
        end = int(self.steps[-1]) if len(self.steps) else 0
        ends = np.array([self.retired.get(m, end) for m in range(self.n_members)])
        return made.filter(steps <= np.tile(ends, len(self.steps)))

    def restore(self, frame: pl.DataFrame, step: int, every: int, retired: dict[int, int]) -> bool:
        """Take the records up to a step from those on disk; return False, taking nothing, if they are not all there."""
        frame = frame.filter((pl.col("step") <= step) & (pl.col("step") % every == 0))
        steps, places = np.unique(frame["step"].to_numpy(), return_inverse=True)
        ends: Sequence[int] = [retired.get(m, step) for m in range(self.n_members)]
        expected = sum(int(np.searchsorted(steps, end, "right")) for end in ends)
        due = np.arange(0, step, every)
        if len(frame) != expected or not np.array_equal(steps[: len(due)], due):
            return False
        self.steps, self.retired = steps.astype(np.int64), dict(retired)
        for name in self.metrics:
            values = frame[name].to_numpy()
            table = np.full((len(steps), self.n_members), np.nan, values.dtype)
            table[places, frame["member"].to_numpy()] = values
            self.metrics[name] = table
        return True


@dataclass
class Progress:
    """What a view of a training run shows after each chunk. Arrays are (records, members) by metric."""

    run: str
    step: int
    budget: int
    seconds: float
    steps_per_second: float
    compiling: bool
    steps: np.ndarray
    metrics: dict[str, np.ndarray]
    memorised: list[int | None] = field(default_factory=list)
    grokked: list[int | None] = field(default_factory=list)
    #: Whether training is over, perhaps before the end of its budget.
    ended: bool = False


View = Callable[[Progress], None]


@dataclass(frozen=True)
class Portion:
    """How far a body of many runs is: how many of its members have ended, and the share of all steps that is done.

    Attributes:
        seconds_left: an estimate; None as long as there is none.
    """

    name: str
    ended: int
    members: int
    share: float
    seconds_left: float | None


PortionView = Callable[[Portion], None]
