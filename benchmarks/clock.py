"""Timing side by side: candidates in turns, minimum and median over rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def in_turns(candidates: Mapping[str, tuple[Callable[[int], None], int]], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds a step of each candidate (function, steps a round), each warmed up first, then taken in turns."""
    for function, n in candidates.values():
        function(min(n, 2))
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (function, n) in candidates.items():
            began = time.perf_counter()
            function(n)
            seconds[name].append((time.perf_counter() - began) / n)
    return {name: {"best": min(s), "median": float(np.median(s))} for name, s in seconds.items()}


def best_of(function: Callable[[], object], times: int = 20) -> float:
    """The shortest of several calls, in seconds."""
    function()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        found.append(time.perf_counter() - began)
    return min(found)
