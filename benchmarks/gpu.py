"""What one graphics card does with groklab: `python -m benchmarks gpu`, at most five minutes.

Each part is a process with a limit of its own, and prints every number as it is measured; what a part has measured when
its limit ends it, or when the script is stopped, is kept. `python -m benchmarks.gpu PART` runs one of them. With
GROKLAB_BENCH_SMALL=1 the sizes are those of a test of the script itself, on any device, and nothing is kept.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

SMALL = bool(os.environ.get("GROKLAB_BENCH_SMALL"))
#: Seconds of all parts together.
ALL = 300.0
PRECISIONS = {"float32": "highest", "tf32": "tf32"}


def keep(name: str, value: Any) -> None:
    """Print a number of this part for the script, which keeps it."""
    print(json.dumps({"name": name, "value": value}), flush=True)


def mainline(**settings: Any) -> Any:
    """Return the mainline experiment at p=113, or a small one."""
    import groklab as gl

    small = {"task.p": 11, "network.d_model": 32, "network.d_mlp": 64} if SMALL else {}
    return gl.preset("nanda2023", {**small, **settings})


def rate(experiments: list[Any], stride: int, seconds: float = 3.0) -> dict[str, float]:
    """Measure the training of some members side by side, evaluated once in `stride` steps."""
    from benchmarks.transformer import Trainer

    trainer = Trainer(experiments, every=stride)
    began = time.perf_counter()
    trainer(stride)
    compiled = time.perf_counter() - began
    taken, began = 0, time.perf_counter()
    while time.perf_counter() - began < (0.1 if SMALL else seconds):
        trainer(stride)
        taken += stride
    per_second = taken * len(experiments) / (time.perf_counter() - began)
    rows = max(len(s.train) for s in trainer.ensemble.splits)
    flops = 3 * experiments[0].network.flops(trainer.ensemble.tasks[0].shape, rows)
    return {"model_steps_per_second": per_second, "tflops": per_second * flops / 1e12, "first_call_seconds": compiled}


# -- the parts -----------------------------------------------------------------------------------------------------


def card() -> None:
    """The card's own rates, and the versions that are measured."""
    import jax

    import groklab
    from groklab import device
    from groklab.training import matmul_rate

    keep("device", f"{len(jax.devices())} x {jax.devices()[0].device_kind}")
    keep("versions", {"groklab": groklab.__version__, "python": sys.version.split()[0], "jax": metadata.version("jax")})
    keep("xla_settings", device.xla_options())
    for name, arguments in {"float32": (), "tf32": ("tensorfloat32",)}.items():
        keep(f"matmul {name}, TFLOP/s", matmul_rate("float32", *arguments) / 1e12)
    keep("matmul float64, TFLOP/s", matmul_rate("float64") / 1e12)


def whole_run() -> None:
    """A run of 40,000 steps, evaluated every 10, with checkpoints: compiled already, and alone."""
    import groklab as gl

    steps = 200 if SMALL else 40_000
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        gl.train(mainline(**{"budget.steps": steps // 40, "evaluation.every": 10, "seed": 1}), home=home)
        keep("first 1,000 steps, with compiling, seconds", time.perf_counter() - began)
        for name, precision in PRECISIONS.items():
            settings = {"budget.steps": steps, "evaluation.every": 10, "matmul_precision": precision}
            if precision != "highest":
                gl.train(mainline(**{**settings, "budget.steps": steps // 40, "seed": 1}), home=home)
            began = time.perf_counter()
            run = gl.train(mainline(**settings), home=home)
            seconds = time.perf_counter() - began
            found = {k: run.summary()[k] for k in ("memorised_step", "grokked_step", "test_loss")}
            keep(f"whole run, {name}", {"seconds": seconds, "steps_per_second": steps / seconds, **found})
            first = run.curves()
            keep(
                f"first losses, {name}",
                dict(zip(first["step"][:12].tolist(), first["train_loss"][:12].tolist(), strict=True)),
            )


def lanes() -> None:
    """Models side by side in one program."""
    for name, precision in PRECISIONS.items():
        for width in (1, 4) if SMALL else (1, 8, 64):
            experiments = [mainline(seed=seed, matmul_precision=precision) for seed in range(width)]
            keep(f"{width} lanes, {name}", rate(experiments, stride=20 if SMALL else max(1000 // width, 50)))


def peers() -> None:
    """One model against PyTorch, eager and as a CUDA graph, in turns."""
    from benchmarks import clock
    from benchmarks import peers as others
    from benchmarks.transformer import Trainer

    stride = 10 if SMALL else 500
    ours = Trainer([mainline(**{"split.method": "python_shuffle"})], every=stride)
    task, split = ours.ensemble.tasks[0], ours.ensemble.splits[0]
    train = (task.inputs[split.train], task.targets[split.train])
    p = task.n_answers
    candidates: dict[str, Any] = {"groklab": (ours, stride), "textbook JAX": (others.textbook_jax(train, p), stride)}
    try:
        import torch
    except ImportError as missing:
        keep("left out", str(missing))
    else:
        where = "cuda" if torch.cuda.is_available() else "cpu"
        keep("torch", f"{torch.__version__} on {where}")
        candidates["textbook PyTorch"] = (others.textbook_torch(train, None, p, where), 10 if SMALL else 100)
        if where == "cuda":
            candidates["PyTorch as a CUDA graph"] = (others.torch_graph(train, p), stride)
    seconds = clock.in_turns(candidates, rounds=2 if SMALL else 4)
    for name, taken in seconds.items():
        keep(name, {"steps_per_second": 1 / taken["median"], "ratio": taken["median"] / seconds["groklab"]["median"]})


_FIRST = """
import json, sys, time
import benchmarks.gpu as gpu
from benchmarks.transformer import Trainer
began = time.perf_counter()
Trainer([gpu.mainline(seed=s) for s in range(int(sys.argv[1]))], every=10)(10)
print(time.perf_counter() - began)
"""


def first_step() -> None:
    """The first ten steps of a fresh process, with an empty and with a filled cache, and without XLA's settings."""
    from groklab.device import XLA

    for width in (1, 2) if SMALL else (1, 64):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("empty", "filled"):
                keep(f"{width} lanes, {state} cache, seconds", _first(width, cache))
    plain = {"XLA_FLAGS": " ".join(f"--{name}={_default(name)}" for name in XLA)}
    with tempfile.TemporaryDirectory() as cache:
        keep("1 lane, empty cache, XLA's own settings, seconds", _first(1, cache, **plain))


def _first(width: int, cache: str, **more: str) -> float:
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache, **more}
    output = subprocess.check_output([sys.executable, "-c", _FIRST, str(width)], env=environment, text=True)
    return float(output.splitlines()[-1])


def _default(name: str) -> str:
    """Return XLA's own value of a setting, as a flag."""
    return "true" if name.endswith("triton_gemm") else "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION"


def toy_diagram() -> None:
    """The phase diagram of the toy model: 20 x 20 cells, 3 seeds, 100,000 steps, members retired as they grok."""
    import groklab as gl

    n, seeds, steps = (2, 1, 100) if SMALL else (20, 3, 100_000)
    keys = {"optimiser.learning_rate": f"1e-5:1e-2:{n}:log", "optimiser.weight_decay": f"0:10:{n}"}
    with tempfile.TemporaryDirectory() as home:
        began = time.perf_counter()
        sweep = gl.sweep("liu2022/diagram", keys, overrides={"budget.steps": steps}, seeds=seeds, home=home)
        seconds = time.perf_counter() - began
        taken = int(sweep.table["steps"].sum())
    keep("phase diagram", {"seconds": seconds, "members": len(sweep.table), "model_steps_per_second": taken / seconds})


def operations() -> None:
    """Models of operations mod 97: seven shares of the pairs, nine seeds."""
    import groklab as gl

    small = {"task.p": 11, "network.d_model": 32} if SMALL else {}
    shares, seeds = ((0.4, 0.6), 1) if SMALL else ((0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), 9)
    for name, precision in PRECISIONS.items():
        settings = {**small, "measures.names": [], "matmul_precision": precision}
        experiments = [
            gl.preset("furuta2024", {**settings, "split.frac_train": share, "seed": seed})
            for share in shares
            for seed in range(seeds)
        ]
        keep(f"{len(experiments)} members, {name}", rate(experiments, stride=20 if SMALL else 50))


def kernel_machines() -> None:
    """An iteration of a Recursive Feature Machine, and of xRFM on the same data where it is installed."""
    from benchmarks.rfm import BANDWIDTH, Data, Groklab, timed

    for p in (7, 11) if SMALL else (113, 199):
        data = Data(p)
        for kernel in ("quadratic", "gaussian"):
            for dtype in ("float64", "float32"):
                machine = Groklab(data, kernel, dtype)
                machine.step()  # compiles
                seconds = [timed(machine.step)[1] for _ in range(3)]
                keep(f"p={p}, n={data.n:,}, {kernel}, {dtype}, seconds", min(seconds))
        try:
            import torch
            from xrfm.rfm_src import RFM
        except ImportError as missing:
            keep("xRFM left out", str(missing))
            continue
        where, starts = "cuda" if torch.cuda.is_available() else "cpu", list[float]()
        train, test = (tuple(torch.from_numpy(a).to(where, torch.float64) for a in s) for s in (data.train, data.test))
        RFM("l2", iters=3, bandwidth=BANDWIDTH * 2**0.5, exponent=2.0, device=where, verbose=False).fit(
            train, test, reg=0.0, center_grads=True, solver="cholesky", early_stop_rfm=False,
            return_best_params=False, callback=lambda iteration, s=starts: s.append(time.perf_counter()),
        )  # fmt: skip
        keep(f"p={p}, xRFM, gaussian, float64, seconds", min(b - a for a, b in pairwise(starts)))


#: Each part with the seconds that it may take.
PARTS: dict[str, tuple[Callable[[], None], float]] = {
    "card": (card, 20),
    "whole run": (whole_run, 50),
    "lanes": (lanes, 55),
    "kernel machines": (kernel_machines, 35),
    "peers": (peers, 30),
    "operations": (operations, 30),
    "toy diagram": (toy_diagram, 80),
    "first step": (first_step, 60),
}


# -- the script ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Run all parts, and keep their numbers after each."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    path = Path(__file__).parent / "results" / f"{date}-gpu.json"
    found: dict[str, Any] = {"date": date, "parts": {}}
    ends = time.monotonic() + ALL
    for name, (_, limit) in PARTS.items():
        left = min(limit, ends - time.monotonic())
        if left < 5:
            found["parts"][name] = {"left out": "no time left"}
            continue
        print(f"{name} (at most {left:.0f} s)", flush=True)
        found["parts"][name] = part = {}
        began = time.monotonic()
        part["ended"] = run_part(name, left, part)
        part["seconds"] = time.monotonic() - began
        if not SMALL:
            path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"kept in {path}" if not SMALL else "nothing kept: small sizes")


def run_part(name: str, limit: float, part: dict[str, Any]) -> str:
    """Run a part in a process of its own, gather what it prints, and return how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started

        timer = threading.Timer(limit, stop)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            try:
                measured = json.loads(line)
                part[measured["name"]] = measured["value"]
            except (ValueError, KeyError, TypeError):
                pass
            print(f"  {line.rstrip()}", flush=True)
        code = process.wait()
        timer.cancel()
    return "at its limit" if late.is_set() else "complete" if code == 0 else f"exit code {code}"


if __name__ == "__main__":
    PARTS[sys.argv[1]][0]()
