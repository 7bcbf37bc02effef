"""Measures: pure functions from weights to named arrays, called by hand, after a run, or online."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
