"""A small track end to end: tuning on its own seeds, fresh seeds, resuming, two processes, weak networks."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groklab.errors import InputError
from groklab.leaderboard import TRACKS, Board, Track, _question, load, results, run, save, seconds_ahead
from groklab.leaderboard._ledger import Ledger
from groklab.store import Run, locks
from groklab.training import build_task, step_flops


def steps_of(board: Board) -> dict[str, list[Any]]:
    """What a leaderboard says, without times."""
    return {s.name: [s.trial, [o.model_dump() for o in s.outcomes], s.difference] for s in board.scores}


def test_the_baseline_twice_is_undecided_and_a_slow_entry_is_later(measured: tuple[Board, Path]) -> None:
    board, _ = measured
    assert board.complete
    by_name = {score.name: score for score in board.scores}
    assert set(by_name) == {"adamw-tuned", "adamw", "twin", "slow"}
    twin, baseline, slow = by_name["twin"], by_name["adamw-tuned"], by_name["slow"]
    assert [o.grokked for o in twin.outcomes] == [o.grokked for o in baseline.outcomes]
    assert twin.difference is not None
    assert (twin.difference.verdict, twin.difference.tied) == ("undecided", 10)
    assert slow.difference is not None
    assert slow.difference.verdict == "later"
    assert slow.survival.median is None
    assert (slow.share, slow.seconds_to_grok, slow.flop_to_grok) == (0, None, None)
    assert baseline.difference is None
    assert board.scores[-1] is slow
    assert "later than the tuned AdamW: slow" in board.summary
    assert "twin" in board.summary.partition("undecided: ")[2]


def test_tuning_chooses_by_its_own_seeds_and_costs_the_same(measured: tuple[Board, Path], track: Track) -> None:
    board, _ = measured
    baseline = next(score for score in board.scores if score.name == "adamw-tuned")
    assert baseline.tuning is not None
    assert len(baseline.trials) == track.scale("reduced").trials
    for trial in baseline.trials:
        assert [o.seed for o in trial.outcomes] == list(track.tuning_seeds("reduced"))
    steps = {
        trial.number: sorted(math.inf if o.grokked is None else o.grokked for o in trial.outcomes)
        for trial in baseline.trials
    }
    # of two seeds the Kaplan–Meier median is the earlier one
    best = min(steps, key=lambda number: steps[number][0])
    assert baseline.trial == next(t.settings for t in baseline.trials if t.number == best)
    assert [o.seed for o in baseline.outcomes] == list(track.score_seeds("reduced"))
    assert baseline.tuning.models == 4
    assert baseline.tuning.steps == sum(o.trained for t in baseline.trials for o in t.outcomes)


def test_a_score_is_what_the_run_says(measured: tuple[Board, Path], track: Track) -> None:
    board, home = measured
    score = next(score for score in board.scores if score.name == "adamw-tuned")
    (path,) = home.glob("leaderboard-tiny-adamw-tuned-score-*")
    kept = Run(path)
    assert [o.grokked for o in score.outcomes] == [m.grokked_step for m in kept.status.members]
    grokked = [o.grokked for o in score.outcomes if o.grokked is not None]
    assert len(grokked) > 5
    assert score.survival.median is not None
    if len(grokked) == 10:
        assert score.survival.median == sorted(grokked)[4]
        assert score.survival.median <= statistics.median(grokked)
    experiment = score.entry.experiment(track, "reduced", score.trial)
    n_train = round(0.65 * 23**2)
    flops = step_flops(experiment, build_task(experiment), n_train)
    assert score.flop_to_grok == pytest.approx(score.survival.median * flops, rel=0.01)
    curves = kept.curves(0)
    first = score.outcomes[0]
    assert first.grokked is not None
    watched = (curves["step"] >= first.grokked) & (curves["step"] <= first.grokked + 20)
    assert first.lowest == pytest.approx(curves["test_accuracy"][watched].min())
    reached = curves["step"][curves["test_accuracy"] >= 0.9]
    assert first.others["first_90"] == reached[0]


def test_slices_and_crashes_lead_to_the_same_results(measured: tuple[Board, Path]) -> None:
    board, _ = measured

    def crash(step: Any) -> None:
        if step.training is not None and step.training.step >= 50:
            raise ZeroDivisionError  # nothing of this chunk is saved, as when the process is killed

    with pytest.raises(ZeroDivisionError):
        run("tiny", only=["adamw"], view=crash)
    partial = run("tiny", only=["adamw"], view=None, minutes=1e-4)
    assert not partial.scores  # one chunk of a training, which is saved
    complete = run("tiny", only=["adamw"], view=None)
    assert complete.complete
    known = steps_of(board)
    for name, (trial, outcomes, _) in steps_of(complete).items():
        assert [trial, outcomes] == known[name][:2]
    assert seconds_ahead("tiny", only=["adamw"]) == 0


def test_what_another_process_trains_is_left_to_it(home: Path, measured: tuple[Board, Path]) -> None:
    _, done = measured
    records, ledger = Ledger("tiny", done).records(), Ledger("tiny")
    (name,) = [path.name for path in done.glob("leaderboard-tiny-adamw-tuned-tuning-*")]
    untuned = next(s for s in results("tiny", only=["adamw"], home=done).scores if s.name == "adamw").digests[0]
    ledger.add(untuned, records[untuned].model_dump())
    waited: list[str] = []
    lock = locks.Lock(home / name)
    lock.take()
    try:
        board = run("tiny", only=["adamw"], minutes=0.01, view=lambda step: waited.append(step.text))
    finally:
        lock.release()
    assert [score.name for score in board.scores] == ["adamw"]
    assert waited == ["waiting for another process, which measures the rest"]


def test_records_of_two_processes_add_up(home: Path, measured: tuple[Board, Path]) -> None:
    _, done = measured
    records = Ledger("tiny", done).records()
    first, second = list(records)[:2]
    mine = Ledger("tiny")
    mine.add(first, records[first].model_dump())
    Ledger("tiny").add(second, records[second].model_dump())
    mine.add(first, {**records[first].model_dump(), "seconds": 1e6})
    assert mine.records()[first].seconds == records[first].seconds
    assert set(mine.records()) == {first, second}
    mine.path.write_text("{", "utf-8")
    with pytest.warns(UserWarning, match="set aside"):
        assert mine.records() == {}


def test_moved_rules_are_measured_again(measured: tuple[Board, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, home = measured
    assert results("tiny", only=["adamw"], home=home).complete
    with monkeypatch.context() as patch:
        patch.setattr(_question, "RULES", _question.RULES + 1)
        assert results("tiny", only=["adamw"], home=home).waiting == ("adamw-tuned", "adamw")
    with monkeypatch.context() as patch:
        scale = replace(TRACKS["tiny"].scale("reduced"), steps=251)
        patch.setitem(TRACKS, "tiny", replace(TRACKS["tiny"], sizes={**TRACKS["tiny"].sizes, "reduced": scale}))
        assert results("tiny", only=["adamw"], home=home).waiting == ("adamw-tuned", "adamw")
    assert results("tiny", only=["adamw"], home=home).complete


def test_a_weak_network_counts(home: Path, tmp_path: Path, measured: tuple[Board, Path]) -> None:
    (tmp_path / "weak.yaml").write_text(
        "weak: {budget.steps: 40, optimiser.weight_decay: 0}\nstart: {take: [embedding]}\n", "utf-8"
    )
    _, done = measured
    # the baseline is measured already
    for digest, record in Ledger("tiny", done).records().items():
        Ledger("tiny").add(digest, record.model_dump())
    board = run("tiny", only=["adamw"], own=[tmp_path / "weak.yaml"], view=None)
    score = next(score for score in board.scores if score.name == "weak")
    (path,) = home.glob("leaderboard-tiny-weak-score-*")
    own = [m.grokked_step for m in Run(path).status.members]
    budget = board.scale.steps
    assert [o.grokked for o in score.outcomes] == [None if g is None or g + 40 > budget else g + 40 for g in own]
    assert all(o.weak_steps == 40 for o in score.outcomes)
    (first,) = home.glob("leaderboard-tiny-weak-weak-*")
    weights, start = Run(first).weights(member=3), Run(path).recorded[3].start
    assert (start.run, start.member) == (first.name, 3)
    assert "embed.0.W" in weights
    if score.survival.median is not None:
        assert score.flop_to_grok == pytest.approx(score.survival.median * score.record.flops_per_step)


def test_a_board_is_published_and_read_again(measured: tuple[Board, Path], tmp_path: Path) -> None:
    board, _ = measured
    path = save(board, tmp_path)
    content = load(path)
    assert content["track"] == "tiny"
    reduced = content["sizes"]["reduced"]
    assert reduced == json.loads(json.dumps(board.to_dict()))
    assert {"date", "hardware", "groklab", "versions", "python", "rules", "command", "seeds"} <= set(reduced)
    assert reduced["seeds"] == {"tuning": [100, 101], "score": list(range(1000, 1010))}
    assert all(entry["digests"] and entry["date"] and entry["hardware"] for entry in reduced["entries"])
    # the other size stays, unless its rules have moved
    other = {**content, "sizes": {"full": {**reduced, "size": "full"}}}
    path.write_text(json.dumps(other), "utf-8")
    save(board, tmp_path)
    assert set(load(path)["sizes"]) == {"reduced", "full"}
    other["sizes"]["full"]["rules"] = 0
    path.write_text(json.dumps(other), "utf-8")
    save(board, tmp_path)
    assert set(load(path)["sizes"]) == {"reduced"}
    with pytest.raises(InputError, match="nothing is scored yet"):
        save(replace(board, scores=()), tmp_path)
