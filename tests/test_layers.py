"""Imports point one way, down the layers."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from pathlib import Path

import groklab
from groklab.store._accessors import Accessor, RunAccessors
from groklab.sweeps._accessors import SweepAccessors

SOURCE = Path(groklab.__file__).parent
#: Lowest first; a package imports from lower layers and from itself alone.
LAYERS = [
    {"errors"},
    {"lazy"},
    {"text"},
    {"notebook"},
    {"components", "device", "grokking", "registry"},
    {"plugins"},
    {"tasks"},
    {"gradient_filters", "theory"},
    {"networks", "objectives", "optimisers"},
    {"measures"},
    {"interventions", "learners"},
    {"experiment"},
    {"store"},
    {"training"},
    {"analysis", "interop", "trackers"},
    {"figures"},
    {"sweeps"},
    {"laws"},
    {"reproduction"},
    {"leaderboard"},
    {"papers"},
    {"report"},
    {"app"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("groklab."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "groklab":
            found |= {alias.name for alias in node.names if alias.name in RANK}
    return found


def test_every_module_has_its_layer() -> None:
    names = {p.stem for p in SOURCE.glob("*.py")} | {p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()}
    assert names - {"__init__"} == set(RANK)


def test_the_root_holds_few_modules() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 10


def test_imports_go_down_only() -> None:
    upward = []
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        upward += [
            f"{path.relative_to(SOURCE)} -> {name}"
            for name in imported(path)
            if name != own and RANK[name] >= RANK[own]
        ]
    assert not upward


def test_what_is_above_is_reached_by_accessors_alone() -> None:
    """A run and a sweep offer what builds on them: by name, from a door, with its types in a stub.

    Nothing else below names a package above it, so that all such attributes stand in the two modules `_accessors.py`.
    """
    for package, owner in (("store", RunAccessors), ("sweeps", SweepAccessors)):
        named = {name: value for name, value in vars(owner).items() if isinstance(value, Accessor)}
        stub = ast.parse((SOURCE / package / "_accessors.pyi").read_text("utf-8"))
        (body,) = (c.body for c in stub.body if isinstance(c, ast.ClassDef) and c.name == owner.__name__)
        assert [node.name for node in body if isinstance(node, ast.FunctionDef)] == list(named)
        for accessor in named.values():
            assert RANK[accessor.package.removeprefix("groklab.")] > RANK[package]
            assert accessor.name in importlib.import_module(accessor.package).__all__
    naming = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Accessor"
    }
    assert naming == {"store/_accessors.py", "sweeps/_accessors.py"}


def test_other_packages_are_used_by_their_doors() -> None:
    """A package's `__init__.pyi` lists what other packages may use; nothing else of it is imported."""
    around = []
    for path in SOURCE.rglob("*.py"):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("groklab."):
                continue
            _, package, *inner = str(node.module).split(".")
            if package == own or not (SOURCE / package).is_dir():
                continue
            door = importlib.import_module(f"groklab.{package}").__all__
            given = inner[0] in door if inner else all(alias.name in door for alias in node.names)
            if not given or any(alias.name.startswith("_") for alias in node.names):
                around.append(f"{path.relative_to(SOURCE)}:{node.lineno} {ast.unparse(node)}")
    assert not around


def test_every_door_opens() -> None:
    """What a door lists is there."""
    packages = [path.parent.name for path in SOURCE.glob("*/__init__.pyi")]
    for door in (groklab, *(importlib.import_module(f"groklab.{name}") for name in packages)):
        assert door.__all__
        assert all(getattr(door, name) is not None for name in door.__all__)


def test_one_module_imports_jax() -> None:
    """It configures JAX before its first use; other modules import `jax` from there."""
    importing = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.split(".")[0] in {"jax", "jaxtyping", "optax", "diffrax"}
    }
    assert importing == {"lazy.py"}


def test_modules_of_tests_have_names_of_their_own() -> None:
    # two of one name cannot be collected together: the suite's folders are no packages
    names = Counter(path.name for path in Path(__file__).parent.rglob("*.py") if path.name not in ALLOWED_TWICE)
    assert [name for name, n in names.items() if n > 1] == []


#: pytest loads these by their folders.
ALLOWED_TWICE = {"conftest.py", "__init__.py"}
