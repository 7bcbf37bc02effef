"""Power, Burda, Edwards, Babuschkin & Misra, 'Grokking: generalization beyond overfitting on small datasets'.

arXiv 2201.02177, the first grokking paper. Differences from the paper: learned rather than sinusoidal positions,
LayerNorm before each block rather than after, no end-of-sequence tokens around the equation.
"""

from groklab.experiment import define

define(
    "power2022",
    shows="The first grokking paper: two layers with LayerNorm learn division mod 97 long after fitting half of it.",
    costs="stops when it has grokked, after about 2,500 mini-batch steps: two minutes on two cores",
    expect="3 of 3 seeds (0–2) grok: memorised at 370–400, grokked at 2,150–2,390, about 6 times as late",
    source="Power et al. 2022 (arXiv 2201.02177), figure 1 and appendix A.1.2",
    task__p=97,
    task__expression="x / y",
    task__layout="a op b =",
    split__frac_train=0.5,
    network__kind="transformer",
    network__n_layers=2,
    network__n_heads=4,
    network__d_model=128,
    network__layer_norm="pre",
    network__biases="all",
    network__init_scheme="fan_in",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    optimiser__b2=0.98,
    optimiser__warmup_steps=10,
    batch_size=512,
    budget__steps=100_000,
    budget__stop_when_grokked=True,
)
