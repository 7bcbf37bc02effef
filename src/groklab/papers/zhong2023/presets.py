"""One-layer transformers on addition at any attention rate, as in the authors' training program."""

from groklab.experiment import define

SOURCE = "Zhong et al. 2023 (arXiv 2306.17844), section 4, and the authors' train-main.py"

define(
    "zhong2023",
    shows="A transformer that becomes a clock, or with network.attention_rate=0 a pizza.",
    costs="20,000 steps: about ten minutes on two cores",
    expect="the authors' table of runs: gradient symmetricity .43, distance irrelevance .84; at rate 0 .99 and .21",
    source=SOURCE,
    task__p=59,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.8,
    network__kind="transformer",
    network__mask="none",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=2.0,
    optimiser__warmup_steps=10,
    budget__steps=20_000,
    evaluation__every=100,
)
