"""Make the packaged table of what was measured here of single operations, from saved results.

`python -m groklab.papers.furuta2024.measured_table docs/reproductions/furuta2024.json [SWEEP ...]`: the saved
results of `groklab reproduce furuta2024`, and sweeps over task.expression, at one modulus each. Of an operation that
both hold at the same modulus and fraction, the one with more seeds is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from groklab.papers._published import MeasuredOperation
from groklab.papers.furuta2024.claims.operations import FACTORIZABLE, POWERS
from groklab.papers.furuta2024.claims.runs import FRACTION, MORE, OWN, SIZE_SETTINGS
from groklab.reproduction import load
from groklab.store import storage

#: The claims whose quick trials train operations alone: each operation with its share of the pairs.
COMPARED: dict[str, dict[str, float]] = {
    "linear": dict.fromkeys(("add", "2x_y"), FRACTION["quick"]),
    "cross-terms": dict.fromkeys(("multiply", "xy_y"), FRACTION["quick"]),
    "factorizable": dict.fromkeys(FACTORIZABLE.easy + FACTORIZABLE.hard, MORE["quick"]),
    "sums-of-powers": dict.fromkeys(POWERS.easy + POWERS.hard, MORE["quick"]),
}
#: The claims that look at one operation's weights: the operation, and the name of the step at which it grokked.
LOOKED_AT = {
    "subtraction-spectrum": ("subtract", "grokked_step"),
    "shifted-product": ("xy_x_y", "grokked_step"),
    "squares-spectrum": ("x2_y2", "grokked_step"),
    "relabelled-addition": ("x_plus_y_power_5", "fifth_power_grokked_step"),
}
TABLE = Path(__file__).parent / "data" / "measured_table.json"
P = SIZE_SETTINGS["quick"]["task.p"]


def _row(
    operation: str, frac_train: float, p: int, steps: Sequence[int | None], best: float | None
) -> MeasuredOperation:
    grokked = sum(step is not None for step in steps)
    return MeasuredOperation(operation, frac_train, p, len(steps), grokked, best)


def rows_of(saved: dict[str, Any]) -> Iterator[MeasuredOperation]:
    """Yield the rows of `papers.measured_rows` in saved results, one per operation of the quick trials."""
    for claim in saved["claims"]:
        evidence = claim.get("quick")
        if evidence is None or claim["id"] not in {*COMPARED, *LOOKED_AT}:
            continue
        measured = {name: entry["values"] for name, entry in evidence["measured"].items()}
        for operation, fraction in COMPARED.get(claim["id"], {}).items():
            best = max(measured[f"{operation}_best_test_accuracy"])
            yield _row(operation, fraction, P, measured[f"{operation}_grokked_step"], best)
        if claim["id"] in LOOKED_AT:
            operation, steps = LOOKED_AT[claim["id"]]
            own = OWN.get(operation, {})
            fraction, p = own.get("split__frac_train", FRACTION["quick"]), own.get("task__p", P)
            yield _row(operation, fraction, p, measured[steps], None)


def rows_of_sweep(folder: Path) -> Iterator[MeasuredOperation]:
    """Yield the rows of a sweep over operations, one per operation and fraction, with its seeds together."""
    # sweeps know presets by name, so that this package is there before they are
    from groklab.sweeps import Sweep

    swept = Sweep(folder)
    best = swept.curves().group_by("member").agg(pl.col("test_accuracy").max().alias("best"))
    members = swept.table.filter(pl.col("status") == "finished").join(best, on="member", how="left")
    cells: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for member in members.iter_rows(named=True):
        experiment = swept.experiment(member["member"])
        cells.setdefault((experiment.task.expression, float(experiment.split.frac_train or 0)), []).append(member)
    p = swept.experiment(0).task.p
    for (operation, fraction), rows in cells.items():
        yield _row(operation, fraction, p, [row["grokked_step"] for row in rows], max(row["best"] for row in rows))


def main(arguments: Sequence[str]) -> None:
    """Write the table; `arguments` hold the file of saved results, sweeps, and --out FILE for another place."""
    given = list(arguments)
    path = Path(given.pop(given.index("--out") + 1)) if "--out" in given else TABLE
    file, *sweeps = [word for word in given if word != "--out"]
    rows = [*rows_of(load(Path(file))), *(row for name in sweeps for row in rows_of_sweep(Path(name)))]
    kept: dict[Any, MeasuredOperation] = {}
    for row in rows:
        key = (row.operation, row.p, row.frac_train)
        if key not in kept or row.seeds > kept[key].seeds:
            kept[key] = row
    made_by = "python -m groklab.papers.furuta2024.measured_table"
    storage.write_json(path, {"made_by": made_by, "rows": [asdict(row) for row in kept.values()]})


if __name__ == "__main__":
    main(sys.argv[1:])
