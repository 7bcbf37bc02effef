"""Runs from files of weights, and files of weights from runs, for other programs."""
