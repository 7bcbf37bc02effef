"""Send a run to a tracking program: after the fact, or while it trains."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from groklab.errors import InputError, check_member
from groklab.experiment import Experiment
from groklab.lazy import np, pl
from groklab.store import Collection, MemberResult, Run
from groklab.text import flattened
from groklab.trackers._tracker import Record, Tracker, adapter_of, first_line, open_tracker
from groklab.training import Progress, View

#: The metric that every learner has.
LOSS = "train_loss"
#: The files of a run that a tracking program gets.
FILES = ("experiment.json", "environment.json", "report.html")
#: So many seconds training waits for a program to take what is new, and its end for the files.
PATIENCE, PATIENCE_AT_END = 60.0, 600.0


def send(run: Run, to: str, where: str | None = None, member: int | None = None) -> list[str]:
    """Send a run to a tracking program, and return where its records are.

    One record holds one member: its settings, metrics, online measures, results and files. What was sent before is not
    sent again.

    Args:
        to: the name of an adapter.
        where: a folder or an address; None for the program's own default.
        member: one of an ensemble; None sends all.

    Raises:
        InputError: for an unknown adapter, or a program that is not installed or refuses.
    """
    if member is not None:
        check_member(member, run.n_members, run.name)
    places = []
    for number in range(run.n_members) if member is None else [member]:
        tracker = open_tracker(to, record_of(run, number), where, "--to")
        try:
            _log_new(tracker, run.metrics, number)
            _finish(tracker, run, number)
        except Exception as error:
            raise InputError("--to", to, f"refuses: {first_line(error)}") from error
        places.append(tracker.place)
    return places


class Live:
    """Send a run to a tracking program while it trains; a view that is a context.

    A program that fails, or does not answer within a minute, does not stop training: it gets nothing more, and a
    warning says so. One that refuses at the beginning is refused before anything is trained.

    Args:
        to: the adapter's name, or `NAME=WHERE` with a folder or an address.
        home: the folder of runs; by default $GROKLAB_HOME.

    Examples:
        with gl.trackers.Live("tensorboard=logs") as view:
            gl.train(experiment, view=view)
    """

    def __init__(self, to: str, home: str | Path | None = None) -> None:
        self.name, _, where = to.partition("=")
        self.where = where or None
        # an unknown name is refused before anything is trained
        adapter_of(self.name, "--track")
        self.collection = Collection(Path(home) if home is not None else None)
        self.run: Run | None = None
        self.trackers: list[Tracker] = []
        self.sent: list[int] = []
        self.failed = False

    def __enter__(self) -> Live:
        return self

    def __call__(self, progress: Progress) -> None:
        """Send the evaluations that are new."""
        if self.run is None:
            self.run = self.collection.find(progress.run)
            records = [record_of(self.run, member) for member in range(self.run.n_members)]
            try:
                _within(PATIENCE, lambda: self._open(records))
            except (TimeoutError, RuntimeError) as error:
                raise InputError("--track", self.name, str(error)) from None
        if self.failed or not len(progress.steps):
            return
        with self._failing_alone():
            _within(PATIENCE, lambda: self._log(progress))

    def _open(self, records: Sequence[Record]) -> None:
        self.trackers = [open_tracker(self.name, record, self.where, "--track") for record in records]
        self.sent = [tracker.last_step(LOSS) for tracker in self.trackers]

    def _log(self, progress: Progress) -> None:
        for member, tracker in enumerate(self.trackers):
            new = int(np.searchsorted(progress.steps, self.sent[member], "right"))
            columns = {name: values[new:, member] for name, values in progress.metrics.items()}
            _log(tracker, pl.DataFrame({"step": progress.steps[new:], **columns}))
            # a resumed training may begin before what was sent
            self.sent[member] = max(self.sent[member], int(progress.steps[-1]))

    def __exit__(self, *error: Any) -> None:
        run = self.run
        if run is None:
            return
        if self.failed:
            with suppress(Exception):
                _within(PATIENCE, self._close)
            return
        with self._failing_alone():
            _within(PATIENCE_AT_END, lambda: self._complete(run))

    def _close(self) -> None:
        """Close whatever can still be closed."""
        for tracker in self.trackers:
            with suppress(Exception):
                tracker.finish({}, (), False)

    def _complete(self, run: Run) -> None:
        # training may end between two views
        metrics = run.metrics
        for member, tracker in enumerate(self.trackers):
            _log_new(tracker, metrics, member, self.sent[member])
            _finish(tracker, run, member)

    @contextmanager
    def _failing_alone(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.failed = True
            if isinstance(error, TimeoutError):
                self.trackers = []  # closing them would not end either
            name = self.run.name if self.run is not None else ""
            warnings.warn(
                f"{self.name} has failed ({first_line(error)}) and gets nothing more; training goes on, and "
                f"`groklab export {name} --to {self.name}` sends the rest",
                stacklevel=2,
            )


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Do something in a thread, which is left to itself when it takes too long: another's program may wait for ever.

    Raises:
        TimeoutError: when it does.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # it may try to end the program
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"has not answered within {seconds:g} s")
    if errors:
        raise RuntimeError("it tried to end the program") if isinstance(errors[0], SystemExit) else errors[0]


class Tracking:
    """A training that several tracking programs follow; a context.

    Args:
        to: adapters, as `Live` takes them.
        view: what shows the progress besides; None for nothing.
        home: the folder of runs; by default $GROKLAB_HOME.
    """

    def __init__(self, to: Sequence[str], view: View | None = None, home: str | Path | None = None) -> None:
        self.lives = [Live(name, home) for name in to]
        self.inner = view

    @property
    def view(self) -> View | None:
        """What training is to call."""
        return self if self.lives else self.inner

    @property
    def places(self) -> list[str]:
        """Where the records are, of the programs that have not failed."""
        return [tracker.place for live in self.lives if not live.failed for tracker in live.trackers]

    def __call__(self, progress: Progress) -> None:
        """Send and show the progress."""
        for live in self.lives:
            live(progress)
        if self.inner is not None:
            self.inner(progress)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *error: Any) -> None:
        for live in self.lives:
            live.__exit__(*error)


def record_of(run: Run, member: int) -> Record:
    """Return what a tracking program is to know of a member of a run."""
    experiment, environment = run.recorded[member], run.environment
    about = {
        "groklab.run": run.name,
        "groklab.identity": run.identities[member],
        "groklab.version": environment.groklab or "unknown",
        "groklab.device": environment.device or "unknown",
        "groklab.folder": str(run.path),
    }
    name = run.name if run.n_members == 1 else f"{run.name}#{member}"
    return Record(name, run.name, _settings(experiment), about, run.tags)


def _settings(experiment: Experiment) -> dict[str, str | int | float | bool]:
    plain = (str, int, float, bool)
    values = flattened(experiment.to_dict())
    return {k: v if isinstance(v, plain) else str(v) for k, v in values.items() if v is not None}


def _log_new(tracker: Tracker, metrics: pl.DataFrame, member: int, sent: int | None = None) -> None:
    """Log the rows of a member after the last one sent; None: by what the record has of them."""
    own = metrics.filter(pl.col("member") == member).sort("step").drop("member")
    if sent is None:
        names = [LOSS] if LOSS in own.columns else _scalars(own).columns[1:]
        sent = max(map(tracker.last_step, names), default=-1)
    _log(tracker, own.filter(pl.col("step") > sent))


def _log(tracker: Tracker, rows: pl.DataFrame) -> None:
    """Log the numeric columns, without rows of nothing, as those of members that have stopped."""
    numeric = _scalars(rows)
    names = numeric.columns[1:]
    known = [pl.col(name).is_not_null() & pl.col(name).is_not_nan() for name in names]
    kept = numeric.filter(pl.any_horizontal(known)) if names else numeric.clear()
    if len(kept):
        tracker.log(kept)


def _scalars(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.col("step"), (pl.selectors.numeric() - pl.selectors.by_name("step")).cast(pl.Float64))


def _finish(tracker: Tracker, run: Run, member: int) -> None:
    measured = run.measured
    if measured is not None:
        _log_new(tracker, measured, member)
    status = run.status
    files = [run.path / name for name in FILES]
    results = _results(status.members[member]) if member < len(status.members) else {}
    about = {"state": status.state, "criterion": status.criterion or run.recorded[member].evaluation.criterion}
    complete = status.state in ("finished", "diverged")
    tracker.finish({**results, **about}, [file for file in files if file.is_file()], complete)


def _results(member: MemberResult) -> dict[str, str | int | float]:
    """Return the results of a member that are known."""
    memorised, grokked = member.memorised_step, member.grokked_step
    delay = None if memorised is None or grokked is None else grokked - memorised
    values = {
        "memorised_step": memorised,
        "grokked_step": grokked,
        "delay_steps": delay,
        "weights_sha256": member.weights_sha256,
    }
    return {name: value for name, value in values.items() if value is not None}
