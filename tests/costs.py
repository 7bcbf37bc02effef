"""A pytest plugin that records what each test costs, and prints the sums: `make test-costs`.

Per phase of a test (setup, call, teardown): wall and CPU seconds of the process and of its finished children,
processes started, programs that XLA compiled or read from the cache on disk, seconds that JAX spent on tracing, on
lowering and on compiling, and trainings. One JSON line per phase goes into the folder of `--costs=FOLDER` (with the
`=`: pytest takes a lone folder for one of tests); run this file as a script to print the sums.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_DURATIONS = {
    "/jax/core/compile/jaxpr_trace_duration": "tracing",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
    "/jax/core/compile/backend_compile_duration": "compiling",
}
_EVENTS = {"/jax/compilation_cache/cache_hits": "cache_hits", "/jax/compilation_cache/cache_misses": "cache_misses"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--costs", metavar="FOLDER", help="write what each test costs into this folder")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--costs")
    if folder:
        config.pluginmanager.register(_Recorder(Path(folder)), "costs-recorder")


class _Recorder:
    """Counts, and writes a line per phase of each test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # tests may change the working directory
        self.file = folder.resolve() / f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.jsonl"
        self.counts: Counter[str] = Counter()
        self.listens = False
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
            self.counts["processes"] += 1

    def _listen(self) -> None:
        """Count what JAX does and how often the engine trains, once both are imported."""
        if self.listens:
            return
        self.listens = True
        import jax

        from groklab.training import _engine as engine

        def duration(event: str, seconds: float, **_: Any) -> None:
            if event in _DURATIONS:
                self.counts[_DURATIONS[event]] += seconds
                self.counts[_DURATIONS[event] + "_times"] += 1

        def happened(event: str, **_: Any) -> None:
            if event in _EVENTS:
                self.counts[_EVENTS[event]] += 1

        jax.monitoring.register_event_duration_secs_listener(duration)
        jax.monitoring.register_event_listener(happened)
        drive = engine.drive

        def counted(*arguments: Any, **settings: Any) -> Any:
            self.counts["trainings"] += 1
            return drive(*arguments, **settings)

        engine.drive = counted

    def _now(self) -> dict[str, float]:
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "wall": time.perf_counter(),
            "cpu": own.ru_utime + own.ru_stime,
            "children_cpu": children.ru_utime + children.ru_stime,
            **self.counts,
        }

    def _measured(self, item: pytest.Item, phase: str) -> Iterator[None]:
        self._listen()
        before = self._now()
        try:
            return (yield)
        finally:
            after = self._now()
            line = {k: round(after[k] - before.get(k, 0), 4) for k in after if after[k] != before.get(k, 0)}
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            with self.file.open("a") as file:
                file.write(json.dumps({"test": item.nodeid, "phase": phase, "peak_mib": rss, **line}) + "\n")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        return (yield from self._measured(item, "setup"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        return (yield from self._measured(item, "call"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        return (yield from self._measured(item, "teardown"))


def _print_sums(folder: Path) -> None:
    lines = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    totals: Counter[str] = Counter()
    files: defaultdict[str, Counter[str]] = defaultdict(Counter)
    tests: Counter[str] = Counter()
    for line in lines:
        sums = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "peak_mib"}
        totals.update(sums)
        files[line["test"].split("::")[0]].update(sums)
        tests[f"{line['test']} ({line['phase']})"] += line.get("wall", 0)
    for key, value in totals.most_common():
        print(f"{value:12.1f}  {key}")
    print(f"{max(line['peak_mib'] for line in lines):12}  MiB at most in one process")
    columns = ("wall", "cpu", "children_cpu", "compiling", "tracing", "cache_misses", "cache_hits", "processes")
    print("\n" + " ".join(f"{c[:12]:>12}" for c in (*columns, "trainings")))
    for name, sums in sorted(files.items(), key=lambda pair: -pair[1]["wall"]):
        print(" ".join(f"{sums[c]:12.1f}" for c in (*columns, "trainings")) + f"  {name}")
    print()
    for name, seconds in tests.most_common(80):
        print(f"{seconds:8.2f} s  {name}")


if __name__ == "__main__":
    _print_sums(Path(sys.argv[1]))
