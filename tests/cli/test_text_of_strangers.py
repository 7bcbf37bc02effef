"""Names, keys and values of files that somebody else made: shown, never obeyed, by terminals and pages."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from plotly.offline.offline import get_plotlyjs

from corpus import Corpus
from groklab.cli import main

#: Changes colours and the title of the window, goes back in the line, turns text around; then Rich's own codes.
HOSTILE = "a\x1b[31m\x1b]0;t\x07\r\x9b1m\u202eb[bold]c[reset]:smile:"
SHOWN = r"a\x1b[31m\x1b]0;t\x07\r\x9b1m\u202eb[bold]c[reset]:smile:"
Call = Callable[..., tuple[int, str]]


def is_plain(text: str) -> bool:
    """Return whether a terminal obeys nothing of a text."""
    kinds = ("Cc", "Cs", "Zl", "Zp")
    return all(c in "\n\t" or unicodedata.category(c) not in kinds for c in text) and "\u202e" not in text


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, in a wide window; its exit code, and all that it prints, which must be plain."""
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = "".join(capsys.readouterr())
        assert is_plain(printed), printed
        assert "Traceback" not in printed
        return int(ended.value.code or 0), printed

    return run


@pytest.fixture
def run(corpus: Corpus, home: Path) -> Path:
    """A run whose folder has a hostile name, and whose status a hostile reason."""
    path = home / HOSTILE
    shutil.move(corpus.copy("mlp").path, path)
    status = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps({**status, "reason": HOSTILE}))
    return path


@pytest.mark.parametrize(
    "command", ["runs", "show", "compare", "measure", "explain", "theory --run", "runs tag", "resume"]
)
def test_a_hostile_name_is_written_out(call: Call, run: Path, command: str) -> None:
    name = [] if command == "runs" else [run.name]
    code, printed = call(*command.split(), *name, *(["good"] if command == "runs tag" else []))
    assert code == 0, printed
    assert SHOWN in printed


def test_a_page_shows_a_hostile_name(call: Call, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, run.parent / "other")
    for names in ([run.name], [run.name, "other"]):
        page = tmp_path / "page.html"
        assert call("report", *names, "--out", str(page))[0] == 0
        text = page.read_text()
        # the library that draws has such characters in its own text
        own = text.replace(get_plotlyjs(), "")
        assert is_plain(own)
        for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
            assert not re.search(r"(?<!\\)\\u(00[01]|009b|202e)", block)
        assert SHOWN in own


def test_hostile_settings_are_written_out(call: Call, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    for text in (f"task:\n  kind: {json.dumps(HOSTILE)}\n", f"{json.dumps(HOSTILE)}: 3\n", "task: [\x1b[31m"):
        settings.write_text(text)
        assert call("train", str(settings))[0] == 2
    for arguments in (["train", HOSTILE], ["show", HOSTILE], ["train", "micro", f"{HOSTILE}=1"], [HOSTILE]):
        assert call(*arguments)[0] == 2


def test_hostile_cells_of_a_table_are_written_out(call: Call, tmp_path: Path) -> None:
    table = tmp_path / f"{HOSTILE}.csv"
    rows = [f'"{x}{HOSTILE}",{y},{(x + y) % 3}' for x in range(3) for y in range(3)]
    table.write_text("\n".join([f'"x{HOSTILE}",y,label', *rows, ""]))
    code, printed = call("train", "micro", "task.kind=table", f"task.path={table}", "budget.steps=2", "name=mine")
    assert code == 0, printed
    for command in ("show", "report", "measure"):
        call(command, "mine")


def test_a_name_that_is_not_unicode_is_listed_and_json_stays_json(call: Call, corpus: Corpus, home: Path) -> None:
    path = home / "bad\udcff"
    shutil.move(corpus.copy("mlp").path, path)
    assert call("runs")[1].count(r"bad\udcff") == 1
    code, printed = call("runs", "--json")
    assert code == 0
    (listed,) = json.loads(printed)["runs"]
    assert listed["run"] == r"bad\udcff"
    json.dumps(listed, ensure_ascii=False).encode()
    for arguments in (["show", path.name, "--json"], ["report", path.name], ["report", path.name, path.name]):
        assert call(*arguments)[0] == 0
