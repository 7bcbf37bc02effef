"""Claims of papers, tested: each with its trials, the ledger of their outcomes, and its verdict."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
