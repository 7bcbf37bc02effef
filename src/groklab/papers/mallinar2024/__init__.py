"""Mallinar et al. 2024 (arXiv 2407.20199)."""
