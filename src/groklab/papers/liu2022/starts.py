"""The initial weights and splits of the published toy runs (Liu et al. 2022), without PyTorch.

The code of github.com/ejmichaud/grokking-squared (MIT) seeds NumPy's and PyTorch's generators alike; both are
Mersenne Twisters, so its random numbers can be drawn here. Two recipes are published: that of the toy trainer
('trainer'), and that of the notebooks behind the saved grids ('notebook'), which first draw what they do not use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from groklab.lazy import np

Recipe = Literal["trainer", "notebook"]
P, D_OUT, D_MLP = 10, 30, 200
N_CLASSES, N_PAIRS, N_TRAIN = 2 * P - 1, P * (P + 1) // 2, 45


class _Torch:
    """PyTorch's uniform random numbers on a CPU: 24 bits of each of the generator's 32."""

    def __init__(self, seed: int) -> None:
        self.twister = np.random.RandomState(seed % 2**32)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> np.ndarray[Any, Any]:
        bits = self.twister.randint(0, 2**32, size=shape, dtype=np.uint32) & np.uint32(2**24 - 1)
        unit = bits.astype(np.float32) * np.float32(2.0**-24)
        return (unit * np.float32(high - low) + np.float32(low)).astype(np.float32)

    def linear(self, sizes: Sequence[int]) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Return weights (outputs, inputs) and biases of dense layers, uniform in ±1/sqrt(inputs)."""
        layers = []
        for n_in, n_out in pairwise(sizes):
            bound = 1 / np.sqrt(n_in)
            layers.append((self.uniform((n_out, n_in), -bound, bound), self.uniform((n_out,), -bound, bound)))
        return layers


def published_start(seed: int, recipe: Recipe = "trainer") -> tuple[dict[str, np.ndarray[Any, Any]], list[int]]:
    """Return weights by name and the training rows of unordered addition on 0..9, for the toy of p = 10, d = 1."""
    twister = np.random.RandomState(seed)
    if recipe == "notebook":
        twister.normal(0, 1, (P, D_OUT))
    vectors = twister.normal(0, 1, (N_CLASSES, D_OUT))
    rows = sorted(int(i) for i in twister.choice(N_PAIRS, N_TRAIN, replace=False))
    torch = _Torch(seed)
    if recipe == "notebook":
        torch.linear((P, D_MLP, D_MLP, 1))  # an encoder that the last version does not have
        layers = torch.linear((1, D_MLP, D_MLP, D_OUT))
        table = torch.uniform((P, 1), 0, 1) - np.float32(0.5)
    else:
        table = torch.uniform((P, 1), 0, 1) - np.float32(0.5)
        layers = torch.linear((1, D_MLP, D_MLP, D_OUT))
    arrays: dict[str, np.ndarray[Any, Any]] = {"E": table, "targets": vectors}
    for i, (w, b) in enumerate(layers, 1):
        arrays |= {f"W{i}": w, f"b{i}": b}
    weights = published_layout(arrays)
    return {k: np.ascontiguousarray(v, np.float32) for k, v in weights.items()}, rows


def published_layout(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights by groklab's names from E, W1, b1, W2, b2, W3, b3 (outputs first, as in PyTorch) and targets Y."""
    return {
        "embed.W_E": arrays["E"],
        "hidden.0.W": arrays["W1"].T,
        "hidden.0.b": arrays["b1"],
        "hidden.1.W": arrays["W2"].T,
        "hidden.1.b": arrays["b2"],
        "unembed.W_U": arrays["W3"].T,
        "unembed.b_U": arrays["b3"],
        "targets.Y": arrays["targets"],
    }
