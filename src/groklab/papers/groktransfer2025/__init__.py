"""Xu, Ni, Wang & Hu 2025, Let Me Grok for You (arXiv 2504.13292): GrokTransfer."""
