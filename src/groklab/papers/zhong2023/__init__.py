"""Zhong et al. 2023, The Clock and the Pizza (arXiv 2306.17844)."""
