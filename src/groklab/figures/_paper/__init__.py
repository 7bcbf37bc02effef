"""Figures on paper: the print look, the translation from Plotly to Matplotlib, files and movies.

No module imports Matplotlib before something is drawn: it belongs to the extra `paper`.
"""
