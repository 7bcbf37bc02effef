"""Plotly figures as plain functions of tidy data frames: what they show is decided before they are called."""

from groklab.figures.comparison import accuracy_overlay
from groklab.figures.curves import norms, training_curves
from groklab.figures.embedding_plane import embedding_planes
from groklab.figures.frames import event_frame, plane_frame, spectrum_frame
from groklab.figures.spectrum import embedding_spectrum
from groklab.figures.survival import reached_share
from groklab.figures.theme import in_dark

__all__ = [
    "accuracy_overlay",
    "embedding_planes",
    "embedding_spectrum",
    "event_frame",
    "in_dark",
    "norms",
    "plane_frame",
    "reached_share",
    "spectrum_frame",
    "training_curves",
]
