from pathlib import Path
from typing import Any

class SweepAccessors:
    def report(self, out: str | Path | None = None, *, open: bool = False, **options: Any) -> Path: ...
