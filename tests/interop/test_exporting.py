"""Exports hold what TransformerLens wants, and come back to the bit; the packages themselves: `make interop`."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
import yaml

import groklab as gl
from corpus import Corpus
from groklab.cli import main
from groklab.errors import InputError
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop import export, import_file
from groklab.store import Environment, RunWriter, storage
from groklab.tasks import make_split
from groklab.training import build_task, make_ensemble, program_of
from killing import content, killed_everywhere

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
#: The shapes of test_importing.py.
SMALL = {"task.p": 11, "network.d_model": 8, "network.n_heads": 2, "network.d_mlp": 16, "budget.steps": 20}


@pytest.fixture
def trained(corpus: Corpus) -> gl.Run:
    return corpus.copy(corpus.train(gl.preset("demo", SMALL)))


def untrained(home: Path, **settings: Any) -> gl.Run:
    """A run of weights drawn at random: nothing compiles the training of each of these networks."""
    given = {k.replace("__", "."): v for k, v in settings.items()}
    task = given.pop("task", None)
    experiment = gl.preset("demo", {**SMALL, **given})
    if task is not None:
        experiment = gl.read({**experiment.to_dict(), "task": task})
    ensemble, draws = make_ensemble([experiment]), np.random.default_rng(0)
    lanes = ensemble.blocks()[0]
    program = program_of(experiment, ensemble.tasks[0].shape)
    shapes = program.template(ensemble.keys(lanes), ensemble.hyperparameters(lanes))["weights"]
    run = RunWriter.create(home / "untrained", [experiment], Environment()).run
    RunWriter(run).checkpoint(
        20, {name: draws.normal(scale=0.3, size=s.shape).astype(s.dtype) for name, s in shapes.items()}
    )
    return run


def accuracies(run: gl.Run) -> dict[str, float]:
    """Those of the forward pass that shows its intermediates."""
    experiment = run.experiment
    task = experiment.task.build()
    forward = jax.jit(lambda weights: gl.activations(weights, task.inputs, experiment.network)["logits"][:, -1])
    right = np.asarray(forward(run.weights()).argmax(axis=1)) == task.targets
    rows = make_split(experiment.split, task, experiment.seed)
    return {"train_accuracy": float(right[rows.train].mean()), "test_accuracy": float(right[rows.test].mean())}


VARIANTS: dict[str, dict[str, Any]] = {
    "mlp biases": {},
    "all biases, norms": {"network__biases": "all", "network__layer_norm": "pre"},
    "two layers, no biases": {"network__n_layers": 2, "network__biases": "none"},
    "attention only": {"network__d_mlp": 0, "network__d_head": 3},
    "gelu": {"network__activation": "gelu", "dtype": "float64"},
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(
    request: pytest.FixtureRequest, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[gl.Run, dict[str, float]]:
    """A run, and its accuracies: the first one's as they were recorded in training."""
    settings = VARIANTS[request.param]
    if not settings:
        run = corpus.train(gl.preset("demo", SMALL))
        return run, run.summary()
    run = untrained(tmp_path_factory.mktemp("variant"), **settings)
    return run, accuracies(run)


@pytest.mark.parametrize("to", ["transformer-lens", "transformer-lens-bridge", "safetensors"])
def test_there_and_back_to_the_bit(
    variant: tuple[gl.Run, dict[str, float]], to: Any, home: Path, tmp_path: Path
) -> None:
    run, known = variant
    folder = export(run, to=to, out=tmp_path / "out", keep_outputs=True)
    curves = ["metrics.csv"] if len(run.metrics) else []
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", *curves, "model.safetensors"]
    back = import_file(folder)
    assert back.status.step == 20
    assert back.experiment.identity == run.experiment.identity
    weights = run.weights()
    assert back.weights().keys() == weights.keys()
    for name, array in back.weights().items():
        np.testing.assert_array_equal(array, weights[name])
        assert array.dtype == weights[name].dtype
    for key in ("test_accuracy", "train_accuracy"):
        assert back.summary()[key] == pytest.approx(known[key], abs=1e-6)


def test_names_and_shapes(trained: gl.Run, home: Path, tmp_path: Path) -> None:
    run = trained
    lens = safetensors.numpy.load_file(export(run, to="transformer-lens") / "model.safetensors")
    assert {k: v.shape for k, v in lens.items()} == {
        "embed.W_E": (12, 8),
        "pos_embed.W_pos": (3, 8),
        **{f"blocks.0.attn.W_{x}": (2, 8, 4) for x in "QKV"},
        **{f"blocks.0.attn.b_{x}": (2, 4) for x in "QKV"},
        "blocks.0.attn.W_O": (2, 4, 8),
        "blocks.0.attn.b_O": (8,),
        "blocks.0.mlp.W_in": (8, 16),
        "blocks.0.mlp.b_in": (16,),
        "blocks.0.mlp.W_out": (16, 8),
        "blocks.0.mlp.b_out": (8,),
        "unembed.W_U": (8, 11),
        "unembed.b_U": (11,),
    }
    bridge = safetensors.numpy.load_file(export(run, to="transformer-lens-bridge") / "model.safetensors")
    assert bridge["unembed.weight"].shape == (11, 8)
    assert bridge["blocks.0.mlp.in.weight"].shape == (16, 8)
    q = run.weights()["blocks.0.attn.W_Q"]
    np.testing.assert_array_equal(bridge["blocks.0.attn.q.weight"], np.concatenate([q[0].T, q[1].T]))
    o = run.weights()["blocks.0.attn.W_O"]
    np.testing.assert_array_equal(bridge["blocks.0.attn.o.weight"], np.concatenate([o[0].T, o[1].T], axis=1))
    config = json.loads((run.path / "exports" / "transformer-lens-step-20" / "config.json").read_text())
    assert (config["d_vocab"], config["d_vocab_out"], config["n_ctx"], config["act_fn"]) == (12, 11, 3, "relu")
    assert config["normalization_type"] is None
    # the outputs left out are known to be so
    assert import_file(run.path / "exports" / "transformer-lens-step-20").experiment.task.outputs == "answers"


def test_the_scale_is_folded_in(home: Path, tmp_path: Path) -> None:
    run = untrained(tmp_path, network__output_scale=3.0, network__biases="all")
    back = import_file(export(run, to="transformer-lens", out=tmp_path / "out"))
    assert back.experiment.network.output_scale == 1
    tokens = np.array([[1, 2, 11], [3, 4, 11]])
    one = gl.activations(run.weights(), tokens, run.experiment.network)["logits"][:, -1, :11]
    other = gl.activations(back.weights(), tokens, back.experiment.network)["logits"][:, -1]
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


REFUSED = [
    ({"network__attention_rate": 0.5}, "network.attention_rate = 0.5"),
    ({"network__layer_norm": "post"}, "network.layer_norm = 'post'"),
    ({"network__positional_embedding": "none"}, "network.positional_embedding = 'none'"),
    ({"network__activation": "quadratic"}, "network.activation = 'quadratic'"),
]


@pytest.mark.parametrize(("settings", "part"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_transformer_lens_does_not_have(settings: dict[str, Any], part: str, home: Path, tmp_path: Path) -> None:
    run = untrained(tmp_path, **settings)
    for to in ("transformer-lens", "transformer-lens-bridge"):
        with pytest.raises(InputError) as said:
            export(run, to=to, out=tmp_path / "out")
        assert part in str(said.value)
    assert not (tmp_path / "out").exists()
    assert import_file(export(run, to="safetensors", out=tmp_path / "out")).weights().keys() == run.weights().keys()


def test_an_mlp_and_a_member(corpus: Corpus) -> None:
    run = corpus.copy("ensemble")
    with pytest.raises(InputError, match=r"network\.kind = 'mlp'"):
        export(run, to="transformer-lens", member=0)
    with pytest.raises(InputError, match=r"--member is missing: .* has members 0 to"):
        export(run, to="safetensors")
    with pytest.raises(InputError, match="member = 3"):
        export(run, to="safetensors", member=3)
    folder = export(run, to="safetensors", member=1, step=0)
    assert folder.name == "safetensors-step-0-member-1"
    back = import_file(folder)
    assert (back.experiment.seed, back.status.step) == (run.experiments[1].seed, 0)
    np.testing.assert_array_equal(back.weights()["unembed.W_U"], run.weights(0, 1)["unembed.W_U"])


def test_weights_of_no_run(trained: gl.Run, home: Path, tmp_path: Path) -> None:
    weights = trained.weights()
    with pytest.raises(InputError, match="out is missing"):
        export(weights, to="transformer-lens")
    folder = export(weights, to="transformer-lens-bridge", out=tmp_path / "out")
    assert safetensors.numpy.load_file(folder / "model.safetensors")["unembed.weight"].shape == (12, 8)
    # heads are told by the configuration beside the weights, or by an option
    back = import_file(folder, p=11, operation="add", frac_train=0.4, split_seed=0)
    np.testing.assert_array_equal(back.weights()["blocks.0.attn.W_K"], weights["blocks.0.attn.W_K"])
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="give --n-heads"):
        import_file(folder, p=11, operation="add", frac_train=0.4, split_seed=0)
    with pytest.raises(InputError, match="n_heads = 3"):
        import_file(folder, p=11, operation="add", frac_train=0.4, split_seed=0, n_heads=3)
    import_file(folder, p=11, operation="add", frac_train=0.4, split_seed=0, n_heads=2)


def test_buffers_and_activations() -> None:
    bias = {"blocks.0.attn.b_Q": np.zeros(2), "unembed.b_U": np.zeros(2), "blocks.0.mlp.b_in": np.zeros(2)}
    extra = {"blocks.0.attn.mask": np.zeros((3, 3)), "blocks.0.attn.IGNORE": np.array(-np.inf)}
    assert transformer_lens.tidied({**bias, **extra, "embed.W_E": np.zeros(1)}).keys() == {"embed.W_E"}
    kept = {**bias, "blocks.0.mlp.b_in": np.ones(2)}
    assert transformer_lens.tidied(kept).keys() == {"blocks.0.mlp.b_in"}
    assert transformer_lens.tidied({**bias, "unembed.b_U": np.ones(2)}).keys() == bias.keys()


def test_the_model_card(trained: gl.Run, home: Path, tmp_path: Path) -> None:
    run = trained
    for to in ("transformer-lens", "transformer-lens-bridge", "safetensors"):
        folder = export(run, to=to, out=tmp_path / to)  # type: ignore[arg-type]
        card = (folder / "README.md").read_text("utf-8")
        front = yaml.safe_load(card.split("---")[1])
        assert "grokking" in front["tags"]
        values = {m["name"]: m["value"] for m in front["model-index"][0]["results"][0]["metrics"]}
        assert values["test accuracy"] == pytest.approx(run.summary()["test_accuracy"])
        compile(card.split("```python\n")[1].split("```")[0], "card", "exec")
        assert str(home) not in card + (folder / "config.json").read_text()


@pytest.mark.parametrize("name", ["transformer", "mlp"])
def test_the_card_of_plain_weights_runs(
    name: str, corpus: Corpus, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = corpus[name]
    monkeypatch.chdir(export(run, to="safetensors", out=tmp_path / "out"))
    made: dict[str, Any] = {}
    exec(Path("README.md").read_text("utf-8").split("```python\n")[1].split("```")[0], made)
    ends = build_task(run.experiment).inputs[[0, -1]]
    expected = gl.activations(run.weights(), ends, run.experiment.network)["logits"][:, -1]
    np.testing.assert_array_equal(made["logits"], expected)


def test_any_task_is_exported_with_all_of_its_answers(home: Path, tmp_path: Path) -> None:
    kinds: dict[str, tuple[dict[str, Any], str, int]] = {
        "group": ({"group": "S3"}, "`a b =`, such as `5 5 6`, whose answer is 0, read at the last position", 6),
        # fewer trigrams than tokens, any of which may be an answer
        "skip_trigrams": ({"n_trigrams": 5, "examples": 30}, "read at positions 7 to 7", 24),
        "digit_addition": ({"n_digits": 1, "examples": 30}, "read at positions 3 to 4", 10),
    }
    for kind, (settings, tokens, n_outputs) in kinds.items():
        run = untrained(tmp_path / kind, task={"kind": kind, **settings})
        folder = export(run, to="transformer-lens", out=tmp_path / kind / "out")
        card = (folder / "README.md").read_text("utf-8")
        assert tokens in card
        assert safetensors.numpy.load_file(folder / "model.safetensors")["unembed.W_U"].shape[1] == n_outputs
        assert f"[:, {'-1' if kind == 'group' else '7:8' if kind == 'skip_trigrams' else '3:5'}]" in card


def copied(folder: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, to)


@pytest.mark.parametrize("before", ["nothing", "an empty folder", "another export"])
def test_an_export_is_one_change(before: str, trained: gl.Run, tmp_path: Path) -> None:
    old, new, out = tmp_path / "old", tmp_path / "new", tmp_path / "here" / "out"
    export(trained, to="safetensors", out=new)
    if before == "an empty folder":
        old.mkdir()
    elif before == "another export":
        export(trained, to="transformer-lens-bridge", out=old, step=0)
    copied(old, out)
    wanted, places = {f"out/{name}": data for name, data in content(new).items()} | {"out": b""}, 0
    for _ in killed_everywhere(lambda: export(trained, to="safetensors", out=out), tmp_path):
        places += 1
        # whole or not there
        if (out / "model.safetensors").exists():
            assert {k: v for k, v in content(out).items() if "-part" not in k} in (content(old), content(new))
        for _ in range(2):
            export(trained, to="safetensors", out=out)
            assert content(out.parent) == wanted
        shutil.rmtree(out)
        copied(old, out)
    assert places > 8
    assert content(out.parent) == wanted


def test_an_export_that_fails_leaves_nothing(trained: gl.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("groklab.store.storage.os.fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        export(trained, to="safetensors", out=tmp_path / "there" / "out")
    assert not list((tmp_path / "there").iterdir())


def test_an_export_that_ctrl_c_stops_between_two_files_is_done_again(
    trained: gl.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export(trained, to="safetensors", out=tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    replace = os.replace

    def press(source: Path, target: Path) -> None:
        if target.parent == out:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", press)
    with pytest.raises(KeyboardInterrupt):
        export(trained, to="safetensors", out=out)
    monkeypatch.setattr(os, "replace", replace)
    assert not (out / "model.safetensors").exists()
    export(trained, to="safetensors", out=out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_folder_that_another_process_fills_is_left_alone(trained: gl.Run, tmp_path: Path) -> None:
    with storage.complete_folder(tmp_path / "theirs", last="x") as stage:
        export(trained, to="safetensors", out=tmp_path / "out")
        (stage / "x").touch()
    assert (tmp_path / "theirs" / "x").exists()


def test_the_command(trained: gl.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    run = trained

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", "export", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    code, out, _ = call(f"{run.name}@0", "--to", "safetensors", "--out", str(tmp_path / "x"), "--json")
    assert code == 0
    found = json.loads(out)
    assert found["export"] == str(tmp_path / "x")
    assert set(found["files"]) == {"README.md", "config.json", "metrics.csv", "model.safetensors"}
    (tmp_path / "taken").write_text("")
    for words, part in (
        ([run.name, "--to", "onnx"], "to = 'onnx'"),
        ([run.name], "--to"),
        (["nothing", "--to", "safetensors"], "no run is named"),
        ([f"{run.name}@999", "--to", "safetensors"], "keeps no checkpoint of step 999"),
        ([f"{run.name}@x", "--to", "safetensors"], "RUN@STEP"),
        ([run.name, "--to", "safetensors", "--out", str(tmp_path / "taken")], "is a file"),
    ):
        code, out, err = call(*words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert part in err


def test_other_files_of_a_folder_are_left_alone(corpus: Corpus, tmp_path: Path) -> None:
    run = corpus["mlp"]
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("mine")
    with pytest.raises(gl.InputError, match="holds other files"):
        gl.export(run, to="safetensors", out=folder)
    assert (folder / "README.md").read_text() == "mine"
    with pytest.raises(gl.InputError, match="is a file"):
        gl.export(run, to="safetensors", out=folder / "README.md")
    gl.export(run, to="safetensors", out=tmp_path / "twice")
    gl.export(run, to="safetensors", out=tmp_path / "twice")
