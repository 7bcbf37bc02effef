"""Exactness: from the published initial weights and split, the published loss curve (spec 6.1 and 6.4)."""

from __future__ import annotations

import numpy as np
import pytest

import groklab as gl
from amounts import amount
from groklab.training._start import read_weights

#: How far the released curve is followed. By step 20 another setting shows: no decay at all, instead of 0.1, is 9 times
#: as far from the curve as the bound allows, and b2 = 0.999 19 times.
FOLLOWED = amount(20, full=50)

# Recorded by the authors on a GPU: the saved run with decay 0.1, seed 1.
RELEASED = {
    0: 4.776912162848, 1: 4.776912162848, 2: 4.772563399630, 3: 4.764700989602, 5: 4.744425231799,
    10: 4.713848842170, 20: 4.660384965227, 50: 4.203157308970, 100: 1.861743633715,
}  # fmt: skip
RELEASED_TEST = {0: 4.767726206203, 10: 4.760619993952, 50: 5.427250480134}
# An independent simulation from seed 0's weights, decay 1.
MAINLINE = {
    0: 4.764052263404, 1: 4.764052263404, 2: 4.760622727711, 3: 4.754410881683, 5: 4.738462762034,
    10: 4.712011544366, 20: 4.658858998195, 50: 4.236125, 100: 2.271289,
}  # fmt: skip


def tolerance(step: int) -> float:
    """The bounds up to step 50. Rounding decides later details: at 100 the recording is 1e-3 from float64's loss."""
    return 5e-5 if step <= 20 else 2e-4


def test_start_weights_are_the_recorded_ones() -> None:
    weights = read_weights("groklab:nanda2023/init_seed1.npz")
    np.testing.assert_allclose(weights["embed.W_E"][:3, 0], [-0.1348449, -0.0663117, -0.0578043], atol=1e-7)
    assert np.linalg.norm(weights["embed.W_E"]) == pytest.approx(10.722969, abs=1e-5)
    assert np.linalg.norm(weights["unembed.W_U"]) == pytest.approx(11.234520, abs=1e-5)
    assert weights["blocks.0.attn.W_O"].shape == (4, 32, 128)


@pytest.mark.long
def test_float32_follows_the_released_curve() -> None:
    run = gl.train(gl.preset("nanda2023/released-wd0.1", {"budget.steps": FOLLOWED, "evaluation.every": 5}))
    every = run.curves()
    train, test = (
        dict(zip(every["step"].tolist(), every[f"{s}_loss"].tolist(), strict=True)) for s in ("train", "test")
    )
    assert train[0] == pytest.approx(RELEASED[0], abs=1e-6)
    assert test[0] == pytest.approx(RELEASED_TEST[0], abs=1e-6)
    for step in (s for s in (5, 10, 20, 50) if s <= FOLLOWED):
        assert train[step] == pytest.approx(RELEASED[step], rel=tolerance(step)), step
    for step in (s for s in (10, 50) if s <= FOLLOWED):
        assert test[step] == pytest.approx(RELEASED_TEST[step], rel=5e-4), step


def test_the_first_update_has_rate_zero() -> None:
    run = gl.train(gl.preset("nanda2023/paper-seed0", {"budget.steps": 3, "evaluation.every": 1}))
    losses = run.curves()["train_loss"].tolist()
    assert losses[0] == losses[1]
    for step, loss in enumerate(losses):
        assert loss == pytest.approx(MAINLINE[step], rel=1e-6)


def test_float64_gives_the_first_losses() -> None:
    settings = {"budget.steps": 20, "evaluation.every": 1, "dtype": "float64"}
    curves = gl.train(gl.preset("nanda2023/released-wd0.1", settings)).curves()
    assert curves["train_loss"].dtype == np.float64
    # weights off by one unit in the last place give losses that are off by 6e-9
    assert curves["train_loss"][0] == pytest.approx(RELEASED[0], abs=3e-9)
    assert curves["test_loss"][0] == pytest.approx(RELEASED_TEST[0], abs=3e-9)
    # the recorded run rounds to single precision; float32 here lies up to 2e-5 from it, by machine and threads
    for step in (1, 2, 3, 5, 10, 20):
        assert curves["train_loss"][step] == pytest.approx(RELEASED[step], rel=1e-6), step


def test_presets_are_well_formed_and_their_numbers_are_the_papers() -> None:
    e = gl.preset("nanda2023")
    assert (e.task.p, e.split.frac_train, e.optimiser.weight_decay, e.optimiser.b2) == (113, 0.3, 1.0, 0.98)
    lens = gl.preset("nanda2023/transformer-lens")
    assert (lens.optimiser.warmup_steps, lens.task.outputs, lens.network.biases) == (0.0, "answers", "none")
    for name in gl.PRESETS:
        assert gl.preset(name).name == name
