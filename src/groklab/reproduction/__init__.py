"""Claims of papers, tested: each with its trials, the ledger of their outcomes, and its verdict."""

from groklab.reproduction.claim import (
    PAPERS,
    SIZES,
    Claim,
    Outcome,
    Paper,
    Size,
    Trainer,
    Trial,
    Values,
    find,
    publish,
)
from groklab.reproduction.runner import ClaimProgress, reproduce, results
from groklab.reproduction.verdict import ClaimResult, PaperResult

__all__ = [
    "PAPERS",
    "SIZES",
    "Claim",
    "ClaimProgress",
    "ClaimResult",
    "Outcome",
    "Paper",
    "PaperResult",
    "Size",
    "Trainer",
    "Trial",
    "Values",
    "find",
    "publish",
    "reproduce",
    "results",
]
