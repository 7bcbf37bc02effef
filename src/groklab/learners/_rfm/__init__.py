"""Recursive Feature Machines: kernel machines that learn features (Mallinar et al. 2024)."""

from groklab.learners._rfm.learner import RFM, Iterations

__all__ = ["RFM", "Iterations"]
