"""Minegishi et al. 2023 (arXiv 2310.19470): grokking tickets."""
