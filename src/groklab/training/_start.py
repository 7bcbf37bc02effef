"""Weights that an experiment starts from instead of fresh ones."""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib.util
import warnings
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from groklab import components
from groklab.errors import InputError, unknown
from groklab.experiment import PARTS_OF_NETWORK, Experiment, Start
from groklab.lazy import jax
from groklab.registry import SOURCES
from groklab.store import Collection, Run, digest, storage
from groklab.tasks import make_split, read_npz
from groklab.text import named_file
from groklab.training._branch import Branch, load_branch
from groklab.training._ensemble import build_task, weight_shapes

#: Modules of the weights of a one-layer model, where the published code names the weights alone.
_PARENTS = {"W_E": "embed", "W_pos": "pos_embed", "W_U": "unembed"}
_PARENTS |= dict.fromkeys(("W_K", "W_Q", "W_V", "W_O"), "blocks.0.attn")
_PARENTS |= dict.fromkeys(("W_in", "b_in", "W_out", "b_out"), "blocks.0.mlp")
#: A file name with this prefix lies in the package itself.
PACKAGED = "groklab:"


def load_start(
    experiment: Experiment, collection: Collection
) -> tuple[Experiment, dict[str, np.ndarray] | Branch | None]:
    """Return the experiment with the content hash of its start weights, and the weights (None: draw fresh ones).

    With `start.with_optimiser`, a branch in place of the weights.

    Raises InputError where the file or checkpoint is missing, unreadable, or not what the recorded hash says, and where
    weights that are to be taken are not there or do not fit.
    """
    start = experiment.start
    if start is None:
        return experiment, None
    source: Run | None = None
    if start.with_optimiser:
        branch = load_branch(start, collection)
        _check_digest(start, branch.sha256)
        _warn_of_leaks(experiment, collection.find(start.run or ""), start.member or 0)
        of = dataclasses.replace(start, sha256=branch.sha256, step=branch.step)
        return dataclasses.replace(experiment, start=of), branch
    if start.run is not None:
        run = collection.find(start.run)
        if run.n_members > 1 and start.member is None:
            allowed = f"holds {run.n_members} models; start.member says which, from 0 to {run.n_members - 1}"
            raise InputError("start.run", run.name, allowed)
        weights = run.weights(start.step, member=start.member if run.n_members > 1 else None)
        if start.take is None:
            _warn_of_leaks(experiment, run, start.member or 0)
        source = run
    else:
        weights = read_weights(start.file or "")
    sha256 = digest(weights)
    _check_digest(start, sha256)
    known = dataclasses.replace(experiment, start=dataclasses.replace(start, sha256=sha256))
    if start.take is None:
        return known, weights
    return known, _with_fresh(experiment, start, weights, source)


def _check_digest(start: Start, sha256: str) -> None:
    if start.sha256 is not None and start.sha256 != sha256:
        raise InputError("start.sha256", start.sha256, f"the weights have {sha256}")


def _with_fresh(
    experiment: Experiment, start: Start, given: dict[str, np.ndarray], source: Run | None
) -> dict[str, np.ndarray]:
    """Draw the experiment's own weights, and replace those that are taken."""
    task, whence = build_task(experiment), start.run or start.file
    shapes = weight_shapes(experiment, task)
    if experiment.network is None:
        raise InputError("start.take", list(start.take or ()), "needs a network, and this learner has none")
    taken = []
    for part, pattern in zip(start.take or (), start.patterns, strict=True):
        names = fnmatch.filter(shapes, pattern)
        if not names:
            raise unknown("start.take", part, [*PARTS_OF_NETWORK, *shapes])
        taken += names
    # as a program draws them
    key = jax.random.fold_in(jax.random.key(experiment.seed), 0)
    fresh = {k: np.asarray(v) for k, v in experiment.network.init(key, task.shape, experiment.dtype).items()}
    weights = dict(fresh)
    taken = _of_a_factor(taken, given, start)
    for name in taken:
        if name not in given:
            raise InputError("start.take", name, f"is not among the weights of {whence}: {', '.join(sorted(given))}")
        if given[name].shape != shapes[name]:
            of = f"has shape {given[name].shape} in {whence} and {shapes[name]} here"
            if name in ("embed.W_E", "embed.A") and len(given[name]) != shapes[name][0]:
                of += ", as the vocabularies differ"
            raise InputError("start.take", name, of)
        weights[name] = given[name].astype(fresh[name].dtype)
    table = next((name for name in ("embed.W_E", "embed.A") if name in taken), None)
    if table is not None and start.unused_rows != "keep":
        rows = _unused_rows(len(fresh[table]), task.algebra.p, start, source)
        weights[table][rows] = fresh[table][rows]
    return weights


def _of_a_factor(taken: list[str], given: dict[str, np.ndarray], start: Start) -> list[str]:
    """Let a factorised embedding take the whole one of a smaller network as its first factor (GrokTransfer).

    The second stays as it is drawn, unless `start.take` names it.
    """
    if "embed.A" not in taken or "embed.A" in given or "embed.W_E" not in given:
        return taken
    given["embed.A"] = given["embed.W_E"]
    return [name for name in taken if name != "embed.B" or name in (start.take or ())]


def _unused_rows(d_vocab: int, p: int | None, start: Start, source: Run | None) -> np.ndarray:
    """Return token ids beyond the operands that the source has never seen; for a file, all of them."""
    signs = np.arange(p if p else d_vocab, d_vocab)
    if source is None:
        return signs
    return np.setdiff1d(signs, build_task(source.experiments[start.member or 0]).inputs)


def _warn_of_leaks(experiment: Experiment, run: Run, member: int) -> None:
    """Warn where inputs that are tested here were trained on there: their accuracy starts from memory."""
    before = run.recorded[member]
    if components.as_json(before.task) != components.as_json(experiment.task):
        return
    task = build_task(experiment)
    tested = make_split(experiment.split, task, experiment.seed).test
    known = np.intersect1d(tested, make_split(before.split, task, before.seed).train)
    if len(known):
        warnings.warn(
            f"{len(known):,} of the {len(tested):,} test inputs were in the training set of {run.name}: its weights "
            "know them already (the same split.seed and split.frac_train keep the sets apart)",
            stacklevel=3,
        )


def read_weights(name: str) -> dict[str, np.ndarray]:
    """Read weights by name from an .npz or .safetensors file, in our layout; nothing is unpickled."""
    path = Path(name).expanduser()
    if name.startswith(PACKAGED):
        paper, _, file = name.removeprefix(PACKAGED).partition("/")
        for package in (f"{source}.{paper}" for source in SOURCES if paper.isidentifier()):
            if importlib.util.find_spec(package):
                path = Path(str(resources.files(package) / "data" / file))
    if path.suffix not in (".npz", ".safetensors"):
        raise InputError("start.file", name, "needs to end in .npz or .safetensors")
    content = named_file("start.file", str(path), "weights")
    try:
        if path.suffix == ".npz":
            weights = read_npz(content)
        else:
            weights, _ = storage.read_safetensors(content)
    except Exception as error:  # damaged archives raise many kinds
        raise InputError("start.file", name, f"cannot be read: {error}") from None
    return from_released_layout(weights) if is_released_layout(weights) else weights


def is_released_layout(weights: Mapping[str, np.ndarray]) -> bool:
    """Return whether these are weights as the paper's own code stores them: W_O is one matrix for all heads."""
    return any(weights.get(name, np.zeros(0)).ndim == 2 for name in ("blocks.0.attn.W_O", "W_O"))


def full_name(name: str) -> str:
    """Return the name of a weight with its module, which it lacks (`W_E`) in files of one-layer models."""
    return f"{_PARENTS[name]}.{name}" if name in _PARENTS else name


def from_released_layout(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights in our orientation: rows are inputs, W_O (n_heads, d_head, d_model).

    Released: W_E (d_model, d_vocab), W_Q/W_K/W_V (n_heads, d_head, d_model), W_O (d_model, n_heads·d_head) with heads
    outermost, W_in (d_mlp, d_model), W_out (d_model, d_mlp), W_U (d_model, d_vocab) as ours. The causal mask that the
    files carry is not a weight and is left out. Names without their module (`W_E`) are those of a one-layer model.
    """
    weights = {full_name(k): v for k, v in weights.items()}
    made = {}
    for name, array in weights.items():
        short = name.rsplit(".", 1)[-1]
        if short == "mask":
            continue
        if short in ("W_Q", "W_K", "W_V"):
            array = np.swapaxes(array, 1, 2)
        elif short == "W_O":
            heads, d_head, _ = weights[name.replace("W_O", "W_Q")].shape
            array = array.T.reshape(heads, d_head, array.shape[0])
        elif short in ("W_E", "W_in", "W_out"):
            array = array.T
        made[name] = np.ascontiguousarray(array)
    return made
