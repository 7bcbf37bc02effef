"""Small systems whose behaviour is known: grokking in seconds, for tests, demos and benchmarks."""

from groklab.experiment.presets import define

SOURCE = "groklab's own survey of small systems that grok; bands are over seeds 0–19, each with its own split"

define(
    "micro",
    shows="Grokking in under a second: a quadratic one-hidden-layer network on addition mod 23.",
    costs="about a second on one core",
    expect="20 of 20 seeds grok: memorised at step 190–270, grokked at 1,280–2,010, median 1,480",
    source=SOURCE,
    task__p=23,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.65,
    network__kind="mlp",
    network__d_mlp=128,
    network__activation="quadratic",
    network__init_scheme="micro",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    budget__steps=3_000,
    evaluation__every=10,
)
define(
    "micro-fast",
    "micro",
    shows="micro at ten times the learning rate: the delay shrinks to about a third.",
    costs="about a second on one core",
    expect="20 of 20 seeds grok: memorised at 30–40, grokked at 290–610, median 470",
    source=SOURCE,
    optimiser__learning_rate=1e-2,
    budget__steps=1_500,
)
define(
    "micro-mse",
    "micro",
    shows="micro with squared error to one-hot targets: grokking without cross-entropy.",
    costs="about a second on one core",
    expect="20 of 20 seeds grok: memorised at 100–130, grokked at 370–570, median 450",
    source=SOURCE,
    objective__kind="mse",
    budget__steps=1_500,
)
define(
    "micro-relu",
    "micro",
    shows="micro with ReLU at p=31.",
    costs="about two seconds on one core",
    expect="20 of 20 seeds grok: memorised at 60, grokked at 940–1,940, median 1,270",
    source=SOURCE,
    task__p=31,
    network__activation="relu",
    optimiser__learning_rate=1e-2,
    budget__steps=3_000,
)
define(
    "micro-late",
    "micro",
    shows="Little decay: memorised at once, grokked a hundred times later, or not within the budget (censoring).",
    costs="about three seconds on one core",
    expect="memorised at 40–50; 10 of 20 seeds grok within 8,000 steps, at 3,090–7,860",
    source=SOURCE,
    network__activation="relu",
    optimiser__learning_rate=1e-2,
    optimiser__weight_decay=0.3,
    budget__steps=8_000,
)
define(
    "never",
    "micro",
    shows="The memorising control: too few training pairs to grok.",
    costs="about two seconds on one core",
    expect="memorised at 40–50; 0 of 20 seeds grok, test accuracy 17–43% at 4,000 steps",
    source=SOURCE,
    network__activation="relu",
    optimiser__learning_rate=1e-2,
    split__frac_train=0.5,
    budget__steps=4_000,
)
define(
    "over-decayed",
    "micro-relu",
    shows="The too-much-decay control: it memorises, and never generalises well.",
    costs="about two seconds on one core",
    expect="memorised at 80–100; 0 of 20 seeds grok, test accuracy 59–73% at 3,000 steps",
    source=SOURCE,
    optimiser__weight_decay=3.0,
)
define(
    "doshi",
    shows="Doshi et al.'s quadratic network: trained weights become single Fourier modes.",
    costs="about ten seconds on two cores",
    expect="20 of 20 seeds: memorised at 20–30, test accuracy at 99% at 40–50; hardly any delay",
    source="Doshi et al. 2023 (arXiv 2310.13061); bands from " + SOURCE,
    task__p=97,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.5,
    network__kind="mlp",
    network__d_mlp=500,
    network__activation="quadratic",
    network__init_scheme="micro",
    objective__kind="mse",
    optimiser__learning_rate=1e-2,
    optimiser__weight_decay=5.0,
    budget__steps=500,
    evaluation__every=5,
)
