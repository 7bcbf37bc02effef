"""Weights & Biases: one W&B run per model, in the project `groklab`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from groklab.lazy import pl
from groklab.trackers._tracker import Record, Tracker

PROJECT = "groklab"


class WandB(Tracker):
    """A run of W&B; `where` is the folder that it writes into.

    WANDB_MODE=offline, WANDB_PROJECT, WANDB_ENTITY and `wandb login` work as they do everywhere.
    """

    def __init__(self, record: Record, where: str | None) -> None:
        if where is not None:
            Path(where).mkdir(parents=True, exist_ok=True)
        # the same model is the same W&B run, also after training is resumed
        digest = hashlib.sha256(f"{record.about['groklab.identity']} {record.name}".encode()).hexdigest()[:16]
        # silent from the start: without a key it would ask for one, and training would wait for the answer
        settings = wandb.setup(settings=wandb.Settings(silent=True)).settings
        self.run = wandb.init(
            id=digest,
            project=settings.project or PROJECT,
            name=record.name,
            group=record.group,
            dir=where,
            config={**record.settings, **record.about},
            tags=list(record.tags),
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")

    @property
    def place(self) -> str:
        """The run's address, or its folder where W&B is offline."""
        return str(Path(self.run.dir).parent if self.run.offline else self.run.url)

    def last_step(self, metric: str) -> int:
        """Return the last step that W&B has; -1 where it is offline, and so asks nobody."""
        summary: Any = self.run.summary
        return int(summary.get("step", -1)) if metric in summary.keys() else -1  # noqa: SIM118

    def log(self, rows: pl.DataFrame) -> None:
        """Add one row per step."""
        for row in rows.iter_rows(named=True):
            self.run.log({name: value for name, value in row.items() if value is not None})

    def finish(self, results: Mapping[str, str | int | float], files: Sequence[Path], complete: bool) -> None:
        """Add results to the summary."""
        self.run.summary.update(dict(results))
        if files:
            artifact = wandb.Artifact(f"run-{self.run.id}", type="run")
            for file in files:
                artifact.add_file(str(file))
            self.run.log_artifact(artifact)
        self.run.finish(exit_code=0 if complete else 1)
