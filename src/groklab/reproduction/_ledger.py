"""The outcomes of trials, kept one by one in `<home>/reproductions/PAPER.json`."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab import device
from groklab.errors import DamagedError
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
    def of(cls, seed: int, digest: str, trial: Trial, outcome: Outcome, seconds: float) -> Record:
        """Judge an outcome of today, on this machine, by the bars of its trial."""
        about: dict[str, Any] = provenance()
        control = outcome.control
        return cls(
            seed=seed,
            digest=digest,
            values=jsonable(outcome.values),
            control=None if control is None else jsonable(control),
            holds=bool(outcome.holds) if outcome.holds is not None else trial.passes(outcome.values),
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


class _Interrupted(Stored):
    digest: str
    seconds: Seconds


class _Outcomes(Stored):
    """The content of the file: records, and the time spent on seeds that were interrupted, by 'claim/size/seed'."""

    outcomes: dict[str, Any]


class Ledger:
    """The outcomes of one paper on disk. Every write takes in what other processes have written since."""

    def __init__(self, paper: str, home: str | Path | None = None) -> None:
        self.path = folder(home) / f"{paper}.json"

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

    def forget(self, claim: Claim, size: Size, seeds: tuple[int, ...]) -> None:
        """Drop the records of some seeds."""
        self._write({_key(claim, size, seed): None for seed in seeds})

    def _read(self) -> dict[str, dict[str, Any]]:
        """Return all records by 'claim/size/seed'; a damaged file is set aside with a warning."""
        try:
            kept = storage.read_json(self.path, _Outcomes).outcomes
            return {key: record for key, record in kept.items() if isinstance(record, dict)}
        except FileNotFoundError:
            return {}
        except DamagedError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            with contextlib.suppress(OSError):
                os.replace(self.path, aside)
            warnings.warn(f"{error}; set aside as {aside.name}, its claims are measured again", stacklevel=2)
            return {}

    def _write(self, changes: dict[str, dict[str, Any]] | dict[str, None]) -> None:
        """Change records by key, None to drop one."""
        with self._locked():
            before = self._read()
            after = {k: v for k, v in {**before, **changes}.items() if v is not None}
            if after != before:
                storage.write_json(self.path, {"format": 1, "outcomes": after})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        stack = contextlib.ExitStack()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.exclusive(self.path.parent))
        except OSError as error:
            raise storage.explain(self.path, error) from None
        with stack:
            yield


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


def _key(claim: Claim, size: Size, seed: int) -> str:
    return f"{claim.id}/{size}/{seed}"
