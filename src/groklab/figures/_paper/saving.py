"""Writing a figure to a file for paper: PDF, SVG and PNG by Matplotlib, or by kaleido where it is installed."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from groklab.errors import InputError, check_choice
from groklab.figures._paper.drawing import RC, draw
from groklab.figures._paper.formats import DATA_FORMATS, ENGINES, FIGURE_FORMATS
from groklab.figures._paper.look import printed
from groklab.figures._paper.sheet import TEXT, first_sheet
from groklab.figures._paper.sizes import LETTERS, inches
from groklab.store.storage import atomic_write

if TYPE_CHECKING:
    from plotly.graph_objs._figure import Figure

#: What a vector file says of itself; without dates the same figure is the same file.
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "groklab", "Producer": None},
    "svg": {"Date": None, "Creator": "groklab"},
    "png": {"Software": "groklab"},
}
#: Pixels per inch of pictures, and of heat maps of many cells within drawings.
DPI = 300


def save(
    figure: Figure,
    path: str | Path,
    *,
    width: str | float = "column",
    height: str | float | None = None,
    font_size: float = 8,
    step: int | None = None,
    dpi: int = DPI,
    engine: Literal["matplotlib", "kaleido"] = "matplotlib",
) -> Path:
    """Write a figure in the print look, and return the path; the arguments are those of `Figure.save`."""
    path = Path(path).expanduser()
    form = path.suffix.lower().removeprefix(".")
    check_choice("format", form, (*FIGURE_FORMATS, "html"))
    check_paper(width, height, font_size, dpi, engine)
    wide, high = inches("width", width), None if height is None else inches("height", height)
    spec = printed(spec_of(figure, step))
    write = _by_kaleido if engine == "kaleido" else _by_matplotlib
    atomic_write(path, write(spec, form, wide, high, font_size, dpi))
    return path


def check_paper(
    width: str | float = "column",
    height: str | float | None = None,
    font_size: float = 8,
    dpi: int = DPI,
    engine: str = "matplotlib",
) -> None:
    """Raise InputError where no figure can be written so: for a size that is out of range, or what is not installed."""
    check_choice("engine", engine, ENGINES)
    inches("width", width)
    if height is not None:
        inches("height", height)
    if not LETTERS[0] <= font_size <= LETTERS[1]:
        raise InputError("font_size", font_size, f"needs to be from {LETTERS[0]:g} to {LETTERS[1]:g} points")
    if not 50 <= dpi <= 2400:
        raise InputError("dpi", dpi, "needs to be from 50 to 2,400")
    if engine == "kaleido":
        needed("engine = 'kaleido'", "kaleido", "kaleido", "groklab[kaleido]")
    else:
        needed("a figure on paper")


def write_data(frame: pl.DataFrame, path: Path, form: str) -> Path:
    """Write the data of a figure beside its file, as CSV or Parquet, and return the path."""
    check_choice("data", form, DATA_FORMATS)
    path, file = path.with_suffix(f".{form}"), io.BytesIO()
    if form == "csv":
        # CSV has no lists
        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join("; ") for name in lists).write_csv(file)
    else:
        frame.write_parquet(file)
    atomic_write(path, file.getvalue())
    return path


def spec_of(figure: Figure, step: int | None = None) -> dict[str, Any]:
    """Return `data` and `layout` of a figure, as they are at a checkpoint of its slider; None keeps the shown one.

    Raises:
        InputError: where a step is asked of a figure without checkpoints, or one that is not among them.
    """
    data = [trace.to_plotly_json() for trace in figure.data]
    if step is not None:
        frames = {int(frame.name): frame for frame in figure.frames}
        if not frames:
            raise InputError("step", step, "this figure has no checkpoints to choose from")
        if step not in frames:
            there = min(frames, key=lambda kept: abs(kept - step))
            raise InputError("step", step, f"is not a checkpoint of this figure; the nearest is {there}")
        frame = frames[step]
        for place, change in zip(frame.traces or range(len(frame.data)), frame.data, strict=False):
            data[place] = {**data[place], **change.to_plotly_json()}
    return {"data": data, "layout": figure.layout.to_plotly_json()}


def needed(what: str, module: str = "matplotlib", package: str = "Matplotlib", extra: str = "groklab[paper]") -> None:
    """Raise InputError where a package of an extra is not installed; what: that needs it."""
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{what} needs {package}: pip install '{extra}'")


def _by_matplotlib(
    spec: Mapping[str, Any], form: str, width: float, height: float | None, font: float, dpi: int
) -> bytes:
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # a name in letters that the font lacks
        warnings.filterwarnings("ignore", message="Glyph")
        draw(spec, width, height, font).savefig(file, format=form, dpi=dpi, metadata=METADATA[form])
    return file.getvalue()


def _by_kaleido(spec: Mapping[str, Any], form: str, width: float, height: float | None, font: float, dpi: int) -> bytes:
    from plotly.graph_objs._figure import Figure

    sheet = first_sheet(spec["layout"], width, height, font)
    # a figure of so many pixels that its text has the size asked for
    pixels = 72 * TEXT / font
    size = {"width": round(sheet.width * pixels), "height": round(sheet.height * pixels)}
    layout = {**spec["layout"], **size, "autosize": False}
    scale = (dpi if form == "png" else 96) / pixels
    try:
        return bytes(Figure({"data": spec["data"], "layout": layout}).to_image(form, scale=scale, **size))
    except Exception as error:
        # Chrome is missing, or does not start
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"kaleido cannot draw this figure: {reason}") from error
