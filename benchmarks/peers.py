"""The training steps that groklab is measured against, written for this benchmark.

Each factory returns a function `steps(n)` that makes n training steps of the one-layer transformer of Nanda et al.
(2023): the textbook forward over all three positions, cross-entropy in float64, automatic differentiation, AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Steps = Callable[[int], None]


def textbook_jax(train: tuple[np.ndarray, np.ndarray], p: int) -> Steps:
    """The textbook step in JAX, as one compiled program a step."""
    d, heads, d_head, d_mlp, vocab = 128, 4, 32, 512, p + 1
    keys = iter(jax.random.split(jax.random.key(0), 16))

    def normal(*shape: int) -> jax.Array:
        return jax.random.normal(next(keys), shape, jnp.float32) / np.float32(math.sqrt(d))

    weights = {
        "W_E": normal(vocab, d), "W_pos": normal(3, d), "W_Q": normal(heads, d, d_head),
        "W_K": normal(heads, d, d_head), "W_V": normal(heads, d, d_head),
        "W_O": normal(heads, d_head, d), "W_in": normal(d, d_mlp),
        "b_in": jnp.zeros(d_mlp, jnp.float32), "W_out": normal(d_mlp, d), "b_out": jnp.zeros(d, jnp.float32),
        "W_U": normal(d, vocab),
    }  # fmt: skip
    tokens, targets = jnp.asarray(train[0]), jnp.asarray(train[1])
    mask = jnp.tril(jnp.ones((3, 3), bool))

    def loss(w: dict[str, jax.Array]) -> jax.Array:
        x = w["W_E"][tokens] + w["W_pos"]
        q, k, v = (jnp.einsum("npd,hde->nhpe", x, w[f"W_{s}"]) for s in "QKV")
        scores = jnp.einsum("nhqe,nhke->nhqk", q, k) / np.float32(math.sqrt(d_head))
        pattern = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        z = jnp.einsum("nhqk,nhke->nhqe", pattern, v)
        x = x + jnp.einsum("nhqe,hed->nqd", z, w["W_O"])
        x = x + jax.nn.relu(x @ w["W_in"] + w["b_in"]) @ w["W_out"] + w["b_out"]
        logits = (x @ w["W_U"])[:, -1].astype(jnp.float64)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()

    optimiser = optax.adamw(1e-3, b1=0.9, b2=0.98, weight_decay=1.0)
    state = [weights, optimiser.init(weights)]

    @jax.jit
    def step(w: dict[str, jax.Array], o: optax.OptState) -> tuple[dict[str, jax.Array], optax.OptState]:
        updates, o = optimiser.update(jax.grad(loss)(w), o, w)
        return optax.apply_updates(w, updates), o

    def steps(n: int) -> None:
        for _ in range(n):
            state[:] = step(*state)
        jax.block_until_ready(state[0])

    return steps


def textbook_torch(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray] | None,
    p: int,
    device: str = "cpu",
) -> Steps:
    """The textbook step in eager PyTorch; with `test`, its loss too after each step, as every peer does."""
    import torch

    loss, optimiser, tensors = _torch_model(train, test, p, device)

    def steps(n: int) -> None:
        for _ in range(n):
            value = loss(tensors[0])
            value.backward()
            optimiser.step()
            optimiser.zero_grad()
            if len(tensors) > 1:
                with torch.inference_mode():
                    loss(tensors[1]).item()
        if device != "cpu":
            torch.cuda.synchronize()

    return steps


def torch_graph(train: tuple[np.ndarray, np.ndarray], p: int) -> Steps:
    """The same step, recorded once as a CUDA graph and replayed."""
    import torch

    loss, optimiser, tensors = _torch_model(train, None, p, "cuda", capturable=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss(tensors[0]).backward()
        optimiser.step()

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def steps(n: int) -> None:
        for _ in range(n):
            graph.replay()
        torch.cuda.synchronize()

    return steps


def _torch_model(train: Any, test: Any, p: int, device: str, **options: Any) -> tuple[Any, Any, list[Any]]:
    """Return the loss of rows, the optimiser, and the rows."""
    import torch

    d, heads, d_head, d_mlp, vocab = 128, 4, 32, 512, p + 1
    torch.manual_seed(0)

    def normal(*shape: int) -> torch.nn.Parameter:
        return torch.nn.Parameter((torch.randn(*shape) / math.sqrt(d)).to(device))

    w = {
        "E": normal(vocab, d), "pos": normal(3, d), "Q": normal(heads, d, d_head), "K": normal(heads, d, d_head),
        "V": normal(heads, d, d_head), "O": normal(heads, d_head, d), "in": normal(d, d_mlp),
        "b_in": torch.nn.Parameter(torch.zeros(d_mlp, device=device)), "out": normal(d_mlp, d),
        "b_out": torch.nn.Parameter(torch.zeros(d, device=device)), "U": normal(d, vocab),
    }  # fmt: skip
    mask = torch.tril(torch.ones(3, 3, dtype=torch.bool, device=device))

    def loss(data: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        tokens, targets = data
        x = w["E"][tokens] + w["pos"]
        q, k, v = (torch.einsum("npd,hde->nhpe", x, w[s]) for s in "QKV")
        scores = torch.einsum("nhqe,nhke->nhqk", q, k) / math.sqrt(d_head)
        pattern = torch.softmax(scores.masked_fill(~mask, -torch.inf), -1)
        z = torch.einsum("nhqk,nhke->nhqe", pattern, v)
        x = x + torch.einsum("nhqe,hed->nqd", z, w["O"])
        x = x + torch.relu(x @ w["in"] + w["b_in"]) @ w["out"] + w["b_out"]
        return torch.nn.functional.cross_entropy((x @ w["U"])[:, -1].to(torch.float64), targets)

    optimiser = torch.optim.AdamW(w.values(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0, **options)
    sets = [s for s in (train, test) if s is not None]
    return loss, optimiser, [tuple(torch.from_numpy(a.astype(np.int64)).to(device) for a in s) for s in sets]


def transformer_lens(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], p: int) -> Steps:
    """TransformerLens 4 from scratch, in the training loop of its own grokking demonstration."""
    import torch
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    config = TransformerBridgeConfig(
        n_layers=1, n_heads=4, d_model=128, d_head=32, d_mlp=512, act_fn="relu", normalization_type=None,
        d_vocab=p + 1, d_vocab_out=p, n_ctx=3, init_weights=True, seed=999, attention_dir="causal",
    )  # fmt: skip
    model = TransformerBridge.boot_native(config)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            parameter.requires_grad_(False)
    trained = [q for q in model.parameters() if q.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    data = [tuple(torch.from_numpy(a.astype(np.int64)) for a in s) for s in (train, test)]

    def loss(s: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        log_p = model(s[0])[:, -1].to(torch.float64).log_softmax(-1)
        return -log_p.gather(-1, s[1][:, None]).mean()

    def steps(n: int) -> None:
        for _ in range(n):
            value = loss(data[0])
            value.backward()
            optimiser.step()
            optimiser.zero_grad()
            with torch.inference_mode():
                loss(data[1])

    return steps
