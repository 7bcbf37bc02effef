"""The claims of Liu et al. 2022 (arXiv 2205.10343) and of Omnigrok as trials that measure them.

`groklab reproduce liu2022` runs them.
"""

from groklab.papers.liu2022.claims import circle, diagrams, exact, groups, images, landscapes, networks, theory
from groklab.reproduction import publish

publish(
    "liu2022",
    "Towards understanding grokking: an effective theory of representation learning, with Omnigrok",
    [
        *theory.CLAIMS,
        *exact.CLAIMS,
        *networks.CLAIMS,
        *diagrams.CLAIMS,
        *groups.CLAIMS,
        *circle.CLAIMS,
        *images.CLAIMS,
        *landscapes.CLAIMS,
    ],
)
