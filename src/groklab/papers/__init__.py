"""The papers: one folder each, with presets, claims and data.

A folder is found by its name alone, so adding or removing one touches nothing else:

- `presets` (a module): experiments, by `groklab.experiment._presets.define`
- `claims` (a module or package): claims with their trials, by `groklab.reproduction.publish`
- `data/`: published tables and maps (see `_published.py`), and initial weights for `start.file`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
