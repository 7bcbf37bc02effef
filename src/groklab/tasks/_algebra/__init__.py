"""What algebra says of an operation on two numbers mod p, and which operations of a paper it resembles."""

from groklab.tasks._algebra.facts import Facts, algebra_of

__all__ = ["Facts", "algebra_of"]
