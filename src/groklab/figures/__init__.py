"""Plotly figures as plain functions of tidy data frames: what they show is decided before they are called."""

from groklab.figures.ablations import ablation_losses, frequency_losses
from groklab.figures.attention import attention_heads
from groklab.figures.comparison import accuracy_overlay
from groklab.figures.curves import machine_sizes, norms, training_curves
from groklab.figures.embedding_plane import embedding_planes
from groklab.figures.features import block_fourier, block_power, feature_eigenvalues, feature_matrices
from groklab.figures.fourier_progress import fourier_progress
from groklab.figures.frames import event_frame, plane_frame, spectrum_frame
from groklab.figures.heatmaps import components_2d, input_maps
from groklab.figures.hidden_progress import hidden_progress
from groklab.figures.logit_parts import logit_parts
from groklab.figures.neurons import neuron_clusters
from groklab.figures.operations import operation_curves
from groklab.figures.phase_diagram import phase_diagram
from groklab.figures.phases import coefficients, training_phases
from groklab.figures.readout import directions, neuron_logit_spectrum
from groklab.figures.spectrum import embedding_spectrum
from groklab.figures.survival import reached_share
from groklab.figures.theme import in_dark

__all__ = [
    "ablation_losses",
    "accuracy_overlay",
    "attention_heads",
    "block_fourier",
    "block_power",
    "coefficients",
    "components_2d",
    "directions",
    "embedding_planes",
    "embedding_spectrum",
    "event_frame",
    "feature_eigenvalues",
    "feature_matrices",
    "fourier_progress",
    "frequency_losses",
    "hidden_progress",
    "in_dark",
    "input_maps",
    "logit_parts",
    "machine_sizes",
    "neuron_clusters",
    "neuron_logit_spectrum",
    "norms",
    "operation_curves",
    "phase_diagram",
    "plane_frame",
    "reached_share",
    "spectrum_frame",
    "training_curves",
    "training_phases",
]
