"""The figures of what a model looks at, each with a sentence that says what it shows of this run."""

from __future__ import annotations

from groklab import figures
from groklab.analysis import feature_frames as frames
from groklab.report import feature_story as story
from groklab.report.features import Features
from groklab.report.pictures import Picture, picture


def feature_pictures(f: Features, loss: str, whose: str = "") -> list[Picture]:
    """Hidden progress, the matrix, its spectrum, and the Fourier picture of its block.

    loss: what the loss is, with its unit. whose: words that name the member, for an ensemble.
    """
    shown = {s: f.matrices[s] for s in f.shown}
    told = []
    title = "Hidden progress"
    if len(f.history) > 1 and len(f.metrics) > 1:
        marked = {
            "test loss moves by 1%": f.turning["loss_moves_step"],
            f"test accuracy over {f.turning['accuracy_over']:.0%}": f.turning["accuracy_rises_step"],
        }
        drawn = figures.hidden_progress(
            f.metrics, f.history, f.orientation, marked, loss=loss, logarithmic=not f.kernel_machine
        )
        told.append(picture("hidden", title, whose + story.progress_sentence(f), drawn))
    else:
        told.append(Picture("hidden", title, "One checkpoint or evaluation is too few to tell progress."))
    drawn = figures.feature_matrices(frames.matrix_frame(shown), reordered=f.reordered)
    told.append(picture("features", f"The feature matrix {f.matrix}", whose + story.matrix_sentence(f), drawn))
    drawn = figures.feature_eigenvalues(frames.eigenvalue_frame(shown))
    told.append(picture("eigenvalues", f"Spectrum of {f.matrix}", whose + story.spectrum_sentence(f), drawn))
    if f.orientation is None:
        return told
    drawn = figures.block_fourier(frames.block_frame(shown, f.orientation))
    title = "The off-diagonal block in Fourier components"
    told.append(picture("block", title, whose + story.fourier_sentence(f), drawn))
    drawn = figures.block_power(frames.power_frame(shown, f.orientation))
    told.append(picture("power", "Power of each frequency in the block", whose + story.power_sentence(f), drawn))
    return told
