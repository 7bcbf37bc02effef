"""`measure`: nested measures in tables, and mixtures operation by operation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import MIXTURE, Corpus
from groklab.errors import InputError
from groklab.measures._registry import cell

COMMAND = "measure"


@pytest.fixture
def alone(corpus: Corpus) -> gl.Run:
    """A transformer of the mixture's size on one operation, in the test's home."""
    sizes = {k: v for k, v in MIXTURE.items() if not k.startswith("task.")}
    settings = {"name": "alone", "task.p": 7, "checkpoints.spacing": "linear", "checkpoints.every": 10}
    return corpus.copy(corpus.train(gl.read({}, {**sizes, **settings, "budget.steps": 20})))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def rows(printed: str) -> list[list[str]]:
    """The words of each printed line."""
    return [line.split() for line in printed.splitlines()]


def test_the_parts_of_the_logits_are_printed_as_a_table(program: Any, alone: gl.Run) -> None:
    out, _ = program("alone", "--measure", "logit_parts")
    found = gl.take(alone, "logit_parts").row(-1, named=True)
    place = found["parts"].index("key_residual")
    losses = [cell(found[name][0][place]) for name in ("train_loss", "test_loss")]
    assert ["key", "frequencies", "and", "residual", *losses] in rows(out)
    assert f"step {alone.checkpoints[-1]}" in out
    keys = [str(i + 1) for i, is_key in enumerate(found["is_key"][0]) if is_key]
    assert f"{', '.join(keys)} " in out
    assert " rows" not in out
    assert " names" not in out


def test_one_checkpoint_can_be_asked_for(program: Any, alone: gl.Run) -> None:
    first = gl.take(alone, "logits_2d", steps=[0]).row(0, named=True)
    out, _ = program("alone", "--measure", "logits_2d", "--step", "0")
    a, b = first["largest"][0].split(" · ")
    power = float(np.sum(np.square(first["norm"])))
    share = f"{first['largest_norm'][0] ** 2 / power:.1%}"
    assert [*a.split(), "·", *b.split(), cell(first["largest_norm"][0]), share] in rows(out)
    out, _ = program("alone", "--measure", "logits_2d", "--step", "10", "--json")
    assert json.loads(out)["step"] == [10]
    # numbers by name have no table, and one column
    out, _ = program("alone", "--measure", "fourier_sparsity", "--step", "10")
    assert ["step", "10"] in rows(out)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            ("--step", "3", "--measure", "logits_2d"),
            "keeps no checkpoint of step 3 (the nearest is 0); kept: 0, 10, 20",
        ),
        (("--step", "10"), "needs --measure"),
        (("--measure", "eyes", "--step", "10"), "unknown; `groklab measures` lists them"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_one_sentence(
    program: Any, alone: gl.Run, asked: tuple[str, ...], says: str
) -> None:
    _, err = program("alone", *asked, code=2)
    assert says in err
    assert "Traceback" not in err


def test_a_mixture_has_a_table_for_each_operation(program: Any, corpus: Corpus) -> None:
    run = corpus.copy("mixture")
    out, _ = program("mixed")
    found = gl.analyse(run).to_dict()
    assert f"key frequencies (furuta): {', '.join(map(str, found['key_frequencies']))}" in out
    assert f"(FFS {found['fourier_sparsity']['ffs_W_E']:.3f})" in out
    last = [row for row in rows(out) if row[:1] == ["40"]]
    for one, row in zip(found["operations"], last, strict=True):
        assert one["operation"] in out.splitlines()
        assert row[4:6] == [f"{one[name]:.3g}" for name in ("restricted_loss", "excluded_loss")]
    assert "x*y is not a function of a + b or a − b" in out
    assert "applies to" not in out
    out, _ = program("mixed", "--rule", "furuta", "--json")
    assert json.loads(out)["operations"] == found["operations"]
    out, _ = program("mixed", "--measure", "logit_parts")
    assert "Loss of the parts of the logits of x - y, by the rule furuta" in out
    _, err = program("mixed", "--measure", "neurons", code=2)
    assert "logit_parts, logits_2d and fourier_sparsity apply to a mixture" in err


def test_of_products_alone_none_is_measured(program: Any) -> None:
    products = ["x*y", "x*y + x", "x*y + y"]
    gl.train(gl.read({}, {**MIXTURE, "name": "products", "task.expressions": products, "budget.steps": 10}))
    out, _ = program("products")
    assert "to no operation of" in out
    assert "map W_L" in out


def test_a_run_without_checkpoints_is_refused(alone: gl.Run) -> None:
    for step in alone.checkpoints:
        next((alone.path / "checkpoints").glob(f"step_*{step:04d}.safetensors")).unlink()
    with pytest.raises(InputError, match=r"^alone-.* has no checkpoint to measure$"):
        gl.take(gl.Run(alone.path), "errors")
