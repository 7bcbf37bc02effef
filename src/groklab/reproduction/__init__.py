"""Claims of papers, tested: what is claimed, what trains for it, what came out, and how it is kept."""

from groklab.reproduction.bench import Bench
from groklab.reproduction.claim import PAPERS, Claim, Finding, Paper, Trial, find, publish
from groklab.reproduction.work import Moment, listed, reproduce, standing

__all__ = [
    "PAPERS",
    "Bench",
    "Claim",
    "Finding",
    "Moment",
    "Paper",
    "Trial",
    "find",
    "listed",
    "publish",
    "reproduce",
    "standing",
]
