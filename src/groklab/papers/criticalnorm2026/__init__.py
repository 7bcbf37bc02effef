"""A critical norm (arXiv 2606.13753), and the output temperature that stands in for it (arXiv 2606.18465)."""
