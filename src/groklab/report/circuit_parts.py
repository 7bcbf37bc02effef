"""The parts of a model's logits on its page: what is kept and what that costs (Furuta et al. 2024, table 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from groklab import figures
from groklab.analysis.circuits import LEAST_P, MANY, PATIENCE, CircuitAnalysis, few_stand_out
from groklab.analysis.facts import Facts, Weights
from groklab.analysis.mixtures import MixtureAnalysis, OperationLoss
from groklab.errors import InputError
from groklab.measures import MEASURES
from groklab.measures.logit_parts import parts_tables
from groklab.report.circuit_story import RULES
from groklab.report.page import Table
from groklab.report.pictures import Picture, picture
from groklab.tasks.base import Task
from groklab.tasks.splits import make_split
from groklab.text import listed, loss_of

MEASURE = "logit_parts"
TITLE = "The parts of the logits"
PARTS = (
    "Parts of the logits: key, their projection on cos and sin of w_k s at the key frequencies, s = a + b or a − b; "
    "non-key, that at all other frequencies; residual, what is left, the means among it; key + bias, the key part and "
    "the means, whose loss is the restricted loss. 'Others needed' counts the other frequencies without any one of "
    "which the training loss rises by more than 1e-9 (Furuta et al. 2024, appendix E).",
)


@dataclass(frozen=True)
class Apart:
    """What a page says of the parts; `said` is empty where other sentences say it."""

    said: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def parts_of_circuit(c: CircuitAnalysis) -> Apart:
    """The parts by the page's own key frequencies and by those of Furuta et al. 2024."""
    if MEASURE not in c.parts:
        return Apart(pictures=[Picture("parts", TITLE, f"Left out: {c.left_out[MEASURE]}.")])
    found = c.parts[MEASURE]
    return Apart(pictures=_pictures(found, c.uniform), tables=_tables(found, c.rule))


def parts_of_mixture(facts: Facts, kept: Mapping[int, Weights], member: int = 0) -> Apart:
    """The parts of each operation of a mixture whose answer is a function of a ± b; nothing for any other task."""
    task, experiment = facts.task, facts.experiments[member]
    if task is None or not kept or not task.algebra.operations or task.modulus < LEAST_P:
        return Apart()
    if task.n_inputs * task.n_answers > PATIENCE:
        said = f"With {task.n_inputs:,} inputs the measures take longer than a page should; groklab measure takes them."
        return Apart([said])
    train = make_split(experiment.split, task, experiment.seed).train
    try:
        found = MEASURES[MEASURE](kept[max(kept)], task, train, network=experiment.network)
    except InputError as error:
        return Apart([MixtureAnalysis(task.name, task.modulus, (), ()).verdict(), f"{error}."])
    uniform = math.log(task.n_answers)
    verdict = _analysis(found, task).verdict()
    return Apart([verdict, *_sentences(found, uniform)], _pictures(found, uniform), _tables(found))


def _analysis(found: Mapping[str, Any], task: Task) -> MixtureAnalysis:
    place, whole = {name: i for i, name in enumerate(found["parts"])}, np.asarray(found["loss"])[:, 0]
    losses = tuple(
        OperationLoss(name, float(whole[i, place["all"]]), float(whole[i, place["key_mean"]]))
        for i, name in enumerate(found["operations"])
    )
    keys = np.flatnonzero(found["is_key"][0]) + 1
    return MixtureAnalysis(task.name, task.modulus, tuple(keys.tolist()), losses)


def _sentences(found: Mapping[str, Any], uniform: float) -> list[str]:
    """The key frequencies that the operations share, and what they are worth to each."""
    keys, n = np.flatnonzero(found["is_key"][0]) + 1, len(found["is_key"][0])
    rule = RULES.get(found["rules"][0], found["rules"][0])
    named = listed(keys.tolist()) if len(keys) <= MANY else f"{len(keys)} frequencies"
    few = "" if few_stand_out(keys.tolist(), 2 * n) else "; that many say little"
    said = [f"Its operations share W_L, and with it the key frequencies {named} of 1 to {n} ({rule}){few}."]
    place = {name: i for i, name in enumerate(found["parts"])}
    for i, name in enumerate(found["operations"]):
        whole, train = np.asarray(found["loss"])[i, 0], np.asarray(found["train_loss"])[i, 0]
        direction = "a + b" if found["direction"][i] > 0 else "a − b"
        said.append(
            f"{name}: with those frequencies of {direction} alone in the logits the loss on all pairs is "
            f"{loss_of(whole[place['key_mean']])} (restricted; its own {loss_of(whole[place['all']])}); with all else "
            f"but them the training loss is {loss_of(train[place['non_key_residual']])} (excluded; its own "
            f"{loss_of(train[place['all']])}, even guesses {loss_of(uniform)})."
        )
    if found["left_out"]:
        names = listed(found["left_out"])
        are = "is" if len(found["left_out"]) == 1 else "are"
        said.append(f"{names} {are} no function of a + b or a − b, so without these losses.")
    return said


def _pictures(found: Mapping[str, Any], uniform: float) -> list[Picture]:
    """A figure for each operation, by the first rule."""
    several = "operations" in found
    told = []
    for i, name in enumerate(found["operations"] if several else [""]):
        losses = {
            k: np.asarray(found[k])[i, 0] if several else np.asarray(found[k])[0]
            for k in ("train_loss", "test_loss")
            if k in found
        }
        # of all inputs nothing is left to test on
        empty = np.full(len(found["parts"]), np.nan)
        frame = pl.DataFrame({"part": found["parts"]} | {k: losses.get(k, empty) for k in ("train_loss", "test_loss")})
        of = f" of {name}" if several else ""
        sentence = _sentence(dict(zip(found["parts"], losses.get("train_loss", empty), strict=True)), of)
        drawn = figures.logit_parts(frame, uniform)
        told.append(picture(f"parts{i or ''}", TITLE + of, sentence, drawn, tall=True))
    return told


def _sentence(train: Mapping[str, float], of: str) -> str:
    return (
        f"Training loss{of} is {loss_of(train['all'])} with everything, {loss_of(train['key'])} with the key "
        f"frequencies alone ({loss_of(train['key_mean'])} with the means), {loss_of(train['key_residual'])} without "
        f"the other frequencies and {loss_of(train['non_key_residual'])} without the key ones."
    )


def _tables(found: Mapping[str, Any], rule: str = "given") -> list[Table]:
    return [Table(t.title, t.head, t.rows) for t in parts_tables(found, {"given": rule}, loss_of)]
