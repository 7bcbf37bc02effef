"""Measures over a run's checkpoints, after the fact."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.checkpoints import follow, follow_features, last_complete_step
from groklab.analysis.explaining_representations import representation
from groklab.analysis.feature_frames import history_frame, orientation_of, turning_points
from groklab.analysis.measuring_mixtures import operation_numbers, plain, sparsity_numbers
from groklab.device import threads
from groklab.errors import InputError
from groklab.grokking.learning_phases import phase_of
from groklab.measures import MEASURES
from groklab.measures.feature_matrices import is_kernel_machine
from groklab.measures.fourier import check_frequencies, component_norms, embedding_matrix, gini
from groklab.measures.frequencies import default_rule, find_frequencies
from groklab.measures.training_stages import RULE, Phases, find_phases
from groklab.store.run import Run
from groklab.tasks.base import Task
from groklab.tasks.features import ORIENTATIONS
from groklab.tasks.splits import as_trained, make_split
from groklab.training.ensemble import build_task, make_ensemble

Told = Callable[[int, int], None]


def take(
    run: Run,
    name: str,
    member: int = 0,
    frequencies: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> pl.DataFrame:
    """One measure over all kept checkpoints of a run's member: a frame with `step` and one column an array.

    steps: only these checkpoints.

    Where the measure needs key frequencies and none are given, those of the final model are applied backwards; one that
    compares with the final model is given its weights.
    Raises InputError for an unknown measure or one that does not apply to the task, and for a step not kept.
    """
    if not isinstance(run, Run):
        raise InputError("take needs a run; a measure of weights is gl.MEASURES[name](weights, task)")
    if name not in MEASURES:
        raise InputError("measure", name, f"is unknown; there are {', '.join(sorted(MEASURES))}")
    ensemble = make_ensemble([run.experiments[member]])
    task, network = ensemble.tasks[0], run.experiments[member].model
    if is_kernel_machine({}, network):
        task = as_trained(task, ensemble.splits[0])
    final = run.weights(member=member) if "final" in MEASURES[name].takes else None
    own_keys = name in ("excluded_by_frequency", "logit_parts")  # all frequencies, and rules of its own
    if "frequencies" in MEASURES[name].takes and frequencies is None and not own_keys:
        frequencies = find_frequencies(run.weights(member=member), task, network)
    rows: list[dict[str, Any]] = []
    for step in run.checkpoints if steps is None else steps:
        # small matrices: threads would only wait for each other
        with threads(1):
            found = MEASURES[name](
                run.weights(step, member),
                task,
                ensemble.splits[0].train,
                network=network,
                frequencies=frequencies,
                final=final,
            )
        rows.append({"step": step, **{k: np.asarray(v).tolist() for k, v in found.items()}})
    return pl.DataFrame(rows)


def analyse(
    run: Run,
    *,
    rule: str | None = None,
    frequencies: Sequence[int] | None = None,
    members: Sequence[int] | None = None,
    told: Told = lambda done, total: None,
) -> dict[str, Any]:
    """Everything that the progress measures say of a run, as plain JSON values.

    At the top the final model's: `key_frequencies`, `train_loss`, `test_loss`, `restricted_loss` (all pairs),
    `excluded_loss` (training set), `gini_W_E`, `gini_W_L`, `logit_fve` (centred over c), `well_explained_neurons`, the
    rest of the measure `progress`, and `phases`; for an ensemble each is a list, a member each. `trajectory` holds the
    numbers of `progress` at each checkpoint, by name, with `step`: key frequencies are those of the final model.
    Of any run: `learning_phase`, one of the four phases of Liu et al. 2022 (measures.learning_phases), and
    `representation`, what the measures `parallelograms` and `embedding_components` say, or None where they say nothing.
    Where the task's answer is no function of a ± b, `does_not_apply` says so and only sizes and losses are given.
    Of a mixture key frequencies are those of all its operations (by default the rule 'furuta'), losses as recorded, and
    `operations` and `left_out` are those of `measuring_mixtures.operation_numbers`; `fourier_sparsity` its numbers.
    A kernel machine has no frequencies, but features: what is said of it is listed at `_analyse_machine`.
    rule: how key frequencies are found (measures.frequencies.RULES); frequencies: take these instead. members: of an
    ensemble, only these; one alone gives plain values.
    told(done, total) is called as checkpoints are measured. Raises InputError where nothing can be measured.
    """
    asked = range(run.n_members) if members is None else members
    total = len(run.checkpoints) * len(asked)
    rows = []
    for place, member in enumerate(asked):
        before = place * len(run.checkpoints)

        def of_this(done: int, before: int = before) -> None:
            told(before + done, total)

        found = _analyse_member(run, member, rule, frequencies, of_this)
        rows.append(found | _of_any(run, member))
    head = {"run": run.name, "step": rows[0].pop("step"), "task": rows[0].pop("task")}
    for other in rows[1:]:
        del other["step"], other["task"]
    if len(rows) == 1:
        return {**head, **rows[0]}
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {**head, "seed": [run.experiments[m].seed for m in asked], **{n: [r.get(n) for r in rows] for n in names}}


def _of_any(run: Run, member: int) -> dict[str, Any]:
    experiment = run.experiments[member]
    task = build_task(experiment)
    train = make_split(experiment.split, task, experiment.seed).train
    with threads(1):
        told = representation(run.weights(last_complete_step(run, member), member), task, train, experiment.model)
    return {"learning_phase": phase_of(run, member).to_dict(), "representation": told}


def _analyse_member(
    run: Run, member: int, rule: str | None, frequencies: Sequence[int] | None, told: Callable[[int], None]
) -> dict[str, Any]:
    experiment = run.experiments[member]
    task = build_task(experiment)
    split = make_split(experiment.split, task, experiment.seed)
    train = split.train
    last = last_complete_step(run, member)
    final = run.weights(last, member)
    head: dict[str, Any] = {"step": last, "task": task.name}
    if is_kernel_machine(final, experiment.model):
        if rule is not None or frequencies is not None:
            field, value = ("rule", rule) if frequencies is None else ("frequencies", list(frequencies))
            allowed = "applies to networks; a kernel machine has features instead of frequencies"
            raise InputError(field, value, allowed)
        # small matrices: threads would only wait for each other
        with threads(1):
            return {**head, **_analyse_machine(run, member, as_trained(task, split), train, last, told)}
    try:
        keys = (
            check_frequencies(frequencies, task.algebra.p or 0)
            if frequencies is not None
            else find_frequencies(final, task, experiment.network, rule)
        )
    except InputError as error:
        if frequencies is not None or rule is not None:
            raise
        sizes = _plain(run, member, final, task) | (sparsity_numbers(final, task) if task.algebra.operations else {})
        return {**head, "key_frequencies": None, "does_not_apply": str(error), **sizes}
    steps, found = follow(
        run.checkpoints, lambda step: run.weights(step, member), task, train, experiment.network, keys, told
    )
    told_by = "given" if frequencies is not None else rule or default_rule(task)
    if task.algebra.operations:
        sizes = _plain(run, member, final, task) | sparsity_numbers(final, task)
        each = operation_numbers(task, steps, found, run.curves(member))
        return {**head, "rule": told_by, "key_frequencies": list(keys), **sizes, **each}
    by_neuron: dict[str, Any] = {"well_explained_neurons": None, "n_neurons": None}
    with contextlib.suppress(InputError):
        neurons = MEASURES["neurons"](final, task, network=experiment.network)
        by_neuron = {"well_explained_neurons": int(neurons["well_explained_neurons"]), "n_neurons": len(neurons["fve"])}
    phases = _phases(run, member, np.array(steps), found["excluded_loss"])
    return {
        **head,
        "rule": told_by,
        "key_frequencies": list(keys),
        **{k: plain(v[-1]) for k, v in found.items()},
        **by_neuron,
        "phases": {**{f"{k}_ends": v for k, v in vars(phases).items()}, "rule": RULE},
        "trajectory": {"step": steps, **{k: plain(v) for k, v in found.items() if v.ndim == 1}},
        "by_frequency": {k: plain(v) for k, v in found.items() if v.ndim == 2},
    }


def _analyse_machine(
    run: Run, member: int, task: Task, train: np.ndarray, last: int, told: Callable[[int], None]
) -> dict[str, Any]:
    """What is said of a Recursive Feature Machine at its last whole checkpoint, and on the way there.

    Recorded: losses, accuracies, `train_correct_loss`, `test_correct_loss`, `condition`, `trace`. Of M, where the task
    is a pair of operands: `circulant_deviation` by orientation and the `orientation` of the smallest, `alignment` with
    the final M (`whole`, `off_block`), `block_structure`, `effective_rank`, `top_share`. `stratified_accuracy` where
    operands commute, and `hidden_progress` (`turning_points`). `trajectory`: all these numbers by step.
    """
    model, metrics = run.experiments[member].model, run.metrics.filter(pl.col("member") == member).sort("step")
    told(0)
    recorded = [k for k in metrics.columns if k not in ("step", "member")]
    found: dict[str, Any] = {"learner": run.experiments[member].to_dict()["learner"]}
    trajectory: dict[str, Any] = {"step": run.checkpoints}
    at = pl.DataFrame({"step": run.checkpoints}).join(metrics, on="step", how="left", maintain_order="left")
    for name in recorded:
        trajectory[name] = plain(at[name].cast(pl.Float64).fill_null(np.nan).to_numpy())
        found[name] = trajectory[name][run.checkpoints.index(last)]
    found["hidden_progress"] = turning_points(metrics)
    with contextlib.suppress(InputError):
        weights = run.weights(last, member)
        found["stratified_accuracy"] = {
            k: int(v) if k.startswith("n_") else plain(np.asarray(v))
            for k, v in MEASURES["stratified_accuracy"](weights, task, train, network=model).items()
        }
    try:
        matrices = follow_features(run.checkpoints, lambda s: run.weights(s, member), task, train, model, told)
    except InputError as error:
        return {**found, "does_not_apply": str(error), "trajectory": trajectory}
    history = history_frame(matrices)
    final = history.row(-1, named=True)
    on = pl.DataFrame({"step": run.checkpoints}).join(history, on="step", how="left", maintain_order="left")
    trajectory |= {k: on[k].to_list() for k in history.columns if k != "step"}
    return {
        **found,
        "circulant_deviation": {k: final[k] for k in ORIENTATIONS},
        "orientation": orientation_of(history),
        "alignment": {k: on[k].to_list() for k in ("whole", "off_block")},
        "block_structure": {k: final[k] for k in ("c1", "c2", "ratio", "residual", "off_diagonal_share")},
        **{k: final[k] for k in ("effective_rank", "top_share")},
        "trajectory": trajectory,
    }


def _phases(run: Run, member: int, steps: np.ndarray, excluded: np.ndarray) -> Phases:
    curves = run.curves(member)
    return find_phases(steps, excluded, curves["step"], curves["test_accuracy"], curves["weight_norm"] ** 2)


def _plain(run: Run, member: int, final: dict[str, np.ndarray], task: Task) -> dict[str, Any]:
    """What can be said of any model: losses as recorded, and sizes."""
    curves = run.curves(member)
    found: dict[str, Any] = {k: plain(curves[k][-1]) for k in curves if k.endswith(("loss", "accuracy"))}
    found["sum_of_squares"] = float(sum(np.sum(np.square(w, dtype=np.float64)) for w in final.values()))
    with contextlib.suppress(InputError):
        found["gini_W_E"] = gini(component_norms(embedding_matrix(final, task)))
    return found
