"""`python -m benchmarks [QUESTION …]`: run the benchmarks, print them, and keep them under benchmarks/results/."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import gpu, gpu_table

QUESTIONS = ("transformer", "micro", "process", "measures", "rfm", "toy", "operations")
THREADS = os.environ.get("GROKLAB_BENCH_THREADS", str(min(2, os.cpu_count() or 1)))
#: For each question's own process; idle threads must not spin on cores that another library needs.
ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), THREADS),
    "OMP_WAIT_POLICY": "PASSIVE",
}
_PINNED = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])"


def main() -> None:
    asked = sys.argv[1:] or list(QUESTIONS)
    if asked in (["gpu"], ["gpu-table"]):  # scripts of their own, for a card that is at hand for minutes
        (gpu if asked == ["gpu"] else gpu_table).main()
        return
    results: dict[str, Any] = {}
    for name in asked:
        print(f"{name} …", flush=True)
        # a process each: thread pools and memory of one question do not disturb the next
        command = [sys.executable, "-m", "benchmarks.one", name]
        if name == "micro" and hasattr(os, "sched_setaffinity"):
            command = [sys.executable, "-c", _PINNED, *command]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=ENVIRONMENT).stdout
        results[name] = json.loads(output.splitlines()[-1])
        print(json.dumps(results[name], indent=1))
    now = datetime.datetime.now(datetime.UTC)
    kept = {"date": now.date().isoformat(), "threads": int(THREADS), "hardware": hardware(), **results}
    path = Path(__file__).parent / "results" / f"{kept['date']}-{'-'.join(asked) if sys.argv[1:] else 'all'}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"kept in {path}")


def hardware() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


main()
