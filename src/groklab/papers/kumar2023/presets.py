"""Kumar, Bordelon, Gershman & Pehlevan (arXiv 2310.06110): from lazy to rich training, without weight decay.

The rate of 500 over alpha² is groklab's: with it the losses at 400 and 2,000 steps agree with those measured for this
project before (0.012 and 0.27 at alpha = 0.25).
"""

from groklab.experiment import define

SOURCE = "Kumar et al. 2023 (arXiv 2310.06110)"

define(
    "kumar2023/rich",
    shows="A committee of 500 neurons learns the square of a direction, rich: test loss falls with the training loss.",
    costs="about ten seconds on two cores",
    expect="seed 100: training loss 0.012 and test loss 0.24 at step 400, 0.0007 and 0.08 at step 2,000",
    source=SOURCE + ": d = 100, 450 inputs, 500 neurons, epsilon 0.25, squared error, full gradient, no decay",
    task__kind="quadratic_target",
    split__n_train=450,
    network__kind="committee",
    network__alpha=0.25,
    objective__kind="mse",
    optimiser__kind="sgd",
    optimiser__learning_rate=500 / 0.25**2,
    budget__steps=2_000,
)
define(
    "kumar2023/lazy",
    "kumar2023/rich",
    shows="The same network, lazy at first: it fits its training set long before it generalises.",
    costs="about ten seconds on two cores",
    expect="seed 100: training loss 0.012 and test loss 0.34 at step 2,000",
    source=SOURCE + ": alpha = 2, the rate over alpha²",
    network__alpha=2.0,
    optimiser__learning_rate=500 / 2.0**2,
)
