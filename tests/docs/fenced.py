"""Runs the fenced blocks of a Markdown page in order, as a reader would who types them.

`bash` blocks are commands, one a line; a block with a title (```yaml title="file.yaml") is a file of that name;
other `python` blocks share one namespace. `groklab …` runs in this process, other programs in a shell. `text`,
`console` and `json` blocks show output and are not run. Ensembles are cut to `seeds` members where that is given.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groklab.cli import main

ROOT = Path(__file__).parent.parent.parent
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Blocks that are not for running.
SHOWN = ("", "text", "console", "json")


@dataclass(frozen=True)
class Block:
    language: str
    title: str | None
    text: str


def blocks(page: Path, section: str | None = None) -> list[Block]:
    """A page's blocks in order; `section` takes those below that heading, such as '### A task'."""
    text = page.read_text("utf-8")
    if section is not None:
        text = re.split(r"^#+ ", text.split(f"{section}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return [Block(language, title or None, content) for language, title, content in _FENCE.findall(text)]


def commands(text: str) -> Iterator[str]:
    joined = text.replace("\\\n", " ")
    yield from (line for line in joined.splitlines() if line.strip() and not line.startswith("#"))


@dataclass
class Reader:
    """Someone who follows pages in a folder of their own; keeps what each command printed."""

    folder: Path
    #: commands (by their beginning) that are not run, and why
    skip: dict[str, str] = field(default_factory=dict)
    #: commands that are run otherwise than they are written
    instead: dict[str, str] = field(default_factory=dict)
    seeds: int | None = None
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def follow(self, page: Path, section: str | None = None) -> Reader:
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            for block in blocks(page, section):
                if block.title is not None:
                    self.write(block.title, block.text)
                elif block.language == "python":
                    with redirect_stdout(io.StringIO()):
                        exec(compile(block.text, str(page), "exec"), self.namespace)
                elif block.language == "bash":
                    for command in commands(block.text):
                        self.run(command)
                else:
                    assert block.language in SHOWN, f"{page.name}: a {block.language} block that nothing runs"
        finally:
            os.chdir(before)
        return self

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(self, command: str) -> None:
        for beginning in self.skip:
            if command.startswith(beginning):
                self.skipped.add(beginning)
                return
        command_run = self.instead.get(command, command)
        if self.seeds is not None:
            command_run = re.sub(r"--seeds \d+", f"--seeds {self.seeds}", command_run)
        words = shlex.split(command_run)
        if words[0] == "groklab":
            code, printed = in_process(words)
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                command_run, shell=True, text=True, capture_output=True, timeout=120, env={**os.environ, "PATH": path}
            )
            code, printed = done.returncode, done.stdout + done.stderr
        assert code == 0, f"`{command_run}` ended with {code}:\n{printed}"
        self.printed[command] = printed


def in_process(words: list[str]) -> tuple[int, str]:
    """Exit code and output of the program `groklab`, called here."""
    out, before, show = io.StringIO(), sys.argv, warnings.showwarning
    sys.argv = words
    try:
        with redirect_stdout(out), redirect_stderr(out):
            main()
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue()
    finally:
        sys.argv, warnings.showwarning = before, show
    raise AssertionError("the program ends itself")
