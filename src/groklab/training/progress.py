"""What a view of a training run is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Progress:
    """What a view of a training run sees after each chunk. Arrays are (records, members) by metric."""

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


View = Callable[[Progress], None]


@dataclass(frozen=True)
class Portion:
    """How a body of many runs stands: how many of its members have ended, and the share of all steps that is done.

    seconds_left: by estimate, None as long as there is none.
    """

    name: str
    ended: int
    members: int
    share: float
    seconds_left: float | None


PortionView = Callable[[Portion], None]
