"""How fast is a training step of Furuta et al.'s model (p=97, 30% of the pairs), alone and in a table of operations?

The peer is the authors' loop, written anew after the description of their code: eager PyTorch over all three positions,
rows rebuilt from Python lists in every step, loss and accuracy of the test rows in every step, with their graph. The
lean peer is the least that trains the same: rows prepared once, no test pass. A 'model-step' is one update of one
model.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks import clock, floor
from benchmarks.peers import Steps
from benchmarks.transformer import Trainer
from groklab import preset

P, SIGNS = 97, 5
#: Models side by side, as in a sweep over seeds and operations.
WIDTH = 4


def peer(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], lean: bool) -> Steps:
    """The authors' loop, or the least of it that trains the same."""
    import torch

    d, heads, d_head, d_mlp, vocab = 128, 4, 32, 512, P + SIGNS
    torch.manual_seed(0)

    def normal(*shape: int, std: float = 1 / math.sqrt(d)) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.randn(*shape) * std)

    w = {
        "E": normal(vocab, d, std=1 / math.sqrt(vocab)), "Q": normal(heads, d, d_head), "K": normal(heads, d, d_head),
        "V": normal(heads, d, d_head), "O": normal(heads, d_head, d), "in": normal(d, d_mlp),
        "out": normal(d_mlp, d), "U": normal(d, vocab),
    }  # fmt: skip
    mask = torch.tril(torch.ones(3, 3, dtype=torch.bool))
    rows = [list(zip(tokens.tolist(), targets.tolist(), strict=True)) for tokens, targets in (train, test)]

    def tensors(which: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([row for row, _ in rows[which]]), torch.tensor([target for _, target in rows[which]])

    prepared = [tensors(0), tensors(1)]

    def loss(which: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens, targets = prepared[which] if lean else tensors(which)
        x = w["E"][tokens]
        q, k, v = (torch.einsum("npd,hde->nhpe", x, w[s]) for s in "QKV")
        scores = torch.einsum("nhqe,nhke->nhqk", q, k) / math.sqrt(d_head)
        pattern = torch.softmax(scores.masked_fill(~mask, -1e10), -1)
        x = x + torch.einsum("nhqe,hed->nqd", torch.einsum("nhqk,nhke->nhqe", pattern, v), w["O"])
        x = x + torch.relu(x @ w["in"]) @ w["out"]
        logits = (x @ w["U"])[:, -1]
        right = (logits.argmax(-1) == targets).double().mean()
        return torch.nn.functional.cross_entropy(logits.to(torch.float64), targets), right

    optimiser = torch.optim.AdamW(w.values(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)

    def steps(n: int) -> None:
        for _ in range(n):
            value, right = loss(0)
            if not lean:
                seen, known = loss(1)
                seen.item(), known.item(), right.item()
            value.backward()
            optimiser.step()
            optimiser.zero_grad()

    return steps


def run() -> dict[str, Any]:
    """Model-steps per second, side by side in one process, and the ratio to the floor."""
    from groklab.tasks import FURUTA_OPERATIONS

    alone = preset("furuta2024", {"measures.names": []})
    names = FURUTA_OPERATIONS[-WIDTH:]
    table = [preset("furuta2024", {"measures.names": [], "task.expression": name}) for name in names]
    training_only, default = Trainer([alone], every=10**6), Trainer([alone], every=50)
    task, split = default.ensemble.tasks[0], default.ensemble.splits[0]
    train = (task.inputs[split.train], task.targets[split.train])
    test = (task.inputs[split.test], task.targets[split.test])
    ours, width = "groklab, training only", f"groklab, {WIDTH} operations side by side"
    candidates: dict[str, Any] = {
        ours: (training_only, 60),
        "groklab, evaluation every 50": (default, 50),
        width: (Trainer(table, every=50), 25),
    }
    try:
        candidates["textbook PyTorch, training only"] = (peer(train, test, lean=True), 12)
        candidates["the authors' loop"] = (peer(train, test, lean=False), 6)
    except ImportError as missing:
        print(f"  left out: {missing}")
    seconds = clock.in_turns(candidates, rounds=8)
    seconds[width] = {key: value / WIDTH for key, value in seconds[width].items()}
    work = 3 * alone.network.flops(task.shape, len(split.train))
    rates = floor.best_rate(floor.shapes(len(split.train), 128, 512, P + SIGNS))
    bound = work / max(rates.values())
    return {
        "seconds_per_model_step": seconds,
        "model_steps_per_second": {k: 1 / v["median"] for k, v in seconds.items()},
        "flop_per_step": work,
        "matmul_rates": rates,
        "floor_seconds": bound,
        "share_of_floor": {"best": bound / seconds[ours]["best"], "median": bound / seconds[ours]["median"]},
        "speedup": {k: v["median"] / seconds[ours]["median"] for k, v in seconds.items()},
    }
