"""Packs: every member once, one program and shape each, at most a quarter of padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import groklab as gl
from groklab.errors import InputError
from groklab.sweeps import pack
from groklab.sweeps._packing import padding
from groklab.tasks import make_split
from groklab.training import CPU_LANES, build_task, make_ensemble

BASE = gl.preset("micro", {"budget.steps": 20})
MEMBERS = {
    (p, frac, width, decay): gl.read(
        BASE, {"task.p": p, "split.frac_train": frac, "network.d_mlp": width, "optimiser.weight_decay": decay}
    )
    for p in (5, 7)
    for frac in (0.2, 0.3, 0.5, 0.9)
    for width in (8, 16)
    for decay in (0.0, 1.0)
}


def sizes_of(members: list[gl.Experiment]) -> list[int]:
    return [len(make_split(e.split, build_task(e), e.seed).train) for e in members]


@given(
    st.lists(st.sampled_from(sorted(MEMBERS)), min_size=1, max_size=40),
    st.sampled_from(["cpu", "gpu"]),
    st.integers(1, 7),
)
@settings(max_examples=15)
def test_every_member_is_in_one_pack_that_can_be_trained(
    drawn: list[tuple[int, float, int, float]], platform: str, workers: int
) -> None:
    members = [replace(MEMBERS[key], seed=seed) for seed, key in enumerate(drawn)]
    found = pack(members, platform=platform, workers=workers, memory=1_000_000)
    assert sorted(m for p in found.packs for m in p.members) == list(range(len(members)))
    for p in found.packs:
        ensemble = make_ensemble([members[i] for i in p.members])
        if platform == "cpu":
            assert len(p.members) <= CPU_LANES
            assert len(ensemble.blocks()) == 1
    assert padding(found.packs, sizes_of(members)) <= 0.25
    costs = [p.cost for p in found.packs]
    assert costs == sorted(costs, reverse=True)
    if platform == "cpu" and len(members) >= workers:
        assert len(found.packs) >= workers
    assert pack(members, platform=platform, workers=workers, memory=1_000_000) == found


def test_members_that_differ_in_numbers_only_fill_packs() -> None:
    members = [replace(MEMBERS[5, 0.5, 8, d], seed=s) for d in (0.0, 1.0) for s in range(16)]
    found = pack(members, workers=2)
    assert [len(p.members) for p in found.packs] == [8] * 4
    assert found.description.startswith(
        "32 members share one program and shape: 4 packs of 8 members, as 8 of this size"
    )


def test_few_members_are_spread_over_the_workers() -> None:
    members = [replace(BASE, seed=s) for s in range(4)]
    assert [len(p.members) for p in pack(members, workers=2).packs] == [2, 2]
    assert [len(p.members) for p in pack(members, workers=3).packs] == [2, 1, 1]
    assert [len(p.members) for p in pack(members, workers=9).packs] == [1, 1, 1, 1]


def test_a_gpu_takes_as_many_lanes_as_its_memory_holds() -> None:
    members = [replace(BASE, seed=s) for s in range(100)]
    assert [len(p.members) for p in pack(members, platform="gpu", memory=10**12).packs] == [100]
    few = pack(members, platform="gpu", memory=10**8)
    assert 1 < len(few.packs) < 100
    assert "memory" in few.description


def test_kernel_machines_train_one_a_pack() -> None:
    machine = gl.preset("micro", {"learner.kind": "rfm", "task.p": 7, "split.frac_train": 0.5})
    found = pack([replace(machine, seed=s) for s in range(5)])
    assert [p.members for p in found.packs] == [(0,), (1,), (2,), (3,), (4,)]
    assert "one member at a time" in found.description


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(InputError, match=r"split\.frac_train"):
        pack([replace(BASE, split=replace(BASE.split, frac_train=0.0001))])
