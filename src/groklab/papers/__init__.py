"""One module a paper: its presets, and later its claims."""

from groklab.papers import fixtures, nanda2023, power2022
from groklab.papers.presets import PRESETS, Preset, find_preset, preset

__all__ = ["PRESETS", "Preset", "find_preset", "fixtures", "nanda2023", "power2022", "preset"]
