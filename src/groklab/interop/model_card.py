"""The README beside exported weights: what they are, and the lines that load them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LOAD = {
    "transformer-lens": (
        "TransformerLens 2 and 3",
        """import json

import torch
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

config = json.load(open("config.json"))
model = HookedTransformer(HookedTransformerConfig(**config, device="cpu", dtype=torch.{dtype}))
model.load_state_dict(load_file("model.safetensors"), strict=False)  # it makes its causal mask itself
model.eval()
logits = model(torch.tensor({tokens}))[:, -1]  # of the answers
""",
    ),
    "transformer-lens-bridge": (
        "TransformerLens 4",
        """import json

import torch
from safetensors.torch import load_file
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

config = json.load(open("config.json"))
model = TransformerBridge.boot_native(TransformerBridgeConfig(**config, dtype=torch.{dtype}))
model.load_state_dict(load_file("model.safetensors"))
model.eval()
logits = model(torch.tensor({tokens}))[:, -1]  # of the answers
""",
    ),
    "safetensors": (
        "groklab",
        """import groklab as gl
import numpy as np
from safetensors.numpy import load_file

weights = load_file("model.safetensors")
seen = gl.activations(weights, np.array({tokens}))
logits = seen["logits"][:, -1]  # of the answers
""",
    ),
    "machine": (
        "Python",
        """from safetensors.numpy import load_file

M = load_file("model.safetensors")["M"]  # the feature matrix: with the training set it is the whole machine
""",
    ),
}


def card(
    to: str, name: str, facts: Mapping[str, Any], reached: Mapping[str, Any], dtype: str, tokens: list[list[int]]
) -> str:
    """Markdown with front matter as model hubs read it.

    facts: lines of what the model is, by label. reached: numbers by name, None where unknown. tokens: of some inputs.
    """
    library = "groklab" if to in ("safetensors", "machine") else "transformer-lens"
    front: dict[str, Any] = {"library_name": library, "tags": ["grokking", "mechanistic-interpretability", "groklab"]}
    known = {k: v for k, v in reached.items() if v is not None}
    if known:
        metrics = [{"type": k.split("_")[1], "name": k.replace("_", " "), "value": v} for k, v in known.items()]
        task = {"type": "other", "name": str(facts.get("task", "unknown"))}
        front["model-index"] = [{"name": name, "results": [{"task": task, "metrics": metrics}]}]
    # JSON is YAML, and needs no quoting of its own
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---", "", f"# {name}", ""]
    lines += [f"- {label}: {value}" for label, value in facts.items()]
    lines += [f"- {key.replace('_', ' ')}: {value:.6g}" for key, value in known.items()]
    where, code = _LOAD[to]
    lines += ["", f"## Load it in {where}", "", "In this folder:", "", "```python"]
    lines += [code.replace("{dtype}", dtype).replace("{tokens}", str(tokens)).rstrip(), "```", ""]
    if to != "machine":
        lines += ["## Load it in groklab", "", "```bash", "groklab import .", "```", ""]
    return "\n".join(lines)
