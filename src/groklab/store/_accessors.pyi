from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groklab.analysis import Analysis, Measuring
from groklab.figures import Figure, Plots
from groklab.notebook import Watch
from groklab.tasks import Task

class Accessor:
    package: str
    name: str
    is_property: bool
    def __init__(self, package: str, name: str, *, is_property: bool = ...) -> None: ...
    def __get__(self, instance: Any, owner: type | None = ...) -> Any: ...

class RunAccessors:
    def analysis(
        self,
        member: int = 0,
        *,
        rule: str | None = None,
        frequencies: Sequence[int] | None = None,
        view: Watch[Measuring] = "live",
    ) -> Analysis: ...
    def explain(self, member: int = 0, *, view: Watch[Measuring] = "live") -> Analysis: ...
    @property
    def task(self) -> Task: ...
    @property
    def plot(self) -> Plots: ...
    def scrub(self, *names: str, member: int | None = None) -> Figure: ...
    def report(self, out: str | Path | None = None, *, open: bool = False) -> Path: ...
