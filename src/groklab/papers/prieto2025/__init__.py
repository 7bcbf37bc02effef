"""Prieto, Barsbey, Mediano & Birdal 2025, Grokking at the edge of numerical stability (arXiv 2501.04697)."""
