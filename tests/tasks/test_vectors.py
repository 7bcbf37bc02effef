from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groklab.errors import InputError
from groklab.tasks import Vectors


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
        ({"inputs": np.ones((2, 2))}, "no readable"),
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
