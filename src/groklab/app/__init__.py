"""The dashboard: all runs and sweeps of one folder in a browser, live while they train."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
