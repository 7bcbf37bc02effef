"""The leaderboard of a track as far as it is measured: its scores, and the file that publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from groklab import grokking, notebook
from groklab.errors import InputError
from groklab.leaderboard._question import RULES
from groklab.leaderboard._score import Score, is_baseline
from groklab.leaderboard._statistics import differences
from groklab.leaderboard._track import SIZES, Scale, Size, Track
from groklab.reproduction import provenance
from groklab.store import Stored, storage
from groklab.text import duration, listed, step_of
from groklab.training import training

#: Columns of a leaderboard, as people read it.
COLUMNS = ("entry", "median step", "95% interval", "grokked", "stays", "seconds", "TFLOP", "verdict", "p")


@dataclass(frozen=True, repr=False)
class Board:
    """The scores of a track at one size, the best first.

    Attributes:
        waiting: entries that are not scored yet.
        complete: whether every entry that was asked for is scored.
        seconds_left: at most, by estimate.
    """

    track: Track
    size: Size
    scores: tuple[Score, ...]
    waiting: tuple[str, ...]
    seconds_left: float
    command: str

    @classmethod
    def of(
        cls,
        track: Track,
        size: Size,
        scores: Sequence[Score],
        waiting: Sequence[str],
        seconds_left: float,
        command: str,
    ) -> Board:
        """Return a board whose entries are compared with the baseline, if that is scored."""
        baseline = next((s for s in scores if is_baseline(s)), None)
        others = [s for s in scores if s is not baseline]
        if baseline is not None:
            compared = differences(baseline.sample, [s.sample for s in others])
            others = [replace(s, difference=d) for s, d in zip(others, compared, strict=True)]
        known = [*([] if baseline is None else [baseline]), *others]
        ordered = sorted(known, key=lambda score: (score.rank, score.name))
        return cls(track, size, tuple(ordered), tuple(waiting), seconds_left, command)

    def __repr__(self) -> str:
        return f"Board({self.track.name!r}, {self.size}: {self.summary})"

    def _repr_html_(self) -> str:
        title = notebook.title(f"{self.track.name}, {self.size}", self.track.title)
        return notebook.block(title, notebook.table(COLUMNS, self.rows), notebook.line(self.summary))

    @property
    def complete(self) -> bool:
        """Whether every entry that was asked for is scored."""
        return not self.waiting

    @property
    def scale(self) -> Scale:
        """Budget, trials and seeds."""
        return self.track.scale(self.size)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table as texts, in the order of `COLUMNS`."""
        return [row_of(score.to_dict()) for score in self.scores]

    @property
    def summary(self) -> str:
        """What the board says, in one or two sentences."""
        return summary_of([score.to_dict() for score in self.scores], self.waiting)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints, and what is published of a size."""
        about = provenance()
        scale = self.scale
        return {
            "size": self.size,
            "command": self.command,
            **about,
            "versions": {name: metadata.version(name) for name in ("jax", "numpy", "optax", "scipy")},
            "python": training.environment().python,
            "rules": RULES,
            "definition": grokking.DEFINITION,
            "complete": self.complete,
            "waiting": list(self.waiting),
            "scale": {**vars(scale), "settings": dict(scale.settings)},
            "seeds": {
                "tuning": list(self.track.tuning_seeds(self.size)),
                "score": list(self.track.score_seeds(self.size)),
            },
            "baseline": self.track.experiment(self.size).chosen(),
            "entries": [score.to_dict() for score in self.scores],
        }


def row_of(score: dict[str, Any]) -> tuple[str, ...]:
    """Return the row of a score, as `Score.to_dict` gives it, in the order of `COLUMNS`."""
    median, difference = score["median"], score["difference"] or {}
    n, low, high = median["n_grokked"], median["low"], median["high"]
    interval = "–" if low is None and high is None else f"{step_of(low)}–{'∞' if high is None else step_of(high)}"
    flop, seconds, p = score["flop_to_grok"], score["seconds_to_grok"], difference.get("p_holm")
    return (
        score["entry"],
        "not reached" if median["median"] is None else step_of(median["median"]),
        interval,
        f"{n} of {score['share']['n']}",
        f"{score['staying']} of {n}" if n else "–",
        "–" if seconds is None else duration(seconds),
        "–" if flop is None else f"{flop / 1e12:.3g}",
        difference.get("verdict", "–"),
        "–" if p is None else f"{p:.2g}",
    )


def summary_of(scores: Sequence[dict[str, Any]], waiting: Sequence[str] = ()) -> str:
    """Return which entries grok sooner or later than the baseline, and which do not differ from it beyond chance."""
    by: dict[str, list[str]] = {}
    for score in scores:
        if score["difference"] is not None:
            by.setdefault(score["difference"]["verdict"], []).append(score["entry"])
    parts = [
        f"{verdict} than the tuned AdamW: {listed(by[verdict])}" for verdict in ("sooner", "later") if verdict in by
    ]
    parts += [f"undecided: {listed(by['undecided'])}"] if "undecided" in by else []
    parts += [f"not scored yet: {listed(list(waiting))}"] if waiting else []
    return "; ".join(parts) or "nothing is compared yet"


def save(board: Board, folder: str | Path) -> Path:
    """Write a board into `folder/TRACK.json`, beside that of the other size; return the path.

    The size's scores are replaced: they are those of one machine. The other size stays while the rules are the present
    ones.

    Raises:
        InputError: where nothing is scored, or the folder cannot be written.
        DamagedError: where the file is not such a file.
    """
    if not board.scores:
        raise InputError(f"{board.track.name}: nothing is scored yet, so there is nothing to save")
    path = Path(folder).expanduser() / f"{board.track.name}.json"
    before = load(path)["sizes"] if path.exists() else {}
    kept = {size: content for size, content in before.items() if content.get("rules") == RULES and size in SIZES}
    sizes = {**kept, board.size: board.to_dict()}
    track = board.track
    about = {"track": track.name, "title": track.title, "source": track.source}
    storage.write_json(path, {**about, "sizes": {size: sizes[size] for size in SIZES if size in sizes}})
    return path


def load(path: str | Path) -> dict[str, Any]:
    """Read what `save` wrote; raises DamagedError if it is not that, InputError if it cannot be read."""
    try:
        return storage.read_json(Path(path), _Published, "remove it, and save again").model_dump()
    except FileNotFoundError:
        raise InputError(f"{path} cannot be read: there is no such file") from None


class _Published(Stored):
    model_config = ConfigDict(extra="allow")

    track: str
    title: str
    source: str
    sizes: dict[str, dict[str, Any]]
