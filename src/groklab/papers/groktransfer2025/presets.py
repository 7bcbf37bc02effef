"""Xu, Ni, Wang & Hu, 'Let Me Grok for You: Accelerating Grokking via Embedding Transfer from a Weaker Model'.

arXiv 2504.13292. GrokTransfer trains a small network until its test accuracy is well above chance, and starts a larger
one from the embedding W_E = A B, with A the small network's embedding and B random; both are trained. No code was
published, and the sizes here are groklab's own: the smallest that show a delay of a thousand steps. Both commands:

    groklab train groktransfer2025/weak
    groklab train groktransfer2025/target --from groktransfer2025-weak@400 --take embedding
"""

from groklab.experiment import define

SOURCE = "Xu et al. 2025 (arXiv 2504.13292); sizes and rates are groklab's own"

define(
    "groktransfer2025/plain",
    shows="The target of GrokTransfer from random weights: memorised at once, grokked a thousand steps later.",
    costs="3,000 steps: two seconds on one core",
    expect="seeds 100–102: memorised at 30, grokked at 940–1,550",
    source=SOURCE,
    task__p=23,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.65,
    network__kind="mlp",
    network__activation="relu",
    network__init_scheme="fan_in",
    network__d_mlp=128,
    network__d_embed=64,
    optimiser__learning_rate=1e-2,
    optimiser__weight_decay=1.0,
    budget__steps=3_000,
    evaluation__every=10,
)
define(
    "groktransfer2025/weak",
    "groktransfer2025/plain",
    shows="The weak network of GrokTransfer, whose embedding of 8 dimensions the target takes.",
    costs="1,500 steps: a second on one core",
    expect="seeds 100–102: half of the test inputs at step 350–550",
    source=SOURCE,
    network__d_mlp=32,
    network__d_embed=8,
    budget__steps=1_500,
    checkpoints__spacing="linear",
    checkpoints__every=50,
)
define(
    "groktransfer2025/target",
    "groktransfer2025/plain",
    shows="The target with a factorised embedding, which takes that of groktransfer2025/weak as its first factor.",
    costs="3,000 steps: two seconds on one core",
    expect="from the weak network at 50% (seeds 100–102): memorised at 20, grokked at 110–510",
    source=SOURCE,
    network__embedding_rank=8,
)
