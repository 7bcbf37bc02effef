from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groklab.analysis import Analysis, Progress
from groklab.figures import Plots
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
        progress: Progress = ...,
    ) -> Analysis: ...
    def explain(self, member: int = 0, progress: Progress = ...) -> Analysis: ...
    @property
    def task(self) -> Task: ...
    @property
    def plot(self) -> Plots: ...
    def report(self, out: str | Path | None = None, *, open: bool = False) -> Path: ...
