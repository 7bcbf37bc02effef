"""The delay is the time in which decay shrinks the norm (arXiv 2603.13331: https://arxiv.org/abs/2603.13331).

Without a gradient, decay shrinks the squared norm by the factor exp(-2 · lr · decay) per step. So the time from the
norm of the memorising weights to the smaller one of the generalising weights is the logarithm of the ratio of their
squares, over lr · decay, times a constant.
"""

import numpy as np

from groklab.laws._law import Law, Variable, publish
from groklab.laws.inverse_rate_decay import DECAY, RATE, SOURCE

publish(
    Law(
        name="norm-separation",
        formula="delay = C / (lr · decay) · log(‖θ_mem‖² / ‖θ_post‖²)",
        source=SOURCE,
        claimed="R² above .97 in 293 runs",
        time="delay",
        variables=(RATE, DECAY, Variable("log_norm_ratio", measured="log_norm_ratio")),
        offset=lambda x: np.log(x["log_norm_ratio"]) - np.log(x["lr"]) - np.log(x["decay"]),
    )
)
