"""`--json`: one object on one line, last on standard output, and nothing else there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.cli import main
from groklab.cli.app import emit
from groklab.store import storage

RESULT = {
    *("run", "path", "status", "reason", "steps", "seconds", "memorised_step", "grokked_step", "censored"),
    *(
        "train_accuracy",
        "test_accuracy",
        "train_loss",
        "test_loss",
        "lowest_since_grokked",
        "weights_sha256",
        "seed",
        "delay",
        "headline",
        "definition",
        "criterion",
        "tags",
    ),
}
PER_MEMBER = {
    "lowest_since_grokked",
    "memorised_step",
    "grokked_step",
    "censored",
    "train_accuracy",
    "test_accuracy",
    "train_loss",
    "test_loss",
    "delay",
    "headline",
}


class Program:
    """The program, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[str, str]:
        self.monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self.capsys.readouterr()
        assert ended.value.code == 0, err
        return out, err

    def json(self, *arguments: str) -> dict[str, Any]:
        out, _ = self(*arguments, "--json")
        assert out.endswith("}\n")
        assert out.count("\n") == 1
        found: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
        return found


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capsys)


def shown(program: Program, run: str, phase: str) -> Any:
    """What `show` prints beyond the run's learning phase, which needs to be this one."""
    found = program.json("show", run)
    assert found.pop("learning_phase")["phase"] == phase
    assert found.pop("changes") == []
    return found


def test_training_and_looking_at_one_model(program: Program, home: Path) -> None:
    trained = program.json("train", "micro-fast", "budget.steps=60")
    assert set(trained) == RESULT
    assert (trained["status"], trained["steps"], trained["seed"]) == ("finished", 60, 0)
    assert Path(trained["path"]) == home / trained["run"]
    assert len(trained["weights_sha256"]) == 64
    assert program.json("train", "micro-fast", "budget.steps=60", "--quiet") == trained
    assert shown(program, trained["run"], "memorisation") == trained
    longer = program.json("resume", trained["run"], "budget.steps=90")
    assert longer["steps"] == 90
    assert longer["weights_sha256"] != trained["weights_sha256"]
    assert shown(program, str(home / trained["run"]), "memorisation") == longer


def test_what_people_read_goes_to_standard_error(program: Program) -> None:
    out, err = program("train", "micro-fast", "budget.steps=60", "--json")
    assert "finished at step 60" in err
    assert "finished at step" not in out
    out, err = program("train", "micro-fast", "budget.steps=60", "seed=1", "--json", "--quiet")
    assert err == ""
    out, err = program("train", "micro-fast", "budget.steps=60")
    assert "finished at step 60" in out


def test_an_ensemble_gives_lists(program: Program) -> None:
    found = program.json("train", "micro-fast", "budget.steps=60", "seed=4", "--seeds", "3")
    assert set(found) == RESULT
    for key in PER_MEMBER | {"weights_sha256", "seed"}:
        assert isinstance(found[key], list), key
        assert len(found[key]) == 3, key
    assert found["seed"] == [4, 5, 6]
    assert len(set(found["weights_sha256"])) == 3
    assert isinstance(found["steps"], int)


def test_a_diverged_run_is_valid_json_and_can_be_shown_and_reported(program: Program) -> None:
    found = program.json("train", "micro-fast", "budget.steps=60", "optimiser.learning_rate=1e6")
    assert found["status"] == "diverged"
    assert found["train_loss"] is None
    assert found["censored"] is True
    assert shown(program, found["run"], "undefined") == found
    out, _ = program("show", found["run"])
    assert "diverged at step 60" in out
    page = program.json("report", found["run"])
    assert Path(page["report"]).stat().st_size == page["bytes"]


def test_runs(program: Program) -> None:
    assert program.json("runs") == {"runs": [], "bytes": 0, "sweeps": []}
    one = program.json("train", "micro-fast", "budget.steps=60", "--tag", "mine")
    program("train", "micro-fast", "budget.steps=60", "seed=1", "--quiet")
    found = program.json("runs")
    assert len(found["runs"]) == 2
    assert found["bytes"] == sum(r["bytes"] for r in found["runs"])
    assert set(found["runs"][0]) == RESULT | {"bytes", "changed", "task", "members"}
    for chosen in (("--tag", "mine"), ("--name", one["run"]), ("--name", one["run"], "--status", "finished")):
        assert [r["run"] for r in program.json("runs", *chosen)["runs"]] == [one["run"]]
    assert program.json("runs", "--grokked")["runs"] == []
    assert "\n2 runs, " in program("runs")[0]
    assert "\n1 run, " in program("runs", "--tag", "mine")[0]
    assert program.json("runs", "tag", one["run"], "b", "a") == {"run": one["run"], "tags": ["a", "b", "mine"]}
    out, _ = program("runs", "tag", "--json", one["run"], "--", "-b")
    assert json.loads(out)["tags"] == ["a", "mine"]
    removed = program.json("runs", "rm", one["run"])
    assert removed["removed"] == [one["run"]]
    assert removed["bytes"] > 1000
    assert len(program.json("runs")["runs"]) == 1


def test_compare(program: Program) -> None:
    names = [
        program.json("train", "micro-fast", "budget.steps=60", "--seeds", "3", f"optimiser.weight_decay={w}")["run"]
        for w in (1.0, 0.5)
    ]
    found = program.json("compare", *names)
    assert [r["run"] for r in found["runs"]] == names
    assert set(found["runs"][0]) == RESULT | {"grokking", "memorising"}
    assert set(found["runs"][0]["grokking"]) == {"n", "n_grokked", "median", "low", "high"}
    assert found["differences"] == {"optimiser.weight_decay": [1.0, 0.5]}


def test_lists(program: Program) -> None:
    presets = program.json("presets")["presets"]
    assert {p["preset"] for p in presets} == set(gl.PRESETS)
    page = program.json("presets", "micro")
    assert page["preset"] == "micro"
    assert page["settings"]["task.p"] == 23
    tasks = program.json("tasks")["tasks"]
    assert {"name", "formula", "group", "papers", "expression", "description", "source", "spellings"} == set(tasks[0])
    measures = program.json("measures")["measures"]
    assert {m["measure"] for m in measures} == set(gl.MEASURES)


def test_cost_and_doctor(program: Program, home: Path) -> None:
    cost = program.json("train", "micro", "--dry-run", "--seeds", "2")
    assert cost["members"] == 2
    assert cost["memory_bytes"] > cost["parameters"] > 0
    assert cost["seconds"] == pytest.approx(cost["seconds_per_step"] * cost["steps"])
    assert not home.exists()
    found = program.json("doctor")
    assert found["groklab"] == gl.__version__
    assert found["runs_folder"] == str(home)
    assert not home.exists()


def test_a_branch_from_a_checkpoint(program: Program, home: Path) -> None:
    source = program.json("train", "micro-fast", "budget.steps=60")
    branch = program.json(
        "train", "micro-fast", "budget.steps=60", "--from", f"{source['run']}@60", "seed=3", "split.seed=0"
    )
    assert branch["run"] != source["run"]
    recorded = json.loads((home / branch["run"] / "experiment.json").read_text())["members"][0]["experiment"]["start"]
    assert (recorded["run"], recorded["step"]) == (source["path"], 60)
    # it starts where the other ended
    start, end = (gl.Run(Path(r["path"])).metrics["train_loss"] for r in (branch, source))
    assert start.len() == end.len()
    weights = gl.Run(Path(branch["path"])).weights(0)
    assert storage.digest(weights) == source["weights_sha256"]


def test_file_and_overrides_make_the_same_run(program: Program, tmp_path: Path) -> None:
    (tmp_path / "micro-fast.yaml").write_text(
        "preset: micro-fast\nbudget: {steps: 60}\noptimiser: {weight_decay: 0.5}\n"
    )
    by_file = program.json("train", str(tmp_path / "micro-fast.yaml"))
    assert program.json("train", "micro-fast", "budget.steps=60", "optimiser.weight_decay=0.5") == by_file
    whole = tmp_path / "whole.yaml"
    whole.write_text(gl.Run(Path(by_file["path"])).experiment.to_yaml())
    assert program.json("train", str(whole)) == by_file


def test_taking_a_run_apart(program: Program, corpus: Corpus) -> None:
    run = corpus.copy("mlp").name
    found = program.json("measure", run)
    assert set(found) >= {
        *("run", "step", "task", "key_frequencies", "train_loss", "test_loss", "restricted_loss", "excluded_loss"),
        *("gini_W_E", "gini_W_L", "logit_fve", "well_explained_neurons", "training_stages", "trajectory", "rule"),
    }
    assert found["step"] == 1500
    assert found["trajectory"]["step"][-1] == 1500
    one = program.json("measure", run, "--measure", "neurons")
    assert len(one["fve"]) == len(one["step"])
    assert program.json("measure", run, "--frequencies", "2,1")["key_frequencies"] == [1, 2]
    told = program.json("explain", run)
    assert {"run", "member", "seed", "step", "task", "headline", "verdict", "sections"} == set(told)
    out, _ = program("explain", run)
    assert " ".join(told["verdict"].split()) in " ".join(out.split())
    out, _ = program("measure", run)
    assert "key frequencies (neuron_logit_map)" in out
    several = corpus.copy("ensemble").name
    each = program.json("measure", several)
    assert len(each["key_frequencies"]) == len(each["excluded_loss"]) == 3
    assert program.json("explain", several, "--member", "1")["member"] == 1
    out, _ = program("measure", several)
    assert "seed 1" in out


def test_numbers_that_are_none_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": float("nan"), "b": [1.5, float("-inf")], "c": {"d": (2, float("inf"))}, "e": np.float64("nan")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": {"d": [2, None]}, "e": None}
