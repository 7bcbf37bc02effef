"""Sweeps: grids of experiments, packed into ensembles, trained by many processes or hosts, kept in one table.

The package can be called: `gl.sweeps()` lists the sweeps that are kept.
"""

import sys
import types

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Listing(types.ModuleType):
    """This package, whose name is that of the function of `gl` that lists sweeps, too."""

    def __call__(self, home=None):  # type: ignore[no-untyped-def]
        """Return every sweep that is kept, the one changed last at the end: see `kept_sweeps`."""
        return __getattr__("kept_sweeps")(home)


sys.modules[__name__].__class__ = _Listing
