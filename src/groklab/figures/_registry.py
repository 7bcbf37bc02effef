"""Figures of a run's page: a function with a decorator draws one, and the page collects those that apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeAlias

from groklab.errors import DamagedError, InputError
from groklab.figures._context import RunContext
from groklab.measures import NamedTable
from groklab.registry import Discovered, enter, load_all

if TYPE_CHECKING:
    from groklab.figures._figure import Figure

#: The parts of a run's page that hold figures, in their order: how it trained, what it computes, what it looks at.
Section: TypeAlias = Literal["training", "computes", "features"]
SECTIONS: tuple[Section, ...] = ("training", "computes", "features")


@dataclass(frozen=True)
class Drawing:
    """What a figure shows of one run.

    Args:
        sentence: what the plot says about this run, with its numbers; without a plot, why there is none.
        plot: a Plotly figure.
        title: replaces the figure's own title.
        tables: tables with the same numbers, shown below all figures.
    """

    sentence: str
    plot: Figure | None = None
    title: str = ""
    tables: Sequence[NamedTable] = ()


#: A figure's function: takes a run, returns one drawing, several, or None where there is nothing to show.
Draw: TypeAlias = Callable[[RunContext], "Drawing | Iterable[Drawing] | None"]


@dataclass(frozen=True)
class PageFigure:
    """A registered figure: its place on the page of a run, and the function that draws it.

    Args:
        name: unique; the `id` of the plot on the page, and its name in `run.plot`.
        title: its heading.
        section: the part of the page that it stands in.
        place: figures of a section are sorted by it.
        applies_to: whether a run has such a figure.
        about: one sentence on what the figure shows, of any run.
        definitions: sentences for the page's list of definitions.
        rows: whether the plot's height grows with its rows, so that a phone must not make it lower.
        draw: the decorated function.
    """

    name: str
    title: str
    section: Section
    place: float
    applies_to: Callable[[RunContext], bool]
    about: str
    definitions: Sequence[str]
    rows: bool
    draw: Draw

    def drawings(self, run: RunContext) -> list[Drawing]:
        """Return what the figure shows of a run, the reason where a measure refuses."""
        if not self.applies_to(run):
            return []
        try:
            return self.draw_all(run)
        except (InputError, DamagedError) as error:
            return [Drawing(f"Left out: {error}.")]
        except Exception as error:
            if self.draw.__module__.startswith("groklab."):
                raise
            # a plug-in's figure must not cost the page
            return [Drawing(f"Left out: its function raised {type(error).__name__}: {error}.")]

    def draw_all(self, run: RunContext) -> list[Drawing]:
        """Return what the figure shows of a run that it applies to.

        Raises:
            InputError: with the reason, where there is nothing to show.
        """
        result = self.draw(run)
        drawings = [result] if isinstance(result, Drawing) else list(result or ())
        if not (marks := run.marks):
            return drawings
        from groklab.figures._marks import with_marks  # with Plotly, which registering needs not

        return [d if d.plot is None else replace(d, plot=with_marks(d.plot, marks)) for d in drawings]


#: All registered figures by name.
FIGURES: Discovered[PageFigure] = Discovered(partial(load_all, "groklab.figures"))


def figure(
    name: str,
    *,
    title: str,
    section: Section = "training",
    place: float = 1000,
    applies_to: Callable[[RunContext], bool] = lambda run: True,
    about: str = "",
    definitions: Sequence[str] = (),
    rows: bool = False,
) -> Callable[[Draw], Draw]:
    """Register a function as a figure of a run's page.

    The arguments are the fields of `PageFigure`. The function takes the run (`RunContext`) and returns a `Drawing`,
    several of them, or None where there is nothing to show. An InputError that it raises is shown as the reason why the
    figure is left out.

    Raises:
        InputError: for an unknown section, or a name that is taken by groklab or by another file.
    """
    if section not in SECTIONS:
        raise InputError("section", section, f"is not one of {', '.join(SECTIONS)}")

    def decorate(draw: Draw) -> Draw:
        made = PageFigure(name, title, section, place, applies_to, about, definitions, rows, draw)
        enter(FIGURES, "figure", name, made, draw.__module__)
        return draw

    return decorate


def figures_of(section: Section) -> list[PageFigure]:
    """Return the registered figures of a section, in the order of the page."""
    return sorted((f for f in FIGURES.values() if f.section == section), key=lambda f: (f.place, f.name))


#: Decorators of figures of a circuit and of features, for runs whose model has them.
Decorator: TypeAlias = Callable[..., Callable[[Draw], Draw]]
circuit_figure: Decorator = partial(figure, section="computes", applies_to=attrgetter("has_circuit"))
feature_figure: Decorator = partial(figure, section="features", applies_to=attrgetter("has_features"))
