"""`figures` and `movie`: figures as files, for papers and talks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from groklab.cli.app import (
    LOOK,
    FloatOption,
    IntOption,
    Json,
    Quiet,
    TrustPlugin,
    app,
    console_for,
    emit,
    print_pairs,
)
from groklab.cli.completing import one_of, some_of
from groklab.cli.look import readable_run
from groklab.errors import InputError, check_choice
from groklab.figures import DATA_FORMATS, ENGINES, FIGURE_FORMATS, FILM_FORMATS

if TYPE_CHECKING:
    from groklab.figures import Drawing, FigureList
    from groklab.store import Run
    from groklab.sweeps import Sweep

#: A figure's file name, and the figure.
Named: TypeAlias = "tuple[str, Drawing]"
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", metavar="FILE", help="A Python file with figures.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Folder to write to; by default `figures` in the run's or sweep's folder."),
]


class _RunFigures:
    """The figures of a run."""

    def __init__(self, run: Run) -> None:
        from groklab.figures import plots

        self.plots, self.folder = plots(run), run.path / "figures"

    def listed(self) -> FigureList[Any]:
        return self.plots()

    def drawings(self, names: list[str]) -> Iterator[Named]:
        for name in names or self.plots().names:
            for i, drawing in enumerate(self._drawings_of(name, required=bool(names))):
                yield f"{name}-{i + 1}" if i else name, drawing

    def _drawings_of(self, name: str, *, required: bool) -> Iterable[Drawing]:
        from groklab.figures import Drawing

        try:
            return self.plots[name].drawings()
        except InputError as error:
            if required:
                raise
            reason = str(error).removeprefix(f"figure = {name!r}: ")
            return [Drawing(f"{reason[:1].upper()}{reason[1:]}.")]


class _SweepFigures:
    """The figures of a sweep, of each of its slices."""

    def __init__(self, sweep: Sweep) -> None:
        from groklab.sweeps import study

        self.sweep, self.study, self.folder = sweep, study(sweep), sweep.path / "figures"

    def listed(self) -> FigureList[Any]:
        return self.sweep.plot()

    def drawings(self, names: list[str]) -> Iterator[Named]:
        from groklab.sweeps import FIGURES, study_figure

        for name in names or FIGURES:
            for i in range(len(self.study.slices)):
                yield f"{name}-{i + 1}" if i else name, study_figure(self.study, name, i)


@app.command("figures", rich_help_panel=LOOK)
def figures(
    of: Annotated[str, typer.Argument(metavar="RUN|SWEEP", help="A run, RUN#2 for a member of one, or a sweep.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="FIGURE…", help="Figures; by default all.")] = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format", autocompletion=some_of(FIGURE_FORMATS), help="pdf, svg and png, with commas between them."
        ),
    ] = "pdf",
    width: Annotated[
        str, typer.Option(help="Such as 3.25in, 82.5mm or 234pt; column is 3.25in, page 6.75in.")
    ] = "column",
    height: Annotated[str | None, typer.Option(help="By default what the figure needs.")] = None,
    font_size: Annotated[float, FloatOption(help="Of the text, in points.")] = 8,
    step: Annotated[
        int | None, IntOption(help="The checkpoint of figures that have some; by default the last.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(autocompletion=one_of(DATA_FORMATS), help="Write the numbers beside each figure: csv or parquet."),
    ] = None,
    dpi: Annotated[int, IntOption(help="Pixels per inch of PNG.")] = 300,
    engine: Annotated[
        str,
        typer.Option(
            autocompletion=one_of(ENGINES), help="matplotlib, or kaleido, which needs Chrome and draws every figure."
        ),
    ] = "matplotlib",
    listed: Annotated[bool, typer.Option("--list", help="List the figures, and write none.")] = False,
    out: Out = None,
    plugin: Plugins = None,
    trust_plugin: TrustPlugin = False,
    as_json: Json = False,
) -> None:
    """Write the figures of a run or a sweep for a paper: PDF, SVG or PNG, on white, distinct in grey too.

    Fonts are embedded (PDF) or outlined (SVG). Needs Matplotlib: pip install 'groklab[paper]'.

    Examples:

      groklab figures first curves circles --width 3.25in --data csv

      groklab figures first --format pdf,png --width page

      groklab figures decays phases
    """
    chosen = [form.strip() for form in formats.split(",") if form.strip()]
    for form in chosen or [formats]:
        check_choice("--format", form, FIGURE_FORMATS)
    check_choice("--engine", engine, ENGINES)
    if data is not None:
        check_choice("--data", data, DATA_FORMATS)
    available = _available(of, plugin, trust_plugin)
    if listed:
        rows = [(figure.name, f"{figure.title}. {figure.about}") for figure in available.listed()]
        if as_json:
            emit({"figures": [{"name": name, "about": about} for name, about in rows]})
        else:
            print_pairs(rows)
        return
    from groklab.figures import Figure, check_paper
    from groklab.store import storage

    # before an analysis that may take a while
    sizes: dict[str, Any] = {"width": width, "height": height, "font_size": font_size, "dpi": dpi, "engine": engine}
    with _options(*sizes):
        check_paper(**sizes)
    target = (out or available.folder).expanduser()
    storage.check_writable(target / f"figure.{chosen[0]}")
    console, written, left_out = console_for(as_json), [], {}
    for name, drawing in available.drawings(names or []):
        if drawing.plot is None:
            left_out[name] = drawing.sentence
            continue
        # a plug-in may return a figure of Plotly's own
        plot = drawing.plot if isinstance(drawing.plot, Figure) else Figure(drawing.plot)
        at = step if plot.frames else None
        try:
            for form in chosen:
                # the data are the same for every format
                beside: Any = data if form == chosen[0] else None
                path = plot.save(target / f"{name}.{form}", step=at, data=beside or False, **sizes)
                written += [path, *([path.with_suffix(f".{beside}")] if beside else [])]
                console.print(str(path), soft_wrap=True)
        except InputError as error:
            if names:
                raise InputError(f"{name}: {error}") from error
            left_out[name] = f"{error}."
    for name, reason in left_out.items():
        console.print(f"{name}: {reason}", soft_wrap=True)
    if as_json:
        emit({"files": [str(path) for path in written], "left_out": left_out})


@app.command(rich_help_panel=LOOK)
def movie(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or RUN#2 for a member of one.")],
    names: Annotated[
        str,
        typer.Option(
            "--figure", metavar="FIGURE,…", help="Figures with checkpoints, with commas between them, side by side."
        ),
    ] = "circles,spectrum",
    form: Annotated[
        str, typer.Option("--format", autocompletion=one_of(FILM_FORMATS), help="gif, or mp4, which needs ffmpeg.")
    ] = "gif",
    seconds: Annotated[float, FloatOption(help="How long it lasts at most.")] = 10,
    megabytes: Annotated[float, FloatOption(help="How large it is at most; it has fewer pixels until it fits.")] = 5,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; by default in the run's folder.")
    ] = None,
    plugin: Plugins = None,
    trust_plugin: TrustPlugin = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a movie of figures through the checkpoints of a run: the circuit as it forms.

    Needs Matplotlib: pip install 'groklab[paper]'.

    Examples:

      groklab movie first

      groklab movie first --figure circles,spectrum --format gif
    """
    if out is not None:
        form = out.suffix.lower().removeprefix(".") or form
    check_choice("--format", form, FILM_FORMATS)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise InputError("--figure", names, "needs the name of a figure; `groklab figures RUN --list` lists them")
    if not megabytes > 0:
        raise InputError("--megabytes", megabytes, "needs to be above 0")
    opened = _run(run, plugin, trust_plugin)
    from groklab.figures import check_film, film, plots
    from groklab.store import storage

    with _options("seconds"):
        check_film(form, seconds)
    target = (out or opened.path / f"{'-'.join(chosen)}.{form}").expanduser()
    storage.check_writable(target)
    of_run = plots(opened)
    drawn = [of_run[name]() for name in chosen]
    console = console_for(as_json)

    def view(i: int, n: int) -> None:
        if i % 10 == 0 and not quiet:
            console.print(f"picture {i + 1} of {n}")

    path = film(drawn, target.with_suffix(f".{form}"), seconds=seconds, most_bytes=int(megabytes * 1e6), view=view)
    if as_json:
        emit({"movie": str(path), "bytes": path.stat().st_size})
    else:
        console.print(f"movie: {path} ({path.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


def _available(of: str, plugin: list[Path] | None, trust_plugin: bool) -> _RunFigures | _SweepFigures:
    """Return the figures of the run or the sweep of that name."""
    from groklab.cli.sweep_pages import sweep_meant

    sweep = sweep_meant([of], [])
    return _RunFigures(_run(of, plugin, trust_plugin)) if sweep is None else _SweepFigures(sweep)


def _run(name: str, plugin: list[Path] | None, trust_plugin: bool) -> Run:
    """Return a run, after its plug-ins and those that are given have been imported."""
    for file in plugin or []:
        from groklab.plugins import load_plugin

        load_plugin(file)
    return readable_run(name, trust_plugin)


@contextmanager
def _options(*names: str) -> Iterator[None]:
    """Name the option in refusals of Python's arguments of these names."""
    try:
        yield
    except InputError as error:
        sentence = str(error)
        field = next((name for name in names if sentence.startswith(f"{name} = ")), "")
        raise InputError(f"--{field.replace('_', '-')}{sentence[len(field) :]}" if field else sentence) from None
