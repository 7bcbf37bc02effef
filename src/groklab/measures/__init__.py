"""Measures: pure functions from weights to named arrays, called by hand, after a run, or on line."""

from groklab.measures import (
    ablations,
    attention,
    directions,
    fourier,
    frequencies,
    neurons,
    norms,
    phases,
    positions,
    progress,
    transforms,
    variants,
)
from groklab.measures.registry import MEASURES, Measure, measure

__all__ = [
    "MEASURES",
    "Measure",
    "ablations",
    "attention",
    "directions",
    "fourier",
    "frequencies",
    "measure",
    "neurons",
    "norms",
    "phases",
    "positions",
    "progress",
    "transforms",
    "variants",
]
