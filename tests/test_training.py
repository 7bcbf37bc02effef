from __future__ import annotations

import pytest

import groklab as gl


def test_another_criterion_judges_a_finished_run_again() -> None:
    first = gl.train(gl.preset("micro", {"evaluation.criterion": "first_95", "budget.steps": 1600}))
    weights = first.summary()["weights_sha256"]
    early = first.summary()["grokked_step"]
    again = gl.train(gl.preset("micro", {"budget.steps": 1600}))
    assert again.path == first.path
    found = again.summary()
    assert found["criterion"] == "sustained_99"
    assert found["grokked_step"] > early
    assert found["weights_sha256"] == weights
    back = gl.train(gl.preset("micro", {"evaluation.criterion": "first_95", "budget.steps": 1600})).summary()
    assert (back["grokked_step"], back["criterion"]) == (early, "first_95")


def test_another_cadence_of_a_finished_run_is_said() -> None:
    gl.train(gl.preset("micro", {"budget.steps": 20}))
    with pytest.warns(UserWarning, match="every 10 steps; --again"):
        gl.train(gl.preset("micro", {"budget.steps": 20, "evaluation.every": 5}))


def test_runs_that_differ_in_their_seeds_are_pooled() -> None:
    changes = {"budget.steps": 450}
    runs = [gl.train(gl.preset("micro-fast", {**changes, "seed": s})) for s in (0, 1, 2)]
    other = gl.train(gl.preset("micro-fast", {**changes, "optimiser.weight_decay": 0.5}))
    found = gl.compare([*runs, other])
    assert len(found["pooled"]) == 1
    assert found["pooled"][0]["runs"] == [r.name for r in runs]
    grokked = [r.summary()["grokked_step"] for r in runs]
    assert found["pooled"][0]["grokking"]["n"] == 3
    assert found["pooled"][0]["grokking"]["n_grokked"] == sum(g is not None for g in grokked)


def test_a_group_that_matches_no_weight_is_refused() -> None:
    with pytest.raises(gl.InputError, match=r"optimiser\.groups\.out\*.*unembed\.W_U"):
        gl.train(gl.preset("micro", {"optimiser.groups": {"out*": {"frozen": True}}}))


def test_wrong_things_from_python_are_one_sentence(home: object) -> None:
    with pytest.raises(gl.InputError, match="no experiment"):
        gl.train("micro")  # type: ignore[arg-type]
    with pytest.raises(gl.InputError, match="list of runs"):
        gl.compare("micro")
    with pytest.raises(gl.InputError, match="MEASURES"):
        gl.take({}, "weight_norms")  # type: ignore[arg-type]
