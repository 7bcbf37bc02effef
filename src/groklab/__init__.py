"""groklab: the laboratory for grokking.

>>> import groklab as gl
>>> run = gl.train(gl.preset("micro"))
>>> run.summary()["grokked_step"]

The names beside this file in `__init__.pyi` are imported when they are first used; so are those of every package.
"""

import lazy_loader

from groklab import registry

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"

# presets and claims are looked up in the papers, which the packages that hold those tables do not import
registry.SOURCES.append("groklab.papers")
