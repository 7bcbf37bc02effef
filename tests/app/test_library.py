"""The dashboard reads its folder and nothing beside it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from corpus import Corpus
from groklab.app import Dashboard
from groklab.app import _form as form
from groklab.app import _pages as pages
from groklab.app._answers import Answers
from groklab.app._library import Cache, Library
from groklab.app._work import Jobs
from groklab.errors import InputError
from groklab.experiment import PRESETS, preset
from groklab.store import locks
from invented_sweep import trained


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../outside", "/etc", "a/../../outside", "outside\0", "..\\outside", ".hidden"),
        *("a#x", "a#9", "a#\u0663", f"a#{'9' * 5000}", "a" * 256, "é" * 200),
    ],
)
def test_only_runs_of_the_folder_are_found(corpus: Corpus, home: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(corpus["mlp"].path, home / "a")
    for other in (tmp_path / "outside", home / ".hidden"):
        shutil.copytree(corpus["mlp"].path, other)
    library = Library(home)
    assert library.find("a").path == home / "a"
    with pytest.raises(InputError):
        library.find(name)
    with pytest.raises(InputError):
        library.sweep(name)


def test_members_are_found_by_their_place(corpus: Corpus, home: Path) -> None:
    run = corpus.copy("ensemble")
    assert Library(home).find(f"{run.name}#1").n_members == 1
    with pytest.raises(InputError, match="member"):
        Library(home).find(f"{run.name}#3")


def test_a_list_has_the_last_step_of_what_trains(corpus: Corpus, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = corpus.copy("mlp")
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps({**status, "status": "running", "step": 0, "members": []}))
    with locks.locked(run.path):
        (row,) = Library(home).runs()
        assert row["status"] == "running"
        assert row["steps"] == run.metrics["step"].max()


def test_a_cache_makes_each_thing_once_and_keeps_the_last() -> None:
    cache, made = Cache[int](2), []
    for key in (1, 2, 1, 3, 1, 2):
        assert cache.get(key, lambda key=key: made.append(key) or key) == key  # type: ignore[misc, func-returns-value]
    assert made == [1, 2, 3, 2]


# -- lists -----------------------------------------------------------------------------------------------------------

ROWS: list[dict[str, Any]] = [
    {"run": "a", "status": "finished", "steps": 10, "grokked_step": None, "tags": ["wide"], "changed": 1.0},
    {"run": "b", "status": "running", "steps": 30, "grokked_step": 20, "tags": [], "changed": 3.0},
    {"run": "c", "status": "finished", "steps": 20, "grokked_step": [5, None, 7], "tags": [], "changed": 2.0},
]


@pytest.mark.parametrize(("words", "names"), [("", "abc"), ("FIN", "ac"), ("finished wide", "a"), ("x", "")])
def test_a_filter_asks_for_all_of_its_words(words: str, names: str) -> None:
    assert "".join(row["run"] for row in ROWS if pages.matches(row, words)) == names


def test_rows_are_in_the_order_that_is_asked_for() -> None:
    def order(**query: str) -> str:
        body, _ = pages.list_rows("runs", ROWS, {k: [v] for k, v in query.items()}, "")
        text = json.dumps(body.to_plotly_json(), default=lambda o: o.to_plotly_json())
        return "".join(sorted("abc", key=lambda name: text.index(f'"/run/{name}"')))

    assert order() == "bca"
    assert order(sort="run", desc="0") == "abc"
    assert order(sort="steps", desc="1") == "bca"
    # none comes before the first step, of an ensemble counts the middle member
    assert order(sort="grokked_step", desc="0") == "acb"
    assert order(sort="nothing", desc="x", page="-4") == "abc"


def test_many_runs_are_on_several_pages() -> None:
    rows = [{"run": f"r{i:04}", "status": "finished", "changed": float(i)} for i in range(1001)]
    body, count = pages.list_rows("runs", rows, {"page": ["11"]}, "")
    text = json.dumps(body.to_plotly_json(), default=lambda o: o.to_plotly_json())
    assert count == "1,001 runs"
    assert '"/run/r0000"' in text
    assert '"/run/r0001"' not in text
    assert "page 11 of 11" in text


# -- the form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_form_of_a_preset_changes_nothing_by_itself(name: str) -> None:
    assert form.changes(name, form.texts(preset(name))) == {}


def test_a_form_says_what_the_command_line_would() -> None:
    texts = form.texts(preset("micro")) | {"task.p": "31", "optimiser.weight_decay": "", "split.rows": "null"}
    changed = form.changes("micro", texts)
    assert changed == {"task.p": "31", "optimiser.weight_decay": "null"}
    assert form.arguments("micro", changed, 3) == [
        *("train", "micro", "task.p=31", "optimiser.weight_decay=null"),
        *("--seeds", "3"),
    ]
    assert form.base("micro", {"task.p": "31"}).task.p == 31


def test_settings_have_what_their_schema_allows() -> None:
    fields = {f.name: f for part in form.sections(preset("demo")).values() for f in part}
    assert fields["task.p"].hint == "integer ≥ 2"
    assert fields["task.p"].help == "the modulus."
    assert fields["dtype"].choices == ("float32", "float64")
    assert "mlp" in fields["network.kind"].choices
    assert fields["budget.stop_when_grokked"].choices == ("true", "false")


@pytest.mark.parametrize("key", ["plugins", "start.file", "start.run", "task.path", "task.images"])
def test_a_form_names_no_files_and_no_code(key: str) -> None:
    with pytest.raises(InputError, match="files or code"):
        form.base("micro", {key: "x"})


@pytest.mark.parametrize("settings", ["{kind: table, path: /etc/passwd}", "{kind: table, path: x.csv}"])
def test_a_whole_section_names_no_files_either(settings: str) -> None:
    with pytest.raises(InputError, match="files or code"):
        form.base("micro", {"task": settings})


# -- work ------------------------------------------------------------------------------------------------------------


def test_another_program_is_not_stopped(corpus: Corpus, home: Path) -> None:
    """A lock may name any process, as that of a notebook, or of somebody who forged it."""
    run, jobs = corpus.copy("mlp"), Jobs(home)
    with pytest.raises(InputError, match="not being trained"):
        jobs.stop(run.name, run.path)
    with locks.locked(run.path), pytest.raises(InputError, match=f"process {os.getpid()}"):
        jobs.stop(run.name, run.path)


def test_a_process_that_refuses_says_why(home: Path) -> None:
    home.mkdir()
    # a module that lies in the folder of runs is not imported
    (home / "groklab.py").write_text("raise SystemExit('imported')")
    jobs = Jobs(home)
    job = jobs.start("nothing", ["resume", "nothing"])
    assert job.process.wait(60) == 2
    assert "no run is named 'nothing'" in str(job.refusal)
    assert jobs.running == []
    jobs.close()


def test_a_sweep_of_another_does_not_run_its_code(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    """The command that continues a sweep names its plug-ins, which makes them the user's own."""
    sweep, code = trained(corpus, home), tmp_path / "code.py"
    code.write_text("raise SystemExit('imported')")
    record = json.loads((sweep.path / "sweep.json").read_text())
    record["overrides"]["plugins"] = [str(code)]
    (sweep.path / "sweep.json").write_text(json.dumps(record))
    answers = Answers(Library(home), Jobs(home))
    with pytest.raises(InputError, match="you have not named with --plugin"):
        answers.resume(1, f"/sweep/{sweep.name}")
    assert answers.jobs.get(f"sweeps/{sweep.name}") is None


def test_the_name_of_a_folder_is_not_an_option(corpus: Corpus, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(corpus["mlp"].path, home / "--plugin=code.py")
    jobs, commands = Jobs(home), []
    monkeypatch.setattr(jobs, "start", lambda address, words: commands.append(words))
    Answers(Library(home), jobs).resume(1, "/run/--plugin=code.py")
    assert commands == [["resume", "--quiet", "--", "--plugin=code.py"]]


# -- the server ------------------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir()
    first = Dashboard(home)
    with pytest.raises(InputError, match="is in use"):
        Dashboard(home, port=first.port)
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"--host = '192\.0\.2\.1': cannot be listened on"):
        Dashboard(home, "192.0.2.1")
    first._server.server_close()


def test_pages_of_runs_are_served_as_files_that_reach_nothing(corpus: Corpus, home: Path) -> None:
    run = corpus.copy("mlp")
    served = Dashboard(home)
    client = served.guard.application.test_client()  # type: ignore[attr-defined]
    answer = client.get("/page", query_string={"run": run.name})
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]
    assert run.name in answer.text
    for query in ({}, {"run": "../x"}, {"run": "/etc/passwd"}):
        assert client.get("/page", query_string=query).status_code == 404
    for path in ("/assets/../_guard.py", "/assets/%2e%2e/_guard.py", "/_dash-component-suites/os/path.py", "/static/x"):
        assert "import" not in client.get(path).text.split("<footer>")[0]
    served._server.server_close()


def ask(client: Any, output: str, **values: Any) -> Any:
    """Post a callback by hand: its inputs and states by id."""
    known = client.get("/_dash-dependencies").json
    (one,) = [dep for dep in known if dep["output"].startswith(output)]
    groups = {
        group: [{**item, "value": values.get(item["id"].replace("-", "_"))} for item in one[group]]
        for group in ("inputs", "state")
    }
    names = [part.rsplit(".", 1) for part in one["output"].strip(".").split("...")]
    outputs: Any = [{"id": json.loads(n) if n[0] == "{" else n, "property": prop} for n, prop in names]
    outputs = outputs if one["output"].startswith("..") else outputs[0]
    return client.post("/_dash-update-component", json={"output": one["output"], "outputs": outputs, **groups})


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", None])
@pytest.mark.parametrize("file", ["status.json", "experiment.json"])
def test_a_run_that_is_damaged_while_it_is_shown_says_so(
    corpus: Corpus, home: Path, file: str, content: bytes | None
) -> None:
    run = corpus.copy("mlp")
    served = Dashboard(home)
    client = served.guard.application.test_client()  # type: ignore[attr-defined]
    if content is None:
        (run.path / file).unlink()
    else:
        (run.path / file).write_bytes(content)
    answer = ask(client, "..head.", run_of={"address": run.name})
    assert answer.status_code == 200
    assert "refusal" in json.dumps(answer.json["response"]["overview"]) or content is None
    served._server.server_close()


def test_a_refusal_to_resume_leaves_the_run_in_sight(corpus: Corpus, home: Path) -> None:
    """Another process may train it, whose lock the one that was started here has met."""
    run = corpus.copy("mlp")
    served = Dashboard(home)
    ended = SimpleNamespace(running=False, refusal="the run is being written by process 7")
    served.jobs._jobs[run.name] = cast(Any, ended)
    client = served.guard.application.test_client()  # type: ignore[attr-defined]
    seen = {"stamp": "before", "layout": [], "live": True, "status": "running"}
    answer = ask(client, "..head.", run_of={"address": run.name}, run_seen=seen).json
    assert "finished" in json.dumps(answer["response"]["head"])
    assert "refusal" not in json.dumps(answer["response"]["overview"])
    assert "process 7" in json.dumps(answer["sideUpdate"]["notice"])
    served._server.server_close()


FORGED: list[tuple[str, dict[str, Any]]] = [
    ("main.", {"url": 5}),
    ("..rows.", {"list_of": None}),
    ("..rows.", {"list_of": {"kind": "runs", "query": {"page": [5], "pick": [1]}}}),
    ("..head.", {"run_of": {"address": ["x"]}}),
    ("..head.", {"run_of": {"address": f"x#{'9' * 5000}"}}),
    ("analysis.", {"want": "x", "run_of": {}}),
    ("..compared.", {"compare_of": [1, None]}),
    ("..sweep-head.", {"sweep_of": {"name": "../.."}}),
]


@pytest.mark.parametrize(("output", "values"), FORGED)
def test_what_no_page_would_ask_for_gets_a_sentence(
    home: Path, output: str, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    home.mkdir()
    served = Dashboard(home)
    client = served.guard.application.test_client()  # type: ignore[attr-defined]
    for _ in range(2):
        answer = ask(client, output, **values)
        assert answer.status_code == 200
        assert "refusal" in answer.text
    # pages ask again and again
    assert len(caplog.records) <= 1
    for path in ("/_dash-component-suites/dash/../x", "/_dash-component-suites/os/os.py"):
        assert client.get(path).status_code == 400
    for body in ({}, [1], {"output": "x.y", "inputs": [], "outputs": {"id": "x", "property": "y"}}):
        assert client.post("/_dash-update-component", json=body).status_code == 400
    served._server.server_close()


def test_the_command_needs_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from groklab.cli import main

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["groklab", "app"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "groklab: the dashboard needs Dash: pip install 'groklab[app]'\n"
