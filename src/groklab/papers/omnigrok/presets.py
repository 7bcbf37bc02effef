"""Liu, Michaud & Tegmark, 'Omnigrok: grokking beyond algorithmic data'.

ICLR 2023, arXiv 2210.01117; its MNIST setting is that of Liu et al. 2022 (arXiv 2205.10343, section 4.3). Differences
from the paper and its released code: 5,000 digits of MNIST instead of 70,000, of which 1,000 drawn by the seed are
trained on (there: the first 1,000 training images, and 10,000 others for test); float32 instead of float64; weights and
order of batches from groklab's seeds.
"""

from groklab.experiment import define

SOURCE = "Omnigrok (arXiv 2210.01117) and its released code"

define(
    "omnigrok/mnist",
    shows="Grokking on images: weights drawn 8 times too large fit 1,000 digits at once and generalise much later.",
    costs="100,000 steps: about six and a half minutes on one core",
    expect="seed 0: training accuracy 0.9 by 1,500 steps; test accuracy 0.25 at 10,250, 0.5 at 19,250, 0.7 at 25,500",
    source=SOURCE,
    task__kind="mnist",
    split__n_train=1000,
    network__kind="dense",
    network__d_hidden=200,
    network__n_hidden_layers=2,
    network__activation="relu",
    network__init_scale=8.0,
    objective__kind="mse",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=0.01,
    optimiser__b2=0.999,
    batch_size=200,
    budget__steps=100_000,
    evaluation__every=100,
    evaluation__criterion="first_90",
)
define(
    "omnigrok/mnist-small",
    "omnigrok/mnist",
    shows="The same with ten times the decay, which takes the norm down sooner.",
    costs="30,000 steps: 103 seconds on one core",
    expect="seed 0: training accuracy 0.9 at 1,300 steps; test accuracy 0.5 at 4,800, 0.9 at 15,900, 0.928 at the end",
    source=SOURCE + "; the decay is groklab's own choice",
    optimiser__weight_decay=0.1,
    budget__steps=30_000,
)
define(
    "omnigrok/mnist-no-delay",
    "omnigrok/mnist",
    shows="The control: weights as PyTorch draws them fit and generalise together.",
    costs="10,000 steps: about 40 seconds on one core",
    expect="seed 0: training accuracy 0.9 at 30 steps, test accuracy 0.85 at 25 and 0.9 at 50",
    source=SOURCE,
    network__init_scale=1.0,
    budget__steps=10_000,
)
define(
    "omnigrok/mnist-no-decay",
    "omnigrok/mnist-small",
    shows="The other control: without decay the norm hardly falls, and generalisation comes several times later.",
    costs="30,000 steps: two minutes on one core",
    expect="seed 0: training accuracy 0.9 at 1,400 steps; test accuracy 0.21 at 10,000, 0.5 at 26,700, 0.56 at the end",
    source=SOURCE,
    optimiser__weight_decay=0.0,
)
define(
    "omnigrok/mnist-phases",
    "omnigrok/mnist-small",
    shows="Where a phase diagram starts: the last layer has a learning rate of its own, beside the decay.",
    costs="30,000 steps: 103 seconds on one core, less where a sweep stops what has grokked",
    expect="at these settings what mnist-small gives",
    source="Liu et al. 2022 (arXiv 2205.10343), figure 8b: weight decay against the last layer's learning rate",
    optimiser__groups={"unembed.*": {"learning_rate": 1e-3}},
)
define(
    "omnigrok/landscape",
    "omnigrok/mnist",
    shows="The loss at one weight norm: after each step all weights are scaled back to the norm of the start.",
    costs="10,000 steps: about 25 seconds on one core",
    expect="lowest test error 0.41, 0.18, 0.15, 0.16, 0.87 at scales 0.3, 0.6, 1, 2, 8; training error 0.27, then 0",
    source=SOURCE + ", landscapes at constant norm",
    split__n_train=200,
    network__init_scale=1.0,
    optimiser__weight_decay=0.0,
    optimiser__clamp="initial",
    batch_size=100,
    budget__steps=10_000,
)
define(
    "omnigrok/teacher-student",
    shows="Grokking in regression: a student fits 100 outputs of a random teacher, and is right on others much later.",
    costs="100,000 steps: 20 seconds on one core",
    expect="seed 0: training accuracy 0.9 at 700 steps; test accuracy 0.5 at 9,700, 0.9 at 23,100, 1 at 59,800",
    source=SOURCE + ", teacher and student",
    task__kind="teacher_student",
    split__n_train=100,
    network__kind="dense",
    network__d_hidden=100,
    network__n_hidden_layers=2,
    network__activation="tanh",
    network__init_scale=2.0,
    objective__kind="mse",
    optimiser__learning_rate=3e-4,
    optimiser__weight_decay=0.05,
    optimiser__b2=0.999,
    budget__steps=100_000,
    evaluation__every=100,
    evaluation__criterion="first_90",
)
