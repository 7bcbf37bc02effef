"""Claims on other tasks: long addition, repeated subsequences, skip trigrams (Nanda et al. 2023, appendix D)."""

from __future__ import annotations

from typing import Any

import numpy as np

from groklab.analysis.checkpoints import take
from groklab.experiment.presets import preset
from groklab.experiment.reading import read
from groklab.reproduction import Bench, Claim, Finding, Trial
from groklab.store.run import Run

CHECKPOINTS = 150


def _run(bench: Bench, name: str, seed: int) -> Run:
    base = preset(name)
    every = max(base.budget.steps // CHECKPOINTS, 1)
    asked = {"name": f"{name}-claims", "seed": base.seed + seed}
    return bench.train(read(base, {**asked, "checkpoints.spacing": "linear", "checkpoints.every": every}))


def _halfway(steps: np.ndarray, losses: np.ndarray) -> list[int | None]:
    """For each column of losses (n, m), the first step at which it has fallen below half of its start."""
    found: list[int | None] = []
    for column in losses.T:
        below = np.flatnonzero(column < column[0] / 2)
        found.append(int(steps[below[0]]) if len(below) else None)
    return found


def _apart(name: str, column: str, what: str) -> Any:
    """A trial: the answers (`answer_loss`) or their positions (`loss`) are learnt at different times."""

    def run(bench: Bench, seed: int) -> Finding:
        frame = take(_run(bench, name, seed), "position_losses")
        losses = np.array(frame[column].to_list(), float)
        losses = losses[:, np.isfinite(losses[0])]
        steps = _halfway(frame["step"].to_numpy(), losses)
        known = [s for s in steps if s is not None]
        spread = max(known) / max(min(known), 1) if len(known) > 1 else None
        values = {f"half_loss_at_{what}_{i}": s for i, s in enumerate(steps)} | {"spread": spread}
        holds = len(known) == len(steps) and spread is not None and spread >= 1.5
        return Finding(values, holds, f"{what}s reach half of their first loss at steps {', '.join(map(str, steps))}")

    return run


def _change(name: str) -> Any:
    """A trial: test accuracy rises from a quarter to three quarters of what it reaches in a small part of training."""

    def run(bench: Bench, seed: int) -> Finding:
        curves = _run(bench, name, seed).curves()
        steps, accuracy = curves["step"], curves["test_accuracy"].astype(float)
        top = float(accuracy.max())
        first, last = (int(steps[np.argmax(accuracy >= share * top)]) for share in (0.25, 0.75))
        width = (last - first) / max(last, 1)
        values = {"best_test_accuracy": top, "quarter_at": first, "three_quarters_at": last, "width": width}
        said = f"test accuracy {top:.1%} at best; a quarter of it at step {first}, three quarters at {last}"
        return Finding(values, top > 0.5 and width < 0.6, said)

    return run


def _late(name: str) -> Any:
    """A trial: the training loss is small long before the test loss falls."""

    def run(bench: Bench, seed: int) -> Finding:
        trained = _run(bench, name, seed)
        curves = trained.curves()
        peak = float(np.nanmax(curves["test_loss"]))
        end = float(np.nanmin(curves["test_loss"][np.nanargmax(curves["test_loss"]) :]))
        member = trained.status["members"][0]
        memorised = member["memorised_step"]
        after = np.flatnonzero((curves["test_loss"] < peak / 2) & (curves["step"] > (memorised or 0)))
        fell = int(curves["step"][after[0]]) if len(after) else None
        values = {
            "memorised_step": memorised,
            "test_loss_peak": peak,
            "test_loss_least_after": end,
            "half_of_peak_at": fell,
        }
        holds = memorised is not None and fell is not None and fell >= 2 * memorised and end < peak / 4
        return Finding(values, holds, f"memorised at {memorised}; test loss peaks at {peak:.3g}, falls to {end:.3g}")

    return run


def _trial(run: Any, setting: str, cost: float, seeds: int = 2) -> Trial:
    return Trial(setting=setting, seeds=seeds, cost=cost, run=run)


SMALL_ADDITION = "Two-digit addition in the place of five: the fewest digits that carry."
CLAIMS = [
    Claim(
        id="addition-digit-by-digit",
        version=2,
        claim="On endless data the digits of long addition are learnt in phase changes of their own.",
        source="appendix D.2",
        expected="each digit's loss falls abruptly, at a time of its own",
        quick=_trial(_apart("nanda2023/small-addition", "loss", "digit"), SMALL_ADDITION, 25),
        full=_trial(_apart("nanda2023/5-digit-infinite", "loss", "digit"), "Five digits, 6,000 steps.", 3600, 3),
    ),
    Claim(
        id="addition-groks",
        claim="On few fixed examples long addition groks.",
        source="appendix D.2",
        expected="training loss 1e-6 by step 1,600, test loss from 8.5 to 0.2 at about 14,000",
        quick=_trial(_late("nanda2023/small-addition-finite"), f"{SMALL_ADDITION} 700 examples, decay 1.", 60),
        full=_trial(_late("nanda2023/5-digit-finite"), "Five digits, 750 examples, 18,000 steps.", 36_000, 1),
    ),
    Claim(
        id="induction-phase-change",
        claim="Induction on repeated subsequences is learnt in a phase change.",
        source="appendix D.3",
        expected="loss 5.05 at the start, 1.23 at step 1,000, then 0.33",
        quick=_trial(
            _change("nanda2023/small-induction"), "Two repeats in 29 tokens of 32 kinds: the shortest of its kind.", 80
        ),
        full=_trial(_change("nanda2023/induction-infinite"), "The saved run's settings, 6,000 steps.", 7200, 1),
    ),
    Claim(
        id="induction-groks",
        claim="On 512 fixed sequences induction is learnt long after they are memorised.",
        source="appendix D.3",
        expected="test loss from 15.6 to 1.8 at step 200,000 to 210,000",
        quick=None,
        full=_trial(_late("nanda2023/induction-finite"), "The saved run's settings, 285,820 steps.", 600_000, 1),
    ),
    Claim(
        id="trigrams-one-by-one",
        version=2,
        claim="On endless data skip trigrams are learnt one by one, each in a phase change.",
        source="appendix D.4",
        expected="loss 2.37 at the start, 0.32 at step 272, 5.9e-3 at 545",
        counter="The published tokens and table are not known; these are groklab's own.",
        quick=_trial(
            _apart("nanda2023/skip-trigrams-infinite", "answer_loss", "trigram"),
            "The full setting, which takes seconds.",
            50,
        ),
        full=_trial(
            _apart("nanda2023/skip-trigrams-infinite", "answer_loss", "trigram"),
            "One layer of attention, 3,000 steps.",
            120,
            3,
        ),
    ),
    Claim(
        id="trigrams-grok",
        claim="On few fixed examples skip trigrams generalise after they are memorised.",
        source="appendix D.4",
        expected="test loss 2.36 at the start, 0.79 at step 454, 0.89 at 908, 0.035 at 2,272",
        counter="The published tokens and table are not known; these are groklab's own.",
        quick=_trial(_late("nanda2023/skip-trigrams-finite"), "The full setting, which takes seconds.", 50),
        full=_trial(_late("nanda2023/skip-trigrams-finite"), "60 examples, 3,000 steps.", 120, 3),
    ),
]
