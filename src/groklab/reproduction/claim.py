"""Claims of papers, and the trials that test them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from groklab.errors import unknown
from groklab.registry import Discovered
from groklab.reproduction.bench import Bench

Size = Literal["quick", "full"]
SIZES: tuple[Size, ...] = ("quick", "full")
#: Seeds that one trial may be asked for.
MAX_SEEDS = 1000
#: A finding's value: numbers that are not finite become None.
Value = float | int | str | bool | list[Any] | None


@dataclass(frozen=True)
class Finding:
    """What one seed gave. values: by name (`grokked_step`), in the units that the name says. holds: whether the claim
    is borne out. said: one sentence about this seed.
    """

    values: dict[str, Any]
    holds: bool
    said: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a claim is tested.

    setting: what is trained and, for a quick trial, why this is the smallest honest setting. seeds: those taken
    unless asked otherwise; a number n means 0 to n - 1. cost: estimated seconds on two cores for these seeds. run:
    `run(bench, seed) -> Finding`, or with together=True, where the seeds share an ensemble,
    `run(bench, seeds) -> list[Finding]`. fixed: other seeds than these make no sense. shares: trials of one size with
    the same name here train the same runs, so that the cost counts once a seed.
    """

    setting: str
    seeds: int | tuple[int, ...]
    cost: float
    run: Callable[[Bench, Any], Finding | list[Finding]]
    together: bool = False
    fixed: bool = False
    shares: str = ""

    @property
    def own_seeds(self) -> tuple[int, ...]:
        """The seeds taken unless asked otherwise."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def seeds_for(self, count: int | None) -> tuple[int, ...]:
        """The first `count` seeds, counted up beyond the trial's own where these are fewer."""
        own = self.own_seeds
        if count is None or self.fixed:
            return own if count is None else own[:count]
        beyond = range(max(own) + 1, max(own) + 1 + max(0, count - len(own)))
        return (*own, *beyond)[:count]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of a paper that can be tested.

    id: short, of lower-case letters, digits and dashes. source: section, figure or table. expected: the paper's value
    in words. quick, full: the trials of either size, None where there is none. counter: evidence of the literature
    against it. version: raised when what a trial does changes, so that it is measured again.
    """

    id: str
    claim: str
    source: str
    expected: str
    quick: Trial | None
    full: Trial | None
    counter: str = ""
    version: int = 1

    def trial(self, size: Size) -> Trial | None:
        """The trial of a size."""
        return self.quick if size == "quick" else self.full

    def digest(self, size: Size, seeds: Sequence[int]) -> str:
        """Names what a trial asks: findings of another digest are measured again."""
        trial = self.trial(size)
        assert trial is not None
        # members of an ensemble depend, in their last bits, on the others
        asked = [self.id, self.version, size, trial.setting, list(seeds) if trial.together else None]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Paper:
    """A paper's claims, by the name under which `groklab reproduce` knows it."""

    name: str
    title: str
    claims: tuple[Claim, ...]


PAPERS: Discovered[Paper] = Discovered("claims")


def publish(name: str, title: str, claims: Sequence[Claim]) -> Paper:
    """Make a paper's claims known; raises ValueError for names that are doubled or cannot be typed."""
    names = [c.id for c in claims]
    bad = [n for n in (name, *names) if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", n)]
    if bad or len(set(names)) < len(names):
        raise ValueError(f"{name}: claims need names of their own, of lower-case letters, digits and dashes: {names}")
    PAPERS[name] = Paper(name, title, tuple(claims))
    return PAPERS[name]


def find(what: str) -> tuple[Paper, tuple[Claim, ...]]:
    """A paper and its claims by PAPER, or one claim by PAPER/CLAIM; raises InputError naming the nearest."""
    name, slash, wanted = what.partition("/")
    if name not in PAPERS:
        raise unknown("paper", name, PAPERS, "`groklab reproduce` lists them")
    paper = PAPERS[name]
    if not slash:
        return paper, paper.claims
    found = tuple(c for c in paper.claims if c.id == wanted)
    if not found:
        raise unknown(f"claim of {name}", wanted, [c.id for c in paper.claims], "`groklab reproduce` lists them")
    return paper, found
