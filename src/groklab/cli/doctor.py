"""What this machine offers, and what training costs on it."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from typing import Any

import psutil

from groklab import device
from groklab.experiment.presets import preset
from groklab.lazy import jax
from groklab.training.ensemble import estimate, matmul_rate

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "polars", "pydantic", "plotly", "safetensors")


def examine() -> dict[str, Any]:
    """Machine, packages, device, measured rates and folders, as plain values."""
    import groklab

    home = device.home()
    nearest = next(p for p in (home, *home.parents) if p.exists())
    devices = jax.devices()
    gpu = devices[0].platform != "cpu"
    advice = []
    if not gpu and shutil.which("nvidia-smi"):
        advice.append("an NVIDIA driver is here but JAX uses the CPU: pip install 'groklab[cuda]'")
    if not os.access(nearest, os.W_OK):
        advice.append(f"{home} cannot be written: set GROKLAB_HOME to a folder that can")
    costs = {}
    for name in ("micro", "demo", "nanda2023"):
        found = estimate([preset(name)])
        costs[name] = f"{1 / found['seconds_per_step']:,.0f} steps/s"
    return {
        "groklab": groklab.__version__,
        "cores": device.cores(),
        "memory": device.readable_bytes(psutil.virtual_memory().total),
        "memory_free": device.readable_bytes(device.available_memory()),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "devices": [f"{d.platform}: {d.device_kind}" for d in devices],
        "gpu_used": gpu,
        "matmul_float32": f"{matmul_rate('float32') / 1e9:,.0f} GFLOP/s",
        "matmul_float64": f"{matmul_rate('float64') / 1e9:,.0f} GFLOP/s",
        "training_estimate": costs,
        "runs_folder": str(home),
        "disk_free": device.readable_bytes(shutil.disk_usage(nearest).free),
        "cache_folder": device.compiled_programs(),
        "advice": advice,
    }
