"""What commands may import: the command line answers at once, and looking at runs needs no JAX."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from corpus import Corpus

PROGRAM = """
import json, sys
from groklab.cli import main
modules = {}
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["groklab", *arguments]
    try:
        main()
    except SystemExit:
        pass
    modules[" ".join(arguments)] = sorted(name for name in sys.modules if "." not in name)
print("\\n" + json.dumps(modules), file=sys.stderr)
"""
#: Each takes a tenth of a second and more.
HEAVY = {
    "dash",
    "dask",
    "distributed",
    "diffrax",
    "flask",
    "jax",
    "jaxtyping",
    "jinja2",
    "numpy",
    "optax",
    "plotly",
    "polars",
    "safetensors",
    "scipy",
    "torch",
}
#: What settings and runs are read with.
ARRAYS = {"numpy", "safetensors"}
#: What several experiments are planned with.
TABLES = {*ARRAYS, "polars"}


def output_of(code: str, *arguments: str) -> Any:
    """Return what a fresh interpreter prints last, which is JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    return json.loads(done.stderr.rstrip().rpartition("\n")[2])


def check(allowed: set[str], *commands: list[str]) -> None:
    """Run commands one after the other in one fresh interpreter, and check after each what has been imported."""
    for command, modules in output_of(PROGRAM, json.dumps(commands)).items():
        assert set(modules) & HEAVY <= allowed, command


def test_what_needs_no_numbers_imports_no_library_of_them() -> None:
    check(
        set(),
        ["--version"],
        ["--help"],
        ["train", "--help"],
        ["sweep", "--help"],
        ["phase-diagram", "--help"],
        ["reproduce", "--help"],
        ["app", "--help"],
        ["app", "--port", "70000"],
        ["trian"],
        ["train"],
        ["train", "--budgt", "3"],
        ["train", "micro", "--seeds", "many"],
    )


def test_completion_imports_no_library_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GROKLAB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "groklab tra")
    monkeypatch.setenv("COMP_CWORD", "1")
    check(set(), [])


def test_settings_and_runs_are_read_with_arrays_alone() -> None:
    check(
        ARRAYS,
        ["train", "mikro"],
        ["train", "nowhere.yaml"],
        ["tasks", "labels", "mikro"],
        ["sweep", "mikro", "--grid", "seed=0,1"],
        ["presets"],
        ["presets", "micro"],
        ["presets", "--json"],
        ["presets", "mikro"],
        ["train", "micro", "optimiser.weigth_decay=1"],
        ["train", "micro", "task.p=-3"],
        ["train", "micro", "task.p"],
        ["train", "micro", "network.kind=mpl"],
        ["train", "micro", "learner=rmf"],
        ["train", "micro", "measures.names=[norm]"],
        ["train", "micro", "--freeze"],
        ["train", "micro", "--from", "nothing@3"],
        ["tasks", "labels", "micro", "task.p=-3"],
        ["theory", "--p", "1"],
        ["theory", "--normalisation", "none"],
        ["resume", "nothing"],
        ["show", "nothing"],
        ["report", "nothing"],
        ["figures", "nothing"],
        ["figures", "nothing", "--format", "gif"],
        ["movie", "nothing"],
        ["movie", "nothing", "--format", "avi"],
        ["runs"],
        ["runs", "--json"],
        ["runs", "--status", "none"],
        ["runs", "rm", "nothing"],
        ["tasks"],
        ["measures"],
        ["export", "nothing", "--to", "safetensors"],
    )


def test_other_refusals_import_no_jax() -> None:
    check(
        TABLES,
        ["sweep", "micro", "--grid", "optimizer.b1=1"],
        ["compare", "none", "nothing"],
        ["measure", "nothing"],
        ["explain", "nothing"],
        ["import", "nothing.pth"],
        ["phase-diagram", "nothing"],
        ["reproduce", "controlls"],
        ["reproduce"],
    )


def test_runs_are_listed_and_found_without_jax(corpus: Corpus) -> None:
    name = corpus.copy("mlp").name
    check(ARRAYS, ["runs"], ["runs", "--json"], ["show", "none"], ["runs", "tag", name, "old"])
    # hundredths of a second each
    assert not {"webbrowser", "yaml"} & set(output_of(PROGRAM, json.dumps([["runs"]]))["runs"])
    # it reads the steps of its metrics, and the weights of the embedding
    check(TABLES, ["show", name, "--json"], ["show", name])


def test_importing_groklab_imports_nothing_heavy() -> None:
    code = "import json, sys, groklab; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    assert not set(output_of(code)) & {*HEAVY, "numpy", "pydantic", "typer", "groklab.papers"}


def test_every_public_name_is_there() -> None:
    code = (
        "import json, sys, groklab\n"
        "from groklab import *\n"
        "assert set(groklab.__all__) <= set(dir(groklab))\n"
        "assert all(getattr(groklab, name) is globals()[name] for name in groklab.__all__)\n"
        "assert jax.config.jax_enable_x64 if (jax := sys.modules.get('jax')) else True\n"
        "print(json.dumps(sorted(n for n in sys.modules if n.endswith('.claims') or '.' not in n)), file=sys.stderr)"
    )
    modules = set(output_of(code))
    assert not modules & {"dask", "distributed", "jinja2", "plotly"}
    assert not [name for name in modules if name.startswith("groklab.papers.") and name.endswith(".claims")]


def test_the_command_line_states_the_bound_that_sweeps_have() -> None:
    from groklab.cli.sweeping import sweep
    from groklab.sweeps import MAX_MEMBERS

    # written out there, because sweeps take a second to import
    assert inspect.signature(sweep).parameters["max_members"].default == MAX_MEMBERS
