"""The effective theory's figures as self-contained pages: what the task is, what is drawn, what the terms mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groklab.figures.embedding_traces import embedding_traces, reached
from groklab.figures.theme import Figure
from groklab.figures.theory import critical_fraction_by_p, theory_by_fraction
from groklab.report.page import Page, render
from groklab.report.pictures import picture
from groklab.text import listed

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
SOURCE = "The theory is that of Liu et al. 2022, arXiv:2205.10343."


def fraction_page(found: dict[str, Any]) -> str:
    """The page of one task over training fractions; found: what `effective_theory.theory` gives where it applies."""
    summary = (
        f"{found['task']}: {found['n_pairs']:,} pairs of {found['p']} symbols with "
        f"{found['n_parallelograms']:,} parallelogram equations between them. Half of all training sets force a linear "
        f"representation from a fraction of {found['critical_fraction']:.3f} ± {found['critical_fraction_se']:.3f} on."
    )
    sentence = (
        "Above, the share of random training sets that force a linear representation, and the mean share of answers "
        f"that they imply. Below, medians over training sets: λ₃, and the steps 1/(λ₃ η) at η = {found['eta']:g}; a "
        "gap is an infinite time. The dotted line is the critical fraction."
    )
    ideal = "Ideal accuracy: the share of all answers that the equations of a training set imply."
    return _page(
        found["task"], summary, "By training fraction", sentence, theory_by_fraction(found), (CRITICAL, ideal, RATE)
    )


def against_p_page(rows: list[dict[str, Any]], task: str) -> str:
    """The page of the critical fraction by number of symbols; rows: what `effective_theory.against_p` gives."""
    first, last = rows[0], rows[-1]
    summary = (
        f"{task} with {listed([row['p'] for row in rows])} symbols. "
        f"The critical fraction is {first['critical_fraction']:.3f} at p = {first['p']} "
        f"and {last['critical_fraction']:.3f} at p = {last['p']}."
    )
    sentence = "The critical training fraction with its standard error by number of symbols p, on logarithmic axes."
    return _page(
        f"Critical fraction of {task}",
        summary,
        "By number of symbols",
        sentence,
        critical_fraction_by_p(rows),
        (CRITICAL,),
    )


def run_page(found: dict[str, Any]) -> str:
    """The page of theory and run side by side; found: what `predicting.beside_run` gives where it applies."""
    summary = (
        f"{found['task']}, {found['n_train']} training pairs, member {found['member']} of {found['run']}. "
        f"Their equations leave {found['null_dimension']} dimensions free; 2 force a line. The RQI passes 0.95 in the "
        f"theory: {reached(found, 'theory')}; in the run: {reached(found, 'network')}."
    )
    sentence = (
        "A line a symbol, labelled with its number: its normalised embedding by step, as the theory's flow from the "
        "run's own first embedding has it (left) and as the run did (right), along the last step's first principal "
        "component where the embedding has several dimensions. A dotted line marks where the RQI passes 0.95."
    )
    censored = "Censored: not seen by the last step there is, which does not say that it never happens."
    drawn = embedding_traces(found)
    return _page(found["run"], summary, "Theory and run side by side", sentence, drawn, (RQI, RATE, censored))


def _page(title: str, summary: str, heading: str, sentence: str, drawn: Figure, notes: Sequence[str]) -> str:
    return render(
        Page(
            title=title,
            kind=KIND,
            tags=(),
            summary=[summary],
            tiles=(),
            problems=(),
            pictures=[picture("theory", heading, sentence, drawn, tall=True)],
            tables=(),
            provenance=(),
            remake={},
            notes=(*notes, SOURCE),
            heading="What the theory says",
        )
    )
