"""Looking at a run executes nothing of it, and nothing is computed with a file that has changed since."""

from __future__ import annotations

import importlib.util
import json
import os
import py_compile
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.cli import main
from groklab.plugins import _trust
from groklab.registry import read_plugin, unload_plugins
from groklab.sweeps import Sweep, make_plan, pack
from groklab.training import _ensemble

PLUGIN = '''
import pathlib
import groklab as gl
import numpy as np

pathlib.Path({marker!r}).touch()
print("printed by the plug-in")


@gl.register("task", "larger_of_strangers")
class Larger:
    """The larger of two numbers below p."""

    p: int = 7

    def build(self):
        print("printed while building")
        x, y = np.divmod(np.arange(self.p**2, dtype=np.int32), self.p)
        return gl.Task("larger", np.stack([x, y], axis=1), np.maximum(x, y), d_vocab=self.p, n_classes=self.p)
'''
KIND = "larger_of_strangers"
SETTINGS = {"task.kind": KIND, "task.p": 7, "network.d_mlp": 8, "budget.steps": 20}


@dataclass(frozen=True)
class Run:
    """A run with a plug-in, which leaves a file where it is executed."""

    path: Path
    plugin: Path
    marker: Path

    def executed(self) -> bool:
        ran = self.marker.exists()
        self.marker.unlink(missing_ok=True)
        return ran


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Makes this process one that has loaded no plug-in, on an account that has named none."""

    def begin_anew() -> None:
        unload_plugins()
        _ensemble._build_task.cache_clear()
        monkeypatch.setattr(_trust, "_OWN", set())
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"state-{os.urandom(4).hex()}"))

    begin_anew()
    yield begin_anew
    begin_anew()


@pytest.fixture
def own(tmp_path: Path, forget: Callable[[], None]) -> Run:
    """A run of the user's own."""
    plugin, marker = tmp_path / "larger.py", tmp_path / "executed"
    plugin.write_text(PLUGIN.format(marker=str(marker)))
    run = gl.train(gl.preset("micro", {**SETTINGS, "plugins": [str(plugin)]}))
    marker.unlink()
    return Run(run.path, plugin, marker)


@pytest.fixture
def strange(own: Run, tmp_path: Path, forget: Callable[[], None]) -> Run:
    """A copy of a run that someone else has trained."""
    copy = Path(shutil.copytree(own.path, tmp_path / "copied"))
    forget()
    return Run(copy, own.plugin, own.marker)


class Program:
    """The program, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["groklab", *map(str, arguments)])
        self.capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as ended:
                main()
        return int(ended.value.code or 0), *self.capsys.readouterr()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


LOOKING = (
    ("show",),
    ("show", "--json"),
    ("runs",),
    ("runs", "--json"),
    ("compare",),
    ("report",),
    ("runs", "tag", "RUN", "seen"),
)
COMPUTING = (
    ("measure",),
    ("measure", "--measure", "errors", "--json"),
    ("explain",),
    ("theory", "--run"),
    ("resume",),
    ("resume", "budget.steps=40"),
    ("export", "--to", "safetensors"),
    ("export", "--to", "transformer-lens"),
)


def arguments(words: tuple[str, ...], run: str | Path) -> list[str]:
    """Put the run's name at its place: where RUN is, behind `--run`, or behind the command."""
    if "RUN" in words:
        return [str(run) if word == "RUN" else word for word in words]
    if words[0] == "runs":
        return list(words)
    place = 2 if "--run" in words else 1
    return [*words[:place], str(run), *words[place:]]


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_at_a_run_executes_nothing_of_it(words: tuple[str, ...], strange: Run, program: Program) -> None:
    code, out, err = program(*arguments(words, strange.path))
    assert (code, strange.executed()) == (0, False), err
    assert "printed" not in out + err


@pytest.mark.parametrize("words", COMPUTING, ids=" ".join)
def test_what_needs_the_code_of_a_stranger_is_refused(words: tuple[str, ...], strange: Run, program: Program) -> None:
    code, out, err = program(*arguments(words, strange.path))
    assert (code, strange.executed(), out) == (2, False, "")
    assert err.count("\n") == 1
    assert str(strange.plugin) in err
    assert "--trust-plugin" in err


def test_python_executes_nothing_of_a_stranger_either(strange: Run, home: Path) -> None:
    shutil.copytree(strange.path, home / "copied", dirs_exist_ok=True)
    run = gl.Run(strange.path)
    assert run.status.state == "finished"
    assert len(run.metrics) == len(run.curves()["step"]) > 0
    assert run.recorded[0].task == {"kind": KIND, "p": 7}
    assert run.recorded[0].to_dict()["task"] == {"kind": KIND, "p": 7}
    assert run.changes == []
    assert {r.name for r in gl.runs()} >= {"copied"}
    compared = gl.compare([run, gl.Collection().find("copied")])
    assert "generalise" in str(compared)
    assert all(m.problem for m in compared.models)
    needing: list[Callable[[], Any]] = [
        lambda: run.experiment,
        lambda: gl.take(run, "errors"),
        lambda: gl.explain(run),
        lambda: gl.resume(run, {"budget.steps": 40}),
        lambda: gl.train(run.recorded[0]),
        lambda: gl.read(run.recorded[0], {"seed": 1}),
        lambda: gl.tasks.make_split(run.recorded[0].split, run.recorded[0].task.build(), 0),
    ]
    for need in needing:
        with pytest.raises(gl.InputError, match=f"trust_plugin=True|needs the code of|the code of '{KIND}'"):
            need()
    assert not strange.executed()


def test_the_page_of_a_strangers_run_shows_what_was_kept(strange: Run, program: Program) -> None:
    assert program("report", strange.path)[0] == 0
    page = (strange.path / "report.html").read_text()
    assert "which you have not named with --plugin" in page
    assert KIND in page
    assert not strange.executed()


def test_a_preset_in_a_strangers_run_does_not_name_its_plugin(strange: Run, program: Program) -> None:
    """The command that trains a run again is found by trying settings."""
    assert gl.Run(strange.path).recorded[0].name == "micro"
    assert program("report", strange.path)[0] == 0
    assert not strange.executed()
    assert not _trust._remembered()


def test_the_option_runs_it_once(strange: Run, program: Program) -> None:
    code, out, err = program("measure", strange.path, "--measure", "errors", "--json", "--trust-plugin")
    assert (code, strange.executed()) == (0, True), err
    assert out.count("\n") == 1
    assert json.loads(out)["measure"] == "errors"
    assert "printed by the plug-in" in err
    assert "printed while building" in err
    assert not _trust._remembered()


def test_a_plugin_that_was_named_is_loaded_for_its_runs(own: Run, forget: Callable[[], None], program: Program) -> None:
    forget()
    assert program("measure", own.path)[0] == 2
    gl.load_plugin(own.plugin)
    store = Path(os.environ["XDG_STATE_HOME"]) / "groklab" / "plugins"
    assert (store.stat().st_mode & 0o777, store.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    unload_plugins()
    _trust._OWN.clear()
    own.executed()
    code, _, err = program("measure", own.path, "--measure", "errors")
    assert (code, own.executed()) == (0, True), err


def test_a_file_of_names_that_others_may_write_counts_for_nothing(own: Run, program: Program) -> None:
    store = Path(os.environ["XDG_STATE_HOME"]) / "groklab" / "plugins"
    unload_plugins()
    _trust._OWN.clear()
    assert program("measure", own.path, "--measure", "errors")[0] == 0
    unload_plugins()
    store.chmod(0o666)
    assert program("measure", own.path, "--measure", "errors")[0] == 2


def test_a_folder_of_runs_cannot_say_what_is_the_users_own(strange: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = read_plugin(strange.plugin).sha256
    (strange.path / "groklab").mkdir()
    (strange.path / "groklab" / "plugins").write_text(f"{digest} {strange.plugin}\n")
    monkeypatch.setenv("XDG_STATE_HOME", ".")
    monkeypatch.setenv("HOME", str(strange.path / "nowhere"))
    monkeypatch.chdir(strange.path)
    with pytest.raises(gl.InputError, match="not named"):
        _ = gl.Run(strange.path).experiment
    assert not strange.executed()


def test_compiled_code_beside_a_plugin_is_not_taken_for_it(own: Run, tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'evil-ran')!r}).touch()\n")
    stat = own.plugin.stat()
    cache = Path(importlib.util.cache_from_source(str(own.plugin)))
    code = Path(py_compile.compile(str(evil), str(cache), doraise=True) or "").read_bytes()
    fields = int(stat.st_mtime).to_bytes(4, "little") + stat.st_size.to_bytes(4, "little")
    cache.write_bytes(code[:8] + fields + code[16:])
    unload_plugins()
    assert gl.Run(own.path).experiment.task.p == 7
    assert own.executed()
    assert not (tmp_path / "evil-ran").exists()


def test_a_module_beside_a_plugin_is_part_of_what_was_named(own: Run, tmp_path: Path) -> None:
    own.plugin.write_text("import helper_of_larger\n" + own.plugin.read_text())
    helper, evil = tmp_path / "helper_of_larger.py", tmp_path / "evil-ran"
    helper.write_text("X = 1\n")
    run = gl.train(gl.preset("micro", {**SETTINGS, "plugins": [str(own.plugin)]}))
    helper.write_text(f"import pathlib\npathlib.Path({str(evil)!r}).touch()\n")
    unload_plugins()
    own.executed()
    with pytest.raises(gl.InputError, match="has changed since"):
        _ = gl.Run(run.path).experiment
    assert not evil.exists()
    assert not own.executed()


def test_a_plugin_that_changed_is_named_and_not_computed_with(own: Run, program: Program) -> None:
    before = read_plugin(own.plugin).sha256
    own.plugin.write_text(own.plugin.read_text() + "\n# another line\n")
    unload_plugins()
    code, out, err = program("measure", own.path, "--measure", "errors")
    assert (code, out, own.executed()) == (2, "", False)
    for part in (str(own.plugin), before[:12], read_plugin(own.plugin).sha256[:12], "--trust-plugin"):
        assert part in err
    code, out, _ = program("show", own.path)
    assert (code, own.executed()) == (0, False)
    assert f"{own.plugin} has changed since" in out
    code, _, err = program("measure", own.path, "--measure", "errors", "--trust-plugin")
    assert code == 0
    assert "used as it is now" in err
    # other code trains another experiment, trusted or not
    own.executed()
    for trust in ([], ["--trust-plugin"]):
        code, _, err = program("resume", own.path, "budget.steps=40", *trust)
        assert (code, own.executed()) == (2, False)
        assert f"{own.plugin} has changed since" in err
        assert ("put it back as it was, or train again" if trust else "cannot resume with it") in err


def test_a_plugin_that_moved_leaves_its_runs_readable(own: Run, program: Program, tmp_path: Path) -> None:
    moved = own.plugin.rename(tmp_path / "moved.py")
    unload_plugins()
    assert [r.name for r in gl.runs()] == [own.path.name]
    listed = json.loads(program("runs", "--json")[1])["runs"]
    assert [r["status"] for r in listed] == ["finished"]
    code, out, _ = program("show", own.path)
    assert code == 0
    assert f"{own.plugin}, which is not there any more" in out
    assert program("report", own.path)[0] == 0
    code, _, err = program("measure", own.path, "--measure", "errors")
    assert code == 2
    assert f"{own.plugin}, which is not there any more" in err
    # named once where it is now
    assert program("report", own.path, "--plugin", moved)[0] == 0
    unload_plugins()
    assert program("measure", own.path, "--measure", "errors")[0] == 0
    assert program("resume", own.path, "budget.steps=40")[0] == 0
    assert gl.Run(own.path).recorded[0].plugins == (str(moved),)


@pytest.mark.parametrize("ending", ["raise SystemExit(7)", "raise BaseException('no')", "1 / 0"])
def test_a_plugin_that_ends_python_is_refused(ending: str, own: Run, program: Program) -> None:
    own.plugin.write_text(f"print('before the end')\n{ending}\n")
    unload_plugins()
    code, out, err = program("measure", own.path, "--json", "--trust-plugin")
    assert (code, out) == (2, "")
    assert "larger.py failed to import" in err
    assert program("runs", "--json")[0] == 0


def test_a_task_that_ends_python_cannot_spoil_json(own: Run, program: Program) -> None:
    own.plugin.write_text(own.plugin.read_text().replace('print("printed while building")', "raise SystemExit(0)"))
    unload_plugins()
    code, out, err = program("measure", own.path, "--json", "--trust-plugin")
    assert (code, out) == (2, "")
    assert "ended the program" in err


def test_weights_of_a_strangers_run_are_taken_without_its_code(strange: Run, program: Program, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(strange.plugin.read_text().replace("pathlib.Path", "str"))
    mine.write_text(mine.read_text().replace(".touch()", ""))
    words = (
        "train",
        "micro",
        "--from",
        f"{strange.path}@20",
        "--plugin",
        mine,
        *(f"{k}={v}" for k, v in SETTINGS.items()),
    )
    code, _, err = program(*words)
    assert (code, strange.executed()) == (0, False), err


def test_a_measure_of_a_runs_plugin_is_there_when_it_is_named(own: Run, program: Program) -> None:
    own.plugin.write_text(
        own.plugin.read_text()
        + "\n\n@gl.measure('size_of_strangers')\ndef size(weights, task, train_rows=None):\n"
        + '    """How many weights."""\n    return {\'n\': np.asarray(float(len(weights)))}\n'
    )
    run = gl.train(gl.preset("micro", {**SETTINGS, "plugins": [str(own.plugin)]}))
    unload_plugins()
    code, out, err = program("measure", run.path, "--measure", "size_of_strangers", "--json")
    assert code == 0, err
    assert json.loads(out)["measure"] == "size_of_strangers"
    unload_plugins()
    assert gl.take(gl.Run(run.path), "size_of_strangers")["n"].to_list()


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    x, y = np.divmod(np.arange(49), 7)
    np.savetxt(tmp_path / "sums.csv", np.stack([x, y, (x + y) % 7], 1), "%d", ",", header="x,y,z", comments="")
    return tmp_path / "sums.csv"


def of_table(path: str) -> gl.Run:
    settings = {"task.kind": "table", "task.path": path, "network.d_mlp": 8, "budget.steps": 20}
    return gl.train(gl.preset("micro", settings))


def test_a_run_of_a_table_is_looked_at_from_elsewhere(
    table: Path, program: Program, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    run = of_table("sums.csv")
    assert run.recorded[0].task.path == str(table)
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    code, _, err = program("measure", run.name, "--measure", "errors", "--json")
    assert code == 0, err
    table.rename(table.with_name("moved.csv"))
    code, _, err = program("measure", run.name, "--measure", "errors", "--json")
    assert code == 2
    assert str(table) in err
    assert program("show", run.name)[0] == 0


def test_a_table_that_changed_is_named_and_not_computed_with(table: Path, program: Program) -> None:
    run = of_table("sums.csv")
    before = program("measure", run.name, "--measure", "errors", "--json")[1]
    original = table.read_text()
    table.write_text(original.replace("\n1,1,2\n", "\n1,1,3\n"))
    for command in (["measure"], ["measure", "--measure", "errors"], ["explain"], ["resume", "budget.steps=40"]):
        code, out, err = program(command[0], run.name, *command[1:])
        assert (code, out) == (2, ""), command
        assert f"{table} has changed since {run.name} was trained: its SHA-256 was" in err
    with pytest.raises(gl.InputError, match="has changed since"):
        gl.take(gl.Run(run.path), "errors")
    code, out, _ = program("show", run.name)
    assert code == 0
    assert "has changed since" in out
    assert program("report", run.name)[0] == 0
    assert "has changed since" in (run.path / "report.html").read_text()
    table.write_text(original)
    assert program("measure", run.name, "--measure", "errors", "--json")[1] == before


def test_a_table_inside_a_run_moves_with_it(table: Path, program: Program, home: Path, tmp_path: Path) -> None:
    folder = gl.export(of_table("sums.csv"), to="safetensors", out=tmp_path / "export")
    imported = gl.import_file(folder / "model.safetensors")
    assert imported.experiment.task.path.startswith(str(imported.path))
    moved = imported.path.rename(tmp_path / "moved")
    assert gl.Run(moved).experiment.task.path.startswith(str(moved))
    code, _, err = program("measure", moved, "--measure", "errors")
    assert code == 0, err
    (inner,) = (moved / "files").rglob("sums.csv")
    inner.write_text(inner.read_text().replace("\n1,1,2\n", "\n1,1,3\n"))
    code, _, err = program("measure", moved, "--measure", "errors")
    assert (code, "has changed since moved was trained" in err) == (2, True)


def test_settings_that_were_altered_are_noticed(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    file = run.path / "experiment.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1', 1))
    altered = gl.Run(run.path)
    with pytest.warns(UserWarning, match=r"its experiment\.json was altered"):
        _ = altered.experiment


def test_weights_of_other_shapes_than_the_settings_are_refused(corpus: Corpus, program: Program) -> None:
    run = corpus.copy("mlp")
    file = run.path / "experiment.json"
    p = run.experiment.task.p
    file.write_text(file.read_text().replace(f'"p": {p}', f'"p": {p + 1}'))
    for words in (("measure",), ("measure", "--measure", "errors"), ("explain",)):
        code, out, err = program(words[0], run.path, *words[1:])
        assert (code, out) == (2, "")
        assert "weights of other shapes than its experiment.json describes" in err
    code, _, err = program("report", run.path)
    assert code == 0, err
    assert "weights of other shapes" in (run.path / "report.html").read_text()


# -- sweeps ----------------------------------------------------------------------------------------------------------


def test_looking_at_a_sweep_executes_nothing_of_it(
    own: Run, forget: Callable[[], None], home: Path, program: Program
) -> None:
    overrides = {**SETTINGS, "plugins": [str(own.plugin)]}
    plan = make_plan("micro", {"optimiser.weight_decay": [0.5, 1.0]}, overrides=overrides, home=home)
    path = home / "sweeps" / plan.name
    made = Sweep.create(path, plan, pack(plan.experiments))
    for number in range(len(made.packs)):
        gl.train(made.experiments_of(number), home=path / "packs")
    forget()
    own.executed()
    for words in (("report",), ("phase-diagram",), ("report", "--members", "all")):
        code, _, err = program(words[0], path, *words[1:])
        assert (code, own.executed()) == (0, False), (words, err)
    sweep = gl.Sweep(path)
    assert sweep.recorded(0).task["kind"] == KIND
    assert sweep.table["status"].to_list() == ["finished"] * 2
    with pytest.raises(gl.InputError, match="not named"):
        sweep.experiment(0)
    with pytest.raises(gl.InputError, match="not named"):
        sweep.experiments_of(0)
    assert not own.executed()
    assert gl.Sweep(path, trust_plugin=True).experiment(1).task.p == 7
    assert own.executed()
