"""The claims of Liu et al. 2022 (arXiv 2205.10343), as trials that measure them: `groklab reproduce liu2022`."""

from groklab.papers.liu2022.claims import delays, networks, permutations, theory, toy_regression
from groklab.reproduction import publish

publish(
    "liu2022",
    "Towards understanding grokking: an effective theory of representation learning",
    [
        *theory.CLAIMS,
        *toy_regression.CLAIMS,
        *delays.CLAIMS,
        *networks.CLAIMS,
        *permutations.CLAIMS,
    ],
)
