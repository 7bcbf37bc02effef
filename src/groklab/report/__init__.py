"""Runs as one self-contained HTML page: the results in words, numbers and figures."""
