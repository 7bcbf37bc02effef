"""Methods that shall make grokking come sooner, under equal rules: fixed tracks, tuning budgets, fresh seeds, tests."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
