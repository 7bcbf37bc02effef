"""Progress in notebooks: a picture that is updated in place, with one final state; lines where there is no display."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import groklab as gl
from corpus import Corpus
from groklab import figures, notebook
from groklab.errors import InputError, Interrupted
from groklab.training import Progress

SHORT = {"budget.steps": 200}
HOSTILE = "<img src=x onerror=alert(1)>"


class Display:
    """What IPython's `display` is called with."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Display:
        assert raw
        assert display_id
        assert not self.shown, "a second output instead of an update"
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(data)


@pytest.fixture
def jupyter(monkeypatch: pytest.MonkeyPatch) -> Display:
    display = Display()
    monkeypatch.setattr(notebook, "frontend", lambda: "jupyter")
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display.display))
    return display


def test_a_training_is_one_output_that_ends_with_its_curves(jupyter: Display) -> None:
    run = gl.train("micro-fast", SHORT)
    first, last = jupyter.shown[0], jupyter.shown[-1]
    assert "compiling" in first["text/plain"]
    assert last["text/plain"].startswith(f"{run.name}: step 200 of 200")
    assert last["text/html"].count("<polyline") == 4
    assert "left" not in last["text/html"].partition("</style>")[2]
    jupyter.shown.clear()
    assert gl.train("micro-fast", SHORT).name == run.name
    assert not jupyter.shown  # nothing was trained


def test_a_training_that_ends_before_its_budget_has_no_time_left(jupyter: Display) -> None:
    run = gl.train("micro-fast", {"budget.stop_when_grokked": True, "budget.extra_steps": 0})
    last = jupyter.shown[-1]
    assert run.status.step < 1500
    assert last["text/plain"].startswith(f"{run.name}: step {run.status.step} of 1,500")
    for content in (last["text/plain"], last["text/html"].partition("</style>")[2]):
        assert " left" not in content
        assert "steps/s" not in content


def test_a_longer_budget_and_an_ensemble_are_watched_too(jupyter: Display) -> None:
    gl.train("micro-fast", SHORT, seeds=2)
    assert "median over members" in jupyter.shown[-1]["text/html"]
    jupyter.shown.clear()
    gl.resume(gl.runs()[-1], {"budget.steps": 220})
    assert "step 220 of 220" in jupyter.shown[-1]["text/plain"]


def test_none_shows_nothing_and_a_function_is_called(jupyter: Display, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Progress] = []
    gl.train("micro-fast", SHORT, view=seen.append)
    gl.train("micro-fast", SHORT, view=None, again=True)
    assert seen[-1].step == 200
    assert not jupyter.shown
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match="view = 'dead': unknown; allowed: live"):
        gl.train("micro-fast", SHORT, view="dead", again=True)  # type: ignore[arg-type]


def test_without_a_display_there_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    run = gl.train("micro-fast", SHORT)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{run.name}: step 200 of 200")


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(notebook.time, "monotonic", lambda: float(next(clock)))
    with notebook.watching("live", lambda p, note: "", str) as watch:
        assert watch is not None
        for n in range(8):
            watch(n)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "7"
    assert 2 <= len(lines) < 8


def test_what_stops_is_named_in_the_final_state(jupyter: Display) -> None:
    def work(error: BaseException) -> None:
        with notebook.watching("live", lambda p, note: f"{p} {note}", str) as watch:
            assert watch is not None
            watch(1)
            raise error

    with pytest.raises(Interrupted):
        work(Interrupted("run"))
    assert "the same call continues" in jupyter.shown[-1]["text/html"]
    jupyter.shown.clear()
    with pytest.raises(InputError):
        work(InputError("the disk is full"))
    assert jupyter.shown[-1]["text/html"] == "1 stopped: the disk is full"


def test_a_sweep_shows_its_map(jupyter: Display) -> None:
    sweep = gl.sweep("micro-fast", {"split.frac_train": [0.5, 0.6]}, overrides={"budget.steps": 50}, workers=1)
    last = jupyter.shown[-1]
    assert last["text/plain"].startswith(f"{sweep.name}: 2 of 2 members, 100%")
    assert "<path" in last["text/html"]
    assert "split.frac_train across" in last["text/html"]
    assert [s.name for s in gl.sweeps()] == [sweep.name]


def test_an_analysis_shows_nothing_unless_it_takes_long(
    corpus: Corpus, jupyter: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = corpus["mlp"]
    jupyter.shown.clear()  # of its training
    monkeypatch.setattr("groklab.analysis._watching.PATIENCE", 1e9)
    gl.analyse(run)
    assert not jupyter.shown
    monkeypatch.setattr("groklab.analysis._watching.PATIENCE", 0.0)
    gl.explain(run)
    n = len(jupyter.shown) and int(jupyter.shown[-1]["text/plain"].split(" of ")[1].split()[0])
    assert jupyter.shown[-1]["text/plain"] == f"{run.name}: {n} of {n} checkpoints measured"


def test_claims_are_listed_as_they_are_tested(jupyter: Display) -> None:
    result = gl.reproduce("controls/too-few-pairs", seeds=1)
    assert result.complete
    last = jupyter.shown[-1]
    assert "1 of 1 outcomes" in last["text/html"]
    assert "too-few-pairs" in last["text/html"]


def test_marimo_gets_one_output_for_each_training_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    cell: list[str] = ["before"]
    modules: dict[str, Any] = {
        "marimo": SimpleNamespace(
            Html=str, output=SimpleNamespace(replace_at_index=lambda html, i: cell.__setitem__(slice(i, i + 1), [html]))
        ),
        "marimo._runtime.context": SimpleNamespace(
            get_context=lambda: SimpleNamespace(execution_context=SimpleNamespace(output=cell))
        ),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    first, second = notebook.Output("marimo"), notebook.Output("marimo")
    first.show("1", "")
    first.show("2", "")
    second.show("3", "")
    assert cell == ["before", "2", "3"]


def test_only_a_notebook_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = sys.modules
    monkeypatch.setitem(modules, "marimo", SimpleNamespace(running_in_notebook=lambda: False))
    monkeypatch.setitem(modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert notebook.frontend() is None  # a terminal's IPython
    monkeypatch.setitem(modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    assert notebook.frontend() == "jupyter"
    monkeypatch.setitem(modules, "marimo", SimpleNamespace(running_in_notebook=lambda: True))
    assert notebook.frontend() == "marimo"


def test_texts_are_escaped() -> None:
    parts = (
        notebook.title(HOSTILE, HOSTILE),
        notebook.line(HOSTILE),
        notebook.table((HOSTILE,), [(HOSTILE,)]),
        notebook.pairs({HOSTILE: HOSTILE}),
        notebook.bar(0.5, HOSTILE),
        notebook.listing([HOSTILE]),
        notebook.details(HOSTILE),
    )
    assert "<img" not in notebook.block(*parts)


def test_colours_are_those_of_the_figures() -> None:
    for name, colour in (("train", figures.TRAIN), ("test", figures.TEST), ("done", figures.GREEN)):
        assert notebook.COLOURS[name] == (colour, figures.DARK[colour])
