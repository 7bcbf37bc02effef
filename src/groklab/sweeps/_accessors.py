"""What a sweep offers from packages that build on this one; `_accessors.pyi` gives the types."""

from __future__ import annotations

from groklab.store import Accessor


class SweepAccessors:
    """Attributes of a sweep that other packages provide."""

    report = Accessor("groklab.report", "report_of")
