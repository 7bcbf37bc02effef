"""What `gl.take` returns, in the long form that figures draw: one row per entry of an array."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl


def spread(frame: pl.DataFrame, columns: Mapping[str, str], *places: tuple[str, int]) -> pl.DataFrame:
    """Return the entries of arrays as rows; a frame that is in that form already is returned as it is.

    Args:
        frame: as `gl.take` returns it, with an array in each cell.
        columns: the array that each new column is of.
        places: names of columns for an entry's place along each dimension, and the number of the first place.
    """
    if any(not isinstance(frame.schema.get(name), pl.List) for name in columns.values()):
        return frame
    parts = []
    for step, *cells in frame.select("step", *columns.values()).iter_rows():
        arrays = dict(zip(columns, map(np.asarray, cells), strict=True))
        along = np.indices(next(iter(arrays.values())).shape, np.int32)
        counted = {name: along[i].ravel() + first for i, (name, first) in enumerate(places)}
        part = pl.DataFrame(counted | {name: array.ravel() for name, array in arrays.items()})
        parts.append(part.insert_column(0, pl.lit(step, pl.Int64).alias("step")))
    return pl.concat(parts)


def final(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the last step, for a figure of one model."""
    return frame.filter(pl.col("step") == pl.col("step").max()) if "step" in frame.columns else frame


def first_rule(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return columns of arrays by rule as those of the first rule."""
    nested = [c for c in columns if frame.schema.get(c) == pl.List(pl.List(pl.Float64))]
    return frame.with_columns(pl.col(c).list.first() for c in nested)
