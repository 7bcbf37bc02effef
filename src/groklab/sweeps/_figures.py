"""The figures of a sweep: maps of its cells by phase, by the step at which they grok, and by test accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from groklab.errors import check_choice
from groklab.figures import Drawing, cell_map, phase_diagram
from groklab.sweeps._study import Study, phase_summary, verdict_summary


@dataclass(frozen=True)
class SweepFigure:
    """A figure of a sweep.

    Args:
        name: its name in `sweep.plot`.
        title: its heading.
        about: one sentence on what the figure shows, of any sweep.
    """

    name: str
    title: str
    about: str


#: The figures of a sweep, by their names.
FIGURES = {
    figure.name: figure
    for figure in (
        SweepFigure(
            "phases",
            "Learning phases (Liu et al. 2022)",
            "Which of their four phases each cell is in, by the steps at which its seeds reach a high accuracy on the "
            "training set and on the test set.",
        ),
        SweepFigure(
            "grokked",
            "When the cells grokked",
            "The step at which the median seed of each cell generalised; blank where it did not within the budget.",
        ),
        SweepFigure(
            "accuracy",
            "Highest test accuracy of the cells",
            "The best accuracy of each cell on the test set, also where no seed generalised.",
        ),
    )
}


def study_figure(study: Study, name: str, i: int = 0) -> Drawing:
    """Return a figure of one slice of a study, with the sentence that goes with it.

    Args:
        name: one of FIGURES.
        i: the slice.

    Raises:
        InputError: for another name.
    """
    check_choice("figure", name, FIGURES)
    frame, part, axes = study.frame(i), study.slices[i], study.axes
    at = study.slice_name(i)
    title = FIGURES[name].title + (f", {at}" if at else "")
    if name == "phases":
        return Drawing(phase_summary(study, part), phase_diagram(frame, axes.x, axes.y), title=title)
    if name == "grokked":
        plot = cell_map(
            frame, axes.x, axes.y, "grokked_step", "median grokking step; blank: not reached", logarithmic=True
        )
    else:
        plot = cell_map(frame, axes.x, axes.y, "test_accuracy", "highest test accuracy")
    return Drawing(verdict_summary(part), plot, title=title)
