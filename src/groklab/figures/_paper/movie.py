"""Films of figures through the checkpoints of a run, as GIF or MP4, in the print look."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab.errors import InputError, check_choice
from groklab.figures._paper.drawing import RC, draw, fit
from groklab.figures._paper.formats import FILM_FORMATS
from groklab.figures._paper.look import printed
from groklab.figures._paper.saving import needed, spec_of
from groklab.figures._paper.sheet import Sheet
from groklab.figures._theme import INK, PAPER
from groklab.store.storage import atomic_write

if TYPE_CHECKING:
    from plotly.graph_objs._figure import Figure

#: Seconds that a film lasts, the share of them for its last picture, and the bytes that it may have.
SECONDS, STILL, BYTES = 10.0, 0.2, 5_000_000
#: Seconds of one picture, at most: few checkpoints make a short film.
SLOWEST = 0.5
#: Pixels of a film's height, at first: it is made smaller until it has no more than its bytes.
HEIGHT, LEAST_HEIGHT = 480, 120
#: Inches of one figure's width and height, and of the line above all, and points of the text.
WIDE, HIGH, TITLE, FONT = 4.0, 3.6, 0.3, 9.0
#: Pixels between figures, and colours of a GIF.
GAP, COLOURS = 16, 128
NO_FFMPEG = "an MP4 needs ffmpeg: install it, or pip install imageio-ffmpeg; a GIF needs neither"
#: Called before each picture with its place and how many there are.
FilmView = Callable[[int, int], None]


def film(
    figures: Sequence[Figure],
    path: str | Path,
    *,
    seconds: float = SECONDS,
    most_bytes: int = BYTES,
    view: FilmView | None = None,
) -> Path:
    """Write a film of figures beside each other through their checkpoints, and return its path.

    Args:
        figures: figures with a slider; those steps are shown that all of them have.
        path: ends in .gif or .mp4.
        seconds: how long it lasts at most; the last picture stays for a fifth of it.
        most_bytes: pictures are made smaller until the file has no more.
        view: called before each picture.

    Raises:
        InputError: for another ending, without Matplotlib or ffmpeg, or where a figure has no checkpoints.
    """
    path = Path(path).expanduser()
    form = path.suffix.lower().removeprefix(".")
    check_film(form, seconds)
    steps = common_steps(figures)
    pictures = []
    for i, picture in enumerate(_pictures(figures, steps)):
        if view is not None:
            view(i, len(steps))
        pictures.append(picture)
    each = min((1 - STILL) * seconds / max(len(steps) - 1, 1), SLOWEST)
    times = [*[each] * (len(steps) - 1), STILL * seconds]
    atomic_write(path, _fitting(pictures, times, form, most_bytes))
    return path


def check_film(form: str, seconds: float = SECONDS) -> None:
    """Raise InputError where no film can be written: for another format, and without Matplotlib or ffmpeg."""
    check_choice("format", form, FILM_FORMATS)
    if not 0.5 <= seconds <= 600:
        raise InputError("seconds", seconds, "needs to be from 0.5 to 600")
    needed("a movie")
    if form == "mp4":
        ffmpeg()


def common_steps(figures: Sequence[Figure]) -> list[int]:
    """Return the steps that the sliders of all figures have.

    Raises:
        InputError: where there are fewer than two.
    """
    each = [{int(frame.name) for frame in figure.frames} for figure in figures]
    steps = sorted(set.intersection(*each)) if each else []
    if len(steps) < 2:
        which = "this figure has" if len(figures) == 1 else "these figures have together"
        raise InputError(f"a movie needs at least two checkpoints, and {which} {len(steps) or 'none'}")
    return steps


def ffmpeg() -> str:
    """Return the program ffmpeg, the system's or that of imageio-ffmpeg.

    Raises:
        InputError: where there is none.
    """
    program = shutil.which("ffmpeg")
    if program is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        import imageio_ffmpeg

        try:
            program = str(imageio_ffmpeg.get_ffmpeg_exe())
        except RuntimeError:
            program = None
    if program is None:
        raise InputError(NO_FFMPEG)
    return program


def _pictures(figures: Sequence[Figure], steps: Sequence[int]) -> Any:
    """Yield arrays (height, width, 3) of bytes, one per step."""
    import matplotlib

    with matplotlib.rc_context(RC):
        # one sheet for all steps, or the panels would jump
        sheets = [fit(printed(spec_of(figure, steps[-1])), WIDE, HIGH, FONT) for figure in figures]
        for step in steps:
            parts = [
                _picture(printed(spec_of(figure, step)), sheet) for figure, sheet in zip(figures, sheets, strict=True)
            ]
            air = np.full((parts[0].shape[0], GAP, 3), 255, np.uint8)
            rows = np.concatenate([p for part in parts for p in (air, part)][1:], axis=1)
            yield np.concatenate([_title(f"step {step:,}", rows.shape[1]), rows])


def _dpi() -> float:
    return HEIGHT / (HIGH + TITLE)


def _picture(spec: dict[str, Any], sheet: Sheet) -> np.ndarray:
    paper = draw(spec, sheet.width, sheet.height, FONT, sheet)
    return _pixels(paper)


def _title(text: str, width: int) -> np.ndarray:
    """Return the line above the figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Paper

    paper = Paper(figsize=(width / _dpi(), TITLE), facecolor=PAPER)
    FigureCanvasAgg(paper)
    paper.text(0.5, 0.45, text, ha="center", va="center", fontsize=1.15 * FONT, color=INK)
    picture = _pixels(paper)
    # a pixel may be lost to rounding
    return np.pad(picture, ((0, 0), (0, max(width - picture.shape[1], 0)), (0, 0)), mode="edge")[:, :width]


def _pixels(paper: Any) -> np.ndarray:
    paper.set_dpi(_dpi())
    paper.canvas.draw()
    return np.asarray(paper.canvas.buffer_rgba())[..., :3].copy()


def _fitting(pictures: Sequence[np.ndarray], times: Sequence[float], form: str, most: int) -> bytes:
    """Return the film, of smaller pictures where it would have too many bytes."""
    from PIL import Image

    height = pictures[0].shape[0]
    while True:
        share = height / pictures[0].shape[0]
        # an MP4 has even sizes
        size = tuple(2 * round(share * n / 2) for n in (pictures[0].shape[1], pictures[0].shape[0]))
        images = [Image.fromarray(p).resize(size, Image.Resampling.LANCZOS) for p in pictures]
        content = _gif(images, times) if form == "gif" else _mp4(images, times)
        if len(content) <= most:
            return content
        height = int(height * max(0.5, min(0.9, (most / len(content)) ** 0.5)))
        if height < LEAST_HEIGHT:
            raise InputError("--megabytes", most / 1e6, f"is too little for {len(pictures)} pictures")


def _gif(images: Sequence[Any], times: Sequence[float]) -> bytes:
    from PIL import Image

    # one palette for all, or colours would flicker
    width, height = images[0].size
    sample = Image.new("RGB", (width, 3 * height))
    for i, place in enumerate((0, len(images) // 2, -1)):
        sample.paste(images[place], (0, i * height))
    chosen = sample.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colours = np.reshape(chosen.getpalette(), (-1, 3))
    # the paper is white, and not one of the colours that are nearly so
    colours[colours.min(axis=1) > 245] = 255
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    file = io.BytesIO()
    # whole hundredths of a second, and browsers slow down what is quicker than two
    durations = [max(2, round(100 * t)) * 10 for t in times]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)
    return file.getvalue()


def _mp4(images: Sequence[Any], times: Sequence[float]) -> bytes:
    rate = 20
    width, height = images[0].size
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "film.mp4"
        command = [ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-r", str(rate)]
        command += ["-s", f"{width}x{height}", "-i", "-", "-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20"]
        command += ["-movflags", "+faststart", str(out)]
        frames = b"".join(image.tobytes() * max(1, round(rate * t)) for image, t in zip(images, times, strict=True))
        done = subprocess.run(command, input=frames, capture_output=True, check=False)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().split("\n")[-1][:200]
            raise InputError(f"ffmpeg cannot write this movie: {reason}")
        return out.read_bytes()
