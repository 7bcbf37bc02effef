"""Lau et al. 2023, the local learning coefficient (arXiv 2308.12108), as devinterp's notebook has it on addition."""
