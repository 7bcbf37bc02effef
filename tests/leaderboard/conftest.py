"""A track that trains in a second, measured once for all tests that only look."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groklab.cli import main
from groklab.leaderboard import TRACKS, Board, Scale, Track, _question, run

#: `micro` at settings that grok at step 80 to 150; two trials, two seeds of tuning, ten of the score.
SETTINGS = {
    **TRACKS["micro"].settings,
    "optimiser.learning_rate": 0.03,
    "optimiser.weight_decay": 2.0,
    "optimiser.b2": 0.98,
}
TINY = Track(
    name="tiny",
    title="x + y mod 23",
    source="the tests",
    settings=SETTINGS,
    every=5,
    sizes={
        "reduced": Scale(steps=250, stay=20, trials=2, tuning_seeds=2, why="small"),
        "full": Scale(steps=500, stay=20, trials=3, tuning_seeds=2),
    },
)
#: The baseline under another name: the control, which nothing may tell from it.
TWIN = """
about: the baseline again
tuning:
  optimiser.learning_rate: [3.0e-4, 1.0e-3, 3.0e-3, 0.01, 0.03]
  optimiser.weight_decay: [0.1, 0.3, 1.0, 2.0, 4.0]
  optimiser.b2: [0.9, 0.98, 0.999]
"""
#: Slow on purpose: a tenth of the rate, without decay.
SLOW = """
optimiser: {learning_rate: 0.003, weight_decay: 0}
"""


@pytest.fixture(scope="session")
def tiny_track() -> Iterator[Track]:
    """The track, known for the session, whose models are timed for an instant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRACKS, "tiny", TINY)
        patch.setattr(_question, "TIMED", 0.01)
        yield TINY


@pytest.fixture(autouse=True)
def track(tiny_track: Track) -> Track:
    """The track of every test here."""
    return tiny_track


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of entries by name."""
    folder = tmp_path_factory.mktemp("entries")
    made = {}
    for name, text in {"twin": TWIN, "slow": SLOW}.items():
        made[name] = folder / f"{name}.yaml"
        made[name].write_text(text, "utf-8")
    return made


@pytest.fixture(scope="session")
def measured(tiny_track: Track, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Board, Path]:
    """The leaderboard of the baseline, its twin and a slow entry, and the folder of its runs."""
    home = tmp_path_factory.mktemp("leaderboard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROKLAB_HOME", str(home))
        board = run("tiny", only=["adamw"], own=[files["twin"], files["slow"]], view=None, home=home)
    return board, home


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line: its exit code, and what it prints."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    return call
