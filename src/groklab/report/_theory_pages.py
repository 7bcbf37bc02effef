"""The effective theory's figures as self-contained pages: the task, what is drawn, what the terms mean."""

from __future__ import annotations

from collections.abc import Sequence

from groklab.analysis import TheoryBesideRun
from groklab.figures import Figure, critical_fraction_by_p, embedding_traces, theory_by_fraction
from groklab.report._html import Page, Part, picture, render_page
from groklab.text import listed
from groklab.theory import CriticalFraction, Prediction

KIND = "Effective theory"
CRITICAL = (
    "Critical fraction: the share of all pairs from which on half of all random training sets force the linear "
    "representation, E_k = a + k b."
)
RATE = (
    "λ₃: the grokking rate, the third eigenvalue of the theory's matrix H and the rate of its slowest mode; "
    "1/(λ₃ η) steps of learning rate η are the time it predicts. Where more than two dimensions are left free λ₃ is 0 "
    "and the time infinite."
)
RQI = "RQI: the share of the task's parallelogram equations E_i + E_j = E_m + E_n that an embedding satisfies."
IDEAL = "Ideal accuracy: the share of all answers that the equations of a training set imply."
CENSORED = "Censored: not by the last step there is, which does not mean that it never happens."
SOURCE = "The theory is that of Liu et al. 2022, arXiv:2205.10343."


def fraction_page(task: str, prediction: Prediction) -> str:
    """Return the page of one task over training fractions."""
    summary = (
        f"{task}: {prediction.n_pairs:,} pairs of {prediction.p} symbols with "
        f"{prediction.n_parallelograms:,} parallelogram equations between them. Half of all training sets force a "
        f"linear representation from a fraction of {prediction.critical_fraction:.3f} ± "
        f"{prediction.critical_fraction_se:.3f} on."
    )
    sentence = (
        "Above, the share of random training sets that force a linear representation, and the mean share of answers "
        f"that they imply. Below, medians over training sets: λ₃, and the steps 1/(λ₃ η) at η = {prediction.eta:g}; "
        "a gap is an infinite time. The dotted line is the critical fraction."
    )
    plot = theory_by_fraction(prediction)
    return _page(task, summary, "By training fraction", sentence, plot, (CRITICAL, IDEAL, RATE))


def against_p_page(rows: Sequence[CriticalFraction], task: str) -> str:
    """Return the page of the critical fraction by number of symbols."""
    first, last = rows[0], rows[-1]
    summary = (
        f"{task} with {listed([row.p for row in rows])} symbols. "
        f"The critical fraction is {first.critical_fraction:.3f} at p = {first.p} "
        f"and {last.critical_fraction:.3f} at p = {last.p}."
    )
    sentence = "The critical training fraction with its standard error by number of symbols p, on logarithmic axes."
    plot, title = critical_fraction_by_p(rows), f"Critical fraction of {task}"
    return _page(title, summary, "By number of symbols", sentence, plot, (CRITICAL,))


def beside_run_page(beside: TheoryBesideRun) -> str:
    """Return the page of theory and run beside each other."""
    summary = (
        f"{beside.task}, {beside.n_train} training pairs, member {beside.member} of {beside.run}. Their equations "
        f"leave {beside.null_dimension} dimensions free; 2 force a line. The RQI passes 0.95 in the theory: "
        f"{beside.when('theory')}; in the run: {beside.when('network')}."
    )
    sentence = (
        "One line per symbol, labelled with its number: its normalised embedding by step, as the theory's flow from "
        "the run's own first embedding has it (left) and as the run has it (right), along the last step's first "
        "principal component where the embedding has several dimensions. A dotted line marks where the RQI passes 0.95."
    )
    plot, title = embedding_traces(beside), beside.run
    return _page(title, summary, "Theory and run side by side", sentence, plot, (RQI, RATE, CENSORED))


def _page(title: str, summary: str, heading: str, sentence: str, plot: Figure, notes: Sequence[str]) -> str:
    return render_page(
        Page(
            title=title,
            kind=KIND,
            summary=[summary],
            heading="What the theory says",
            parts=[Part(pictures=[picture("theory", heading, sentence, plot, rows=True)])],
            notes=(*notes, SOURCE),
        )
    )
