"""Files of weights, whoever wrote them: read without running anything, and laid out as ours."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from groklab.errors import DamagedError, InputError, shorten
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop._own_exports import CONFIG, DESCRIPTION, WEIGHTS
from groklab.interop._released_files import TrainingRecord, training_record
from groklab.interop._torch_files import read_torch
from groklab.store import read_json
from groklab.training import from_released_layout, is_released_layout

TORCH = (".pt", ".pth", ".bin", ".ckpt")
_NAMES_OF_WEIGHTS = ("model", "state_dict", "model_state_dict", "weights")


@dataclass(frozen=True)
class Source:
    """A file of weights. sha256: of its bytes. weights: by our names, in our orientation, zero biases still there.

    description: what `groklab export` wrote of the experiment, with the weights as they are in the file; config: what a
    TransformerLens model beside it says. Each is empty where there is none.
    """

    path: Path
    sha256: str
    weights: dict[str, np.ndarray]
    record: TrainingRecord
    description: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def read_source(path: Path, n_heads: int | None = None) -> Source:
    """Read .pth, .pt, .safetensors or .npz, or the folder of an export.

    n_heads: of weights that do not show it (those of a TransformerBridge), where no config.json beside them does.
    Raises:
        InputError: for another kind of file or model.
        DamagedError: for a truncated file.
    """
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    description: dict[str, Any] = {}
    record = TrainingRecord({})
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if path.suffix == ".safetensors":
            weights, description = _read_safetensors(path.read_bytes())
        elif path.suffix == ".npz":
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                weights = {k: archive[k] for k in archive.files}
        elif path.suffix in TORCH:
            content = read_torch(path)
            weights = _weights_in(content, path)
            record = training_record(content)
        else:
            raise InputError(f"{path} cannot be imported: it needs to end in .safetensors, .npz or {', '.join(TORCH)}")
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damaged archives raise many kinds
        raise DamagedError(f"{path} cannot be read: {shorten(str(error) or type(error).__name__)}") from None
    if description:
        return Source(path, sha256, weights, record, description)
    config = _config_beside(path)
    weights = _as_floats(_in_our_layout(weights, n_heads or config.get("n_heads"), path))
    return Source(path, sha256, weights, record, description, config)


def _read_safetensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    weights = safetensors.numpy.load(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    description = json.loads(metadata.get(DESCRIPTION, "{}"))
    return weights, description if isinstance(description, dict) else {}


def _weights_in(content: Any, path: Path) -> dict[str, np.ndarray]:
    """Return the state dict in the contents of a PyTorch file."""
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}, not weights")
    weights = next((content[k] for k in _NAMES_OF_WEIGHTS if isinstance(content.get(k), dict)), content)
    if not weights or not all(isinstance(k, str) and isinstance(v, np.ndarray) for k, v in weights.items()):
        inside = ", ".join(map(repr, list(content)[:6])) or "nothing"
        raise InputError(f"{path} holds no model's weights by name; it holds {shorten(inside)}")
    return weights


def _in_our_layout(weights: Mapping[str, np.ndarray], n_heads: Any, path: Path) -> dict[str, np.ndarray]:
    try:
        if transformer_lens.is_bridge(weights):
            if type(n_heads) is not int:
                raise InputError(f"{path} does not show how many attention heads its model has; give --n-heads")
            return transformer_lens.from_bridge(weights, n_heads)
        if is_released_layout(weights):
            return from_released_layout(weights)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds weights of an unknown shape: {shorten(str(error))}") from None
    if not any(name.startswith(("embed.", "hidden.0.")) for name in weights) or "unembed.W_U" not in weights:
        names = shorten(", ".join(sorted(weights)) or "nothing")
        raise InputError(f"{path} holds a model that no task here has: its weights are named {names}")
    return dict(weights)


def _as_floats(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return own copies in one dtype, float32 or float64; only floating-point numbers can be weights."""
    buffers = ("mask", "IGNORE")
    kept = {k: v for k, v in weights.items() if k.rsplit(".", 1)[-1] not in buffers}
    for name, array in kept.items():
        if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
            raise InputError(shorten(name), str(array.dtype), "needs to hold floating-point numbers")
    wide = any(v.dtype.itemsize > 4 for v in kept.values())
    made = {k: np.array(v, np.float64 if wide else np.float32, order="C", ndmin=0) for k, v in kept.items()}
    for name, array in made.items():
        if not np.isfinite(array).all():
            raise InputError(f"the weight {shorten(name)} holds numbers that are not finite")
    return made


def _config_beside(path: Path) -> dict[str, Any]:
    file = path.parent / CONFIG
    if not file.is_file():
        return {}
    config = read_json(file, dict[str, Any])
    return config if "act_fn" in config else {}
