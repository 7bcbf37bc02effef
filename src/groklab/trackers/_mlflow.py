"""MLflow: one MLflow run per model, in the experiment `groklab`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from groklab.lazy import pl
from groklab.trackers._tracker import Record, Tracker

# what it does to its own database is of no interest here
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)

EXPERIMENT = "groklab"
NAME = "groklab.name"
#: What MLflow takes in one request, and of one parameter.
METRICS, PARAMS, TEXT = 1000, 100, 6000


class MLflow(Tracker):
    """A run of MLflow; `where` is a tracking URI, by default MLflow's own."""

    def __init__(self, record: Record, where: str | None) -> None:
        uri = where or mlflow.get_tracking_uri()
        # a folder is a database in it, as where MLflow is left to itself
        self.uri = uri if ":" in uri else f"sqlite:///{Path(uri).absolute()}/mlflow.db"
        if ":" not in uri:
            Path(uri).mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(self.uri)
        known = self.client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known else self._make_experiment(uri)
        quoted = record.name.replace("'", "")
        existing = self.client.search_runs([experiment], f"tags.`{NAME}` = '{quoted}'", max_results=1)
        if existing:
            self.id = existing[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        self.id = self.client.create_run(experiment, run_name=record.name).info.run_id
        about = {**record.about, NAME: quoted, "groklab.group": record.group, **dict.fromkeys(record.tags, "yes")}
        self.client.log_batch(self.id, tags=[RunTag(k, v) for k, v in about.items()])
        params = [Param(k, str(v)[:TEXT]) for k, v in record.settings.items()]
        for part in range(0, len(params), PARAMS):
            self.client.log_batch(self.id, params=params[part : part + PARAMS])

    def _make_experiment(self, uri: str) -> str:
        artifacts = None if ":" in uri else (Path(uri).absolute() / "artifacts").as_uri()
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))

    @property
    def place(self) -> str:
        """The run and its store."""
        return f"run {self.id} of experiment {EXPERIMENT} in {self.uri}"

    def last_step(self, metric: str) -> int:
        """Return the last step at which MLflow has a metric."""
        history = self.client.get_metric_history(self.id, metric)
        return max((entry.step for entry in history), default=-1)

    def log(self, rows: pl.DataFrame) -> None:
        """Add metrics in batches."""
        now = int(time.time() * 1000)
        entries = [
            Metric(name, value, now, row["step"])
            for row in rows.iter_rows(named=True)
            for name, value in row.items()
            if name != "step" and value is not None
        ]
        for start in range(0, len(entries), METRICS):
            self.client.log_batch(self.id, metrics=entries[start : start + METRICS])

    def finish(self, results: Mapping[str, str | int | float], files: Sequence[Path], complete: bool) -> None:
        """Add results as metrics, or as tags where they are texts."""
        for name, value in results.items():
            if isinstance(value, str):
                self.client.set_tag(self.id, f"groklab.{name}", value)
            else:
                self.client.log_metric(self.id, name, value)
        for file in files:
            self.client.log_artifact(self.id, str(file))
        self.client.set_terminated(self.id, "FINISHED" if complete else "KILLED")
