from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import pytest

import groklab as gl
from corpus import Corpus
from killed import kills

#: Seed and number of members of runs that overlap.
MEMBERS = ((0, 3), (1, None), (7, None))


def test_another_criterion_judges_a_finished_run_again(corpus: Corpus) -> None:
    first = corpus.copy("mlp")
    before = first.summary()
    again = gl.train(gl.preset("micro-fast", {"evaluation.criterion": "first_95"}))
    assert again.path == first.path
    found = again.summary()
    assert found["criterion"] == "first_95"
    assert found["grokked_step"] < before["grokked_step"]
    assert found["weights_sha256"] == before["weights_sha256"]
    # and what is lost afterwards, too: each criterion starts to look at its own step
    curves = first.curves()
    assert found["lowest_since_grokked"] == min(curves["test_accuracy"][curves["step"] >= found["grokked_step"]])
    assert before["lowest_since_grokked"] > 0.99 > found["lowest_since_grokked"] > 0.9
    fitted = gl.train(gl.preset("micro-fast", {"evaluation.criterion": "tveit"})).summary()
    assert fitted["grokked_step"] >= found["grokked_step"] > fitted["memorised_step"]
    back = gl.train(gl.preset("micro-fast")).summary()
    assert (back["grokked_step"], back["criterion"]) == (before["grokked_step"], "sustained_99")


def test_another_criterion_that_is_killed_anywhere_is_completed_by_the_same_command(
    corpus: Corpus, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, asked = corpus.copy("mlp"), gl.preset("micro-fast", {"evaluation.criterion": "first_95"})
    known = {"sustained_99": old.summary()["grokked_step"]}
    undisturbed = contents(gl.train(asked).path)
    known["first_95"] = gl.Run(old.path).summary()["grokked_step"]
    shutil.rmtree(old.path)
    seen = set()
    corpus.copy("mlp")
    for _ in kills(monkeypatch, home, lambda: gl.train(asked)):
        result = gl.Run(old.path).summary()
        # a result is that of the criterion it names
        assert result["grokked_step"] == known[result["criterion"]]
        seen.add((result["criterion"], gl.Run(old.path).experiment.evaluation.criterion))
        gl.train(asked)
        assert contents(old.path) == undisturbed
        shutil.rmtree(old.path)
        corpus.copy("mlp")
    assert len(seen) == 3


def contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_of_a_run_follow_the_umask(home: Path) -> None:
    before = os.umask(0o027)
    try:
        gl.train(gl.preset("micro", {"budget.steps": 20}), tags=["mine"])
        assert len(gl.Collection().summaries()) == 1
    finally:
        os.umask(before)
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in home.rglob("*")}
    assert modes == {(True, 0o750), (False, 0o640)}


def test_another_cadence_of_a_finished_run_is_said() -> None:
    gl.train(gl.preset("micro", {"budget.steps": 20}))
    with pytest.warns(UserWarning, match="every 10 steps; --again"):
        gl.train(gl.preset("micro", {"budget.steps": 20, "evaluation.every": 5}))


def test_runs_that_differ_in_their_seeds_are_pooled() -> None:
    changes = {"budget.steps": 450}
    runs = [gl.train(gl.preset("micro-fast", {**changes, "seed": s})) for s in (0, 1, 2)]
    other = gl.train(gl.preset("micro-fast", {**changes, "optimiser.weight_decay": 0.5}))
    found = gl.compare([*runs, other]).statistics
    assert len(found["pooled"]) == 1
    assert found["pooled"][0]["runs"] == [r.name for r in runs]
    grokked = [r.summary()["grokked_step"] for r in runs]
    assert found["pooled"][0]["grokking"]["n"] == 3
    assert found["pooled"][0]["grokking"]["n_grokked"] == sum(g is not None for g in grokked)


def test_copies_of_a_run_are_one_sample(corpus: Corpus) -> None:
    first = corpus.copy("mlp")
    for name in ("copy", "another"):
        shutil.copytree(first.path, first.path.parent / name)
    alone = gl.compare([first.name, "copy", "another"]).statistics
    assert alone["pooled"] == []
    assert alone["copies"] == {first.name: ["copy", "another"]}
    # an ensemble and one of its members, with another seed beside them
    three, one, other = (corpus.train(gl.preset("micro-fast", {"budget.steps": 450, "seed": s}), n) for s, n in MEMBERS)
    found = gl.compare([three, one, other]).statistics
    assert found["copies"] == {three.name: [one.name]}
    assert found["pooled"][0]["grokking"]["n"] == 4


def test_a_group_that_matches_no_weight_is_refused() -> None:
    with pytest.raises(gl.InputError, match=r"optimiser\.groups\.out\*.*unembed\.W_U"):
        gl.train(gl.preset("micro", {"optimiser.groups": {"out*": {"frozen": True}}}))


def test_wrong_things_from_python_are_one_sentence(home: object) -> None:
    with pytest.raises(gl.InputError, match="not an experiment"):
        gl.train(3)  # type: ignore[call-overload]
    with pytest.raises(gl.InputError, match="not an experiment"):
        gl.train({"task": {"p": 5}})  # type: ignore[call-overload]
    with pytest.raises(gl.InputError, match="did you mean micro"):
        gl.train("micr")
    with pytest.raises(gl.InputError, match="list of runs"):
        gl.compare("micro")
    with pytest.raises(gl.InputError, match="MEASURES"):
        gl.take({}, "weight_norms")  # type: ignore[arg-type]


def test_a_start_that_knows_test_inputs_is_warned_of() -> None:
    source = gl.train(gl.preset("micro-fast", {"budget.steps": 20}))
    start = {"start.run": str(source.path), "start.step": 20, "budget.steps": 10}
    with pytest.warns(UserWarning, match="of the 186 test inputs were in the training set"):
        gl.train(gl.preset("micro-fast", {**start, "seed": 1}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gl.train(gl.preset("micro-fast", {**start, "seed": 1, "split.seed": 0}))
        gl.train(gl.preset("micro-fast", {**start, "seed": 1, "task.expression": "x - y"}))


def test_a_start_from_an_ensemble_says_which_member() -> None:
    source = gl.train(gl.preset("micro-fast", {"budget.steps": 20}), seeds=2)
    start = {"start.run": str(source.path), "start.step": 20, "budget.steps": 10, "split.seed": 1}
    with pytest.raises(gl.InputError, match=r"holds 2 models; start.member says which, from 0 to 1"):
        gl.train(gl.preset("micro-fast", start))
    run = gl.train(gl.preset("micro-fast", {**start, "start.member": 1}))
    assert (run.weights(0)["unembed.W_U"] == source.weights(20, 1)["unembed.W_U"]).all()
