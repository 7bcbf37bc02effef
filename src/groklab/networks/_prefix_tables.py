"""The transformer's forward pass at the last position, computing each distinct thing once.

Under a causal mask, what happens at a position depends on the tokens up to it. So a *stream* (the residual stream at
one position) holds one row if those tokens never change, one row a token if one of them does, and one row an input
only otherwise. Keys and values of the first layer are tables over (token, position), a constant last token has one
query a head, and only the last position feeds the last layer.

A sum of few table rows weighted by attention stays one through linear maps. Where no normalisation stands in between
(`_folded_logits`), the tables are multiplied by W_O W_in and by W_O W_U, once for each token, and neither the residual
stream nor the attention's output is ever formed for an input: what is left for each input is a sum of table rows, the
activation, and one product with W_out W_U.

For a graphics card, whose products are nearly free, nothing is folded: rows are gathered once, attention is a weighted
sum of values, and dense products follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from groklab.lazy import Array, jnp
from groklab.networks._lookup import Indices, Lookup, lookup, prepare_lookup, product, weighted_lookup
from groklab.tasks import TaskShape

#: What the rows of an array are indexed by: nothing (one row), the token at a position, or the input.
Source = int | Literal["inputs"] | None
#: The look-ups of the positions that are not constant.
Batch = Mapping[int, Lookup | Indices]
Weights = Mapping[str, Array]


class Stream(NamedTuple):
    """Values (rows, ...) and what their rows are indexed by."""

    values: Array
    source: Source


class Projected(NamedTuple):
    """Queries, keys and values of one position, each (rows, n_heads, d_head)."""

    q: Array
    k: Array
    v: Array
    source: Source


@dataclass(frozen=True)
class Architecture:
    """What the forward pass needs to know besides the weights; normalise maps (name, values) to values."""

    n_layers: int
    activation: Callable[[Array], Array]
    layer_norm: Literal["none", "pre", "post"]
    has_mlp: bool
    normalise: Callable[[str, Array], Array]


class Pass(NamedTuple):
    """One forward pass: the architecture, its weights, the look-ups of the inputs, and the rate of attention."""

    net: Architecture
    weights: Weights
    batch: Batch
    rate: Array


def prepare(tokens: Array, shape: TaskShape) -> Batch:
    """Return the look-ups of tokens (n, n_ctx), once for each set of inputs."""
    return {i: prepare_lookup(tokens[:, i], shape.d_vocab) for i, c in enumerate(shape.constants) if c is None}


def join(*sources: Source) -> Source:
    """Return what a function of streams with these sources is indexed by."""
    varying = {source for source in sources if source is not None}
    return "inputs" if len(varying) > 1 else next(iter(varying), None)


def lift(values: Array, source: Source, target: Source, batch: Batch) -> Array:
    """Return rows at a wider source; a single row is left to broadcasting."""
    if source is None or source == target:
        return values
    assert isinstance(source, int)
    return lookup(values, batch[source])


def last_logits(net: Architecture, weights: Weights, batch: Batch, rate: Array, shape: TaskShape) -> Array:
    """Return logits (n, n_classes) at the last position."""
    streams, run = _embeddings(weights, shape), Pass(net, weights, batch, rate)
    for layer in range(net.n_layers):
        projected = [_project(net, weights, layer, s) for s in streams]
        if layer < net.n_layers - 1:
            streams = [_layer(run, layer, stream, projected[: i + 1]) for i, stream in enumerate(streams)]
        elif net.has_mlp and net.layer_norm == "none" and _is_mixture(projected, batch):
            return _folded_logits(run, layer, streams[-1], projected)
        else:
            streams = [_layer(run, layer, streams[-1], projected)]
    x = streams[-1].values
    if net.layer_norm == "pre":
        x = net.normalise("ln_final", x)
    logits = _plus(product(x, weights["unembed.W_U"]), weights, "unembed.b_U")
    return lift(logits, streams[-1].source, "inputs", batch)


def _plus(values: Array, weights: Weights, bias: str) -> Array:
    return values + weights[bias] if bias in weights else values


def _embeddings(weights: Weights, shape: TaskShape) -> list[Stream]:
    streams = []
    for i, constant in enumerate(shape.constants):
        w_e = weights["embed.W_E"]
        values = w_e if constant is None else w_e[constant : constant + 1]
        if "pos_embed.W_pos" in weights:
            values = values + weights["pos_embed.W_pos"][i]
        streams.append(Stream(values, i if constant is None else None))
    return streams


def _project(net: Architecture, weights: Weights, layer: int, stream: Stream) -> Projected:
    name = f"blocks.{layer}."
    x = net.normalise(name + "ln1", stream.values) if net.layer_norm == "pre" else stream.values

    def project(letter: str) -> Array:
        w = weights[f"{name}attn.W_{letter}"]
        n_heads, d_model, d_head = w.shape
        flat = x @ w.transpose(1, 0, 2).reshape(d_model, n_heads * d_head)
        return _plus(flat.reshape(-1, n_heads, d_head), weights, f"{name}attn.b_{letter}")

    return Projected(project("Q"), project("K"), project("V"), stream.source)


def _attention(projected: Sequence[Projected], batch: Batch, rate: Array) -> tuple[list[Array], Source]:
    """Return the last position's attention to each position, (rows, n_heads) each, and what the rows are indexed by."""
    query = projected[-1]
    target = join(*(p.source for p in projected))
    scores = []
    for p in projected:
        source = join(query.source, p.source)
        q, k = lift(query.q, query.source, source, batch), lift(p.k, p.source, source, batch)
        scores.append(lift((q * k).sum(axis=-1) * q.shape[-1] ** -0.5, source, target, batch))
    largest = scores[0]
    for score in scores[1:]:
        largest = jnp.maximum(largest, score)
    exponentials = [jnp.exp(score - largest) for score in scores]
    total = sum(exponentials[1:], exponentials[0])
    return [rate * (e / total) + (1 - rate) for e in exponentials], target


def _is_mixture(projected: Sequence[Projected], batch: Batch) -> bool:
    """Return whether the attention's output is, input by input, a sum of table rows, and is computed as such."""
    if any(isinstance(prepared, Indices) for prepared in batch.values()):
        return False
    sources = [p.source for p in projected]
    return "inputs" not in sources and join(*sources) == "inputs"


def _mixture(
    run: Pass,
    layer: int,
    stream: Stream,
    projected: Sequence[Projected],
    pattern: Sequence[Array],
    through: Array | None = None,
    offset: Array | None = None,
) -> Array:
    """Return the residual stream after attention, optionally times `through` (d_model, width) plus `offset`."""
    _, weights, batch, rate = run
    attn = f"blocks.{layer}.attn."

    def map_on(x: Array) -> Array:
        return x if through is None else x @ through

    w_o = weights[attn + "W_O"]
    n_heads, d_head, d_model = w_o.shape
    mapped = map_on(w_o.reshape(n_heads * d_head, d_model)).reshape(n_heads, d_head, -1)
    constant = jnp.zeros((1, mapped.shape[2]), mapped.dtype) if offset is None else offset.reshape(1, -1)
    if attn + "b_O" in weights:
        constant = constant + map_on(weights[attn + "b_O"][None])
    values = [p.v for p in projected]
    reference = next((i for i, p in enumerate(projected) if p.source is None), None)
    if reference is not None:
        # The pattern's sum is known: a constant position's share needs no coefficients of its own.
        origin = values[reference]
        total = rate + (1 - rate) * len(projected)
        constant = constant + total * (origin.reshape(1, -1) @ mapped.reshape(n_heads * d_head, -1))
        values = [v - origin for v in values]
    outputs = [[v[:, h] @ mapped[h] for h in range(n_heads)] for v in values]
    coefficients: list[Array | None] = []
    tables: list[tuple[Array, ...]] = []
    lookups: list[Lookup | Indices] = []
    varying: Array | None = None
    for i, p in enumerate(projected):
        if isinstance(p.source, int):
            coefficients.append(pattern[i])
            tables.append(tuple(outputs[i]))
            lookups.append(batch[p.source])
        elif i != reference:
            share = pattern[i] @ jnp.concatenate(outputs[i])
            varying = share if varying is None else varying + share
    if isinstance(stream.source, int):
        coefficients.append(None)
        tables.append((map_on(stream.values),))
        lookups.append(batch[stream.source])
    else:
        constant = constant + map_on(stream.values)
    result = weighted_lookup(tuple(coefficients), tuple(tables), tuple(lookups), constant)
    return result if varying is None else result + varying


def _folded_logits(run: Pass, layer: int, stream: Stream, projected: Sequence[Projected]) -> Array:
    """Return logits of a last layer without norms: mixtures through W_in and W_U, and W_out W_U in place of W_out."""
    net, weights, batch, rate = run
    mlp = f"blocks.{layer}.mlp."
    w_out, w_u = weights[mlp + "W_out"], weights["unembed.W_U"]
    pattern, _ = _attention(projected, batch, rate)
    parts = run, layer, stream, projected, pattern
    post = net.activation(_mixture(*parts, through=weights[mlp + "W_in"], offset=weights.get(mlp + "b_in")))
    offset = weights["unembed.b_U"] if "unembed.b_U" in weights else jnp.zeros(w_u.shape[1], w_u.dtype)
    if mlp + "b_out" in weights:
        offset = offset + weights[mlp + "b_out"] @ w_u
    return product(post, w_out @ w_u) + _mixture(*parts, through=w_u, offset=offset)


def _layer(run: Pass, layer: int, stream: Stream, projected: Sequence[Projected]) -> Stream:
    """Return the stream of the last of these positions after a layer."""
    net, weights, batch, rate = run
    name = f"blocks.{layer}."
    pattern, target = _attention(projected, batch, rate)
    if _is_mixture(projected, batch):
        x = _mixture(run, layer, stream, projected, pattern)
    else:
        shares = [a[..., None] * lift(p.v, p.source, target, batch) for a, p in zip(pattern, projected, strict=True)]
        z = sum(shares[1:], shares[0])
        w_o = weights[name + "attn.W_O"]
        out = product(z.reshape(-1, w_o.shape[0] * w_o.shape[1]), w_o.reshape(-1, w_o.shape[2]))
        x = lift(stream.values, stream.source, target, batch) + _plus(out, weights, name + "attn.b_O")
    if net.layer_norm == "post":
        x = net.normalise(name + "ln1", x)
    if net.has_mlp:
        y = net.normalise(name + "ln2", x) if net.layer_norm == "pre" else x
        post = net.activation(_plus(product(y, weights[name + "mlp.W_in"]), weights, name + "mlp.b_in"))
        x = x + _plus(product(post, weights[name + "mlp.W_out"]), weights, name + "mlp.b_out")
        if net.layer_norm == "post":
            x = net.normalise(name + "ln2", x)
    return Stream(x, target)
