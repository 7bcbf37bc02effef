"""What algebra says of an operation on two numbers mod p before any training."""

from groklab.tasks.algebra.facts import algebra_of

__all__ = ["algebra_of"]
