"""Run the example notebooks and write them, with their outputs, as pages: `python docs/notebooks.py`.

They go to docs/notebooks/generated/, which is not kept in git. A notebook that has not changed since it was last run is
not run again; `--again` runs all.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from plotly.offline import get_plotlyjs

from groklab.figures import DARK

NOTEBOOKS = Path(__file__).parent.parent / "examples" / "notebooks"
FOLDER = Path(__file__).parent / "notebooks" / "generated"
PLOTLY = "application/vnd.plotly.v1+json"
#: Seconds that a cell may take; training the largest model takes 40 on two cores.
TIMEOUT = 240
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: Lines of a block of text end where the page does.
PROSE = textwrap.TextWrapper(92, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
PROSE.replace_whitespace = False
#: A data frame's own style, which is that of a notebook and not of this site.
STYLED = re.compile(
    r'<style>(?:(?!</style>).)*\.dataframe(?:(?!</style>).)*</style>|<table border="1" class="dataframe">', re.S
)
#: Draws the figures of a page, and again in the other colours where the reader changes them.
SCRIPT = """const dark = %s;
const recoloured = (node) =>
  typeof node === "string" ? dark[node] || node
  : Array.isArray(node) ? node.map(recoloured)
  : node && typeof node === "object" && node.constructor === Object
    ? Object.fromEntries(Object.entries(node).map(([key, value]) => [key, recoloured(value)]))
  : node;
function drawFigures(figures) {
  const draw = () => {
    const isDark = document.body.dataset.mdColorScheme === "slate";
    for (const [id, figure] of Object.entries(figures)) {
      const { data, layout, frames } = structuredClone(isDark ? recoloured(figure) : figure);
      Plotly.newPlot(id, { data, layout, frames, config: { responsive: true, displaylogo: false } });
    }
  };
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
  draw();
}
"""


def sources() -> list[Path]:
    """Return the notebooks, in the order of their names."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def write(folder: Path = FOLDER, again: bool = False) -> list[Path]:
    """Run every notebook that has changed and write all pages; notebooks share what they train."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources():
            kept, digest = folder / source.name, hashlib.sha256(source.read_bytes()).hexdigest()
            done = nbformat.read(kept, as_version=4) if kept.exists() and not again else None
            if done is None or done.metadata.get("source") != digest:
                start = time.perf_counter()
                done = executed(source, Path(scratch))
                done.metadata["source"] = digest
                print(f"{source.name}: {time.perf_counter() - start:.0f} seconds")
                nbformat.write(done, kept)
            written.append(write_page(done, folder / f"{source.stem}.md"))
    (folder / "plotly.js").write_text(get_plotlyjs(), "utf-8")
    (folder / "figures.js").write_text(SCRIPT % json.dumps(DARK), "utf-8")
    return written


def executed(source: Path, scratch: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs, run in a folder of its own.

    Raises:
        CellExecutionError: where a cell does.
    """
    from nbclient import NotebookClient

    notebook = nbformat.read(source, as_version=4)
    environment = {**os.environ, "GROKLAB_HOME": str(scratch / "runs")}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": scratch}})
    return client.execute(env=environment)


def write_page(notebook: nbformat.NotebookNode, path: Path) -> Path:
    """Write a notebook that has run as a page, and the data of its figures beside it."""
    figures: dict[str, Any] = {}
    parts = [f"[Download this notebook]({path.stem}.ipynb){{ download }}\n"]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source + "\n")
            continue
        parts.append(f"```python\n{cell.source}\n```\n")
        parts += rendered(cell.get("outputs", ()), path, figures)
    # the title comes first, as on every page
    parts[0], parts[1] = parts[1], parts[0]
    heading, _, rest = parts[0].partition("\n")
    parts[:2] = [f"{heading}\n", parts[1], rest]
    if figures:
        path.with_suffix(".js").write_text(f"drawFigures({json.dumps(figures)});\n", "utf-8")
        parts += [f'<script src="{name}"></script>\n' for name in ("plotly.js", "figures.js", f"{path.stem}.js")]
    path.write_text("\n".join(parts), "utf-8")
    return path


def rendered(outputs: Iterable[Any], path: Path, figures: dict[str, Any]) -> list[str]:
    """Return what a cell put out as Markdown; figures are added to `figures` by their place on the page."""
    parts: list[str] = []
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    if text.strip():
        parts.append(as_text(text))
    for output in outputs:
        if "data" in output:
            parts.append(_one(output.data, path, figures))
    return parts


def as_text(text: str) -> str:
    """Return a block of text without the codes of a terminal."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in CONTROL.sub("", text).rstrip("\n").split("\n")]
    return "```text\n" + "\n".join(PROSE.fill(line) if line else "" for line in lines) + "\n```\n"


def _one(data: Any, path: Path, figures: dict[str, Any]) -> str:
    if PLOTLY in data:
        name = f"figure-{len(figures) + 1}"
        figures[name] = {key: data[PLOTLY].get(key, []) for key in ("data", "layout", "frames")}
        height = data[PLOTLY]["layout"].get("height", 450)
        return f'<div id="{name}" style="min-height: {height}px; overflow-x: auto"></div>\n'
    if "text/html" in data:
        return f'<div class="output">{STYLED.sub(_plain, data["text/html"])}</div>\n'
    if "image/svg+xml" in data:
        return f"<figure>{data['image/svg+xml']}</figure>\n"
    if "image/png" in data:
        picture = path.with_name(f"{path.stem}-{hashlib.sha256(data['image/png'].encode()).hexdigest()[:8]}.png")
        picture.write_bytes(base64.b64decode(data["image/png"]))
        return f"![{html.escape(data.get('text/plain', 'picture'))}]({picture.name})\n"
    return as_text(data["text/plain"])


def _plain(styled: re.Match[str]) -> str:
    return "<table>" if styled[0].startswith("<table") else ""


if __name__ == "__main__":
    for page in write(again="--again" in sys.argv):
        print(page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page)
