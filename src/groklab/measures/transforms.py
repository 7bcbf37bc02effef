"""Two-dimensional Fourier transforms over the grid of inputs (a, b) (Nanda et al. 2023, section 4.2).

All in double precision: the small components of a grokked model lie many orders of magnitude below the large ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.errors import InputError
from groklab.lazy import Float64, Shaped
from groklab.measures.activity import activity, network_or_recognised
from groklab.measures.fourier import fourier_basis
from groklab.measures.grid import Grid, grid_of, pair_rows
from groklab.measures.registry import NamedTable, cell, measure
from groklab.networks.transformer import Transformer
from groklab.tasks.base import Task

#: How many components are given by name: 2 × 2 of each of five frequencies.
NAMED = 20
#: How many of them are told to people.
TOLD = 10


def transform_2d(values: Shaped[np.ndarray, "p p *rest"]) -> Float64[np.ndarray, "p p *rest"]:
    """Orthonormal Fourier components of values (p, p, …) along a and b, in the order of `fourier_basis`: (p, p, …).

    [f, g] = Σ_ab F[f, a] F[g, b] values[a, b]; the sum of squares stays what it is (Parseval).
    """
    return _along_both(fourier_basis(len(values)), values)


def inverse_2d(components: Shaped[np.ndarray, "p p *rest"]) -> Float64[np.ndarray, "p p *rest"]:
    """Values (p, p, …) on the grid from their components (p, p, …): undoes `transform_2d`."""
    return _along_both(fourier_basis(len(components)).T, components)


def component_names(p: int) -> list[str]:
    """What each row of `fourier_basis(p)` is: 'const', 'cos 1', 'sin 1', 'cos 2', …; p strings."""
    return ["const"] + [f"{'cos' if i % 2 else 'sin'} {(i + 1) // 2}" for i in range(1, p)]


def largest_components(norm: Float64[np.ndarray, "p p"], n: int = NAMED) -> tuple[list[str], np.ndarray]:
    """Names, 'cos 23 · sin 23' for cos(w_23 a) sin(w_23 b), and norms of the n largest components, largest first."""
    names = component_names(len(norm))
    order = np.argsort(-norm, axis=None, kind="stable")[:n]
    pairs = zip(*np.unravel_index(order, norm.shape), strict=True)
    return [f"{names[f]} · {names[g]}" for f, g in pairs], norm.ravel()[order]


def grid_of_ordered_pairs(task: Task) -> Grid:
    """The grid of a task that tells (a, b) from (b, a), as attention does; raises InputError for unordered pairs."""
    grid = grid_of(task)
    if task.n_inputs < grid.p**2:
        raise InputError(f"attention is measured on ordered pairs, and {task.name} leaves half of them out")
    return grid


def pattern_on_grid(weights: Mapping[str, Any], task: Task, network: Any = None) -> np.ndarray:
    """The last layer's attention from the last position, (p, p, n_heads, n_ctx); InputError without attention."""
    network = network_or_recognised(weights, network)
    if not isinstance(network, Transformer):
        raise InputError(f"attention belongs to transformers, and the {network.kind} network has none")
    grid = grid_of_ordered_pairs(task)
    return np.asarray(activity(weights, task, network, ("pattern",))["pattern"][grid.rows])


def largest_tables(found: Mapping[str, Any]) -> list[NamedTable]:
    """The largest components for people, of each operation: the name, the norm, and the share of all power."""
    several = "operations" in found
    told = []
    for i, operation in enumerate(found["operations"] if several else [""]):
        names, norms, every = (found[k][i] if several else found[k] for k in ("largest", "largest_norm", "norm"))
        power = float(np.sum(np.square(every, dtype=np.float64)))
        rows = [
            (name, cell(norm), f"{norm**2 / power:.1%}" if power > 0 else "–")
            for name, norm in list(zip(names, norms, strict=True))[:TOLD]
        ]
        of = f" of {operation}" if several else ""
        told.append(NamedTable(f"Largest components{of}", ("of a · of b", "norm", "share of power"), rows))
    return told


@measure("logits_2d", tables=largest_tables)
def logits_2d(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Fourier components of the logits over (a, b): `norm` (p, p) of each over the classes, the `largest` by name.

    Logits as they are, not centred. norm[f, g] belongs to rows f (of a) and g (of b) of the Fourier basis. largest: the
    20 largest, such as 'cos 23 · sin 23', and largest_norm, their norms (section 4.2, figure 4). Of any task in two
    operands mod p that has every pair (Furuta et al. 2024, appendix B); of a mixture each of these has a leading axis,
    an entry an operation, with their names as `operations`.
    """
    return _over_pairs(activity(weights, task, network)["logits"], task)


@measure("neurons_2d", tables=largest_tables)
def neurons_2d(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Fourier components of the last layer's neurons over (a, b): `norm` (p, p) over neurons, the `largest` by name.

    Activations as they are, not centred: const · const holds their means. Otherwise as `logits_2d`.
    """
    return _over_pairs(activity(weights, task, network, ("neurons",))["neurons"], task)


@measure("attention_2d")
def attention_2d(weights: Mapping[str, Any], task: Task, network: Any = None) -> dict[str, Any]:
    """Fourier components of the attention from the last position: `absolute` (n_heads, n_ctx, p, p).

    The absolute value of each component of the last layer's pattern over (a, b), for each head and key position; raises
    InputError for a network without attention.
    """
    return {"absolute": np.abs(np.moveaxis(transform_2d(pattern_on_grid(weights, task, network)), (2, 3), (0, 1)))}


def _over_pairs(values: np.ndarray, task: Task) -> dict[str, Any]:
    """`_spectrum` of values (N, n) on a task's inputs, or of each operation of a mixture."""
    names = task.algebra.operations
    if not names:
        return _spectrum(values[pair_rows(task)])
    each = [_spectrum(values[pair_rows(task, i)]) for i in range(len(names))]
    stacked = {k: np.stack([found[k] for found in each]) for k in ("norm", "largest_norm")}
    return {"operations": list(names), "largest": [found["largest"] for found in each], **stacked}


def _spectrum(values: np.ndarray) -> dict[str, Any]:
    norm = np.linalg.norm(transform_2d(values), axis=2)
    names, norms = largest_components(norm)
    return {"norm": norm, "largest": names, "largest_norm": norms}


def _along_both(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    p = len(values)
    # two products of whole matrices: NumPy's stacked ones are several times slower
    along_a = (matrix @ np.asarray(values, np.float64).reshape(p, -1)).reshape(p, p, -1)
    along_b = (matrix @ along_a.transpose(1, 0, 2).reshape(p, -1)).reshape(p, p, -1)
    return np.asarray(along_b.transpose(1, 0, 2).reshape(values.shape))
