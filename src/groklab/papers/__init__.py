"""One module a paper for its presets, and one for its claims."""

from groklab.experiment.presets import PRESETS, Preset, find_preset, preset
from groklab.papers import (
    fixtures,
    fixtures_claims,
    furuta2024,
    furuta2024_claims,
    liu2022,
    liu2022_claims,
    mallinar2024,
    mallinar2024_claims,
    nanda2023,
    nanda2023_claims,
    nanda2023_sequences,
    omnigrok,
    power2022,
)

__all__ = [
    "PRESETS",
    "Preset",
    "find_preset",
    "fixtures",
    "fixtures_claims",
    "furuta2024",
    "furuta2024_claims",
    "liu2022",
    "liu2022_claims",
    "mallinar2024",
    "mallinar2024_claims",
    "nanda2023",
    "nanda2023_claims",
    "nanda2023_sequences",
    "omnigrok",
    "power2022",
    "preset",
]
