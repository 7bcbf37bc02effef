"""Measures: pure functions from weights to named arrays, called by hand, after a run, or online."""

from groklab.measures.registry import MEASURES, Measure, NamedTable, Result, measure

__all__ = ["MEASURES", "Measure", "NamedTable", "Result", "measure"]
