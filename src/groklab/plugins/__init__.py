"""Whose code may run: the user's own plug-ins, and those that a run of someone else names."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
