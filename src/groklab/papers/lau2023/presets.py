"""Modular addition as in devinterp's notebook on grokking, for the local learning coefficient."""

from groklab.experiment import define

SOURCE = "the notebook on grokking of the package devinterp, after Lau et al. 2023 (arXiv 2308.12108)"

define(
    "lau2023",
    shows="A small network whose learning coefficient rises while it memorises, and falls as it generalises.",
    costs="about 30 seconds on two cores",
    expect="seed 0: memorised at 1,500, grokked at 19,500; learning coefficient 14, 52 at step 2,500, then 24",
    source=SOURCE,
    task__p=53,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.4,
    network__kind="mlp",
    network__d_embed=12,
    network__d_mlp=48,
    network__activation="gelu",
    network__biases=True,
    network__init_scheme="torch",
    network__init_std={"embed.W_E": 1.0},
    batch_size=128,
    optimiser__kind="adam",
    optimiser__learning_rate=5e-3,
    optimiser__l2=2e-4,
    budget__steps=40_000,
    evaluation__every=500,
)
