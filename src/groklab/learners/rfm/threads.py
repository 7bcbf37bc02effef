"""How many threads the libraries of linear algebra use, and the one workspace of each of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from groklab.learners.rfm.kernels import Array

_local = threading.local()


@lru_cache(maxsize=1)
def _controller() -> tuple[Any, int]:
    """What sets threads, and how many there were when it was made: what the user's environment allows."""
    import scipy.linalg  # noqa: F401  its library of linear algebra is found only once it is loaded

    controller = ThreadpoolController()
    return controller, min((info["num_threads"] for info in controller.select(user_api="blas").info()), default=1)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Linear algebra in n threads or what the environment allows, process-wide, while inside."""
    controller, allowed = _controller()
    with controller.limit(limits=min(n, allowed), user_api="blas"):
        yield


def workspace(n: int, dtype: str) -> Array:
    """An (n, n) array of this thread, whose content is whatever was left there; the next call takes it over."""
    size = n * n * np.dtype(dtype).itemsize
    room = getattr(_local, "room", None)
    if room is None or len(room) < size:
        _local.room = room = None  # the old one first
        _local.room = room = np.empty(size, np.uint8)
    return room[:size].view(dtype).reshape(n, n)
