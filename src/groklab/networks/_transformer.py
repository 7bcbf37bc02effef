"""A small transformer whose weights carry TransformerLens' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Lt

from groklab import components
from groklab.errors import InputError
from groklab.lazy import Array, jnp
from groklab.networks import _prefix_tables as prefix_tables
from groklab.networks._common import (
    ACTIVATIONS,
    LAYER_NORM_EPSILON,
    Hook,
    Network,
    check_at_least,
    check_init_std,
    draw,
    dropping,
    embedding_shapes,
    layer_norm,
    unhooked,
    with_embedding,
)
from groklab.registry import register
from groklab.tasks import TaskShape


@register("network", "transformer")
class Transformer(Network):
    """A decoder-only transformer, read at the last position, or at several if the task asks for it.

    Biases start at zero, gains at one.

    Attributes:
        d_head: None is d_model // n_heads.
        d_mlp: None is 4 * d_model, 0 leaves the MLPs out.
        activation: 'gelu' is the approximation by tanh (TransformerLens's gelu_new), 'gelu_exact' that of PyTorch.
        positional_embedding: added to the tokens' ('learned') or absent.
        layer_norm: 'pre' (before attention, MLP and unembedding) or 'post' (after each sum).
        biases: 'mlp' means b_in and b_out only.
        mask: 'causal' lets a position attend to itself and to those before it, 'none' to all positions. In one layer
            that is read at the last position both are the same.
        attention_rate: r, where the pattern is r * softmax + (1 - r) * 1, with ones wherever attention is allowed
            (Zhong et al. 2023, arXiv 2306.17844, section 4): 1 is an ordinary transformer, 0 sums the values.
        init_scheme: standard deviations of the initial weights, with D = d_model: 'nanda2023' 1/sqrt(D), W_U
            1/sqrt(d_vocab) (arXiv 2301.05217, the authors' code); 'furuta2024' 1/sqrt(D), W_E 1/sqrt(d_vocab)
            (arXiv 2402.16726, the authors' code); 'transformer_lens' 0.8/sqrt(D); 'fan_in' 1/sqrt(number of inputs
            summed), and 1/sqrt(D) for the embeddings.
        init_std: standard deviations of single matrices, by their name or its last part.
        init_scale, output_scale: factors on all initial matrices, and on the logits.
        dropout: the probability with which, in training, each entry of an attention's or MLP's output is dropped;
            None leaves dropout out (and is faster than 0).
        embedding_rank: r factorises the embedding, W_E = A B with the weights 'embed.A' (d_vocab, r) and 'embed.B'
            (r, d_model), both trained (GrokTransfer, Xu et al. 2025, arXiv 2504.13292): A is drawn as W_E would be, B
            with deviation 1/sqrt(r), so that their product has W_E's deviation. None leaves one matrix.
        doubled_residual: each block's input is added once more to its output, x <- 2x + attention, as in the released
            induction models of Nanda et al. 2023.
    """

    reads_positions: ClassVar[bool] = True

    n_layers: int = 1
    n_heads: int = 4
    d_model: int = 128
    d_head: int | None = None
    d_mlp: int | None = None
    activation: Literal["relu", "gelu", "gelu_exact", "quadratic", "abs", "tanh"] = "relu"
    positional_embedding: Literal["learned", "none"] = "learned"
    layer_norm: Literal["none", "pre", "post"] = "none"
    biases: Literal["none", "mlp", "all"] = "mlp"
    mask: Literal["causal", "none"] = components.later("causal")
    attention_rate: float = 1.0
    init_scheme: Literal["nanda2023", "furuta2024", "transformer_lens", "fan_in"] = "nanda2023"
    init_scale: float = 1.0
    init_std: dict[str, float] = field(default_factory=dict)
    output_scale: float = 1.0
    dropout: Annotated[float, Ge(0), Lt(1)] | None = None
    doubled_residual: bool = False
    embedding_rank: int | None = components.later(None)

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads", "d_model"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("d_mlp", self._d_mlp, 0)
        if self.embedding_rank is not None:
            check_at_least("embedding_rank", self.embedding_rank, 1)
        if self.d_head is None and self.d_model % self.n_heads:
            raise InputError(
                "network.d_model", self.d_model, f"needs a multiple of n_heads = {self.n_heads}, or d_head"
            )
        check_at_least("d_head", self._d_head, 1)
        check_init_std(self.init_std, self._fan_in())

    @property
    def _d_head(self) -> int:
        return self.d_model // self.n_heads if self.d_head is None else self.d_head

    @property
    def _d_mlp(self) -> int:
        return 4 * self.d_model if self.d_mlp is None else self.d_mlp

    def _fan_in(self) -> dict[str, int]:
        """Return each matrix and the number of inputs that it sums (d_model for the embeddings)."""
        d = self.d_model
        rank = self.embedding_rank
        sums = {"embed.W_E": d} if rank is None else {"embed.A": d, "embed.B": rank}
        if self.positional_embedding == "learned":
            sums["pos_embed.W_pos"] = d
        for block in (f"blocks.{i}." for i in range(self.n_layers)):
            sums |= {f"{block}attn.W_{x}": d for x in "QKV"} | {f"{block}attn.W_O": self.n_heads * self._d_head}
            if self._d_mlp:
                sums |= {f"{block}mlp.W_in": d, f"{block}mlp.W_out": self._d_mlp}
        return sums | {"unembed.W_U": d}

    def shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return every weight's name and shape, in TransformerLens' orientation (inputs first).

        Raises InputError for a task whose later tokens hold the answers, where nothing masks them.
        """
        if shape.reads is not None and self.mask == "none":
            raise InputError("network.mask", "none", "needs a task that is read at its last position alone")
        d, heads, d_head, d_mlp = self.d_model, self.n_heads, self._d_head, self._d_mlp
        result = embedding_shapes(shape.d_vocab, d, self.embedding_rank)
        if self.positional_embedding == "learned":
            result["pos_embed.W_pos"] = (shape.n_ctx, d)
        for block in (f"blocks.{i}." for i in range(self.n_layers)):
            result |= {f"{block}attn.W_{x}": (heads, d, d_head) for x in "QKV"}
            result[f"{block}attn.W_O"] = (heads, d_head, d)
            if self.biases == "all":
                result |= {f"{block}attn.b_{x}": (heads, d_head) for x in "QKV"} | {f"{block}attn.b_O": (d,)}
            if self.layer_norm != "none":
                result |= {f"{block}ln1.w": (d,), f"{block}ln1.b": (d,)}
            if d_mlp:
                result |= {f"{block}mlp.W_in": (d, d_mlp), f"{block}mlp.W_out": (d_mlp, d)}
                if self.biases != "none":
                    result |= {f"{block}mlp.b_in": (d_mlp,), f"{block}mlp.b_out": (d,)}
                if self.layer_norm != "none":
                    result |= {f"{block}ln2.w": (d,), f"{block}ln2.b": (d,)}
        if self.layer_norm == "pre":
            result |= {"ln_final.w": (d,), "ln_final.b": (d,)}
        result["unembed.W_U"] = (d, shape.n_classes)
        if self.biases == "all":
            result["unembed.b_U"] = (shape.n_classes,)
        return result

    def init(self, key: Array, shape: TaskShape, dtype: Any) -> dict[str, Array]:
        """Draw the initial weights by name, from the deviations of `init_scheme`."""
        d = self.d_model
        if self.init_scheme == "fan_in":
            deviations = {name: n**-0.5 for name, n in self._fan_in().items()}
        else:
            factor = 0.8 if self.init_scheme == "transformer_lens" else 1.0
            deviations = {name: factor * d**-0.5 for name in self._fan_in()}
        if self.init_scheme == "nanda2023":
            deviations["unembed.W_U"] = shape.d_vocab**-0.5
        if self.init_scheme == "furuta2024":
            deviations["embed.W_E" if self.embedding_rank is None else "embed.A"] = shape.d_vocab**-0.5
        if self.embedding_rank is not None:
            deviations["embed.B"] = self.embedding_rank**-0.5
        return draw(key, self.shapes(shape), deviations, self.init_std, self.init_scale, dtype)

    @property
    def _needs_reference(self) -> bool:
        """Whether tables over prefixes cannot stand for the forward pass."""
        return self.doubled_residual or (self.mask == "none" and self.n_layers > 1)

    @property
    def noisy(self) -> bool:
        """Whether training takes `apply_noisy` instead of `apply`."""
        return self.dropout is not None

    def prepare(self, tokens: Array, shape: TaskShape) -> prefix_tables.Batch | Array:
        """Compute what `apply` takes of tokens (n, n_ctx), once before the training loop; may be traced."""
        if shape.reads is not None or self._needs_reference:
            return tokens
        return prefix_tables.prepare(tokens, shape)

    def apply(
        self,
        weights: Mapping[str, Array],
        batch: prefix_tables.Batch | Array,
        shape: TaskShape,
    ) -> Array:
        """Return logits (n, n_classes) at the last position, the fast way, for batch = prepare(tokens, shape).

        Of a task with `reads`, logits (n, n_reads, n_classes) at those positions.
        """
        if not isinstance(batch, Mapping):
            return self._read(weights, batch, shape, unhooked)
        weights = with_embedding(weights)
        net = prefix_tables.Architecture(
            n_layers=self.n_layers,
            activation=ACTIVATIONS[self.activation],
            layer_norm=self.layer_norm,
            has_mlp=self._d_mlp > 0,
            normalise=lambda name, x: layer_norm(x, weights[name + ".w"], weights[name + ".b"]),
        )
        dtype = weights["embed.W_E"].dtype
        rate = jnp.asarray(self.attention_rate, dtype)
        logits = prefix_tables.last_logits(net, weights, batch, rate, shape)
        return logits * jnp.asarray(self.output_scale, dtype)

    def apply_noisy(self, weights: Mapping[str, Array], tokens: Array, shape: TaskShape, key: Array) -> Array:
        """Return the output of `apply` for tokens (n, n_ctx), with dropout drawn from `key`."""
        rate = jnp.asarray(self.dropout, weights["unembed.W_U"].dtype)
        return self._read(weights, tokens, shape, dropping(key, rate, ("hook_attn_out", "hook_mlp_out")))

    def _read(self, weights: Mapping[str, Array], tokens: Array, shape: TaskShape, hook: Hook) -> Array:
        if shape.reads is None:
            return self.reference_forward(weights, tokens, shape, hook, last_only=True)[:, 0]
        return self.reference_forward(weights, tokens, shape, hook, reads=shape.reads)

    def reference_forward(
        self,
        weights: Mapping[str, Array],
        tokens: Array,
        shape: TaskShape,
        hook: Hook = unhooked,
        last_only: bool = False,
        reads: tuple[int, int] | None = None,
    ) -> Array:
        """Return logits (n, n_ctx, n_classes) at every position of tokens (n, n_ctx).

        hook(name, value) sees every intermediate under TransformerLens's name for it and gives what takes its place.
        last_only: the last layer's queries, MLP and logits at the last position only, (n, 1, n_classes).
        reads: those at positions start..stop-1 only, (n, stop - start, n_classes), and nothing beyond them (under a
            causal mask, where it makes no difference).
        """
        if last_only:
            reads = tokens.shape[1] - 1, tokens.shape[1]
        if reads is not None:
            tokens = tokens[:, : reads[1]]
        w = with_embedding(weights)
        dtype = w["embed.W_E"].dtype
        rate = jnp.asarray(self.attention_rate, dtype)
        allowed = jnp.ones((tokens.shape[1], tokens.shape[1]), bool)
        if self.mask == "causal":
            allowed = jnp.tril(allowed)

        def plus(x: Array, bias: str) -> Array:
            return x + w[bias] if bias in w else x

        def norm(x: Array, name: str, where: str) -> Array:
            if self.layer_norm != where:
                return x
            x = x - x.mean(axis=-1, keepdims=True)
            scale = hook(name + ".hook_scale", jnp.sqrt((x * x).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON))
            return hook(name + ".hook_normalized", x / scale * w[name + ".w"] + w[name + ".b"])

        x = hook("hook_embed", w["embed.W_E"][tokens])
        if self.positional_embedding == "learned":
            positions = jnp.broadcast_to(w["pos_embed.W_pos"][: tokens.shape[1]], x.shape)
            x = x + hook("hook_pos_embed", positions)
        for layer in range(self.n_layers):
            block = f"blocks.{layer}."
            attn, mlp = block + "attn.", block + "mlp."
            x = hook(block + "hook_resid_pre", x)
            y = norm(x, block + "ln1", "pre")
            rows = allowed
            if reads is not None and layer == self.n_layers - 1:
                x, rows = x[:, reads[0] :], allowed[reads[0] :]
            before = x
            q, k, v = (
                hook(
                    f"{attn}hook_{s.lower()}", plus(jnp.einsum("npd,hde->nphe", of, w[f"{attn}W_{s}"]), f"{attn}b_{s}")
                )
                for s, of in (("Q", y[:, -x.shape[1] :]), ("K", y), ("V", y))
            )
            scores = jnp.einsum("nqhe,nkhe->nhqk", q, k) * q.shape[-1] ** -0.5
            scores = hook(attn + "hook_attn_scores", jnp.where(rows, scores, -jnp.inf))
            pattern = jnp.exp(scores - scores.max(axis=-1, keepdims=True))
            pattern = rate * pattern / pattern.sum(axis=-1, keepdims=True) + (1 - rate) * rows
            pattern = hook(attn + "hook_pattern", pattern)
            z = hook(attn + "hook_z", jnp.einsum("nhqk,nkhe->nqhe", pattern, v))
            out = plus(jnp.einsum("nqhe,hed->nqd", z, w[attn + "W_O"]), attn + "b_O")
            x = norm(x + hook(block + "hook_attn_out", out), block + "ln1", "post")
            if self._d_mlp:
                x = hook(block + "hook_resid_mid", x)
                y = norm(x, block + "ln2", "pre")
                pre = hook(mlp + "hook_pre", plus(y @ w[mlp + "W_in"], mlp + "b_in"))
                post = hook(mlp + "hook_post", ACTIVATIONS[self.activation](pre))
                out = hook(block + "hook_mlp_out", plus(post @ w[mlp + "W_out"], mlp + "b_out"))
                x = norm(x + out, block + "ln2", "post")
            if self.doubled_residual:
                x = x + before
            x = hook(block + "hook_resid_post", x)
        logits = plus(norm(x, "ln_final", "pre") @ w["unembed.W_U"], "unembed.b_U")
        return hook("logits", logits * jnp.asarray(self.output_scale, dtype))

    def flops(self, shape: TaskShape, n_rows: int) -> float:
        """Count the operations of one forward pass over n_rows inputs, where inputs must be told apart.

        That is every matrix product at a position whose residual stream depends on two tokens or more; look-ups,
        tables over tokens, attention patterns and elementwise work are left out. A training step is three of these.
        Where the reference pass is taken (answers at several positions, dropout) all its products are counted.
        """
        d, d_mlp = self.d_model, self._d_mlp
        width = self.n_heads * self._d_head
        last = shape.n_ctx - 1, shape.n_ctx
        reads = shape.reads or (last if self.noisy or self._needs_reference else None)
        if reads is not None:
            start, stop = reads
            multiplications = (stop - start) * d * shape.n_classes
            for layer in range(self.n_layers):
                queries = stop - start if layer == self.n_layers - 1 else stop
                multiplications += 2 * stop * width * d + queries * (2 * width * (d + stop) + 2 * d * d_mlp)
            return 2.0 * n_rows * multiplications
        seen = [sum(c is None for c in shape.constants[: i + 1]) >= 2 for i in range(shape.n_ctx)]
        multiplications = d * shape.n_classes
        for layer in range(self.n_layers):
            final = layer == self.n_layers - 1
            mixed = 1 if final else sum(seen)  # positions at which attention's output and the MLP are computed
            multiplications += mixed * (width * d + 2 * d * d_mlp)
            if layer > 0:
                multiplications += width * d * (2 * sum(seen) + mixed)
        return 2.0 * n_rows * multiplications
