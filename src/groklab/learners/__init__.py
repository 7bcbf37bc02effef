"""Learners: things that improve step by step."""

from groklab.learners import effective_theory, gradient_descent, rfm

__all__ = ["effective_theory", "gradient_descent", "rfm"]
