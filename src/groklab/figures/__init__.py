"""Plotly figures as plain functions of tidy data frames, and the registry of those on the page of a run.

A module holds a figure's data frame, its drawing and its place on the page. Every public function of a module can be
imported from this package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
