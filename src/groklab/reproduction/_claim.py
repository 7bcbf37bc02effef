"""Claims of papers, and the trials that test them."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groklab import notebook
from groklab.errors import InputError, OutOfTime, check_choice
from groklab.experiment import Experiment
from groklab.registry import Discovered, enter, fingerprint, load_part
from groklab.reproduction._bar import Bar
from groklab.reproduction._cells import Cells
from groklab.store import Collection, Run
from groklab.text import duration
from groklab.training import PortionView, View, interrupts, training

if TYPE_CHECKING:
    from groklab.sweeps import Sweep

Size = Literal["quick", "full"]
SIZES: tuple[Size, ...] = ("quick", "full")
#: A sentence of the paper; an identity or a property of the code; a finding that is groklab's own, not the paper's.
Kind = Literal["claim", "check", "own"]
KINDS: tuple[Kind, ...] = ("claim", "check", "own")
#: Most seeds of one trial.
MAX_SEEDS = 1000
#: Tag of the runs that trials train.
TAG = "reproduce"
#: JSON values by name (`grokked_step`), in the units that the name says; numbers that are not finite become None.
Values = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial with one seed, judged by the trial's bars.

    Args:
        values: what was measured.
        sentence: the outcome in words.
        control: what was measured of the control, by the same names, None where such a value does not exist.
    """

    values: Values
    sentence: str = ""
    control: Values | None = None


class Trainer:
    """Trains for trials, in the user's own collection, until the slice of time is over.

    Args:
        home: the folder of runs, None for the user's.
        view: called after each chunk of training.
        portion_view: called with the progress of a sweep.
    """

    def __init__(
        self, home: str | Path | None = None, view: View | None = None, portion_view: PortionView | None = None
    ) -> None:
        self.home, self.view, self.portion_view = home, view, portion_view

    def train(self, experiment: Experiment | Sequence[Experiment], seeds: int | None = None) -> Run:
        """Return the finished run of an experiment, or of several as one ensemble, tagged `reproduce`.

        A kept run is used as it is and an interrupted one is resumed, so claims that ask for the same experiment share
        one training. The run may be longer than the budget asked for: take curves and weights by step. A run of this
        name with other measures or checkpoints is left alone; another is trained beside it, named NAME-reproduce.
        Raises OutOfTime, with the run saved, when the slice is over.
        """
        members = training.members_of(experiment, seeds)
        if not self._serves(members):
            members = [replace(m, name=f"{m.name[:70]}-{TAG}") for m in members]
        return training.train(members, tags=(TAG,), view=self.view, home=self.home)

    def sweep(self, experiment: Experiment, grid: Mapping[str, Sequence[Any]], **options: Any) -> Sweep:
        """Return the finished sweep of an experiment over a grid; options as of `gl.sweep`."""
        from groklab.sweeps import sweep  # a second of importing

        view = self.portion_view
        watch = None if view is None else lambda progress: view(progress.portion)
        return sweep(experiment, grid, view=watch, home=self.home, **options)

    def check_time(self) -> None:
        """Raise OutOfTime when the slice is over; a trial calls this between long steps of its own."""
        if interrupts.out_of_time():
            raise OutOfTime

    def _serves(self, members: list[Experiment]) -> bool:
        """Return whether the run of this name, if there is one, has the measures and checkpoints that are needed."""
        path = Collection(Path(self.home) if self.home is not None else None).folder / training.run_name(members)
        if not (path / "experiment.json").is_file():
            return True
        try:
            return _records(Run(path).recorded[0]) == _records(members[0])
        except InputError:
            return False


def _records(experiment: Experiment) -> tuple[object, ...]:
    checkpoints = replace(experiment.checkpoints, rolling_seconds=1.0)
    return experiment.evaluation.every, checkpoints, experiment.measures


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a claim is tested.

    Args:
        setting: what is trained and, for a quick trial, why this is the smallest setting that tests the claim.
        seeds: the default seeds; a number n means 0 to n - 1.
        cost: estimated seconds on two cores for these seeds.
        bars: what the measured values must be, all of them, for the claim to hold; fixed before measuring.
        run: `run(trainer, seed) -> Outcome`, or with together=True, where the seeds share an ensemble,
            `run(trainer, seeds)`, which returns or yields an outcome for each. A trial with cells has none.
        fixed: other seeds than these make no sense.
        shares: trials of one size with the same name here train the same runs, so the cost counts once per seed.
        cells: of a trial over a table, in place of `run`.
        code: the fingerprint of what `run` is when the trial is made, so that it is measured again once that is edited.
    """

    setting: str
    seeds: int | tuple[int, ...]
    cost: float
    run: Callable[[Trainer, Any], Outcome | Iterable[Outcome]] | None = None
    bars: tuple[Bar, ...] = ()
    together: bool = False
    fixed: bool = False
    shares: str = ""
    cells: Cells | None = None
    code: str = field(init=False)

    def __post_init__(self) -> None:
        if (self.run is None) == (self.cells is None):
            raise ValueError("a trial has a function `run` or cells")
        if not self.cost > 0:
            raise ValueError("a trial needs a cost above 0, in seconds")
        measured = self.run if self.cells is None else self.cells.measure
        object.__setattr__(self, "code", fingerprint(measured))

    @property
    def own_seeds(self) -> tuple[int, ...]:
        """The default seeds."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def seeds_for(self, count: int | None) -> tuple[int, ...]:
        """Return the first `count` seeds, counted up beyond the trial's own where these are fewer."""
        own = self.own_seeds
        if count is None or self.fixed:
            return own if count is None else own[:count]
        beyond = range(max(own) + 1, max(own) + 1 + max(0, count - len(own)))
        return (*own, *beyond)[:count]

    def passes(self, values: Values) -> bool:
        """Return whether values pass every bar."""
        return all(bar.passed(values) for bar in self.bars)

    def outcomes(self, trainer: Trainer, seeds: tuple[int, ...]) -> list[Outcome]:
        """Run the trial with some seeds: one of them, or all where they share an ensemble."""
        assert self.run is not None
        result = self.run(trainer, seeds if self.together else seeds[0])
        outcomes = [result] if isinstance(result, Outcome) else list(result)
        if len(outcomes) != len(seeds):
            raise ValueError(f"the trial gave {len(outcomes)} outcomes for {len(seeds)} seeds")
        return outcomes


@dataclass(frozen=True, kw_only=True, repr=False)
class Claim:
    """A sentence of a paper that can be tested.

    Args:
        id: short, of lower-case letters, digits and dashes.
        claim: the sentence.
        source: section, figure or table.
        expected: the paper's value in words.
        kind: what the sentence is, see `Kind`; each kind is counted apart.
        control: what else is measured in the same trial that must fail the same bars, such as random labels or
            untrained weights; a claim that the control passes as well is not supported. A check needs none.
        quick: the trial at the smallest setting that tests the claim, None where there is none.
        full: the trial at the paper's setting.
        counter: evidence of the literature against it.
        version: raised when what a trial does changes, so that it is measured again; code of a user's own needs none.
    """

    id: str
    claim: str
    source: str
    expected: str
    quick: Trial | None
    full: Trial | None
    kind: Kind = "claim"
    control: str = ""
    counter: str = ""
    version: int = 1

    def __repr__(self) -> str:
        return f"Claim({self.id!r}: {self.claim})"

    def _repr_html_(self) -> str:
        rows = {"source": self.source, "expected": self.expected, "control": self.control}
        rows |= {"counter-evidence": self.counter}
        for size in SIZES:
            if (trial := self.trial(size)) is not None:
                rows[f"{size} trial"] = f"{trial.setting}; about {duration(trial.cost)}"
                rows[f"{size} bars"] = "; ".join(bar.text for bar in trial.bars)
        kept = {name: text for name, text in rows.items() if text}
        return notebook.block(notebook.title(self.id, self.claim), notebook.pairs(kept))

    def trial(self, size: Size) -> Trial | None:
        """Return the trial of a size."""
        return self.quick if size == "quick" else self.full

    def digest(self, size: Size, seeds: Sequence[int], judged: bool = True) -> str:
        """Return a name of what a trial tests: outcomes of another digest are measured again.

        Args:
            judged: whether bars and control count, which is not so for a single cell.
        """
        trial = self.trial(size)
        assert trial is not None
        # members of an ensemble depend, in their last bits, on the others
        question: list[Any] = [self.id, self.version, size, trial.setting, list(seeds) if trial.together else None]
        if trial.bars and judged:  # a bar that is moved asks another question
            question += [self.control, [[bar.value, bar.relation, bar.threshold] for bar in trial.bars]]
        if trial.code:
            question.append(trial.code)
        return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


@dataclass(frozen=True, repr=False)
class Paper:
    """A paper's claims, by the name under which `groklab reproduce` knows it."""

    name: str
    title: str
    claims: tuple[Claim, ...]

    def __repr__(self) -> str:
        return f"Paper({self.name!r}: {self.title}, {len(self.claims)} claims)"

    def _repr_html_(self) -> str:
        rows = [(c.id, c.claim, c.source, c.expected) for c in self.claims]
        table = notebook.table(("claim", "in words", "source", "expected"), rows)
        return notebook.block(notebook.title(self.name, self.title), table)


PAPERS: Discovered[Paper] = Discovered(partial(load_part, "claims"))


def publish(name: str, title: str, claims: Sequence[Claim]) -> Paper:
    """Make a paper's claims known.

    Raises:
        ValueError: for names that are doubled or cannot be typed, and for a claim that nothing could refute: without
            bars, or, unless it is a check, without a control.
        InputError: for a paper whose name is taken by groklab or by another file.
    """
    names = [c.id for c in claims]
    if name == "all":
        raise ValueError("a paper named all could not be told from all papers")
    bad = [n for n in (name, *names) if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", n)]
    if bad or len(set(names)) < len(names):
        raise ValueError(f"{name}: claims need names of their own, of lower-case letters, digits and dashes: {names}")
    for claim in claims:
        _check(name, claim)
    enter(PAPERS, "paper", name, Paper(name, title, tuple(claims)), sys._getframe(1).f_globals["__name__"])
    return PAPERS[name]


def _check(paper: str, claim: Claim) -> None:
    """Check that a claim has bars, and a control that must fail them; raises ValueError."""
    sizes = [size for size in SIZES if claim.trial(size) is not None]
    if claim.kind not in KINDS:
        raise ValueError(f"{paper}/{claim.id}: kind {claim.kind!r} is not one of {', '.join(KINDS)}")
    for size in sizes:
        if not claim.trial(size).bars:  # type: ignore[union-attr]
            raise ValueError(f"{paper}/{claim.id}: its {size} trial needs bars: what measured values must be")
    if sizes and claim.kind != "check" and not claim.control:
        raise ValueError(f"{paper}/{claim.id}: needs a control, which must fail the same bars; only a check has none")


def find(what: str) -> tuple[Paper, tuple[Claim, ...]]:
    """Return a paper and its claims by PAPER, or one claim by PAPER/CLAIM; raises InputError naming the nearest."""
    name, slash, id = what.partition("/")
    help = "`groklab reproduce` lists them"
    check_choice("paper", name, PAPERS, help)
    paper = PAPERS[name]
    if slash:
        check_choice(f"claim of {name}", id, [c.id for c in paper.claims], help)
    return paper, tuple(c for c in paper.claims if c.id == id or not slash)
