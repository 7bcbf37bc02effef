"""Files of weights, whoever wrote them: read without running anything, and laid out as ours."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import DamagedError, InputError, shorten
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop._configs import MARKS, settings_of
from groklab.interop._own_exports import CONFIG, DESCRIPTION, WEIGHTS
from groklab.interop._released_files import TrainingRecord, training_record
from groklab.interop._torch_files import Foreign, Name, read_torch
from groklab.store import read_json, storage
from groklab.tasks import read_npz
from groklab.training import from_released_layout, full_name, is_released_layout

_SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin", ".ckpt")
_NAMES_OF_WEIGHTS = ("model", "state_dict", "model_state_dict", "weights")
#: A weight of a network here, by our names or by those of a TransformerBridge, after any names of modules around it.
_WEIGHT = re.compile(
    r"(?:^|\.)(embed\.(?:W_E|weight|\d+\.W)|pos_embed\.(?:W_pos|weight)|hidden\.\d+\.[Wb]|unembed\.(?:[Wb]_U|weight|bias)"
    r"|blocks\.\d+\.(?:attn\.(?:[Wb]_[QKVO]|[qkvo]\.(?:weight|bias))|mlp\.(?:[Wb]_(?:in|out)|(?:in|out)\.(?:weight|bias))"
    r"|ln[12]\.(?:[wb]|weight|bias))|ln_final\.(?:[wb]|weight|bias))$"
)


@dataclass(frozen=True)
class Source:
    """A file of weights. sha256: of its bytes. weights: by our names, in our orientation, zero biases still there.

    description: what `groklab export` wrote of the experiment, with the weights as they are in the file; config: what
    another program says of its model, in the file or beside it. Each is empty where there is none.
    """

    path: Path
    sha256: str
    weights: dict[str, np.ndarray]
    record: TrainingRecord
    description: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def read_source(path: Path, n_heads: int | None = None) -> Source:
    """Read .pth, .pt, .safetensors or .npz, or a folder with one such file, as an export is.

    n_heads: of weights that do not show it (those of a TransformerBridge), where no config.json beside them does.
    Raises:
        InputError: for another kind of file or model.
        DamagedError: for a truncated file.
    """
    if path.is_dir():
        inside = [file for file in path.iterdir() if file.suffix in _SUFFIXES]
        path = inside[0] if len(inside) == 1 else path / WEIGHTS
    if not path.is_file():
        raise InputError(
            f"{path} cannot be read: it is not a regular file" if path.exists() else f"{path}: no such file"
        )
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} cannot be imported: it needs to end in one of {', '.join(_SUFFIXES)}")
    notes: list[str] = []
    content: dict[str, Any] = {}
    description: Any = {}
    try:
        raw = storage.read_bytes(path, "weights")
        if path.suffix == ".safetensors":
            weights, metadata = storage.read_safetensors(raw)
            description = json.loads(metadata.get(DESCRIPTION, "{}"))
        elif path.suffix == ".npz":
            weights = read_npz(raw)
        else:
            content, weights = _from_torch(path, raw, notes)
        # last, since gigabytes of another kind are refused by their first bytes
        sha256 = hashlib.sha256(raw).hexdigest()
    except DamagedError:
        raise
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except Exception as error:  # damaged archives raise many kinds
        raise DamagedError(f"{path} cannot be read: {shorten(str(error) or type(error).__name__)}") from None
    if isinstance(description, dict) and description:
        earlier = description.get("notes")
        record = TrainingRecord({}, warnings=tuple(map(str, earlier)) if isinstance(earlier, list) else ())
        return Source(path, sha256, weights, record, description)
    config = _plain(content.get("config")) or _config_beside(path, notes)
    n_heads = n_heads or config.get("n_heads")
    record = training_record(content, settings_of(config, notes))
    weights = _as_floats(_in_our_layout(_recognised(weights, path, notes), n_heads, path))
    return Source(path, sha256, weights, replace(record, warnings=(*notes, *record.warnings)), {}, config)


def _from_torch(path: Path, raw: bytes, notes: list[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what a PyTorch file holds by name, and the state dict in it."""
    content, foreign = read_torch(path, raw)
    if not isinstance(content, dict):
        kind = content.name if isinstance(content, Foreign) else type(content).__name__
        raise InputError(f"{path} holds a {shorten(kind)}, not weights by name; save the model's state_dict()")
    weights = next((content[k] for k in _NAMES_OF_WEIGHTS if isinstance(content.get(k), dict)), content)
    arrays = {k: v for k, v in weights.items() if isinstance(k, str) and isinstance(v, np.ndarray)}
    if not arrays or (weights is content and len(arrays) < len(weights)):
        inside = ", ".join(map(repr, list(content)[:6])) or "nothing"
        raise InputError(f"{path} holds no model's weights by name; it holds {shorten(inside)}")
    if foreign:
        names = shorten(", ".join(foreign), 300)
        notes.append(f"objects of other programs in the file are passed over, and never made or run: {names}")
    return content, arrays


def _plain(config: Any) -> dict[str, Any]:
    """Return a configuration in a file, which may be a dict or an object with attributes."""
    fields = config.state if isinstance(config, Foreign) else config
    if not isinstance(fields, dict):
        return {}
    strange = np.ndarray | Foreign | Name
    return {k: str(v) if isinstance(v, strange) else v for k, v in fields.items() if isinstance(k, str)}


def _recognised(weights: Mapping[str, np.ndarray], path: Path, notes: list[str]) -> dict[str, np.ndarray]:
    """Return the weights of a network here, without the names of modules around it, and without buffers and copies.

    Raises InputError for arrays that are neither, since they may be a part of another function, and for two weights of
    one name that differ.
    """
    kept: dict[str, tuple[str, np.ndarray]] = {}
    others = {}
    for name, array in weights.items():
        match = _WEIGHT.search(full_name(name))
        if match is None:
            others[name] = array
        elif match[1] not in kept:
            kept[match[1]] = name, array
        elif not _equal(array, kept[match[1]][1]):
            allowed = f"of {path} differ, and which of them the model uses is not known"
            raise InputError(f"the weights {kept[match[1]][0]} and {shorten(name)} {allowed}")
        else:
            notes.append(f"{shorten(name)} is a copy of {kept[match[1]][0]}, and is left out")
    if not kept:
        names = shorten(", ".join(sorted(weights)) or "nothing")
        raise InputError(f"{path} holds a model that no task here has: its weights are named {names}")
    for name, array in others.items():
        original = next((n for n, a in kept.values() if _equal(array, a)), None)
        is_integer = array.dtype.kind in "biu" and "rotary" not in name
        is_buffer = is_integer or name.rsplit(".", 1)[-1] in transformer_lens.BUFFERS
        if original is None and not is_buffer:
            allowed = "is neither a weight of a network here nor a copy of one"
            raise InputError(
                f"{shorten(name)} {array.shape} of {path} {allowed}: it may change what the model computes"
            )
        if original is not None:
            notes.append(f"{shorten(name)} is a copy of {original}, and is left out")
    return {name: array for name, (_, array) in kept.items()}


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


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
    return dict(weights)


def _as_floats(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return own copies in one dtype, float32 or float64; only floating-point numbers can be weights."""
    for name, array in weights.items():
        if array.dtype.kind != "f":
            raise InputError(shorten(name), str(array.dtype), "needs to hold floating-point numbers")
    wide = any(v.dtype.itemsize > 4 for v in weights.values())
    made = {k: np.array(v, np.float64 if wide else np.float32, order="C", ndmin=0) for k, v in weights.items()}
    for name, array in made.items():
        if not np.isfinite(array).all():
            raise InputError(f"the weight {shorten(name)} holds numbers that are not finite")
    return made


def _config_beside(path: Path, notes: list[str]) -> dict[str, Any]:
    """Return the configuration in config.json, cfg.json, or config_NAME.json beside a file model_NAME.pt."""
    for name in (path.stem.replace("model", "config") + ".json", CONFIG, "cfg.json"):
        file = path.parent / name
        config = read_json(file, dict[str, Any]) if file.is_file() else {}
        if any(mark in config for mark in MARKS):
            notes.append(f"{name} beside the file is taken for its configuration")
            return config
    return {}
