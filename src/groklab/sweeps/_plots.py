"""The figures of a sweep for notebooks: `sweep.plot()` lists them, `sweep.plot.phases()` draws one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from groklab.errors import check_choice
from groklab.figures import ByName, Drawing, Figure, FigureList
from groklab.grokking import GAP, THRESHOLD
from groklab.sweeps._figures import FIGURES, SweepFigure, study_figure
from groklab.sweeps._study import study
from groklab.text import visible

if TYPE_CHECKING:
    from groklab.sweeps._folder import Sweep


class SweepPlots(ByName["SweepPlot"]):
    """Figures of a sweep as methods; each is a `SweepPlot`, with its numbers and its sentence."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def __call__(self) -> FigureList[SweepFigure]:
        """Return the figures, with a sentence on each."""
        return FigureList(self._sweep.name, tuple(FIGURES.values()))

    def __getitem__(self, name: str) -> SweepPlot:
        check_choice("figure", name, FIGURES)
        return SweepPlot(self._sweep, name)

    def __dir__(self) -> list[str]:
        return list(FIGURES)

    def __repr__(self) -> str:
        return f"Figures of {visible(self._sweep.name)}: call it for a list, or one of {', '.join(FIGURES)}"


@dataclass(frozen=True, repr=False)
class SweepPlot:
    """One figure of a sweep: call it to draw it.

    Args:
        sweep: what is drawn.
        name: one of FIGURES.
    """

    sweep: Sweep
    name: str

    def __call__(self, **settings: Any) -> Figure:
        """Return the figure; the settings are those of `drawing`."""
        plot = self.drawing(**settings).plot
        assert plot is not None
        return plot

    def data(self, **settings: Any) -> pl.DataFrame:
        """Return the numbers that the figure draws, one row per cell."""
        return self(**settings).data_frame

    def sentence(self, **settings: Any) -> str:
        """Return what the figure says, as the sweep's page words it."""
        return self.drawing(**settings).sentence

    def drawing(
        self,
        *,
        x: str | None = None,
        y: str | None = None,
        at: Mapping[str, Any] | None = None,
        threshold: float = THRESHOLD,
        gap: float = GAP,
    ) -> Drawing:
        """Return the figure with its title and its sentence.

        Args:
            x: the setting to the right; y: upwards; by default the first two that the sweep varies.
            at: values at which its other settings are held, by name; by default the first of each.
            threshold: of Liu et al.'s phases: the accuracy that counts.
            gap: of theirs too: from how many steps of delay a cell groks.

        Raises:
            InputError: for settings or values that the grid does not have, or before anything is evaluated.
        """
        return study_figure(
            study(self.sweep, x=x, y=y, at=at, threshold=threshold, gap=gap, options=("x", "y")), self.name
        )

    def __repr__(self) -> str:
        figure = FIGURES[self.name]
        return f"{self.name}: {figure.title}. {figure.about} Call it to draw it."
