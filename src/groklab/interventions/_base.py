"""What every intervention offers: when it comes, what it changes, and what it says of it.

An entry of an experiment's `interventions` comes at a step, or once the run's own metrics meet a condition. Between
updates s and s + 1 it changes one member: its settings (which may select another compiled program), its training data,
or its state. Settings and data follow from the experiment and from what `apply` has returned, so that a resumed run
has them again; the state is kept with the run.
"""

from __future__ import annotations

import abc
import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from groklab.errors import InputError
from groklab.interventions._when import EVENTS, Condition
from groklab.lazy import jax
from groklab.registry import base_of
from groklab.tasks import SplitRows, Task, permutation, uniform_integers

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Moment:
    """One member at the step of an intervention.

    Attributes:
        experiment: with what earlier interventions have set.
        step: updates so far.
        state: `weights` by name, `optimiser`, and `masks` by weight's name once weights were pruned; NumPy arrays.
        seed: of this intervention's own draws.
        trained: names of the weights that are trained and not frozen.
        fresh: gives a newly drawn state; True: drawn with this intervention's seed, False: as the run's own start.
        kept: gives the weights after so many updates.
        norm_at: gives the norm of all trained weights at 'initial', 'memorised' or 'grokked'.
    """

    experiment: Any
    step: int
    state: Mapping[str, Any]
    seed: int
    trained: tuple[str, ...]
    fresh: Callable[[bool], Mapping[str, Any]]
    kept: Callable[[int], Weights]
    norm_at: Callable[[str], float]


@dataclass(frozen=True)
class Change:
    """What an intervention does to one member.

    Attributes:
        sentence: what it did, in the past tense, with its numbers.
        settings: new values by dotted name.
        state: what replaces parts of the state, of those that `Moment.state` has.
    """

    sentence: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


@base_of("intervention")
@dataclass(frozen=True, kw_only=True)
class Intervention(abc.ABC):
    """An entry of an experiment's `interventions`: the time, and by its kind what is done.

    Attributes:
        step: it comes after this many updates, before the next; a multiple of the evaluations' cadence.
        when: or once a condition is met: 'memorised', 'grokked', or a metric and a threshold such as
            'test_accuracy>=0.9'. An entry with a condition waits for all entries before it, and is judged by what is
            recorded from the last of them on.
        after: with `when`, this many steps later.
    """

    kind: ClassVar[str]
    #: Whether it changes the training data.
    changes_data: ClassVar[bool] = False

    step: Annotated[int, Ge(0), Le(1_000_000_000)] | None = None
    when: str | None = None
    after: Annotated[int, Ge(0), Le(1_000_000_000)] = 0

    def __post_init__(self) -> None:
        if (self.step is None) == (self.when is None):
            raise ValueError("needs exactly one of `step` and `when`")
        if self.when is not None and self.when not in EVENTS:
            Condition.parse(self.when)
        if self.after and self.when is None:
            raise ValueError("after: goes with `when`; a step needs none")
        self.check()

    @property
    def condition(self) -> Condition | None:
        """The condition of `when`; None for a step and for an event."""
        return None if self.when is None or self.when in EVENTS else Condition.parse(self.when)

    @property
    def time(self) -> str:
        """When it comes, in words."""
        if self.when is None:
            return f"at step {self.step:,}"
        return f"once {self.when}" + (f", {self.after:,} steps later" if self.after else "")

    def check(self) -> None:  # noqa: B027 (most kinds have nothing to check)
        """Raise ValueError where its settings do not go together."""

    def settings_for(self, experiment: Any) -> Mapping[str, Any]:
        """Return settings by dotted name as `apply` would, with stand-ins for numbers that only training gives."""
        return {}

    def patterns(self) -> tuple[tuple[str, str], ...]:
        """Return its settings that are patterns of weights' names: (setting, pattern)."""
        return ()

    def keeps(self) -> tuple[int, ...]:
        """Return earlier steps whose weights it needs."""
        return ()

    def data(self, split: SplitRows, task: Task, seed: int) -> SplitRows:
        """Return the member's split as it is from here on. Raises InputError where it cannot be."""
        return split

    @abc.abstractmethod
    def apply(self, moment: Moment) -> Change:
        """Return what it does to a member, whose data are changed by `data`."""


def draws(n: int, seed: int) -> npt.NDArray[np.uint64]:
    """Return n uniform 64-bit integers, of an intervention's seed."""
    return uniform_integers(n, seed, "intervention")


def shuffled(n: int, seed: int) -> npt.NDArray[np.int64]:
    """Return a random order of 0..n-1, of an intervention's seed."""
    return permutation(n, seed, "intervention")


def matching(names: tuple[str, ...], pattern: str) -> list[str]:
    """Return the weights that a pattern names."""
    matched = fnmatch.filter(names, pattern)
    if not matched:
        raise InputError("weights", pattern, f"matches no weight that is trained; those are {', '.join(names)}")
    return matched


def norm_of(arrays: Mapping[str, Any]) -> float:
    """Return the Euclidean norm of all arrays together, summed in double precision."""
    return float(np.sqrt(sum(float(np.sum(np.square(v, dtype=np.float64))) for v in arrays.values())))


def restarted(moment: Moment, weights: Weights, names: list[str]) -> dict[str, Any]:
    """Return the state with new values of some weights, whose optimiser's moments start again.

    Where these are all trained weights, the optimiser's own count of steps starts again, too.
    """
    fresh = moment.fresh(False)["optimiser"]
    if set(names) >= set(moment.trained):
        return {"weights": {**moment.state["weights"], **weights}, "optimiser": fresh}

    def chosen(path: Any, old: Any, new: Any) -> Any:
        return new if any(getattr(key, "key", None) in names for key in path) else old

    moments = jax.tree_util.tree_map_with_path(chosen, moment.state["optimiser"], fresh)
    return {"weights": {**moment.state["weights"], **weights}, "optimiser": moments}
