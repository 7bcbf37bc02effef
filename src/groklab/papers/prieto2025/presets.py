"""Prieto, Barsbey, Mediano & Birdal, 'Grokking at the edge of numerical stability'.

ICLR 2025, arXiv 2501.04697, with the settings of its released code. Differences: the layer on two one-hot tokens is two
matrices here, which ⊥Grad projects together (`joined`), as the one matrix there; StableMax is computed in float32, and
there in float64; of the transformer only rate and budget are known to be theirs; weights and splits are from groklab's
seeds.
"""

from groklab.experiment import define

SOURCE = "Prieto et al. 2025 (arXiv 2501.04697) and its released code"

define(
    "prieto2025",
    shows="Without weight decay, a network that has memorised addition mod 113 does not move on.",
    costs="3,000 steps: about two minutes on one core",
    expect="seeds 0–4: memorised at 50; test accuracy at most 1% by step 600",
    source=SOURCE,
    task__p=113,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.4,
    network__kind="mlp",
    network__n_hidden_layers=2,
    network__d_mlp=200,
    network__activation="relu",
    network__init_scheme="torch",
    objective__form="float32",
    optimiser__learning_rate=1e-2,
    optimiser__b2=0.999,
    budget__steps=3_000,
)
define(
    "prieto2025/perpgrad",
    "prieto2025",
    shows="⊥Grad: the same network groks without weight decay, and without a delay.",
    costs="300 steps: about ten seconds on one core",
    expect="seeds 0–4: memorised at 100–130, grokked at 100–130",
    source=SOURCE,
    optimiser__filter={"kind": "perpgrad", "joined": ["embed.*"]},
    budget__steps=300,
)
define(
    "prieto2025/stablemax",
    "prieto2025",
    shows="StableMax in place of softmax: the loss goes on falling after all answers are right.",
    costs="80,000 steps: about an hour on one core",
    expect="published: groks; not measured here",
    source=SOURCE,
    objective__form="stablemax",
    budget__steps=80_000,
)
define(
    "prieto2025/exact",
    "prieto2025",
    shows="The control that the paper lacks: softmax whose cross-entropy keeps its accuracy at any margin.",
    costs="80,000 steps: about an hour on one core",
    expect="seeds 0–4: memorised at 50; test accuracy at most 1% by step 600",
    source="groklab's own",
    objective__form="exact",
    budget__steps=80_000,
)
define(
    "prieto2025/strong-decay",
    "prieto2025",
    shows="The rival: strong decoupled decay takes the delay away as well.",
    costs="300 steps: about ten seconds on one core",
    expect="seeds 0–4: memorised at 140–160, grokked at 190–210",
    source="https://github.com/LucasPrietoAl/grokking-at-the-edge-of-numerical-stability/issues/8",
    optimiser__weight_decay=8.0,
    budget__steps=300,
)
define(
    "prieto2025/transformer",
    "prieto2025/perpgrad",
    shows="⊥Grad in a transformer of one layer.",
    costs="5,000 steps: about half an hour on two cores",
    expect="published: groks; not measured here",
    source=SOURCE,
    network__kind="transformer",
    network__n_layers=1,
    network__n_heads=4,
    network__d_model=128,
    network__biases="none",
    optimiser__learning_rate=1e-3,
    optimiser__filter={"kind": "perpgrad"},
    budget__steps=5_000,
)
