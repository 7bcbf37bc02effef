"""Kumar et al. 2023 (arXiv 2310.06110): grokking as the transition from lazy to rich training."""
