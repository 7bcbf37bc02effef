"""What is in examples/ runs: the notebook at the size of reduced.py, the sample experiment as it is."""

from __future__ import annotations

import ast
import importlib.util
import runpy
import warnings
from pathlib import Path

import pytest

import groklab as gl
from groklab.experiment import description_of
from reduced import SMALL, reduced

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_every_example_is_tested_here() -> None:
    files = {p.name for p in EXAMPLES.iterdir() if p.is_file()}
    assert files == {"README.md", "first_grok.py", "subtraction.yaml"}


def test_the_notebook_runs_as_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("marimo")
    with reduced(SMALL), warnings.catch_warnings(action="ignore"):
        runpy.run_path(str(EXAMPLES / "first_grok.py"), run_name="__main__")
    assert "n_grokked" in capsys.readouterr().out
    found = {run.name.rsplit("-", 1)[0]: run for run in gl.runs()}
    assert set(found) == {"micro", "decay-0.5-x3", "decay-1.0-x3"}
    assert found["micro"].summary()["grokked_step"] is not None
    assert all(found["decay-1.0-x3"].summary()["memorised_step"])


def test_the_notebook_is_one_that_marimo_reads() -> None:
    pytest.importorskip("marimo")
    spec = importlib.util.spec_from_file_location("first_grok", EXAMPLES / "first_grok.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cells = [
        node
        for node in ast.parse((EXAMPLES / "first_grok.py").read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(list(module.app._cell_manager.cells())) == len(cells) == 10


def test_the_sample_experiment_groks() -> None:
    run = gl.train(gl.read(*description_of(EXAMPLES / "subtraction.yaml")))
    assert run.experiment.task.expression == "x - y"
    assert run.summary()["grokked_step"] > 3 * run.summary()["memorised_step"]
    assert run.checkpoints == list(range(0, 3001, 250))
