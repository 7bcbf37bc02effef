"""What was changed in the middle of a run's training, in words: for lists, pages and the marks on its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groklab.store._records import Applied, MemberResult

if TYPE_CHECKING:
    from groklab.experiment import Experiment

#: Members that are listed one by one.
MOST_MEMBERS = 6


@dataclass(frozen=True)
class Mark:
    """A step at which something was changed.

    Attributes:
        step: updates before it.
        members: whose training; empty for all members.
        text: what was done, with the members where it was not all of them.
        after: when it memorised and generalised from then on, where one member is meant; empty otherwise.
    """

    step: int
    members: tuple[int, ...]
    text: str
    after: str = ""

    def sentence(self) -> str:
        """Return step, change and what followed, in one sentence."""
        return f"At step {self.step:,} it {self.text}{self.after and f'; {self.after}'}."


def marks_of(experiments: Sequence[Experiment], members: Sequence[MemberResult]) -> list[Mark]:
    """Return the changes in the training of a run's members, by step; equal ones of several members together."""
    start = experiments[0].start
    marks = []
    if start is not None and start.with_optimiser and start.step:
        marks.append(Mark(start.step, (), f"branched off {(start.run or 'another run').rpartition('/')[2]}"))
    together: dict[tuple[int, int, str], list[tuple[int, Applied]]] = {}
    for number, member in enumerate(members):
        for a in member.interventions or []:
            together.setdefault((a.step, a.number, a.sentence if len(members) == 1 else a.kind), []).append((number, a))
    for (step, _, _), of in together.items():
        whose = tuple(m for m, _ in of)
        texts = list(dict.fromkeys(a.sentence for _, a in of))
        text = texts[0] if len(texts) == 1 else f"{texts[0]} in member {whose[0]}, and likewise in the others"
        if len(whose) == len(members):
            whose = ()
        marks.append(Mark(step, whose, text + _of(whose), _after(of[0][1]) if len(members) == 1 else ""))
    return sorted(marks, key=lambda mark: mark.step)


def _of(members: tuple[int, ...]) -> str:
    if not members:
        return ""
    if len(members) > MOST_MEMBERS:
        return f" ({len(members)} members)"
    return f" (member{'s' if len(members) > 1 else ''} {', '.join(map(str, members))})"


def _after(applied: Applied) -> str:
    named = {"memorised": applied.memorised_step, "generalised": applied.grokked_step}
    times = [f"{name} at {step:,}" if step is not None else f"not {name}" for name, step in named.items()]
    return f"from then on {' and '.join(times)}"
