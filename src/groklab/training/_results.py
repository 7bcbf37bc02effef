"""The results of each member as status.json keeps them, of a training or of weights that come from elsewhere."""

from __future__ import annotations

import numpy as np

from groklab import grokking
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
        own = slice(records.before(row["steps"]) + 1)
        curve = records.steps[own], records.metrics["test_accuracy"][own, m]
        row["lowest_since_grokked"] = grokking.lowest_since(*curve, seen["grokked_step"])
        row |= {"diverged": diverged, "weights_sha256": sha, "seed": experiment.seed}
        names = ensemble.tasks[m].algebra.operations
        if f"test_accuracy_op{len(names) - 1}" in ends:
            row["operations"] = [
                {"operation": name, **events(f"_op{i}")[m], "test_accuracy": jsonable(ends[f"test_accuracy_op{i}"][m])}
                for i, name in enumerate(names)
            ]
        results.append(MemberResult(**row))
    return results


def evaluate(experiment: Experiment, weights: Weights, step: int) -> pl.DataFrame:
    """Return the metrics of one model's weights, as the one row that training would have kept of them.

    Args:
        step: updates before these weights.

    Raises:
        InputError: where training would refuse the experiment.
    """
    lanes = Lanes(make_ensemble([experiment]))
    lanes.begin([weights])
    row = {name: values[0] for name, values in lanes.advance(step, step, 1).items()}
    return pl.DataFrame({"step": np.array([step]), "member": np.zeros(1, np.int32), **row})


def results(experiment: Experiment, weights: Weights, metrics: pl.DataFrame) -> MemberResult:
    """Return the results of one model whose training has ended, as status.json keeps them.

    Args:
        metrics: as `Run.metrics`, ascending.
    """
    records = Records((), 1)
    columns = {name: metrics[name].to_numpy()[:, None] for name in metrics.columns if name not in ("step", "member")}
    records.steps, records.metrics = metrics["step"].to_numpy(), columns
    of_all = {name: array[None] for name, array in weights.items()}
    return member_results(make_ensemble([experiment]), records, of_all, int(records.steps[-1]), ended=True)[0]
