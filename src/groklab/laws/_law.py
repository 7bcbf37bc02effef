"""What a law is: a formula for a time, in the settings of a sweep; and the table of all laws."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from groklab.errors import check_choice
from groklab.registry import Discovered, enter, load_all

#: Values of a law's variables by name, (n,) each, one per member of a sweep.
Columns: TypeAlias = Mapping[str, np.ndarray]
#: What a law gives the time of: T_gen, or T_gen - T_mem.
Time = Literal["grokked_step", "delay"]
TIMES: dict[Time, str] = {"grokked_step": "the step of grokking", "delay": "steps from memorised to grokked"}


@dataclass(frozen=True)
class Variable:
    """A quantity of the formula, which is a setting of a sweep or measured in its runs.

    Args:
        settings: dotted names; the first that the sweep varies is taken.
        measured: the name of what is measured instead, see `groklab.laws._times`.
        varies: whether the sweep must vary it; others may also be the experiment's one value.
        positive: members at which it is not above zero have no such time by the formula, and are left out.
    """

    name: str
    settings: tuple[str, ...] = ()
    measured: str = ""
    varies: bool = True
    positive: bool = True


@dataclass(frozen=True)
class Exponent:
    """A parameter that the logarithm of the time is linear in.

    Args:
        published: the source's value, None where it has none.
        least: the smallest value that the formula allows.
        units_of: the variable in whose units the published value is; it counts only where `--axis` gives the unit.
    """

    name: str
    published: float | None = None
    least: float = -np.inf
    units_of: str = ""


@dataclass(frozen=True)
class Threshold:
    """A parameter at which the time diverges: above 0 and below every value at which a member grokked."""

    name: str
    variable: str


@dataclass(frozen=True, kw_only=True)
class Law:
    """A formula log T = log C + offset(x) + features(x) · exponents, with a noise that is normal in log T.

    Args:
        formula: in words that a terminal prints.
        source: the paper, with its link.
        claimed: what the paper says of the law, and where.
        features: (n, number of exponents) from the variables and the threshold, where there is one. A row that is not
            finite says that the time is infinite.
        offset: (n,), what stands in the formula without a free parameter.
    """

    name: str
    formula: str
    source: str
    claimed: str
    time: Time
    variables: tuple[Variable, ...]
    exponents: tuple[Exponent, ...] = ()
    threshold: Threshold | None = None
    features: Callable[[Columns, float], np.ndarray] | None = None
    offset: Callable[[Columns], np.ndarray] | None = None

    @property
    def n_parameters(self) -> int:
        """How many parameters are fitted: C, the exponents, the threshold, and the spread."""
        return 2 + len(self.exponents) + (self.threshold is not None)


LAWS: Discovered[Law] = Discovered(partial(load_all, "groklab.laws"))


def publish(law: Law) -> Law:
    """Make a law known; raises InputError where its name is taken."""
    enter(LAWS, "law", law.name, law, sys._getframe(1).f_globals["__name__"])
    return law


def law(name: str) -> Law:
    """Return the law of a name; raises InputError naming the nearest."""
    check_choice("law", name, LAWS, "`groklab fit` lists them")
    return LAWS[name]
