"""Files of other programs: read for what they compute, against plain references, or refused by the field's name."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import scipy.special

import groklab as gl
from corpus import Corpus
from crafting import Object, Raw, Tensor, name, torch_file
from groklab.errors import InputError
from groklab.interop import import_file
from groklab.interop._configs import check_sizes, settings_of
from groklab.interop._released_files import training_record
from groklab.interop._torch_files import Foreign
from groklab.interop._weight_files import _plain
from groklab.report import write_report
from groklab.tasks import make_split
from groklab.training import build_task

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
P, D, HEADS, D_HEAD, D_MLP = 7, 8, 2, 4, 12
Weights = dict[str, np.ndarray]
ACTIVATIONS: dict[str, Any] = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu_exact": lambda x: x * (1 + scipy.special.erf(x / 2**0.5)) / 2,
    "gelu": lambda x: x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
    "tanh": np.tanh,
}


def drawn(n_layers: int = 1, d_vocab: int = P, n_classes: int | None = None, n_ctx: int = 2, seed: int = 0) -> Weights:
    """Weights of a transformer in our layout, none of them zero."""
    shapes: dict[str, tuple[int, ...]] = {"embed.W_E": (d_vocab, D), "pos_embed.W_pos": (n_ctx, D)}
    for block in (f"blocks.{i}." for i in range(n_layers)):
        shapes |= {f"{block}attn.W_{x}": (HEADS, D, D_HEAD) for x in "QKV"} | {f"{block}attn.W_O": (HEADS, D_HEAD, D)}
        shapes |= {f"{block}mlp.W_in": (D, D_MLP), f"{block}mlp.b_in": (D_MLP,)}
        shapes |= {f"{block}mlp.W_out": (D_MLP, D), f"{block}mlp.b_out": (D,)}
    shapes["unembed.W_U"] = (D, n_classes or d_vocab)
    rng = np.random.default_rng(seed)
    return {k: (rng.standard_normal(v) / 2).astype(np.float32) for k, v in shapes.items()}


def released(weights: Weights) -> Weights:
    """The same as the published code of Nanda et al. and Zhong et al. stores them, with its mask."""
    made = {}
    for key, array in weights.items():
        short = key.rsplit(".", 1)[-1]
        if short in ("W_Q", "W_K", "W_V"):
            array = np.swapaxes(array, 1, 2)
        elif short == "W_O":
            array = array.reshape(-1, D).T
        elif short in ("W_E", "W_in", "W_out"):
            array = array.T
        made[key] = np.ascontiguousarray(array)
    n_ctx = len(weights["pos_embed.W_pos"])
    return made | {"blocks.0.attn.mask": np.tril(np.ones((n_ctx, n_ctx), np.float32))}


def losses(
    weights: Weights, tokens: np.ndarray, answers: np.ndarray, activation: str, rate: float, causal: bool, norm: bool
) -> np.ndarray:
    """Cross-entropies at the last position, by a plain forward pass in double precision."""
    w = {k: v.astype(np.float64) for k, v in weights.items()}
    n_ctx = tokens.shape[1]
    seen = np.tril(np.ones((n_ctx, n_ctx))) if causal else np.ones((n_ctx, n_ctx))

    def normed(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) if norm else x

    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:n_ctx]
    for layer in range(sum(k.endswith("W_Q") for k in w)):
        attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
        q, k, v = (np.einsum("npd,hde->nhpe", normed(x), w[f"{attn}W_{s}"]) for s in "QKV")
        scores = q @ k.swapaxes(-1, -2) / D_HEAD**0.5
        pattern = np.exp(scores - scores.max(-1, keepdims=True)) * seen
        pattern = rate * pattern / pattern.sum(-1, keepdims=True) + (1 - rate) * seen
        x = x + np.einsum("nhpe,hed->npd", pattern @ v, w[f"{attn}W_O"])
        x = (
            x
            + ACTIVATIONS[activation](normed(x) @ w[f"{mlp}W_in"] + w[f"{mlp}b_in"]) @ w[f"{mlp}W_out"]
            + w[f"{mlp}b_out"]
        )
    logits = normed(x[:, -1]) @ w["unembed.W_U"]
    return scipy.special.logsumexp(logits, axis=1) - np.take_along_axis(logits, answers[:, None], axis=1)[:, 0]


def pairs(sign: bool = False) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.divmod(np.arange(P * P), P)
    return np.stack([x, y, *([np.full(P * P, P)] if sign else [])], axis=1), (x + y) % P


def written(folder: Path, content: Any, file: str = "file.pth") -> Path:
    path = folder / file
    path.write_bytes(torch_file(content))
    return path


# -- Zhong et al. 2023: a state dict, and its configuration beside it ---------------------------------------------

ZHONG = {"name": "modadd_7", "funcs": f"lambda x: (x[0]+x[1])%{P}", "C": P, "n_heads": HEADS, "d_model": D}
ZHONG |= {"attention_dir": "casual", "act_fn": "ReLU", "epoch": 20_000, "batch_size": 49, "lr": 0.001, "frac": 0.8}
ZHONG |= {"weight_decay": 2.0, "runid": "abc", "n_layers": 1, "attn_coeff": 1.0, "diff_vocab": 0, "eqn_sign": 0}
MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "attention": ({}, "relu"),
    "little attention": ({"attn_coeff": 0.004066910851478034}, "relu"),
    "no attention, gelu": ({"attn_coeff": 0.0, "act_fn": "GeLU"}, "gelu_exact"),
    "tanh": ({"attn_coeff": 0.5, "act_fn": "Tanh"}, "tanh"),
    "two layers": ({"n_layers": 2, "attn_coeff": 0.6305660693828471}, "relu"),
    "three layers": ({"n_layers": 3, "attn_coeff": 0.0}, "relu"),
    "a sign": ({"n_layers": 2, "eqn_sign": 1, "attn_coeff": 0.3}, "relu"),
}


@pytest.mark.parametrize("case", MODELS)
def test_transformers_of_zhong_2023(case: str, tmp_path: Path) -> None:
    changes, activation = MODELS[case]
    config = {**ZHONG, **changes}
    sign = bool(config["eqn_sign"])
    weights = drawn(config["n_layers"], P + sign, n_ctx=2 + sign)
    file = written(tmp_path, released(weights), "model_abc.pt")
    (tmp_path / "config_abc.json").write_text(json.dumps(config))
    run = import_file(file)
    expected = losses(weights, *pairs(sign), activation, config["attn_coeff"], causal=False, norm=False)
    summary, network = run.summary(), run.experiment.network
    # the metrics are kept in single precision
    assert summary["test_loss"] == pytest.approx(expected.mean(), rel=1e-6)
    assert (network.attention_rate, network.activation, network.mask) == (config["attn_coeff"], activation, "none")
    assert (run.experiment.task.p, run.experiment.task.expression, run.status.step) == (P, "x + y", 20_000)
    assert (run.experiment.split.method, run.experiment.split.frac_train) == ("unknown", 0.8)
    assert summary["train_loss"] is None
    notes = " ".join(run.imported.warnings)
    assert "config_abc.json beside the file" in notes
    assert "the split is unknown, and test numbers are of all inputs" in notes
    assert "assumed" not in notes


def test_without_a_configuration_options_give_it_and_assumptions_are_told(tmp_path: Path) -> None:
    weights = drawn(2)
    file = written(tmp_path, released(weights))
    told = {"p": P, "operation": "add"}
    run = import_file(file, **told)
    assumed = (
        "assumed: activation relu, attention_rate 1.0, mask causal (options: --activation, --attention-rate, --mask)"
    )
    assert any(assumed in note for note in run.imported.warnings)
    expected = losses(weights, *pairs(), "relu", 1.0, causal=True, norm=False).mean()
    assert run.summary()["test_loss"] == pytest.approx(expected, rel=1e-6)
    other = import_file(file, **told, activation="gelu_exact", attention_rate=0.25, mask="none")
    expected = losses(weights, *pairs(), "gelu_exact", 0.25, causal=False, norm=False).mean()
    assert other.summary()["test_loss"] == pytest.approx(expected, rel=1e-6)
    assert not any("assumed" in note for note in other.imported.warnings)
    assert other.imported.options["network.mask"] == "none"
    for options, part in (
        ({"activation": "gelu_exat"}, r"network\.activation.*gelu_exact"),
        ({"mask": "no"}, r"network\.mask"),
        ({"attention_rate": float("nan")}, r"network\.attention_rate"),
    ):
        with pytest.raises(InputError, match=part):
            import_file(file, **told, **options)  # type: ignore[arg-type]


# -- TransformerLens: a configuration beside the weights, or its demonstration's own save -------------------------

LENS: dict[str, Any] = {"n_layers": 1, "d_model": D, "n_ctx": 3, "d_head": D_HEAD, "n_heads": HEADS, "d_mlp": D_MLP}
LENS |= {"act_fn": "relu", "d_vocab": P + 1, "d_vocab_out": P, "normalization_type": None, "attention_dir": "causal"}
LENS |= {"eps": 1e-5, "use_attn_scale": True, "attn_scale": 2.0, "positional_embedding_type": "standard", "seed": 999}
LENS |= {"final_rms": False, "dtype": Raw(name("torch", "float32")), "device": "cuda", "init_weights": True}


def lens_save(weights: Weights, **changes: Any) -> dict[str, Any]:
    """What the demonstration saves: its configuration is an object of TransformerLens."""
    tokens, answers = pairs(sign=True)
    order = np.random.default_rng(5).permutation(P * P)
    train, test = order[:20], order[20:]
    found = losses(weights, tokens, answers, "relu", 1.0, causal=True, norm=False)
    config = Object("transformer_lens.HookedTransformerConfig", "HookedTransformerConfig", {**LENS, "n_params": 5})
    zeros = {f"blocks.0.attn.b_{x}": np.zeros((HEADS, D_HEAD), np.float32) for x in "QKV"}
    state = {**weights, **zeros, "blocks.0.attn.b_O": np.zeros(D, np.float32), "unembed.b_U": np.zeros(P, np.float32)}
    state |= {"blocks.0.attn.mask": np.tril(np.ones((3, 3), bool)), "blocks.0.attn.IGNORE": np.array(-np.inf)}
    content = {
        "model": state,
        "config": config,
        "checkpoints": [state],
        "checkpoint_epochs": [99],
        "test_losses": [4.0, float(found[test].mean())],
        "train_losses": [4.0, Tensor(np.array(found[train].mean()))],
        "train_indices": train,
        "test_indices": test,
    }
    return {**content, **changes}


def test_the_demonstration_of_transformer_lens(tmp_path: Path) -> None:
    content = lens_save(drawn(1, P + 1, P, 3))
    with pytest.raises(InputError, match="does not record the modulus p of its task; give --p"):
        import_file(written(tmp_path, content))
    run = import_file(written(tmp_path, content), p=P, operation="add")
    rows = make_split(run.experiment.split, build_task(run.experiment), 0)
    np.testing.assert_array_equal(rows.train, np.sort(content["train_indices"]))
    assert run.summary()["test_loss"] == pytest.approx(content["test_losses"][-1], rel=1e-6)
    assert run.status.step == 2
    notes = " ".join(run.imported.warnings)
    assert "earlier checkpoints in the file are left out: 1" in notes
    assert "never made or run: transformer_lens.HookedTransformerConfig.HookedTransformerConfig" in notes
    assert "assumed" not in notes


def test_rows_that_are_not_of_the_task_are_refused(tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    content = lens_save(weights)
    train, test = content["train_indices"], content["test_indices"]
    for rows, part in (
        ((train, test[:-1]), "lists 48 rows for training and test"),
        ((train, np.append(test[:-1], train[0])), "not different ones"),
        ((train, np.append(test[:-1], 49)), "not different ones"),
        ((train.astype(np.float32), test), "train_indices of the file are not numbers of rows"),
    ):
        file = written(tmp_path, lens_save(weights, train_indices=rows[0], test_indices=rows[1]))
        with pytest.raises(InputError, match=part):
            import_file(file, p=P, operation="add")


def test_weights_that_do_not_have_the_recorded_losses_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, lens_save(drawn(1, P + 1, P, 3), train_losses=[4.0, 9.9e-8], test_losses=[4.0, 9.9e-8]))
    with pytest.raises(InputError, match=r"records 9.9e-08 in training .*--ignore-losses imports it anyway"):
        import_file(file, p=P, operation="add")
    run = import_file(file, p=P, operation="add", ignore_losses=True)
    note = next(n for n in run.imported.warnings if "the network may be another" in n)
    card = gl.export(run, to="safetensors", out=tmp_path / "out") / "README.md"
    assert note in card.read_text("utf-8")
    # where the split is unknown, the mean over all inputs must lie between the two
    content = lens_save(drawn(1, P + 1, P, 3), train_indices=None, test_indices=None)
    import_file(written(tmp_path, content), p=P, operation="add")
    content |= {"train_losses": [4.0, 1e-7], "test_losses": [4.0, 1e-3]}
    with pytest.raises(InputError, match="--ignore-losses"):
        import_file(written(tmp_path, content), p=P, operation="add")


ARCHITECTURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gelu": ({"act_fn": "gelu"}, {"activation": "gelu_exact"}),
    "gelu_new": ({"act_fn": "gelu_new"}, {"activation": "gelu"}),
    "bidirectional": ({"attention_dir": "bidirectional", "n_layers": 2}, {"causal": False}),
    "LNPre": ({"normalization_type": "LNPre"}, {"norm": True}),
    "scale of the first layer": ({"scale_attn_by_inverse_layer_idx": True}, {}),
    "unset": ({"d_vocab_out": -1, "attn_scores_soft_cap": -1.0, "n_key_value_heads": None}, {}),
}


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_fields_of_transformer_lens_are_honoured(case: str, tmp_path: Path) -> None:
    fields, expected = ARCHITECTURES[case]
    config = {**LENS, **fields, "dtype": "torch.float32"}
    weights = drawn(config["n_layers"], P + 1, P, 3)
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = import_file(tmp_path, p=P, operation="add")
    way = {"activation": "relu", "rate": 1.0, "causal": True, "norm": False, **expected}
    assert run.summary()["test_loss"] == pytest.approx(losses(weights, *pairs(sign=True), **way).mean(), rel=1e-6)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "rotary": ({"positional_embedding_type": "rotary"}, r"config\.positional_embedding_type = 'rotary'"),
    "shortformer": ({"positional_embedding_type": "shortformer"}, r"config\.positional_embedding_type"),
    "RMS": ({"normalization_type": "RMS"}, r"config\.normalization_type = 'RMS'"),
    "LN without its weights": ({"normalization_type": "LN"}, r"blocks\.0\.ln1\.b"),
    "eps": ({"normalization_type": "LNPre", "eps": 1e-6}, r"config\.eps = 1e-06"),
    "silu": ({"act_fn": "silu"}, r"config\.act_fn = 'silu'"),
    "solu_ln": ({"act_fn": "solu_ln"}, r"config\.act_fn"),
    "no scale": ({"use_attn_scale": False}, r"config\.use_attn_scale = False"),
    "another scale": ({"attn_scale": 1.0}, r"config\.attn_scale = 1\.0.*sqrt\(d_head\) = 2"),
    "final_rms": ({"final_rms": True}, r"config\.final_rms = True"),
    "parallel": ({"parallel_attn_mlp": True}, r"config\.parallel_attn_mlp"),
    "gated": ({"gated_mlp": True}, r"config\.gated_mlp"),
    "local": ({"use_local_attn": True, "window_size": 2}, r"config\.use_local_attn"),
    "soft cap": ({"attn_scores_soft_cap": 30.0}, r"config\.attn_scores_soft_cap = 30"),
    "direction": ({"attention_dir": "sideways"}, r"config\.attention_dir = 'sideways'"),
    "layers": ({"n_layers": 2}, r"config\.n_layers = 2: contradicts the weights, which have 1"),
    "heads": ({"n_heads": 4}, r"config\.n_heads = 4"),
    "attention alone": ({"attn_only": True}, r"config\.attn_only = True"),
    "positions": ({"n_ctx": 4}, r"config\.n_ctx = 4"),
    "other vocabularies": ({"attn_coeff": 0.5, "diff_vocab": 1}, r"config\.diff_vocab = 1"),
    "group": ({"group_parameter": 5, "group": "SymmetricGroup"}, r"config\.group = 'SymmetricGroup'"),
    "an MLP": ({"group_parameter": 5, "model": "OneLayerMLP"}, r"config\.model = 'OneLayerMLP'"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_fields_that_mean_another_function_are_refused_by_name(case: str, tmp_path: Path, home: Path) -> None:
    fields, part = OTHERS[case]
    file = tmp_path / "weights.npz"
    np.savez(file, **drawn(1, P + 1, P, 3))
    (tmp_path / "config.json").write_text(json.dumps({**LENS, "dtype": "torch.float32", **fields}))
    with pytest.raises(InputError, match=part):
        import_file(file, p=P, operation="add")
    assert not home.exists()


def test_unknown_fields_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", **drawn(1, P + 1, P, 3))
    config = {**LENS, "dtype": "torch.float32", "curvature": 2, "off": False, "none": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = import_file(tmp_path / "weights.npz", p=P, operation="add")
    assert "fields of its configuration that are passed over: curvature" in run.imported.warnings


ODD: list[Any] = [None, [], {}, "x", "", -1, 10**30, 0.5, float("nan"), [[]], np.zeros(0), np.ones((2, 2)), (1, 2)]


def test_odd_values_end_in_one_sentence() -> None:
    """Whatever stands in a configuration or beside the weights is read, or refused; nothing else happens."""
    weights = drawn(1, P + 1, P, 3)
    chughtai = {"group": "CyclicGroup", "group_parameter": P, "seed": 1, "num_epochs": 5, "betas": [0.9, 0.98]}
    nanda = {"fn_name": "add", "p": P, "act_type": "ReLU", "use_ln": False, "num_layers": 1, "seed": 0}
    for config in (LENS, ZHONG, chughtai, nanda):
        for field, odd in itertools.product(config, ODD):
            with contextlib.suppress(InputError):
                fields = _plain({**config, field: odd})
                settings_of(fields, [])
                check_sizes(fields, weights)
    parts = [*lens_save(weights), "optimizer", "optimizer_states", "global_step", "epoch", "scheduler"]
    groups = [[{"param_groups": odd}] for odd in ([], [5], [{"betas": "x"}], [{"lr": {}}])]
    for part, odd in itertools.product(parts, [*ODD, *groups, Foreign("a.B"), np.array([-1, 2])]):
        with contextlib.suppress(InputError):
            training_record({part: odd}, {})


# -- Chughtai et al. 2023, names of modules, copies, buffers, and programs around a model --------------------------


def test_a_cyclic_group_of_chughtai_2023(tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    config = {"lr": 0.001, "weight_decay": 1, "betas": [0.9, 0.98], "model": "Transformer", "group": "CyclicGroup"}
    config |= {"layers": {"embed_dim": 256}, "group_parameter": P, "frac_train": 0.3, "seed": 1, "num_epochs": 50_000}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    written(tmp_path, {**weights, "x_embed": weights["embed.W_E"], "y_embed": weights["embed.W_E"]}, "model.pt")
    run = import_file(tmp_path)
    split = run.experiment.split
    assert (split.method, split.seed, split.frac_train, run.status.step) == ("torch_randperm", 1, 0.3, 50_000)
    notes = run.imported.warnings
    assert "x_embed is a copy of embed.W_E, and is left out" in notes
    expected = losses(weights, *pairs(sign=True), "relu", 1.0, causal=True, norm=False)
    rows = make_split(split, build_task(run.experiment), 0)
    assert run.summary()["train_loss"] == pytest.approx(expected[rows.train].mean(), rel=1e-6)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.net."])
@pytest.mark.parametrize("layout", ["ours", "released"])
def test_names_of_modules_around_a_model(prefix: str, layout: str, tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    state = released(weights) if layout == "released" else weights
    run = import_file(written(tmp_path, {f"{prefix}{k}": v for k, v in state.items()}), p=P, operation="add")
    for key, array in weights.items():
        np.testing.assert_array_equal(run.weights()[key], array)


def test_copies_and_buffers(tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    copied = {**weights, "model.embed.W_E": weights["embed.W_E"], "steps": np.array(3), "tied": weights["unembed.W_U"]}
    run = import_file(written(tmp_path, copied), p=P, operation="add")
    assert run.weights().keys() == weights.keys()
    for name_, array, part in (
        ("model.embed.W_E", weights["embed.W_E"] + 1, r"embed\.W_E and model\.embed\.W_E of .* differ"),
        ("gain", np.ones(D, np.float32), r"gain \(8,\) .* is neither a weight of a network here nor a copy of one"),
        ("blocks.0.attn.rotary_sin", np.ones((3, 4), np.float32), r"rotary_sin"),
        ("rotary_index", np.arange(3), r"rotary_index"),
    ):
        with pytest.raises(InputError, match=part):
            import_file(written(tmp_path, {**weights, name_: array}), p=P, operation="add")


def test_a_checkpoint_of_lightning(tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    group = {"lr": 0.002, "initial_lr": 0.002, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 0.5, "params": [0]}
    callback = Object("lightning.pytorch.callbacks", "ModelCheckpoint", {"best": 1.0})
    content = {
        "epoch": 30,
        "global_step": 1_234,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model.{k}": v for k, v in weights.items()},
        "loops": {"fit_loop": {"state_dict": {}, "progress": Object("lightning.loops", "Progress", {})}},
        "callbacks": {"ModelCheckpoint": callback},
        "optimizer_states": [{"state": {}, "param_groups": [group]}],
        "lr_schedulers": [],
        "hyper_parameters": Object("lightning.utilities", "AttributeDict", {"p": P}),
    }
    run = import_file(written(tmp_path, content, "epoch=30.ckpt"), p=P, operation="add")
    assert (run.status.step, run.experiment.optimiser.weight_decay) == (1_234, 0.5)
    assert "lightning.pytorch.callbacks.ModelCheckpoint" in " ".join(run.imported.warnings)
    np.testing.assert_array_equal(run.weights()["embed.W_E"], weights["embed.W_E"])


def test_a_whole_model_is_not_weights_by_name(tmp_path: Path) -> None:
    model = Object("__main__", "Transformer", {"_parameters": {}})
    for content in (model, {"model": model}):
        with pytest.raises(InputError, match="weights by name"):
            import_file(written(tmp_path, content))


def test_bfloat16(tmp_path: Path) -> None:
    weights = drawn(1, P + 1, P, 3)
    halves = {k: np.ascontiguousarray((v.view(np.uint32) >> 16).astype(np.uint16)) for k, v in weights.items()}
    header, body, at = {}, b"", 0
    for key, array in halves.items():
        header[key] = {"dtype": "BF16", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        body, at = body + array.tobytes(), at + array.nbytes
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    run = import_file(tmp_path / "w.safetensors", p=P, operation="add")
    for key, array in run.weights().items():
        np.testing.assert_array_equal(array, (halves[key].astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize("kind", ["one_hot", "embedded", "deep"])
def test_mlps_under_our_own_names(kind: str, tmp_path: Path) -> None:
    extra = {"embedded": {"network.d_embed": 5}, "deep": {"network.n_hidden_layers": 2, "network.biases": True}}
    settings = {"task.p": P, "network.d_mlp": 6, "network.activation": "relu", "budget.steps": 0, "split.seed": 3}
    run = gl.train(gl.preset("micro", {**settings, "split.method": "python_shuffle", **extra.get(kind, {})}))
    np.savez(tmp_path / "w.npz", **run.weights())
    told = {"p": P, "operation": "add", "frac_train": run.experiment.split.frac_train, "split_seed": 3}
    back = import_file(tmp_path / "w.npz", **told, activation="relu")
    assert back.summary()["test_loss"] == pytest.approx(run.summary()["test_loss"], rel=1e-5)
    assumed = import_file(tmp_path / "w.npz", **told)
    assert assumed.experiment.network.activation == "quadratic"
    assert any("assumed: activation quadratic (options: --activation)" in n for n in assumed.imported.warnings)
    with pytest.raises(InputError, match=r"network\.mask = 'none': is not a setting of the mlp"):
        import_file(tmp_path / "w.npz", **told, mask="none")


@pytest.mark.parametrize("name_", ["transformer", "mlp"])
def test_an_unknown_split(name_: str, corpus: Corpus, tmp_path: Path) -> None:
    """Everything that looks at a run goes without a training set; training is refused."""
    original = corpus[name_]
    np.savez(tmp_path / "w.npz", **original.weights())
    run = import_file(tmp_path / "w.npz", p=original.experiment.task.p, operation="add")
    assert run.summary()["train_loss"] is None
    assert np.isfinite(gl.take(run, "progress")["loss"].to_list()).all()
    text = str(gl.explain(run))
    assert "nan" not in text
    assert write_report([run]).stat().st_size > 10_000
    with pytest.raises(InputError, match=r"split\.method = 'unknown': is of imported weights"):
        gl.train(run.experiment)
    card = (gl.export(run, to="safetensors", out=tmp_path / "out") / "README.md").read_text("utf-8")
    assert "trained on: an unknown part of" in card
    again = import_file(tmp_path / "out")
    assert again.experiment.split.method == "unknown"
    assert again.imported.warnings == run.imported.warnings
