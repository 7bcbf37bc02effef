"""The example notebooks as they are kept, and how their outputs become pages. `make docs` runs them."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import polars as pl
import pytest
from fenced import ROOT
from plotly.graph_objects import Figure

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
v4 = nbformat.v4


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("groklab_docs_notebooks", ROOT / "docs" / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_is_kept_without_outputs(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None

    def test_it_begins_with_its_title_and_how_to_install(self, path: Path) -> None:
        title, install, first, *_ = nbformat.read(path, as_version=4).cells
        assert re.match(r"# \w[^\n]+\n\n\w", title.source)
        assert [line for line in install.source.splitlines() if not line.startswith("#")] == []
        assert "# %pip install" in install.source
        assert "import groklab as gl" in first.source.splitlines()

    def test_its_code_is_python_in_lines_that_fit_a_page(self, path: Path) -> None:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                ast.parse(cell.source)
                assert max(map(len, cell.source.splitlines())) <= 88

    def test_the_examples_name_it(self, path: Path) -> None:
        assert f"notebooks/{path.name}" in (ROOT / "examples" / "README.md").read_text("utf-8")


def page(notebooks: ModuleType, folder: Path, *outputs: Any) -> str:
    cells = [v4.new_markdown_cell("# A title\n\nA sentence."), v4.new_code_cell("1 + 1", outputs=list(outputs))]
    return notebooks.write_page(v4.new_notebook(cells=cells), folder / "name.md").read_text("utf-8")


def result(**data: Any) -> Any:
    return v4.new_output("execute_result", {k.replace("__", "/"): v for k, v in data.items()})


def test_the_title_comes_first_and_code_with_its_output(notebooks: ModuleType, tmp_path: Path) -> None:
    text = page(
        notebooks, tmp_path, v4.new_output("stream", text="a\rb\n\x1b[31mred\x1b[0m\n"), result(text__plain="2")
    )
    assert text.startswith("# A title\n")
    assert text.index("A sentence.") < text.index("```python\n1 + 1\n```") < text.index("```text\nb\nred\n```")
    assert text.rstrip().endswith("```text\n2\n```")
    assert "<script" not in text


def test_a_figure_is_drawn_by_the_page_and_not_repeated_as_text(notebooks: ModuleType, tmp_path: Path) -> None:
    figure = json.loads(Figure({"data": [{"y": [1, 2]}], "layout": {"height": 321}}).to_json())
    data = {notebooks.PLOTLY: figure, "text/html": "<b>too much</b>", "text/plain": "Figure()"}
    text = page(notebooks, tmp_path, v4.new_output("display_data", data))
    assert '<div id="figure-1" style="min-height: 321px; overflow-x: auto"></div>' in text
    assert "too much" not in text
    assert "Figure()" not in text
    script = (tmp_path / "name.js").read_text("utf-8")
    drawn = json.loads(script.removeprefix("drawFigures(").removesuffix(");\n"))
    assert drawn["figure-1"]["data"][0]["y"] == [1, 2]
    assert text.index("plotly.js") < text.index("figures.js") < text.index("name.js")


def test_a_table_is_html_and_a_picture_is_a_file(notebooks: ModuleType, tmp_path: Path) -> None:
    png = "iVBORw0KGgo="
    text = page(notebooks, tmp_path, result(text__html="<table></table>", text__plain="t"), result(image__png=png))
    assert '<div class="output"><table></table></div>' in text
    frame = page(notebooks, tmp_path, result(text__html=pl.DataFrame({"x": [1]})._repr_html_()))
    assert "<table><thead>" in frame
    assert "<style>" not in frame
    (picture,) = tmp_path.glob("*.png")
    assert f"({picture.name})" in text


def test_a_notebook_is_run_again_only_when_it_has_changed(
    notebooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, runs = tmp_path / "one.ipynb", []

    def executed(path: Path, scratch: Path) -> Any:
        runs.append(path)
        return nbformat.read(path, as_version=4)

    monkeypatch.setattr(notebooks, "executed", executed)
    monkeypatch.setattr(notebooks, "sources", lambda: [source])
    made = v4.new_notebook(cells=[v4.new_markdown_cell("# One\n\nText."), v4.new_code_cell("1")])
    nbformat.write(made, source)
    for again, expected in ((False, 1), (False, 1), (True, 2)):
        notebooks.write(tmp_path / "pages", again)
        assert len(runs) == expected
    made.cells[1].source = "2"
    nbformat.write(made, source)
    notebooks.write(tmp_path / "pages")
    assert len(runs) == 3
    assert "```python\n2\n```" in (tmp_path / "pages" / "one.md").read_text("utf-8")
