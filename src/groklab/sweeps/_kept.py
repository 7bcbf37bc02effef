"""The sweeps of one folder: kept by name, and listed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from groklab import device
from groklab.errors import InputError, did_you_mean, matching, shorten, with_stems
from groklab.store import storage
from groklab.text import first_of

if TYPE_CHECKING:
    from groklab.sweeps._folder import Sweep


def sweep_paths(home: Path | str | None = None) -> list[Path]:
    """Return the folders of all sweeps, by name.

    Args:
        home: the folder that holds `sweeps`; None for `GROKLAB_HOME`.
    """
    folder = (device.home() if home is None else Path(home)) / "sweeps"
    # hidden ones are removed, or not complete yet
    return sorted(path.parent for path in folder.glob("*/sweep.json") if not path.parent.name.startswith("."))


def find_sweep(name: str | Path, home: Path | str | None = None) -> Sweep:
    """Return the sweep in that folder, of that name, or the only one whose name begins so; raises InputError."""
    from groklab.sweeps._folder import Sweep  # a list without sweeps takes less time without

    given = str(name)
    if given and (Path(given).expanduser() / "sweep.json").is_file():
        return Sweep(Path(given).expanduser())
    paths = {path.name: path for path in sweep_paths(home)}
    matches = matching(given, paths)
    if len(matches) > 1:
        raise InputError(f"{given!r} could be {first_of(matches, 5)}; write more of the name")
    if not matches:
        folder = (device.home() if home is None else Path(home)) / "sweeps"
        hint, there = did_you_mean(given, with_stems(paths)), ", ".join(paths) or "none"
        raise InputError(f"no sweep is named {shorten(given)!r}{hint}; there are {there} in {folder}")
    return Sweep(paths[matches[0]])


class SweepsPackage(Protocol):
    """What `gl.sweeps` is: the function that lists sweeps, and the package of the same name."""

    def __call__(self, home: Path | str | None = None) -> list[Sweep]: ...

    def __getattr__(self, name: str) -> Any:
        """Return a name of the package; `from groklab.sweeps import NAME` gives it with its type."""


def _typed_as_package(function: Callable[[Path | str | None], list[Sweep]]) -> SweepsPackage:
    return cast("SweepsPackage", function)


@_typed_as_package
def sweeps(home: Path | str | None = None) -> list[Sweep]:
    """Return every sweep that is kept and can be read, the one changed last at the end."""
    from groklab.sweeps._folder import Sweep

    kept = []
    for path in sweep_paths(home):
        try:
            kept.append((changed(path), Sweep(path)))
        except (InputError, OSError):
            continue  # damaged, or removed meanwhile
    return [sweep for _, sweep in sorted(kept, key=lambda pair: pair[0])]


def sweep_summaries(home: Path | str | None = None) -> list[dict[str, Any]]:
    """Return every sweep's summary with its disk use, newest last; a damaged sweep has a `reason`."""
    from groklab.sweeps._folder import Sweep

    listed = []
    for path in sweep_paths(home):
        try:
            summary = Sweep(path).summary()
        except (InputError, OSError) as error:
            summary = {"sweep": path.name, "path": str(path), "status": "damaged", "reason": str(error)}
        listed.append({**summary, "bytes": storage.disk_use(path), "changed": changed(path)})
    return sorted(listed, key=lambda summary: summary["changed"])


def changed(path: Path) -> float:
    """Return when a sweep's results last changed, in seconds since 1970."""
    for name in ("table.parquet", "sweep.json"):
        try:
            return os.stat(path / name).st_mtime
        except OSError:
            continue
    return 0.0
