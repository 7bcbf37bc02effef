"""How many steps a CPU-second does the effective theory's toy model take, alone and in ensembles, against a plain loop?

`python -m benchmarks toy`: one thread, all candidates in turns in one process, processor time. The peer is the toy
trainer of Liu et al. (2022) as its authors run it, written anew after the description of their code: eager PyTorch, two
AdamW optimisers, and in every step four forward passes for the losses and accuracies, and the embedding that it keeps.
The lean peer is the least that measures the same: two forward passes, prepared once. Ours trains the same model and
evaluates every 20 steps, as in a phase diagram. A 'model-step' is one update of one model.
Besides: ideal accuracy and RQI, in milliseconds, and the floor of a step at this machine's own matrix-multiply rate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.rfm import ONE_THREAD

WIDTHS = (1, 16, 128, 512)
EVERY = 20
ROUNDS = 3
P, D_MLP, D_OUT, N_TRAIN = 10, 200, 30, 45


def run() -> dict[str, Any]:
    """All of it, in a process with one thread for every library."""
    output = subprocess.check_output(
        [sys.executable, "-m", "benchmarks.toy"], text=True, env={**os.environ, **ONE_THREAD}
    )
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def peer(lean: bool) -> Callable[[int], None]:
    """The authors' loop, or the least of it that still measures every step."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(58)
    rng = np.random.RandomState(58)
    vectors = torch.tensor(rng.normal(0, 1, (2 * P - 1, D_OUT)), dtype=torch.float32)
    pairs = torch.tensor([(i, j) for i in range(P) for j in range(i, P)])
    classes = pairs.sum(1)
    order = torch.from_numpy(rng.permutation(len(pairs)))
    train, test = order[:N_TRAIN], order[N_TRAIN:]
    table = torch.nn.Parameter(torch.rand(P, 1) - 0.5)
    decoder = torch.nn.Sequential(
        torch.nn.Linear(1, D_MLP), torch.nn.Tanh(), torch.nn.Linear(D_MLP, D_MLP), torch.nn.Tanh(),
        torch.nn.Linear(D_MLP, D_OUT),
    )  # fmt: skip
    optimisers = [
        torch.optim.AdamW([table], lr=1e-3, weight_decay=0.0),
        torch.optim.AdamW(decoder.parameters(), lr=1e-4, weight_decay=0.0),
    ]

    def outputs(rows: Any) -> Any:
        return decoder(table[pairs[rows, 0]] + table[pairs[rows, 1]])

    def right(z: Any, rows: Any) -> float:
        return float((((z[:, None] - vectors[None]) ** 2).sum(-1).argmin(1) == classes[rows]).float().mean())

    def steps(n: int) -> None:
        kept = []
        for _ in range(n):
            for optimiser in optimisers:
                optimiser.zero_grad()
            batch = train if lean else train[torch.from_numpy(rng.permutation(N_TRAIN))]
            z = outputs(batch)
            loss = torch.mean((z - vectors[classes[batch]]) ** 2)
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
            with torch.no_grad():
                z_test = outputs(test)
                test_loss = torch.mean((z_test - vectors[classes[test]]) ** 2)
                z_train = z if lean else outputs(train)
                accuracies = (right(z_train, train), right(z_test if lean else outputs(test), test))
                kept.append((float(loss.detach()), float(test_loss), accuracies))
                if not lean:
                    kept[-1] = (*kept[-1], table.detach().clone())  # type: ignore[assignment]

    return steps


def ensemble(n: int) -> tuple[Callable[[int], None], int]:
    """n models as groklab packs them, and the lanes of a block."""
    import jax
    import numpy as np

    from groklab import preset
    from groklab.training import Lanes, make_ensemble

    members = [preset("liu2022/diagram", {"seed": seed, "evaluation.every": EVERY}) for seed in range(n)]
    lanes = Lanes(make_ensemble(members))
    lanes.begin(None)
    done = [0]

    def steps(count: int) -> None:
        stop = done[0] + count
        lanes.advance(done[0], stop, EVERY)
        jax.block_until_ready(lanes.states)
        done[0] = stop

    assert np.isfinite(lanes.weights()["embed.W_E"]).all()
    return steps, len(lanes.blocks[0])


def _cpu(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def _milliseconds() -> dict[str, float]:
    import numpy as np

    from groklab.experiment import component
    from groklab.measures import rqi
    from groklab.theory import equations_of

    def task(p: int) -> Any:
        described = {"p": p, "expression": "x + y", "modular": False, "pairs": "unordered", "layout": "a b"}
        return component("task", described, "arithmetic").build()

    rng, found = np.random.default_rng(0), {}
    thirty = equations_of(task(30))
    chosen = rng.permutation(thirty.n_pairs) < thirty.n_pairs // 4
    thirty.incidence  # noqa: B018  (kept from here on)
    found["ideal_accuracy_p30"] = 1e3 * min(_cpu(lambda: thirty.ideal_accuracy(chosen)) for _ in range(20))
    large = task(113)
    for d in (1, 2):
        table = rng.uniform(-0.5, 0.5, (113, d))
        rqi(table, large)
        found[f"rqi_p113_d{d}"] = 1e3 * min(_cpu(lambda t=table: rqi(t, large)) for _ in range(20))
    return found


def main() -> None:
    """Print one line of JSON."""
    from benchmarks.floor import best_rate

    candidates: dict[str, tuple[Callable[[int], None], int, int]] = {
        "peer": (peer(lean=False), 1, 300),
        "lean peer": (peer(lean=True), 1, 300),
    }
    lanes = {}
    for n in WIDTHS:
        function, width = ensemble(n)
        candidates[f"{n} members"] = (function, n, max(5 * EVERY, 2560 // n // EVERY * EVERY))
        lanes[str(n)] = width
    for function, _, _ in candidates.values():
        function(EVERY)
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (function, models, count) in candidates.items():
            rates[name].append(models * count / _cpu(lambda f=function, c=count: f(c)))
    middle = {name: sorted(found)[len(found) // 2] for name, found in rates.items()}
    ratios = {
        f"{name} to the {other}": sorted(a / b for a, b in zip(rates[name], rates[other], strict=True))
        for name in rates
        for other in ("peer", "lean peer")
        if "peer" not in name
    }
    forward = [(N_TRAIN, 1, D_MLP), (N_TRAIN, D_MLP, D_MLP), (N_TRAIN, D_MLP, D_OUT)]
    every = [s for m, k, c in forward for s in ((m, k, c), (m, c, k), (k, m, c))]
    flops = sum(2.0 * m * k * n for m, k, n in every)
    multiply = best_rate([s for s in every if min(s) > 1])
    print(
        json.dumps(
            {
                "model_steps_per_cpu_second": middle,
                "ratios": {k: {"median": v[len(v) // 2], "from": v[0], "to": v[-1]} for k, v in ratios.items()},
                "lanes_of_a_block": lanes,
                "flops_of_a_step": flops,
                "multiply_rate_gflops": {k: v / 1e9 for k, v in multiply.items()},
                "floor_model_steps_per_second": max(multiply.values()) / flops,
                "milliseconds": _milliseconds(),
            }
        )
    )


if __name__ == "__main__":
    main()
