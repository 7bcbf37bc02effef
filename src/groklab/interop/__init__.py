"""Runs from files of weights, and files of weights from runs, for other programs."""

from groklab.interop.exporting import export
from groklab.interop.importing import import_file

__all__ = ["export", "import_file"]
