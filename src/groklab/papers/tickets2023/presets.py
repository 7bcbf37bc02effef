"""Minegishi et al. 2023 (arXiv 2310.19470): the grokked network, pruned and rewound to its initial weights."""

from groklab.experiment import define

SOURCE = "Minegishi et al. 2023 (arXiv 2310.19470) and its released code"

define(
    "tickets2023/mlp",
    shows="A grokking ticket at the paper's size: of the grokked network 40% stay, at their initial values.",
    costs="30,000 steps: not measured, some minutes on two cores",
    expect="not measured here",
    source=SOURCE + "; decay 1 and the activation are groklab's own choice",
    task__p=67,
    task__expression="x + y",
    task__layout="a b",
    task__pairs="unordered",
    split__frac_train=0.4,
    network__kind="mlp",
    network__d_embed=500,
    network__d_mlp=48,
    network__activation="relu",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    budget__steps=30_000,
    evaluation__every=10,
    interventions=[{"when": "grokked", "kind": "prune", "share": 0.6, "rewind": "initial"}],
)
define(
    "tickets2023/micro",
    "micro",
    shows="A ticket of a small network: 60% of the grokked weights are pruned, the others go back to their start.",
    costs="about three seconds on one core",
    expect="5 of 5 seeds: it memorises again, and reaches 11 to 30% test accuracy by the end of the budget",
    source=SOURCE + ", at a much smaller size",
    budget__steps=5_000,
    interventions=[{"when": "grokked", "kind": "prune", "share": 0.6, "rewind": "initial"}],
)
