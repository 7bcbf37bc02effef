"""The claims of Furuta et al. 2024 (arXiv 2402.16726), as trials that measure them: `groklab reproduce furuta2024`."""

from groklab.papers.furuta2024.claims import combinations, exact, operations, spectra
from groklab.reproduction import publish

publish(
    "furuta2024",
    "Towards empirical interpretation of internal circuits and properties in grokked transformers on modular "
    "polynomials",
    [
        *exact.CLAIMS,
        *spectra.CLAIMS,
        *operations.CLAIMS,
        *combinations.CLAIMS,
    ],
)
