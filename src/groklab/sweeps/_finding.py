"""The sweeps that are kept in a folder of runs."""

from __future__ import annotations

from pathlib import Path

from groklab import device
from groklab.errors import InputError
from groklab.sweeps._folder import Sweep


def list_sweeps(home: str | Path | None = None) -> list[Sweep]:
    """Return every sweep that is kept, the one changed last at the end; damaged ones are left out.

    Args:
        home: the folder of runs; by default $GROKLAB_HOME.
    """
    folder = (Path(home) if home is not None else device.home()) / "sweeps"
    kept = []
    for path in folder.glob("*/sweep.json"):
        try:
            kept.append((_changed(path.parent), Sweep(path.parent)))
        except InputError:
            continue
    return [sweep for _, sweep in sorted(kept, key=lambda item: (item[0], item[1].name))]


def _changed(folder: Path) -> float:
    """Return when a sweep's table was last written, or the sweep was made."""
    return max(path.stat().st_mtime for name in ("sweep.json", "table.parquet") if (path := folder / name).is_file())
