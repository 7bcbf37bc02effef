"""A figure of Plotly's on paper, drawn by Matplotlib: the same traces, axes, shapes, texts and legends, at a width."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab.errors import InputError
from groklab.figures import _theme as theme
from groklab.figures._paper import traces as drawn
from groklab.figures._paper.axes import Axis, axes_of, has_ticks_of, panel_of, set_ends, ticks_of
from groklab.figures._paper.colours import colour
from groklab.figures._paper.sheet import TEXT, Sheet, first_sheet
from groklab.figures._paper.texts import number, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Paper

#: Inches of all panels at least, and free around everything.
LEAST = 0.2
EDGE = 0.02
#: Drawings by which margins are fitted, at most.
TRIES = 3
#: Sizes of smaller texts, at least, as a share of the size asked for.
SMALLEST = 0.8
RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "mathtext.default": "regular",
    "axes.unicode_minus": False,
    # a text is as wide when it is measured as in the file, whatever the pixels per inch
    "text.hinting": "none",
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "groklab",
    "hatch.linewidth": 0.5,
    "path.simplify": True,
}


def draw(spec: Mapping[str, Any], width: float, height: float | None, font: float, sheet: Sheet | None = None) -> Paper:
    """Return a figure drawn by Matplotlib.

    Args:
        spec: `data` and `layout`, as `printed` returns them.
        width: inches.
        height: inches; None chooses it.
        font: size of texts in points.
        sheet: sizes that are fixed, as in a film; else margins fit what is drawn.

    Raises:
        InputError: for what Matplotlib does not draw, or where the panels do not fit.
    """
    if sheet is not None:
        return _Drawing(traces_of(spec), spec["layout"], sheet, font).paper
    return _fitting(spec, width, height, font).paper


def fit(spec: Mapping[str, Any], width: float, height: float | None, font: float) -> Sheet:
    """Return the sheet on which a figure has its width, its height and margins that hold all that is drawn."""
    return _fitting(spec, width, height, font).sheet


def _fitting(spec: Mapping[str, Any], width: float, height: float | None, font: float) -> _Drawing:
    """Return a drawing whose margins hold all that is drawn; a hundredth of an inch is less than the free edge."""
    traces, sheet = traces_of(spec), first_sheet(spec["layout"], width, height, font)
    for _ in range(TRIES):
        drawing = _Drawing(traces, spec["layout"], sheet, font)
        fitted = drawing.fitted(fixed=height is not None)
        if max(abs(a - b) for a, b in zip(vars(fitted).values(), vars(sheet).values(), strict=True)) < 0.01:
            return drawing
        sheet = fitted
    return _Drawing(traces, spec["layout"], sheet, font)


def traces_of(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the traces that are drawn, histograms as bars; raises InputError for those that cannot be."""
    traces = [drawn.histogram(t) if t.get("type") == "histogram" else t for t in spec["data"]]
    drawn.check(traces)
    return traces


class _Drawing:
    """One drawing of a figure on a sheet."""

    def __init__(
        self, traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], sheet: Sheet, font: float
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Paper

        self.traces, self.layout, self.sheet, self.font = traces, layout, sheet, font
        self.unit = font / TEXT
        self.wide = sheet.width - sheet.left - sheet.right
        self.high = sheet.height - sheet.top - sheet.bottom
        for what, room, length in (("width", self.wide, sheet.width), ("height", self.high, sheet.height)):
            if room < LEAST:
                allowed = "give a larger one, or smaller letters"
                raise InputError(f"a {what} of {length:.3g} inches leaves no room for the panels: {allowed}")
        self.paper = Paper(figsize=(sheet.width, sheet.height), facecolor=theme.PAPER)
        FigureCanvasAgg(self.paper)
        self.axes = axes_of(layout, traces)
        self.bars = drawn.bars_of(traces, self.axes, layout)
        drawn.measure(traces, self.bars, self.axes)
        set_ends(self.axes)
        self.spare = math.inf
        self._keep_proportions()
        with warnings.catch_warnings():
            # a name in letters that the font lacks
            warnings.filterwarnings("ignore", message="Glyph")
            self._draw()

    def _draw(self) -> None:
        panels = dict.fromkeys(panel_of(t) for t in self.traces) or {("x", "y"): None}
        known = {names: self._panel(*names) for names in panels}
        for i, trace in enumerate(self.traces):
            drawn.draw(trace, known[panel_of(trace)], self.bars.get(i))
        for panel in known.values():
            self._finish(panel)
        self._align(list(known.values()))
        for shape in self.layout.get("shapes") or ():
            self._shape(shape)
        for note in self.layout.get("annotations") or ():
            self._note(note)
        self._colour_bars()
        self._legends()

    # -- places ---------------------------------------------------------------------------------------------------

    def x(self, share: float) -> float:
        """Return a share of the panels' width as one of the paper's."""
        return (self.sheet.left + share * self.wide) / self.sheet.width

    def y(self, share: float) -> float:
        """Return a share of the panels' height as one of the paper's."""
        return (self.sheet.bottom + share * self.high) / self.sheet.height

    def size(self, font: Mapping[str, Any] | None, usual: float = TEXT) -> float:
        """Return the size of a text in points."""
        return max(float((font or {}).get("size") or usual) * self.unit, SMALLEST * self.font)

    def _keep_proportions(self) -> None:
        """Narrow panels whose axes have units of one length, as Plotly's `scaleanchor` does."""
        for axis in self.axes.values():
            anchor = self.axes.get(str(axis.settings.get("scaleanchor")))
            if anchor is None:
                continue
            x, y = (axis, anchor) if axis.along == "x" else (anchor, axis)
            of_x = (x.end - x.start) * self.wide / abs(x.high - x.low)
            of_y = (y.end - y.start) * self.high / abs(y.high - y.low)
            # rows of squares that need less than the height there is
            self.spare = min(self.spare, max(of_y / of_x, 1) - 1) if of_y > of_x else 0.0
            unit = min(of_x, of_y) * float(axis.settings.get("scaleratio") or 1)
            for a, room in ((x, self.wide), (y, self.high)):
                half, middle = unit * abs(a.high - a.low) / room / 2, (a.start + a.end) / 2
                a.start, a.end = middle - half, middle + half

    # -- panels ---------------------------------------------------------------------------------------------------

    def _panel(self, x_name: str, y_name: str) -> drawn.Panel:
        x, y = self.axes[x_name], self.axes[y_name]
        left, bottom = self.x(x.start), self.y(y.start)
        axes = self.paper.add_axes((left, bottom, self.x(x.end) - left, self.y(y.end) - bottom))
        axes.set_facecolor("none")
        axes.set_axisbelow(True)
        for axis, scale, limit in ((x, axes.set_xscale, axes.set_xlim), (y, axes.set_yscale, axes.set_ylim)):
            if axis.is_log:
                scale("log")
            limit(*((10**axis.low, 10**axis.high) if axis.is_log else (axis.low, axis.high)))
        return drawn.Panel(axes, x, y, self.layout, self.unit, self.font)

    def _finish(self, panel: drawn.Panel) -> None:
        """Give a panel its ends, ticks, grid and titles."""
        axes, (x, y) = panel.axes, (panel.x, panel.y)
        own = {"x": has_ticks_of(x, y), "y": has_ticks_of(y, x)}
        for axis, edge, other in ((x, "bottom", "top"), (y, "left", "right")):
            axes.spines[other].set_visible(False)
            shown = axis.settings.get("showline", axis.settings.get("zeroline") is not False) and own[axis.along]
            axes.spines[edge].set_visible(bool(shown))
            axes.spines[edge].set(color=theme.SOFT, linewidth=0.6)
            limits = (10**axis.low, 10**axis.high) if axis.is_log else (axis.low, axis.high)
            (axes.set_xlim if axis.along == "x" else axes.set_ylim)(*limits)
            self._ticks(panel, axis, own[axis.along])
            if own[axis.along]:
                self._title(panel, axis)

    def _ticks(self, panel: drawn.Panel, axis: Axis, own: bool) -> None:
        axes, settings = panel.axes, axis.settings
        length = 72 * (axis.end - axis.start) * (self.wide if axis.along == "x" else self.high)
        size = self.size(settings.get("tickfont"))
        ticks = ticks_of(axis, length, size)
        texts = (
            [plain(t) for t in ticks.texts] if own and settings.get("showticklabels", True) else [""] * len(ticks.at)
        )
        of_axes = axes.xaxis if axis.along == "x" else axes.yaxis
        of_axes.set_ticks(ticks.at, texts)
        of_axes.set_ticks(ticks.minor, minor=True)
        of_axes.set_tick_params(which="minor", labelbottom=False, labelleft=False)
        marks = 2.5 if any(texts) else 0
        look = {"labelsize": size, "labelcolor": theme.MUTED, "color": theme.SOFT, "pad": 2}
        of_axes.set_tick_params(which="major", length=marks, width=0.6, **look)
        of_axes.set_tick_params(
            which="minor", length=0.6 * marks if "minor" in settings else 0, width=0.5, color=theme.SOFT
        )
        angle = settings.get("tickangle")
        if angle and any(texts):
            of_axes.set_tick_params(labelrotation=-float(angle))
        if settings.get("showgrid", True):
            of_axes.grid(True, which="major", color=theme.GRID, linewidth=0.6)
        zero = settings.get("zeroline", True) and not axis.is_log and axis.names is None
        if zero and min(axis.low, axis.high) < 0 < max(axis.low, axis.high):
            line = axes.axvline if axis.along == "x" else axes.axhline
            line(0, color=colour(settings.get("zerolinecolor"), theme.GRID), linewidth=0.8, zorder=1)

    def _title(self, panel: drawn.Panel, axis: Axis) -> None:
        title = axis.settings.get("title") or {}
        text = title.get("text") if isinstance(title, Mapping) else title
        if not text:
            return
        size = self.size(title.get("font") if isinstance(title, Mapping) else None)
        label = panel.axes.set_xlabel if axis.along == "x" else panel.axes.set_ylabel
        label(plain(str(text)), fontsize=size, color=theme.INK, labelpad=2.5)
        if axis.along == "y":
            self._shorten(panel, axis, size)

    def _shorten(self, panel: drawn.Panel, axis: Axis, size: float) -> None:
        """Write a vertical title in two lines where its panel is lower than it is long."""
        label = panel.axes.yaxis.label
        text, room = label.get_text(), 1.15 * 72 * self.high * (axis.end - axis.start)
        if "\n" in text or "$" in text or 0.55 * size * len(text) <= room:
            return
        words = text.split(" ")
        splits = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
        if splits:
            label.set_text("\n".join(min(splits, key=lambda pair: max(map(len, pair)))))

    def _align(self, panels: Sequence[drawn.Panel]) -> None:
        """Put the vertical titles of panels that begin at the same place side by side."""
        renderer = self.paper.canvas.get_renderer()
        for start in {panel.x.start for panel in panels}:
            own = [panel.axes for panel in panels if panel.x.start == start and panel.axes.yaxis.label.get_text()]
            if len(own) < 2:
                continue
            for axes in own:
                axes.yaxis.get_tightbbox(renderer)  # which places the title
            left = min(axes.yaxis.label.get_window_extent(renderer).x1 for axes in own)
            for axes in own:
                place = axes.get_position()
                at = self.paper.transFigure.inverted().transform((left, 0))[0]
                axes.yaxis.set_label_coords(at, place.y0 + place.height / 2, self.paper.transFigure)

    # -- shapes and texts -----------------------------------------------------------------------------------------

    def _at(self, reference: str, value: Any, *, note: bool = False) -> float:
        """Return a coordinate of a shape or text as a share of the paper."""
        name, _, is_domain = reference.partition(" ")
        to_paper = self.x if name[0] == "x" or (name == "paper" and note) else self.y
        if name == "paper":
            return float(value)
        axis = self.axes[name]
        if is_domain:
            return to_paper(axis.start + float(value) * (axis.end - axis.start))
        return to_paper(axis.place(value, logarithm=note and axis.is_log))

    def _point(self, item: Mapping[str, Any], x: str, y: str, *, note: bool = False) -> tuple[float, float]:
        across, up = str(item.get("xref") or "paper"), str(item.get("yref") or "paper")
        return (
            self.x(float(item[x])) if across == "paper" else self._at(across, item[x], note=note),
            self.y(float(item[y])) if up == "paper" else self._at(up, item[y], note=note),
        )

    def _shape(self, shape: Mapping[str, Any]) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        # Plotly's own defaults
        shape = {"type": "rect", "xref": "x", "yref": "y", **shape}
        kind = shape["type"]
        if kind not in ("line", "rect"):
            raise InputError(f"Matplotlib draws no shapes of the type {kind!r}; engine='kaleido' draws them")
        (x0, y0), (x1, y1) = self._point(shape, "x0", "y0"), self._point(shape, "x1", "y1")
        axis = self.axes.get(str(shape.get("xref", "")).split(" ")[0])
        if axis is not None:
            low, high = self.x(axis.start), self.x(axis.end)
            if max(x0, x1) < low - 1e-9 or min(x0, x1) > high + 1e-9:
                return
            x0, x1 = (min(max(x, low), high) for x in (x0, x1))
        line = shape.get("line") or {}
        below = shape.get("layer") == "below"
        look: dict[str, Any] = {"transform": self.paper.transFigure, "alpha": shape.get("opacity")}
        width = float(line.get("width", 2)) * self.unit
        if kind == "line":
            dash = drawn.DASHES.get(str(line.get("dash", "solid")), "-")
            look |= {"color": colour(line.get("color")), "linewidth": width, "linestyle": dash}
            self.paper.add_artist(Line2D([x0, x1], [y0, y1], zorder=-1 if below else 0.5, **look))
        else:
            fill = colour(shape.get("fillcolor"), "none")
            look |= {"facecolor": fill, "edgecolor": colour(line.get("color")) if width else "none", "linewidth": width}
            self.paper.add_artist(Rectangle((x0, y0), x1 - x0, y1 - y0, zorder=-1 if below else 0.5, **look))

    def _note(self, note: Mapping[str, Any]) -> None:
        from matplotlib.transforms import ScaledTranslation

        if not note.get("text"):
            return
        x, y = self._point(note, "x", "y", note=True)
        shift = [float(note.get(f"{a}shift") or 0) * self.unit / 72 for a in "xy"]
        size, font = self.size(note.get("font"), 12), note.get("font") or {}
        box = note.get("bgcolor")
        pad = float(note.get("borderpad", 1)) * self.unit
        across = {"left": "left", "right": "right"}.get(str(note.get("xanchor")), "center")
        up = {"top": "top", "bottom": "bottom"}.get(str(note.get("yanchor")), "center")
        self.paper.text(
            x,
            y,
            plain(str(note["text"])),
            transform=self.paper.transFigure + ScaledTranslation(*shift, self.paper.dpi_scale_trans),
            fontsize=size,
            color=colour(font.get("color"), theme.INK),
            alpha=note.get("opacity"),
            ha=across,
            va=up,
            rotation=-float(note.get("textangle") or 0),
            linespacing=1.15,
            bbox={"facecolor": colour(box), "edgecolor": "none", "pad": pad} if box else None,
            zorder=3,
        )

    # -- colour bars and legends ----------------------------------------------------------------------------------

    def _colour_bars(self) -> None:
        for key, settings in self.layout.items():
            used = [t for t in self.traces if key in (t.get("coloraxis"), (t.get("marker") or {}).get("coloraxis"))]
            if key.startswith("coloraxis") and used and settings.get("showscale", True):
                self._colour_bar(settings, ("cmin", "cmax"))
        for trace in self.traces:
            marker = trace.get("marker") or {}
            if trace.get("type") == "heatmap" and not trace.get("coloraxis") and trace.get("showscale", True):
                self._colour_bar(trace, ("zmin", "zmax"))
            elif marker.get("showscale"):
                self._colour_bar(marker, ("cmin", "cmax"))

    def _colour_bar(self, settings: Mapping[str, Any], ends: tuple[str, str]) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        bar = settings.get("colorbar") or {}
        flat = bar.get("orientation") == "h"
        scale, low, high = drawn.colour_scale(settings, self.layout, ends)
        length, thick = float(bar.get("len", 1)), float(bar.get("thickness", 30)) * self.unit / 72
        padding = "ypad" if flat else "xpad"
        away = float(bar.get(padding, 10)) * self.unit / 72
        if flat:
            x, y = float(bar.get("x", 0.5)), float(bar.get("y", 1.02))
            left = x - length * {"left": 0, "right": 1}.get(str(bar.get("xanchor")), 0.5)
            above = bar.get("yanchor") == "bottom"
            # its numbers are below it
            digits = (1.3 * self.size(bar.get("tickfont"), 12) + 4) / 72
            bottom = self.y(y) + (away / 2 + digits if above else -away - thick) / self.sheet.height
            place = (self.x(left), bottom, length * self.wide / self.sheet.width, thick / self.sheet.height)
        else:
            x, y = float(bar.get("x", 1.02)), float(bar.get("y", 0.5))
            bottom_share = y - length * {"bottom": 0, "top": 1}.get(str(bar.get("yanchor")), 0.5)
            left_of = self.x(x) + away / self.sheet.width
            place = (left_of, self.y(bottom_share), thick / self.sheet.width, length * self.high / self.sheet.height)
        axes = self.paper.add_axes(place)
        made = self.paper.colorbar(
            ScalarMappable(Normalize(low, high), scale), axes, orientation="horizontal" if flat else "vertical"
        )
        made.outline.set_visible(False)
        given = bar.get("tickvals")
        if given is not None:
            at = [float(v) for v in given]
            texts = [str(t) for t in bar.get("ticktext") or map(number, at)]
        else:
            long = 72 * (place[2] * self.sheet.width if flat else place[3] * self.sheet.height)
            wanted = {k: bar[k] for k in ("nticks", "tickformat", "dtick", "tick0") if bar.get(k) is not None}
            ticks = ticks_of(Axis("x" if flat else "y", wanted, low=low, high=high), long, self.font)
            at, texts = ticks.at, ticks.texts
        made.set_ticks(at, labels=[plain(t) for t in texts])
        made.ax.minorticks_off()
        size = self.size(bar.get("tickfont"), 12)
        made.ax.tick_params(length=2, width=0.6, labelsize=size, labelcolor=theme.MUTED, color=theme.SOFT, pad=2)
        title = bar.get("title") or {}
        if title.get("text"):
            self._bar_title(made.ax, plain(title["text"]), self.size(title.get("font"), 12), flat, title.get("side"))

    def _bar_title(self, axes: Any, text: str, size: float, flat: bool, side: str | None) -> None:
        look: dict[str, Any] = {"fontsize": size, "color": theme.INK, "textcoords": "offset points"}
        if flat and side == "right":
            axes.annotate(text, (1, 0.5), (4, 0), xycoords="axes fraction", ha="left", va="center", **look)
        else:
            axes.annotate(
                text, (0 if flat else 0.5, 1), (0, 3), xycoords="axes fraction", ha="left", va="bottom", **look
            )

    def _legends(self) -> None:
        named = [t for t in self.traces if t.get("name") and t.get("showlegend", True)]
        shown = self.layout.get("showlegend")
        if shown is False or (shown is None and len(named) < 2 and not any(t.get("showlegend") for t in named)):
            return
        keys = dict.fromkeys(str(t.get("legend") or "legend") for t in named)
        for key in keys:
            own = [t for t in named if str(t.get("legend") or "legend") == key]
            own.sort(key=lambda t: float(t.get("legendrank") or 1000))
            self._legend(own, {**(self.layout.get("legend") or {}), **(self.layout.get(key) or {})})

    def _legend(self, named: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
        handles = [_sample(t, self.unit) for t in named]
        texts = [plain(str(t["name"])) for t in named]
        flat = settings.get("orientation") == "h"
        x, y = float(settings.get("x", 0 if flat else 1.02)), float(settings.get("y", 1))
        up = {"bottom": "lower", "middle": "center", "top": "upper"}.get(str(settings.get("yanchor", "top")), "upper")
        across = {"center": "center", "right": "right"}.get(str(settings.get("xanchor", "left")), "left")
        place = "center" if (up, across) == ("center", "center") else f"{up} {across}"
        size = self.size(settings.get("font"), 12)
        room = 72 * (self.sheet.width * (1 - self.x(x)) if across == "left" else self.sheet.width)
        # smaller letters before a second row
        tries = [(c, f) for c in range(len(named) if flat else 1, 0, -1) for f in (size, SMALLEST * self.font)]
        for columns, letters in tries:
            order = [i for start in range(columns) for i in range(start, len(named), columns)]
            legend = self.paper.legend(
                [handles[i] for i in order],
                [texts[i] for i in order],
                loc=place,
                bbox_to_anchor=(self.x(x), self.y(y)),
                ncols=columns,
                fontsize=letters,
                labelcolor=theme.INK,
                frameon=False,
                borderaxespad=0.25,
                borderpad=0,
                handlelength=2.2,
                handletextpad=0.5,
                columnspacing=1.1,
                labelspacing=0.35,
            )
            if not flat or self._points(legend) <= room or (columns, letters) == tries[-1]:
                return
            legend.remove()

    def _points(self, artist: Any) -> float:
        """Return the width of what is drawn, in points."""
        renderer = self.paper.canvas.get_renderer()
        return 72 * float(artist.get_window_extent(renderer).width / self.paper.dpi)

    # -- fitting --------------------------------------------------------------------------------------------------

    def fitted(self, *, fixed: bool) -> Sheet:
        """Return the sheet whose margins hold all that is drawn; fixed: the height stays, else that of the panels."""
        renderer = self.paper.canvas.get_renderer()
        boxes = [a.get_tightbbox(renderer) for a in self.paper.get_children() if a is not self.paper.patch]
        boxes = [b for b in boxes if b is not None and np.isfinite(b.get_points()).all() and b.width + b.height > 0]
        s, dpi = self.sheet, self.paper.dpi
        if not boxes:
            return s
        left, right = min(b.x0 for b in boxes) / dpi, max(b.x1 for b in boxes) / dpi
        bottom, top = min(b.y0 for b in boxes) / dpi, max(b.y1 for b in boxes) / dpi
        margins = {
            "left": s.left - left + EDGE,
            "right": s.right + right - s.width + EDGE,
            "bottom": s.bottom - bottom + EDGE,
            "top": s.top + top - s.height + EDGE,
        }
        wide = s.width - margins["left"] - margins["right"]
        own = self.layout.get("width")
        high = self.high * wide / self.wide if own else self.high
        high /= 1 + (self.spare if math.isfinite(self.spare) else 0.0)
        height = s.height if fixed else high + margins["top"] + margins["bottom"]
        return replace(s, height=height, **margins)


def _sample(trace: Mapping[str, Any], unit: float) -> Any:
    """Return what a legend shows of a trace."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marker = trace.get("marker") or {}
    if trace.get("type") in ("bar", "histogram"):
        one, shape = marker.get("color"), (marker.get("pattern") or {}).get("shape") or ""
        fill = one if isinstance(one, str) or one is None else np.asarray(one, object).tolist()[0]
        hatch = drawn.HATCHES.get(str(shape if isinstance(shape, str) else shape[0]))
        edge = theme.PAPER if hatch else "none"
        return Patch(facecolor=colour(fill, theme.TEST), hatch=hatch, edgecolor=edge, linewidth=0)
    mode = drawn.mode_of(trace)
    look: dict[str, Any] = {"linestyle": "none"}
    if "markers" in mode:
        look |= drawn.marks_look(trace, unit)
        look["markersize"] = min(max(look["markersize"], 7 * unit), 10 * unit)
    if "lines" in mode:
        look |= drawn.line_look(trace, unit)
    return Line2D([], [], **look)
