"""What lies in examples/ runs as it is."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import groklab as gl
from groklab.sweeps.plan import description_of

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def test_every_example_is_tested_here() -> None:
    assert sorted(p.name for p in EXAMPLES.iterdir() if p.is_file()) == ["first_grok.py", "subtraction.yaml"]


def test_the_notebook_runs_as_a_script(home: Path) -> None:
    pytest.importorskip("marimo")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLES / "first_grok.py")],
        env={**os.environ, "GROKLAB_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "n_grokked" in done.stdout
    found = {run.name.rsplit("-", 1)[0]: run for run in gl.runs()}
    assert set(found) == {"micro", "decay-0.5-x4", "decay-1.0-x4"}
    assert all(found["decay-1.0-x4"].summary()["grokked_step"])


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
