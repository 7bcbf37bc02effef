from __future__ import annotations

import pickle

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab import Collection
from groklab.errors import InputError
from groklab.grokking import phase_of
from groklab.store import OneMember, compare


def test_a_member_is_found_by_its_place(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    collection = Collection(run.path.parent)
    one = collection.look_up(f"{run.name}#1")
    assert isinstance(one, OneMember)
    assert (one.name, one.n_members, one.experiment.seed) == (f"{run.name}#1", 1, run.experiments[1].seed)
    assert one.summary()["grokked_step"] == run.summary()["grokked_step"][1]
    assert phase_of(one) == phase_of(run, 1)
    weights = run.weights(member=1)
    for same in (
        one.weights(),
        one.weights(member=0),
        one.last_weights()[1],
        pickle.loads(pickle.dumps(one)).weights(),
    ):
        assert all(np.array_equal(same[name], weights[name]) for name in weights)
    assert collection.look_up(run.name).n_members == run.n_members


def test_a_place_that_is_not_there_is_refused(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    collection = Collection(run.path.parent)
    with pytest.raises(InputError, match=r"member = 3: .* has members 0 to 2"):
        collection.look_up(f"{run.name}#3")
    for name in (f"{run.name}#", f"{run.name}#-1", "#1", f"{run.name}#²"):
        with pytest.raises(InputError, match="no run is named"):
            collection.look_up(name)


def test_a_name_may_hold_the_mark(home: object) -> None:
    run = gl.train(gl.preset("micro", {"budget.steps": 1}))
    run.path.rename(run.path.with_name("mine#0"))
    assert type(Collection().look_up("mine#0")) is gl.Run


def test_members_of_one_run_are_compared(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    rows = compare([f"{run.name}#0", f"{run.name}#2"], home=run.path.parent)
    assert [row["run"] for row in rows["runs"]] == [f"{run.name}#0", f"{run.name}#2"]
    assert rows["differences"] == {"seed": [0, 2]}
    assert rows["pooled"][0]["grokking"]["n"] == 2
    assert rows["copies"] == {}
