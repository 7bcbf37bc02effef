"""Files of weights become runs: what they tell is kept, what they do not is asked for."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import groklab as gl
from corpus import Corpus
from crafting import Tensor, torch_file
from groklab.cli import main
from groklab.errors import InputError
from groklab.interop import _transformer_lens as transformer_lens
from groklab.interop import import_file
from groklab.interop._importing import evaluate
from groklab.report import write_report
from groklab.store import Run
from groklab.tasks import make_split
from groklab.training import build_task

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SETTINGS = {
    "task.p": 11,
    "network.d_model": 8,
    "network.n_heads": 2,
    "network.d_mlp": 16,
    "split.method": "python_shuffle",
    "split.seed": 3,
    "split.frac_train": 0.4,
    "budget.steps": 400,
    "budget.stop_when_grokked": False,
    "optimiser.learning_rate": 0.01,
}
TOLD = {"p": 11, "operation": "add", "frac_train": 0.4, "split_seed": 3}


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> Run:
    """A small model that has memorised, so that its losses tell what it was trained on."""
    return corpus.train(gl.preset("demo", SETTINGS))


def released(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our weights in the layout of the released files."""
    made = {}
    for name, array in weights.items():
        short = name.rsplit(".", 1)[-1]
        if short in ("W_Q", "W_K", "W_V"):
            array = np.swapaxes(array, 1, 2)
        elif short == "W_O":
            array = array.reshape(-1, array.shape[2]).T
        elif short in ("W_E", "W_in", "W_out"):
            array = array.T
        made[name] = np.ascontiguousarray(array)
    return made


def content_of(run: Run, **changes: Any) -> dict[str, Any]:
    """What the released files hold."""
    curves = run.curves()
    n = run.status.step
    train = np.interp(np.arange(n), curves["step"], curves["train_loss"])
    test = np.interp(np.arange(0, n, 10), curves["step"], curves["test_loss"])
    group = {"lr": 0.01, "initial_lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-8, "weight_decay": 2.0, "params": [0]}
    found = {
        "model": {**released(run.weights()), "blocks.0.attn.mask": np.tril(np.ones((3, 3), np.float32))},
        "optimizer": {"state": {0: {"step": n}}, "param_groups": [group]},
        "scheduler": {"base_lrs": [0.01]},
        "train_losses": [Tensor(np.array(x)) if i == n - 1 else float(x) for i, x in enumerate(train)],
        "test_losses": test.tolist(),
        "epoch": n - 1,
        "config": {"lr": 0.01, "p": 11, "fn_name": "add", "frac_train": 0.4, "seed": 3, "weight_decay": 2.0},
    }
    return {k: v for k, v in {**found, **changes}.items() if v is not None}


def written(folder: Path, content: Any, name: str = "file.pth") -> Path:
    path = folder / name
    path.write_bytes(torch_file(content))
    return path


def test_a_file_as_they_were_released(trained: Run, tmp_path: Path) -> None:
    run = import_file(written(tmp_path, content_of(trained)))
    e, status = run.experiment, run.status
    assert (status.state, status.reason, status.step) == ("finished", "imported", 400)
    assert (e.task.p, e.task.expression, e.task.outputs, e.task.layout) == (11, "x + y", "vocabulary", "a b =")
    assert (e.split.method, e.split.seed, e.split.frac_train) == ("python_shuffle", 3, 0.4)
    assert (e.optimiser.weight_decay, e.optimiser.b2, e.optimiser.warmup_steps) == (2.0, 0.98, 10)
    assert (e.seed, e.budget.steps, e.network) == (
        3,
        400,
        trained.experiment.network.__class__(**{**vars(trained.experiment.network), "d_head": 4, "d_mlp": 16}),
    )
    for name, array in trained.weights().items():
        np.testing.assert_array_equal(run.weights(400)[name], array)
    last, wanted = run.summary(), trained.summary()
    assert last["weights_sha256"] == wanted["weights_sha256"]
    for key in ("train_accuracy", "test_accuracy"):
        assert last[key] == pytest.approx(wanted[key], abs=1e-6)
    for key in ("train_loss", "test_loss"):
        assert last[key] == pytest.approx(wanted[key], rel=1e-3)
    assert run.metrics["step"].to_list() == [*range(0, 400, 10), 400]
    assert run.metrics["test_loss"].null_count() == 0
    assert import_file(tmp_path / "file.pth").path == run.path
    assert write_report([run]).stat().st_size > 10_000
    assert len(gl.take(run, "embedding_spectrum")) > 0


def test_the_optimisers_decay_goes_before_the_configs(trained: Run, tmp_path: Path) -> None:
    content = content_of(trained)
    content["config"]["weight_decay"] = 1
    with pytest.warns(UserWarning, match="gives the weight decay as 1, the state of its optimiser as 2"):
        run = import_file(written(tmp_path, content))
    assert run.experiment.optimiser.weight_decay == 2.0
    assert any("weight decay" in note for note in run.imported.warnings)


def test_the_split_is_found_from_the_losses(trained: Run, tmp_path: Path) -> None:
    file = written(tmp_path, content_of(trained, config=None, optimizer=None))
    run = import_file(file, p=11, operation="add")
    assert (run.experiment.split.seed, run.experiment.split.frac_train) == (3, 0.4)
    assert any("was recognised: python_shuffle, seed 3, 0.4" in note for note in run.imported.warnings)
    losses = [5.0] * 400
    content = content_of(trained, config=None, optimizer=None, train_losses=losses, test_losses=losses[::10])
    other = written(tmp_path, content, "x.pth")
    unknown = import_file(other, p=11, operation="add", ignore_losses=True)
    note = "no published split alone agrees with its losses: the split is unknown, and test numbers are of all inputs"
    assert any(note in n for n in unknown.imported.warnings)
    with pytest.raises(InputError, match=r"a split needs both: give --frac-train and --split-seed"):
        import_file(other, p=11, operation="add", split_seed=3)
    with pytest.raises(InputError, match="disagrees with the recorded losses"):
        import_file(file, p=11, operation="add", split_seed=4)


def test_recorded_losses_of_another_split_are_refused(trained: Run, tmp_path: Path) -> None:
    file = written(tmp_path, content_of(trained))
    with pytest.raises(InputError, match=r"the task, the split or the network is another \(--ignore-losses"):
        import_file(file, split_seed=5)
    with pytest.warns(UserWarning, match="the task, the split or the network may be another"):
        import_file(file, split_seed=5, ignore_losses=True)


@pytest.mark.parametrize("form", ["pth", "npz", "safetensors", "released.npz", "lens.safetensors", "bare.pth"])
def test_weights_alone(form: str, trained: Run, tmp_path: Path) -> None:
    weights = trained.weights()
    file = tmp_path / f"weights.{form}"
    if form == "lens.safetensors":
        network = {**trained.experiment.to_dict()["network"]}
        lens = transformer_lens.export_weights(weights, network, 12)
        safetensors.numpy.save_file(lens, file)
    elif form == "released.npz":
        np.savez(file, **released(weights))
    elif form == "npz":
        np.savez(file, **weights)
    elif form == "safetensors":
        safetensors.numpy.save_file(weights, file)
    else:
        file.write_bytes(torch_file(weights if form == "bare.pth" else {"state_dict": weights}))
    run = import_file(file, **TOLD)
    for name, array in weights.items():
        np.testing.assert_array_equal(run.weights()[name], array)
    assert run.status.step == 0
    assert run.summary()["train_accuracy"] == pytest.approx(trained.summary()["train_accuracy"], abs=1e-6)


def test_it_goes_on_only_as_a_start(trained: Run, tmp_path: Path) -> None:
    run = import_file(written(tmp_path, content_of(trained)))
    assert gl.resume(run).status.reason == "imported"
    with pytest.raises(InputError, match=r"was imported without its optimiser's state .* --from .*@400"):
        gl.resume(run, {"budget.steps": 500})
    branch = gl.train(
        gl.preset("demo", {**SETTINGS, "budget.steps": 10, "start.run": str(run.path), "start.step": 400})
    )
    assert branch.metrics["train_loss"][0] == pytest.approx(trained.metrics["train_loss"][-1], rel=1e-3)
    # the same description trained here is another run
    assert gl.train(gl.read(run.experiment, {"budget.steps": 10})).path != run.path


BAD = {
    "p is missing": ({"config": None}, {"operation": "add"}, "does not record the modulus p of its task; give --p"),
    "operation is missing": (
        {"config": None},
        {"p": 11},
        "does not record the operation of its task; give --operation",
    ),
    "p contradicts": ({}, {"p": 13}, "p = 13 contradicts the weights, which are of 12 tokens, 3 positions and 12"),
    "p is no number": ({"config": {"p": "many", "fn_name": "add"}}, {}, "task.p"),
    "p is absurd": ({"config": {"p": 10**20, "fn_name": "add"}}, {}, "contradicts the weights"),
    "operation is unknown": ({}, {"operation": "addd"}, "task.expression"),
    "a random table": ({"config": {"p": 11, "fn_name": "rand"}}, {}, "drawn again at every look-up"),
    "bad fraction": ({}, {"frac_train": 1.5}, "split.frac_train"),
    "bad seed": ({}, {"split_seed": -1}, "split.seed"),
    "bad decay": ({}, {"weight_decay": -1.0}, "optimiser.weight_decay"),
    "no weights": ({"model": None}, {}, "holds no model's weights by name"),
    "another model": ({"model": {"attn_blocks.0.attn.W_Q": np.ones((2, 2))}}, {}, "a model that no task here has"),
    "no floats": ({"model": {"embed.W_E": np.ones((12, 8), np.int64), "unembed.W_U": np.ones((8, 12))}}, {}, "int64"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_imported(
    case: str, trained: Run, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    changes, options, part = BAD[case]
    file = written(tmp_path, content_of(trained, **changes))
    with pytest.raises(InputError, match=part):
        import_file(file, **options)
    words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    assert part.split("; ")[0] in refused(["import", str(file), *words], monkeypatch, capsys)
    assert not home.exists()


def refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1), err
    return str(err)


def test_bad_weights(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def model(**changes: Any) -> dict[str, Any]:
        found = {**released(trained.weights()), **changes}
        return content_of(trained, model={k.replace("__", "."): v for k, v in found.items() if v is not None})

    spoilt = trained.weights()["unembed.W_U"].copy()
    for value in (np.nan, np.inf):
        spoilt[0, 0] = value
        with pytest.raises(InputError, match=r"unembed\.W_U holds numbers that are not finite"):
            import_file(written(tmp_path, model(unembed__W_U=spoilt)))
    cases = [
        (model(blocks__0__mlp__W_in=np.ones((4, 4), np.float32)), "blocks.0.mlp"),
        (model(blocks__0__attn__W_O=np.ones((5, 7), np.float32)), "unknown shape"),
        (model(blocks__0__attn__W_Q=np.ones((5,), np.float32)), "unknown shape"),
        (model(more=np.ones(3, np.float32)), "more"),
        (model(pos_embed__W_pos=np.ones((5, 8), np.float32)), "5 positions"),
    ]
    for content, part in cases:
        assert part in refused(["import", str(written(tmp_path, content))], monkeypatch, capsys)


def test_other_files(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 50)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    np.savez(tmp_path / "objects.npz", W=np.array([{}], object))
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.pth").write_bytes(torch_file([1.0, 2.0]))
    for name in ("cut.safetensors", "cut.npz", "objects.npz", "text.txt", "empty", "nowhere.pth", "list.pth"):
        assert name in refused(["import", str(tmp_path / name)], monkeypatch, capsys)
    assert not home.exists()


def test_a_file_of_another_kind_is_refused_by_its_first_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashlib, "sha256", lambda *_: pytest.fail("read to its end"))
    (tmp_path / "zeros.pt").write_bytes(bytes(1000))
    with pytest.raises(gl.InputError, match="not a file of PyTorch"):
        gl.import_file(tmp_path / "zeros.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(gl.InputError, match=r"pipe\.pt cannot be read: it is not a regular file"):
        gl.import_file(tmp_path / "pipe.pt")


def test_a_described_file_runs_nothing_of_its_own(trained: Run, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text("raise SystemExit('ran')")
    described = {"experiment": {**trained.experiment.to_dict(), "plugins": [str(plugin)]}, "step": 400}

    def save(description: Any) -> Path:
        file = tmp_path / "x.safetensors"
        safetensors.numpy.save_file(trained.weights(), file, metadata={"groklab_export": json.dumps(description)})
        return file

    assert import_file(save(described)).experiment.plugins == ()
    described["experiment"]["task"] = {"kind": "table", "path": "/etc/passwd"}
    with pytest.raises(InputError, match=r"task\.path = '/etc/passwd': is not among the files of the export"):
        import_file(save(described))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "link").symlink_to("/etc/passwd")
    for path in ("/etc/passwd", "files/../../../etc/passwd", "files/link", "plugin.py", "", None):
        described["files"] = {"task.path": {"path": path, "sha256": ""}}
        with pytest.raises(InputError, match="needs to be in the folder files beside it"):
            import_file(save(described))
    for odd in (
        5,
        {"task.path": 5},
        {"task.path": {"path": "files/x"}},
        {"task.p": {"path": "files/x", "sha256": "x"}},
    ):
        with pytest.raises(InputError):
            import_file(save({**described, "files": odd}))
    for odd in ({"experiment": 5}, {"experiment": {"task": {"kind": ["x"]}}}, {"experiment": {"task": {"kind": "x"}}}):
        with pytest.raises(InputError):
            import_file(save(odd))


def test_the_command(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    file = written(tmp_path, content_of(trained))
    monkeypatch.setattr(sys, "argv", ["groklab", "import", str(file), "--json"])
    with pytest.raises(SystemExit) as ended, warnings.catch_warnings():
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    found = json.loads(out)
    assert (found["reason"], found["steps"]) == ("imported", 400)
    assert found["warnings"]
    assert all(f"note: {note}" in err for note in found["warnings"])


def test_the_released_file(reference: Path) -> None:
    with pytest.warns(UserWarning, match="config gives the weight decay as 1, the state of its optimiser as 0.1"):
        run = import_file(reference / "nanda2023_wd0.1_seed1.pth")
    e, s = run.experiment, run.summary()
    assert (e.task.p, e.task.expression, e.split.frac_train, e.split.seed) == (113, "x + y", 0.3, 1)
    assert (e.optimiser.weight_decay, e.budget.steps, e.seed) == (0.1, 107_791, 1)
    assert s["train_loss"] == pytest.approx(9.202423534e-9, rel=1e-7)
    assert s["test_loss"] == pytest.approx(4.988378940e-7, rel=1e-7)
    assert (s["train_accuracy"], s["test_accuracy"]) == (1, 1)
    curves = run.curves()
    assert curves["train_loss"][0] == pytest.approx(4.776912162848, rel=1e-6)
    assert curves["test_loss"][1] == pytest.approx(4.760619993952, rel=1e-6)
    assert 97_000 < s["grokked_step"] < 100_000
    # the outputs that answer, alone
    task = build_task(gl.read(e, {"task.outputs": "answers"}))
    weights = run.weights()
    weights["unembed.W_U"] = weights["unembed.W_U"][:, :113]
    seen = evaluate(gl.read(e, {"task.outputs": "answers"}), task, weights)
    rows = make_split(e.split, task, 1)
    assert seen.losses[rows.train].mean() == pytest.approx(9.2024e-9, rel=1e-4)
    assert seen.losses[rows.test].mean() == pytest.approx(4.98838e-7, rel=1e-5)
