"""Do TF32 and float32 give the same verdicts? `python -m benchmarks gpu-table [STEPS]`: about ten minutes on one card.

Four operations of Furuta et al. 2024 (mod 97), at shares of the pairs around those from which on they grok, with three
seeds: twelve cells, trained in both precisions. A sweep that was stopped continues.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import PRECISIONS, SMALL

OPERATIONS = ("2x_y", "2x_m_y", "xy_y", "xy_m_y")
SHARES = (0.3, 0.4, 0.5)
SEEDS = 3


def cells(precision: str, steps: int, home: str) -> tuple[list[dict[str, Any]], float]:
    """Train the slice in one precision, and return its cells and seconds."""
    import groklab as gl
    from groklab.sweeps import study

    operations, seeds = (OPERATIONS[:2], 1) if SMALL else (OPERATIONS, SEEDS)
    settings = {"matmul_precision": precision, "budget.steps": steps, "measures.names": []}
    small = {"task.p": 7, "network.d_model": 32} if SMALL else {}
    keys = {"task.expression": list(operations), "split.frac_train": list(SHARES)}
    began = time.perf_counter()
    sweep = gl.sweep("furuta2024", keys, overrides={**settings, **small}, seeds=seeds, name=precision, home=home)
    rows = study(sweep).to_dict()["slices"][0]["cells"]
    return rows, time.perf_counter() - began


def main() -> None:
    """Train in both precisions, compare the verdicts, and keep them."""
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 60 if SMALL else 30_000
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    home = os.environ.get("GROKLAB_HOME") or tempfile.mkdtemp()
    found: dict[str, Any] = {"date": date, "steps": steps}
    tables: dict[str, list[dict[str, Any]]] = {}
    path = Path(__file__).parent / "results" / f"{date}-gpu-table.json"
    for name, precision in PRECISIONS.items():
        tables[name], seconds = cells(precision, steps, home)
        found[name] = {"seconds": seconds, "cells": tables[name]}
        print(f"{name}: {seconds:.0f} s; {[c['verdict'] for c in tables[name]]}", flush=True)
        if not SMALL:
            path.write_text(json.dumps(found, indent=1) + "\n")
    pairs = list(zip(*tables.values(), strict=True))
    found["same_verdict"] = sum(a["verdict"] == b["verdict"] for a, b in pairs)
    print(f"the same verdict in {found['same_verdict']} of {len(pairs)} cells")
    if not SMALL:
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"kept in {path}")
