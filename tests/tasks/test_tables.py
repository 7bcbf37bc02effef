from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import groklab as gl
from groklab.errors import InputError
from groklab.tasks import Table, Vectors


def written(folder: Path, text: str | bytes, name: str = "mine.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def packed(folder: Path, **arrays: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return written(folder, buffer.getvalue(), "mine.npz")


def test_integers_stay_as_they_are(tmp_path: Path) -> None:
    task = Table(path=written(tmp_path, "a,b,c\n0,1,5\n2, 0,0\n\n9,9,1\n")).build()
    assert task.inputs.tolist() == [[0, 1], [2, 0], [9, 9]]
    assert task.targets.tolist() == [5, 0, 1]
    assert (task.d_vocab, task.n_classes, task.name) == (10, 6, "mine")
    assert task.inputs.dtype == task.targets.dtype == np.int32


def test_words_share_one_alphabetical_vocabulary(tmp_path: Path) -> None:
    text = "first,second,product\ne,e,e\ne,s,s\ns,e,s\ns,s,e\n"
    task = Table(path=written(tmp_path, text)).build()
    assert task.algebra.words == ("e", "s")
    assert task.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert task.targets.tolist() == [0, 1, 1, 0]
    assert task.algebra.commutative


def test_words_follow_the_integers(tmp_path: Path) -> None:
    text = "a,op,b,c\n1,plus,2,3\n1,minus,2,9\n"
    task = Table(path=written(tmp_path, text)).build()
    assert task.inputs.tolist() == [[1, 4, 2], [1, 3, 2]]
    assert task.d_vocab == 5
    assert not task.algebra.commutative


def test_a_table_without_a_header_keeps_its_first_row(tmp_path: Path) -> None:
    path = written(tmp_path, "0,1,5\n2,0,0\n")
    task = Table(path=path, header=False).build()
    assert (task.inputs.tolist(), task.targets.tolist()) == ([[0, 1], [2, 0]], [5, 0])
    task = Table(path=path, header=False, inputs=("3", "1"), answer="2").build()
    assert (task.inputs.tolist(), task.targets.tolist()) == ([[5, 0], [0, 2]], [1, 0])
    task = Table(path=path, header=True).build()  # names that are numbers
    assert task.inputs.tolist() == [[2, 0]]
    with pytest.raises(InputError, match="needs at least one row"):
        Table(path=written(tmp_path, "\n"), header=False).build()
    with pytest.raises(InputError, match="the first row has 3"):
        Table(path=written(tmp_path, "0,1,5\n2,0\n"), header=False).build()


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a;b;c\r\n0;1;5\r\n2;0;0\r\n;;\r\n\r\n", ";"),
        ("a\tb\tc\n0\t1\t5\n2\t0\t0\n", "tab"),
        ('\ufeff"a","b","c"\n"0","01","5"\n2 ,0, 0\n,,\n   \n', ","),
    ],
)
def test_files_of_spreadsheets(tmp_path: Path, text: str, separator: Any) -> None:
    task = Table(path=written(tmp_path, text), separator=separator, answer="c").build()
    assert (task.inputs.tolist(), task.targets.tolist()) == ([[0, 1], [2, 0]], [5, 0])


def test_header_and_separator_are_described_where_they_are_set(tmp_path: Path) -> None:
    path = written(tmp_path, "0;1;5\n2;0;0\n")
    settings = {"kind": "table", "path": path}
    plain = gl.read({"task": settings})
    # runs that were made before there were such settings keep their identity
    assert set(plain.to_dict()["task"]) == {"kind", "path", "inputs", "answer", "content"}
    made = gl.read({"task": {**settings, "header": False, "separator": ";"}})
    assert gl.read(made.to_dict()) == made
    assert made.identity != plain.identity


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path, "answer,b,a,note\n1,2,3,x\n4,5,6,x\n")
    task = Table(path=path, inputs=("a", "b"), answer="answer").build()
    assert task.inputs.tolist() == [[3, 2], [6, 5]]
    assert task.targets.tolist() == [1, 4]
    for fields, field in [({"answer": "c"}, "task.answer"), ({"inputs": ("q",)}, "task.inputs")]:
        with pytest.raises(InputError, match="unknown; columns of") as caught:
            Table(path=path, **fields).build()
        assert caught.value.field == field
    for inputs in ((), ("a", "a"), ("answer",)):
        with pytest.raises(InputError, match="different columns"):
            Table(path=path, inputs=inputs, answer="answer").build()


def test_npz(tmp_path: Path) -> None:
    inputs, answers = np.array([[0, 1, 2], [2, 1, 0]]), np.array([7, 3], dtype=np.uint8)
    task = Table(path=packed(tmp_path, inputs=inputs, answers=answers)).build()
    assert np.array_equal(task.inputs, inputs)
    assert (task.n_classes, task.d_vocab, task.n_ctx) == (8, 3, 3)


def test_repeated_rows_count_once(tmp_path: Path) -> None:
    task = Table(path=written(tmp_path, "a,b,c\n3,1,5\n0,0,0\n3,1,5\n")).build()
    assert task.inputs.tolist() == [[3, 1], [0, 0]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a,b,c\n", "at least one row"),
        ("", "at least one row"),
        ("a,b,c\n1,2\n", "2 values in line 2; the header has 3"),
        ("a,b,c\n1,2,3\n1,2,4\n", "[1, 2] two answers, in rows 1 and 2"),
        ("a,b,c\n1,2,3\n1,x,4\n", "'x' in column 'b', line 3"),
        ("a,b,c\n1,x,3\n1,2,4\n", "integers only or words only"),
        ("a,b,c\n1,2.5,3\n", "'2.5' in column 'b'"),
        ("a,b,c\n1,2,nan\n", "'nan' in column 'c'"),
        ("a,b,c\n1,,3\n", "empty value in column 'b'"),
        ("a,b,c\n-1,2,3\n", "0 to 100000"),
        ("a,b,c\n100001,2,3\n", "0 to 100000"),
        (f"a,b,c\n{'9' * 5000},2,3\n", "0 to 100000"),
        ("a,a,c\n1,2,3\n", "different column names"),
        ("a\n1\n", "two or more"),
        ("a;b;c\n1;2;3\n", "has one column at task.separator=','; give task.separator=';'"),
        ("a\tb\tc\n1\t2\t3\n", "give task.separator='tab'"),
        ("a b c\n1 2 3\n", "two or more columns; its first line is 'a b c'"),
        (
            "0,1,2\n1,2,3\n",
            "begins with '0, 1, 2', which looks like data and not like a header; give",
        ),
        ("-1.5,x,y\n1,2,3\n", "looks like data"),
        ("e,s,s\ns,e,s\ne,e,e\ns,s,e\n", "looks like data"),
        ('a,b,c\n"1,5",2,3\n', "'1,5' in column 'a', line 2; a column holds integers only or words only"),
        ("a,b,c\n1,2,3,\n", "4 values in line 2; the header has 3"),
        ("a,b,c\n1_0,2,3\n2,2,3\n", "'2' in column 'a', line 3; a column holds integers only or words only"),
        ("a,b,c\n1,2,3\n1e3,2,3\n", "'1e3' in column 'a', line 3, which is not an integer"),
        (b"a,b\n\xff\xfe,2\n", "not a readable CSV"),
        ('a,b\n"1,2\n', "not a readable CSV"),
    ],
)
def test_what_is_wrong_with_a_csv_is_said_in_one_sentence(tmp_path: Path, text: str | bytes, part: str) -> None:
    with pytest.raises(InputError) as caught:
        Table(path=written(tmp_path, text)).build()
    assert caught.value.field == "task.path"
    assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_wrong_with_an_npz_is_said(tmp_path: Path) -> None:
    pair, one = np.array([[0, 1]]), np.array([1])
    cases = [
        ({"inputs": pair}, "not a readable"),
        ({"inputs": pair * 0.5, "answers": one}, "needs integers in 'inputs'"),
        ({"inputs": pair[0], "answers": one}, r"\(N, k\)"),
        ({"inputs": pair, "answers": np.array([1, 2])}, r"\(N, k\)"),
        ({"inputs": pair - 1, "answers": one}, "outside 0 to"),
        ({"inputs": np.zeros((0, 2), int), "answers": np.zeros(0, int)}, r"\(N, k\)"),
        ({"inputs": np.array([[print]]), "answers": one}, "not a readable"),  # would need pickle
    ]
    for arrays, part in cases:
        with pytest.raises(InputError, match=part):
            Table(path=packed(tmp_path, **arrays)).build()
    with pytest.raises(InputError, match="CSV files only"):
        Table(path=packed(tmp_path, inputs=pair, answers=one), answer="answers").build()


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Table(path=str(tmp_path / "none.csv")).build()
    with pytest.raises(InputError, match="cannot be read: it is a folder"):
        Table(path=str(tmp_path)).fingerprint()
    with pytest.raises(InputError, match=r"\.csv or \.npz"):
        Table(path=written(tmp_path, "a,b\n1,2\n", "mine.txt")).build()


def test_the_content_is_part_of_the_identity(tmp_path: Path) -> None:
    path = written(tmp_path, "a,b\n1,2\n")
    digest = Table(path=path).fingerprint()
    assert digest == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert Table(path=path, content=digest).build().n_inputs == 1
    written(tmp_path, "a,b\n1,3\n")
    with pytest.raises(InputError, match=r"task\.content"):
        Table(path=path, content=digest).build()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from(["csv", "npz"]))
def test_damaged_files_raise_nothing_but_input_errors(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, kind: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if kind == "csv":
        whole = b"a,b,c\n" + b"1,2,3\n" * 5
    else:
        whole = Path(packed(folder, inputs=np.arange(6).reshape(3, 2), answers=np.arange(3))).read_bytes()
    at = min(at, len(whole))
    path = written(folder, whole[:at] + noise + whole[at + len(noise) :], f"damaged.{kind}")
    with contextlib.suppress(InputError):
        Table(path=path).build()


def saved(folder: Path, **arrays: Any) -> str:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def test_rows_and_classes_are_those_of_the_file(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    task = Vectors(path=saved(tmp_path, inputs=inputs, answers=np.array([0, 2, 1, 2, 0]))).build()
    np.testing.assert_array_equal(task.features, inputs.astype(np.float64))
    assert (task.n_inputs, task.n_ctx, task.n_classes, task.shape.n_features) == (5, 0, 3, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.array([[1.0, np.nan]]), "answers": [0]}, "not finite in row 1"),
        ({"inputs": np.array([[1.0], [np.inf]]), "answers": [0, 1]}, "not finite in row 2"),
        ({"inputs": np.ones((2, 2)), "answers": [0]}, r"needs inputs \(N, k\) and answers \(N,\)"),
        ({"inputs": np.ones((2, 2)), "answers": [0.0, 1.0]}, "needs integers in 'answers'"),
        ({"inputs": np.array([["a"]]), "answers": [0]}, "needs numbers in 'inputs'"),
        ({"inputs": np.ones((2, 2)), "answers": [0, -1]}, "answers outside 0"),
        ({"inputs": np.ones((2, 2))}, "not a readable"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Vectors(path=saved(tmp_path, **arrays)).build()


def test_missing_and_altered_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Vectors(path=str(tmp_path / "none.npz")).build()
    path = saved(tmp_path, inputs=np.ones((2, 2)), answers=[0, 1])
    assert Vectors(path=path, content=Vectors(path=path).fingerprint()).build().n_inputs == 2
    with pytest.raises(InputError, match="has the content"):
        Vectors(path=path, content="0" * 64).build()
