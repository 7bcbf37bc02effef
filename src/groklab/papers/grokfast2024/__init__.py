"""Lee, Kang, Kim & Lee 2024, Grokfast (arXiv 2405.20233)."""
