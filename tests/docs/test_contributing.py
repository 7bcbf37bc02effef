"""The recipes of CONTRIBUTING.md: each block written to its file, each command run, each result looked at.

Sizes are those of reduced.py and SMALLER.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from fenced import ROOT, Reader, blocks

import groklab as gl
from groklab.figures._registry import FIGURES
from groklab.registry import FAMILIES
from groklab.reproduction import PAPERS, results
from reduced import SMALL

PAGE = ROOT / "CONTRIBUTING.md"
#: It groks at step 190; the control keeps its 400 steps.
SMALLER = {"groklab train perpendicular.yaml --seeds 3": "groklab train perpendicular.yaml --seeds 2 budget.steps=260"}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "reader"
    folder.mkdir()
    before = {family: dict(kinds) for family, kinds in FAMILIES.items()}
    measures, papers, figures = dict(gl.MEASURES), dict(PAPERS), dict(FIGURES)
    yield Reader(folder, smaller=SMALLER, seeds=2)
    # what a recipe registers ends with its test
    for family, kinds in before.items():
        FAMILIES[family].clear()
        FAMILIES[family].update(kinds)
    gl.MEASURES.clear()
    gl.MEASURES.update(measures)
    FIGURES.clear()
    FIGURES.update(figures)
    PAPERS.clear()
    PAPERS.update(papers)


def kept() -> dict[str, gl.Run]:
    return {run.name.rsplit("-", 1)[0]: run for run in gl.runs()}


def test_recipes_are_short_and_each_is_tested_here() -> None:
    files = [b for b in blocks(PAGE) if b.title and b.language == "python"]
    assert [b.title for b in files] == [
        "my_task.py",
        "my_network.py",
        "my_optimiser.py",
        "my_filter.py",
        "my_measure.py",
        "my_figure.py",
        "my_claims.py",
    ]
    for block in files:
        lines = [line for line in block.text.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(lines) <= 16, block.title


def test_the_task_is_the_larger_of_two_and_is_memorised(reader: Reader) -> None:
    reader.follow(PAGE, "### A task")
    run = kept()["my-task"]
    assert run.summary()["memorised_step"] is not None
    task = run.experiment.task.build()
    assert task.n_inputs == 23 * 23
    assert (task.targets == task.inputs.max(1)).all()


def test_the_network_memorises(reader: Reader) -> None:
    reader.follow(PAGE, "### A network")
    run = kept()["my-network"]
    assert run.summary()["memorised_step"] is not None
    assert run.weights()["embed.W_E"].shape == (23, 64)


def test_the_optimiser_groks_without_decay_where_adamw_does_not(reader: Reader) -> None:
    reader.follow(PAGE, "### An optimiser")
    across, plain = kept()["perpendicular-x2"].summary(), kept()["plain-x2"].summary()
    assert all(step is not None for step in across["grokked_step"])
    assert all(step is not None for step in plain["memorised_step"])
    assert max(plain["test_accuracy"]) < 0.5

    made = FAMILIES["optimiser"]["perpendicular"](learning_rate=0.1)
    weights = {"w": jnp.array([3.0, 4.0], jnp.float32)}
    moved, _ = made.update({"w": weights["w"]}, made.init(weights), weights, jnp.int32(0))
    assert jnp.allclose(moved["w"], weights["w"], atol=1e-6)  # nothing of a gradient along the weight is left


def test_the_filter_takes_the_slow_part_away(reader: Reader) -> None:
    reader.follow(PAGE, "### A gradient filter")
    high, low = (kept()[name] for name in ("high-pass", "low-pass"))
    assert high.experiment.optimiser.filter.alpha == 0.9
    assert high.experiment.plugins
    assert {run.summary()["memorised_step"] for run in (high, low)} != {None}
    assert high.summary()["weights_sha256"] != low.summary()["weights_sha256"]
    made = FAMILIES["gradient_filter"]["high_pass"](alpha=0.75)
    one = {"w": jnp.ones(2)}
    state = made.init(one)
    for expected in (0.75, 0.75**2, 0.75**3):  # nothing of a constant gradient is left
        left, state = made.apply(one, state, one)
        assert jnp.allclose(left["w"], expected)


def test_the_measure_gives_the_right_number(reader: Reader) -> None:
    reader.follow(PAGE, "### A measure")
    task = gl.preset("micro").task.build()
    weights = {"identity": np.eye(5), "outer": np.outer([1.0, 2.0], [3.0, 4.0, 5.0])}
    found = gl.MEASURES["effective_rank"](weights, task)
    assert found["identity"] == pytest.approx(5)
    assert found["outer"] == pytest.approx(1)
    frame = reader.namespace["frame"]
    assert (frame["step"][0], frame["step"][-1]) == (0, SMALL["micro"]["budget.steps"])
    assert 10 < frame["embed.0.W"][-1] <= 23


def test_the_figure_is_on_the_page_where_it_says(reader: Reader) -> None:
    reader.follow(PAGE, "### A figure")
    page = (kept()["my-figure"].path / "report.html").read_text("utf-8")
    titles = re.findall(r"<h3[^>]*>(.*?)</h3>", page)
    place = titles.index("Sizes of the weights")
    assert titles[place - 1] == "Norms of weights and gradient"
    assert re.search(r"Half of the [0-9,]+ weights are below 0\.[0-9]+ in size\.", page)
    assert 'id="weight_sizes-spec"' in page


def test_the_claim_is_reproduced_by_its_plug_in(reader: Reader) -> None:
    reader.follow(PAGE, "### A paper's claims")
    (claim,) = results("mine").claims
    assert claim.verdict == "reproduced"
    assert len(claim.records) == 2
    assert "1 reproduced" in reader.printed["groklab reproduce mine --plugin my_claims.py"]
