"""The outcomes of trials, kept one by one in `<home>/reproductions/PAPER.json`."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab import device
from groklab.errors import DamagedError, InputError
from groklab.lazy import jax
from groklab.reproduction._claim import Claim, Outcome, Size, Trial, Values
from groklab.store import Seconds, Stored, locks, storage
from groklab.text import jsonable


class Record(Stored):
    """The outcome of one seed, as it is kept.

    Attributes:
        digest: what was tested, see `Claim.digest`.
        values, sentence: the outcome.
        control: what was measured of the control.
        holds: whether the values pass the bars.
        control_holds: whether the control's pass them too, None where there is no control.
        seconds: what it took, with interrupted attempts.
        date, hardware, groklab: when, where and with which version.
    """

    seed: int
    digest: str
    values: Values
    control: Values | None = None
    holds: bool
    control_holds: bool | None = None
    sentence: str
    seconds: Seconds
    date: str
    hardware: str
    groklab: str

    @classmethod
    def of(cls, seed: int, digest: str, claim: Claim, trial: Trial, outcome: Outcome, seconds: float) -> Record:
        """Judge an outcome of today, on this machine, by the bars of its trial.

        Raises:
            ValueError: the claim would hold by a control that was not measured: one that lacks what a bar names.
        """
        about: dict[str, Any] = provenance()
        control, holds = outcome.control, trial.passes(outcome.values)
        if holds and (control is not None or claim.kind != "check"):
            missing = sorted({bar.value for bar in trial.bars} - (control or {}).keys())
            if missing:
                raise ValueError(f"{claim.id}: the trial measured no {', '.join(missing)} of its control")
        return cls(
            seed=seed,
            digest=digest,
            values=jsonable(outcome.values),
            control=None if control is None else jsonable(control),
            holds=holds,
            control_holds=None if control is None else trial.passes(control),
            sentence=str(outcome.sentence),
            seconds=round(seconds, 3),
            **about,
        )

    @property
    def supports(self) -> bool:
        """Whether the seed supports the claim: the values pass the bars, and those of the control do not."""
        return self.holds and not self.control_holds

    @classmethod
    def read(cls, seed: int, content: dict[str, Any]) -> Record | None:
        """Return the record that JSON holds, None where it is incomplete or damaged."""
        return cls.of_json({**content, "seed": seed})


class Cell(Stored):
    """What was measured of one cell of a table with one seed; attributes as of `Record`."""

    digest: str
    values: Values
    seconds: Seconds
    date: str
    hardware: str
    groklab: str


class _Interrupted(Stored):
    digest: str
    seconds: Seconds


class _Outcomes(Stored):
    """The content of the file, by 'claim/size/seed': records, and the time spent on seeds that were interrupted.

    Cells of tables are there by 'claim/size/seed/cell'.
    """

    outcomes: dict[str, Any]


class Ledger:
    """The outcomes of one paper on disk. Every write takes in what other processes have written since."""

    def __init__(self, paper: str, home: str | Path | None = None) -> None:
        self.home, self.path = home, folder(home) / f"{paper}.json"
        # a plan of many claims asks a hundred times between two writes
        self._last: tuple[tuple[int, int, int], dict[str, dict[str, Any]]] | None = None

    def records(self, claim: Claim, size: Size, seeds: tuple[int, ...]) -> dict[int, Record]:
        """Return the complete records of a claim's present trial, by seed."""
        kept, digest = self._read(), claim.digest(size, seeds)
        records = {seed: Record.read(seed, kept.get(_key(claim, size, seed), {})) for seed in seeds}
        return {seed: r for seed, r in records.items() if r is not None and r.digest == digest}

    def spent(self, claim: Claim, size: Size, seed: int, digest: str) -> float:
        """Return the seconds already spent on a seed that was interrupted."""
        content = self._read().get(_key(claim, size, seed), {})
        kept = _Interrupted.of_json(content) if Record.read(seed, content) is None else None
        return kept.seconds if kept is not None and kept.digest == digest else 0.0

    def add(self, claim: Claim, size: Size, records: list[Record]) -> None:
        """Keep some records."""
        self._write({_key(claim, size, r.seed): r.model_dump(exclude={"seed"}) for r in records})

    def add_time(self, claim: Claim, size: Size, seed: int, digest: str, seconds: float) -> None:
        """Keep the time spent on a seed that was interrupted."""
        self._write({_key(claim, size, seed): {"digest": digest, "seconds": round(seconds, 3)}})

    def forget(self, claim: Claim, size: Size, seeds: tuple[int, ...], cells: Sequence[str] = ()) -> None:
        """Drop the records of some seeds, and some of their cells."""
        self._write({_key(claim, size, seed, cell): None for seed in seeds for cell in ("", *cells)})

    def cells(
        self, claim: Claim, size: Size, seeds: tuple[int, ...], names: Sequence[str]
    ) -> dict[str, dict[int, Cell]]:
        """Return what is kept of some cells of a claim's present trial, by name and seed."""
        kept, digest = self._read(), claim.digest(size, seeds, judged=False)
        cells = {name: {s: Cell.of_json(kept.get(_key(claim, size, s, name))) for s in seeds} for name in names}
        return {
            name: {s: cell for s, cell in of.items() if cell is not None and cell.digest == digest}
            for name, of in cells.items()
        }

    def add_cells(
        self, claim: Claim, size: Size, seeds: tuple[int, ...], name: str, values: Sequence[Values], seconds: float
    ) -> None:
        """Keep what was measured of one cell with each seed, and the seconds that a seed took."""
        digest, about = claim.digest(size, seeds, judged=False), provenance()
        self._write(
            {
                _key(claim, size, seed, name): Cell(
                    digest=digest, values=jsonable(own), seconds=round(seconds, 3), **about
                ).model_dump()
                for seed, own in zip(seeds, values, strict=True)
            }
        )

    def merge(self, path: Path) -> int:
        """Take in what another ledger of this paper holds and this one does not; return how many outcomes and cells.

        Of two that test different things the one with the later date stays.

        Raises:
            InputError: the file cannot be read.
            DamagedError: it is not a ledger.
        """
        try:
            theirs = storage.read_json(path, _Outcomes).outcomes
        except FileNotFoundError:
            raise InputError(f"{path} cannot be read: there is no such file") from None
        ours = {key: cell for key, kept in self._read().items() if (cell := Cell.of_json(kept)) is not None}
        new = {}
        for key, content in theirs.items():
            their, own = Cell.of_json(content), ours.get(key)
            if their is not None and (own is None or (own.digest != their.digest and own.date < their.date)):
                new[key] = content
        self._write(new)
        return len(new)

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return all records by 'claim/size/seed'; a damaged file is set aside with a warning."""
        try:
            status = self.path.stat()
            # each write puts a new file in the place of the old one
            version = status.st_ino, status.st_mtime_ns, status.st_size
            if self._last is None or self._last[0] != version:
                kept = storage.read_json(self.path, _Outcomes).outcomes
                self._last = version, {key: record for key, record in kept.items() if isinstance(record, dict)}
            return self._last[1]
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            storage.set_aside(self.path, error, "its claims are measured again")
            return {}

    def _write(self, changes: dict[str, dict[str, Any]] | dict[str, None]) -> None:
        """Change records by key, None to drop one."""
        with locks.exclusive_folder(self.path.parent):
            before = self._read()
            after = {k: v for k, v in {**before, **changes}.items() if v is not None}
            if after != before:
                storage.write_json(self.path, {"format": 1, "outcomes": after})


def folder(home: str | Path | None = None) -> Path:
    """Return the folder of outcomes and their pages."""
    return (Path(home) if home is not None else device.home()) / "reproductions"


def provenance() -> dict[str, str]:
    """Return today's `date` (UTC), this machine as `hardware`, and the version of `groklab`."""
    import groklab

    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "hardware": hardware(), "groklab": groklab.__version__}


@lru_cache(maxsize=1)
def hardware() -> str:
    """Describe the machine, such as '2 cores of Intel(R) Xeon(R) …, trained on cpu'."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux
    first = jax.devices()[0]
    kind = first.device_kind if first.platform != "cpu" else "the CPU"
    n = device.cores()
    return f"{n} core{'s' if n > 1 else ''} of {name} ({platform.machine()}), trained on {kind}"


def _key(claim: Claim, size: Size, seed: int, cell: str = "") -> str:
    return f"{claim.id}/{size}/{seed}" + (f"/{cell}" if cell else "")
