"""Measures: pure functions from weights to named arrays, called by hand, after a run, or on line."""

from groklab.measures import fourier, norms
from groklab.measures.registry import MEASURES, Measure, measure

__all__ = ["MEASURES", "Measure", "fourier", "measure", "norms"]
