"""Gradient filters: what turns gradients into those that an optimiser descends, one file for each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
