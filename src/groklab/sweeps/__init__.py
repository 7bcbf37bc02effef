"""Sweeps: grids of experiments, packed into ensembles, trained by many processes or hosts, kept in one table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
