"""Measures: pure functions from weights to named arrays, called by hand, after a run, or online."""

from groklab.measures import (
    ablations,
    attention,
    circulance,
    feature_alignment,
    feature_matrices,
    feature_spectra,
    fourier,
    fourier_sparsity,
    frequencies,
    logit_parts,
    neurons,
    predictions,
    progress,
    representation,
    training_stages,
    variants,
)
from groklab.measures.registry import MEASURES, Measure, measure

__all__ = [
    "MEASURES",
    "Measure",
    "ablations",
    "attention",
    "circulance",
    "feature_alignment",
    "feature_matrices",
    "feature_spectra",
    "fourier",
    "fourier_sparsity",
    "frequencies",
    "logit_parts",
    "measure",
    "neurons",
    "predictions",
    "progress",
    "representation",
    "training_stages",
    "variants",
]
