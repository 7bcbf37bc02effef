"""Sweeps: grids of experiments, packed into ensembles, trained by many processes or hosts, kept in one table.

The package shares its name with the function `sweeps`, which is `gl.sweeps` too. So the package itself is that
function: `gl.sweeps()` lists the sweeps, whichever of the two was imported first.
"""

import sys
import types

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Sweeps(types.ModuleType):
    """This package, which can be called."""

    def __call__(self, home=None):  # type: ignore[no-untyped-def]
        """Return every sweep that is kept and can be read, the one changed last at the end."""
        from groklab.sweeps import _kept

        return _kept.sweeps(home)


sweeps = sys.modules[__name__]
sweeps.__class__ = _Sweeps
