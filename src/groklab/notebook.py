"""Output in notebooks: which notebook this is, an output that is updated in place, and what it is put together from.

Every output is HTML that needs neither scripts nor a network, so that a saved notebook shows it anywhere. It takes the
notebook's own colour of text; colours of its own have a twin for dark notebooks.
"""

from __future__ import annotations

import contextlib
import html
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from groklab.errors import InputError, Interrupted, check_choice
from groklab.lazy import np
from groklab.text import superscript, visible

P = TypeVar("P")
#: How work is watched: in place in a notebook and by lines elsewhere, or by a function of one's own, or not at all.
Watch: TypeAlias = Callable[[P], None] | Literal["live"] | None
#: The least time between two pictures, and between two lines.
PICTURE_SECONDS, LINE_SECONDS = 0.25, 10.0
#: Colours of training and test set on light and on dark ground, those of the figures.
COLOURS = {"train": ("#D55E00", "#F0A030"), "test": ("#0072B2", "#5BB8F0"), "done": ("#008A64", "#3CCB9E")}
#: Roots of dark notebooks: Jupyter, Colab, Sphinx and Zensical, VS Code, marimo.
_DARK = (
    "body[data-jp-theme-light=false]",
    "html[theme=dark]",
    "html[data-theme=dark]",
    "body[data-theme=dark]",
    "body[data-md-color-scheme=slate]",
    "body.vscode-dark",
    ".dark",
)
#: Of a panel of curves: its left edge and width, its top and height.
_LEFT, _PANEL, _TOP, _HEIGHT = 44, 285, 12, 130
#: Points of a line.
_POINTS = 400
#: Columns of a table of a run's members or of many runs, and rows that are shown of it.
ROWS = 30


def frontend() -> Literal["jupyter", "marimo"] | None:
    """Return the kind of notebook that this code runs in; None in scripts and terminals."""
    marimo = sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        return "marimo"
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # a terminal's IPython shows no HTML
    return "jupyter" if getattr(shell, "kernel", None) is not None else None


class Output:
    """An output of the cell that is running, updated in place."""

    def __init__(self, kind: Literal["jupyter", "marimo"]) -> None:
        self._kind = kind
        self._handle: Any = None

    def show(self, content: str, plain: str) -> None:
        """Show HTML, or the plain text where there is no HTML, in place of what was shown before."""
        if self._kind == "marimo":
            self._show_in_marimo(content)
            return
        display: Any = importlib.import_module("IPython.display").display
        data = {"text/html": content, "text/plain": plain}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)

    def _show_in_marimo(self, content: str) -> None:
        marimo: Any = importlib.import_module("marimo")
        if self._handle is None:
            context = importlib.import_module("marimo._runtime.context").get_context()
            self._handle = len(context.execution_context.output)
        marimo.output.replace_at_index(marimo.Html(content), self._handle)


class _InPlace(Generic[P]):
    """Shows progress as a picture of the running cell."""

    def __init__(
        self, output: Output, picture: Callable[[P, str], str], sentence: Callable[[P], str], patience: float
    ) -> None:
        self._output, self._picture, self._sentence = output, picture, sentence
        self._last: P | None = None
        self._next = time.monotonic() + patience
        self._patient = patience > 0

    def __call__(self, progress: P) -> None:
        self._last = progress
        if time.monotonic() >= self._next:
            self._show("")
            self._next, self._patient = time.monotonic() + PICTURE_SECONDS, False

    def end(self, note: str) -> None:
        """Show the final state; note: why it is not complete."""
        if self._last is not None and not self._patient:
            self._show(note)

    def _show(self, note: str) -> None:
        assert self._last is not None
        self._output.show(self._picture(self._last, note), self._sentence(self._last) + (f"; {note}" if note else ""))


class _Lines(Generic[P]):
    """Prints a line on standard error now and then, and at the end."""

    def __init__(self, sentence: Callable[[P], str], patience: float) -> None:
        self._sentence, self._printed, self._quiet_until = sentence, time.monotonic(), time.monotonic() + patience
        self._last: P | None = None

    def __call__(self, progress: P) -> None:
        self._last = progress
        if time.monotonic() - self._printed >= LINE_SECONDS:
            self._printed = time.monotonic()
            self._print("")

    def end(self, note: str) -> None:
        """Print the final state; note: why it is not complete."""
        if self._last is not None and time.monotonic() >= self._quiet_until:
            self._print(note)

    def _print(self, note: str) -> None:
        assert self._last is not None
        print(visible(self._sentence(self._last) + (f"; {note}" if note else "")), file=sys.stderr)


@contextlib.contextmanager
def watching(
    view: Watch[P], picture: Callable[[P, str], str], sentence: Callable[[P], str], *, patience: float = 0.0
) -> Iterator[Callable[[P], None] | None]:
    """Yield the function that is called with progress, None where nothing is shown.

    The last progress is shown as the final state, also where work stops by an error, whose words are then below it.

    Args:
        view: 'live' for a picture in a notebook and lines elsewhere; a function, which is yielded as it is; or None.
        picture: progress and a note, which may be empty, as HTML.
        sentence: progress on one line.
        patience: show nothing of work that takes fewer seconds.

    Raises:
        InputError: for another view.
    """
    if view is None or callable(view):
        yield view
        return
    check_choice("view", view, ("live",), "so are None and a function of the progress")
    kind = frontend()
    shown: _InPlace[P] | _Lines[P] = (
        _Lines(sentence, patience) if kind is None else _InPlace(Output(kind), picture, sentence, patience)
    )
    try:
        yield shown
    except (Interrupted, KeyboardInterrupt):
        shown.end("stopped, with everything kept: the same call continues")
        raise
    except InputError as error:
        shown.end(f"stopped: {error}")
        raise
    else:
        shown.end("")


# -- HTML ---------------------------------------------------------------------------------------------------------


def escaped(text: Any) -> str:
    """Return a text for HTML, in which nothing is obeyed."""
    return html.escape(visible(str(text)))


def block(*parts: str) -> str:
    """Return parts of HTML as one output with its style."""
    return f"<div class='groklab'>{_style()}{''.join(parts)}</div>"


def title(name: str, rest: str = "") -> str:
    """Return a line whose first words are bold."""
    return f"<div><b>{escaped(name)}</b>{' · ' + escaped(rest) if rest else ''}</div>"


def line(text: str, *, faint: bool = False) -> str:
    """Return a line of text."""
    return f"<div{' class=faint' if faint else ''}>{escaped(text)}</div>"


def listing(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    return f"<ul>{''.join(f'<li>{escaped(sentence)}</li>' for sentence in sentences)}</ul>"


def details(summary: str, *parts: str) -> str:
    """Return parts that are folded away under a summary."""
    return f"<details><summary>{escaped(summary)}</summary>{''.join(parts)}</details>"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], right: Iterable[str] = ()) -> str:
    """Return a table; columns of `right` are aligned to the right."""
    kinds = [" class=number" if name in set(right) else "" for name in headings]
    head = "".join(f"<th{kind}>{escaped(name)}</th>" for name, kind in zip(headings, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{escaped(cell)}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>"
        for row in rows
    )
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def pairs(rows: Mapping[str, Any]) -> str:
    """Return names with their values, one pair per line."""
    cells = "".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows.items())
    return f"<div class=wide><table class=pairs>{cells}</table></div>"


def bar(share: float, label: str) -> str:
    """Return a bar with the share that is done, and words beside it."""
    percent = 100 * min(max(share, 0.0), 1.0)
    inside = f"<span class=bar><span style='width:{percent:.1f}%'></span></span>"
    return f"<div>{inside} {escaped(label)}</div>"


def curves(
    steps: np.ndarray, loss: Mapping[str, np.ndarray], accuracy: Mapping[str, np.ndarray], *, log: bool = True
) -> str:
    """Return an SVG picture of loss (log) and of accuracy over the steps (log), for `train` and `test`.

    Args:
        loss, accuracy: (n,) by the name of the set.
        log: whether losses are on a logarithmic axis.
    """
    if len(steps) > _POINTS:
        along = np.geomspace(max(steps[0], 1), steps[-1], _POINTS)
        kept = np.unique(np.searchsorted(steps, along).clip(0, len(steps) - 1))
        steps = steps[kept]
        loss, accuracy = ({name: values[kept] for name, values in each.items()} for each in (loss, accuracy))
    x = np.log10(np.maximum(steps, 1))
    span = max(float(x[-1]) if len(x) else 0.0, 1.0)
    heights = {name: np.log10(np.maximum(values, 1e-12)) if log else values for name, values in loss.items()}
    known = [float(v) for values in heights.values() for v in values if math.isfinite(v)]
    limits: tuple[float, float]
    marks: dict[str, float]
    if log:
        low, high = (math.floor(min(known)), math.ceil(max(known))) if known else (0, 1)
        high = max(high, low + 1)
        every = max(1, math.ceil((high - low) / 4))
        limits, marks = (low, high), {f"10{superscript(str(n))}": n for n in range(low, high + 1, every)}
    else:
        top = float(f"{1.1 * max([*known, 1e-6]):.1g}")
        limits, marks = (0.0, top), {f"{n:.2g}": n for n in (0.0, top / 2, top)}
    key = [(6, _HEIGHT - 10 - 16 * i, name) for i, name in enumerate(reversed(tuple(loss)))]
    panels = [
        _panel("loss", x, heights, span, limits, marks, key),
        _panel("accuracy", x, accuracy, span, (0, 1), {"0%": 0, "50%": 0.5, "100%": 1}),
    ]
    return f"<div class=panels>{''.join(panels)}</div>"


def _panel(
    name: str,
    x: np.ndarray,
    lines: Mapping[str, np.ndarray],
    span: float,
    limits: tuple[float, float],
    marks: Mapping[str, float],
    key: Iterable[tuple[float, float, str]] = (),
) -> str:
    """Return lines over the logarithm of steps as SVG.

    Args:
        span: the logarithm of the last step.
        marks: heights by their text.
        key: names of lines, with their places.
    """

    def across(value: Any) -> Any:
        return _LEFT + _PANEL * value / span

    def down(value: Any) -> Any:
        return _TOP + _HEIGHT * (1 - (value - limits[0]) / (limits[1] - limits[0]))

    right, bottom = _LEFT + _PANEL, _TOP + _HEIGHT
    parts = [
        f"<line x1='{_LEFT}' x2='{right}' y1='{down(at):.1f}' y2='{down(at):.1f}' class='grid'/>"
        f"<text x='{_LEFT - 6}' y='{down(at) + 4:.1f}' text-anchor='end'>{text}</text>"
        for text, at in marks.items()
    ]
    every = max(1, math.ceil(span / 5))
    parts += [
        f"<line x1='{across(n):.1f}' x2='{across(n):.1f}' y1='{_TOP}' y2='{bottom}' class='grid'/>"
        f"<text x='{across(n):.1f}' y='{bottom + 15}' text-anchor='middle'>{10**n:,}</text>"
        for n in range(0, math.floor(span) + 1, every)
    ]
    parts.append(f"<text x='{_LEFT + _PANEL / 2}' y='{bottom + 30}' text-anchor='middle'>{name} over steps</text>")
    for split, values in lines.items():
        seen = np.isfinite(values)
        clipped = np.clip(values[seen], *limits)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(x[seen]), down(clipped), strict=True))
        parts.append(f"<polyline points='{points}' class='{split}'/>")
    parts += [f"<text x='{_LEFT + a}' y='{_TOP + b}' class='{split}'>{split}</text>" for a, b, split in key]
    label = f"{name} over the steps, of training and test set"
    return f"<svg role='img' aria-label='{label}' viewBox='0 0 {right + 24} {bottom + 34}'>{''.join(parts)}</svg>"


def _style() -> str:
    light = "".join(f"--gl-{name}:{colours[0]};" for name, colours in COLOURS.items())
    dark = "".join(f"--gl-{name}:{colours[1]};" for name, colours in COLOURS.items())
    roots = ",".join(f"{root} .groklab" for root in _DARK)
    lines = "".join(
        f".groklab svg .{name}{{stroke:var(--gl-{name})}}.groklab svg text.{name}{{fill:var(--gl-{name});stroke:none}}"
        for name in ("train", "test")
    )
    return (
        f"<style>.groklab{{font-size:13px;line-height:1.55;max-width:60em;{light}}}{roots}{{{dark}}}"
        ".groklab .faint{opacity:.7}.groklab .wide{overflow-x:auto}"
        ".groklab ul{margin:.2em 0 .6em;padding-left:1.4em}.groklab summary{cursor:pointer}"
        ".groklab table{border-collapse:collapse;margin:.3em 0;font-size:inherit}"
        ".groklab table th,.groklab table td{padding:1px 14px 1px 0;text-align:left;vertical-align:top;background:none;"
        "white-space:pre-wrap;border:0;max-width:none}"
        ".groklab table thead th{border-bottom:1px solid rgba(127,127,127,.5)}"
        ".groklab table .number{text-align:right;font-variant-numeric:tabular-nums}"
        ".groklab table.pairs th{font-weight:normal;opacity:.7}"
        ".groklab .bar{display:inline-block;width:12em;height:.7em;border-radius:.35em;background:rgba(127,127,127,.3)}"
        ".groklab .bar span{display:block;height:100%;border-radius:.35em;background:var(--gl-done)}"
        ".groklab .key{margin-right:1.2em}"
        ".groklab .key span{display:inline-block;width:.8em;height:.8em;margin-right:.4em}"
        ".groklab .panels{display:flex;flex-wrap:wrap;max-width:740px}"
        ".groklab .panels svg{flex:1 1 280px;max-width:360px}"
        ".groklab svg{display:block;width:100%;height:auto;margin:.4em 0}"
        ".groklab svg text{fill:currentColor;font-size:11px;font-family:inherit}"
        ".groklab svg .grid{stroke:rgba(127,127,127,.3);stroke-width:1}"
        f".groklab svg polyline{{fill:none;stroke-width:1.8;stroke-linejoin:round}}{lines}</style>"
    )
