"""Recursive Feature Machines: kernel machines that learn features (Mallinar et al. 2024)."""

from groklab.learners.rfm.iterations import Iterations
from groklab.learners.rfm.learner import RFM

__all__ = ["RFM", "Iterations"]
