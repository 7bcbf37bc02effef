"""How fast is an iteration of a Recursive Feature Machine, against the dense way, a Cholesky factor, and xRFM?

`python -m benchmarks rfm`. Each part runs in a process of its own with one thread for every library.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

BANDWIDTH = 2.5
KERNELS = ("quadratic", "gaussian")
DTYPES = ("float64", "float32")
#: Test accuracy leaves zero at about the tenth iteration: agreement must be seen beyond that.
ITERATIONS = 16
#: Libraries make their threads when they are imported, so a part sets these before it imports any.
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
XRFM_NOTE = (
    "xRFM has no quadratic kernel; its Laplace family with exponent 2 and bandwidth 2.5 * sqrt(2) is this Gaussian. "
    "Its metric is the AGOP over its largest entry, with the square root as the map of inputs: power 1 where the paper "
    "has 1/2, and another scale. Its centring takes one mean over rows and outputs together, not one an output. It "
    "wants validation data: the test rows, with early stopping and the return to the best iteration switched off. An "
    "iteration here is its own: fit, predict validation rows, AGOP. It learns another metric, so compare its seconds, "
    "and take its accuracy for what these settings give, not for what xRFM can do on the tables it is made for."
)


def run() -> dict[str, Any]:
    """Every part; a single one is `python -m benchmarks.rfm` and its name."""
    found: dict[str, Any] = {}
    for part in PARTS:
        output = subprocess.check_output([sys.executable, "-m", "benchmarks.rfm", *part.split()], text=True)
        found[part] = json.loads(output.splitlines()[-1])
    return found


class Data:
    """x + y mod p, half of the pairs for training: dense one-hot rows for the peers, row numbers for groklab."""

    def __init__(self, p: int) -> None:
        import numpy as np

        from groklab.experiment import component

        self.task = component("task", {"kind": "arithmetic", "p": p, "expression": "x + y", "layout": "a b"}).build()
        rows = np.random.default_rng(0).permutation(p * p)
        self.train_rows, test_rows = rows[: p * p // 2], rows[p * p // 2 :]
        one_hot = np.eye(p)
        X = np.concatenate([one_hot[self.task.inputs[:, 0]], one_hot[self.task.inputs[:, 1]]], axis=1)
        Y = one_hot[self.task.targets]
        self.train, self.test = ((X[r], Y[r]) for r in (self.train_rows, test_rows))

    @property
    def n(self) -> int:
        return len(self.train_rows)


class Groklab:
    """groklab's machine behind the interface of this benchmark: `step()` gives metrics, `M` the next metric."""

    def __init__(self, data: Data, kernel: str, dtype: str) -> None:
        from groklab.learners import RFM

        rfm = RFM(kernel=kernel, bandwidth=BANDWIDTH, ridge=0.0, agop_power=0.5, centre=True)
        self.machine = rfm.start(data.task, data.train_rows, dtype=dtype)

    @property
    def M(self) -> Any:
        return self.machine.M

    def step(self) -> dict[str, float]:
        import jax

        metrics = self.machine.step()
        jax.block_until_ready(self.machine.M)
        return {name: float(metrics[name]) for name in ("test_accuracy", "test_loss", "train_loss")}


def side_by_side(kernel: str) -> dict[str, Any]:
    """Iterations at p=61, in turns on one split: dense in double precision, groklab in double and in single."""
    import numpy as np

    from benchmarks.rfm_dense import Dense

    data = Data(61)
    for dtype in DTYPES:
        Groklab(data, kernel, dtype).step()  # compiles
    dense = Dense(data.train, data.test, kernel, BANDWIDTH)
    machines: dict[str, Any] = {"dense": dense, **{f"groklab {t}": Groklab(data, kernel, t) for t in DTYPES}}
    wall: dict[str, list[float]] = {name: [] for name in machines}
    cpu: dict[str, list[float]] = {name: [] for name in machines}
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in machines}
    parts: list[dict[str, float]] = []
    apart: dict[str, list[float]] = {name: [] for name in machines}
    for _ in range(ITERATIONS):
        for name, machine in machines.items():
            metrics, seconds, cpu_seconds = timed(machine.step)
            wall[name].append(seconds)
            cpu[name].append(cpu_seconds)
            curves[name].append(metrics)
            apart[name].append(float(np.linalg.norm(machine.M - dense.M) / np.linalg.norm(dense.M)))
        parts.append(dict(dense.seconds))
    seconds = {name: {"best": min(s), "median": float(np.median(s))} for name, s in wall.items()}
    cpu_medians = {name: float(np.median(s)) for name, s in cpu.items()}
    factor = cholesky(data.n)

    def differences(name: str, metric: str) -> list[float]:
        return [abs(a[metric] - b[metric]) for a, b in zip(curves[name], curves["dense"], strict=True)]

    return {
        "rows": data.n,
        "iterations": ITERATIONS,
        "iterations_per_second": {name: 1 / s["median"] for name, s in seconds.items()},
        "seconds": seconds,
        "cpu_seconds": cpu_medians,
        "speedup": {name: seconds["dense"]["median"] / s["median"] for name, s in seconds.items()},
        "cpu_speedup": {name: cpu_medians["dense"] / s for name, s in cpu_medians.items()},
        "dense_parts": {part: float(np.median([s[part] for s in parts])) for part in parts[0]},
        "dense_product": dense.library,
        "cholesky_seconds": factor,
        "over_cholesky": {name: s["best"] / factor for name, s in seconds.items()},
        "agreement with dense": {
            name: {
                "accuracy_identical": not any(differences(name, "test_accuracy")),
                "accuracy_difference": max(differences(name, "test_accuracy")),
                "test_mse_difference": max(differences(name, "test_loss")),
                "relative_M_difference": max(apart[name]),
            }
            for name in machines
            if name != "dense"
        },
        "last_test_accuracy": {name: curve[-1]["test_accuracy"] for name, curve in curves.items()},
        "largest_train_mse": {name: max(m["train_loss"] for m in curve) for name, curve in curves.items()},
    }


def large() -> dict[str, Any]:
    """An iteration of groklab's at p=113 against one LAPACK Cholesky factor of as many rows, in turns."""
    data = Data(113)
    found: dict[str, Any] = {"rows": data.n}
    for kernel in KERNELS:
        for dtype in DTYPES:
            machine = Groklab(data, kernel, dtype)
            machine.step()  # compiles
            turns = [
                (*timed(machine.step)[1:], cholesky(data.n, times=1), cholesky(data.n, dtype, times=1))
                for _ in range(3)
            ]
            seconds, cpu_seconds, double, own = (min(s) for s in zip(*turns, strict=True))
            found[f"{kernel} {dtype}"] = {
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "dpotrf_seconds": double,
                "over_dpotrf": seconds / double,
                "over_factor_of_its_own_dtype": seconds / own,
            }
    return found


def memory(kernel: str, dtype: str) -> dict[str, Any]:
    """Peak memory of a first iteration at p=113 beyond what the process had, in matrices n x n of its own dtype."""
    # what libraries load and compile for themselves belongs to the baseline
    Groklab(Data(11), kernel, dtype).step()
    data = Data(113)
    machine = Groklab(data, kernel, dtype)
    before = peak()
    machine.step()
    beyond = peak() - before
    matrix = data.n**2 * (8 if dtype == "float64" else 4)
    return {"before_bytes": before, "beyond_bytes": beyond, "matrices": beyond / matrix}


def xrfm() -> dict[str, Any]:
    """xRFM at p=61 with the settings nearest to the Gaussian machine's."""
    try:
        import torch
        from xrfm.rfm_src import RFM
    except ImportError as missing:
        return {"left_out": str(missing)}

    torch.set_num_threads(1)
    torch.manual_seed(0)
    data, iterations = Data(61), 25
    found: dict[str, Any] = {"note": XRFM_NOTE, "iterations": iterations}
    for name, exponent, bandwidth in (("gaussian", 2.0, BANDWIDTH * 2**0.5), ("laplace", 1.0, BANDWIDTH)):
        # float32 as it is meant to be used, and with it the ridge that keeps its solver from failing
        for dtype, ridge in ((torch.float32, 1e-6), (torch.float64, 0.0)):
            model = RFM("l2", iters=iterations, bandwidth=bandwidth, exponent=exponent, device="cpu", verbose=False)
            train, test = (tuple(torch.from_numpy(a).to(dtype) for a in s) for s in (data.train, data.test))
            starts: list[tuple[float, float]] = []
            model.fit(
                train, test, reg=ridge, center_grads=True, solver="cholesky", early_stop_rfm=False,
                return_best_params=False, callback=lambda iteration, s=starts: s.append(now()),
            )  # fmt: skip
            correct = model.predict(test[0]).argmax(1) == test[1].argmax(1)
            steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(starts)]
            found[f"{name} {str(dtype).removeprefix('torch.')}"] = {
                "ridge": ridge,
                "seconds": sorted(s[0] for s in steps)[len(steps) // 2],
                "cpu_seconds": sorted(s[1] for s in steps)[len(steps) // 2],
                "test_accuracy": float(correct.double().mean()),
            }
    return found


def now() -> tuple[float, float]:
    """The wall clock and the processor time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What a call returns, its seconds, and its seconds of processor time: far more of these mean stray threads."""
    wall, cpu = now()
    value = function()
    ended = now()
    return value, ended[0] - wall, ended[1] - cpu


def cholesky(n: int, dtype: str = "float64", times: int = 5) -> float:
    """Seconds of LAPACK's dpotrf (spotrf in single precision), in place, on n x n: the best of several."""
    import numpy as np
    from scipy.linalg import lapack

    factor = lapack.dpotrf if dtype == "float64" else lapack.spotrf
    seconds = []
    for _ in range(times):
        matrix = np.full((n, n), 0.5, dtype, order="F")
        np.fill_diagonal(matrix, 1)
        seconds.append(timed(lambda a=matrix: factor(a, lower=1, clean=0, overwrite_a=1))[1])
    return min(seconds)


def peak() -> int:
    """The most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


#: Each part by the words that ask for it.
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    **{f"p=61 {kernel}": lambda kernel=kernel: side_by_side(kernel) for kernel in KERNELS},
    "p=113": large,
    **{f"memory {k} {t}": lambda k=k, t=t: memory(k, t) for k in KERNELS for t in DTYPES},
    "xrfm": xrfm,
}

if __name__ == "__main__":
    os.environ.update(ONE_THREAD)
    print(json.dumps(PARTS[" ".join(sys.argv[1:])]()))
