"""Liu et al. 2022 (arXiv 2205.10343)."""
