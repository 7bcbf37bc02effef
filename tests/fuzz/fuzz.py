"""Throws random text at the parser of expressions and the reader of experiments: `make fuzz`.

Only InputError may come out of them, in one line, and what they accept must read back as the same. The cases depend
on the seed alone, so that a failure can be repeated: `python tests/fuzz/fuzz.py --seed 7 --cases 10000`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import groklab as gl
from groklab.errors import InputError
from groklab.experiment import SECTIONS, Experiment, load_yaml, parse_overrides, read
from groklab.tasks import parse

SYMBOLS = [
    *"xyzabcXw0123456789+-*/^()., \t\n_=[]{}'\"\\é²٣\x00\ud800",
    *("**", "//", "x^", "^-", "^(-", "(x", ")", "x*y", "2x", "xy", "10", "999999999", "1000000000", "--", "__import__"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 5, 7, 0.5, -0.5, 1e-3, 1e300, 10**12, 2**64, 10**400, -0.0),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "x",
        "x + y",
        "x/y",
        "é",
        "\x00",
        "1e-3",
        "5",
        "yes",
        "../..",
        "~",
    ),
    *(
        [],
        [1],
        [1, 2],
        ["a"],
        [[1]],
        {},
        {"p": 5},
        {"kind": "sgd"},
        {"kind": None},
        {"a": {"b": {"c": 1}}},
        [{"step": 5}],
    ),
    *(
        "adamw",
        "sgd",
        "mlp",
        "transformer",
        "mse",
        "cross_entropy",
        "random_labels",
        "table",
        "float64",
        "log",
        "linear",
    ),
]
TEXTS = [
    *(
        "5",
        "-1",
        "1e-3",
        "true",
        "yes",
        "null",
        "~",
        ".nan",
        "-.inf",
        "[1, 2]",
        "{a: 1}",
        "[",
        "{",
        "'",
        '"',
        "&a [*a]",
    ),
    *(
        "*a",
        "!!python/name:os.system",
        "!!binary x",
        "!!set {a}",
        "2020-01-01",
        "2020-99-99",
        "0x1f",
        "1_000",
        "1:30:00",
        "010",
        "1e3",
        "+3",
        ".5",
        "5.",
        "1e400",
        "no",
        "{a: }",
        "[1,, 2]",
    ),
    *(
        "? 1",
        "- x",
        ": ",
        "#",
        "|",
        ">",
        "%",
        "@",
        "`",
        "x: y: z",
        "\t",
        "\x00",
        "\ud800",
        "=",
        "a=b",
        "<<",
        "9" * 5000,
    ),
]


def random_expression(draw: random.Random) -> str:
    """A formula, whole or with some symbols exchanged."""

    letters = draw.choice(["xyz", "abc"])

    def formula(depth: int) -> str:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice([*letters, *letters, "2", "13", "0"])
        form = draw.choice(
            ["{}+{}", "{} - {}", "{}*{}", "({})/({})", "({})^2", "-{}", "({}){}", "{}**3", "({})^-1", "2{}"]
        )
        return form.format(*(formula(depth - 1) for _ in range(form.count("{}"))))

    text = formula(draw.randrange(5))
    if draw.random() < 0.3:
        return "".join(draw.choices(SYMBOLS, k=draw.randrange(30)))
    for _ in range(draw.choice([0, 0, 1, 1, 2, 5])):
        place = draw.randrange(len(text) + 1)
        text = text[:place] + draw.choice(SYMBOLS) + text[place + draw.randrange(2) :]
    return text * draw.choice([1, 1, 1, 1, 2, 60])


def check_expression(draw: random.Random) -> bool:
    """One expression; whether it was accepted."""
    text = random_expression(draw)
    try:
        found = parse(text)
    except InputError as error:
        assert_one_line(error)
        return False
    again = parse(str(found))
    assert again == found, (text, str(found))
    assert str(again) == str(found), text
    p = draw.choice([2, 3, 4, 5, 6, 7])
    try:
        table, other = found.table(p), again.table(p)
    except InputError as error:
        assert_one_line(error)
        return True
    assert np.array_equal(table, other), text
    assert table.shape == (p,) * len(found.variables)
    assert ((table >= -1) & (table < p)).all(), text
    return True


def leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all settings below a description."""
    found = [path] if path else []
    if isinstance(node, dict):
        for key, value in node.items():
            found += leaves(value, (*path, str(key)))
    return found


def mutated(draw: random.Random, description: dict[str, Any]) -> dict[str, Any]:
    """A description in which some settings are changed, added, removed or misspelt."""
    made: dict[str, Any] = json.loads(json.dumps(description))
    for _ in range(draw.choice([0, 1, 1, 2, 3, 8])):
        paths = leaves(made)
        if not paths:
            break
        *above, key = draw.choice(paths)
        node = made
        for part in above:
            node = node[part]
        if not isinstance(node, dict) or key not in node:
            continue
        deed = draw.randrange(5)
        if deed == 0:
            del node[key]
        elif deed == 1:
            node[key + draw.choice("x._ 1")] = node.pop(key)
        elif deed == 2:
            node[draw.choice([*SECTIONS, "kind", "p", "steps", ""])] = draw.choice(VALUES)
        else:
            node[key] = draw.choice(VALUES)
    return made


def check_accepted(experiment: Experiment) -> None:
    """What was accepted reads back as the same, from its dictionary and from its YAML."""
    try:
        identity = experiment.identity
    except InputError:
        return  # a table whose file is not there
    for again in (read(experiment.to_dict()), read(yaml.safe_load(experiment.to_yaml()))):
        assert again == experiment, experiment
        assert again.identity == identity, experiment
    assert json.loads(json.dumps(experiment.to_dict(), allow_nan=False)) == experiment.to_dict()
    assert isinstance(experiment.program, str)
    assert all(isinstance(v, float) for v in experiment.hyperparameters.values())


def check_description(draw: random.Random) -> bool:
    """One nested description with overrides laid over it; whether it was accepted."""
    base = gl.preset(draw.choice(list(gl.PRESETS))).to_dict()
    overrides = {}
    for _ in range(draw.choice([0, 0, 1, 2, 4])):
        path = ".".join(draw.choice(leaves(base)))
        if draw.random() < 0.2:
            path += draw.choice([".", ".x", "x", ".groups.a.b", ".init_std.W_E", ".kind"])
        overrides[path] = draw.choice(VALUES)
    try:
        experiment = read(mutated(draw, base), overrides)
    except InputError as error:
        assert_one_line(error)
        return False
    check_accepted(experiment)
    return True


def check_arguments(draw: random.Random) -> bool:
    """Arguments of the command line; whether they were accepted."""
    settings = gl.preset("micro").to_dict()
    arguments = []
    for _ in range(draw.choice([1, 1, 2, 3])):
        path = draw.choice(leaves(settings))
        own = settings
        for part in path:
            own = own[part]
        key = ".".join(path) if draw.random() < 0.95 else draw.choice(TEXTS)
        chance = draw.random()
        if chance < 0.4:
            value = json.dumps(own)
        elif chance < 0.8:
            value = draw.choice([*TEXTS, *map(str, VALUES)])
        else:
            value = "".join(draw.choices(SYMBOLS, k=draw.randrange(8)))
        arguments.append(key + draw.choice(["="] * 9 + [""]) + value)
    try:
        experiment = gl.preset("micro", parse_overrides(arguments))
    except InputError as error:
        assert_one_line(error)
        return False
    check_accepted(experiment)
    return True


def check_file(draw: random.Random, file: Path) -> bool:
    """A YAML file with some characters exchanged; whether it was accepted."""
    text = gl.preset(draw.choice(["micro", "micro-late"])).to_yaml()
    for _ in range(draw.choice([0, 1, 1, 2, 4])):
        place = draw.randrange(len(text) + 1)
        inserted = draw.choice([*TEXTS, *SYMBOLS, "\n", "  ", ": ", "- "])
        text = text[:place] + inserted + text[place + draw.choice([0, 0, 1, 5, 40]) :]
    file.write_bytes(text.encode(errors="surrogatepass"))
    try:
        experiment = read(load_yaml(file))
    except InputError as error:
        assert_one_line(error)
        return False
    check_accepted(experiment)
    return True


def assert_one_line(error: InputError) -> None:
    """A refusal must say something, and not half a page."""
    assert str(error).strip()
    assert len(str(error)) < 1200, str(error)[:2000]


def fuzz(seed: int, cases: int) -> None:
    """Run all of them, and print how many cases there were; cases: of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asked.yaml"
        checks: dict[str, tuple[Callable[[random.Random], bool], int]] = {
            "expressions": (check_expression, cases),
            "descriptions": (check_description, cases),
            "arguments": (check_arguments, cases),
            # YAML is slow to read
            "files": (lambda draw: check_file(draw, file), max(1, cases // 10)),
        }
        for name, (check, count) in checks.items():
            began, seen = time.perf_counter(), Counter[bool]()
            for number in range(count):
                try:
                    seen[check(random.Random(f"{seed} {name} {number}"))] += 1
                except Exception:
                    print(f"{name}: case {number} of seed {seed} failed", file=sys.stderr)
                    raise
            assert seen[True] > count // 100, f"{name}: hardly anything was accepted"
            assert seen[False] > count // 100, f"{name}: hardly anything was refused"
            took = time.perf_counter() - began
            print(f"{name}: {count:,} cases, {seen[True]:,} accepted, {seen[False]:,} refused, {took:.0f} s")


def main() -> None:
    """Fuzz as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10_000, help="cases of each kind")
    asked = parser.parse_args()
    fuzz(asked.seed, asked.cases)


if __name__ == "__main__":
    main()
