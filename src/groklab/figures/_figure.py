"""The figure that every function here returns: Plotly's, with the data frame of what it draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from plotly.graph_objs._figure import Figure as PlotlyFigure

from groklab.errors import InputError


class Figure(PlotlyFigure):  # type: ignore[misc]  # Plotly has no types
    """A Plotly figure that knows the numbers it draws (`data_frame`) and writes itself to files (`save`).

    Args:
        arguments, settings: as Plotly's own figure takes them.
        data_frame: one row per thing that is drawn; None reads it off the traces.
    """

    def __init__(self, *arguments: Any, data_frame: pl.DataFrame | None = None, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._data_frame = data_frame

    @property
    def data_frame(self) -> pl.DataFrame:
        """What the figure draws as a tidy table: one row per point, bar or cell, one column per variable."""
        return _read_off(self) if self._data_frame is None else self._data_frame

    def __reduce__(self) -> Any:
        """Keep the data frame in copies."""
        return (*super().__reduce__(), {"_data_frame": self._data_frame})

    def save(
        self,
        path: str | Path,
        *,
        width: str | float | None = None,
        height: str | float | None = None,
        data: bool = False,
    ) -> Path:
        """Write the figure to a file of the kind that its name ends with, and return the path.

        Args:
            path: ends with .html, which needs no network to be read.
            width, height: such as '3.25in'; None takes the figure's own.
            data: write the data frame beside it, as CSV.

        Raises:
            InputError: for an ending that figures are not written to.
        """
        path = Path(path)
        if path.suffix != ".html":
            raise InputError("path", str(path), "needs to end with .html")
        self.write_html(path)
        if data:
            self.data_frame.write_csv(path.with_suffix(".csv"))
        return path


def _read_off(figure: PlotlyFigure) -> pl.DataFrame:
    """Return the points of all traces in the columns trace and those of x, y and z that they have."""
    parts = []
    for i, trace in enumerate(figure.data):
        columns = {k: np.asarray(trace[k]) for k in ("x", "y", "z") if k in trace and trace[k] is not None}
        if "z" in columns:
            down, across = np.indices(columns["z"].shape)
            named = {"x": across, "y": down} | {
                k: columns[k][place] for k, place in (("x", across), ("y", down)) if k in columns
            }
            columns = {k: np.ravel(v) for k, v in {**named, "z": columns["z"]}.items()}
        if columns:
            part = pl.DataFrame({k: v.tolist() for k, v in columns.items()}, strict=False)
            parts.append(part.insert_column(0, pl.lit(trace.name or str(i)).alias("trace")))
    return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
