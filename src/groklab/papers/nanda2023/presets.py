"""Nanda, Chan, Lieberum, Smith & Steinhardt, 'Progress measures for grokking via mechanistic interpretability'.

ICLR 2023, arXiv 2301.05217. Differences from the paper: `nanda2023` draws weights and split from groklab's portable
generator and trains in float32 with the exact cross-entropy. `nanda2023/paper-seed0` has the published code's own
initial weights and split for seed 0, and trains in float64: rounding decides between close rivals among the
frequencies within the first few hundred steps (in float32 this program ends with 55 in the place of 41), so the one
trajectory that does not depend on how a program rounds is that of the mathematics.
"""

from groklab.experiment.presets import define
from groklab.papers.nanda2023 import sequence_presets  # noqa: F401  (they are defined when it is imported)

SOURCE = "Nanda et al. 2023 (arXiv 2301.05217), section 3 and the released code"

define(
    "nanda2023",
    shows="The mainline: a one-layer transformer on addition mod 113 that groks by trigonometry.",
    costs="40,000 steps of 3.7 GFLOP: about 12 minutes on two cores",
    expect="memorised at about 140 steps, grokked at 8,000–15,000; 3–6 key frequencies",
    source=SOURCE,
    task__p=113,
    task__expression="x + y",
    task__layout="a b =",
    task__outputs="vocabulary",
    split__frac_train=0.3,
    network__kind="transformer",
    network__init_scheme="nanda2023",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    optimiser__b1=0.9,
    optimiser__b2=0.98,
    optimiser__warmup_steps=10,
    budget__steps=40_000,
)
define(
    "nanda2023/paper-seed0",
    "nanda2023",
    shows="The paper's own model: its initial weights and split for seed 0, trained in double precision.",
    costs="40,000 steps: about 25 minutes on two cores",
    expect="test loss crosses 1 at about 9,450 and 1e-6 at about 11,630; key frequencies 14, 35, 41, 42, 52",
    source=SOURCE + "; initial weights recomputed from torch.manual_seed(0)",
    split__method="python_shuffle",
    split__seed=0,
    start__file="groklab:nanda2023/init_seed0.npz",
    dtype="float64",
)
define(
    "nanda2023/released-wd0.1",
    "nanda2023",
    shows="The released training run: decay 0.1, seed 1. Its first losses are an exactness test.",
    costs="107,791 steps: about half an hour on two cores",
    expect="initial losses 4.776912 and 4.767726; test loss crosses 0.1 at about 95,500",
    source=SOURCE + "; saved run with decay 0.1",
    split__method="python_shuffle",
    split__seed=1,
    start__file="groklab:nanda2023/init_seed1.npz",
    optimiser__weight_decay=0.1,
    seed=1,
    budget__steps=107_791,
)
define(
    "nanda2023/transformer-lens",
    "nanda2023",
    shows="The setting of TransformerLens's demo: other initial weights, 113 outputs, no warm-up, no biases.",
    costs="25,000 steps: about 8 minutes on two cores",
    expect="grokked at 8,000–16,000 steps",
    source="TransformerLens, Grokking_Demo (MIT); its split of seed 598",
    task__outputs="answers",
    split__method="torch_randperm",
    split__seed=598,
    network__init_scheme="transformer_lens",
    network__biases="none",
    optimiser__warmup_steps=0,
    seed=999,
    budget__steps=25_000,
)
define(
    "nanda2023/low-precision",
    "nanda2023",
    shows="Cross-entropy in plain float32, as the published helpers compute it: slingshots once the loss is tiny.",
    costs="40,000 steps: about 12 minutes on two cores",
    expect="groks; the training loss spikes after about 5,000 steps",
    source=SOURCE + ", saved run low_precision",
    objective__form="float32",
)
define(
    "nanda2023/no-decay",
    "nanda2023",
    shows="Without weight decay it never groks at 30% of the pairs.",
    costs="40,000 steps: about 12 minutes on two cores",
    expect="memorised, not grokked (censored at 40,000)",
    source=SOURCE + ", appendix D.1",
    optimiser__weight_decay=0.0,
)
define(
    "nanda2023/two-layers",
    "nanda2023",
    shows="Two layers grok too, with strong slingshots.",
    costs="40,000 steps: an hour on two cores",
    expect="grokked",
    source=SOURCE + ", appendix C.2",
    network__n_layers=2,
)
define(
    "nanda2023/p53",
    "nanda2023",
    shows="A small modulus needs more decay: p=53 groks at decay 5, not at 1.",
    costs="40,000 steps: about five minutes on two cores",
    expect="grokked at decay 5",
    source=SOURCE + ", appendix C.2",
    task__p=53,
    optimiser__weight_decay=5.0,
)
define(
    "nanda2023/p109",
    "nanda2023",
    shows="Another prime behaves as the mainline.",
    costs="40,000 steps: about 12 minutes on two cores",
    expect="as nanda2023",
    source=SOURCE + ", appendix C.2",
    task__p=109,
)
define(
    "nanda2023/p401",
    "nanda2023",
    shows="A large modulus never groks: with 30% of so many pairs, p=401 generalises at once.",
    costs="5,000 steps of 58 GFLOP: about 25 minutes on two cores",
    expect="test accuracy follows training accuracy, at every decay from 0.3 to 8",
    source=SOURCE + ", appendix C.2",
    task__p=401,
    budget__steps=5_000,
    evaluation__every=50,
)
define(
    "nanda2023/dropout",
    "nanda2023",
    shows="Dropout in the place of weight decay: it groks, too.",
    costs="40,000 steps, three times as dear as without dropout: about 40 minutes on two cores",
    expect="grokked at dropout 0.2 as at 0.5, 3 seeds each (the paper's figures)",
    source=SOURCE + ", appendix D.1",
    network__dropout=0.2,
    optimiser__weight_decay=0.0,
)
define(
    "demo",
    "nanda2023",
    shows="Grokking of a one-layer transformer while you watch: addition mod 59, 40% of the pairs, decay 2.",
    costs="under a minute on two cores",
    expect="12 of 12 seeds grok: memorised at 110–120, grokked at 1,030–3,880, 9 to 32 times as long",
    source="the model of Nanda et al. 2023 at a smaller modulus",
    task__p=59,
    split__frac_train=0.4,
    optimiser__weight_decay=2.0,
    budget__steps=6_000,
    budget__stop_when_grokked=True,
    budget__extra_steps=500,
)
