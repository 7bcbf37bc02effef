"""Entries: what they may set, how they are refused, and that all have the same budget of trials."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from groklab.errors import InputError
from groklab.leaderboard import BASELINE, SIZES, TRACKS, Entry, Track, entries, entries_of, read_entry


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


def test_each_file_of_the_folder_is_an_entry() -> None:
    folder = resources.files("groklab.leaderboard") / "entries"
    assert set(entries()) == {Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml")}
    assert next(iter(entries())) == BASELINE
    assert all(entry.about and entry.source.startswith("https://") for entry in entries().values())


@pytest.mark.parametrize("name", [name for name in TRACKS if name != "tiny"])
def test_every_tuned_entry_has_the_same_number_of_trials(name: str) -> None:
    track = TRACKS[name]
    for size in SIZES:
        assert track.tuning_seeds(size)
        assert not {*track.tuning_seeds(size)} & {*track.score_seeds(size)}
        for entry in entries_of(track):
            entry.check(track, size)
            trials = entry.trials(track, size)
            if not entry.tuning:
                assert trials == []
                continue
            identities = [entry.experiment(track, size, trial).identity for trial in trials]
            assert trials[0] == {}
            assert len(set(identities)) == len(identities) == track.scale(size).trials
            assert trials == entry.trials(track, size)


def test_a_small_grid_is_tried_in_full(track: Track) -> None:
    entry = Entry("one", tuning={"optimiser.b2": (0.98, 0.9)})  # the first is the entry's own
    assert entry.trials(track, "full") == [{}, {"optimiser.b2": 0.9}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("task: {p: 29}", "task.p = 29: is fixed by the track at 23; an entry may set optimiser"),
        ("split: {frac_train: 0.9}", "split.frac_train = 0.9: is fixed by the track at 0.65"),
        ("split: {seed: 1}", "split.seed = 1: is fixed by the track"),
        ("network: {d_mlp: 512}", "network.d_mlp = 512: is fixed by the track at 128"),
        ("budget: {steps: 99}", "budget.steps = 99: is fixed by the track at 250"),
        ("evaluation: {every: 1}", "evaluation.every = 1: is fixed by the track at 5"),
        ("evaluation: {criterion: first_90}", "evaluation.criterion = 'first_90': is fixed by the track"),
        ("interventions: [{kind: freeze}]", "interventions = "),
        ("seed: 3", "seed = 3: is fixed by the track"),
        ("dtype: float64", "dtype = 'float64': is fixed by the track"),
        ("learner: {kind: rfm}", "learner.kind = 'rfm': is fixed by the track"),
        ("start: {file: known.npz}", "start.file = 'known.npz': has a cost that nobody counts; `weak`"),
        ("tuning: {task.p: [23, 29]}", "tuning.task.p: the track tiny fixes it"),
        ("tuning: {optimiser.b2: 0.9}", "tuning.optimiser.b2 = 0.9: needs to be a list"),
        ("tuning: {optimiser.b2: []}", "tuning.optimiser.b2 = []: needs to be a list"),
        ("tuning: {optimiser.b2: [2]}", "optimiser.b2 = 2: needs to be less than 1"),
        ("tuning: {optimiser.beta2: [0.9]}", "optimiser.beta2: unknown setting"),
        ("optimizer: {kind: lion}", "optimizer.kind = 'lion': is fixed by the track"),
        ("tracks: [makro]", "tracks = 'makro'"),
        ("tracks: [addition]", "mine: is for addition, not for the track tiny"),
        ("weak: {budget.steps: 900}", "weak.budget.steps = 900: needs a number of steps above 0 and below"),
        ("weak: {budget.steps: 50, task.p: 29}", "weak.task.p: the track tiny fixes it"),
        ("preset: micro-relu", "preset micro-relu: task.p is 31, and 23 on the track tiny"),
    ],
)
def test_what_the_track_fixes_is_refused_in_one_sentence(text: str, says: str, track: Track, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        read_entry(written(tmp_path, text), track).check(track, "reduced")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_repeats_the_track_is_no_change(track: Track, tmp_path: Path) -> None:
    entry = read_entry(written(tmp_path, "{task: {p: 23, expression: x+y}, optimiser: {kind: lion}}"), track)
    entry.check(track, "reduced")
    made, base = entry.experiment(track, "reduced"), track.experiment("reduced")
    assert made.optimiser.kind == "lion"
    assert (made.task, made.split, made.network, made.budget) == (base.task, base.split, base.network, base.budget)


def test_a_preset_is_an_entry_on_its_own_track() -> None:
    track = TRACKS["micro"]
    entry = read_entry("micro-fast", track)
    assert entry.experiment(track, "full").optimiser.learning_rate == 0.01
    assert entry.experiment(track, "full").budget.steps == track.scale("full").steps
    with pytest.raises(InputError, match="preset nanda2023: "):
        read_entry("nanda2023", track)


def test_numbers_may_be_written_as_texts(track: Track, tmp_path: Path) -> None:
    entry = read_entry(written(tmp_path, "tuning: {optimiser.learning_rate: [1e-3, 3.0e-4]}"), track)
    assert entry.tuning == {"optimiser.learning_rate": (1e-3, 3e-4)}
