"""Trials over a table: each cell is measured and kept by itself, so that slices from several machines add up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from groklab.errors import InputError, check_choice, shorten

if TYPE_CHECKING:
    from groklab.reproduction._claim import Claim, Outcome, Size, Trainer
    from groklab.reproduction._ledger import Ledger

#: What was measured of each cell, by its name.
CellValues = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Cells:
    """The cells of a trial.

    Args:
        names: all of them, such as `2x_y@0.3`.
        measure: `measure(trainer, name, seeds)` returns what was measured of one cell, in JSON values, for each seed.
        combine: `combine(cells, seed)` makes the outcome of one seed from what was measured of all cells.
    """

    names: tuple[str, ...]
    measure: Callable[[Trainer, str, tuple[int, ...]], Iterable[dict[str, Any]]]
    combine: Callable[[CellValues, int], Outcome]

    def chosen(self, patterns: Sequence[str] | None) -> tuple[str, ...]:
        """Return the cells that are meant, by name or with * and ?; all without patterns."""
        if patterns is None:
            return self.names
        chosen = []
        for pattern in patterns:
            matches = [name for name in self.names if fnmatchcase(name, pattern)]
            if not matches:
                check_choice("cells", pattern, self.names, "a cell is ROW@COLUMN, and * stands for any")
            chosen += matches
        return tuple(dict.fromkeys(chosen))


def check_cells(claims: Sequence[Claim], size: Size, cells: Sequence[str] | None, paper: str) -> None:
    """Check that cells are asked for of one claim that has them; raises InputError."""
    if cells is None:
        return
    trials = [claim.trial(size) for claim in claims]
    if len(trials) == 1 and trials[0] is not None and trials[0].cells is not None:
        if not cells:
            raise InputError("cells", "", "needs the names of cells, with commas between them")
        trials[0].cells.chosen(cells)
        return
    from groklab.reproduction._claim import PAPERS

    with_cells = [
        f"{paper}/{c.id}" for c in PAPERS[paper].claims if (t := c.trial(size)) is not None and t.cells is not None
    ]
    allowed = f"of {paper} these have: {', '.join(with_cells)}" if with_cells else f"no claim of {paper} has cells"
    target = (
        f"{paper}/{claims[0].id} --{size} has no cells" if len(claims) == 1 else f"{paper} is not one claim with cells"
    )
    raise InputError("cells", shorten(",".join(cells)), f"{target}; {allowed}")


def measure_cells(
    trainer: Trainer, ledger: Ledger, claim: Claim, size: Size, seeds: tuple[int, ...], names: Sequence[str]
) -> None:
    """Measure the cells that are not kept yet, and keep each as soon as it is measured."""
    trial = claim.trial(size)
    assert trial is not None
    assert trial.cells is not None
    kept = ledger.cells(claim, size, seeds, names)
    for name in names:
        if set(seeds) <= kept[name].keys():
            continue
        trainer.check_time()
        began = time.monotonic()
        values = list(trial.cells.measure(trainer, name, seeds))
        seconds = (time.monotonic() - began) / len(seeds)
        ledger.add_cells(claim, size, seeds, name, values, seconds)


def combined(ledger: Ledger, claim: Claim, size: Size, seeds: tuple[int, ...]) -> list[tuple[int, Outcome, float]]:
    """Return each seed of which all cells are kept, with its outcome and the seconds that its cells took."""
    trial = claim.trial(size)
    assert trial is not None
    assert trial.cells is not None
    kept = ledger.cells(claim, size, seeds, trial.cells.names)
    complete = [seed for seed in seeds if all(seed in of for of in kept.values())]
    return [
        (
            seed,
            trial.cells.combine({name: of[seed].values for name, of in kept.items()}, seed),
            sum(of[seed].seconds for of in kept.values()),
        )
        for seed in complete
    ]
