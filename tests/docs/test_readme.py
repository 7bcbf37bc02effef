"""The commands and Python blocks of README.md, run in order in a folder of their own.

`make demo` is checked by what it runs: the command of the Makefile's target `demo`. Sizes are those of reduced.py and
SMALLER.
`make test` and `make bench` are not run (the one would call itself, the other takes a quarter of an hour), nor are
the installations, which need a network; `make bare` checks those.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from fenced import ROOT, SMALLER_TUTORIAL, Reader

import groklab as gl

SKIP = {
    "make test": "would call itself",
    "make bench": "takes a quarter of an hour",
    "pip install": "needs a network; `make bare` installs",
}
SMALLER = {
    **SMALLER_TUTORIAL,
    "groklab train examples/subtraction.yaml": "groklab train examples/subtraction.yaml budget.steps=320",
    "groklab sweep micro-fast --grid optimiser.weight_decay=0,1,4 --grid split.frac_train=0.4,0.7 --seeds 2"
    " --name first-map": (
        "groklab sweep micro-fast --grid optimiser.weight_decay=0,1 --grid split.frac_train=0.5,0.65 --seeds 2"
        " --name first-map budget.steps=200"
    ),
}


def demo_command() -> str:
    """What the Makefile's target `demo` runs."""
    recipe = re.search(r"^demo:[^\n]*\n\t\$\(BIN\)/(groklab [^\n]*)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert recipe is not None
    return recipe.group(1)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", folder / "examples")
    return Reader(folder, SKIP, {"make demo": demo_command()}, SMALLER)


def test_every_command_and_block_of_the_readme_runs(reader: Reader) -> None:
    reader.follow(ROOT / "README.md")

    assert reader.skipped == set(SKIP) - {"make bench"}  # named in the text only
    assert "report:" in reader.printed["make demo"]
    runs = {run.name.rsplit("-", 1)[0]: run for run in gl.runs()}
    assert runs["first"].summary()["grokked_step"] > 3 * runs["first"].summary()["memorised_step"]
    assert runs["first"].tags == ["baseline"]
    assert (runs["first"].path / "report.html").is_file()
    assert all(runs["decay-1-x3"].summary()["grokked_step"])
    assert runs["subtraction"].summary()["memorised_step"] is not None  # that it groks, tests/examples says
    assert runs["larger"].summary()["memorised_step"] is not None
    assert "short" not in runs
    assert reader.namespace["run"].summary()["grokked_step"] is not None


def test_a_resumed_run_ends_in_the_same_bits(reader: Reader) -> None:
    whole = gl.train(gl.preset("micro", {"name": "whole", "budget.steps": 400}))
    short = gl.train(gl.preset("micro", {"name": "short", "budget.steps": 200}))
    longer = gl.resume(short, {"budget.steps": 400})
    assert longer.summary()["weights_sha256"] == whole.summary()["weights_sha256"]


def test_figures_of_speed_are_the_committed_ones() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    kept = json.loads(max((ROOT / "benchmarks" / "results").glob("*-all.json")).read_text("utf-8"))
    found, micro = kept["transformer"], kept["micro"]
    assert kept["date"] in text
    for peer in ("textbook PyTorch + test each step", "TransformerLens, demo loop (tests each step)", "textbook JAX"):
        assert f"{found['speedup'][peer]:.1f} times" in text, peer
    assert f"{found['speedup']['textbook PyTorch']:.1f} times" in text
    for which in ("median", "best"):
        assert f"{found['share_of_floor'][which]:.0%}" in text
    assert f"{round(micro['steps_per_second']['1 members'], -1):,.0f} steps" in text


def test_the_picture_is_small_enough_to_load() -> None:
    assert 0 < (ROOT / "docs" / "assets" / "demo.png").stat().st_size < 300_000


def test_links_of_the_readme_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "VISION.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text("utf-8")):
            assert (ROOT / target).exists(), f"{name}: {target}"
