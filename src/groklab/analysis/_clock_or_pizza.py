"""Clock or pizza: the bands that tell, and the sentence (Zhong et al. 2023, arXiv 2306.17844)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from groklab.measures import ClockOrPizza
from groklab.text import percent

Likeness = Literal["clock-like", "pizza-like", "between"]

#: Gradient symmetricity and distance irrelevance of a pizza (at least, at most) and of a clock (at most, at least).
#: The authors' table of runs (p = 59, one layer, ReLU) has, by attention rate 0–.4, .5, .6, .7, .8, .9, 1, gradient
#: symmetricity .99, .99, .89, .73, .60, .50, .43 and distance irrelevance .21–.25, .33, .54, .65, .73, .79, .84. The
#: bounds are groklab's: halfway between rates .5 and .6, below which all is alike, and between .7 and .8.
PIZZA, CLOCK = (0.94, 0.43), (0.67, 0.69)
#: The share of pairs that a network must answer right before either verdict.
ANSWERS = 0.99


def likeness(values: ClockOrPizza) -> Likeness | None:
    """Return by which bands a network is like a clock or a pizza; None where it fails pairs, or a value is missing."""
    symmetricity, irrelevance = values.gradient_symmetricity, values.distance_irrelevance
    if values.accuracy < ANSWERS or np.isnan([symmetricity, irrelevance]).any():
        return None
    if symmetricity >= PIZZA[0] and irrelevance <= PIZZA[1]:
        return "pizza-like"
    if symmetricity <= CLOCK[0] and irrelevance >= CLOCK[1]:
        return "clock-like"
    return "between"


def likeness_sentence(values: ClockOrPizza) -> str:
    """Return the values with what they say by the bands."""
    measured = (
        f"gradient symmetricity is {values.gradient_symmetricity:.2f}, distance irrelevance "
        f"{values.distance_irrelevance:.2f} and circularity {values.circularity:.2f}"
    )
    like = likeness(values)
    if like is None:
        if values.accuracy < ANSWERS:
            return f"Neither clock nor pizza: only {percent(values.accuracy)} of all pairs are right; {measured}."
        return f"Neither clock nor pizza, as a value is missing: {measured}."
    if like == "between":
        return f"Between clock and pizza: {measured} (Zhong et al. 2023)."
    a_pizza = like == "pizza-like"
    least, most = PIZZA if a_pizza else CLOCK[::-1]
    bounds = f"at least {least} and at most {most}" if a_pizza else f"at most {most} and at least {least}"
    what = "a pizza" if a_pizza else "a clock"
    return f"{like.capitalize()}: {measured}; {what} has {bounds} of the first two (Zhong et al. 2023)."
