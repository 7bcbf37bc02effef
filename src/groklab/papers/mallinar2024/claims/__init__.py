"""The claims of Mallinar et al. 2024 (arXiv 2407.20199) as trials that measure them.

`groklab reproduce mallinar2024` runs them.
"""

from groklab.papers.mallinar2024.claims import features, networks, transitions
from groklab.reproduction import publish

publish(
    "mallinar2024",
    "Emergence in non-neural models: grokking modular arithmetic via average gradient outer product",
    [
        *transitions.CLAIMS,
        *features.CLAIMS,
        *networks.CLAIMS,
    ],
)
