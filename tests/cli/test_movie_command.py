"""`groklab movie`: the circuit as it forms, small enough for a talk."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from corpus import Corpus
from groklab.cli import main
from groklab.errors import InputError
from groklab.figures import _theme as theme
from groklab.figures import check_film, embedding_spectrum, film
from groklab.figures._paper import movie as module

COMMAND = "movie"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEIGHT", 200)


def spectrum(steps: int = 4) -> Any:
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "step": np.repeat(np.arange(steps) * 10, 5),
            "frequency": np.tile(np.arange(1, 6), steps),
            "share": random.uniform(size=5 * steps),
        }
    )
    return embedding_spectrum(frame)


def pictures(path: Path) -> list[tuple[Image.Image, float]]:
    with Image.open(path) as file:
        shown = []
        for i in range(getattr(file, "n_frames", 1)):
            file.seek(i)
            shown.append((file.convert("RGB"), file.info["duration"] / 1000))
        return shown


def test_a_movie_of_a_run_shows_its_checkpoints(program: Any, corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    out, _ = program(run.name, "--figure", "readout,spectrum", "--json")
    path = Path(json.loads(out)["movie"])
    assert path == run.path / "readout-spectrum.gif"
    assert path.stat().st_size == json.loads(out)["bytes"] < 5_000_000
    shown = pictures(path)
    assert len(shown) > 5
    assert sum(seconds for _, seconds in shown) <= 10.01
    assert len({picture.size for picture, _ in shown}) == 1
    # it is on white, and it moves
    assert shown[0][0].getpixel((0, 199)) == (255, 255, 255)
    assert all(a.tobytes() != b.tobytes() for (a, _), (b, _) in itertools.pairwise(shown))


def test_panels_stay_where_they_are() -> None:
    figure = spectrum()
    shown = [np.asarray(picture) for picture in module._pictures([figure], module.common_steps([figure]))]
    dark = [np.argwhere((picture[40:] < 160).all(axis=2)) for picture in shown]
    # what is drawn in each picture has the same left and lower end
    assert len({(int(d[:, 1].min()), int(d[:, 0].max())) for d in dark}) == 1


def test_a_movie_gets_smaller_until_it_fits(tmp_path: Path) -> None:
    large = film([spectrum()], tmp_path / "large.gif")
    most = large.stat().st_size * 9 // 10
    fitting = film([spectrum()], tmp_path / "small.gif", most_bytes=most)
    assert fitting.stat().st_size <= most
    assert pictures(fitting)[0][0].width < pictures(large)[0][0].width
    with pytest.raises(InputError, match="--megabytes"):
        film([spectrum()], tmp_path / "none.gif", most_bytes=10)
    assert not (tmp_path / "none.gif").exists()


def test_few_checkpoints_make_a_short_movie(tmp_path: Path) -> None:
    times = [seconds for _, seconds in pictures(film([spectrum(2)], tmp_path / "a.gif", seconds=4))]
    assert times == pytest.approx([0.5, 0.8])


def test_an_mp4_is_made_by_ffmpeg(tmp_path: Path) -> None:
    content = film([spectrum(3)], tmp_path / "a.mp4", seconds=1).read_bytes()
    assert content[4:8] == b"ftyp"


def test_without_ffmpeg_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, program: Any, corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if "imageio" in name else object())
    _, err = program(run.name, "--format", "mp4", code=2)
    assert err.endswith(f"groklab: {module.NO_FFMPEG}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--figure", "curves"], "a movie needs at least two checkpoints, and this figure has none"),
        (["--figure", "circels"], "did you mean circles?"),
        (["--figure", ","], "--figure = ',': needs the name of a figure"),
        (["--format", "avi"], "--format = 'avi': unknown"),
        (["--out", "a.webm"], "--format = 'webm': unknown"),
        (["--megabytes", "0"], "--megabytes = 0.0: needs to be above 0"),
        (["--seconds", "0"], "--seconds = 0.0: needs to be from 0.5 to 600"),
    ],
)
def test_what_cannot_be_filmed_is_one_sentence(
    program: Any, corpus: Corpus, arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, err = program(corpus.copy("mlp").name, *arguments, code=2)
    assert words in err


@pytest.mark.parametrize(
    "command",
    [["figures", "--out", "FILE/folder"], ["movie", "--out", "FILE/circles.gif"], ["report", "--out", "FILE/a.html"]],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_drawn(
    command: list[str],
    corpus: Corpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("groklab.figures.RunContext.read", lambda *_, **__: pytest.fail("a figure was prepared"))
    name, option, out = command
    out = out.replace("FILE", str(tmp_path / "file"))
    monkeypatch.setattr(sys, "argv", ["groklab", name, corpus.copy("mlp").name, option, out])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_figures_of_other_checkpoints_have_no_movie_together() -> None:
    one, two = spectrum(2), theme.styled([], {}, [{"name": "7", "data": []}])
    with pytest.raises(InputError, match="these figures have together none"):
        module.common_steps([one, two])


def test_a_format_is_checked_before_anything_is_drawn() -> None:
    with pytest.raises(InputError, match="format = 'webm': unknown"):
        check_film("webm")
