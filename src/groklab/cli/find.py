"""`presets`, `measures`, `doctor`: what there is to name, and what this machine offers."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from typing import Annotated, Any

import typer

from groklab.cli.app import FIND, Json, app, console_for, emit, print_pairs
from groklab.experiment import PRESETS, find_preset

_PACKAGES = ("jax", "jaxlib", "optax", "numpy", "polars", "pydantic", "plotly", "safetensors")


@app.command(rich_help_panel=FIND)
def presets(
    name: Annotated[str | None, typer.Argument(metavar="[PRESET]", help="Show this preset's page.")] = None,
    as_json: Json = False,
) -> None:
    """List the presets, or show one: its purpose, cost, expected result and source."""
    if name is not None:
        p = find_preset(name)
        page = {"shows": p.shows, "costs": p.costs, "expect": p.expect, "source": p.source}
        if as_json:
            emit({"preset": p.name, **page, "settings": p.settings})
            return
        console = console_for(False)
        console.print(p.name, style="bold")
        print_pairs(page.items(), style="", right=True)
        from groklab.cli.tables import print_settings

        print_settings(console, p.settings)
        return
    if as_json:
        emit({"presets": [{"preset": p.name, "shows": p.shows, "costs": p.costs} for p in PRESETS.values()]})
        return
    print_pairs((p.name, p.shows) for p in PRESETS.values())


@app.command(rich_help_panel=FIND)
def measures(as_json: Json = False) -> None:
    """List the measures of a model's weights."""
    from groklab.measures import MEASURES

    if as_json:
        emit({"measures": [{"measure": m.name, "about": m.about, "online": m.online} for m in MEASURES.values()]})
        return
    print_pairs((m.name, m.about) for m in MEASURES.values())


@app.command(rich_help_panel=FIND)
def doctor(as_json: Json = False) -> None:
    """Show what this machine offers, what is installed, whether a GPU is used, and what training costs here."""
    facts = _examine()
    if as_json:
        emit(facts)
        return
    print_pairs(((key.replace("_", " "), _in_words(value)) for key, value in facts.items()), style="", right=True)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ("; ".join(value) or "none") if isinstance(value, list) else str(value)


def _examine() -> dict[str, Any]:
    """Return machine, packages, device, measured rates and folders."""
    import groklab
    from groklab import device
    from groklab.experiment import preset
    from groklab.lazy import jax
    from groklab.training import estimate, matmul_rate, step_rate

    home = device.home()
    nearest = next(p for p in (home, *home.parents) if p.exists())
    devices = jax.devices()
    gpu = device.on_gpu()
    advice = []
    if device.has_idle_card():
        advice.append("an NVIDIA card is here but JAX uses the CPU: pip install 'groklab[cuda]'")
    if not os.access(nearest, os.W_OK):
        advice.append(f"{home} cannot be written: set GROKLAB_HOME to a folder that can")
    if gpu:
        card = {
            "matmul_tf32": f"{matmul_rate('float32', 'tensorfloat32') / 1e9:,.0f} GFLOP/s",
            "training_measured": {"nanda2023": f"{step_rate(preset('nanda2023')):,.0f} steps/s"},
            "xla_settings": device.xla_options(),
        }
    else:
        seconds = {name: estimate([preset(name)]).seconds_per_step for name in ("micro", "demo", "nanda2023")}
        card = {"training_estimate": {name: f"{1 / each:,.0f} steps/s" for name, each in seconds.items()}}
    return {
        "groklab": groklab.__version__,
        "cores": device.cores(),
        "memory": device.readable_bytes(device.host_memory()[0]),
        "memory_free": device.readable_bytes(device.available_memory()),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "devices": [f"{d.platform}: {d.device_kind}" for d in devices],
        "gpu_used": gpu,
        "matmul_float32": f"{matmul_rate('float32') / 1e9:,.0f} GFLOP/s",
        "matmul_float64": f"{matmul_rate('float64') / 1e9:,.0f} GFLOP/s",
        **card,
        "runs_folder": str(home),
        "disk_free": device.readable_bytes(shutil.disk_usage(nearest).free),
        "cache_folder": device.compiled_programs(),
        "advice": advice,
    }
