"""The delay goes as one over rate times decay (arXiv 2603.13331: https://arxiv.org/abs/2603.13331)."""

import numpy as np

from groklab.laws._law import Law, Variable, publish

RATE = Variable("lr", ("optimiser.learning_rate",), varies=False)
DECAY = Variable("decay", ("optimiser.weight_decay",), varies=False)
SOURCE = "arXiv 2603.13331, https://arxiv.org/abs/2603.13331"

publish(
    Law(
        name="inverse-rate-decay",
        formula="delay = C / (lr · decay)",
        source=SOURCE,
        claimed="the delay is inverse in rate and decay, where the norms before and after are the same everywhere",
        time="delay",
        variables=(RATE, DECAY),
        offset=lambda x: -np.log(x["lr"]) - np.log(x["decay"]),
    )
)
