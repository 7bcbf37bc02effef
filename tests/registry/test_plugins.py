"""Plug-ins are loaded from the bytes that are hashed, with the modules beside them, and never take another's place."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import groklab as gl
from groklab.errors import InputError
from groklab.experiment import read
from groklab.plugins import load_plugin
from groklab.registry import fingerprint, kinds, plugin_of, read_plugin
from groklab.reproduction import reproduce
from groklab.sweeps import make_plan

OBJECTIVE = """
import groklab as gl
{imports}

@gl.register("objective", "mine")
class Mine:
    def per_row(self, logits, targets):
        return {value}
"""


def written(file: Path, value: str = "1", imports: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(OBJECTIVE.format(value=value, imports=imports))
    return file


def mine() -> Any:
    return kinds("objective")["mine"]


def value() -> Any:
    return mine()().per_row(None, None)


def test_a_file_edited_within_the_same_second_and_size_replaces_what_it_registered(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", "1")
    times = (1_700_000_000, 1_700_000_000)
    found = []
    for text in ("1", "2", "1"):
        written(file, text)
        os.utime(file, times)
        load_plugin(file)
        found.append((value(), fingerprint(mine())))
    assert [v for v, _ in found] == [1, 2, 1]
    assert found[0] == found[2] != found[1]
    assert not list(tmp_path.glob("**/*.pyc"))


def test_a_file_that_has_not_changed_is_not_run_again(tmp_path: Path) -> None:
    file = written(
        tmp_path / "mine.py", imports=f"import pathlib\npathlib.Path({str(tmp_path / 'log')!r}).open('x').close()"
    )
    load_plugin(file)
    before = mine()
    load_plugin(file)
    del kinds("objective")["mine"]
    load_plugin(file)
    assert mine() is before


def test_what_an_edited_file_no_longer_registers_is_gone(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py")
    load_plugin(file)
    file.write_text("")
    load_plugin(file)
    assert "mine" not in kinds("objective")


def test_the_hash_of_a_lone_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", imports="import os, json, numpy as np\nfrom jax import lax")
    assert read_plugin(file).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


IMPORTS = {
    "import helper": ("helper.py", "helper.V"),
    "from helper import V": ("helper.py", "V"),
    "import tools.inner": ("tools/inner.py", "tools.inner.V"),
    "import tools.inner as t": ("tools/inner.py", "t.V"),
    "from tools import inner": ("tools/inner.py", "inner.V"),
    "from tools.inner import V": ("tools/inner.py", "V"),
    "from . import helper": ("helper.py", "helper.V"),
    "from .tools.inner import V": ("tools/inner.py", "V"),
    "import first": ("second.py", "first.V"),
    "import package": ("package/inner.py", "package.V"),
    "import lazily": ("late.py", "lazily.get()"),
}


@pytest.mark.parametrize("statement", IMPORTS)
def test_modules_beside_a_plugin_belong_to_its_source(tmp_path: Path, statement: str) -> None:
    edited, used = IMPORTS[statement]
    for name, text in {
        "first.py": "from second import V",
        "package/__init__.py": "from .inner import V",
        "lazily.py": "def get():\n    from late import V\n    return V",
        "unused.py": "V = 1",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / edited).parent.mkdir(exist_ok=True)
    file = written(tmp_path / "mine.py", used, statement)
    known, found = set(sys.modules), []
    for text in ("V = 1", "V = 2"):
        (tmp_path / edited).write_text(text)
        load_plugin(file)
        found.append((value(), fingerprint(mine())))
    assert [v for v, _ in found] == [1, 2]
    assert found[0][1] != found[1][1]
    assert {name.partition(".")[0] for name in set(sys.modules) - known} == {mine().__module__.partition(".")[0]}
    before = read_plugin(file).sha256
    (tmp_path / "unused.py").write_text("V = 3")
    assert read_plugin(file).sha256 == before


def test_two_folders_keep_their_modules_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        file = written(tmp_path / name / "same.py", "helper.V", "import helper")
        file.write_text(file.read_text().replace('"mine"', repr(name)))
        (tmp_path / name / "helper.py").write_text(f"V = {name!r}")
        load_plugin(file)
    classes = [kinds("objective")[name] for name in ("one", "two")]
    assert [cls().per_row(None, None) for cls in classes] == ["one", "two"]  # type: ignore[attr-defined]
    assert [getattr(plugin_of(cls), "file", None) for cls in classes] == [
        tmp_path / name / "same.py" for name in ("one", "two")
    ]


def test_the_standard_library_and_groklab_are_never_beside(tmp_path: Path) -> None:
    for name in ("json.py", "groklab.py", "random.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    file = written(tmp_path / "mine.py", "random.__name__", "import json, random")
    load_plugin(file)
    assert value() == "random"
    assert list(read_plugin(file).modules) == [""]


def test_a_text_that_warns_still_shows_its_imports(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("")
    file = written(tmp_path / "mine.py", imports="import helper\nV = '\\d'")
    assert list(read_plugin(file).modules) == ["", "helper"]


def test_a_plugin_and_its_modules_can_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def get():\n    import mine\n    return mine.V")
    load_plugin(written(tmp_path / "mine.py", "helper.get()", "import helper\nV = 5"))
    assert value() == 5


def test_a_plugin_that_fails_is_a_sentence_and_runs_again(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", imports="import helper")
    (tmp_path / "helper.py").write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(InputError, match=r"plugin mine\.py failed to import: ZeroDivisionError"):
            load_plugin(file)
    (tmp_path / "helper.py").write_text("import helper.nothing")
    with pytest.raises(InputError, match=r"ModuleNotFoundError: No module named 'helper\.nothing'"):
        load_plugin(file)
    file.write_text("def (")
    with pytest.raises(InputError, match="failed to import: SyntaxError"):
        load_plugin(file)
    load_plugin(written(file, "3"))
    assert value() == 3


FIRST = {
    "objective": OBJECTIVE.format(value="1", imports=""),
    "measure": "import groklab as gl\n@gl.measure('mine')\ndef m(weights, task):\n    return {}\n",
    "figure": "import groklab as gl\n@gl.figure('mine', title='M')\ndef f(run):\n    return None\n",
    "paper": "from groklab.reproduction import publish\npublish('mine', 'Mine', [])\n",
    "preset": "from groklab.experiment import define\n"
    "define('mine', 'micro', shows='', costs='', expect='', source='')\n",
}


@pytest.mark.parametrize("what", FIRST)
def test_a_name_of_another_file_is_refused_naming_both(tmp_path: Path, what: str) -> None:
    one, two = tmp_path / "one" / "same.py", tmp_path / "two" / "same.py"
    for file in (one, two):
        file.parent.mkdir()
        file.write_text(f"{FIRST[what]}\n# {file}\n")
    load_plugin(one)
    with pytest.raises(InputError, match=f"the {what} 'mine' is defined in {one} and in {two}; rename one of them"):
        load_plugin(two)
    two.write_bytes(one.read_bytes())
    load_plugin(two)  # a copy
    two.write_text(FIRST[what] + "# edited")
    one.unlink()
    load_plugin(two)  # moved


@pytest.mark.parametrize(
    ("what", "name"),
    [("objective", "mse"), ("measure", "progress"), ("figure", "curves"), ("paper", "nanda2023"), ("preset", "micro")],
)
def test_a_name_of_groklab_is_refused(tmp_path: Path, what: str, name: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FIRST[what].replace("'mine'", repr(name)).replace('"mine"', repr(name)))
    with pytest.raises(InputError, match=f"the {what} '{name}' is groklab's own; give yours another name"):
        load_plugin(file)


def test_a_cell_replaces_a_file_and_a_file_a_cell(tmp_path: Path) -> None:
    file, source = written(tmp_path / "mine.py", "1"), OBJECTIVE.format(value="2", imports="")
    load_plugin(file)
    exec(source, {"__name__": "__main__"})
    assert value() == 2
    exec(source.replace("2", "3"), {"__name__": "__main__"})
    assert value() == 3
    load_plugin(file)
    assert value() == 1


def test_a_plugin_that_was_loaded_by_hand_is_named_by_the_experiment(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py")
    load_plugin(file)
    experiment = gl.preset("micro", {"objective.kind": "mine"})
    assert experiment.plugins == (str(file),)
    assert experiment == gl.preset("micro", {"objective.kind": "mine", "plugins": [str(file)]})
    assert gl.preset("micro").plugins == ()


def test_a_sweep_of_kinds_names_the_plugins_of_all_its_points(tmp_path: Path, home: Path) -> None:
    file = written(tmp_path / "mine.py")
    load_plugin(file)
    plan = make_plan("micro", {"objective.kind": ["mse", "mine"]}, home=home)
    assert [e.plugins for e in plan.experiments] == [(str(file),)] * 2
    assert plan.overrides["plugins"] == [str(file)]
    assert plan.identities == [read(plan.base, {**plan.overrides, **point}).identity for point in plan.points]


CLAIM = """
from groklab.reproduction import Bar, Claim, Outcome, Trial, publish

def run(trainer, seed):
    return Outcome({"value": value()}, "measured", {"value": 3})

about = {"claim": "So.", "source": "1", "expected": "so", "control": "another"}
trial = Trial(setting="none", seeds=1, cost=1, run=run, bars=(Bar("value", "==", 1, "the test's own"),))
publish("mine", "Mine", [Claim(id="so", **about, quick=trial, full=None)])
"""


@pytest.mark.parametrize("way", ["plug-in", "notebook"])
def test_a_claim_whose_trial_was_edited_is_measured_again(tmp_path: Path, way: str) -> None:
    holds = []
    for number in (1, 1, 2):
        text = f"def value():\n    return {number}\n{CLAIM}"
        if way == "plug-in":
            (tmp_path / "claims.py").write_text(text)
            load_plugin(tmp_path / "claims.py")
        else:
            exec(text, {"__name__": "__main__"})
        (claim,) = reproduce("mine").claims
        holds.append((claim.records[0].holds, claim.records[0].date))
    assert [h for h, _ in holds] == [True, True, False]
    assert holds[0] == holds[1]
