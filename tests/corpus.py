"""Trained runs that many tests look at, each trained once per session, whatever the number of worker processes.

`corpus["transformer"]` is a run that nobody writes into (the session fails if somebody does); `corpus.copy("mlp")` puts
a copy into the test's own home, where `gl.train` of the same experiment finds it finished. A test that needs other
settings trains them by `corpus.train`, which keeps the run for whoever asks for the same, or, where training itself is
what it looks at, by `gl.train`. Settings that differ in numbers only share a compiled program, so prefer the shapes
below to new ones: a new shape costs one to six seconds of compiling.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import groklab as gl
from groklab.device import home as home_of_tests
from groklab.training import training

#: A small one-layer transformer, with the four heads that are the default.
TRANSFORMER: dict[str, Any] = {
    "task.p": 11,
    "network.d_model": 32,
    "network.n_heads": 4,
    "network.d_head": 8,
    "network.d_mlp": 64,
    "split.frac_train": 0.7,
    "budget.steps": 400,
    "evaluation.every": 20,
}
#: A tiny transformer on three operations at once.
MIXTURE: dict[str, Any] = {
    "name": "mixed",
    "task.kind": "mixture",
    "task.p": 7,
    "task.expressions": ["add", "subtract", "multiply"],
    "split.frac_train": 0.6,
    "network.d_model": 8,
    "network.n_heads": 2,
    "network.d_mlp": 16,
    "budget.steps": 40,
    "evaluation.every": 10,
}

#: Name: preset (None for the defaults), settings, members (None for a single run).
RUNS: dict[str, tuple[str | None, dict[str, Any], int | None]] = {
    # groks at step 450 or so
    "mlp": ("micro-fast", {}, None),
    "ensemble": ("micro-fast", {"budget.steps": 450}, 3),
    "transformer": ("demo", TRANSFORMER, None),
    "mixture": (None, MIXTURE, None),
    # kernel machines: recursive feature machines on addition and on multiplication
    "rfm": ("rfm-small", {"budget.steps": 12}, None),
    "rfm-multiply": ("mallinar2024/multiply-gaussian", {"task.p": 11, "budget.steps": 6}, None),
    # the effective theory's flow, and the toy model that it describes
    "flow": ("liu2022/theory", {}, None),
    "toy": ("liu2022/addition", {"budget.steps": 20, "network.d_mlp": 8}, None),
}


class Corpus:
    """The shared runs, in a folder of all worker processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, gl.Run] = {}

    def __getitem__(self, name: str) -> gl.Run:
        """A run by its name in RUNS, for looking at only."""
        if name not in self._known:
            preset, settings, seeds = RUNS[name]
            experiment = gl.read({}, settings) if preset is None else gl.preset(preset, settings)
            self._known[name] = self.train(experiment, seeds)
        return self._known[name]

    def train(self, experiment: gl.Experiment | Sequence[gl.Experiment], seeds: int | None = None) -> gl.Run:
        """The run of an experiment, trained by whoever asks first; for looking at only."""
        name = training.run_name(training.members_of(experiment, seeds))
        with self._locked(name):
            run = gl.train(experiment, seeds=seeds, home=self.home, view=None)
            files = self.home / f".{name}.files"
            if not files.is_file():
                files.write_text(json.dumps(_stamps(run.path)))
            return run

    def copy(self, run: str | gl.Run, to: Path | None = None) -> gl.Run:
        """A copy of a run (or of that name in RUNS) in the test's own home or in `to`, free to be written into."""
        source = self[run] if isinstance(run, str) else run
        folder = to or home_of_tests()
        return gl.Run(Path(shutil.copytree(source.path, folder / source.name)))

    def file(self, name: str, write: Callable[[Path], Any]) -> Path:
        """A file or folder of that name, written by whoever asks first; for reading only."""
        path, part = self.home / "files" / name, self.home / "files" / f"part-{name}"
        with self._locked(f"file-{name}"):
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                write(part)
                part.rename(path)
        return path

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.home / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def changed(self) -> list[str]:
        """Files of the shared runs that are not as they were when their run had ended: a test forgot to copy."""
        changed = []
        for file in self.home.glob(".*.files"):
            before, after = json.loads(file.read_text()), _stamps(self.home / file.name[1 : -len(".files")])
            changed += [name for name in sorted(before | after) if before.get(name) != after.get(name)]
        return changed


def _stamps(run: Path) -> dict[str, int]:
    """When each file of a run was last written."""
    files = (p for p in run.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(run.parent)): p.stat().st_mtime_ns for p in files}
