"""TensorBoard: one folder of event files per model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from groklab.lazy import pl
from groklab.trackers._tracker import Record, Tracker

FOLDER = "tensorboard"


class TensorBoard(Tracker):
    """A folder of event files below the folder `where`, by default `tensorboard`."""

    def __init__(self, record: Record, where: str | None) -> None:
        self.folder = Path(where or FOLDER) / record.name
        self._last_steps = _last_steps(self.folder)
        self.writer = EventFileWriter(str(self.folder))
        if not self._last_steps:
            self._add(hparams_pb(dict(record.settings), trial_id=record.name), 0)
            about = {**record.about, "tags": ", ".join(record.tags)}
            self._add(text_pb("about", "\n".join(f"- {k}: `{v}`" for k, v in about.items() if v)), 0)

    @property
    def place(self) -> str:
        """The folder."""
        return f"{self.folder}; `tensorboard --logdir {self.folder.parent}` shows it"

    def last_step(self, metric: str) -> int:
        """Return the last step at which the event files have a metric."""
        return self._last_steps.get(metric, -1)

    def log(self, rows: pl.DataFrame) -> None:
        """Add scalars."""
        for row in rows.iter_rows(named=True):
            step = row.pop("step")
            values = [Summary.Value(tag=name, simple_value=v) for name, v in row.items() if v is not None]
            self._add(Summary(value=values), step)

    def finish(self, results: Mapping[str, str | int | float], files: Sequence[Path], complete: bool) -> None:
        """Add results as a text; TensorBoard keeps no files."""
        lines = "\n".join(f"- {name}: {value}" for name, value in results.items())
        self._add(text_pb("results", lines), 0)
        self.writer.close()

    def _add(self, summary: Summary, step: int) -> None:
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _last_steps(folder: Path) -> dict[str, int]:
    """Return the last step of each scalar in a folder of event files."""
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 1, "images": 1, "tensors": 1})
    events.Reload()
    return {name: int(events.Scalars(name)[-1].step) for name in events.Tags()["scalars"]}
