"""Random numbers that are the same on every machine and in every version of NumPy.

Only the raw output of the counter-based Philox generator is used, which NumPy promises never to change; the methods
of `numpy.random.Generator` carry no such promise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError

#: One stream a purpose, so that equal seeds of different settings do not give related numbers.
Stream = Literal["split", "noise", "labels", "inputs", "teacher", "intervention"]
_STREAMS: dict[str, int] = {"split": 0, "noise": 1, "labels": 2, "inputs": 3, "teacher": 4, "intervention": 5}


def check_seed(seed: int, setting: str) -> None:
    """Raise InputError on `setting` unless the seed is in 0..2**64-1."""
    if not 0 <= seed < 2**64:
        raise InputError(setting, seed, "needs an integer from 0 to 2**64 - 1")


def uniform_integers(n: int, seed: int, stream: Stream) -> npt.NDArray[np.uint64]:
    """Return n uniform 64-bit integers; a remainder mod k of them is uniform to one part in 2**64 / k."""
    return np.random.Philox(key=seed + (_STREAMS[stream] << 64)).random_raw(n)


def normals(n: int, seed: int, stream: Stream) -> npt.NDArray[np.float64]:
    """Return n numbers of the standard normal distribution, (n,)."""
    from scipy.special import ndtri

    uniform = ((uniform_integers(n, seed, stream) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(ndtri(uniform), np.float64)


def permutation(n: int, seed: int, stream: Stream) -> npt.NDArray[np.int64]:
    """Return a uniformly random order of 0..n-1, (n,)."""
    return np.argsort(uniform_integers(n, seed, stream), kind="stable").astype(np.int64)
