"""The kernels: formulas of inner products x'Mz, elementwise and in place.

Two families. A *polynomial* kernel's predictor is a quadratic form of its input, f_l(x) = x'W_l x + const. A *radial*
one depends on D = (x-z)'M(x-z), and its gradient in x is M times slope(D) (z - x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.floating]
KernelName = Literal["quadratic", "gaussian", "laplace", "general_quadratic"]


@dataclass(frozen=True)
class Quadratic:
    """(x'Mz)^2, and the general quadratic kernel (|x|^2-1)(|z|^2-1)/2 + (x'Mz)^2 with norms of M."""

    general: bool = False

    def values(self, inner: Array, norms_x: Array, norms_z: Array, out: Array | None = None) -> Array:
        """Return kernel values (n_x, n_z), in place of the inner products or in `out`; norms are x'Mx and z'Mz."""
        values = np.multiply(inner, inner, out=inner if out is None else out)
        if self.general:
            values += 0.5 * (norms_x[:, None] - 1) * (norms_z - 1)
        return values


@dataclass(frozen=True)
class Radial:
    """exp(-D / (2 L^2)) ('gaussian') or exp(-sqrt(D) / L) ('laplace') for the bandwidth L; D is clamped at 0."""

    laplace: bool
    bandwidth: float

    def distances(self, inner: Array, norms_x: Array, norms_z: Array) -> Array:
        """Return D (n_x, n_z), in place of the inner products."""
        inner *= -2
        inner += norms_x[:, None]
        inner += norms_z
        if self.laplace:
            # the root would make 1e-8 of the 1e-16 that rounding leaves between a point and itself
            inner[inner < 64 * np.finfo(inner.dtype).eps * (norms_x[:, None] + norms_z)] = 0
        return np.maximum(inner, 0, out=inner)

    def values(self, inner: Array, norms_x: Array, norms_z: Array, out: Array | None = None) -> Array:
        """Return kernel values (n_x, n_z), in place of the inner products or in `out`."""
        d = self.distances(inner, norms_x, norms_z)
        if self.laplace:
            np.sqrt(d, out=d)
            d *= -1 / self.bandwidth
        else:
            d *= -0.5 / self.bandwidth**2
        return np.exp(d, out=d if out is None else out)

    def slopes(self, inner: Array, norms_x: Array, norms_z: Array, out: Array | None = None) -> Array:
        """Return the factor s(D) of the gradient M s(D) (z - x), (n_x, n_z); `out` is not used.

        For 'laplace' it is 0 where D is 0 to rounding, at which the kernel has no gradient.
        """
        if not self.laplace:
            k = self.values(inner, norms_x, norms_z)
            k *= 1 / self.bandwidth**2
            return k
        root = np.sqrt(self.distances(inner, norms_x, norms_z))
        near = root == 0
        root[near] = 1
        slopes = np.exp(-root / self.bandwidth) / (self.bandwidth * root)
        slopes[near] = 0
        return slopes.astype(inner.dtype, copy=False)


Kernel: TypeAlias = Quadratic | Radial


def kernel_of(name: KernelName, bandwidth: float) -> Kernel:
    """Return the kernel of a name."""
    if name in ("gaussian", "laplace"):
        return Radial(name == "laplace", bandwidth)
    return Quadratic(name == "general_quadratic")
