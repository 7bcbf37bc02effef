from __future__ import annotations

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from amounts import amount
from groklab.errors import DamagedError, InputError, Interrupted
from groklab.experiment._schema import Checkpoints
from groklab.store import Run, RunWriter, locks, states
from groklab.training import Progress, training
from groklab.training import _engine as engine

#: A run of 60 steps that saves its state after every chunk of one evaluation, of which there are 12.
OFTEN = {"budget.steps": 60, "evaluation.every": 5, "checkpoints.rolling_seconds": 1e-9}
#: Steps of a run that is crashed at each of its writes: both saved states are overwritten, and the last leg ends
#: between two evaluations.
CRASHING_STEPS = amount(17, full=42)
#: Trains until it has grokked, which it has at step 68, and saves its state at the end only.
UNTIL_GROKKED = {
    "budget__steps": 10**6,
    "budget__stop_when_grokked": True,
    "evaluation__every": 2,
    "checkpoints__rolling_seconds": 1e9,
    "optimiser__learning_rate": 0.03,
    "optimiser__weight_decay": 3.0,
}


class CrashError(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def same(a: Run, b: Run) -> bool:
    return bool(a.summary()["weights_sha256"] == b.summary()["weights_sha256"] and a.metrics.equals(b.metrics))


def experiment(**settings: Any) -> gl.Experiment:
    return gl.preset("micro-fast", {**OFTEN, **{k.replace("__", "."): v for k, v in settings.items()}})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return training.train(experiment(), home=tmp_path_factory.mktemp("straight"))


@pytest.fixture
def stopped(tmp_path: Path) -> Run:
    """A run that died in the middle, two states kept."""
    stop_at(30, tmp_path)
    return Run(next(tmp_path.glob("micro-fast*")))


def stop_at(step: int, home: Path, **settings: Any) -> None:
    def view(progress: Progress) -> None:
        if progress.step >= step:
            raise CrashError

    with pytest.raises(CrashError):
        training.train(experiment(**settings), home=home, view=view)


# -- crashes ------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_crash_at_any_write_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real: Callable[..., Any] = getattr(os, call)
    written: list[str] = []
    crash_at = 0

    def crashing(*arguments: Any, **options: Any) -> Any:
        path = path_of(arguments[0]) if call == "fsync" else Path(arguments[1])
        # JAX writes its cache of compiled programs by the same calls
        if path.is_relative_to(tmp_path):
            written.append(re.sub(r"^\.(.*)\.\w+\.tmp$", r"\1", path.name))
            if len(written) == crash_at:
                raise CrashError
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, crashing)
    short = experiment(budget__steps=CRASHING_STEPS)
    straight = training.train(short, home=tmp_path / "straight")
    total = len(written)
    files = (p for p in straight.path.rglob("*") if p.is_file() and p.name != ".lock")
    # files are written; folders are synced, too
    assert set(written) >= {p.name for p in files}
    assert all(written.count(f"rolling_{i}.safetensors") >= 2 for i in (0, 1))
    for crash_at in range(1, total + 1):
        written.clear()
        home = tmp_path / str(crash_at)
        with pytest.raises(CrashError):
            training.train(short, home=home)
        # one more write than the crash was at: only the first of two runs crashes
        resumed = training.train(short, home=home)
        assert resumed.status.state == "finished"
        assert same(resumed, straight), crash_at
        assert resumed.checkpoints == straight.checkpoints
        assert not list(home.rglob("*.tmp"))
        assert not list(home.rglob("lock.json"))


def path_of(handle: int) -> Path:
    """Return the path of an open file."""
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def test_an_ensemble_that_crashed_resumes_to_the_same_bits(tmp_path: Path) -> None:
    members = training.members_of(experiment(), 3)
    whole = training.train(members, home=tmp_path / "a")

    def view(progress: Progress) -> None:
        if progress.step >= 25:
            raise CrashError

    with pytest.raises(CrashError):
        training.train(members, home=tmp_path / "b", view=view)
    assert same(training.train(members, home=tmp_path / "b"), whole)


def test_mini_batches_dropout_free_resume_to_the_same_bits(tmp_path: Path) -> None:
    whole = training.train(experiment(batch_size=64), home=tmp_path / "a")
    stop_at(30, tmp_path / "b", batch_size=64)
    assert same(training.train(experiment(batch_size=64), home=tmp_path / "b"), whole)


def test_left_over_parts_of_files_are_removed(stopped: Run, straight: Run) -> None:
    for folder in (stopped.path, stopped.path / "state", stopped.path / "checkpoints"):
        (folder / ".metrics.parquet.0123456789ab.tmp").write_bytes(b"half")
    assert same(training.resume(stopped), straight)
    assert not list(stopped.path.rglob("*.tmp"))


# -- damage -------------------------------------------------------------------------------------------------------


def newest_state(run: Run) -> Path:
    return max((run.path / "state").iterdir(), key=lambda p: p.stat().st_mtime_ns)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_the_state_before_a_damaged_one_is_used(stopped: Run, straight: Run, damage: str) -> None:
    file = newest_state(stopped)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"truncated": content[: len(content) // 2], "altered": content, "empty": b""}[damage])
    steps: list[int] = []
    with pytest.warns(UserWarning, match=r"rolling_.*is damaged.*; going back to the one before"):
        resumed = training.resume(stopped, view=lambda p: steps.append(p.step))
    assert 0 < steps[0] < 30
    assert same(resumed, straight)


def test_without_any_whole_state_training_begins_again(stopped: Run, straight: Run) -> None:
    for file in (stopped.path / "state").iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    steps: list[int] = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        resumed = training.resume(stopped, view=lambda p: steps.append(p.step))
    said = [str(w.message) for w in seen]
    assert len(said) == 3
    assert all("is damaged" in sentence for sentence in said[:2])
    assert "training again from step 0" in said[2]
    assert steps[0] == 0
    assert same(resumed, straight)


@pytest.mark.parametrize("missing", ["state", "metrics.parquet"])
def test_what_was_removed_by_hand_is_made_again(stopped: Run, straight: Run, missing: str) -> None:
    path = stopped.path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.warns(UserWarning, match="training again from step 0"):
        resumed = training.resume(stopped)
    assert same(resumed, straight)


def test_a_state_of_another_experiment_is_refused(stopped: Run, tmp_path: Path) -> None:
    other = training.train(experiment(seed=5), home=tmp_path / "other")
    shutil.copy(newest_state(other), newest_state(stopped))
    with pytest.raises(DamagedError, match="belongs to another experiment"):
        training.resume(stopped)


@pytest.mark.parametrize("finished", [False, True])
def test_damaged_metrics_are_rebuilt_by_resume(tmp_path: Path, straight: Run, finished: bool) -> None:
    if finished:
        training.train(experiment(), home=tmp_path)
    else:
        stop_at(30, tmp_path)
    run = Run(next(tmp_path.glob("micro-fast*")))
    file = run.path / "metrics.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=r"metrics\.parquet is damaged.*by training again"):
        resumed = training.resume(run)
    assert same(resumed, straight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert training.resume(run).status.state == "finished"


def test_the_last_checkpoint_of_a_finished_run_is_made_again_from_its_state(tmp_path: Path, straight: Run) -> None:
    run = training.train(experiment(), home=tmp_path)
    last = run.path / "checkpoints" / "step_000000060.safetensors"
    for damage in (b"", None):
        last.unlink() if damage is None else last.write_bytes(damage)
        steps: list[int] = []
        with pytest.warns(UserWarning, match="computing it again"):
            training.resume(run, view=lambda p, seen=steps: seen.append(p.step))  # type: ignore[misc]
        assert set(steps) == {60}
        assert same(run, straight)
        assert set(run.weights(60)) == set(straight.weights(60))


def test_metrics_older_than_the_state_are_not_continued(stopped: Run, straight: Run) -> None:
    frame = stopped.metrics
    RunWriter(stopped).metrics(frame.filter(frame["step"] != 10))
    with pytest.warns(UserWarning, match="training again from step 0"):
        assert same(training.resume(stopped), straight)


def test_metrics_newer_than_the_state_are_cut_off_at_it(stopped: Run, straight: Run) -> None:
    # the process ended between the two writes of a long chunk
    RunWriter(stopped).metrics(straight.metrics)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(training.resume(stopped), straight)


# -- a full disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 7, 20, 60])
def test_a_full_disk_is_one_sentence_and_a_resumable_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: Run, at: int
) -> None:
    real = os.fsync
    calls = 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full") as caught:
        training.train(experiment(), home=tmp_path)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(os, "fsync", real)
    for path in tmp_path.glob("*/experiment.json"):
        assert Run(path.parent).status.state == "interrupted"
    assert same(training.train(experiment(), home=tmp_path), straight)


# -- one process a run --------------------------------------------------------------------------------------------


#: What a lock leaves, and what beats.
LOCKS = {".lock", "lock.json"}


def test_a_run_that_is_being_written_is_left_alone(stopped: Run) -> None:
    before = {p: p.read_bytes() for p in stopped.path.rglob("*") if p.is_file() and p.name not in LOCKS}
    with locks.locked(stopped.path):
        for ask in (
            lambda: training.resume(stopped),
            lambda: training.resume(stopped, {"budget.steps": 9999}),
            lambda: training.train(experiment(budget__steps=9999), home=stopped.path.parent),
        ):
            with pytest.raises(InputError, match="is being written by process"):
                ask()
        after = {p: p.read_bytes() for p in stopped.path.rglob("*") if p.is_file() and p.name not in LOCKS}
    assert after == before


def test_a_process_that_lost_its_lock_stops_writing(tmp_path: Path) -> None:
    def steal(progress: Progress) -> None:
        if progress.step == 25:
            lock = tmp_path / progress.run / "lock.json"
            content = json.loads(lock.read_text())
            lock.with_name("another").write_text(json.dumps({**content, "token": "another"}))
            lock.with_name("another").rename(lock)

    with pytest.raises(InputError, match="was taken over by another process"):
        training.train(experiment(), home=tmp_path, view=steal)
    run = Run(next(tmp_path.glob("micro-fast*")))
    assert run.status.step < 25 + 5
    assert run.status.state == "running"
    assert (run.path / "lock.json").exists()


def test_a_run_that_is_removed_while_it_trains_is_not_half_made_again(tmp_path: Path) -> None:
    def remove(progress: Progress) -> None:
        if progress.step == 25:
            shutil.rmtree(tmp_path / progress.run)

    with pytest.raises(InputError, match="was removed while it was being trained"):
        training.train(experiment(), home=tmp_path, view=remove)
    assert not list(tmp_path.glob("micro-fast*"))


# -- budgets, cadence, stops --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(0, 60), (7, 60), (30, 60), (32, 60), (32, 34), (59, 60)])
def test_a_longer_budget_gives_the_bits_of_the_straight_run(tmp_path: Path, first: int, second: int) -> None:
    straight = training.train(experiment(budget__steps=second), home=tmp_path / "straight")
    run = training.train(experiment(budget__steps=first), home=tmp_path / "two")
    assert run.status.step == first
    longer = training.train(experiment(budget__steps=second), home=tmp_path / "two")
    assert longer.path == run.path
    assert longer.experiment.budget.steps == second
    assert same(longer, straight)


def test_resume_takes_a_longer_budget_and_no_other_experiment(tmp_path: Path, straight: Run) -> None:
    run = training.train(experiment(budget__steps=25), home=tmp_path)
    for key, value in (("task.p", 29), ("seed", 3), ("name", "x"), ("evaluation.every", 10), ("budget", {"steps": 5})):
        with pytest.raises(InputError, match=f"^{key} cannot change when resuming"):
            training.resume(run, {key: value})
    assert same(training.resume(run, {"budget.steps": 60}), straight)


@pytest.mark.parametrize("listed", [[3], [7, 8, 9], [30, 32], [59, 60, 61]])
def test_keeping_checkpoints_changes_no_bit(tmp_path: Path, straight: Run, listed: list[int]) -> None:
    run = training.train(experiment(checkpoints__spacing="listed", checkpoints__steps=listed), home=tmp_path)
    assert run.checkpoints == sorted({0, *(s for s in listed if s <= 60), 60})
    assert same(run, straight)
    # and those between evaluations are what a run that ends there has
    for step in [s for s in listed if s < 60]:
        ended = training.train(experiment(budget__steps=step), home=tmp_path / str(step))
        found, expected = run.weights(step), ended.weights(step)
        assert all(np.array_equal(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize("seconds", [1e-9, 0.02, 3.0])
def test_the_length_of_chunks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: Run, seconds: float
) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", seconds)
    assert same(training.train(experiment(), home=tmp_path / "a"), straight)
    run = training.train(experiment(**UNTIL_GROKKED, budget__extra_steps=70), home=tmp_path / "b")
    assert (run.status.reason, run.status.step) == ("grokked", 200)
    assert 100 < run.summary()["grokked_step"] + 70 <= 200


def test_the_length_of_chunks_changes_no_random_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = training.train(experiment(batch_size=64), home=tmp_path / "a")
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 3.0)
    assert same(training.train(experiment(batch_size=64), home=tmp_path / "b"), short)


def test_ctrl_c_keeps_what_was_trained_since_the_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: Run
) -> None:
    seen: list[int] = []

    @contextmanager
    def pressed() -> Iterator[Callable[[], str | None]]:
        # as interrupts.stop_requests, which hears signals in a main thread only
        yield lambda: "ctrl-c" if seen and seen[-1] >= 30 else None

    monkeypatch.setattr(engine, "stop_requests", pressed)
    seldom = experiment(checkpoints__rolling_seconds=1e9)
    with pytest.raises(Interrupted):
        training.train(seldom, home=tmp_path, view=lambda progress: seen.append(progress.step))
    run = Run(next(tmp_path.glob("micro-fast*")))
    assert (run.status.state, run.status.reason) == ("interrupted", "ctrl-c")
    assert [state.step for state in states(run)] == [run.status.step] == [30]
    monkeypatch.undo()
    assert same(training.resume(run), straight)


def test_a_signal_before_the_first_step_does_not_wait_for_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: Run
) -> None:
    @contextmanager
    def heard() -> Iterator[Callable[[], str | None]]:
        yield lambda: "SIGTERM"

    shown: list[bool] = []
    with monkeypatch.context() as patched:
        patched.setattr(engine, "stop_requests", heard)
        with pytest.raises(Interrupted):
            training.train(experiment(), home=tmp_path, view=lambda progress: shown.append(progress.compiling))
    run = Run(next(tmp_path.glob("micro-fast*")))
    assert shown == [True]
    assert (run.status.state, run.status.reason, run.status.step) == ("interrupted", "SIGTERM", 0)
    assert same(training.resume(run), straight)


def test_a_crash_between_the_last_state_and_the_last_status_stops_at_the_same_step(tmp_path: Path) -> None:
    run = training.train(experiment(**UNTIL_GROKKED), home=tmp_path)
    step, sha, frame = run.status.step, run.summary()["weights_sha256"], run.metrics
    RunWriter(run).status(state="running", reason=None, step=step - 10)
    again = training.resume(run)
    assert (again.status.step, again.summary()["weights_sha256"]) == (step, sha)
    assert again.metrics.equals(frame)


def test_more_extra_steps_continue_a_run_that_stopped_when_it_had_grokked(tmp_path: Path) -> None:
    first = training.train(experiment(**UNTIL_GROKKED), home=tmp_path / "a").status.step
    more = experiment(**UNTIL_GROKKED, budget__extra_steps=100)
    longer = training.train(more, home=tmp_path / "a")
    assert longer.status.step > first
    assert same(longer, training.train(more, home=tmp_path / "b"))


def test_a_budget_of_seconds_stops_and_can_be_prolonged(tmp_path: Path, straight: Run) -> None:
    run = training.train(experiment(budget__seconds=1e-6), home=tmp_path)
    assert run.status.reason == "seconds"
    assert 0 < run.status.step < 60
    assert training.train(experiment(budget__seconds=1e-6), home=tmp_path).status.step == run.status.step
    assert same(training.resume(run, {"budget.seconds": None}), straight)


@pytest.mark.parametrize("chunk", [1e-9, 3.0])
def test_a_run_that_diverges_ends_at_the_same_step_as_valid_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: float
) -> None:
    monkeypatch.setattr(engine, "CHUNK_SECONDS", chunk)
    lost = {"optimiser__learning_rate": 1e6, "checkpoints__rolling_seconds": 10.0, "evaluation__every": 1}
    long = training.train(experiment(**lost, budget__steps=400), home=tmp_path / "a")
    assert (long.status.state, long.status.step) == ("diverged", 256)
    short = training.train(experiment(**lost), home=tmp_path / "b")
    assert (short.status.state, short.status.step) == ("diverged", 60)
    found = json.loads(long.to_json(), parse_constant=pytest.fail)
    assert found["train_loss"] is None
    assert found["censored"]
    assert training.train(experiment(**lost, budget__steps=500), home=tmp_path / "a").status.step == 256


def test_evaluations_rarer_than_the_budget_are_the_first_and_the_last(tmp_path: Path) -> None:
    run = training.train(experiment(evaluation__every=10**9), home=tmp_path)
    assert run.metrics["step"].to_list() == [0, 60]
    longer = training.train(experiment(evaluation__every=10**9, budget__steps=80), home=tmp_path)
    assert longer.metrics["step"].to_list() == [0, 80]


def test_no_steps_measure_the_start(tmp_path: Path) -> None:
    run = training.train(experiment(budget__steps=0), home=tmp_path)
    assert run.metrics["step"].to_list() == [0]
    assert run.checkpoints == [0]
    assert run.status.state == "finished"


def test_another_cadence_is_not_mixed_into_a_run(tmp_path: Path) -> None:
    run = training.train(experiment(), home=tmp_path)
    description, status = (run.path / "experiment.json").read_bytes(), run.status
    with pytest.raises(InputError, match=r"evaluation\.every = 10: .* every 5 steps"):
        training.train(experiment(evaluation__every=10, budget__steps=80), home=tmp_path)
    assert (run.path / "experiment.json").read_bytes() == description
    assert run.status == status
    # what is done is done, whatever the cadence asked for
    with pytest.warns(UserWarning, match="every 5 steps; --again"):
        assert training.train(experiment(evaluation__every=10), home=tmp_path).metrics.equals(run.metrics)


@pytest.mark.parametrize("spacing", ["log", "linear", "listed", "none"])
def test_the_steps_to_keep_of_a_huge_budget_take_no_memory(spacing: str) -> None:
    asked = Checkpoints(spacing=spacing, every=1, steps=(5, 10**9))  # type: ignore[arg-type]
    found = asked.steps_until(10**9, 1)
    assert spacing == "none" or (found[0] == 0 and found[-1] <= 10**9)
    assert isinstance(found, range) or len(found) < 1000


# -- the same thing asked again -----------------------------------------------------------------------------------


def test_what_is_finished_is_found_and_again_makes_another(tmp_path: Path, straight: Run) -> None:
    seen: list[Progress] = []
    first = training.train(experiment(), home=tmp_path)
    again = training.train(experiment(evaluation__criterion="first_95"), home=tmp_path, view=seen.append)
    assert again.path == first.path
    assert not seen
    other = training.train(experiment(), home=tmp_path, again=True)
    third = training.train(experiment(), home=tmp_path, again=True)
    assert [other.name, third.name] == [f"{first.name}-2", f"{first.name}-3"]
    assert same(other, straight)


def test_training_an_interrupted_experiment_resumes_it(stopped: Run, straight: Run) -> None:
    steps: list[int] = []
    found = training.train(experiment(), home=stopped.path.parent, view=lambda p: steps.append(p.step))
    assert found.path == stopped.path
    assert steps[0] > 20
    assert same(found, straight)


def test_a_shorter_budget_finds_the_longer_run(tmp_path: Path, straight: Run) -> None:
    run = training.train(experiment(), home=tmp_path)
    assert training.train(experiment(budget__steps=25), home=tmp_path).path == run.path
    assert run.status.step == 60
    assert Run(run.path).experiment.budget.steps == 60


# -- start weights ------------------------------------------------------------------------------------------------


def branch(home: Path, source: Run, step: int, **settings: Any) -> Run:
    asked = gl.read(experiment(**settings), {"start.run": str(source.path), "start.step": step})
    return training.train(asked, home=home)


def test_a_branch_starts_from_the_weights_and_records_them(tmp_path: Path, straight: Run) -> None:
    run = branch(tmp_path, straight, 20)
    recorded = json.loads((run.path / "experiment.json").read_text())["members"][0]["experiment"]["start"]
    assert (recorded["run"], recorded["step"]) == (str(straight.path), 20)
    assert len(recorded["sha256"]) == 64
    start, source = run.weights(0), straight.weights(20)
    assert all(np.array_equal(start[k], source[k]) for k in source)
    assert run.name != straight.name
    assert branch(tmp_path, straight, 20).path == run.path


def test_a_branch_resumes_when_its_source_is_gone(tmp_path: Path, straight: Run) -> None:
    source = Run(Path(shutil.copytree(straight.path, tmp_path / "source")))
    whole = branch(tmp_path / "a", source, 20)
    run = branch(tmp_path / "b", source, 20, budget__steps=30)
    shutil.rmtree(source.path)
    assert same(training.resume(run, {"budget.steps": 60}), whole)
    for file in (run.path / "state").iterdir():
        file.unlink()
    RunWriter(run).status(state="running")
    # fresh weights would be another experiment
    with pytest.warns(UserWarning, match="from step 0"), pytest.raises(InputError, match="is not a run"):
        training.resume(run)


@pytest.mark.parametrize(
    "settings", [{"network__d_mlp": 64}, {"network__kind": "transformer"}, {"network__init_std.nothing": 1.0}]
)
def test_what_cannot_start_leaves_nothing_behind(tmp_path: Path, straight: Run, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"start: the weight|unknown matrix"):
        branch(tmp_path / "home", straight, 20, **settings)
    assert not (tmp_path / "home").exists()
