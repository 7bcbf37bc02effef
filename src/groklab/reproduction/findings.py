"""What trials have found, kept finding by finding in `<home>/reproductions/PAPER.json`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from groklab import device
from groklab.errors import DamagedError, InputError
from groklab.reproduction.claim import Claim, Finding, Size
from groklab.store import storage
from groklab.text import jsonable

#: What a whole record holds; one of a seed that was interrupted holds `digest` and `seconds` only.
_RECORD = {
    "digest": (str,),
    "values": (dict,),
    "holds": (bool,),
    "said": (str,),
    "seconds": (int, float),
    "date": (str,),
    "hardware": (str,),
    "groklab": (str,),
}


def folder(home: str | Path | None = None) -> Path:
    """Where findings and their pages are kept."""
    return (Path(home) if home is not None else device.home()) / "reproductions"


class Findings:
    """The findings of one paper on disk. Every write takes in what other processes have written since."""

    def __init__(self, paper: str, home: str | Path | None = None) -> None:
        self.path = folder(home) / f"{paper}.json"

    def read(self) -> dict[str, Any]:
        """All records by 'claim/size/seed'; a damaged file is set aside with a warning, and its claims run again."""
        try:
            content = storage.read_json(self.path)
            if not isinstance(content, dict) or not isinstance(content.get("findings"), dict):
                raise DamagedError(f"{self.path} is damaged: it holds no findings")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"{self.path} cannot be read: {error.strerror or error}") from None
        except DamagedError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            with contextlib.suppress(OSError):
                os.replace(self.path, aside)
            warnings.warn(f"{error}; set aside as {aside.name}, its claims are to be measured again", stacklevel=2)
            return {}
        return {key: record for key, record in content["findings"].items() if isinstance(record, dict)}

    def of(self, claim: Claim, size: Size, seeds: tuple[int, ...]) -> dict[int, dict[str, Any]]:
        """The whole findings of a claim's present trial, by seed."""
        records, digest = self.read(), claim.digest(size, seeds)
        found = {seed: records.get(_key(claim, size, seed), {}) for seed in seeds}
        return {s: r for s, r in found.items() if r.get("digest") == digest and _whole(r)}

    def spent(self, claim: Claim, size: Size, seed: int, digest: str) -> float:
        """Seconds already spent on a seed that was interrupted."""
        record = self.read().get(_key(claim, size, seed), {})
        seconds = record.get("seconds") if record.get("digest") == digest and not _whole(record) else None
        return float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else 0.0

    def add(self, claim: Claim, size: Size, records: Mapping[int, dict[str, Any]]) -> None:
        """Keep records by seed."""
        with self._alone():
            found = self.read()
            found |= {_key(claim, size, seed): record for seed, record in records.items()}
            storage.write_json(self.path, {"format": 1, "findings": found})

    def forget(self, claim: Claim, size: Size, seeds: tuple[int, ...]) -> None:
        """Drop the findings of some seeds."""
        gone = {_key(claim, size, seed) for seed in seeds}
        with self._alone():
            found = self.read()
            if gone & found.keys():
                kept = {k: v for k, v in found.items() if k not in gone}
                storage.write_json(self.path, {"format": 1, "findings": kept})

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = open(self.path.parent / ".lock", "w")  # noqa: SIM115  (closed below; failing to open is refused)
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror or error}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def plain(finding: Finding) -> dict[str, Any]:
    """A finding as JSON values: numbers that are not finite become None."""
    return {"values": jsonable(finding.values), "holds": bool(finding.holds)} | {"said": str(finding.said)}


def _key(claim: Claim, size: Size, seed: int) -> str:
    return f"{claim.id}/{size}/{seed}"


def _whole(record: dict[str, Any]) -> bool:
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        return False  # not what was written here
    return all(type(record.get(key)) in kinds for key, kinds in _RECORD.items())
