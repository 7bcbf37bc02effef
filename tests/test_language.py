"""Names and texts use the field's standard terms, in plain English."""

from __future__ import annotations

import re
import sys
import tokenize
from pathlib import Path

import pytest

import groklab

SOURCE = Path(groklab.__file__).parent
REPOSITORY = SOURCE.parent.parent
#: Words that name nothing: a variable, field or parameter is called what it is.
WORDS = {"told", "said", "found", "asked", "whole", "stands", "lies", "anew", "textbook", "numbers"}
#: Parameters of other libraries.
OTHERS = {"weight_dimension_numbers"}
#: Turns of phrase of old books, in code and in prose, as regular expressions.
PHRASES = (
    r"\ba (?:line|row|square|process|column|colour|figure|page|file) an? [a-z]+",
    r"\bon line\b",
    r"(?<!there )\bis no (?!longer\b|more\b|less\b|other\b)[a-z]+",
    r"(?<!there )\bare no (?!longer\b|more\b|less\b|other\b)[a-z]+",
    r"\banew\b",
    r"\bby the way\b",
    r"\ball the same\b",
    r"\bcomes? about\b",
    r"\bcame about\b",
    r"\btold by\b",
    r"\bwhat (?:it|they|each member|each) (?:has )?reached\b",
    r"\bwhat came of\b",
    r"\bwhat became of\b",
)
#: Parts of the source that do not follow yet.
PENDING: set[str] = set()
#: Templates and prose do not follow yet.
PROSE_PENDING = False
PROSE = sorted(
    p for p in (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")) if p.parent.name != "generated"
)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def phrases_in(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [match.group() for phrase in PHRASES for match in re.finditer(phrase, flat, re.IGNORECASE)]


def faults_of(path: Path) -> list[str]:
    """Return what a source file says in words of the tables, as 'line: words'."""
    faults = []
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.string in OTHERS:
                continue
            if token.type == tokenize.NAME and WORDS & set(re.split("_|(?<=[a-z])(?=[A-Z])", token.string.lower())):
                faults.append(f"{token.start[0]}: {token.string}")
            elif token.type in (tokenize.STRING, tokenize.COMMENT):
                faults += [f"{token.start[0]}: {phrase}" for phrase in phrases_in(token.string)]
                key = token.string.strip("rbf\"'")
                if token.type == tokenize.STRING and key.isidentifier() and WORDS & set(key.split("_")):
                    faults.append(f"{token.start[0]}: {token.string}")
    return faults


@pytest.mark.parametrize("part", sorted({part_of(p) for p in SOURCE.rglob("*.py")} - PENDING))
def test_source_speaks_plainly(part: str) -> None:
    files = [p for p in SOURCE.rglob("*.py") if part_of(p) == part]
    assert [f"{p.relative_to(SOURCE)}:{fault}" for p in files for fault in faults_of(p)] == []


@pytest.mark.skipif(PROSE_PENDING, reason="to follow")
def test_templates_speak_plainly() -> None:
    files = [p for ending in ("html", "css", "js", "j2") for p in SOURCE.rglob(f"*.{ending}")]
    assert files
    assert [f"{p.name}: {phrase}" for p in files for phrase in phrases_in(p.read_text("utf-8"))] == []


@pytest.mark.skipif(PROSE_PENDING, reason="to follow")
@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_prose_speaks_plainly(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert phrases_in(text) == []


if __name__ == "__main__":  # python tests/test_language.py PART …: what is left to change there
    for each in sorted(SOURCE.rglob("*.py")):
        if part_of(each) in sys.argv[1:] or str(each.relative_to(SOURCE)) in sys.argv[1:]:
            print(*(f"{each.relative_to(SOURCE)}:{fault}" for fault in faults_of(each)), sep="\n")
