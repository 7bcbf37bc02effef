"""What was trained for a track, kept model by model in `<home>/leaderboard/TRACK.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groklab import device
from groklab.errors import DamagedError
from groklab.reproduction import provenance
from groklab.store import Seconds, Stored, locks, storage


class Outcome(Stored):
    """How one model trained; steps include those of the weak network before it.

    Attributes:
        grokked, memorised: the steps by groklab's definition; None within the budget.
        ended: the step at which a model that has not grokked is censored.
        trained: steps that it was trained for.
        others: the step by each other convention, by its name.
        lowest: of the test accuracies from the grokked step on, the lowest.
        test_accuracy: the last.
        weak_steps: those of the weak network.
        diverged: whether its loss was not a number in the end.
    """

    seed: int
    grokked: int | None
    memorised: int | None
    ended: int
    trained: int
    others: dict[str, int | None]
    lowest: float | None
    test_accuracy: float | None
    weak_steps: int = 0
    diverged: bool = False


class Record(Stored):
    """What was measured of models that were trained together.

    Attributes:
        outcomes: one per model, in the order of its question.
        seconds: of their training, with what is before it.
        flops_per_step: of one model, by the formula of its learner, with the weak network's operations apart.
        steps_per_second: of one such model alone on this machine; None where it was not timed.
        date, hardware, groklab: when, where and with which version.
    """

    outcomes: list[Outcome]
    seconds: Seconds
    flops_per_step: float
    weak_flops: float = 0.0
    steps_per_second: float | None = None
    weak_seconds: float = 0.0
    date: str
    hardware: str
    groklab: str


class _Kept(Stored):
    records: dict[str, Any]


class Ledger:
    """The records of one track by the digests of their questions; every write takes in what others have written."""

    def __init__(self, track: str, home: str | Path | None = None) -> None:
        self.path = folder(home) / f"{track}.json"

    def records(self) -> dict[str, Record]:
        """Return all records that are whole, by digest."""
        return {digest: Record.model_validate(content) for digest, content in self._read().items()}

    def add(self, digest: str, content: Mapping[str, Any]) -> None:
        """Keep a record, with today's date and this machine; one that another process has kept stays."""
        record = Record.model_validate({**content, **provenance()})
        with locks.exclusive_folder(self.path.parent):
            records = self._read()
            if digest not in records:
                storage.write_json(self.path, {"format": 1, "records": {**records, digest: record.model_dump()}})

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return all records; a damaged file is set aside with a warning."""
        try:
            kept = storage.read_json(self.path, _Kept).records
            return {digest: content for digest, content in kept.items() if Record.of_json(content) is not None}
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            storage.set_aside(self.path, error, "its entries are measured again")
            return {}


def folder(home: str | Path | None = None) -> Path:
    """Return the folder of records and their pages."""
    return (Path(home) if home is not None else device.home()) / "leaderboard"
