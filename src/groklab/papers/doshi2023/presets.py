"""Doshi et al. 2023 (arXiv 2310.13061): wrong labels, and what weight decay makes of them.

The paper varies training fraction, noise and decay over a grid; the presets are places of it. The scale 'micro' of the
initial weights is groklab's own, as in the preset doshi.
"""

from groklab.experiment import define

SOURCE = "Doshi et al. 2023 (arXiv 2310.13061)"

define(
    "doshi2023/coexistence",
    shows="A third of the labels is wrong: without weight decay the network learns them, and generalises.",
    costs="about twenty seconds on two cores",
    expect="3 of 3 seeds: test accuracy 100%, 99% of the wrong labels learnt and 68 to 71% of them then answered right",
    source=SOURCE + ": p = 97, width 500, squared error, AdamW at 10⁻²",
    task__p=97,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.8,
    split__label_noise=0.35,
    network__kind="mlp",
    network__d_mlp=500,
    network__activation="quadratic",
    network__init_scheme="micro",
    objective__kind="mse",
    optimiser__learning_rate=1e-2,
    optimiser__weight_decay=0.0,
    budget__steps=500,
    evaluation__every=5,
)
define(
    "doshi2023/inversion",
    "doshi2023/coexistence",
    shows="Weight decay makes the network forget the wrong labels that it has learnt: it answers them right.",
    costs="about two seconds on two cores",
    expect="5 of 5 seeds: test accuracy 100%, 86 to 95% of the wrong labels answered right in the end",
    source=SOURCE + ", at a smaller modulus and width, and a decay between the paper's 5 and 15",
    task__p=31,
    network__d_mlp=200,
    split__frac_train=0.7,
    split__label_noise=0.2,
    optimiser__weight_decay=10.0,
    budget__steps=600,
    evaluation__every=20,
)
