"""Whatever groklab exports it imports to the same bits: every registered kind of task, network and learner."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab import registry
from groklab.errors import DamagedError, InputError
from groklab.registry import kinds
from groklab.report import write_report
from groklab.store import digest
from groklab.training import build_task
from killing import content, killed_everywhere

#: A tiny transformer.
TINY = {"network.d_model": 8, "network.n_heads": 2, "network.d_mlp": 16, "budget.steps": 2}


def csv_of(folder: Path) -> str:
    rows = [f"{a},{b},{(a + b) % 23}" for a in range(23) for b in range(23)]
    (folder / "sums.csv").write_text("\n".join(["a,b,sum", *rows]) + "\n")
    return str(folder / "sums.csv")


def npz_of(folder: Path) -> str:
    draws = np.random.default_rng(0)
    np.savez(folder / "points.npz", inputs=draws.normal(size=(40, 3)), answers=draws.integers(0, 2, 40))
    return str(folder / "points.npz")


def micro(**task: Any) -> gl.Experiment:
    """The shapes of `micro`, whose program is compiled already."""
    return gl.read({**gl.preset("micro", {"budget.steps": 20}).to_dict(), "task": task})


def teacher() -> gl.Experiment:
    return gl.read({"task": "teacher_student", "network": "dense", "objective": "mse"}, {"budget.steps": 2})


def lazy() -> gl.Experiment:
    small = {"task.d_in": 4, "task.examples": 40, "network.d_hidden": 5, "split.n_train": 20, "budget.steps": 2}
    return gl.preset("kumar2023/rich", small)


def sequences(kind: str, **task: Any) -> gl.Experiment:
    return gl.read({"task": {"kind": kind, "examples": 30, **task}}, TINY)


#: Experiments, or names of the corpus, for each kind; a kind without one fails.
CASES: dict[str, dict[str, str | Callable[[Path], gl.Experiment]]] = {
    "learner": {"gradient_descent": "mlp", "rfm": "rfm", "effective_theory": "flow"},
    "network": {
        "transformer": "transformer",
        "mlp": "mlp",
        "embedding_decoder": "toy",
        "dense": lambda _: gl.read(
            {"task": "teacher_student", "network": "dense", "objective": "mse"}, {"budget.steps": 2}
        ),
        "committee": lambda _: lazy(),
    },
    "task": {
        "arithmetic": "transformer",
        "random_labels": lambda _: micro(kind="random_labels", p=23, layout="a b"),
        "group": lambda _: micro(kind="group", group="C23", layout="a b"),
        "table": lambda folder: micro(kind="table", path=csv_of(folder)),
        "vectors": lambda folder: gl.read(
            {"task": {"kind": "vectors", "path": npz_of(folder)}, "learner": {"kind": "rfm", "ridge": 1.0}},
            {"budget.steps": 2},
        ),
        "mixture": "mixture",
        "mnist": lambda _: gl.read(
            {"task": {"kind": "mnist", "first": 40}, "learner": {"kind": "rfm", "ridge": 1.0}}, {"budget.steps": 1}
        ),
        "teacher_student": lambda _: teacher(),
        "quadratic_target": lambda _: lazy(),
        "integers": lambda _: micro(kind="integers", p=23),
        "parity": lambda _: gl.read({"task": {"kind": "parity", "bits": 6}}, TINY),
        "digit_addition": lambda _: sequences("digit_addition", n_digits=1),
        "repeated_subsequence": lambda _: sequences("repeated_subsequence", vocabulary=5, seq_len=9, subsequence=2),
        "skip_trigrams": lambda _: gl.read(sequences("skip_trigrams"), {"task.data": "infinite", "batch_size": 8}),
    },
}


def check_same(back: gl.Run, run: gl.Run, member: int | None = None) -> None:
    """All but what the run is called is as it was."""
    own = (
        run.summary()
        if member is None
        else {k: v[member] for k, v in run.summary().items() if isinstance(v, list) and v}
    )
    found = back.summary()
    for key in ("memorised_step", "grokked_step", "censored", "seed", "weights_sha256", "operations"):
        assert found.get(key) == own.get(key), key
    for key in ("train_accuracy", "test_accuracy", "train_loss", "test_loss"):
        assert found[key] == own[key], key
    assert back.identities == [run.identities[member or 0]]
    assert digest(back.weights()) == digest(run.weights(member=member if run.n_members > 1 else None))
    frame = run.metrics.filter(run.metrics["member"] == (member or 0)).drop("member")
    assert back.metrics.drop("member").equals(frame)
    assert back.imported is not None
    assert not back.imported.warnings


@pytest.mark.parametrize(("family", "kind"), [(f, k) for f in CASES for k in sorted(kinds(f))])
def test_what_is_exported_is_imported(
    family: str, kind: str, corpus: Corpus, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kind in CASES[family], "a kind needs an experiment here"
    case = CASES[family][kind]
    run = corpus[case] if isinstance(case, str) else gl.train(case(tmp_path))
    folder = gl.export(run, to="safetensors", out=tmp_path / "out")
    # as on another machine: neither files nor folders of the training are there
    for file in (*tmp_path.glob("*.csv"), *tmp_path.glob("*.npz")):
        file.unlink()
    back = gl.import_file(folder)
    shutil.rmtree(folder)
    check_same(back, run)
    assert back.experiment.identity == run.identities[0]
    assert not back.changes
    assert build_task(back.experiment).n_inputs
    if family == "learner":
        # a page takes seconds
        page = write_report([back], tmp_path / "page.html").read_text("utf-8")
        assert "cannot be built again" not in page
        assert "Traceback" not in page


def test_a_member_of_an_ensemble_is_imported(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    run = corpus["ensemble"]
    check_same(gl.import_file(gl.export(run, to="safetensors", out=tmp_path, member=2)), run, 2)


def test_a_member_that_retired_is_imported_as_it_stopped(home: Path, tmp_path: Path) -> None:
    settings = {"optimiser.learning_rate": 0.03, "budget.steps": 200, "evaluation.every": 2}
    rule = {"budget.stop_when_grokked": True, "budget.retire": True}
    # with the first of these decays it groks, with the other one it does not
    members = [gl.preset("micro-fast", {**settings, **rule, "optimiser.weight_decay": w}) for w in (4.0, 0.0)]
    run = gl.train(members)
    assert run.status.members[0].steps == 100
    for member in range(2):
        folder = gl.export(run, to="safetensors", out=tmp_path / str(member), member=member)
        check_same(gl.import_file(folder), run, member)


def test_weights_that_started_elsewhere_keep_their_identity(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    start = {"start.run": str(corpus["mlp"].path), "start.take": ["unembedding"], "start.freeze": True}
    run = gl.train(gl.preset("micro-fast", {**start, "budget.steps": 20}))
    back = gl.import_file(gl.export(run, to="safetensors", out=tmp_path / "out"))
    check_same(back, run)
    assert back.experiment.start.run == corpus["mlp"].name
    assert str(corpus.home) not in (tmp_path / "out" / "config.json").read_text()


PLUGIN = """
import groklab as gl
import numpy as np
from rules import larger

@gl.register("task", "larger_of_two")
class Larger:
    p: int = 23

    def build(self):
        x, y = np.divmod(np.arange(self.p**2, dtype=np.int32), self.p)
        return gl.Task("larger", np.stack([x, y], 1), larger(x, y), d_vocab=self.p, n_classes=self.p)
"""


def test_plug_ins_come_along_and_run_only_where_they_are_trusted(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my_task.py").write_text(PLUGIN)
    (mine / "rules.py").write_text("from numpy import maximum as larger\n")
    gl.load_plugin(mine / "my_task.py")
    run = gl.train(micro(kind="larger_of_two"))
    folder = gl.export(run, to="safetensors", out=tmp_path / "out")
    card = (folder / "README.md").read_text("utf-8")
    assert "`files/plugin-0/my_task.py`: code, which runs with `--trust-plugin`" in card
    check_same(gl.import_file(folder, home=tmp_path / "own"), run)

    # as another user
    registry.unload_plugins()
    shutil.rmtree(mine)
    monkeypatch.setattr("groklab.plugins._trust._OWN", set())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"needs the code of .*my_task\.py, .*; --trust-plugin"):
        gl.import_file(folder)
    assert not list(home.glob("imported-*"))
    assert not registry.loaded_plugins()
    back = gl.import_file(folder, trust_plugin=True)
    check_same(back, run)
    shutil.rmtree(folder)
    registry.unload_plugins()
    assert gl.Run(back.path, trust_plugin=True).experiment.identity == run.identities[0]
    registry.unload_plugins()
    with pytest.raises(InputError, match="trust-plugin"):
        gl.take(gl.Run(back.path), "errors")


def test_an_altered_plug_in_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text(PLUGIN)
    (tmp_path / "rules.py").write_text("from numpy import minimum as larger\n")
    gl.load_plugin(tmp_path / "my_task.py")
    folder = gl.export(gl.train(micro(kind="larger_of_two")), to="safetensors", out=tmp_path / "out")
    (folder / "files" / "plugin-0" / "rules.py").write_text("raise SystemExit('ran')")
    with pytest.raises(DamagedError, match=r"my_task\.py is damaged"):
        gl.import_file(folder, trust_plugin=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("split", [{"frac_train": 0.7, "split_seed": 0}, {}], ids=["known", "unknown"])
def test_what_was_imported_is_exported_with_what_was_assumed(
    split: dict[str, Any], corpus: Corpus, home: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "weights.npz", **corpus["transformer"].weights())
    run = gl.import_file(tmp_path / "weights.npz", p=11, operation="add", **split)
    back = gl.import_file(gl.export(run, to="safetensors", out=tmp_path / "out"))
    assert back.imported is not None
    assert run.imported is not None
    assert back.imported.warnings == run.imported.warnings != []
    assert not back.imported.exact_steps
    for key in ("memorised_step", "grokked_step", "weights_sha256"):
        assert back.summary()[key] == run.summary()[key]
    assert back.metrics.equals(run.metrics)


def test_a_diverged_run_is_imported_as_one(home: Path, tmp_path: Path) -> None:
    settings = {"optimiser.learning_rate": 1e38, "optimiser.weight_decay": 1.0, "budget.steps": 20}
    run = gl.train(gl.preset("micro", settings))
    assert run.status.state == "diverged"
    back = gl.import_file(gl.export(run, to="safetensors", out=tmp_path / "out"))
    check_same(back, run)
    assert back.status.state == "diverged"


def test_an_import_is_one_change(home: Path, tmp_path: Path) -> None:
    run = gl.train(micro(kind="table", path=csv_of(tmp_path)))
    folder = gl.export(run, to="safetensors", out=tmp_path / "out")
    undisturbed = gl.import_file(folder, home=tmp_path / "wanted")
    wanted = content(tmp_path / "wanted")
    places = 0
    for _ in killed_everywhere(lambda: gl.import_file(folder, home=tmp_path / "there"), tmp_path / "there"):
        places += 1
        for left in gl.runs(str(tmp_path / "there")):
            assert left.summary() == {**undisturbed.summary(), "path": str(left.path)}
        (tmp_path / "there" / "index.sqlite").unlink(missing_ok=True)
        gl.import_file(folder, home=tmp_path / "there")
        assert content(tmp_path / "there") == wanted
        shutil.rmtree(tmp_path / "there")
    assert places > 15


def test_what_does_not_belong_together_is_refused(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    folder = gl.export(corpus["mlp"], to="safetensors", out=tmp_path / "out")
    table = (folder / "metrics.csv").read_text().splitlines()
    names = table[0].split(",")
    last = dict(zip(names, table[-1].split(","), strict=True))

    def with_last(**changes: str) -> None:
        row = ",".join({**last, **changes}[name] for name in names)
        (folder / "metrics.csv").write_text("\n".join([*table[:-1], row]) + "\n")

    with_last(test_accuracy="0.5")
    with pytest.raises(InputError, match=r"records a test accuracy of 0\.5 at step .*; these weights have 1"):
        gl.import_file(folder)
    with_last(train_loss="3")
    with pytest.raises(InputError, match="records a train loss of 3"):
        gl.import_file(folder)
    for content_of_table in (
        "",
        "step\n1\n",
        "step,x\nyes,no\n",
        "\n".join([table[0], table[-1], table[1]]),
        "step\n1,2\n",
        "\0\xff",
    ):
        (folder / "metrics.csv").write_text(content_of_table)
        with pytest.raises(DamagedError, match=r"metrics\.csv cannot be read") as refusal:
            gl.import_file(folder)
        assert "\n" not in str(refusal.value)
    (folder / "metrics.csv").unlink()
    with pytest.warns(UserWarning, match=r"no metrics\.csv is used"):
        assert gl.import_file(folder).summary()["weights_sha256"] == corpus["mlp"].summary()["weights_sha256"]
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(DamagedError, match="its checksum does not match"):
        gl.import_file(folder)


def test_an_altered_table_is_refused(home: Path, tmp_path: Path) -> None:
    folder = gl.export(gl.train(micro(kind="table", path=csv_of(tmp_path))), to="safetensors", out=tmp_path / "out")
    file = next((folder / "files").rglob("*.csv"))
    file.write_text(file.read_text() + "0,0,1\n")
    with pytest.raises(DamagedError, match=r"sums\.csv is damaged"):
        gl.import_file(folder)
    file.unlink()
    with pytest.raises(InputError, match=r"needs the file files/path/sums\.csv beside it"):
        gl.import_file(folder)
    assert not list(home.glob("imported-*"))
