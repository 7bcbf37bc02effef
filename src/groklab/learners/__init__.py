"""Learners: things that improve step by step."""

from groklab.learners import gradient_descent, rfm

__all__ = ["gradient_descent", "rfm"]
