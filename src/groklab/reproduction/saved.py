"""Results to be published: `FOLDER/PAPER.json`, a claim an entry, each with its best evidence of either size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from groklab.errors import DamagedError, InputError
from groklab.reproduction.claim import PAPERS, SIZES, Claim
from groklab.store import storage

#: What the entry of a claim holds of each size that has been measured.
EVIDENCE = (
    *("command", "measured", "seeds", "verdict", "note", "setting", "cost", "seconds"),
    *("date", "hardware", "groklab", "digest"),
)


def save(stated: dict[str, Any], folder: str | Path) -> Path:
    """Lay what `reproduce` returned into `folder/PAPER.json` and return where it lies.

    Evidence of the other size, and of claims that were not asked for now, stays as long as it answers the claim as it
    stands today. Raises InputError where the folder cannot be written, DamagedError where the file is no such file.
    """
    paper = PAPERS[stated["paper"]]
    path = Path(folder).expanduser() / f"{paper.name}.json"
    before = {c["id"]: c for c in load(path)["claims"]} if path.exists() else {}
    now = {c["id"]: c for c in stated["claims"]}
    entries = []
    evidence: dict[str, Any]
    for claim in paper.claims:
        evidence = {size: before.get(claim.id, {}).get(size) for size in SIZES}
        evidence = {size: e for size, e in evidence.items() if e is not None and _answers(claim, size, e)}
        found = now.get(claim.id)
        if found is not None and found["verdict"] != "not run":
            evidence[stated["size"]] = _evidence(found)
        entries.append(_entry(paper.name, claim, evidence))
    content = {"paper": paper.name, "date": stated["date"], "hardware": stated["hardware"], "claims": entries}
    storage.write_json(path, content)
    return path


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote; raises DamagedError if it is not that, InputError if it cannot be read."""
    try:
        content = storage.read_json(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    claims = content.get("claims") if isinstance(content, dict) else None
    whole = isinstance(claims, list) and all(
        isinstance(c, dict)
        and isinstance(c.get("id"), str)
        and all(c.get(size) is None or isinstance(c[size], dict) for size in SIZES)
        for c in claims
    )
    if not whole:
        raise DamagedError(f"{path} is damaged: it holds no claims; remove it, and save again")
    return dict(content)


def _answers(claim: Claim, size: Any, evidence: dict[str, Any]) -> bool:
    """Whether saved evidence is of the claim's present trial."""
    if claim.trial(size) is None or not isinstance(evidence.get("seeds"), list):
        return False
    whole = set(evidence) == set(EVIDENCE)
    return whole and evidence["digest"] == claim.digest(size, tuple(evidence["seeds"]))


def _evidence(found: dict[str, Any]) -> dict[str, Any]:
    newest = max(found["findings"], key=lambda f: str(f["date"]))
    about = {key: newest[key] for key in ("date", "hardware", "groklab")}
    all_of_it = {**found, **about, "cost": found["cost_seconds"]}
    return {key: all_of_it[key] for key in EVIDENCE}


def _entry(paper: str, claim: Claim, evidence: dict[str, Any]) -> dict[str, Any]:
    """A claim with the evidence of each size, and on top that of the full one where there is one."""
    size = next((s for s in ("full", "quick") if s in evidence), None)
    best = evidence.get(size or "", {})
    planned = claim.quick or claim.full
    nothing: dict[str, Any] = {
        "command": f"groklab reproduce {paper}/{claim.id} --{'quick' if claim.quick else 'full'}" if planned else None,
        "measured": {},
        "seeds": [],
        "verdict": "not run",
        "setting": planned.setting if planned else None,
        "cost": planned.cost if planned else None,
    }
    return {
        "id": claim.id,
        "claim": claim.claim,
        "source": claim.source,
        "expected": claim.expected,
        **{key: best.get(key, value) for key, value in nothing.items()},
        "size": size,
        "counter": claim.counter,
        **{s: evidence.get(s) for s in SIZES},
    }
