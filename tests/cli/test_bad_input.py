"""Whatever is asked for wrongly: one sentence on standard error, exit code 2, nothing left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from corpus import Corpus
from groklab.cli import main
from groklab.registry import FAMILIES
from processes import Program

TRAIN = ["train", "micro", "budget.steps=20"]


def refusal(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the program in this process; the sentence with which it says no."""
    monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2, (out, err)
    assert out == ""
    assert err.startswith("groklab: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert len(err) < 1500
    return err


OVERRIDES = {
    # kinds, keys and values
    "nothing.p=5": "nothing.p: unknown setting; allowed: task, learner",
    "task.q=5": "task.q",
    "task.p": "key=value",
    "=5": "key=value",
    "task.p.q=5": "single value",
    "task.kind=arithmetics": "did you mean arithmetic?",
    "network.kind=cnn": "network.kind",
    "optimiser.kind=adamww": "did you mean adamw?",
    "objective.kind=[1]": "objective.kind",
    "task.expression=x + sin(y)": "task.expression",
    "task.expression=__import__('os')": "task.expression",
    "task.expression=multiplication_of_all": "task.expression",
    "task.p=true": "task.p",
    "task.p=1": "task.p",
    "task.p=-5": "task.p",
    "task.p=2.5": "task.p",
    "task.p=abc": "task.p",
    "task.p=[5]": "task.p",
    "task.p={a: 5}": "task.p",
    "task.p=": "task.p",
    "task.p=1000000007": "task.p",
    "task.p=" + "9" * 4000: "task.p",
    "task.p=" + "9" * 5000: "task.p",
    "task.p=" + "[" * 3000: "task.p",
    "task.p=&a [*a]": "task.p",
    "task.layout=b a": "task.layout",
    "seed=true": "seed",
    "budget=3": "budget = 3: needs to be a section of settings",
    "seed=-1": "seed",
    "seed=4294967296": "seed",
    "seed=1e30": "seed",
    "split.seed=18446744073709551616": "split.seed",
    "split.seed=-1": "split.seed",
    "split.frac_train=0": "split.frac_train",
    "split.frac_train=1": "split.frac_train",
    "split.frac_train=1e-9": "leaves no training",
    "split.frac_train=.nan": "split.frac_train",
    "split.frac_train=-.inf": "split.frac_train",
    "split.n_train=529": "leaves no test",
    "split.n_train=0": "split.n_train",
    "split.n_train=1e9": "split.n_train",
    "split.label_noise=1.5": "split.label_noise",
    "split=5": "split",
    "split.schedule=[5]": "split.schedule",
    "network.d_mlp=0": "network.d_mlp",
    "network.d_mlp=-1": "network.d_mlp",
    "network.d_mlp=false": "network.d_mlp",
    "network.init_scale=.inf": "network.init_scale",
    "network.init_scale=1e300": "network.init_scale",
    "network.init_std.nothing=1": "network.init_std.nothing",
    "network.activation=sigmoid": "network.activation",
    "optimiser.learning_rate=-1": "optimiser.learning_rate",
    "optimiser.learning_rate=.nan": "optimiser.learning_rate",
    "optimiser.learning_rate=true": "optimiser.learning_rate",
    "optimiser.learning_rate=1e39": "optimiser.learning_rate",
    "optimiser.learning_rate=fast": "optimiser.learning_rate",
    "optimiser.b1=1": "optimiser.b1",
    "optimiser.groups=5": "optimiser.groups",
    "optimiser.groups.x.frozen=perhaps": "optimiser.groups.x.frozen",
    "optimiser.groups.x.nothing=1": "optimiser.groups.x.nothing",
    "optimiser.schedule=cosine": "decay_steps",
    "batch_size=0": "batch_size",
    "batch_size=true": "batch_size",
    "dtype=float16": "dtype",
    "learner=forest": "learner",
    "name=../escape": "name",
    "name=/etc/passwd": "name",
    "name=": "name",
    "name=true": "name",
    "plugins=[nowhere.py]": "plugin",
    "plugins=nowhere.py": "plugins",
    "start.file=nowhere.npz": "start.file",
    "start.file=groklab:../../secret": "start.file",
    "start.run=nothing": "no run is named",
    "start.step=5": "start",
    # budgets and cadences
    "budget.steps=-1": "budget.steps",
    "budget.steps=1000000000000": "budget.steps",
    "budget.steps=true": "budget.steps",
    "budget.steps=.inf": "budget.steps",
    "budget.seconds=0": "budget.seconds",
    "budget.seconds=.inf": "budget.seconds",
    "budget.stop_when_grokked=perhaps": "budget.stop_when_grokked",
    "evaluation.every=0": "evaluation.every",
    "measures.names=[nothing]": "measures.names",
    "measures.names=[neurons]": "cannot run online",
    "measures.names=[progress]": "measures.frequencies",
    "measures.every=0": "measures.every",
    "measures.frequencies=[a]": "measures.frequencies",
    "evaluation.every=4000000000": "evaluation.every",
    "evaluation.criterion=soon": "evaluation.criterion",
    "checkpoints.per_decade=1000000000": "checkpoints.per_decade",
    "checkpoints.steps=[1, -1]": "checkpoints.steps",
    "checkpoints.steps=[1, true]": "checkpoints.steps",
    "checkpoints.spacing=often": "checkpoints.spacing",
    "checkpoints.rolling_seconds=0": "checkpoints.rolling_seconds",
}


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:30])
def test_a_bad_setting(
    override: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal([*TRAIN, override], monkeypatch, capsys)
    assert any(part in said for part in OVERRIDES[override].split("|")), said
    assert not home.exists()


COMBINATIONS = [
    (["task.expression=x/y", "task.p=24"], "needs a prime p"),
    (["task.p=5", "task.p=7"], "given twice"),
    (["split.frac_train=0.5", "split.n_train=5"], "split"),
    (["network.kind=transformer", "network.d_model=200000"], "bytes"),
    (["network.d_mlp=1000000000000000000"], "bytes"),
    (["network.n_hidden_layers=1000000000000"], "network.n_hidden_layers"),
    (["network.kind=transformer", "network.n_layers=1e12"], "network.n_layers"),
    (["network.kind=transformer", "network.n_heads=1000000000000"], "network.n_heads"),
    (["network.kind=transformer", "network.d_model=0"], "network.d_model"),
    (["network.kind=transformer", "network.n_heads=3", "network.d_model=16"], "network"),
    (["task.kind=table"], "task.path is missing"),
    (["task.kind=table", "task.path=/"], "task.path"),
    (["--seeds", "0"], "seeds"),
    (["--seeds", "-3"], "seeds"),
    (["--seeds", "1000000000"], "seeds"),
    (["--seeds", "many"], "--seeds"),
    (["--seeds", "1_0"], "'--seeds': '1_0' is not an integer"),
    (["--seeds", "0-07"], "'--seeds': '0-07' is not an integer"),
    (["--seeds", "0x3"], "'--seeds': '0x3' is not an integer"),
    (["--seeds", "2.5"], "'--seeds': '2.5' is not an integer"),
    (["--seeds", "٣"], "'--seeds': '٣' is not an integer"),
    (["--seeds", ""], "--seeds has no value"),
    (["--tag", "a", "--tag", " "], "--tag has no value"),
    (["--plugin="], "--plugin has no value"),
    ([""], "overrides has no value"),
    (["batch_size="], "batch_size has no value"),
    (["--seeds", "2", "seed=4294967295"], "seeds"),
    (["--seeds", "0", "--dry-run"], "seeds"),
    (["--from", "nothing"], "--from"),
    (["--from", "nothing@10"], "no run is named"),
    (["--from", "nothing@²"], "--from"),
    (["--from", "nothing@1_0"], "--from"),
    (["--take", "embedding"], "goes with --from RUN@STEP"),
    (["--freeze"], "goes with --from RUN@STEP"),
    (["--plugin", "nowhere.py"], "plugin"),
    (["--nothing"], "--nothing"),
]


@pytest.mark.parametrize(("arguments", "part"), COMBINATIONS, ids=lambda value: " ".join(value)[:60])
def test_bad_settings_together(
    arguments: list[str], part: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refusal([*TRAIN, *arguments], monkeypatch, capsys)
    assert not home.exists()


COMMANDS = [
    (["train"], "Missing argument"),
    (["train", "mikro"], "did you mean micro?"),
    (["train", "furuta2024/pt-e"], "`groklab train furuta2024/add` makes it"),
    (["train", ""], "PRESET|FILE.yaml has no value"),
    (["runs", "--name", ""], "--name has no value"),
    (["phase-diagram", "x", "--gap", ".inf"], "'--gap': '.inf' is not a number"),
    (["theory", "--against-p", "4,,6"], "with commas between"),
    (["sweep", "micro", "--grid", "seed="], "needs a value before and after each comma"),
    (["sweep", "micro", "--grid", "seed=1_0:3:2"], "numbers for its ends"),
    (["sweep", "micro", "--grid", "seed=010,10"], "holds the same value twice"),
    (["train", "x" * 5000], ""),
    (["train", "nowhere.yaml"], "no such file"),
    (["train", "/"], "preset = '/'"),
    (["train", "/dev/null"], "not a regular file"),
    (["presets", "mikro"], "did you mean micro?"),
    (["nothing"], "nothing"),
    (["show"], "Missing argument"),
    (["show", "nothing"], "no run is named"),
    (["show", ""], "RUN|SWEEP has no value"),
    (["show", "~nobody-of-this-name/runs"], "a home that is not there"),
    (["show", ".."], "is not a run"),
    (["show", "../.."], "is not a run"),
    (["show", "/"], "is not a run"),
    (["show", "x" * 5000], ""),
    (["show", "a\nb"], "no run is named"),
    (["resume", "nothing"], "no run is named"),
    (["resume", "nothing", "task.p"], "key=value"),
    (["compare", "nothing"], "no run is named"),
    (["report", "nothing"], "no run is named"),
    (["runs", "rm", "nothing"], "no run is named"),
    (["runs", "rm", "/"], "is not a run"),
    (["runs", "tag", "nothing", "x"], "no run is named"),
    (["runs", "--status", "asleep"], "--status"),
    (["runs", "--nothing"], "--nothing"),
]


@pytest.mark.parametrize(("arguments", "part"), COMMANDS, ids=lambda value: " ".join(value)[:40])
def test_bad_commands(
    arguments: list[str], part: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert part in refusal(arguments, monkeypatch, capsys)
    assert not home.exists() or not list(home.glob("*/"))


FILES: dict[str, str | bytes] = {
    "unknown key": "preset: micro\ntusk: {p: 5}",
    "unknown key below": "preset: micro\ntask: {q: 5}",
    "unknown preset": "preset: mikro",
    "preset of another kind": "preset: [micro]",
    "duplicate key": "preset: micro\ntask: {p: 5, p: 7}",
    "no mapping": "- micro",
    "a number": "5",
    "empty": "",
    "no YAML": "task: {p: 5",
    "tabs": "task:\n\tp: 5",
    "binary": bytes(range(256)) * 10,
    "zeros": bytes(1000),
    "latin": "name: é".encode("latin-1"),
    "deep": "task: " + "[" * 3000,
    "deep mapping": "task: " + "{a: " * 400 + "5" + "}" * 400,
    "bomb": "a: &a [x,x]\n"
    + "".join(f"{n}: &{n} [*{p},*{p},*{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
    "recursive": "task: &a {p: *a}",
    "python": "task: !!python/name:os.system ''",
    "date": "preset: micro\ntask: {p: 2020-01-01}",
    "binary value": "preset: micro\nname: !!binary aGVsbG8=",
    "set": "preset: micro\ntask: !!set {p, q}",
    "strange key": "preset: micro\n? [1, 2]\n: 3",
    "date key": "preset: micro\n2020-01-01: 3",
    "number key": "preset: micro\n5: 3",
    "boolean": "preset: micro\ntask: {p: yes}",
    "not a number": "preset: micro\noptimiser: {learning_rate: .nan}",
    "everything null": "task:\nsplit:\nnetwork:\n",
    "section as list": "preset: micro\nsplit: [0.5]",
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(
    name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = FILES[name]
    file = tmp_path / "asked.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    refusal(["train", str(file), "budget.steps=20"], monkeypatch, capsys)
    assert not home.exists()


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("1/0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("raise ValueError('two\\nlines')", "two lines"),
        ("\0", "plugin"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import groklab as gl; gl.register('tasks', 'mine')", "did you mean task?"),
    ],
)
def test_a_bad_plugin(
    source: str,
    part: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "idea.py").write_text(source)
    assert part in refusal([*TRAIN, "--plugin", str(tmp_path / "idea.py")], monkeypatch, capsys)
    assert not home.exists()


@pytest.mark.parametrize(
    ("setting", "returned", "part"),
    [
        ("p: int", 3, "needs a build() that returns a Task, not int"),
        ("p: 'Unknown'", None, "has a setting whose type"),
        ("p: object()", None, "has a setting whose type"),
    ],
)
def test_a_plugin_whose_task_is_none(
    setting: str,
    returned: object,
    part: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    restored_kinds: None,
) -> None:
    lines = [
        "import groklab as gl",
        "@gl.register('task', 'idle')",
        "class Idle:",
        f"    {setting} = 5",
        "    def build(self):",
        f"        return {returned}",
    ]
    (tmp_path / "idle.py").write_text("\n".join(lines))
    arguments = [*TRAIN, "--plugin", str(tmp_path / "idle.py"), "task.kind=idle"]
    assert part in refusal(arguments, monkeypatch, capsys)


@pytest.fixture
def restored_kinds() -> Iterator[None]:
    yield
    FAMILIES["task"].pop("idle", None)


def test_bad_start_weights(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", W=np.zeros(3))
    np.savez(tmp_path / "objects.npz", W=np.array([{}], object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:50])
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 50)
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "x.pt").write_bytes(b"")
    for name in ("other.npz", "objects.npz", "cut.npz", "cut.safetensors", "folder.npz", "x.pt"):
        assert "start" in refusal([*TRAIN, f"start.file={tmp_path / name}"], monkeypatch, capsys)
        assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "PIPE.yaml"],
        ["train", "/dev/zero"],
        [*TRAIN, "task.kind=table", "task.path=/dev/zero"],
        [*TRAIN, "task.kind=table", "task.path=PIPE.csv"],
        [*TRAIN, "task.kind=vectors", "task.path=PIPE.npz"],
        [*TRAIN, "task.kind=mnist", "task.images=PIPE", "task.labels=/dev/zero", "network.kind=dense"],
        [*TRAIN, "start.file=PIPE.npz"],
        [*TRAIN, "--plugin", "PIPE.py"],
        ["import", "PIPE.npz"],
        ["report", "RUN", "--plugin", "PIPE.py"],
    ],
    ids=" ".join,
)
def test_what_is_not_a_regular_file_is_refused(
    arguments: list[str],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PIPE", "PIPE.csv", "PIPE.npz", "PIPE.yaml", "PIPE.py"):
        os.mkfifo(name)
    assert re.search("not a regular file|no such file|not a file", refusal(arguments, monkeypatch, capsys))
    assert not home.exists()


@pytest.mark.parametrize("name", ["status.json", "metrics.parquet", "experiment.json", "tags.json"])
def test_a_pipe_in_a_run_is_damage(
    name: str, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corpus.copy("mlp")
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    assert re.search("not a regular file|is not a run", refusal(["show", run.name], monkeypatch, capsys))


def test_a_home_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        monkeypatch.setenv("GROKLAB_HOME", str(tmp_path / place))
        assert "cannot be" in refusal(TRAIN, monkeypatch, capsys)
        assert "cannot be" in refusal(["runs"], monkeypatch, capsys)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the superuser")
def test_a_home_that_may_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    monkeypatch.setenv("GROKLAB_HOME", str(tmp_path / "home"))
    assert "Permission denied" in refusal(TRAIN, monkeypatch, capsys)


def test_damaged_runs(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["groklab", *TRAIN, "--quiet"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    run = next(home.glob("micro-*"))
    for name in ("metrics.parquet", "status.json", "experiment.json"):
        whole = (run / name).read_bytes()
        for content in (whole[: len(whole) // 2], b""):
            (run / name).write_bytes(content)
            for command in ("show", "report", "compare"):
                if (command, name) != ("compare", "metrics.parquet"):
                    assert name in refusal([command, run.name], monkeypatch, capsys), command
        (run / name).write_bytes(whole)
    (home / "empty").mkdir()
    for command in ("show", "resume", "report", "compare"):
        assert "is not a run" in refusal([command, "empty"], monkeypatch, capsys)
        assert "cannot change" in refusal(["resume", run.name, "task.p=29"], monkeypatch, capsys)


@pytest.mark.parametrize(
    "arguments", [["train", "mikro"], ["train", "micro", "task.p=true"], ["show", "nothing"], ["resume", "/"]]
)
def test_the_real_program_says_no_likewise(arguments: list[str], home: Path) -> None:
    process = Program(*arguments)
    out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.startswith("groklab: ")
    assert err.count("\n") == 1
    assert not home.exists()


def test_a_new_interpreter_says_no_likewise(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "groklab", "train", "mikro"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("groklab: preset = 'mikro': unknown (did you mean micro?)")
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["measure", "RUN", "--measure", "nothing"], "measure = 'nothing': unknown"),
        (["measure", "RUN", "--rule", "eyes"], "rule = 'eyes'"),
        (["measure", "RUN", "--frequencies", "a,b"], "integers with commas"),
        (["measure", "RUN", "--frequencies", "1,,2"], "integers with commas"),
        (["measure", "RUN", "--frequencies", "99"], "integers from 1 to 11"),
        (["measure", "RUN", "--measure", "attention"], "attention belongs to transformers"),
        (["measure", "RUN", "--measure", "neurons", "--member", "1"], "only member 0"),
        (["measure", "RUN", "--member", "0"], "needs --measure"),
        (["measure", "RUN", "--rule", "embedding", "--frequencies", "1"], "cannot go with --frequencies"),
        (["measure", "RUN", "--rule", "embedding", "--measure", "neurons"], "cannot go with --measure"),
        (["measure", "nowhere"], "no run is named"),
        (["explain", "RUN", "--member", "-1"], "only member 0"),
    ],
)
def test_what_cannot_be_measured(
    arguments: list[str], says: str, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = corpus.copy("mlp")
    asked = [run.name if a == "RUN" else a for a in arguments]
    assert says in refusal(asked, monkeypatch, capsys)
