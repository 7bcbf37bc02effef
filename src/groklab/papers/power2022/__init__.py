"""Power et al. 2022 (arXiv 2201.02177)."""
