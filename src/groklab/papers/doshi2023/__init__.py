"""Doshi et al. 2023 (arXiv 2310.13061): grokking with corrupted labels."""
