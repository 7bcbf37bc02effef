"""Measures on line: at their own cadence, without a trace in the weights, whole after a stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from polars.testing import assert_frame_equal

import groklab as gl
from groklab.analysis import take

FAST = {
    "task.p": 11,
    "network.d_mlp": 32,
    "budget.steps": 600,
    "checkpoints.spacing": "linear",
    "checkpoints.every": 200,
}
ASKED = {
    "measures.names": ["progress", "embedding_spectrum", "trigonometric_fit"],
    "measures.every": 100,
    "measures.frequencies": [1, 3],
}


def trained(**changes):
    return gl.train(gl.preset("micro", {**FAST, **changes}), again=True)


def test_weights_and_identity_do_not_depend_on_what_is_measured() -> None:
    plain, measured = trained(), trained(**ASKED)
    assert plain.summary()["weights_sha256"] == measured.summary()["weights_sha256"]
    assert plain.identities == measured.identities
    assert plain.measured is None
    assert measured.measured["step"].to_list() == list(range(0, 601, 100))


def test_on_line_is_what_the_checkpoints_give() -> None:
    run = trained(**ASKED)
    after = take(run, "progress", frequencies=(1, 3))
    on_line = run.measured.filter(run.measured["step"].is_in(after["step"].to_list()))
    assert len(on_line) == len(after) == 4
    for name in ("restricted_loss", "excluded_loss", "logit_fve", "gini_W_E"):
        np.testing.assert_allclose(on_line[f"progress.{name}"], after[name], rtol=1e-9)
    assert len(on_line["trigonometric_fit.alpha"][0]) == 5


@pytest.mark.usefixtures("one_lane")
def test_members_are_measured_each_on_its_own() -> None:
    experiment = gl.preset("micro", {**FAST, **ASKED})
    run = gl.train(experiment, seeds=3)
    alone = gl.train(gl.preset("micro", {**FAST, **ASKED, "seed": 2}))
    together = run.measured.filter(run.measured["member"] == 2)
    for name in ("restricted_loss", "excluded_loss"):
        # members of an ensemble round otherwise than alone
        np.testing.assert_allclose(together[f"progress.{name}"][:2], alone.measured[f"progress.{name}"][:2], rtol=1e-3)


def test_a_stopped_run_goes_on_to_the_same_table() -> None:
    whole = trained(**ASKED)
    short = trained(**ASKED, **{"budget.steps": 250, "name": "short"})
    found = gl.resume(short, {"budget.steps": 600})
    assert_frame_equal(found.measured, whole.measured)


def test_a_damaged_table_costs_what_was_measured_and_no_more() -> None:
    run = trained(**ASKED, **{"budget.steps": 300})
    path = Path(run.path) / "measures.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(gl.DamagedError, match="damaged"):
        _ = run.measured
    with pytest.warns(UserWarning, match="is lost"):
        found = gl.resume(run, {"budget.steps": 600})
    assert found.measured["step"].to_list() == [300, 400, 500, 600]


def test_cadence_is_rounded_up_to_evaluations() -> None:
    run = trained(**{**ASKED, "measures.every": 95, "budget.steps": 200})
    assert run.measured["step"].to_list() == [0, 100, 200]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"measures.names": ["nothing"]}, "measures.names = 'nothing': unknown; allowed: "),
        ({"measures.names": ["neurons"]}, "cannot run online"),
        ({"measures.names": ["progress"]}, "needs measures.frequencies online"),
        ({**ASKED, "measures.frequencies": [9]}, "integers from 1 to 5"),
        ({**ASKED, "task.expression": "x*y"}, "a function of a+b or a−b"),
        ({"measures.names": ["progress"], "measures.frequencies": [0]}, "measures.frequencies"),
    ],
)
def test_refusals_before_anything_is_made(changes, says: str, home: Path) -> None:
    with pytest.raises(gl.InputError) as caught:
        gl.train(gl.preset("micro", {**FAST, **changes}))
    assert says in str(caught.value)
    assert not home.exists() or not [p for p in home.iterdir() if p.is_dir()]
