"""`groklab tasks` and `groklab tasks explain`, and the functions that they are twins of."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from groklab.cli import main
from groklab.cli.tasks import measured, published
from groklab.errors import DamagedError
from groklab.papers import _published as tables
from groklab.papers import explain_task
from groklab.papers._task_explanation import MAX_P
from groklab.tasks import FURUTA_OPERATIONS, OPERATIONS


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["groklab", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == code, (out, err)
        return out, err

    return run


def as_json(program: Any, *arguments: str) -> dict[str, Any]:
    out, err = program(*arguments, "--json")
    assert err == ""
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
    return found


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_names_the_papers_of_each_operation(program: Any) -> None:
    rows = as_json(program, "tasks")["tasks"]
    assert [row["name"] for row in rows] == list(OPERATIONS)
    paper = [row for row in rows if "furuta2024" in row["papers"]]
    assert [row["name"] for row in paper] == list(FURUTA_OPERATIONS)
    assert Counter(row["group"] for row in paper) == {
        "elementary": 3,
        "linear": 4,
        "cross terms of degree 1": 3,
        "univariate terms": 4,
        "cross terms of degree n": 4,
        "sums of powers": 7,
        "factorizable": 10,
    }
    by_name = {row["name"]: row for row in rows}
    assert by_name["add"]["papers"] == ["nanda2023", "furuta2024", "mallinar2024", "liu2022"]
    assert by_name["x3_xy2_x"]["papers"] == ["mallinar2024"]
    assert by_name["xy_x_m_y"]["papers"] == []
    assert all(row["formula"] == OPERATIONS[row["name"]].expression for row in rows)
    folders = {path.parent.name for path in Path(tables.__file__).parent.glob("*/presets.py")}
    assert {module for row in rows for module in row["papers"]} <= folders


def test_the_list_for_people_has_its_families(program: Any) -> None:
    out, _ = program("tasks")
    lines = out.splitlines()
    assert [line.strip() for line in lines if not line.startswith("  ")] == list(
        dict.fromkeys(o.group for o in OPERATIONS.values())
    )
    assert sum(line.startswith("  ") for line in lines) == len(OPERATIONS)


# --- one operation ---------------------------------------------------------------------------------------------------


def test_what_is_said_of_the_quadratic(program: Any) -> None:
    found = as_json(program, "tasks", "explain", "x**2+x*y+y**2", "--p", "97", "--seeds", "3")
    assert found == json.loads(json.dumps(explain_task("x2_xy_y2", seeds=3).to_dict())) | {
        "expression": "x**2+x*y+y**2"
    }
    assert (found["formula"], found["operation"], found["p"]) == ("x^2 + x*y + y^2", "x2_xy_y2", 97)
    assert found["algebra"]["field"]["text"] == "(x + 36*y)*(x - 35*y)"
    assert found["labels"]["largest_count"] == 193
    assert found["published"]["by_fraction"]["0.8"] is True
    out, _ = program("tasks", "explain", "a**2+a*b+b**2", "--seeds", "3")
    for text in (
        "depends on  no form u*x + v*y alone",
        "symmetry  f(y, x) = f(x, y)",
        "over Z  x^2 + x*y + y^2, irreducible",
        "mod 97  (x + 36*y)*(x - 35*y)",
        "x^2: 49 of 97 values; gcd(2, 96) = 2",
        "97, 96 to 193 times; entropy 4.5707 nats",
        "grokked from a fraction of 0.8; best test accuracy 34% at 0.3",
    ):
        assert text in out, text


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["x5_y5"], ["addition with operands and answers renamed", "x^5: 97 of 97 values, one-to-one"]),
        (["x*y + x + y"], ["zero is x = 96 and y = 96, and the answer 96", "g(x)*h(y) - 1"]),
        (["divide"], ["undefined at y = 0", "it divides by a variable, and is not a polynomial"]),
        (["(a+b)^2", "--p", "96"], ["x + y alone, not one-to-one: 14 answers", "not a field, as 96 is not a prime"]),
        (["add_unreduced", "--p", "11"], ["x + y on 0..10", "its answers are not reduced mod p", "infinite in"]),
        (["y + x", "--seeds", "1"], ["same answers  add\n", "each 97 times"]),
        (["(a - b)^3"], ["f(y, x) = -f(x, y)", "in no operand"]),
        (["0*x + 0*y + 3"], ["constant  all its answers are the same"]),
    ],
)
def test_what_is_said_for_people(program: Any, arguments: list[str], texts: list[str]) -> None:
    out, err = program("tasks", "explain", *arguments, *([] if "--seeds" in arguments else ["--seeds", "5"]))
    assert err == ""
    lines = [line.rstrip() + "\n" for line in out.splitlines()]
    for text in texts:
        assert any(text in line for line in lines), text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["foo_bar"], "task.expression"),
        (["multiplication"], "task.expression"),
        (["x^2"], "has 1 operand"),
        (["x + y + z"], "has 3 operands"),
        (["x + y", "--p", "1"], f"from 2 to {MAX_P}"),
        (["x + y", "--p", str(MAX_P + 1)], f"from 2 to {MAX_P}"),
        (["x + y", "--p", "two"], "--p"),
        (["x/3 + y", "--p", "9"], "no inverse"),
        (["x + y", "--frac-train", "1"], "frac_train"),
        (["x + y", "--frac-train", "nan"], "frac-train"),
        (["x + y", "--p", "3", "--frac-train", "0.01"], "leaves no training input"),
        (["x + y", "--seeds", "0"], "seeds"),
        (["random"], "task of its own"),
        ([], "EXPRESSION"),
    ],
)
def test_what_cannot_be_explained(program: Any, arguments: list[str], message: str) -> None:
    out, err = program("tasks", "explain", *arguments, code=2)
    assert out == ""
    assert err.startswith("groklab: ")
    assert err.count("\n") == 1
    assert message in err


# --- resemblance -----------------------------------------------------------------------------------------------------


def test_an_operation_resembles_those_that_share_most() -> None:
    found = explain_task("x^3 + 2*x*y", seeds=1)
    first = found.resembles[0]
    assert (first.operation, first.shared, first.differs) == ("x3_xy", 11, [])
    shared = [row.shared for row in found.resembles]
    assert shared == sorted(shared, reverse=True)
    for row in found.resembles:
        assert row.shared + len(row.differs) + len(row.unknown) == row.of == len(found.properties)
        assert {*row.differs, *row.unknown} <= set(found.properties)
        by_operation = tables.published_tables("furuta2024")["grokked"]["operations"]
        assert row.published.by_fraction == by_operation[row.operation]


def test_what_resembles_is_another_operation() -> None:
    for expression in ("add", "y + x"):
        found = explain_task(expression, seeds=1, most=35)
        assert len(found.resembles) == 34
        assert "add" not in [row.operation for row in found.resembles]
    assert explain_task("y + x", seeds=1).same_answers == ["add"]
    assert explain_task("add", seeds=1).same_answers == []
    # x^5 is x mod 5
    assert explain_task("x5_y5", 5, frac_train=0.5, seeds=1).same_answers == ["add", "x_plus_y_power_5"]


def test_what_cannot_be_told_is_not_shared() -> None:
    rows = explain_task("x/y", seeds=1).resembles
    assert all({"total degree", "factors over the integers", "factors mod p"} <= set(row.unknown) for row in rows)
    assert rows[0].operation in ("xy_y", "xy_m_y")
    rows = explain_task("x + 5*y", 96, seeds=1).resembles
    of_a_field = {"a product g(x)*h(y) + c", "factors mod p"}
    # the operation itself is addition renamed, but of some that resemble it that is unknown
    assert all(of_a_field <= set(row.unknown) <= {*of_a_field, "addition or multiplication renamed"} for row in rows)


def test_the_modulus_changes_what_resembles() -> None:
    def renamed(p: int) -> bool:
        first = next(r for r in explain_task("x^3 + 5*y^3", p, seeds=1, most=35).resembles if r.operation == "add")
        return "addition or multiplication renamed" not in first.differs

    assert renamed(59)
    assert not renamed(97)


# --- what is known of operations -------------------------------------------------------------------------------------


def test_published_tables_agree_with_each_other() -> None:
    found = tables.published_tables("furuta2024")
    verdicts = found["grokked"]["operations"]
    assert list(verdicts) == list(FURUTA_OPERATIONS)
    fractions = ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    for name, row in verdicts.items():
        assert list(row) == fractions
        missed = [value for value in row.values() if value is not True]
        # what groks at one fraction does so at every larger one, and accuracies below rise
        assert missed == sorted(missed)
        assert all(row[r] is True for r in fractions[len(missed) :]), name
        assert all(0 < value < 100 for value in missed)
    smallest = found["smallest_fraction"]["operations"]
    assert len(smallest) == 16
    for name, row in smallest.items():
        own = [float(r) for r in fractions if verdicts[name][r] is True]
        assert row["scratch"] == (own[0] if own else None), name
    for name, source in found["grokked_after_transfer"]["operations"].items():
        assert smallest[name][f"{source['from']}_{source['frozen']}"] == 0.3
    parts = found["loss_of_parts"]["operations"]
    assert set(parts["add"]) == set(parts["subtract"])
    assert parts["add"]["key"] < parts["add"]["all"]
    assert parts["subtract"]["key"] > 1e5 * parts["subtract"]["all"]
    assert published(tables.published_of("x3_xy2_y")).startswith("did not grok at any fraction up to 0.9; best")
    assert published(tables.published_of("add")) == "grokked from a fraction of 0.3 (p = 97)"
    assert tables.published_of("divide") is None


ROWS = [
    {"operation": "add", "frac_train": 0.3, "p": 97, "seeds": 3, "grokked": 3, "best_test_accuracy": 1.0, "more": 1},
    {"operation": "x2_xy_y2", "frac_train": 0.5, "p": 97, "seeds": 3, "grokked": 0, "best_test_accuracy": 0.56},
    {"operation": "x2_xy_y2", "frac_train": 0.3, "p": 97, "seeds": 3, "grokked": 1, "best_test_accuracy": 0.341},
]


@pytest.mark.parametrize("content", [ROWS, {"rows": ROWS}])
def test_what_was_measured_here_is_told_apart_from_what_was_published(content: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    assert tables.measured_rows(table) == []
    assert explain_task("x2_xy_y2", seeds=1, table=table).measured == []
    table.write_text(json.dumps(content))
    found = explain_task("x2_xy_y2", seeds=1, table=table)
    assert [row.frac_train for row in found.measured] == [0.3, 0.5]
    assert measured(found.measured) == (
        "1 of 3 grokked at 0.3 (best test accuracy 34.1%); 0 of 3 grokked at 0.5 (best test accuracy 56.0%) (p = 97)"
    )
    assert found.published.by_fraction["0.3"] == 34
    close = explain_task("x + 5*y", seeds=1, most=35, table=table).resembles
    assert [bool(row.measured) for row in close if row.operation in ("add", "subtract")] == [True, False]
    assert measured([]) == "nothing yet"


@pytest.mark.parametrize("content", ["[1]", "{", '{"rows": {}}', '[{"operation": "add"}]', "3"])
def test_a_damaged_table_is_refused(content: str, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text(content)
    with pytest.raises(DamagedError, match=r"rows that hold|cannot be read as a table"):
        explain_task("x + y", seeds=1, table=table)


def test_small_moduli_can_be_explained() -> None:
    for p in (2, 3, 4, 5):
        for expression in ("x + y", "x*y", "x^2 + x*y", "(x + y)^3", "y", "x/y"):
            found = explain_task(expression, p, frac_train=0.5, seeds=2).to_dict()
            assert json.loads(json.dumps(found, allow_nan=False)) == found


# --- label statistics of any task ------------------------------------------------------------------------------------


def test_labels_of_a_mixture_are_told_for_each_operation(program: Any) -> None:
    words = ("tasks", "labels", "furuta2024/mixture-elementary", "task.p=11", "--seeds", "5")
    found = as_json(program, *words)
    assert list(found["by_operation"]) == ["x + y", "x - y", "x*y"]
    assert found["by_operation"]["x + y"]["labels"] == 11
    assert (found["inputs"], found["seeds"], found["split"]["frac_train"]) == (3 * 121, 5, 0.9)
    out, _ = program(*words)
    assert out.count("KL(train||test)") == 4
    assert "x*y: 121 inputs" in out


def test_labels_of_what_has_none_are_refused(program: Any) -> None:
    out, err = program("tasks", "labels", "omnigrok/teacher-student", code=2)
    assert out == ""
    assert "no label can be counted" in err
