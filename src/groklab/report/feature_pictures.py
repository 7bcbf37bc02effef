"""The figures of what a model looks at, each with a sentence that says what it shows of this run."""

from __future__ import annotations

from collections.abc import Sequence

from groklab import figures
from groklab.analysis import features as frames
from groklab.analysis.facts import Facts, for_slider
from groklab.analysis.features import FeatureAnalysis
from groklab.report.pictures import Picture, picture
from groklab.store.thinning import thin, thin_evenly

#: Entries of all matrices that a page holds, two bytes and a third each.
ENTRIES = 700_000


def steps_shown(facts: Facts, f: FeatureAnalysis) -> list[int]:
    """Return the steps that a slider goes through: many frames of large matrices make a page heavy."""
    panels = 2 if f.reordered else 1
    most = max(2, ENTRIES // (panels * f.final.size))
    steps = list(f.matrices)
    return thin_evenly(steps, min(31, most)) if f.kernel_machine else thin(for_slider(facts, steps), most)


def feature_pictures(f: FeatureAnalysis, steps: Sequence[int], loss: str, whose: str = "") -> list[Picture]:
    """Draw hidden progress, the matrix, its spectrum, and the Fourier picture of its block.

    Args:
        f: the analysis.
        steps: those of the matrices that are drawn.
        loss: what the loss is, with its unit.
        whose: words that name the member, for an ensemble.
    """
    shown = {s: f.matrices[s] for s in steps}
    told = []
    title = "Hidden progress"
    if len(f.history) > 1 and len(f.metrics) > 1:
        marked = {
            "test loss moves by 1%": f.turning.loss_moves_step,
            f"test accuracy over {f.turning.accuracy_over:.0%}": f.turning.accuracy_rises_step,
        }
        drawn = figures.hidden_progress(
            f.metrics, f.history, f.orientation, marked, loss=loss, logarithmic=not f.kernel_machine
        )
        told.append(picture("hidden", title, whose + f.progress_sentence(), drawn))
    else:
        told.append(Picture("hidden", title, "One checkpoint or evaluation is too few to tell progress."))
    drawn = figures.feature_matrices(frames.matrix_frame(shown), reordered=f.reordered)
    told.append(picture("features", f"The feature matrix {f.matrix}", whose + f.matrix_sentence(), drawn))
    drawn = figures.feature_eigenvalues(frames.eigenvalue_frame(shown))
    told.append(picture("eigenvalues", f"Spectrum of {f.matrix}", whose + f.spectrum_sentence(), drawn))
    if f.orientation is None:
        return told
    drawn = figures.block_fourier(frames.block_frame(shown, f.orientation))
    title = "The off-diagonal block in Fourier components"
    told.append(picture("block", title, whose + f.fourier_sentence(), drawn))
    drawn = figures.block_power(frames.power_frame(shown, f.orientation))
    told.append(picture("power", "Power of each frequency in the block", whose + f.power_sentence(), drawn))
    return told
