"""Runs as one self-contained HTML page: the results in words, numbers and figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
