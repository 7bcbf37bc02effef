"""Varma et al. 2023 (arXiv 2309.02390): grokking as efficiency, and ungrokking."""
