"""What figures are written as, and by what."""

FIGURE_FORMATS = ("pdf", "svg", "png")
#: Of the numbers beside a figure.
DATA_FORMATS = ("csv", "parquet")
FILM_FORMATS = ("gif", "mp4")
ENGINES = ("matplotlib", "kaleido")
