"""The delay as the time in which decay separates two norms (arXiv 2603.13331)."""
