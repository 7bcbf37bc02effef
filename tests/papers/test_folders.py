"""A paper is one folder: it is found by its name, and nothing else depends on it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from groklab import papers

PAPERS = Path(papers.__file__).parent
SOURCE = PAPERS.parent
PRESETS = """
from groklab.experiment._presets import define

define("mine2025", "micro", shows="Mine.", costs="a second", expect="it groks", source="section 1")
"""
CLAIMS = """
from groklab.reproduction import Bar, Claim, Outcome, Trial, publish

bars = (Bar("seed", "==", 0, "the test's own"),)
outcome = Outcome({"seed": 0}, control={"seed": 1})
trial = Trial(setting="nothing", seeds=1, cost=1, run=lambda trainer, seed: outcome, bars=bars)
about = {"claim": "So.", "source": "1", "expected": "so", "control": "none"}
publish("mine2025", "Mine", [Claim(id="so", **about, quick=trial, full=None)])
"""
PROGRAM = """
import json, sys
import groklab.papers
groklab.papers.__path__.append(sys.argv[1])
import groklab as gl
from groklab.papers import published_map, published_of
from groklab.reproduction import PAPERS, reproduce
from groklab.training._start import read_weights
run = gl.preset("mine2025")
verdict = reproduce("mine2025").claims[0].verdict
assert set(groklab.papers.names()) == set(json.loads(sys.argv[2])), groklab.papers.names()
assert published_map("mine_map").phases().tolist() == [["comprehension"]]
assert published_of("mine_operation").by_fraction == {"0.3": True}
weights = read_weights("groklab:mine2025/start.npz")
print(json.dumps([run.name, verdict, sorted(weights)]))
"""


def test_a_new_folder_has_its_presets_claims_data_and_weights(tmp_path: Path, home: Path) -> None:
    import numpy as np

    data = tmp_path / "mine2025" / "data"
    data.mkdir(parents=True)
    files = {"__init__.py": '"""Mine."""', "presets.py": PRESETS, "claims.py": CLAIMS}
    for name, text in files.items():
        (tmp_path / "mine2025" / name).write_text(text)
    axis = {"key": "seed", "label": "seed", "values": [0]}
    steps = {"rows": axis, "columns": axis, "train_steps": [[10]], "test_steps": [[20]], "budget": 100, "seed": 0}
    content = {"threshold": 0.9, "maps": [{"name": "mine_map", "title": "Mine", "source": "me", **steps}]}
    (data / "published_maps.json").write_text(json.dumps(content))
    table = {"source": "me", "p": 7, "seeds": 1, "grokked": {"operations": {"mine_operation": {"0.3": True}}}}
    (data / "published_tables.json").write_text(json.dumps(table))
    np.savez(data / "start.npz", **{"embed.W_E": np.zeros(3)})
    names = json.dumps([*papers.names(), "mine2025"])
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["mine2025", "reproduced", ["embed.W_E"]]


def test_nothing_outside_a_folder_imports_it() -> None:
    imports = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for parts in (name.split(".") for name in names if name.startswith("groklab.papers.")):
                folder = PAPERS / parts[2]
                if folder.is_dir() and folder not in path.parents:
                    imports.append(f"{path.relative_to(SOURCE)} -> {parts[2]}")
    assert imports == []
