"""Liu et al. 2023, Omnigrok (arXiv 2210.01117)."""
