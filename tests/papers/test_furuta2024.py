"""The presets of Furuta et al. 2024: the paper's numbers, and what each preset changes."""

from __future__ import annotations

import numpy as np
import pytest

import groklab as gl
from groklab.papers import published_of, published_tables
from groklab.papers.furuta2024.presets import HARD, MIXTURES
from groklab.tasks import FURUTA_OPERATIONS, make_split
from groklab.training import build_task, weight_shapes


def test_the_setting_has_the_papers_numbers() -> None:
    e = gl.preset("furuta2024")
    assert (e.task.p, e.split.frac_train, e.network.n_layers, e.network.d_model) == (97, 0.3, 1, 128)
    assert (e.network.positional_embedding, e.network.biases, e.batch_size) == ("none", "none", None)
    o = e.optimiser
    assert (o.kind, o.learning_rate, o.weight_decay, o.b1, o.b2, o.eps) == ("adamw", 1e-3, 1.0, 0.9, 0.98, 1e-8)
    task = build_task(e)
    assert sum(int(np.prod(s)) for s in weight_shapes(e, task).values()) == 222_720
    assert (task.n_ctx, task.n_classes) == (3, 102)
    split = make_split(e.split, task, 0)
    assert (len(split.train), len(split.test)) == (2822, 6587)


def test_every_operation_has_a_preset_that_differs_in_its_task_alone() -> None:
    base = gl.preset("furuta2024").to_dict()
    assert len(FURUTA_OPERATIONS) == 35
    for operation in FURUTA_OPERATIONS:
        own = gl.preset(f"furuta2024/{operation}").to_dict()
        changed = {key for key in base if own[key] != base[key]}
        assert changed <= {"name", "task"}, operation
        assert build_task(gl.preset(f"furuta2024/{operation}")).algebra.operation == operation


def test_hard_operations_are_those_of_the_published_table() -> None:
    for operation in FURUTA_OPERATIONS:
        said = published_of(operation)
        assert said is not None
        grokked = [float(f) for f, v in said.by_fraction.items() if v is True]
        assert (operation in HARD) == (0.3 not in grokked)
        if operation in HARD:
            assert HARD[operation] == (f"{min(grokked):.0%}" if grokked else "more than 90%")


def test_the_published_table_counts() -> None:
    cells = [v for by in published_tables("furuta2024")["grokked"]["operations"].values() for v in by.values()]
    assert (len(cells), sum(v is True for v in cells)) == (245, 204)


@pytest.mark.parametrize("name", list(MIXTURES))
def test_mixtures_hold_their_operations(name: str) -> None:
    e = gl.preset(f"furuta2024/mixture-{name}", {"task.p": 7})
    task = build_task(e)
    operations, share, _ = MIXTURES[name]
    assert len(task.algebra.operations) == len(operations)
    assert e.split.frac_train == float(share)
    assert task.loss_factor == len(operations)


def test_a_transferred_embedding_is_frozen_and_its_source_named() -> None:
    for name, part in (("pt-e", "embedding"), ("pt-t", "transformer")):
        start = gl.preset(f"furuta2024/{name}").start
        assert start is not None
        assert (start.take, start.freeze, start.unused_rows) == ((part,), True, "fresh")
        assert start.run is not None
        assert start.run.startswith(f"furuta2024-{'add' if name == 'pt-e' else 'multiply'}-")
    assert gl.preset("furuta2024/frozen-embedding").optimiser.groups["embed.*"].frozen
