"""Lee, Kang, Kim & Lee, 'Grokfast: accelerated grokking by amplifying slow gradients'.

arXiv 2405.20233, with the settings of its released code: the decay is Adam's coupled L2 (`optimiser.l2`), and the
cross-entropy PyTorch's in float32. Differences: the last matrix has 97 outputs, not 99, and biases of its
own; attention's matrices are drawn one by one, with deviation 1/sqrt(128), where PyTorch draws queries, keys and values
as one matrix, uniformly; weights and order of batches are from groklab's seeds.
"""

from groklab.experiment import define

SOURCE = "Grokfast (arXiv 2405.20233) and its released code"

define(
    "grokfast2024",
    shows="The baseline of Grokfast: two layers learn the product mod 97 with Adam, and no decay.",
    costs="stops when it has grokked; 100,000 mini-batch steps take hours on two cores",
    expect="published: test accuracy 95% at step 39,890; not measured here",
    source=SOURCE,
    task__p=97,
    task__expression="x * y",
    task__exclude_zeros="last",
    task__layout="a op b =",
    split__frac_train=0.5,
    network__kind="transformer",
    network__n_layers=2,
    network__n_heads=4,
    network__d_model=128,
    network__activation="gelu_exact",
    network__layer_norm="pre",
    network__biases="all",
    network__init_scheme="fan_in",
    network__init_std={"W_E": 1.0, "W_pos": 1.0},
    objective__form="float32",
    optimiser__kind="adam",
    optimiser__learning_rate=1e-3,
    optimiser__b2=0.98,
    optimiser__warmup_steps=10,
    batch_size=512,
    budget__steps=100_000,
    budget__stop_when_grokked=True,
    evaluation__criterion="first_95",
)
define(
    "grokfast2024/ema",
    "grokfast2024",
    shows="Grokfast by a running mean of the gradients, with a little decay.",
    costs="stops when it has grokked, within some ten minutes on two cores if the published step holds",
    expect="published: test accuracy 95% at step 910; not measured here",
    source=SOURCE,
    optimiser__l2=0.005,
    optimiser__filter={"kind": "grokfast_ema", "alpha": 0.98, "lamb": 2.0},
)
define(
    "grokfast2024/ma",
    "grokfast2024",
    shows="Grokfast by the mean of the last hundred gradients, with a little decay.",
    costs="stops when it has grokked, within some ten minutes on two cores if the published step holds; 170 MB",
    expect="published: test accuracy 95% at step 790; not measured here",
    source=SOURCE,
    optimiser__l2=0.01,
    optimiser__filter={"kind": "grokfast_ma", "window": 100, "lamb": 5.0},
    checkpoints__rolling_seconds=120.0,
)
define(
    "grokfast2024/same-decay",
    "grokfast2024",
    shows="The control that the baseline owes: AdamW with the decay of Grokfast, decoupled, and no filter.",
    costs="stops when it has grokked; 100,000 mini-batch steps take hours on two cores",
    expect="no published step; not measured here",
    source="groklab's own, after https://github.com/ironjr/grokfast/issues/12",
    optimiser__kind="adamw",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=0.005,
    optimiser__warmup_steps=10,
)
define(
    "grokfast2024/micro",
    "micro",
    shows="The baseline of Grokfast on micro: Adam without decay on nine mini-batches per epoch.",
    costs="20,000 steps: about half a minute on one core",
    expect="seeds 0–4: test accuracy below 95% at step 20,000",
    source="groklab's own: micro, with Grokfast's optimiser, its mini-batches per epoch and its criterion",
    objective__form="float32",
    optimiser__kind="adam",
    optimiser__learning_rate=1e-3,
    optimiser__b2=0.98,
    optimiser__warmup_steps=10,
    batch_size=38,
    budget__steps=20_000,
    evaluation__criterion="first_95",
)
define(
    "grokfast2024/micro-ema",
    "grokfast2024/micro",
    shows="Grokfast on micro: a running mean of the gradients, with a little decay.",
    costs="4,000 steps: about ten seconds on one core",
    expect="seeds 0–4: 95% of the test pairs at 1,430–1,960",
    source="groklab's own: micro, with Grokfast's filter; the decay is scaled to the network",
    optimiser__l2=1e-3,
    optimiser__filter={"kind": "grokfast_ema", "alpha": 0.98, "lamb": 2.0},
    budget__steps=4_000,
)
