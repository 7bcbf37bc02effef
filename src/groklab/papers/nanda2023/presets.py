"""Nanda, Chan, Lieberum, Smith & Steinhardt, 'Progress measures for grokking via mechanistic interpretability'.

ICLR 2023, arXiv 2301.05217. Differences from the paper: `nanda2023` draws weights and split from groklab's portable
generator and trains in float32 with the exact cross-entropy. `nanda2023/paper-seed0` has the published code's own
initial weights and split for seed 0, and trains in float64: rounding decides between close rivals among the
frequencies within the first few hundred steps (in float32 this program ends with 55 in place of 41), so the one
trajectory that does not depend on how a program rounds is that of the mathematics.

The other tasks of the paper (appendix D) are addition of long numbers, repeated subsequences and skip trigrams. On
endless data they show phase changes, on a fixed set delayed generalisation. The tokens of the skip trigrams were not
published and are groklab's own.
"""

from groklab.experiment import define

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
    shows="Dropout in place of weight decay also groks.",
    costs="40,000 steps, three times the cost without dropout: about 40 minutes on two cores",
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


OTHER = "Nanda et al. 2023 (arXiv 2301.05217), section 5 and the released code"

define(
    "nanda2023/5-digit-infinite",
    shows="Five-digit addition on fresh data: each digit of the answer has a phase change of its own.",
    costs="6,000 steps: about two minutes on one core",
    expect="one seed: test loss 2.5, 2.0 at 250, 1.6 at 3,000 and 1.28 at 6,000, where 51% of the digits are right",
    source=OTHER + "; width of the saved run",
    task__kind="digit_addition",
    task__n_digits=5,
    task__data="infinite",
    task__examples=512,
    task__data_seed=1,
    network__kind="transformer",
    optimiser__learning_rate=1e-4,
    optimiser__weight_decay=0.1,
    optimiser__warmup_steps=10,
    batch_size=64,
    seed=129_000,
    budget__steps=6_000,
    evaluation__every=50,
)
define(
    "nanda2023/5-digit-finite",
    "nanda2023/5-digit-infinite",
    shows="Five-digit addition on 750 fixed examples: the same task groks.",
    costs="18,000 steps of 7 GFLOP: about half an hour on two cores",
    expect="training loss below 1e-6 at about 1,600, test loss from 8.5 to 0.2 at 13,000–15,000 (the saved run)",
    source=OTHER + "; 750 examples as in the code, the paper says 700",
    task__data="finite",
    task__examples=1_750,
    split__n_train=750,
    batch_size=None,
    budget__steps=18_000,
)
define(
    "nanda2023/induction-infinite",
    shows="Repeated subsequences on fresh data: induction heads form in a phase change.",
    costs="6,000 steps of 2.2 GFLOP: some minutes on two cores",
    expect="loss 5.05, 1.23 at 1,000 and 0.33 at the end (the saved run)",
    source=OTHER + "; saved run of seed 1, whose code adds each block's input twice",
    task__kind="repeated_subsequence",
    task__data="infinite",
    task__examples=256,
    task__data_seed=1,
    network__kind="transformer",
    network__n_layers=2,
    network__d_model=48,
    network__d_mlp=0,
    network__doubled_residual=True,
    network__init_std={name: 12**-0.5 for name in ("W_Q", "W_K", "W_V")},
    optimiser__weight_decay=1.0,
    optimiser__b2=0.999,
    optimiser__warmup_steps=100,
    batch_size=128,
    seed=1,
    budget__steps=6_000,
    evaluation__every=50,
)
define(
    "nanda2023/induction-finite",
    "nanda2023/induction-infinite",
    shows="Repeated subsequences on 512 fixed sequences: induction is learnt long after they are memorised.",
    costs="285,820 steps: hours on two cores",
    expect="training loss near 0.5, test loss from 15.6 to 1.8 at 200,000–210,000 (the saved run)",
    source=OTHER + "; saved run of seed 1",
    task__data="finite",
    task__examples=768,
    split__n_train=512,
    budget__steps=285_820,
)
define(
    "nanda2023/skip-trigrams-infinite",
    shows="Skip trigrams on fresh data: a phase change for each trigram.",
    costs="3,000 steps: seconds on one core",
    expect="3 of 3 seeds: test loss below 0.5 at 170–190 and 0.01 at 300; each trigram at its own step, 140–220",
    source=OTHER + "; tokens, table and sizes are groklab's own",
    task__kind="skip_trigrams",
    task__data="infinite",
    task__data_seed=1,
    network__kind="transformer",
    network__d_mlp=0,
    optimiser__learning_rate=3e-4,
    optimiser__weight_decay=0.1,
    optimiser__warmup_steps=10,
    batch_size=64,
    budget__steps=3_000,
    evaluation__every=10,
)
define(
    "nanda2023/skip-trigrams-finite",
    "nanda2023/skip-trigrams-infinite",
    shows="Skip trigrams on 60 fixed examples: memorised first, and generalised soon after, not always in full.",
    costs="3,000 steps: seconds on one core",
    expect="memorised at 150–180, 2 of 3 seeds at 99% of the test set at 220–300, one stays at 98%",
    source=OTHER + "; tokens, table and sizes are groklab's own",
    task__data="finite",
    task__examples=1_084,
    split__n_train=60,
    optimiser__weight_decay=1.0,
    batch_size=None,
)
define(
    "nanda2023/small-addition",
    "nanda2023/5-digit-infinite",
    shows="Two-digit addition on fresh data: the phase changes of the digits, within a minute.",
    costs="about ten seconds on one core",
    expect="3 of 3 seeds: loss of the carry halves at step 20, of the tens at 120–140, of the units at 200–220",
    source="a small setting of the paper's addition task",
    task__n_digits=2,
    task__examples=1_000,
    network__d_model=64,
    optimiser__learning_rate=1e-3,
    batch_size=256,
    seed=0,
    budget__steps=1_500,
    evaluation__every=20,
)
define(
    "nanda2023/small-addition-finite",
    "nanda2023/small-addition",
    shows="Two-digit addition on 700 fixed examples: most of it generalises with memorising, the rest slowly.",
    costs="2,500 steps of 0.8 GFLOP: about a minute on one core",
    expect="3 runs: memorised at 220–260, 96–97% of the test set right at 400 and 97–99% at 2,000–2,500",
    source="a small setting of the paper's addition task",
    task__data="finite",
    task__examples=1_700,
    split__n_train=700,
    optimiser__weight_decay=1.0,
    batch_size=None,
    budget__steps=2_500,
)
define(
    "nanda2023/small-induction",
    "nanda2023/induction-infinite",
    shows="One repeated subsequence in 29 tokens: the phase change of induction, within a minute.",
    costs="under a minute on one core",
    expect="3 of 3 seeds: a plateau at 2.3, then test loss below 1 at 360–420 and 0.5 at 440–500; 91% right at 1,000",
    source="a small setting of the paper's induction task, each block's input added once",
    task__vocabulary=32,
    task__seq_len=29,
    task__subsequence=10,
    task__repeats=2,
    network__doubled_residual=False,
    network__init_std={},
    optimiser__learning_rate=3e-3,
    optimiser__weight_decay=0.1,
    optimiser__b2=0.98,
    batch_size=64,
    seed=0,
    budget__steps=1_000,
    evaluation__every=20,
)
