"""Measures: pure functions from weights to named arrays, called by hand, after a run, or online."""

import importlib
import pkgutil

from groklab.measures.registry import MEASURES, Measure, NamedTable, Result, measure

__all__ = ["MEASURES", "Measure", "NamedTable", "Result", "measure"]

# each module registers its measures
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
