"""What configurations that others save with their weights say of the model, its task and its training.

A field that makes another function of the weights is honoured where a network here has it, and refused by name and
value otherwise. The fields are those of TransformerLens (`HookedTransformerConfig`), of Nanda et al. 2023, of Zhong et
al. 2023 (arXiv 2306.17844) and of Chughtai et al. 2023 (arXiv 2302.03025).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError, shorten, unknown
from groklab.networks import LAYER_NORM_EPSILON
from groklab.tasks import parse

#: Fields of which each configuration has one or more, by which it is known.
MARKS = ("act_fn", "attn_coeff", "fn_name", "act_type", "group_parameter")
#: What others call our activations. PyTorch's and TransformerLens's gelu is exact, ours an approximation by tanh.
_ACTIVATIONS = {"relu": "relu", "gelu": "gelu_exact", "gelu_new": "gelu", "gelu_fast": "gelu", "tanh": "tanh"}
_ACTIVATIONS |= {"gelu_pytorch_tanh": "gelu"}
_NORMS = {None: "none", "LN": "pre", "LNPre": "pre"}
_MASKS = {"causal": "causal", "bidirectional": "none"}
#: Fields that make another function, and the values that do not; the first is the usual one.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "use_attn_scale": (True,),
    "use_local_attn": (False,),
    "positional_embedding_type": ("standard",),
    "final_rms": (False,),
    "parallel_attn_mlp": (False,),
    "gated_mlp": (False,),
    "num_experts": (None, 0),
    "attn_scores_soft_cap": (-1, None, 0),
    "output_logits_soft_cap": (-1, None, 0),
    "use_normalization_before_and_after": (False,),
    "post_embedding_ln": (False,),
    "use_qk_norm": (False, None),
    "use_ln": (False, None),
    "diff_vocab": (False, None),
    "use_linear": (False, None),
    "model": ("Transformer", None),
}
#: Sizes that weights show as well, by the names that others give them.
_SIZES = {k: k for k in ("n_layers", "n_heads", "d_model", "d_head", "d_mlp", "d_vocab", "d_vocab_out", "n_ctx")}
_SIZES |= {"num_layers": "n_layers", "num_heads": "n_heads", "n_key_value_heads": "n_heads"}
#: Names of a task and a training that ours stand for.
_TRAINING = {"p": "task.p", "C": "task.p", "group_parameter": "task.p", "fn_name": "task.expression"}
_TRAINING |= {"frac_train": "split.frac_train", "frac": "split.frac_train", "seed": "seed"}
_TRAINING |= {"lr": "optimiser.learning_rate", "weight_decay": "optimiser.weight_decay"}
_OPERATIONS = {"add": "x + y", "subtract": "x - y", "x2xyy2": "x^2 + x*y + y^2"}
#: Fields with a rule of their own, and fields that change nothing of what the weights compute.
_READ = {
    *_NEUTRAL,
    *_SIZES,
    *_TRAINING,
    *MARKS,
    "attention_dir",
    "attn_only",
    "attn_scale",
    "attn_types",
    "betas",
    "eps",
}
_READ |= {"eqn_sign", "funcs", "group", "layers", "normalization_type", "num_epochs", "scale_attn_by_inverse_layer_idx"}
_NO_MATTER = re.compile(
    "batch_s|checkpoint|default_prepend|device|dtype|early_stop|epoch|from_checkpoint|func$|init|load_|model_name|"
    "n_devices|n_params|name$|original_arch|relative_|rotary|runid|save_|stopping|take_metrics|tokenizer|trust_|use_.*(hook|"
    "result|_in|input)|window_size"
)
#: Steps of the warm-up of Nanda et al. and Zhong et al., which neither records.
WARMUP = 10.0


def settings_of(config: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Return what a configuration says, as settings of an experiment by dotted name; empty for an unknown one.

    Adds to `notes` the fields that are passed over. Raises InputError for a field that no network or task here has.
    """
    settings: dict[str, Any] = {}
    for theirs, ours in _TRAINING.items():
        if config.get(theirs) is not None:
            settings[ours] = config[theirs]
    if not any(mark in config for mark in MARKS):
        return settings
    for field, neutral in _NEUTRAL.items():
        value = config.get(field, neutral[0])
        if not isinstance(value, str | int | float | None) or value not in neutral:
            raise InputError(f"config.{field}", value, f"is not of a network here; {neutral[0]!r} can be imported")
    settings |= _of_network(config) | _of_task(config)
    passed = [f for f, value in config.items() if f not in _READ and not _NO_MATTER.match(f) and not _is_nothing(value)]
    if passed:
        notes.append(f"fields of its configuration that are passed over: {shorten(', '.join(sorted(passed)), 300)}")
    return settings


def check_sizes(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> None:
    """Raise InputError where a configuration contradicts the sizes of a transformer's weights (in our layout)."""
    heads, d_model, d_head = weights["blocks.0.attn.W_Q"].shape
    has_mlp = "blocks.0.mlp.W_in" in weights
    sizes = {
        "n_layers": sum(name.endswith("attn.W_Q") for name in weights),
        "n_heads": heads,
        "d_model": d_model,
        "d_head": d_head,
        "d_mlp": weights["blocks.0.mlp.W_in"].shape[1] if has_mlp else 0,
        "d_vocab": len(weights["embed.W_E"]),
        "d_vocab_out": weights["unembed.W_U"].shape[1],
        "n_ctx": len(weights.get("pos_embed.W_pos", ())),
    }
    attention_only = config.get("attn_only") is True
    if attention_only and has_mlp:
        raise InputError("config.attn_only", True, "contradicts the weights, which have an MLP")
    for field, ours in _SIZES.items():
        value = config.get(field)
        skipped = (ours == "d_mlp" and attention_only) or (ours == "n_ctx" and sizes[ours] == 0)
        # -1 is TransformerLens's word for 'not set'
        if type(value) is int and value > 0 and not skipped and value != sizes[ours]:
            raise InputError(f"config.{field}", value, f"contradicts the weights, which have {sizes[ours]}")
    scale = config.get("attn_scale")
    if isinstance(scale, float) and scale > 0 and not math.isclose(scale, d_head**0.5, rel_tol=1e-6):
        raise InputError("config.attn_scale", scale, f"is not of a network here; sqrt(d_head) = {d_head**0.5:g} is")
    if config.get("scale_attn_by_inverse_layer_idx") and sizes["n_layers"] > 1:
        raise InputError("config.scale_attn_by_inverse_layer_idx", True, "is not of a network here")


def _of_network(config: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {"network.attention_rate": 1.0, "network.mask": "causal"}
    field = next((name for name in ("act_fn", "act_type") if name in config), None)
    if "group_parameter" in config:
        settings["network.activation"] = "relu"
    elif field is not None and config[field] is not None and not config.get("attn_only"):
        name = str(config[field])
        if name.lower() not in _ACTIVATIONS:
            raise unknown(f"config.{field}", name, _ACTIVATIONS)
        settings["network.activation"] = _ACTIVATIONS[name.lower()]
    if "attn_coeff" in config:
        # their code has no mask, whatever attention_dir says
        settings |= {"network.attention_rate": config["attn_coeff"], "network.mask": "none"}
    elif "attention_dir" in config:
        direction = str(config["attention_dir"])
        if direction not in _MASKS:
            raise unknown("config.attention_dir", direction, _MASKS)
        settings["network.mask"] = _MASKS[direction]
    if "normalization_type" in config:
        norm = config["normalization_type"]
        if not isinstance(norm, str | None) or norm not in _NORMS:
            raise InputError("config.normalization_type", norm, "is not of a network here; None, LN and LNPre are")
        settings["network.layer_norm"] = _NORMS[norm]
        eps = config.get("eps", LAYER_NORM_EPSILON)
        if norm is not None and eps != LAYER_NORM_EPSILON:
            raise InputError("config.eps", eps, f"is not of a network here; {LAYER_NORM_EPSILON:g} is")
    return settings


def _of_task(config: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    betas = config.get("betas")
    if isinstance(betas, tuple | list) and len(betas) == 2:
        settings |= {"optimiser.b1": betas[0], "optimiser.b2": betas[1]}
    operation, seed = config.get("fn_name"), config.get("seed")
    if operation == "rand":
        raise InputError("config.fn_name", operation, "is a table drawn again at every look-up, which no task here has")
    if isinstance(operation, str):
        settings["task.expression"] = _OPERATIONS.get(operation, operation)
    if "fn_name" in config and seed is not None:
        settings |= {"split.seed": seed, "split.method": "python_shuffle"}
    if "group_parameter" in config:
        if config.get("group") != "CyclicGroup":
            raise InputError(
                "config.group",
                config.get("group"),
                "has its elements in another order here; CyclicGroup can be imported",
            )
        # their seed 0 means that the pairs are not shuffled
        method = "torch_randperm" if seed else "in_order"
        settings |= {"task.expression": "x + y", "split.seed": seed or 0, "split.method": method}
        settings["budget.steps"] = config.get("num_epochs")
    if "attn_coeff" in config:
        settings |= {"split.method": "unknown", "optimiser.b2": 0.98, "optimiser.warmup_steps": WARMUP}
        settings["budget.steps"] = config.get("epoch")
        expression = _expression(config.get("funcs"), config.get("C"))
        if expression is not None:
            settings["task.expression"] = expression
    return {k: v for k, v in settings.items() if v is not None}


def _expression(function: Any, p: Any) -> str | None:
    """Return our formula of a Python function such as `lambda x: (x[0]+x[1])%59`, which is read and never run."""
    match = re.fullmatch(r"lambda x:\s*\((.+)\)\s*%\s*(\d+)", str(function).strip())
    if match is None or match[2] != str(p):
        return None
    text = re.sub(r"x\[([0-2])\]", lambda m: "xyz"[int(m[1])], match[1]).replace("**", "^")
    try:
        return str(parse(text))
    except InputError:
        return None


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float | str | list | tuple | dict) and not value)
