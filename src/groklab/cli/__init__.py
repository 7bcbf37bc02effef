"""The command line: twins of the library's functions."""

from groklab.cli.main import main

__all__ = ["main"]
