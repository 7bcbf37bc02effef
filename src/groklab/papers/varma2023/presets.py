"""Varma et al. 2023 (arXiv 2309.02390): a network that has grokked goes on with fewer pairs.

The paper's sizes are not checked against its text, so there is no preset that claims to be its setting.
"""

from groklab.experiment import define

SOURCE = "Varma et al. 2023 (arXiv 2309.02390); sizes and decays are groklab's own"

define(
    "varma2023/ungrokking",
    "micro",
    shows="Ungrokking: once it has grokked, the network goes on with too few pairs, and forgets what it had found.",
    costs="about three seconds on one core",
    expect="5 of 5 seeds: test accuracy falls from at least 98% to 6 to 14%, training accuracy stays at 100%",
    source=SOURCE,
    optimiser__learning_rate=1e-2,
    budget__steps=5_000,
    interventions=[{"when": "grokked", "kind": "training_set", "frac_train": 0.2}],
)
