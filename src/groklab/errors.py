"""What groklab raises: refusals of input, damaged files, interruptions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: So many names of a closed set are listed in a refusal.
MOST_NAMES = 20


class InputError(ValueError):
    """What the user asked for cannot be done: one sentence, exit code 2.

    Make it from the field's dotted name, the value and what is allowed:

    >>> str(InputError("task.p", 1, "needs an integer of at least 2"))
    'task.p = 1: needs an integer of at least 2'

    or from a complete sentence: ``InputError("the disk is full")``.
    """

    def __init__(self, field: str, value: object = None, allowed: str = "") -> None:
        self.field = field
        sentence = f"{field} = {value!r}: {allowed}" if allowed else field
        super().__init__(sentence)


class DamagedError(InputError):
    """A file on disk is truncated, altered or unreadable. Exit code 2."""


class Interrupted(Exception):
    """Ctrl-C, or another signal that asks to end: the run has been saved and can be resumed."""


class OutOfTime(Interrupted):
    """A deadline has passed: the run has been saved and can be resumed."""


def shorten(text: str, longest: int = 80) -> str:
    """Return a text for a sentence, cut where it is longer than `longest` characters."""
    return text if len(text) <= longest else text[: longest - 3] + "…"


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the name of a closed set that is most like `name`; None where none is like it, and for a number."""
    if name.replace(".", "").isdigit():
        return None
    by_lower = {choice.lower(): choice for choice in reversed(list(choices))}
    close = difflib.get_close_matches(name[:80].lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


def with_stems(names: Iterable[str]) -> list[str]:
    """Return names of runs or sweeps, and the part before the identity in each: either finds one."""
    full = list(names)
    return full + [name.rpartition("-")[0] for name in full]


def matching(name: str, names: Iterable[str]) -> list[str]:
    """Return the names of runs or sweeps that are meant: exactly that one, else without the identity, else by start."""
    starts = [full for full in names if name and full.startswith(name)]
    without_identity = [full for full in starts if full.rpartition("-")[0] == name]
    return [name] if name in starts else without_identity or starts


def did_you_mean(name: str, choices: Iterable[str], prefix: str = "") -> str:
    """Return ' (did you mean …?)' with the nearest name after `prefix`, or nothing where none is like it."""
    close = nearest(name, choices)
    return f" (did you mean {prefix}{close}?)" if close is not None else ""


def unknown(field: str, value: object, choices: Iterable[str], help: str = "", known: str = "allowed") -> InputError:
    """Return the refusal of a value that is not in a closed set: it names the nearest one and what is allowed.

    >>> str(unknown("dtype", "float23", ["float32", "float64"]))
    "dtype = 'float23': unknown (did you mean float32?); allowed: float32, float64"

    Args:
        field: what was set.
        value: what it was set to.
        choices: the closed set.
        help: the command that lists the set, as '`groklab presets` lists them', in place of a long list.
        known: the word before the list.
    """
    names = [str(choice) for choice in choices]
    ending = f"{known}: {', '.join(names) or 'none'}" if not help or len(names) <= MOST_NAMES else ""
    text = value if not isinstance(value, str) else shorten(value)
    sentence = "; ".join(part for part in (f"unknown{did_you_mean(str(value), names)}", ending, help) if part)
    return InputError(field, text, sentence)


def check_member(member: int, n_members: int, owner: str) -> None:
    """Raise InputError for a member that a run or sweep, `owner` in the sentence, does not have."""
    if not 0 <= member < n_members:
        there = "only member 0" if n_members == 1 else f"members 0 to {n_members - 1}"
        raise InputError("member", member, f"{owner} has {there}")


def check_choice(field: str, value: object, choices: Iterable[str], help: str = "", known: str = "allowed") -> None:
    """Raise InputError, as `unknown` makes it, for a value that is not in a closed set."""
    names = list(choices)
    if value not in names:
        raise unknown(field, value, names, help, known)
