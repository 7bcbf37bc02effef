"""Claims on the logits of grokked models taken apart by frequency (appendix E, table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from groklab.measures import MEASURES
from groklab.measures.logit_parts import PARTS
from groklab.papers.furuta2024.claims.common import Trained, cleaned_up, trial
from groklab.papers.furuta2024.claims.spectra import ELEMENTARY_COST
from groklab.reproduction import Bench, Claim, Finding
from groklab.reproduction.claim import Size

#: The reading of the paper's key frequencies that is ours to choose: a component of W_L above half of the largest.
RULE = "furuta"


def _losses(bench: Bench, trained: Trained, operation: str, seed: int) -> dict[str, Any]:
    """Training losses of the combinations by name, for each rule of key frequencies, and those it names."""
    bench.check_time()
    experiment = trained.run.experiments[trained.member(operation, seed)]
    rows = trained.train_rows(operation, seed)
    found = MEASURES["logit_parts"](
        trained.weights(operation, seed), trained.task(operation, seed), rows, network=experiment.network
    )
    losses: dict[str, Any] = {}
    for i, rule in enumerate(found["rules"]):
        losses[rule] = dict(zip(PARTS, np.asarray(found["train_loss"])[i].tolist(), strict=True))
        losses[rule]["frequencies"] = (np.flatnonzero(np.asarray(found["is_key"])[i]) + 1).tolist()
    return losses


def _values(trained: Trained, losses: dict[str, Any], operation: str, seed: int) -> dict[str, Any]:
    values: dict[str, Any] = {"grokked_step": trained.grokked(operation, seed)}
    for rule, of in losses.items():
        values |= {f"{rule}_{name}": value for name, value in of.items()}
    return values


def _addition(bench: Bench, size: Size, seeds: Sequence[int]) -> list[Finding]:
    trained = cleaned_up(bench, size, "add", seeds)
    found = []
    for seed in seeds:
        losses = _losses(bench, trained, "add", seed)
        of = losses[RULE]
        uniform = float(np.log(trained.task("add", seed).modulus))
        change = abs(of["key_residual"] / of["all"] - 1)
        worst = min(of["non_key"], of["residual"], of["non_key_residual"])
        values = _values(trained, losses, "add", seed) | {"uniform_loss": uniform, "without_non_key_changes_by": change}
        holds = (
            values["grokked_step"] is not None and of["key"] < of["all"] and change <= 0.01 and worst > 0.95 * uniform
        )
        said = (
            f"key frequencies {', '.join(map(str, of['frequencies']))}: loss {of['all']:.2e} of all parts, "
            f"{of['key']:.2e} of the key ones, without the others {change:.2%} off; {worst:.2f} at least without key "
            f"parts (uniform {uniform:.2f})"
        )
        found.append(Finding(values, bool(holds), said))
    return found


def _subtraction(bench: Bench, size: Size, seeds: Sequence[int]) -> list[Finding]:
    trained = cleaned_up(bench, size, "subtract", seeds)
    found = []
    for seed in seeds:
        losses = _losses(bench, trained, "subtract", seed)
        of = losses[RULE]
        values = _values(trained, losses, "subtract", seed)
        values |= {"key_over_all": of["key"] / of["all"], "without_non_key_over_all": of["key_residual"] / of["all"]}
        holds = values["grokked_step"] is not None and values["key_over_all"] > 1e5
        holds = holds and values["without_non_key_over_all"] > 10
        union = losses["furuta_union"]
        said = (
            f"{len(of['frequencies'])} key frequencies of W_L: loss {of['all']:.2e} of all, {of['key']:.2e} of the key "
            f"parts ({of['key_mean']:.2e} with the mean of each class), {of['key_residual']:.2e} without the others; "
            f"with the {len(union['frequencies'])} of W_E or W_L {union['key']:.2e}, {union['key_mean']:.2e} and "
            f"{union['key_residual']:.2e}"
        )
        found.append(Finding(values, bool(holds), said))
    return found


CLAIMS = [
    Claim(
        id="logit-parts-addition",
        claim="Addition needs its key frequencies alone: with them the loss is lower than with everything.",
        source="appendix E, table 4",
        expected="1.008e-7 of all parts, 4.985e-8 of the key ones, 1.015e-7 without non-key frequencies; 4.576, 5.385 "
        "and 5.383 of non-key, residual and both",
        counter="The paper gives no rule of key frequencies: here a component of W_L above half of the largest. The "
        "bars: key below all, 1% without the non-key, .95 ln p without the key ones.",
        quick=trial(_addition, "quick", ELEMENTARY_COST["quick"], cleaned=True, shares="elementary"),
        full=trial(_addition, "full", ELEMENTARY_COST["full"], cleaned=True, shares="elementary"),
    ),
    Claim(
        id="logit-parts-subtraction",
        claim="Subtraction needs all its parts: with its key frequencies alone the loss is large.",
        source="appendix E, table 4",
        expected="1.336e-7 of all parts, .7141 of the key ones, 5.348e-6 without non-key frequencies; the bars: above "
        "10⁵ times and 10 times all parts",
        counter="The numbers hang on what counts as key, and on whether the mean of each class is given back: both "
        "are told, for the frequencies of W_L and for those of W_E or W_L.",
        quick=trial(
            _subtraction, "quick", ELEMENTARY_COST["quick"], "{}, here from 75%.", cleaned=True, shares="elementary"
        ),
        full=trial(_subtraction, "full", ELEMENTARY_COST["full"], cleaned=True, shares="elementary"),
    ),
]
