"""Fewer points for the same picture on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def thin(steps: Sequence[int] | np.ndarray, n: int, keep: Sequence[int | None] = ()) -> list[int]:
    """Return at most about `n` of the ascending `steps`, evenly spaced in their logarithm.

    The first, the last and those of `keep` that are among `steps` always stay, so the result may be a few longer.
    """
    known = np.asarray(steps, np.int64)
    if len(known) <= n:
        return [int(s) for s in known]
    first = int(known[known > 0][0]) if known[-1] > 0 else 1
    wished = np.geomspace(first, max(int(known[-1]), first), n)
    places = np.clip(np.searchsorted(known, wished), 0, len(known) - 1)
    kept = {int(known[i]) for i in places} | {int(known[0]), int(known[-1])}
    return sorted(kept | ({s for s in keep if s is not None} & {int(s) for s in known}))


def thin_evenly(steps: Sequence[int] | np.ndarray, n: int) -> list[int]:
    """Return at most `n` of the ascending `steps`, evenly spaced, the first and the last among them."""
    known = np.asarray(steps, np.int64)
    if len(known) <= n:
        return [int(s) for s in known]
    return [int(known[i]) for i in np.unique(np.linspace(0, len(known) - 1, n).round().astype(int))]
