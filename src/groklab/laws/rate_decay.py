"""The delay as powers of rate and decay, both free: what arXiv 2603.13331 says are -1 (https://arxiv.org/abs/2603.13331)."""

import numpy as np

from groklab.laws._law import Exponent, Law, Variable, publish
from groklab.laws.inverse_rate_decay import SOURCE

publish(
    Law(
        name="rate-decay",
        formula="delay = C · lr^a · decay^b",
        source=SOURCE,
        claimed="a = b = -1, as the delay is inverse in rate and decay",
        time="delay",
        variables=(Variable("lr", ("optimiser.learning_rate",)), Variable("decay", ("optimiser.weight_decay",))),
        exponents=(Exponent("a", published=-1.0), Exponent("b", published=-1.0)),
        features=lambda x, _: np.log(np.stack([x["lr"], x["decay"]], axis=1)),
    )
)
