from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab import errors
from groklab.errors import InputError


@pytest.mark.parametrize(
    ("name", "close"),
    [("weigth_decay", "weight_decay"), ("ADAMW", "AdamW"), ("x", None), ("", None), ("adam" * 1000, None)],
)
def test_the_nearest_name_is_of_the_set_or_none(name: str, close: str | None) -> None:
    assert errors.nearest(name, ["weight_decay", "AdamW", "eps"]) == close


def test_a_long_list_gives_way_to_the_command_that_lists_it() -> None:
    names = [f"name{i}" for i in range(100)]
    assert "name99" in str(errors.unknown("field", "x", names))
    assert str(errors.unknown("field", "nam1", names, "`list` lists them")).endswith("?); `list` lists them")
    assert str(errors.unknown("field", None, [])) == "field = None: unknown; allowed: none"
    errors.check_choice("field", "a", ["a"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("run1", ["run1-0123abcd"]),
        ("run10", ["run10-0123abcd"]),
        ("run", ["run1-0123abcd", "run10-0123abcd", "run10-4567cdef-0123abcd"]),
        ("run10-4567cdef", ["run10-4567cdef-0123abcd"]),
        ("run10-4", ["run10-4567cdef-0123abcd"]),
        ("", []),
        ("other", []),
    ],
)
def test_a_name_without_its_identity_is_exact(name: str, meant: list[str]) -> None:
    names = ["run1-0123abcd", "run10-0123abcd", "run10-4567cdef-0123abcd"]
    assert errors.matching(name, names) == meant
    assert errors.matching(names[0], names) == [names[0]]


def test_a_run_is_nearest_by_its_name_without_the_identity(corpus: Corpus, home: Path) -> None:
    name = corpus.copy("mlp").name
    stem = name.rpartition("-")[0]
    shutil.move(home / name, home / f"{stem}-0123abcd")
    with pytest.raises(InputError, match=f"did you mean {stem}\\?"):
        gl.Collection().find(f"{stem}k")


@pytest.mark.parametrize(("n", "there"), [(1, "only member 0"), (3, "members 0 to 2")])
def test_a_missing_member_is_refused_with_those_that_exist(n: int, there: str) -> None:
    errors.check_member(n - 1, n, "the run")
    for member in (-1, n):
        with pytest.raises(InputError, match=f"member = {member}: the run has {there}"):
            errors.check_member(member, n, "the run")


def micro(**settings: Any) -> Callable[[Corpus, Path], Any]:
    return lambda corpus, path: gl.preset("micro", {k.replace("__", "."): v for k, v in settings.items()})


def of_run(use: Callable[[gl.Run], Any], kind: str = "mlp") -> Callable[[Corpus, Path], Any]:
    return lambda corpus, path: use(corpus[kind])


def of_home(use: Callable[[], Any]) -> Callable[[Corpus, Path], Any]:
    return lambda corpus, path: use()


def trained(**settings: Any) -> Callable[[Corpus, Path], Any]:
    return lambda corpus, path: gl.train(micro(**settings)(corpus, path), home=path)


def explained(name: str) -> Callable[[Corpus, Path], Any]:
    return lambda corpus, path: gl.explain_task(name, 5)


def near_run(corpus: Corpus, path: Path) -> Any:
    name = corpus.copy("mlp").name
    return gl.Collection().find("x" + name[:-1])


#: Each closed set: how a name of it is mistyped, and the nearest that is offered.
CLOSED = {
    "preset": (of_home(lambda: gl.preset("mikro")), "micro"),
    "section": (micro(tassk__p=5), "task"),
    "setting of a component": (micro(optimiser__weigth_decay=1), "optimiser.weight_decay"),
    "setting of a group": (micro(**{"optimiser__groups.x.frozn": True}), "optimiser.groups.x.frozen"),
    "setting of a section": (micro(budget__stepps=1), "budget.steps"),
    "kind of task": (micro(task__kind="arithmetics"), "arithmetic"),
    "kind of network": (micro(network__kind="mpl"), "mlp"),
    "kind of optimiser": (micro(optimiser__kind="adamww"), "adamw"),
    "kind of objective": (micro(objective__kind="cross_entropi"), "cross_entropy"),
    "kind of learner": (micro(learner="rmf"), "rfm"),
    "value of a component": (micro(network__activation="rellu"), "relu"),
    "value of a section": (micro(evaluation__criterion="first95"), "first_95"),
    "value at the top": (micro(dtype="float23"), "float32"),
    "method of a split": (micro(split__method="randm"), "random"),
    "weight of init_std": (trained(**{"network__init_std.unembed.W_V": 1.0}), "unembed.W_U"),
    "measure online": (micro(measures__names=["progres"]), "progress"),
    "weight of a group": (trained(**{"optimiser__groups.unembed.W_V.frozen": True}), "unembed.W_U"),
    "operation": (explained("x2_xy_y22"), "x2_xy_y2"),
    "run": (near_run, "x"),
    "measure": (of_run(lambda run: gl.take(run, "weight_norm")), "weight_norms"),
    "rule of frequencies": (of_run(lambda run: gl.analyse(run, rule="embeding"), "transformer"), "embedding"),
    "intermediate": (
        of_run(lambda run: gl.patch(run.weights(), np.zeros((1, 3), int), {"hook_embedd": 0}), "transformer"),
        "hook_embed",
    ),
    "format of an export": (of_run(lambda run: gl.export(run, to="safetensor")), "safetensors"),  # type: ignore[arg-type]
    "paper": (of_home(lambda: gl.reproduce("controlls")), "controls"),
    "claim": (of_home(lambda: gl.reproduce("controls/micro-grok")), "micro-groks"),
    "size": (of_home(lambda: gl.reproduce("controls", size="quik")), "quick"),  # type: ignore[arg-type]
    "key of a grid": (of_home(lambda: gl.sweep("micro", {"optimizer.b1": [0.9]})), "optimiser"),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_mistyped_name_is_refused_with_the_nearest(name: str, corpus: Corpus, tmp_path: Path) -> None:
    use, close = CLOSED[name]
    with pytest.raises(InputError) as refusal:
        use(corpus, tmp_path)
    sentence = str(refusal.value)
    assert f"(did you mean {close}" in sentence or (name == "run" and "(did you mean " in sentence), sentence
    assert "\n" not in sentence
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)
