"""Tveit, Remseth & Skogvold, 'Muon Optimizer Accelerates Grokking' (arXiv 2504.16041), and the settings of others.

The paper trains a transformer on seven tasks with three losses, by Muon and by AdamW. It published no code. Sizes,
rates, batches and fractions here are those of a public replication (bangyen/muon), which names six of the tasks; the
seventh, subtraction, is groklab's own choice. Other differences: learned positions, LayerNorm and GELU in place of
rotary ones, RMSNorm and SiLU; and the sparsemax loss of Martins & Astudillo 2016, as the logarithm of a sparsemax is
infinite.

`muon2025/na00s` are the settings that Na00s/muon-grokking selected by sweeps and locked, with that repository's sizes.
"""

from typing import Any

from groklab.experiment import define

SOURCE = "Tveit et al. 2025 (arXiv 2504.16041); sizes and rates of the replication bangyen/muon"
LOCKED = "the locked settings of the repository Na00s/muon-grokking"

#: Settings of each task, its share of training inputs and its inputs.
TASKS: dict[str, tuple[dict[str, Any], float, int]] = {
    "add": ({"task__expression": "add"}, 0.8, 97**2),
    "subtract": ({"task__expression": "subtract"}, 0.8, 97**2),
    "multiply": ({"task__expression": "multiply"}, 0.5, 97**2),
    "divide": ({"task__expression": "divide"}, 0.8, 97 * 96),
    "gcd": ({"task__kind": "integers", "task__function": "gcd"}, 0.5, 97**2),
    "power": ({"task__kind": "integers", "task__function": "power"}, 0.7, 97**2),
    "parity": ({"task__kind": "parity", "task__bits": 10}, 0.5, 2**10),
}
LOSSES = {"softmax": "exact", "stablemax": "stablemax", "sparsemax": "sparsemax"}
BATCH, EPOCHS = 32, 300


def epoch(task: str) -> int:
    """Return the steps of one epoch of a task."""
    _, share, n_inputs = TASKS[task]
    return -(-int(share * n_inputs) // BATCH)


_MODULAR: dict[str, Any] = {"task__p": 97, "task__layout": "a b ="}
for _task, (_settings, _share, _) in TASKS.items():
    for _loss, _form in LOSSES.items():
        define(
            f"muon2025/{_task}-{_loss}",
            shows=f"Muon on the task '{_task}' with {_loss}, one of the paper's seven tasks and three losses.",
            costs=f"{EPOCHS} epochs of {epoch(_task)} steps: hours on two cores",
            expect="95% of the test inputs at epoch 103 on average over tasks and losses, 153 by AdamW (the paper)",
            source=SOURCE,
            **_settings | ({} if _task == "parity" else _MODULAR),
            split__frac_train=_share,
            network__kind="transformer",
            network__n_layers=4,
            network__n_heads=8,
            network__d_model=128,
            network__activation="gelu",
            network__layer_norm="pre",
            network__biases="all",
            objective__form=_form,
            optimiser__kind="muon",
            optimiser__learning_rate=0.02,
            optimiser__weight_decay=0.01,
            optimiser__adam_learning_rate=2e-3,
            optimiser__b2=0.95,
            batch_size=BATCH,
            budget__steps=EPOCHS * epoch(_task),
            evaluation__every=epoch(_task),
            evaluation__criterion="tveit",
        )

define(
    "muon2025/na00s",
    shows="Muon with rates and decays of its own for hidden matrices, embeddings and output, locked after sweeps.",
    costs="20,000 steps: about fifteen minutes on two cores",
    expect="by the repository generalisation, and collapses of accuracy after it",
    source=LOCKED,
    task__p=113,
    task__expression="x + y",
    task__layout="a b =",
    split__frac_train=0.3,
    network__kind="transformer",
    network__n_heads=4,
    network__d_model=128,
    network__d_mlp=512,
    network__biases="none",
    network__init_scheme="fan_in",
    optimiser__kind="muon",
    optimiser__learning_rate=0.03,
    optimiser__weight_decay=0.1,
    optimiser__adam_learning_rate=1e-3,
    optimiser__adam_weight_decay=1.0,
    optimiser__groups={"unembed.*": {"learning_rate": 2.5e-4}},
    optimiser__heads="qkv",
    optimiser__b2=0.999,
    budget__steps=20_000,
    evaluation__every=100,
    evaluation__criterion="five_in_a_row",
)
define(
    "muon2025/na00s-adamw",
    "muon2025/na00s",
    shows="The baseline of the same repository: AdamW for all weights, decay 3.",
    costs="20,000 steps: about ten minutes on two cores",
    expect="by the repository later generalisation than by Muon",
    source=LOCKED,
    optimiser__kind="adamw",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=3.0,
    optimiser__b2=0.999,
)
#: A small twin of those, which groks within seconds.
_SMALL: dict[str, Any] = {
    "task__p": 31,
    "split__frac_train": 0.6,
    "network__n_heads": 2,
    "network__d_model": 64,
    "network__d_mlp": 128,
    "budget__steps": 2_000,
    "evaluation__every": 10,
}
for _name in ("na00s", "na00s-adamw"):
    define(
        f"muon2025/{_name.replace('na00s', 'small')}",
        f"muon2025/{_name}",
        shows=f"The settings of muon2025/{_name} on a smaller network and addition mod 31.",
        costs="2,000 steps: about ten seconds on one core",
        expect="see docs/beyond/muon.md",
        source=LOCKED + "; the sizes are groklab's own",
        **_SMALL,
    )
