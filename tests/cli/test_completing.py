"""What the shell completes, asked as bash, zsh and fish ask."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from corpus import Corpus
from invented_sweep import WD, Outcome, written

#: Asks for completions of several lines, the cursor at the end of each.
ASKS = """
import contextlib, io, json, os, sys
os.environ["_GROKLAB_COMPLETE"] = "complete_bash"
from groklab.cli import main
sys.argv = ["groklab"]
answers = []
for line in json.loads(sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()):
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = line, str(len(line.split(" ")) - 1)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    answers.append(out.getvalue().split())
print(json.dumps(answers))
"""

#: The same of zsh or fish, which hand over the line as it is.
ASKS_OTHERS = """
import contextlib, io, json, os, sys
from groklab.cli import main
shell, lines = sys.argv[1], json.loads(sys.stdin.read())
sys.argv = ["groklab"]
os.environ |= {"_GROKLAB_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
answers = []
for line in lines:
    os.environ["_TYPER_COMPLETE_ARGS"] = line
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    answers.append(out.getvalue())
print(json.dumps(answers))
"""


@pytest.fixture
def kept(home: Path, corpus: Corpus) -> tuple[str, str]:
    """The names of a run and of a sweep."""
    sweep = written(home, "decays", {WD: [0.0, 1.0]}, lambda point, seed: Outcome(), 1, 2000)
    return corpus.copy("mlp").name, sweep.name


def test_names_settings_and_values_are_completed(kept: tuple[str, str], corpus: Corpus) -> None:
    run, sweep = kept
    ensemble = corpus.copy("ensemble").name
    expected = {
        "groklab train micro-f": ["micro-fast"],
        "groklab show ": [run, ensemble, sweep],
        "groklab compare x mic": [run, ensemble],
        "groklab phase-diagram d": [sweep],
        "groklab runs rm ": [run, ensemble],
        f"groklab measure {run} --measure logit_": ["logit_parts"],
        f"groklab train micro --from {run}@1": None,
        f"groklab figures {run} spec": ["spectrum"],
        f"groklab movie {run} --figure circles,spec": ["circles,spectrum"],
        "groklab train micro --track tens": ["tensorboard"],
        "groklab export x --to transformer-lens-": ["transformer-lens-bridge"],
        # options with a closed set of values
        f"groklab figures {run} --format pdf,": ["pdf,pdf", "pdf,svg", "pdf,png"],
        f"groklab figures {run} --engine k": ["kaleido"],
        f"groklab figures {run} --data ": ["csv", "parquet"],
        f"groklab movie {run} --format ": ["gif", "mp4"],
        "groklab runs --status f": ["finished", "failed"],
        "groklab sweeps --status d": ["damaged"],
        "groklab phase-diagram x --boundary c": ["comprehension"],
        "groklab phase-diagram x --published data_add_": ["data_add_r", "data_add_r_reprlr"],
        "groklab theory --normalisation p": ["parallelograms"],
        # members of a run
        f"groklab figures {ensemble}#": [f"{ensemble}#0", f"{ensemble}#1", f"{ensemble}#2"],
        f"groklab compare {ensemble}#1": [f"{ensemble}#1"],
        "groklab compare nothing#": [],
        "groklab reproduce nanda2023/groks": ["nanda2023/groks"],
        "groklab presets micro-l": ["micro-late"],
        # a setting has its present value, or those of its closed set
        "groklab train micro optimiser.we": ["optimiser.weight_decay=1.0"],
        "groklab train micro optimiser.kind=sg": ["optimiser.kind=sgd"],
        "groklab train micro network.activation": None,
        # bash takes a=b for three words
        "groklab train micro seed = 1 optimiser.kind = ad": ["adabelief", "adagrad", "adam", "adamax", "adamw"],
        f"groklab resume {run} budget.st": None,
        "groklab sweep micro --grid split.frac": ["split.frac_train=0.65"],
        "groklab train nothing op": [],
    }
    asked = subprocess.run(
        [sys.executable, "-c", ASKS], input=json.dumps(list(expected)), capture_output=True, text=True, check=True
    )
    answers = dict(zip(expected, json.loads(asked.stdout), strict=True))
    assert {line: answers[line] for line, words in expected.items() if words is not None} == {
        line: words for line, words in expected.items() if words is not None
    }
    assert "network.activation=quadratic" in answers["groklab train micro network.activation"]
    assert f"{run}@100" in answers[f"groklab train micro --from {run}@1"]
    assert {"budget.steps=1500", "budget.stop_when_grokked=false"} <= set(answers[f"groklab resume {run} budget.st"])


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_the_same(shell: str, kept: tuple[str, str]) -> None:
    run, sweep = kept
    expected = {
        "groklab show ": [run, sweep],
        "groklab presets micro-l": ["micro-late"],
        f"groklab figures {run} spec": ["spectrum", "Fourier spectrum of the embedding"],
        "groklab train micro optimiser.we": ["optimiser.weight_decay=1.0"],
        "groklab train micro seed=1 optimiser.kind=adamw": ["optimiser.kind=adamw"],
        "groklab sweep micro --grid split.frac": ["split.frac_train=0.65"],
    }
    asked = subprocess.run(
        [sys.executable, "-c", ASKS_OTHERS, shell],
        input=json.dumps(list(expected)),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = dict(zip(expected, json.loads(asked.stdout), strict=True))
    for line, words in expected.items():
        assert all(word in answers[line] for word in words), (line, answers[line])
