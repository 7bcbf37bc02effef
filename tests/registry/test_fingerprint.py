"""What is defined in a notebook is known by its code and by all that it uses, in whichever cell that is."""

from __future__ import annotations

import importlib
import itertools
import linecache
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab.registry import fingerprint

CLASS = """
import dataclasses
import groklab as gl

@gl.register("objective", "celled")
class Celled:
    power: float = 2.0
    def per_row(self, logits, targets):
        return helper(logits) ** self.power
"""
HELPER = "def helper(x):\n    return [y + SHIFT for y in x]\n"
COUNT = itertools.count()


class Notebook:
    """Runs cells as IPython does: in one namespace, with their text where `linecache` finds it."""

    def __init__(self, cached: bool = True) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.cached = cached

    def run(self, cell: str) -> None:
        name = f"<ipython-input-{next(COUNT)}-abc>" if self.cached else "<string>"
        if self.cached:
            linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), self.names)

    def fingerprint(self) -> str:
        return fingerprint(self.names["Celled"])


@pytest.fixture(params=[True, False], ids=["with its text", "without its text"])
def notebook(request: pytest.FixtureRequest) -> Notebook:
    made = Notebook(request.param)
    for cell in (CLASS, HELPER, "SHIFT = 1\n", "import numpy as np\nTABLE = np.arange(3)\n"):
        made.run(cell)
    return made


EDITS = {
    "its own method": CLASS.replace("** self.power", "* self.power"),
    "a default": CLASS.replace("2.0", "3.0"),
    "a function in another cell": HELPER.replace("+", "-"),
    "a value that the function uses": "SHIFT = 2\n",
    "a function that is wrapped": "import functools\n@functools.lru_cache\ndef helper(x):\n    return 5\n",
    "a constant set": HELPER.replace("SHIFT", "(y in {'a', 'b', 'c'})"),
    "a partial function": "import functools\nhelper = functools.partial(lambda a, x: a * x, 2)\n",
    "an array": "def helper(x):\n    return TABLE\n",
    "a base class": "class Base:\n    base = 1\n" + CLASS.replace("Celled:", "Celled(Base):"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_what_it_uses_is_seen_and_undone(notebook: Notebook, edit: str) -> None:
    before = notebook.fingerprint()
    notebook.run(EDITS[edit])
    assert notebook.fingerprint() != before
    for again in (CLASS, HELPER, "SHIFT = 1\n"):
        notebook.run(again)
    assert notebook.fingerprint() == before


def test_values_of_the_same_names_as_attributes_do_not_matter(notebook: Notebook) -> None:
    before = notebook.fingerprint()
    notebook.run("power = 7\nlogits = 5\nnothing = 1\n")
    notebook.run(f"# a comment\n{CLASS}\n\nprint")
    assert notebook.fingerprint() == before


def test_content_of_arrays_counts(notebook: Notebook) -> None:
    notebook.run(EDITS["an array"])
    before = notebook.fingerprint()
    notebook.names["TABLE"][0] = 9
    assert notebook.fingerprint() != before


def test_a_module_that_is_reloaded_counts(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "of_the_notebook.py"
    file.write_text("def f(x):\n    return x\ndef unused():\n    return 1\n")
    notebook.run("import of_the_notebook\nhelper = lambda x: of_the_notebook.f(x)\n")
    found = [notebook.fingerprint()]
    for text in ("def f(x):\n    return -x\n", "\n\ndef f(x):\n    return x\n"):
        file.write_text(text)
        found.append(notebook.fingerprint())
        importlib.reload(notebook.names["of_the_notebook"])
        found.append(notebook.fingerprint())
    monkeypatch.delitem(sys.modules, "of_the_notebook")
    assert found[0] == found[1] == found[4]
    assert found[2] == found[3] != found[0]


def test_functions_that_call_each_other_end(notebook: Notebook) -> None:
    notebook.run("def helper(x):\n    return other(x)\ndef other(x):\n    return helper(x) if x else 0\n")
    assert notebook.fingerprint() == notebook.fingerprint()


def test_it_is_the_same_in_another_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = [CLASS, HELPER, "SHIFT = {'b', 'a'}\n", "from groklab.registry import fingerprint\n"]
    script.write_text("\n".join([*lines, "print(fingerprint(Celled))"]))
    printed = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
        printed.add(ended.stdout.strip())
    assert [len(text) for text in printed] == [64]


def test_a_compiled_function_is_traced_again_with_a_new_value(notebook: Notebook) -> None:
    notebook.run("import jax\n@jax.jit\ndef helper(x):\n    return x * SHIFT\n")
    assert notebook.fingerprint()
    assert notebook.names["helper"](3) == 3
    notebook.run("SHIFT = 5\n")
    assert notebook.names["helper"](3) == 3, "what JAX does"
    assert notebook.fingerprint()
    assert notebook.names["helper"](3) == 15


def test_a_run_that_was_looked_at_is_the_same(notebook: Notebook, corpus: Corpus) -> None:
    notebook.names["RUN"] = gl.Run(corpus["mlp"].path)
    notebook.run("def helper(x):\n    return RUN.weights()\n")
    before = notebook.fingerprint()
    assert notebook.names["RUN"].experiment
    assert notebook.fingerprint() == before
