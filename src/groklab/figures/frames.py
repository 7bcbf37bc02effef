"""Tidy frames for the figures, from weights and outcomes: pure functions that know of no run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from groklab.errors import InputError
from groklab.measures import fourier

#: A frequency stands out if it carries at least this share of the power and twice an even one.
STRONG = 0.05


def spectrum_frame(embeddings: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """Columns step, frequency (1..p//2), norm and share of the power, from embeddings (p, d) by step."""
    parts = []
    for step, matrix in sorted(embeddings.items()):
        norm = fourier.frequency_norms(matrix)
        power = norm**2
        share = power / max(float(power.sum()), 1e-300)
        frequency = np.arange(1, len(norm) + 1, dtype=np.int32)
        parts.append(pl.DataFrame({"frequency": frequency, "norm": norm, "share": share}).insert_column(0, _step(step)))
    return pl.concat(parts)


def strong_frequencies(spectrum: pl.DataFrame) -> list[int]:
    """The frequencies that stand out at the last step of a `spectrum_frame`, strongest first."""
    last = spectrum.filter(pl.col("step") == pl.col("step").max())
    bar = max(STRONG, 2 / max(len(last), 1))
    return last.filter(pl.col("share") >= bar).sort("share", descending=True)["frequency"].to_list()


def plane_frame(
    embeddings: Mapping[int, np.ndarray], panels: int = 4, frequencies: Sequence[int] | None = None
) -> pl.DataFrame:
    """The embedding's points in the planes of the strongest frequencies of the last step, at every step.

    frequencies: take the strongest of these (with a sine) instead, such as the key frequencies of a model.

    The plane of frequency k is spanned by the embedding's cosine and sine components at k at the last step, so that
    one sees points move into a fixed plane. Columns: step, frequency, share (at the last step), residue, place (along
    the circle: the multiples of 1/k mod p), x, y; strongest frequency first.
    Raises InputError where p < 3, which leaves no frequency with a sine.
    """
    last = np.asarray(embeddings[max(embeddings)], np.float64)
    p = len(last)
    share = fourier.frequency_norms(last) ** 2
    share /= max(float(share.sum()), 1e-300)
    # the frequency p/2 of an even p has no sine, so no plane
    order = [int(i) + 1 for i in np.argsort(-share[: (p - 1) // 2], kind="stable")]
    order = [k for k in order if not frequencies or k in frequencies][:panels]
    if not order:
        raise InputError(f"a plane needs a cosine and a sine, so a modulus of at least 3, not {p}")
    basis = fourier.fourier_basis(p)
    residue = np.arange(p, dtype=np.int32)
    parts = []
    for k in order:
        axes = _plane(basis[2 * k - 1 : 2 * k + 1] @ last)
        place = np.argsort(np.argsort(k * np.arange(p) % p, kind="stable")).astype(np.int32)
        for step, matrix in sorted(embeddings.items()):
            centred = np.asarray(matrix, np.float64) - np.mean(matrix, axis=0, dtype=np.float64)
            x, y = (centred @ axes.T).T
            columns = {"residue": residue, "place": place, "x": x, "y": y}
            head = [_step(step), pl.lit(k, pl.Int32).alias("frequency"), pl.lit(float(share[k - 1])).alias("share")]
            parts.append(pl.DataFrame(columns).select(*head, *columns))
    return pl.concat(parts)


def turning_share(planes: pl.DataFrame) -> pl.DataFrame:
    """Columns frequency, step, turning: how much of the points' spread in a plane turns with its frequency.

    planes: as `plane_frame` makes it. A circle gone round k times in p residues has 1; points at random 2 / (p - 1).
    """
    rows = []
    for (k, step), points in planes.sort("residue").group_by("frequency", "step", maintain_order=True):
        xy = points.select("x", "y").to_numpy()
        basis = fourier.fourier_basis(len(xy))[2 * int(str(k)) - 1 : 2 * int(str(k)) + 1]
        rows.append((k, step, float(np.sum((basis @ xy) ** 2) / max(np.sum(xy**2), 1e-300))))
    return pl.DataFrame(rows, schema={"frequency": pl.Int32, "step": pl.Int64, "turning": pl.Float64}, orient="row")


def chance_turning(p: int, d: int) -> float:
    """What `turning_share` finds, at about, in random weights (p, d) in the planes of their own components.

    Directions in many dimensions are nearly at right angles, so a plane chosen by its frequency shows mostly that
    frequency, whatever the weights: a circle alone proves little where d is much larger than p.
    """
    return d / (d + max(p - 3, 0))


def event_frame(events: Mapping[str, Sequence[int | None]], ended: Sequence[int]) -> pl.DataFrame:
    """Columns event, step, share (reached by then) and censored (members that ended there without it).

    events: for each name, the members' steps (None: not reached); ended: the step at which each member ended. The
    share is 1 minus the Kaplan–Meier estimate, so that members that ended early count for as long as they were seen.
    """
    rows = []
    for name, reached in events.items():
        times = np.array([e if r is None else r for r, e in zip(reached, ended, strict=True)], np.int64)
        seen = np.array([r is not None for r in reached], bool)
        survive = 1.0
        for t in np.unique(times):
            survive *= 1 - np.sum(seen & (times == t)) / np.sum(times >= t)
            rows.append((name, int(t), 1 - float(survive), int(np.sum(~seen & (times == t)))))
    schema = {"event": pl.String, "step": pl.Int64, "share": pl.Float64, "censored": pl.Int32}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _step(step: int) -> pl.Expr:
    return pl.lit(step, pl.Int64).alias("step")


def _plane(components: np.ndarray) -> np.ndarray:
    """Orthonormal axes (2, d) of the plane of the rows (2, d), the first along the first row; rank 1 pads with 0."""
    first, second = components
    first = first / max(float(np.linalg.norm(first)), 1e-300)
    second = second - (second @ first) * first
    length = float(np.linalg.norm(second))
    return np.array([first, second / length if length > 1e-12 else np.zeros_like(second)])
