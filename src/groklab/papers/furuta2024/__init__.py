"""Furuta et al. 2024 (arXiv 2402.16726)."""
