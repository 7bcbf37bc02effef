"""The one large array of each thread."""

from __future__ import annotations

import threading

import numpy as np

from groklab.learners.rfm.kernels import Array

_local = threading.local()


def workspace(n: int, dtype: str) -> Array:
    """An (n, n) array of this thread, whose content is whatever was left there; the next call takes it over."""
    size = n * n * np.dtype(dtype).itemsize
    room = getattr(_local, "room", None)
    if room is None or len(room) < size:
        _local.room = room = None  # the old one first
        _local.room = room = np.empty(size, np.uint8)
    return room[:size].view(dtype).reshape(n, n)
