"""What commands may import: the command line answers at once, and looking at runs needs no JAX."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from corpus import Corpus

PROGRAM = """
import json, sys
sys.argv = ["groklab", *sys.argv[1:]]
from groklab.cli import main
try:
    main()
finally:
    print("\\n" + json.dumps(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
"""
#: Each takes a tenth of a second and more.
HEAVY = {
    "dask",
    "distributed",
    "diffrax",
    "jax",
    "jinja2",
    "optax",
    "plotly",
    "polars",
    "safetensors",
    "scipy",
    "torch",
}
#: What looking at runs needs: tables of numbers.
TABLES = {"numpy", "polars", "safetensors"}


def modules_of(code: str, *arguments: str, home: Path | None = None) -> set[str]:
    """The packages that a fresh interpreter has imported in the end."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    names: list[str] = json.loads(done.stderr.rstrip().rpartition("\n")[2])
    return set(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["train", "--help"],
        ["sweep", "--help"],
        ["trian"],
        ["train", "--budgt", "3"],
        ["train", "mikro"],
        ["presets"],
        ["presets", "micro"],
        ["presets", "--json"],
    ],
    ids=" ".join,
)
def test_what_needs_no_numbers_imports_no_library_of_them(arguments: list[str]) -> None:
    assert not modules_of(PROGRAM, *arguments) & HEAVY


def test_runs_are_listed_without_jax(corpus: Corpus) -> None:
    corpus.copy("mlp")
    for arguments in (["runs"], ["runs", "--json"], ["show", "none"]):
        assert modules_of(PROGRAM, *arguments) & HEAVY <= TABLES, arguments


def test_importing_groklab_imports_nothing_heavy() -> None:
    code = "import json, sys, groklab; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    assert not modules_of(code) & {*HEAVY, "numpy", "pydantic", "typer", "groklab.papers"}


def test_every_public_name_is_there() -> None:
    code = (
        "import json, sys, groklab\n"
        "from groklab import *\n"
        "assert set(groklab.__all__) <= set(dir(groklab))\n"
        "assert all(getattr(groklab, name) is globals()[name] for name in groklab.__all__)\n"
        "assert jax.config.jax_enable_x64 if (jax := sys.modules.get('jax')) else True\n"
        "print(json.dumps(sorted(n for n in sys.modules if n.endswith('.claims') or '.' not in n)), file=sys.stderr)"
    )
    modules = modules_of(code)
    assert not modules & {"dask", "distributed", "jinja2", "plotly"}
    assert not [name for name in modules if name.startswith("groklab.papers.") and name.endswith(".claims")]


def test_the_command_line_states_the_bound_that_sweeps_have() -> None:
    from groklab.cli.sweeping import sweep
    from groklab.sweeps import MAX_MEMBERS

    # written out there, because sweeps take a second to import
    assert inspect.signature(sweep).parameters["max_members"].default == MAX_MEMBERS
