"""Makes the packaged table of what was measured here from the saved results of `groklab reproduce furuta2024`.

`python -m groklab.papers.furuta2024_claims.measured_table docs/reproductions/furuta2024.json`
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groklab import storage
from groklab.papers.furuta2024_claims.common import ASKED, FRACTION, MORE
from groklab.papers.furuta2024_claims.verdicts import FACTORIZABLE, POWERS
from groklab.papers.furuta2024_tables import MEASURED
from groklab.reproduction.saved import load

#: The claims whose quick trials compare operations alone: each operation with its share of the pairs.
COMPARED: dict[str, dict[str, float]] = {
    "linear": {"add": FRACTION["quick"], "2x_y": MORE["quick"]},
    "cross-terms": {"multiply": FRACTION["quick"], "xy_y": MORE["quick"]},
    "factorizable": dict.fromkeys(FACTORIZABLE.easy + FACTORIZABLE.hard, MORE["quick"]),
    "sums-of-powers": dict.fromkeys(POWERS.easy + POWERS.hard, MORE["quick"]),
}


def rows_of(saved: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `furuta2024_tables.measured` that saved results hold: an operation each of the quick comparisons."""
    rows = []
    for claim in saved["claims"]:
        evidence = claim.get("quick")
        if evidence is None or claim["id"] not in COMPARED:
            continue
        for operation, fraction in COMPARED[claim["id"]].items():
            steps, best = (
                evidence["measured"][f"{operation}_{what}"]["values"] for what in ("grokked_step", "best_test_accuracy")
            )
            rows.append(
                {
                    "operation": operation,
                    "frac_train": fraction,
                    "p": ASKED["quick"]["task.p"],
                    "seeds": len(steps),
                    "grokked": sum(step is not None for step in steps),
                    "best_test_accuracy": max(best),
                }
            )
    return rows


def main(arguments: Sequence[str]) -> None:
    """Write the table; `arguments` hold the file of saved results and, if it is not the packaged one, the table's."""
    path = Path(arguments[1]) if len(arguments) > 1 else MEASURED
    rows = rows_of(load(Path(arguments[0])))
    storage.write_json(path, {"made_by": "python -m groklab.papers.furuta2024_claims.measured_table", "rows": rows})


if __name__ == "__main__":
    main(sys.argv[1:])
