"""The figure that every function here returns: Plotly's, with the data frame of what it draws."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from plotly.graph_objs._figure import Figure as PlotlyFigure

from groklab.store.storage import atomic_write


class Figure(PlotlyFigure):  # type: ignore[misc]  # Plotly has no types
    """A Plotly figure that knows the numbers it draws (`data_frame`) and writes itself to files (`save`).

    Args:
        *arguments: as Plotly's own figure takes them.
        data_frame: one row per thing that is drawn; None reads it off the traces.
        **settings: as Plotly's own figure takes them.
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

    def _ipython_display_(self) -> None:
        """Show the figure in a notebook, as HTML too, which is what `nbconvert` and viewers of saved notebooks take."""
        import plotly.io as pio

        if pio.renderers.default != "plotly_mimetype":
            pio.show(self)
            return
        display: Any = importlib.import_module("IPython.display").display
        # one output, which brings Plotly's script itself: its own renderer of notebooks puts that into another one
        bundle = pio.renderers["plotly_mimetype"].to_mimebundle(self.to_dict())
        display(bundle | {"text/html": self.to_html(full_html=False, include_plotlyjs="cdn")}, raw=True)

    def to_html(self, *arguments: Any, auto_play: bool = False, **settings: Any) -> Any:
        """Return the figure as HTML, as Plotly does; its frames wait for the slider."""
        return super().to_html(*arguments, auto_play=auto_play, **settings)

    def write_html(self, *arguments: Any, auto_play: bool = False, **settings: Any) -> Any:
        """Write the figure as HTML, as Plotly does; its frames wait for the slider."""
        return super().write_html(*arguments, auto_play=auto_play, **settings)

    def save(
        self,
        path: str | Path,
        *,
        width: str | float = "column",
        height: str | float | None = None,
        font_size: float = 8,
        step: int | None = None,
        data: bool | Literal["csv", "parquet"] = False,
        dpi: int = 300,
        engine: Literal["matplotlib", "kaleido"] = "matplotlib",
    ) -> Path:
        """Write the figure to a file of the kind that its name ends with, and return the path.

        PDF, SVG and PNG are for papers: on white, with fonts that are embedded (PDF) or outlined (SVG), and with
        dashes, hatches and marks that tell colours apart in grey too.

        Args:
            path: ends with .pdf, .svg or .png; or with .html, a page that needs no network.
            width: 'column' (3.25 inches), 'page' (6.75 inches), or a length such as '3.25in', '82.5mm' or '234pt'.
            height: likewise; None takes what the figure needs.
            font_size: of the text, in points.
            step: the checkpoint that a figure with a slider shows; None is the last.
            data: write the data frame beside it; True is CSV.
            dpi: pixels per inch of PNG.
            engine: 'matplotlib' (the extra `paper`), or 'kaleido', which needs Chrome and draws every trace.

        Raises:
            InputError: for another ending, an impossible size, what is not installed, or a trace that Matplotlib does
                not draw.
        """
        from groklab.figures._paper.saving import save, write_data

        path = Path(path).expanduser()
        if path.suffix.lower() == ".html":
            atomic_write(path, self.to_html(include_plotlyjs=True).encode())
        else:
            sizes: dict[str, Any] = {"width": width, "height": height, "font_size": font_size, "dpi": dpi}
            save(self, path, step=step, engine=engine, **sizes)
        if data:
            write_data(self.data_frame, path, "csv" if data is True else data)
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
