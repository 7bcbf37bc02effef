"""What a kernel machine's features compare: the one judgement that terminal, JSON and pages repeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groklab.measures.orientations import ALIKE, CIRCULANT, ENTRIES, FAR, compared, is_ambiguous
from groklab.text import percent


@dataclass(frozen=True)
class FeatureAnalysis:
    """The final feature matrix M of a kernel machine, judged by its off-diagonal block (Mallinar et al. 2024).

    Args:
        deviations: how far the block is from each circulant orientation, 0 to 1; None where it is zero.
        orientation: that of the smallest deviation; None where the block is zero.
        is_asked: whether the answer is a function of what the block compares.
        test_accuracy: of the machine; None where it is not recorded.
    """

    deviations: Mapping[str, float | None]
    orientation: str | None
    is_asked: bool
    test_accuracy: float | None

    def verdict(self) -> str:
        """Return the judgement in one sentence."""
        accuracy = self.test_accuracy
        if accuracy is None or accuracy != accuracy:
            right = "its accuracy is not recorded"
        else:
            right = f"it answers {percent(accuracy)} of the test pairs"
        if self.orientation is None:
            return f"Nothing yet: the off-diagonal block of its feature matrix M is zero, and {right}."
        deviation = float(self.deviations[self.orientation] or 0.0)
        if deviation > FAR:
            return (
                f"No circulant features: the off-diagonal block of M deviates from every circulant by "
                f"{deviation:.2f} or more, and {right}."
            )
        if is_ambiguous(dict(self.deviations)):
            return f"{ALIKE}: that is the off-diagonal block of M, and {right}."
        meaning = "which is what the task asks" if self.is_asked else "which is not what the task asks"
        how = "It has learnt" if deviation <= CIRCULANT else "In part it has learnt"
        return (
            f"{how} features that put together pairs of the same {compared(self.orientation)}, {meaning}: the "
            f"off-diagonal block of M is {ENTRIES[self.orientation]} but for {percent(deviation)} of its squares, and "
            f"{right}."
        )
