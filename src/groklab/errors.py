"""What groklab raises: refusals of input, damaged files, interruptions."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user asked for cannot be done: one sentence, exit code 2.

    Build it from the field's dotted name, the value given and what is allowed:

    >>> str(InputError("task.p", 1, "needs an integer of at least 2"))
    'task.p = 1: needs an integer of at least 2'

    or from a ready sentence alone: ``InputError("no run is called 'x'")``.
    """

    def __init__(self, field: str, value: object = None, allowed: str = "") -> None:
        self.field = field
        sentence = f"{field} = {value!r}: {allowed}" if allowed else field
        super().__init__(sentence)


class DamagedError(InputError):
    """A file on disk is truncated, altered or unreadable. Exit code 2."""


class Interrupted(Exception):
    """Ctrl-C: the run has been saved and can be resumed."""


class OutOfTime(Interrupted):
    """A deadline has passed: the run has been saved and can be resumed."""


def shown(name: str) -> str:
    """A name for a sentence, cut where it is endless."""
    return name if len(name) <= 80 else name[:77] + "…"
