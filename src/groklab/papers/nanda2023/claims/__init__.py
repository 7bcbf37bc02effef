"""The claims of Nanda et al. 2023 (arXiv 2301.05217), as trials that measure them: `groklab reproduce nanda2023`."""

from groklab.papers.nanda2023.claims import exactness, mainline, progress, sequences, variations
from groklab.reproduction import publish

publish(
    "nanda2023",
    "Progress measures for grokking via mechanistic interpretability",
    [*exactness.CLAIMS, *mainline.CLAIMS, *progress.CLAIMS, *variations.CLAIMS, *sequences.CLAIMS],
)
