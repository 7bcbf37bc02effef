"""The results of each member as status.json keeps them, of a training or of weights that come from elsewhere."""

from __future__ import annotations

import numpy as np

from groklab.experiment import Experiment
from groklab.lazy import pl
from groklab.store import MemberResult, storage
from groklab.text import jsonable
from groklab.training._ensemble import Ensemble, default_every, make_ensemble
from groklab.training._lanes import Lanes, Weights
from groklab.training._records import Records


def cadence_of(ensemble: Ensemble) -> int:
    """Return the steps between the evaluations by which grokking is judged."""
    default = default_every(ensemble.experiments[0], ensemble.tasks[0])
    return max(ensemble.experiments[0].evaluation.every or default, default)


def member_results(
    ensemble: Ensemble, records: Records, weights: Weights, step: int, ended: bool
) -> list[MemberResult]:
    """Return each member's results at a step.

    Args:
        weights: (n_members, …) by name.
        ended: whether training has ended, so that no later record can revoke a step of grokking.
    """
    cadence, criterion = cadence_of(ensemble), ensemble.experiments[0].evaluation.criterion
    ends = {name: records.last(name) for name in records.metrics}

    def events(suffix: str = "") -> list[dict[str, int | None]]:
        memorised = records.reached(f"train_accuracy{suffix}", "sustained_99", cadence, ended)
        grokked = records.reached(f"test_accuracy{suffix}", criterion, cadence, ended)
        return [{"memorised_step": m, "grokked_step": g} for m, g in zip(memorised, grokked, strict=True)]

    results = []
    for m, (experiment, seen) in enumerate(zip(ensemble.experiments, events(), strict=True)):
        last = {k: jsonable(v[m]) for k, v in ends.items()} | {"steps": records.retired.get(m, step)}
        sha = storage.digest({k: v[m] for k, v in weights.items()})
        diverged = not np.isfinite(ends["train_loss"][m])
        row = {**seen, "censored": seen["grokked_step"] is None, **last}
        row |= {"diverged": diverged, "weights_sha256": sha, "seed": experiment.seed}
        names = ensemble.tasks[m].algebra.operations
        if f"test_accuracy_op{len(names) - 1}" in ends:
            row["operations"] = [
                {"operation": name, **events(f"_op{i}")[m], "test_accuracy": jsonable(ends[f"test_accuracy_op{i}"][m])}
                for i, name in enumerate(names)
            ]
        results.append(MemberResult(**row))
    return results


def evaluate(
    experiment: Experiment, weights: Weights, step: int, recorded: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, MemberResult]:
    """Return the metrics and the results of a run that holds one model's weights, as training would have kept them.

    Args:
        step: updates before these weights.
        recorded: what was measured up to then, `step` and any metrics; the others are null, and the last row is
            computed from the weights.

    Raises:
        InputError: where training would refuse the experiment.
    """
    ensemble = make_ensemble([experiment])
    lanes = Lanes(ensemble)
    lanes.begin([weights])
    row = lanes.advance(step, step, 1)
    records = Records(lanes.program.metrics, 1)
    if recorded is not None:
        earlier = recorded.filter(pl.col("step") < step)
        kept = {k: earlier[k] if k in earlier.columns else np.full(len(earlier), np.nan) for k in row}
        records.append(earlier["step"].to_numpy(), {k: np.asarray(v, row[k].dtype)[:, None] for k, v in kept.items()})
    records.append(np.array([step], np.int64), row)
    results = member_results(ensemble, records, {k: v[None] for k, v in weights.items()}, step, ended=True)
    return records.frame(), results[0]
