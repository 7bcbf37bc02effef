"""Slingshots are spikes of a fitted network's loss that leave a larger norm behind."""

from __future__ import annotations

import numpy as np
import pytest

from groklab.grokking import Slingshot, slingshots


def curves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A loss that falls to 1e-6, spikes to 0.5 at step 600 and to 0.2 at step 800, and a norm that grows in steps."""
    steps = np.arange(0, 1000, 10)
    loss = np.maximum(np.exp(-steps / 20), 1e-6)
    loss[(steps >= 600) & (steps < 640)] = [0.05, 0.5, 0.1, 0.02]
    loss[(steps >= 800) & (steps < 820)] = [0.2, 0.1]
    norm = 10.0 + (steps >= 620) + (steps >= 810)
    return steps, loss, norm


def test_each_spike_is_one_slingshot_with_its_height_and_norms() -> None:
    first, second = slingshots(*curves())
    assert first == Slingshot(600, 610, 630, 0.5, 10.0, 11.0)
    assert (second.begin, second.peak, second.end) == (800, 800, 820)
    assert second.norm_after == 12.0


def test_what_is_not_a_slingshot_is_left_out() -> None:
    steps, loss, norm = curves()
    assert slingshots(steps, loss, np.full(len(norm), 10.0)) == []  # without growth of the norm
    assert slingshots(steps, np.maximum(loss, 0.02), norm) == []  # never fitted
    assert len(slingshots(steps[:-18], loss[:-18], norm[:-18])) == 1  # the second is not over
    small = np.where(loss > 1e-3, np.where(steps > 300, 1e-4, loss), loss)
    assert slingshots(steps, small, norm) == []  # nothing that one sees


@pytest.mark.parametrize("least", [0.0, 1e-12])
def test_a_loss_that_rounds_to_zero_has_spikes_too(least: float) -> None:
    steps, loss, norm = curves()
    assert len(slingshots(steps, np.where(loss <= 1e-5, least, loss), norm)) == 2
