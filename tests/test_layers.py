"""Imports point one way, down the layers."""

from __future__ import annotations

import ast
from pathlib import Path

import groklab

SOURCE = Path(groklab.__file__).parent
#: Lowest first; a package imports from lower layers and from itself alone.
LAYERS = [
    {"errors", "lazy"},
    {"components", "device", "grokking", "registry", "text"},
    {"tasks"},
    {"theory"},
    {"networks", "objectives", "optimisers"},
    {"measures"},
    {"learners"},
    {"experiment"},
    {"store"},
    {"training"},
    {"analysis", "interop"},
    {"figures"},
    {"sweeps"},
    {"reproduction"},
    {"papers"},
    {"report"},
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
