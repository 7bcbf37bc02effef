"""Tveit, Remseth & Skogvold 2025, Muon Optimizer Accelerates Grokking (arXiv 2504.16041)."""
