"""Slingshots (Thilak et al. 2022, arXiv 2206.04817): spikes of a fitted network's training loss.

https://arxiv.org/abs/2206.04817
"""

from __future__ import annotations

from dataclasses import dataclass

from groklab.lazy import np

#: A network has fitted its training set where the loss was below the first; a spike rises above the second, to at least
#: so many times the least loss since the last spike, and is over when it is back at a tenth of its height.
FITTED, VISIBLE, RISE, BACK = 1e-2, 1e-3, 100.0, 0.1
RULE = (
    "a slingshot is a spike of the training loss after it was below 0.01: above 0.001 and at least 100 times the least "
    "loss since the last spike; over when it is back at a tenth of its height; with a larger norm of the weights than "
    "before it"
)


@dataclass(frozen=True)
class Slingshot:
    """A spike: the steps of its rise, height and end, its height, and the norm of the weights before and after."""

    begin: int
    peak: int
    end: int
    height: float
    norm_before: float
    norm_after: float


def slingshots(steps: np.ndarray, train_loss: np.ndarray, weight_norm: np.ndarray) -> list[Slingshot]:
    """Find slingshots by RULE in the curves of one member, each (n,); a spike that is not over yet is left out.

    Args:
        steps: ascending, evaluated often enough to see a spike, which lasts some tens of steps.
        weight_norm: of all weights, or of the last layer as in the paper.
    """
    spikes: list[Slingshot] = []
    fitted = np.flatnonzero(train_loss < FITTED)
    if not len(fitted):
        return spikes
    least, begin, peak = float("inf"), None, 0
    for i in range(int(fitted[0]), len(steps)):
        loss = float(train_loss[i])
        if begin is None:
            if loss > VISIBLE and loss >= RISE * least:
                begin = peak = i
            least = min(least, loss)
            continue
        peak = i if loss > train_loss[peak] else peak
        if loss <= BACK * train_loss[peak]:
            before, after = float(weight_norm[begin - 1]), float(weight_norm[i])
            if after > before:
                rise, top, end = (int(steps[k]) for k in (begin, peak, i))
                spikes.append(Slingshot(rise, top, end, float(train_loss[peak]), before, after))
            begin, least = None, loss
    return spikes
