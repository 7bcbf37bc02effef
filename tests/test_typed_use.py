"""The types that code of a user's own sees: mypy checks this module with the sources, and pytest runs it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import pytest

import groklab as gl
import groklab.sweeps
from groklab.sweeps import Study, Sweep, find_sweep, study


def test_the_list_of_sweeps_shares_its_name_with_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROKLAB_HOME", str(tmp_path))
    assert_type(gl.sweeps(), list[Sweep])
    assert gl.sweeps() == gl.sweeps(tmp_path) == gl.sweeps(home=str(tmp_path)) == []
    assert gl.Sweep is Sweep
    assert (gl.sweeps.study, groklab.sweeps.find_sweep) == (study, find_sweep)
    assert [assert_type(study(sweep), Study) for sweep in gl.sweeps()] == []
