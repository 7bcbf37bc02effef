"""Alters the folders of runs, sweeps and reproductions, and has every command that reads them look: `make fuzz`.

A command may answer or refuse in one line; it must not end in a traceback, nor leave out the healthy neighbour. The
cases depend on the seed alone: `python tests/fuzz/folders.py --seed 7 --first 120 --cases 1` repeats one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import groklab as gl
from corpus import Corpus
from groklab.cli import main as groklab
from groklab.reproduction import PAPERS, Bar, Claim, Outcome, Trainer, Trial, publish
from groklab.store import locks, storage
from groklab.sweeps import Sweep, make_plan, pack
from groklab.sweeps import _folder as sweep_folder

LOCK = {"pid": 1, "host": "elsewhere", "process_started": 1.0, "place": ["elsewhere", "0", 0], "token": "x"}
#: What takes the place of a value.
NUMBERS: list[Any] = [0, 1, -1, 2, 7, 0.5, -0.5, 1e300, 1e-300, 10**18, -(10**18), 2**31, 2**63, 2**64, 10**400, -0.0]
ODD: list[Any] = [
    None,
    True,
    False,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "x",
    "7",
    "é\x1b[31m",
    "../..",
    "\0",
]
NESTED: list[Any] = [[], {}, [None], [[]], {"x": 1}, [1, 2, 3], ["x"] * 3, [{}], {"": {"": []}}]
#: What takes the place of a file's content.
CONTENTS: list[bytes] = [
    *(b"", b"null", b"[]", b"{}", b"0", b'"x"', b"{", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", "{}".encode("utf-16")),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"NaN", b"1e999", b"\0" * 64, b"PAR1", b'"\\ud800"'),
]
SECONDS = 20
RUNS = ("mlp", "ensemble", "mixture", "transformer", "rfm", "flow")
PAPER = "fuzzed"


class TooLongError(BaseException):
    """A command that does not end."""


# -- what is altered ----------------------------------------------------------------------------------------------


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the paths of all values in JSON."""
    yield path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(value, (*path, key))


def other_value(draw: random.Random, value: Any) -> Any:
    """Return a value in place of another."""
    kinds: list[Callable[[], Any]] = [
        lambda: draw.choice(NUMBERS),
        lambda: draw.choice(ODD),
        lambda: draw.choice(NESTED),
        lambda: [value],
        lambda: str(value),
        lambda: {"x": value},
    ]
    if isinstance(value, list) and value:
        kinds += [lambda: value[1:], lambda: value[:-1], lambda: [*value, value[-1]], lambda: value[::-1]] * 2
    if isinstance(value, int | float) and not isinstance(value, bool):
        kinds += [lambda: -value, lambda: value + 1, lambda: float(value), lambda: value * 1000]
    return draw.choice(kinds)()


def altered_json(draw: random.Random, content: Any) -> Any:
    """Return JSON with one value exchanged, dropped, added or renamed."""
    # most values of a run are settings, and most faults are elsewhere
    candidates = list(places(content))
    limit = draw.choice([1, 2, 3, 4, 99])
    *above, key = draw.choice([p for p in candidates if 0 < len(p) <= limit] or candidates[1:] or [()]) or [None]
    if key is None:
        return other_value(draw, content)
    node = content
    for part in above:
        node = node[part]
    deed = draw.randrange(4)
    if deed == 0:
        del node[key]
    elif deed == 1 and isinstance(node, dict):
        node[draw.choice(["", "x", "seed", f"{key}x"])] = node.pop(key)
    else:
        node[key] = other_value(draw, node[key])
    return content


def altered_table(draw: random.Random, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table with other columns, types, values or rows."""
    name = draw.choice(frame.columns)
    kind = draw.randrange(8)
    if kind == 0:
        return frame.drop(name)
    if kind == 1:
        return frame.rename({name: draw.choice(["x", "", f"{name}_op0"])})
    if kind == 2:
        return frame.with_columns(pl.lit(draw.choice([None, "x", True, 1.5, float("nan"), float("inf")])).alias(name))
    if kind == 3:
        return frame.with_columns(pl.lit(draw.choice([-1, 10**15, 2**62, 7])).alias(name))
    if kind == 4:
        return frame.clear() if draw.random() < 0.5 else frame.head(draw.randrange(3))
    if kind == 5:
        return pl.concat([frame, frame.tail(2)]) if draw.random() < 0.5 else frame.reverse()
    if kind == 6:
        return frame.cast({name: pl.String}) if frame[name].dtype != pl.List else frame.drop(name)
    return frame.with_columns(pl.concat_list(name).alias(name)) if frame.height else frame.drop(name)


def altered_arrays(draw: random.Random, path: Path) -> None:
    """Write other arrays, or another header, under a valid checksum."""
    arrays, header = storage.load_arrays(path, dict[str, Any])
    del header["sha256"]
    name = draw.choice(list(arrays))
    kind = draw.randrange(6)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[f"{name}x"] = arrays.pop(name)
    elif kind == 2:
        arrays[name] = arrays[name].reshape(-1)[: draw.choice([0, 1, None])]
    elif kind == 3:
        arrays[name] = arrays[name].astype(draw.choice([np.int32, np.bool_, np.float64, np.uint8]))
    elif kind == 4:
        arrays[name] = np.full_like(arrays[name], draw.choice([np.nan, np.inf, 0, 1e30]), dtype=np.float32)
    else:
        header = altered_json(draw, header)
    header = header if isinstance(header, dict) else {}
    path.unlink()
    storage.save_arrays(path, arrays, header)


def alter_folder(draw: random.Random, folder: Path) -> str:
    """Exchange a folder below a folder, or add a file that does not belong there; return what was done."""
    path = draw.choice([p for p in sorted(folder.rglob("*")) if p.is_dir()] or [folder])
    deed = draw.choice(["gone", "empty", "file", "loop", "stray", "stray"])
    if deed == "stray" or path == folder:
        name = draw.choice(
            [f"step_{10**30}.safetensors", "step_\u0663.safetensors", "step_5.safetensors", "\udcff", "x.json"]
        )
        (path / name).write_bytes(draw.choice(CONTENTS))
        return f"{path.relative_to(folder)}: stray"
    shutil.rmtree(path)
    if deed == "empty":
        path.mkdir()
    elif deed == "file":
        path.write_bytes(draw.choice(CONTENTS))
    elif deed == "loop":
        path.symlink_to(path)
    return f"{path.relative_to(folder)}: {deed}"


def alter(draw: random.Random, folder: Path, others: Path) -> str:
    """Alter one file below a folder; return what was done. `others` holds files of other runs."""
    if draw.random() < 0.05:
        (folder / "lock.json").write_text(json.dumps(LOCK))
    if draw.random() < 0.08:
        return alter_folder(draw, folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    if not files:
        return "nothing is left"
    # JSON is what most of the code reads
    path = draw.choice([p for p in files if p.suffix == ".json" and draw.random() < 0.8] or files)
    deed = draw.choice(["values"] * 8 + ["bytes", "content", "missing", "folder", "link", "swapped", "fifo"])
    about = f"{path.relative_to(folder)}: {deed}"
    with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, pl.exceptions.PolarsError):
        if deed == "values" and path.suffix == ".json":
            content = altered_json(draw, json.loads(path.read_bytes()))
            path.unlink()
            path.write_text(json.dumps(content))
            return about
        if deed == "values" and path.suffix == ".parquet":
            frame = altered_table(draw, storage.read_table(path))
            path.unlink()
            storage.write_table(path, frame)
            return about
        if deed == "values" and path.suffix == ".safetensors":
            altered_arrays(draw, path)
            return about
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    if deed in ("values", "bytes"):
        altered = bytearray(content)
        for _ in range(draw.choice([1, 1, 3])):
            place = draw.randrange(len(altered) + 1)
            altered[place : place + draw.choice([0, 1, 5])] = draw.choice(CONTENTS)[:8]
        path.write_bytes(altered[: draw.choice([None, len(altered) // 2])])
    elif deed == "content":
        path.write_bytes(draw.choice(CONTENTS))
    elif deed == "folder":
        path.mkdir()
    elif deed == "link":
        path.symlink_to(draw.choice([path, path.parent, Path("/dev/zero"), Path("nowhere")]))
    elif deed == "fifo":
        os.mkfifo(path)
    elif deed == "swapped":
        pool = [*files, *(p for p in others.rglob("*") if p.is_file())]
        same = [p for p in pool if p.suffix == path.suffix and p.is_file()]
        if same:
            shutil.copyfile(draw.choice(same), path)
    return about


# -- what looks at it ---------------------------------------------------------------------------------------------


def commands_of_run(name: str, healthy: str, out: Path) -> list[list[str]]:
    """Return the commands that read a run."""
    return [
        ["runs"],
        ["show", name],
        ["show", name, "--json"],
        ["compare", name, healthy],
        ["compare", healthy, name, "--json"],
        ["report", name, "--out", str(out / "page.html")],
        ["report", healthy, name, "--out", str(out / "pages.html")],
        ["measure", name, "--json"],
        ["measure", name],
        ["explain", name],
        ["explain", name, "--json"],
        ["export", name, "--to", "safetensors", "--out", str(out / "plain")],
        ["export", name, "--to", "transformer_lens", "--out", str(out / "lens")],
        ["theory", "--run", name],
        ["train", "micro", "--from", f"{name}@0", "--dry-run"],
        ["runs", "tag", name, "seen"],
        ["resume", name, "--quiet"],
        ["runs", "rm", name],
    ]


def commands_of_sweep(name: str, healthy: str, out: Path) -> list[list[str]]:
    """Return the commands that read a sweep."""
    return [
        ["phase-diagram", name, "--out", str(out / "phases.html")],
        ["phase-diagram", name, "--threshold", "0.8", "--json", "--out", str(out / "phases.html")],
        ["report", name, "--out", str(out / "cells.html")],
        ["report", name, "--members", "add,7", "--json", "--out", str(out / "cells.html")],
        ["phase-diagram", healthy, "--out", str(out / "phases.html")],
    ]


def library_of_sweep(path: Path) -> None:
    """Read a sweep as a notebook does."""
    sweep = Sweep(path)
    repr(sweep)
    json.dumps(sweep.summary(), allow_nan=False)
    sweep.curves(0)
    for number in range(sweep.n_members):
        sweep.experiment(number)
        with contextlib.suppress(gl.InputError):
            sweep.run(number)[0].summary()
    sweep_folder.SweepRecords(sweep).write()


def library_of_runs(home: Path, healthy: str) -> None:
    """List the runs as a notebook does."""
    listed = gl.runs(str(home))
    assert healthy in {run.name for run in listed}
    for run in listed:
        str(run)
        with contextlib.suppress(gl.InputError):
            str(run.environment)


def outcome(call: Callable[[], Any]) -> tuple[Any, str]:
    """Return what a call returns or exits with, and its output; raises what it should not raise."""
    out = io.StringIO()

    def ring(*_: Any) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            warnings.simplefilter("always")
            try:
                return call(), out.getvalue()
            except SystemExit as ended:
                return ended.code, out.getvalue()
            except gl.InputError as error:
                return 2, str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def command(arguments: list[str]) -> tuple[Any, str]:
    """Run the program in this process."""
    before, sys.argv = sys.argv, ["groklab", *arguments]
    try:
        return outcome(groklab)
    finally:
        sys.argv = before


# -- cases --------------------------------------------------------------------------------------------------------


class Folders:
    """Folders to alter, and a home in which they are altered."""

    def __init__(self, corpus: Corpus, work: Path) -> None:
        self.work, self.sources = work, {name: corpus[name].path for name in RUNS}
        self.healthy = corpus["mlp"].path
        self.sweep = corpus.file("fuzzed-sweep", _train_sweep)
        self.failures: list[str] = []
        self.seen: Counter[str] = Counter()
        bars = (Bar("fits", "==", True, "the test's own"),)
        trial = Trial(setting="none", seeds=2, cost=1, run=_claim, bars=bars)
        about = {"claim": "it holds", "source": "nowhere", "expected": "true", "control": "another"}
        publish(
            PAPER,
            "Nothing",
            [Claim(id="one", **about, quick=trial, full=None)],
        )

    def close(self) -> None:
        """Forget the paper."""
        PAPERS.pop(PAPER, None)

    def case(self, seed: int, number: int, commands: int | None) -> None:
        """Alter one folder and look at it by some of the commands, None: by all."""
        draw = random.Random(f"{seed} {number}")
        kind = draw.choice(["run"] * 5 + ["sweep"] * 3 + ["reproduction"])
        home = self.work / f"home{number}"
        os.environ["GROKLAB_HOME"] = str(home)
        try:
            getattr(self, f"_{kind}")(draw, home, f"case {number} of seed {seed}, {kind}", commands)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _run(self, draw: random.Random, home: Path, about: str, commands: int | None) -> None:
        healthy = Path(shutil.copytree(self.healthy, home / "healthy", copy_function=os.link))
        victim = Path(
            shutil.copytree(
                self.sources[draw.choice((*RUNS, "mlp", "ensemble", "flow"))], home / "victim", copy_function=os.link
            )
        )
        about += "; " + "; ".join(alter(draw, victim, self.healthy) for _ in range(draw.choice([1, 1, 2])))
        listed = self._check(about, ["runs", "--json"])
        if listed is not None:
            names = {run["run"] for run in json.loads(listed.splitlines()[-1])["runs"]}
            if healthy.name not in names or ((victim / "experiment.json").is_file() and victim.name not in names):
                self._fail(about, ["runs", "--json"], f"lists {names}")
        self._check_call(about, "gl.runs()", lambda: library_of_runs(home, healthy.name))
        todo = commands_of_run(victim.name, healthy.name, home / "out")
        for arguments in _some(draw, todo, commands):
            self._check(about, arguments)

    def _sweep(self, draw: random.Random, home: Path, about: str, commands: int | None) -> None:
        folder = home / "sweeps"
        healthy = Path(shutil.copytree(self.sweep, folder / "healthy", copy_function=os.link))
        victim = Path(shutil.copytree(self.sweep, folder / "victim", copy_function=os.link))
        about += "; " + "; ".join(alter(draw, victim, self.healthy) for _ in range(draw.choice([1, 1, 2])))
        for arguments in _some(draw, commands_of_sweep(victim.name, healthy.name, home / "out"), commands):
            self._check(about, arguments)
        self._check_call(about, "Sweep", lambda: library_of_sweep(victim))

    def _reproduction(self, draw: random.Random, home: Path, about: str, commands: int | None) -> None:
        arguments = ["reproduce", PAPER, "--save", str(home / "saved"), "--json"]
        self._check(about, arguments)
        folder = home / draw.choice(["reproductions", "saved"])
        about += "; " + alter(draw, folder, self.healthy)
        for _ in range(2):
            self._check(about, arguments)

    def _check(self, about: str, arguments: list[str]) -> str | None:
        """Run a command that must answer or refuse in one line; return its output where it has answered."""
        return self._check_call(about, arguments, lambda: command(arguments))

    def _check_call(self, about: str, what: Any, call: Callable[[], Any]) -> str | None:
        self.seen["all"] += 1
        try:
            code, text = call() if isinstance(what, list) else outcome(call)
        except (Exception, TooLongError):
            self._fail(about, what, traceback.format_exc())
            return None
        refused = code == 2
        self.seen["refused"] += refused
        unclear = "not enough memory" in text or "the input is nested too deeply" in text or "Traceback" in text
        if code not in (0, None, 2) or (refused and not text.strip()) or unclear:
            self._fail(about, what, f"code {code}: {text[-2000:]}")
        return text if code == 0 else None

    def _fail(self, about: str, what: Any, why: str) -> None:
        self.failures.append(f"{about}\n  {what}\n{why}")
        print(self.failures[-1], file=sys.stderr, flush=True)


def _some(draw: random.Random, commands: list[list[str]], n: int | None) -> list[list[str]]:
    if n is None:
        return commands
    return [commands[i] for i in sorted(draw.sample(range(len(commands)), min(n, len(commands))))]


def _claim(trainer: Trainer, seed: int) -> Outcome:
    return Outcome({"step": seed, "fits": True, "names": ["x"]}, sentence=f"seed {seed} holds", control={"fits": False})


def _train_sweep(path: Path) -> None:
    """Write a sweep of two settings and two seeds, trained."""
    keys = {"task.expression": ["add", "x*y"], "task.p": [7, 11]}
    # two shapes: two packs
    plan = make_plan("micro-fast", keys, seeds=2, overrides={"budget.steps": 40, "evaluation.every": 10})
    files = Sweep.create(path, plan, pack(plan.experiments))
    for number in range(len(files.packs)):
        gl.train(files.experiments_of(number), home=files.path / "packs")
    sweep_folder.SweepRecords(files).write()


def fuzz(corpus: Corpus, work: Path, seed: int, cases: range, commands: int | None = None) -> Folders:
    """Run some cases; the result has the failures."""
    folders = Folders(corpus, work)
    before, stale = os.environ.get("GROKLAB_HOME"), locks.STALE_SECONDS
    # no command waits for the holder of a lock
    locks.STALE_SECONDS = 0.1
    try:
        for number in cases:
            folders.case(seed, number, commands)
    finally:
        folders.close()
        locks.STALE_SECONDS = stale
        if before is not None:
            os.environ["GROKLAB_HOME"] = before
    return folders


def main() -> None:
    """Fuzz as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--commands", type=int, default=8, help="commands of each case")
    asked = parser.parse_args()
    gl_home = tempfile.mkdtemp(prefix="groklab-fuzz-")
    began = time.perf_counter()
    try:
        work = Path(gl_home)
        last = asked.first + asked.cases
        folders = fuzz(Corpus(work / "corpus"), work, asked.seed, range(asked.first, last), asked.commands)
    finally:
        shutil.rmtree(gl_home, ignore_errors=True)
    cases = {failure.partition(";")[0] for failure in folders.failures}
    print(
        f"folders: {asked.cases:,} cases, {folders.seen['all']:,} commands, {folders.seen['refused']:,} refused, "
        f"{len(cases)} cases failed, {time.perf_counter() - began:.0f} s"
    )
    sys.exit(bool(folders.failures))


if __name__ == "__main__":
    main()
