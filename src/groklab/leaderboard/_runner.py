"""The work of `groklab leaderboard`: entry after entry, first the trials of tuning, then the score of the best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from groklab import notebook
from groklab.errors import InputError, OutOfTime
from groklab.leaderboard._board import Board
from groklab.leaderboard._entry import Entry, entries_of, read_entry
from groklab.leaderboard._ledger import Ledger, Record
from groklab.leaderboard._question import Question, questions_of
from groklab.leaderboard._score import Score, cost_of, trial_results
from groklab.leaderboard._track import SIZES, TRACKS, Size, Track, find_track
from groklab.notebook import Watch
from groklab.store import Collection, locks
from groklab.text import duration
from groklab.training import Progress, interrupts
from groklab.training.wording import training_text

#: Default minutes of one slice at full size, so that it has saved within eight; a reduced one has no limit.
FULL_MINUTES = 7.5
#: Seconds between two looks at what other processes measure.
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Step:
    """Progress: when models begin to train, after each chunk of their training, and when they are measured.

    Attributes:
        question: the models; None while another process measures all that is left.
        done, left: number of questions answered, and still to answer.
        training: how far the models are, None while none trains.
        sentence: the result.
    """

    question: Question | None
    done: int
    left: int
    training: Progress | None = None
    sentence: str = ""

    @property
    def text(self) -> str:
        """Where the work is, on one line."""
        if self.question is None:
            return "waiting for another process, which measures the rest"
        name = f"{self.question.entry.name}, {self.question.part}"
        if self.sentence:
            return f"{name}: {self.sentence}"
        if self.training is not None:
            return f"{name}: {training_text(self.training)}"
        n = len(self.question.members)
        return f"{name}: {n} models, at most about {duration(self.question.seconds())}; {self.left} such parts left"


def run(
    track: str,
    size: Size = "reduced",
    *,
    only: Sequence[str] = (),
    own: Sequence[str | Path] = (),
    minutes: float | None = None,
    slices: int = 1,
    view: Watch[Step] = "live",
    home: str | Path | None = None,
) -> Board:
    """Tune and score the entries of a track, and return the leaderboard.

    What is measured is kept, and not measured again. Several processes may work on one track: each takes what no other
    one has begun.

    Args:
        only: names of groklab's own entries; none for all. The tuned AdamW is always among them.
        own: files of entries of one's own, or presets.
        minutes: work stops after this time (by default 7.5 for full, no limit for reduced), with the training under way
            saved; the same call continues.
        slices: number of such slices in a row.
        view: "live" shows a line now and then; None shows nothing; a function is called with the progress.
        home: the folder of runs; by default $GROKLAB_HOME.

    Raises:
        InputError: for what cannot be done as asked, such as an entry that sets what the track fixes.
        Interrupted: on Ctrl-C or another signal that asks to end, with everything kept.
    """
    work = _Work(track, size, only, own, home)
    limit = _limit(size, minutes, slices)
    with notebook.watching(view, lambda step, note: notebook.line(note or step.text), lambda step: step.text) as watch:
        for _ in range(slices):
            with interrupts.deadline(time.monotonic() + 60 * limit):
                if work.go(watch):
                    break
    return work.board()


def results(
    track: str,
    size: Size = "reduced",
    *,
    only: Sequence[str] = (),
    own: Sequence[str | Path] = (),
    home: str | Path | None = None,
) -> Board:
    """Return the leaderboard so far, as `run` does, without training."""
    return _Work(track, size, only, own, home).board()


def seconds_ahead(
    track: str,
    size: Size = "reduced",
    *,
    only: Sequence[str] = (),
    own: Sequence[str | Path] = (),
    minutes: float | None = None,
    slices: int = 1,
    home: str | Path | None = None,
) -> float:
    """Return the seconds that `run` would work with these arguments at most, by estimate."""
    return min(_Work(track, size, only, own, home).seconds_left(), 60 * _limit(size, minutes, slices) * slices)


@dataclass(frozen=True)
class TrackRow:
    """How far a track is measured at one size.

    Attributes:
        measured: number of groklab's own entries that are scored, of `entries`.
        best: the name and the median of the first of them.
    """

    track: Track
    size: Size
    entries: int
    measured: int
    best: str

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values."""
        about = {"track": self.track.name, "title": self.track.title, "size": self.size}
        minutes = self.track.scale(self.size).minutes
        return about | {"entries": self.entries, "measured": self.measured, "best": self.best, "minutes": minutes}


def overview(home: str | Path | None = None) -> list[TrackRow]:
    """Return all tracks at both sizes, with how far they are measured."""
    rows = []
    for track in TRACKS.values():
        for size in SIZES:
            n, best = len(entries_of(track)), ""
            scores: tuple[Score, ...] = ()
            if Ledger(track.name, home).path.exists():
                scores = results(track.name, size, home=home).scores
            if scores and scores[0].survival.median is not None:
                best = f"{scores[0].name}, {scores[0].survival.median:,.0f}"
            rows.append(TrackRow(track, size, n, len(scores), best))
    return rows


def _limit(size: Size, minutes: float | None, slices: int) -> float:
    limit = minutes if minutes is not None else FULL_MINUTES if size == "full" else math.inf
    if not limit > 0:
        raise InputError("slice", minutes, "needs a number of minutes above 0")
    if slices < 1:
        raise InputError("slices", slices, "needs an integer of at least 1")
    return limit


class _Attempt:
    """An entry on a track: its questions, of which the score's is known once its trials are measured."""

    def __init__(self, entry: Entry, track: Track, size: Size) -> None:
        entry.check(track, size)
        self.entry, self.track, self.size = entry, track, size
        self._scores: dict[int, Question] = {}

    @cached_property
    def tuning(self) -> list[Question]:
        trials = list(enumerate(self.entry.trials(self.track, self.size)))
        seeds = self.track.tuning_seeds(self.size)
        return questions_of(self.entry, self.track, self.size, "tuning", trials, seeds)

    def score_question(self, records: dict[str, Record]) -> Question:
        """Return the question of the score, of the best trial; all trials need to be measured."""
        number, settings = 0, {}
        if self.tuning:
            best = trial_results(self.tuning, records)[0]
            number, settings = best.number, best.settings
        if number not in self._scores:
            seeds = self.track.score_seeds(self.size)
            self._scores[number] = Question(self.entry, self.track, self.size, "score", ((number, settings),), seeds)
        return self._scores[number]

    def missing(self, records: dict[str, Record]) -> list[Question]:
        """Return what may be measured now: trials, or the score once they are there."""
        waiting = [q for q in self.tuning if q.digest not in records]
        if waiting:
            return waiting
        score = self.score_question(records)
        return [] if score.digest in records else [score]

    def score(self, records: dict[str, Record]) -> Score | None:
        """Return the score, None as long as it is not measured."""
        if self.missing(records):
            return None
        question = self.score_question(records)
        record = records[question.digest]
        tuned = bool(self.tuning)
        return Score(
            self.entry,
            tuple(record.outcomes),
            record,
            question.trials[0][1] if tuned else None,
            tuple(trial_results(self.tuning, records)),
            cost_of(self.tuning, records) if tuned else None,
            tuple(q.digest for q in (*self.tuning, question)),
        )

    def seconds_left(self, records: dict[str, Record]) -> float:
        """Estimate the seconds that are left at most; a score that is not known yet is estimated as the entry's own."""
        missing = self.missing(records)
        if missing and missing[0].part == "tuning":
            seeds = self.track.score_seeds(self.size)
            missing = [*missing, Question(self.entry, self.track, self.size, "score", ((0, {}),), seeds)]
        return sum(question.seconds() for question in missing)


class _Work:
    """What was asked for, and how far it is."""

    def __init__(
        self, track: str, size: Size, only: Sequence[str], own: Sequence[str | Path], home: str | Path | None
    ) -> None:
        self.track, self.size, self.home = find_track(track), size, home
        self.track.scale(size)
        self.only, self.own = tuple(only), tuple(own)
        known = entries_of(self.track, only)
        mine = [read_entry(file, self.track) for file in own]
        names = [entry.name for entry in (*known, *mine)]
        for name in names:
            if names.count(name) > 1:
                raise InputError("--entry", name, "is the name of two entries; rename the file")
        self.attempts = [_Attempt(entry, self.track, size) for entry in (*known, *mine)]
        self.ledger = Ledger(self.track.name, home)

    @property
    def records(self) -> dict[str, Record]:
        return self.ledger.records()

    def missing(self) -> list[Question]:
        records = self.records
        return [question for attempt in self.attempts for question in attempt.missing(records)]

    def seconds_left(self) -> float:
        records = self.records
        return sum(attempt.seconds_left(records) for attempt in self.attempts)

    def go(self, view: Callable[[Step], None] | None) -> bool:
        """Work until the slice is over; return whether everything is measured."""
        done, waits = 0, False
        while missing := self.missing():
            if interrupts.out_of_time():
                return False
            free = [question for question in missing if not self._held(question)]
            if not free:
                if view is not None and not waits:
                    view(Step(None, done, len(missing)))
                waits = True
                time.sleep(LOOK_SECONDS)
                continue
            question, waits = free[0], False
            if not self._answer(question, Step(question, done, len(missing)), view):
                return False
            done += 1
        return True

    def _answer(self, question: Question, step: Step, view: Callable[[Step], None] | None) -> bool:
        """Train what a question asks for and keep the answer; return whether there was the time."""

        def watch(progress: Progress) -> None:
            if view is not None:
                view(Step(question, step.done, step.left, progress))

        if view is not None:
            view(step)
        try:
            content = question.answer(watch, self.home)
        except OutOfTime:
            return False
        except InputError:
            if self._held(question):
                return True  # another process was quicker, and keeps the answer
            raise
        self.ledger.add(question.digest, content)
        if view is not None:
            grokked = sum(outcome["grokked"] is not None for outcome in content["outcomes"])
            view(Step(question, step.done + 1, step.left - 1, None, f"{grokked} of {len(question.members)} grokked"))
        return True

    def _held(self, question: Question) -> bool:
        """Return whether another process trains these models, or the weak networks before them."""
        folder = Collection(Path(self.home) if self.home is not None else None).folder
        names = {members[0].name for members in (question.members, question.weak) if members}
        for path in (path for name in names for path in folder.glob(f"{name}-*/lock.json")):
            held = locks.holder(path.parent)
            if held is not None and held.alive is not False:
                return True
        return False

    def board(self) -> Board:
        """Return the scores so far."""
        records = self.records
        scores = {attempt.entry.name: attempt.score(records) for attempt in self.attempts}
        command = f"groklab leaderboard {self.track.name} --{self.size}"
        command += "".join(f" --only {name}" for name in self.only) + "".join(f" --entry {file}" for file in self.own)
        waiting = [name for name, score in scores.items() if score is None]
        known = [score for score in scores.values() if score is not None]
        return Board.of(self.track, self.size, known, waiting, self.seconds_left() if waiting else 0.0, command)
