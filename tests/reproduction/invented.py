"""Claims that train nothing, or little."""

from __future__ import annotations

from typing import Any

import groklab as gl
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial


class Counted:
    """A trial's function that trains nothing: gives values by seed, and counts how often it was asked."""

    def __init__(self, values: dict[str, Any] | None = None, holds: bool | set[int] = True) -> None:
        self.values, self.holds = values or {"value": 1.5}, holds
        self.asked: list[int] = []

    def __call__(self, trainer: Trainer, seed: int) -> Outcome:
        self.asked.append(seed)
        holds = self.holds if isinstance(self.holds, bool) else seed in self.holds
        return Outcome(
            {**self.values, "holds": holds},
            sentence=f"seed {seed}",
            control={**dict.fromkeys(self.values), "holds": False},
        )


#: The bar of `Counted`.
HOLDS = (Bar("holds", "==", True, "the test's own"),)


def claim(run: Any, *, id: str = "one", seeds: int = 3, **changes: Any) -> Claim:
    trial = {"setting": "nothing", "seeds": seeds, "cost": 6.0, "run": run, "bars": HOLDS}
    own = {k: changes.pop(k) for k in ("setting", "cost", "bars", "together", "fixed", "shares") if k in changes}
    about = {"claim": "It is so.", "source": "section 1", "expected": "so", "full": None, "control": "another"}
    return Claim(**{"id": id, **about, "quick": Trial(**{**trial, **own}), **changes})


def trained(trainer: Trainer, seed: int) -> Outcome:
    """Half a second of training."""
    run = trainer.train(gl.preset("micro-fast", {"seed": seed, "budget.steps": 400}))
    values = {"steps": run.status.step, "holds": True}
    return Outcome(values, sentence=f"seed {seed}", control={"holds": False})
