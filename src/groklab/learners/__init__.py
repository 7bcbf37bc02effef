"""Learners: things that improve step by step."""

from groklab.learners import effective_theory, gradient_descent, rfm
from groklab.learners.base import Dynamics, Learner, Program
from groklab.learners.compiled import CompiledProgram

__all__ = ["CompiledProgram", "Dynamics", "Learner", "Program", "effective_theory", "gradient_descent", "rfm"]
