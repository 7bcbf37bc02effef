"""Figures for notebooks: those of a run, and those of weights that were never in one."""

from __future__ import annotations

import abc
import datetime
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import polars as pl

from groklab import notebook
from groklab.analysis import Weights
from groklab.errors import InputError, check_choice, check_member
from groklab.experiment import Experiment, read
from groklab.figures._context import ByItsSettings, RunContext
from groklab.figures._figure import Figure
from groklab.figures._registry import FIGURES, SECTIONS, Drawing, PageFigure, figures_of
from groklab.learners import METRICS
from groklab.networks import recognise
from groklab.store import Environment, OneMember, Run, Status
from groklab.tasks import Split, Task
from groklab.text import visible

#: Weights of a model by name, or those of several steps of its training.
WeightsByStep: TypeAlias = Mapping[int, Weights]
#: Characters of a line of the list of figures.
LINE = 100


class Listed(Protocol):
    """A figure of a run or of a sweep, as lists show it: its name, its title, and one sentence on what it shows."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def about(self) -> str: ...


F = TypeVar("F", bound=Listed)


@dataclass(frozen=True)
class FigureList(Sequence[F]):
    """The figures of one run, model or sweep, in the order of its page; a notebook shows them as a table.

    Args:
        of: whose figures.
        figures: those that apply.
    """

    of: str
    figures: tuple[F, ...]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [figure.name for figure in self.figures]

    def __getitem__(self, place: Any) -> Any:
        return self.figures[place]

    def __len__(self) -> int:
        return len(self.figures)

    def __repr__(self) -> str:
        width = max(map(len, self.names), default=0)
        indent = " " * (width + 4)
        wrap = textwrap.TextWrapper(LINE, subsequent_indent=indent, break_on_hyphens=False)
        rows = [wrap.fill(f"  {f.name:{width}}  {visible(f.title)}. {visible(f.about)}") for f in self.figures]
        count = f"{len(rows)} figure{'s' if len(rows) != 1 else ''}"
        return "\n".join([f"{visible(self.of)} has {count}:", *rows])

    def _repr_html_(self) -> str:
        rows = [(f.name, f.title, f.about) for f in self.figures]
        return notebook.block(notebook.title(self.of), notebook.table(("figure", "title", "what it shows"), rows))


P_co = TypeVar("P_co", covariant=True)


class ByName(abc.ABC, Generic[P_co]):
    """Things by name that are attributes, too, so that Tab lists them."""

    @abc.abstractmethod
    def __getitem__(self, name: str) -> P_co:
        """Return the thing of a name; raises InputError naming the nearest one."""

    def __getattr__(self, name: str) -> P_co:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except InputError as error:
            raise AttributeError(str(error)) from None


class Plots(ByName["Plot"]):
    """Figures as methods: `plots()` lists those that apply, `plots.spectrum()` draws one.

    Each figure is a `Plot`: `plots.spectrum.data()` is its data frame, `plots.spectrum.sentence()` what it says.
    """

    _applying: Sequence[str] = ()

    @abc.abstractmethod
    def _context(self, member: int | None) -> RunContext:
        """Return what the figures are drawn from."""

    @property
    @abc.abstractmethod
    def _name(self) -> str:
        """Whose figures these are."""

    def __call__(self, member: int | None = None) -> FigureList[PageFigure]:
        """Return the figures that apply, with a sentence on each.

        Args:
            member: of an ensemble; None takes the run as its page does.
        """
        context = self._context(member)
        if "model" not in vars(context):
            # an analysis takes seconds, and a list should not
            context = ByItsSettings(context)
        applying = [f for section in SECTIONS for f in figures_of(section) if _applies(f, context)]
        self._applying = [f.name for f in applying]
        return FigureList(self._name, tuple(applying))

    def __getitem__(self, name: str) -> Plot:
        if name not in FIGURES:
            # the run's own plug-ins may have more
            self._context(None)
        check_choice("figure", name, sorted(FIGURES))
        return Plot(self, FIGURES[name])

    def __dir__(self) -> list[str]:
        # once the model is analysed, those that apply
        return list(self._applying) or sorted(FIGURES)

    def __repr__(self) -> str:
        return f"Figures of {visible(self._name)}: call it for a list, or one of {', '.join(dir(self))}"


def _applies(figure: PageFigure, context: RunContext) -> bool:
    try:
        return figure.applies_to(context)
    except InputError:
        # it looked into an analysis that the model does not have
        return False


@dataclass(frozen=True, repr=False)
class Plot:
    """One figure: call it to draw it.

    Args:
        plots: whose figures.
        figure: the registered one.
    """

    plots: Plots
    figure: PageFigure

    def __call__(self, *, member: int | None = None, part: int = 0) -> Figure:
        """Return the figure.

        Args:
            member: of an ensemble; None draws what the run's page does: all members' curves, and what the first one
                computes.
            part: which one, where the page has several, such as one per operation of a mixture.

        Raises:
            InputError: with the reason, where there is nothing to draw.
        """
        return _plot_of(self.drawing(member=member, part=part))

    def data(self, *, member: int | None = None, part: int = 0) -> pl.DataFrame:
        """Return the numbers that the figure draws, as a tidy data frame."""
        return self(member=member, part=part).data_frame

    def sentence(self, *, member: int | None = None, part: int = 0) -> str:
        """Return what the figure says, as the run's page words it."""
        return self.drawing(member=member, part=part).sentence

    def drawing(self, *, member: int | None = None, part: int = 0) -> Drawing:
        """Return the figure with its title, its sentence and its tables; raises InputError as a call does."""
        drawings = [d for d in self.drawings(member=member) if d.plot is not None]
        if not 0 <= part < len(drawings):
            titles = ", ".join(f"{i} ({d.title or self.figure.title})" for i, d in enumerate(drawings))
            raise InputError("part", part, f"the figure {self.figure.name} has {titles}")
        return drawings[part]

    def drawings(self, *, member: int | None = None) -> list[Drawing]:
        """Return all of the figure's drawings; raises InputError as a call does."""
        context, name = self.plots._context(member), self.figure.name
        if not self.figure.applies_to(context):
            listed = ", ".join(self.plots(member).names)
            raise InputError("figure", name, f"does not apply to {self.plots._name}, which has: {listed}")
        drawings = self.figure.draw_all(context)
        if all(d.plot is None for d in drawings):
            reason = drawings[0].sentence if drawings else "there is nothing to show"
            raise InputError("figure", name, reason.removesuffix("."))
        return drawings

    def __repr__(self) -> str:
        return f"{self.figure.name}: {self.figure.title}. {self.figure.about} Call it to draw it.".replace(".  ", ". ")

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return f"{self.figure.title}.\n\n{self.figure.about}"


def _plot_of(drawing: Drawing) -> Figure:
    # a plug-in may return a figure of Plotly's own
    plot = drawing.plot
    return plot if isinstance(plot, Figure) else Figure(plot)


class RunPlots(Plots):
    """The figures of a run, read and analysed when one is first drawn, and again when the run has changed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._kept: dict[int | None, tuple[tuple[float, ...], RunContext]] = {}

    @property
    def _name(self) -> str:
        return self._run.name

    def _context(self, member: int | None) -> RunContext:
        if member is not None:
            check_member(member, self._run.n_members, self._run.name)
        written = _written(self._run)
        if member not in self._kept or self._kept[member][0] != written:
            run = self._run if member is None or self._run.n_members == 1 else OneMember(self._run, member)
            self._kept[member] = (written, RunContext.read(run))
        return self._kept[member][1]


def _written(run: Run) -> tuple[float, ...]:
    """Return when the run was last written to."""
    names = ("experiment.json", "status.json", "metrics.parquet", "checkpoints")
    return tuple(os.stat(path).st_mtime_ns if path.exists() else 0 for path in (run.path / name for name in names))


class _Unsaved(Run):
    """The place of a run of which nothing is on disk."""

    def __init__(self, experiment: Experiment) -> None:
        self.path, self.trust_plugin, self._experiment = Path(), False, experiment

    @property
    def name(self) -> str:
        return self._experiment.name

    @property
    def measured(self) -> None:
        return None

    @property
    def checkpoints(self) -> list[int]:
        return []


class WeightPlots(Plots):
    """The figures of weights that were never in a run.

    Args:
        weights: by name, without a member axis; or, by step, those of several steps.
        task: what they were trained on.
        network: what they belong to; None recognises it from their names and shapes.
        train_rows: rows of the task that were trained on; None: unknown, so all count as test set.

    Raises:
        InputError: for weights of no known network.
    """

    def __init__(
        self,
        weights: Weights | WeightsByStep,
        task: Task,
        *,
        network: Any = None,
        train_rows: Sequence[int] | None = None,
    ) -> None:
        by_step: WeightsByStep = weights if all(isinstance(k, int | np.integer) for k in weights) else {0: weights}  # type: ignore[dict-item,assignment]
        if not by_step:
            raise InputError("weights", weights, "needs the weights of at least one step")
        arrays = {int(step): {k: np.asarray(v) for k, v in by_step[step].items()} for step in sorted(by_step)}
        split = Split(method="unknown") if train_rows is None else Split(rows=tuple(map(int, train_rows)))
        network = recognise(arrays[max(arrays)]) if network is None else network
        # of the settings only these matter; the task is given itself
        experiment = replace(read({"task": {"p": 3}}), name="weights", task=None, split=split, network=network)
        last = Status.empty("finished")
        self._made = RunContext(
            folder=_Unsaved(experiment),
            experiments=[experiment],
            status=replace(last, step=max(arrays)),
            members=[],
            metrics=pl.DataFrame(schema={"step": pl.Int64, "member": pl.Int32, **dict.fromkeys(METRICS, pl.Float32)}),
            environment=Environment(),
            changed=datetime.datetime.now(datetime.UTC),
            tags=[],
            task=task,
            n_train=0 if train_rows is None else len(train_rows),
        )
        # what is read from a run's folder otherwise
        vars(self._made)["checkpoints"] = arrays

    @property
    def _name(self) -> str:
        assert self._made.task is not None
        return f"a model of {self._made.task.name}"

    def _context(self, member: int | None) -> RunContext:
        if member is not None:
            check_member(member, 1, "these weights")
        return self._made


def plots(
    of: Run | Weights | WeightsByStep,
    task: Task | None = None,
    *,
    network: Any = None,
    train_rows: Sequence[int] | None = None,
) -> Plots:
    """Return the figures of a run, the same object as `run.plot`, or of weights that were never in a run.

    >>> plots(run).spectrum()
    >>> plots(weights, task).spectrum()

    Args:
        of: a run; or weights by name; or, by step, those of several steps.
        task: of weights: what they were trained on.
        network: of weights, as `WeightPlots` takes it.
        train_rows: likewise.

    Raises:
        InputError: for weights without a task, or of no known network.
    """
    if isinstance(of, Run):
        kept: RunPlots = vars(of).setdefault("_plots", RunPlots(of))
        return kept
    if not isinstance(of, Mapping):
        raise InputError(f"a figure needs a run, or weights by name with their task, not {type(of).__name__}")
    if task is None:
        raise InputError("figures of weights need their task: plots(weights, task)")
    return WeightPlots(of, task, network=network, train_rows=train_rows)


def list_figures(
    of: Run | Weights | WeightsByStep | None = None, task: Task | None = None, **of_weights: Any
) -> FigureList[PageFigure]:
    """Return the figures that apply to a run, or to weights with their task, with a sentence on each.

    Args:
        of: as `plots` takes it; None lists the figures of all runs.
    """
    if of is None:
        return FigureList("groklab", tuple(f for section in SECTIONS for f in figures_of(section)))
    return plots(of, task, **of_weights)()


def draw(
    of: Run | Weights | WeightsByStep,
    name: str,
    task: Task | None = None,
    *,
    member: int | None = None,
    part: int = 0,
    **of_weights: Any,
) -> Figure:
    """Return one figure of a run, or of weights with their task.

    >>> draw(run, "circles")
    >>> draw(weights, "circles", task)

    Args:
        of: as `plots` takes it.
        name: of the figure, as `list_figures` gives it.
        task: of weights, as `plots` takes it.
        member: of an ensemble.
        part: which one, where there are several, such as one per operation of a mixture.
        **of_weights: `network` and `train_rows`, as `plots` takes them.

    Raises:
        InputError: for an unknown name, and with the reason where there is nothing to draw.
    """
    return plots(of, task, **of_weights)[name](member=member, part=part)
