"""Code that is edited in a session is trained as edited: nothing that was built from the old is kept."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from groklab.measures import MEASURES, activity
from groklab.registry import FAMILIES
from groklab.training import build_task

TASK = """
import groklab as gl, numpy as np

@gl.register("task", "{name}")
class Edited:
    p: int = 7

    def build(self):
        x, y = np.divmod(np.arange(self.p**2, dtype=np.int32), self.p)
        answers = (x + {value} * y) % self.p
        return gl.Task("edited", np.stack([x, y], 1), answers, d_vocab=self.p, n_classes=self.p)
"""
ENDLESS = TASK.replace(
    "        return",
    """
        def draw(key, n):
            import jax
            pairs = jax.random.randint(key, (n, 2), 0, self.p)
            return pairs, ((pairs[:, :1] + {value} * pairs[:, 1:]) % self.p), pairs[:, :1] >= 0

        return""",
).replace("answers, d_vocab", "answers[:, None], reads=(1, 2), draw=draw, mask=x[:, None] >= 0, d_vocab")
NETWORK = """
import groklab as gl, jax
from groklab.networks import Network

@gl.register("network", "{name}")
class Edited(Network):
    def init(self, key, shape, dtype):
        first, second = jax.random.split(key)
        return {{
            "embed.W_E": jax.random.normal(first, (shape.d_vocab, 8), dtype),
            "unembed.W_U": jax.random.normal(second, (8, shape.n_classes), dtype),
        }}

    def apply(self, weights, tokens, shape):
        return weights["embed.W_E"][tokens].sum(1) ** {value} @ weights["unembed.W_U"]
"""
OBJECTIVE = """
import groklab as gl, jax.numpy as jnp

@gl.register("objective", "{name}")
class Edited:
    def per_row(self, logits, targets):
        answers = (targets[:, None] == jnp.arange(logits.shape[1])).astype(logits.dtype)
        return jnp.mean(jnp.abs(logits - answers) ** {value}, axis=-1)
"""
OPTIMISER = """
import groklab as gl
from groklab.optimisers import AdamW

@gl.register("optimiser", "{name}")
class Edited(AdamW):
    def update(self, gradients, state, weights, step):
        return super().update({{k: {value} * g + 0.1 for k, g in gradients.items()}}, state, weights, step)
"""
MEASURE = """
import groklab as gl

@gl.measure("{name}", online=True)
def edited(weights, task):
    return {{"value": {value} * weights["embed.W_E"][0, 0]}}
"""
#: What is edited: its text, and the setting that names it.
EDITED = {
    "task": (TASK, "task.kind"),
    "endless task": (ENDLESS, "task.kind"),
    "network": (NETWORK, "network.kind"),
    "objective": (OBJECTIVE, "objective.kind"),
    "optimiser": (OPTIMISER, "optimiser.kind"),
    "measure": (MEASURE, "measures.names"),
}
SETTINGS = {"task.p": 7, "network.d_mlp": 8, "budget.steps": 3, "evaluation.every": 1}
COUNT = itertools.count()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    tables = [*FAMILIES.values(), MEASURES]
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        for name in set(table) - set(content):
            del table[name]


def experiment(what: str, name: str, file: Path | None) -> gl.Experiment:
    key = EDITED[what][1]
    settings: dict[str, Any] = {**SETTINGS, key: [name] if what == "measure" else name}
    if what == "measure":
        settings |= {"measures.every": 1, "network": {"kind": "mlp", "d_mlp": 8, "d_embed": 4}}
    if what == "network":
        del settings["network.d_mlp"]
    if what == "endless task":
        settings |= {"network": {"kind": "transformer", "d_model": 8, "n_heads": 1, "d_mlp": 8}, "batch_size": 16}
    return gl.preset("micro", {**settings, "plugins": [] if file is None else [str(file)]})


def numbers(run: gl.Run) -> list[float]:
    """What was recorded: the losses, and what an online measure gave."""
    columns = run.metrics.select("train_loss", "test_loss", "weight_norm").to_numpy().ravel().tolist()
    measured = run.measured
    return [*columns, *([] if measured is None else measured.select("^.*value$").to_series().to_list())]


def check(trained: Callable[[str], gl.Run], fresh: Callable[[str], gl.Run]) -> None:
    """Train before an edit, after it, and after it was taken back; `fresh` trains code that was never edited."""
    first, second, third = (trained(value) for value in "232")
    assert numbers(second) == numbers(fresh("3")) != numbers(first) == numbers(third)
    assert third.path == first.path != second.path


@pytest.mark.parametrize("what", EDITED)
def test_an_edited_plugin_is_trained_as_edited(what: str, tmp_path: Path) -> None:
    def trained(value: str, name: str = "edited") -> gl.Run:
        file = tmp_path / f"{name}.py"
        file.write_text(EDITED[what][0].format(name=name, value=value))
        return gl.train(experiment(what, name, file))

    check(trained, lambda value: trained(value, "fresh"))


@pytest.mark.parametrize("what", ["task", "network"])
def test_an_edited_module_beside_a_plugin_is_trained_as_edited(what: str, tmp_path: Path) -> None:
    def trained(value: str, name: str = "edited") -> gl.Run:
        (tmp_path / f"{name}_helper.py").write_text(f"VALUE = {value}\n")
        text = EDITED[what][0].format(name=name, value="VALUE")
        (tmp_path / f"{name}.py").write_text(f"from {name}_helper import VALUE\n{text}")
        return gl.train(experiment(what, name, tmp_path / f"{name}.py"))

    check(trained, lambda value: trained(value, "fresh"))


@pytest.mark.parametrize("what", ["task", "network", "measure"])
def test_a_class_of_a_notebook_is_trained_as_redefined(what: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}

    def trained(value: str, name: str = "edited") -> gl.Run:
        cell = f"/tmp/ipykernel_1/{next(COUNT)}.py"
        text = EDITED[what][0].format(name=name, value=value)
        linecache.cache[cell] = (len(text), None, text.splitlines(keepends=True), cell)
        exec(compile(text, cell, "exec"), names)
        return gl.train(experiment(what, name, None))

    check(trained, lambda value: trained(value, "fresh"))


def test_an_experiment_that_was_made_before_the_edit_is_trained_as_edited(tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    file.write_text(TASK.format(name="edited", value="2"))
    made = experiment("task", "edited", file)
    first = gl.train(made)
    file.write_text(TASK.format(name="edited", value="3"))
    second = gl.train(made)
    assert numbers(second) == numbers(gl.train(experiment("task", "edited", file))) != numbers(first)
    assert second.identities != first.identities
    assert second.experiment.task.build().targets.tolist() != made.task.build().targets.tolist()


def test_a_run_of_a_class_of_another_session_says_so() -> None:
    exec(TASK.format(name="elsewhere", value="2"), {"__name__": "__main__"})
    path = gl.train(experiment("task", "elsewhere", None)).path
    del FAMILIES["task"]["elsewhere"]
    assert gl.Run(path).recorded[0].task == {"kind": "elsewhere", "p": 7}
    with pytest.raises(
        gl.InputError, match=r"task\.kind = 'elsewhere': is registered by no plug-in of it; run the cell"
    ):
        _ = gl.Run(path).experiment


def test_measures_compile_an_edited_network_again(tmp_path: Path) -> None:
    file, logits = tmp_path / "edited.py", []
    for value in "23":
        file.write_text(NETWORK.format(name="edited", value=value))
        made = experiment("network", "edited", file)
        task = build_task(made)
        weights = {"embed.W_E": np.full((7, 8), 1.0), "unembed.W_U": np.ones((8, 7))}
        logits.append(activity(weights, task, made.network)["logits"])
    np.testing.assert_allclose(logits, np.broadcast_to([[[32.0]], [[64.0]]], (2, 49, 7)))
