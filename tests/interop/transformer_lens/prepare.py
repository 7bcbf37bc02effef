"""The groklab side of `make interop`: exports models with the logits that are due, and takes them back.

python prepare.py FOLDER             writes a folder a model for check.py
python prepare.py FOLDER --return    imports what the package saved, and compares the logits
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import groklab as gl
from groklab.interop import export, import_file
from groklab.store import RunWriter
from groklab.training import build_task

TOLERANCE = 1e-4
SMALL = {"task.p": 23, "network.d_model": 32, "network.n_heads": 4, "network.d_mlp": 64, "budget.steps": 0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "trained": ("demo", {"budget.steps": 300, "budget.stop_when_grokked": False, "split.method": "python_shuffle"}),
    "biases-and-norms": ("demo", {**SMALL, "network.biases": "all", "network.layer_norm": "pre"}),
    "two-layers": ("demo", {**SMALL, "network.n_layers": 2, "network.output_scale": 1.5}),
    "gelu-two-layers": (
        "demo",
        {**SMALL, "network.n_layers": 2, "network.biases": "all", "network.layer_norm": "pre"}
        | {"network.activation": "gelu", "task.outputs": "answers"},
    ),
    "attention-only": ("demo", {**SMALL, "network.d_mlp": 0, "network.d_head": 5}),
}
FORMATS = ("transformer-lens", "transformer-lens-bridge")


def make(folder: Path, name: str) -> None:
    preset, settings = MODELS[name]
    run = gl.train(
        gl.preset(preset, {"name": name, "split.method": "python_shuffle", **settings}), home=folder / "runs"
    )
    weights = run.weights()
    if settings["budget.steps"] == 0:
        # untrained biases and gains are zeros and ones, which would hide a mistake
        rng = np.random.default_rng(0)
        noise = 0.3 if run.experiment.network.layer_norm == "pre" else 0.1
        weights = {k: (v + noise * rng.standard_normal(v.shape)).astype(v.dtype) for k, v in weights.items()}
        RunWriter(run).checkpoint(0, {k: v[None] for k, v in weights.items()})
    task = build_task(run.experiment)
    for to in FORMATS:
        export(run, to=to, out=folder / name / to)
    logits = logits_of(weights, task.inputs, run.experiment.network)
    np.savez(folder / name / "expected.npz", tokens=task.inputs, logits=logits)


def logits_of(weights: dict[str, np.ndarray], tokens: np.ndarray, network: Any) -> np.ndarray:
    wide = {k: jnp.asarray(v, jnp.float64) for k, v in weights.items()}
    return np.asarray(gl.activations(wide, tokens, network)["logits"][:, -1])


def take_back(folder: Path) -> None:
    files = sorted(folder.glob("*/returned-*/returned.*"))
    for file in files:
        expected = np.load(file.parent.parent / "expected.npz")
        p = 59 if file.parent.parent.name == "trained" else 23
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = import_file(file, p=p, operation="add", frac_train=0.4, split_seed=0, home=folder / "returned")
        logits = logits_of(run.weights(), expected["tokens"], run.experiment.network)
        off = float(np.abs(logits - expected["logits"][:, : logits.shape[1]]).max())
        print(f"{file.relative_to(folder)}: back in groklab, off {off:.2e}")
        if not off < TOLERANCE:
            raise SystemExit(f"{file}: the logits differ by {off:.3g}")
    if not files:
        raise SystemExit(f"{folder} holds nothing that came back")


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if "--return" in sys.argv:
        take_back(folder)
        return
    for name in MODELS:
        make(folder, name)


if __name__ == "__main__":
    main()
