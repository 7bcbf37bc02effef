"""Runs the fenced blocks of a Markdown page in order, as a reader would who types them.

`bash` blocks are commands, one a line; a block with a title (```yaml title="file.yaml") is a file of that name;
other `python` blocks share one namespace. `groklab …` runs in this process, other programs in a shell. `text`,
`console` and `json` blocks show output and are not run.

Pages are run at a reduced size: presets are those of reduced.py, ensembles have `seeds` members, sweeps train in this
process rather than in workers, and a command may have a smaller form in `smaller`, which may differ from what is
written in the values of SIZES only.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groklab.cli import main
from reduced import SMALL, reduced

ROOT = Path(__file__).parent.parent.parent
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Blocks that are not for running.
SHOWN = ("", "text", "console", "json")

#: Settings that say how large an experiment is, and options of the command line that do: what `smaller` may change.
SIZES = ("budget.steps", "task.p", "network.d_mlp")
SIZE_OPTIONS = ("--seeds", "--slice", "--p", "--frac-train")


#: Smaller forms of commands that README and tutorial share.
SMALLER_TUTORIAL = {
    "groklab train micro name=short budget.steps=600": "groklab train micro name=short budget.steps=150",
    "groklab train micro name=decay-half optimiser.weight_decay=0.5 --seeds 8": (
        "groklab train micro name=decay-half optimiser.weight_decay=0.5 --seeds 3 budget.steps=100"
    ),
    "groklab resume short budget.steps=3000": "groklab resume short budget.steps=200",
}


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
    """The commands of a block, one a line, each with single blanks between its words."""
    joined = text.replace("\\\n", " ")
    yield from (" ".join(line.split()) for line in joined.splitlines() if line.strip() and not line.startswith("#"))


def same_but_for_sizes(command: str, smaller: str) -> bool:
    """Whether `smaller` has every word of a command, in order, but for values of sizes."""
    return _without_sizes(command) == _without_sizes(smaller)


def _without_sizes(command: str) -> list[str]:
    """The words of a command, of which sizes are left out and a grid keeps its key only."""
    words = shlex.split(command)
    kept = []
    for before, word in zip(["", *words], words, strict=False):
        if before == "--grid":
            kept.append(word.split("=")[0])
        elif before not in SIZE_OPTIONS and word.split("=")[0] not in SIZES:
            kept.append(word)
    return kept


@dataclass
class Reader:
    """Someone who follows pages in a folder of their own; keeps what each command printed."""

    folder: Path
    #: commands (by their beginning) that are not run, and why
    skip: dict[str, str] = field(default_factory=dict)
    #: commands that groklab itself does not have, such as `make demo`, and what they run
    instead: dict[str, str] = field(default_factory=dict)
    #: commands at a smaller size
    smaller: dict[str, str] = field(default_factory=dict)
    #: members of every ensemble, at most: of `--seeds` on the command line and `seeds=` in Python
    seeds: int = 3
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: SMALL)
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    printed: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)

    def follow(self, page: Path, section: str | None = None) -> Reader:
        with chdir(self.folder), reduced(self.presets):
            for block in blocks(page, section):
                if block.title is not None:
                    self.write(block.title, block.text)
                elif block.language == "python":
                    text = re.sub(r"(?<=\bseeds=)\d+", self.fewer, block.text)
                    with redirect_stdout(io.StringIO()):
                        exec(compile(text, str(page), "exec"), self.namespace)
                elif block.language == "bash":
                    for command in commands(block.text):
                        self.run(command)
                else:
                    assert block.language in SHOWN, f"{page.name}: a {block.language} block that nothing runs"
        return self

    def fewer(self, seeds: re.Match[str]) -> str:
        """As many seeds, but at most the reader's."""
        return str(min(int(seeds[0]), self.seeds))

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(self, command: str) -> None:
        for beginning in self.skip:
            if command.startswith(beginning):
                self.skipped.add(beginning)
                return
        command_run = self.smaller.get(command, command)
        assert same_but_for_sizes(command, command_run), f"`{command_run}` is more than a smaller `{command}`"
        command_run = self.instead.get(command_run, command_run)
        if command not in self.smaller:
            command_run = re.sub(r"(?<=--seeds )\d+", self.fewer, command_run)
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
