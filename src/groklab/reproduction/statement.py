"""How a paper's claims stand, as plain JSON values."""

from __future__ import annotations

import datetime
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from groklab.device import cores
from groklab.lazy import jax
from groklab.reproduction.claim import Claim, Paper, Size
from groklab.reproduction.findings import Findings
from groklab.reproduction.measured import VERDICTS, measured, verdict


def of_paper(paper: Paper, size: Size, claims: list[dict[str, Any]], seconds_left: float) -> dict[str, Any]:
    """What `groklab reproduce --json` prints. seconds_left: estimated for what is not found yet."""
    return {
        "paper": paper.name,
        "title": paper.title,
        "size": size,
        **circumstances(),
        "complete": seconds_left == 0,
        "seconds_left": round(seconds_left, 1),
        "tally": {v: sum(c["verdict"] == v for c in claims) for v in VERDICTS},
        "claims": claims,
    }


def of_claim(paper: Paper, claim: Claim, size: Size, count: int | None, findings: Findings) -> dict[str, Any]:
    """One claim. count: seeds asked for, None for the trial's own."""
    trial = claim.trial(size)
    seeds = trial.seeds_for(count) if trial is not None else ()
    found = findings.of(claim, size, seeds) if trial is not None else {}
    seconds = sum(f["seconds"] for f in found.values())
    return {
        "id": claim.id,
        "claim": claim.claim,
        "source": claim.source,
        "command": command(paper, claim, size, count) if trial is not None else None,
        "expected": claim.expected,
        "measured": measured(found),
        "seeds": list(found),
        "verdict": verdict(found, len(seeds)),
        "note": _note(found, len(seeds), size, claim),
        "setting": trial.setting if trial is not None else None,
        "counter": claim.counter,
        "cost_seconds": _cost(claim, size, len(seeds)),
        "seconds": round(seconds, 3),
        "digest": claim.digest(size, seeds) if trial is not None else None,
        "findings": [{"seed": seed, **record} for seed, record in found.items()],
    }


def command(paper: Paper, claim: Claim, size: Size, count: int | None) -> str:
    """The command that remakes a claim."""
    trial = claim.trial(size)
    own = trial is None or count is None or trial.seeds_for(count) == trial.own_seeds
    return f"groklab reproduce {paper.name}/{claim.id} --{size}" + ("" if own else f" --seeds {count}")


def circumstances() -> dict[str, str]:
    """Today (UTC), this machine, this version."""
    import groklab

    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": today, "hardware": hardware(), "groklab": groklab.__version__}


@lru_cache(maxsize=1)
def hardware() -> str:
    """The machine in a line, such as '2 cores of Intel(R) Xeon(R) …, trained on cpu'."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux
    first = jax.devices()[0]
    device = first.device_kind if first.platform != "cpu" else "the CPU"
    n = cores()
    return f"{n} core{'s' if n > 1 else ''} of {name} ({platform.machine()}), trained on {device}"


def _cost(claim: Claim, size: Size, n: int) -> float | None:
    trial = claim.trial(size)
    return None if trial is None else round(trial.cost * n / len(trial.own_seeds), 1)


def _note(found: dict[int, dict[str, Any]], asked: int, size: Size, claim: Claim) -> str:
    """Why a claim has no verdict yet, or how many seeds bear it out."""
    if not asked:
        other = "full" if size == "quick" else "quick"
        return f"there is no {size} trial; --{other} has one" if claim.quick or claim.full else "there is no trial yet"
    if not found:
        return "not measured yet"
    holding = sum(f["holds"] for f in found.values())
    so_far = f"{len(found)} of {asked} seeds measured so far; " if len(found) < asked else ""
    return f"{so_far}holds in {holding} of {len(found)} seed{'s' if len(found) > 1 else ''}"
