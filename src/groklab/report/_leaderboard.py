"""A track's leaderboard as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from groklab import grokking
from groklab.experiment import dump_yaml
from groklab.figures import entry_curves, entry_medians
from groklab.leaderboard import BASELINE, COLUMNS, CONVENTIONS, LEVEL, STAYS, Board, folder
from groklab.report._html import Page, Part, Table, picture, render_page
from groklab.store import storage
from groklab.text import duration, label, step_of

NOTES = (
    "An entry is a set of settings over the track's baseline. The track fixes task, split, network, order of the data, "
    "evaluations and budget.",
    "Tuning: each tuned entry tries as many settings as any other, its own and others drawn from its grid, with seeds "
    "that no score uses. The one with the smallest median step is scored; tuning is not part of the score.",
    f"Score: on fresh seeds, the same for all entries, each with its own split. Grokked is {grokking.DEFINITION}: "
    f"{grokking.CRITERIA['sustained_99']}. Models that have not grokked within the budget are censored there; the "
    "median is that of Kaplan and Meier, with its log-log interval at 95%.",
    "A network that is trained before (weak) counts: its steps, seconds and operations are part of the entry's.",
    f"Stays: of the seeds that grokked, those whose test accuracy did not fall below {STAYS:.0%} as long as they were "
    "trained on.",
    "Seconds: of one model alone on this machine up to the median step. TFLOP: 10¹² operations of its forward and "
    "backward passes up to there; the optimiser's own arithmetic is not counted, and is in the seconds.",
    "Against the baseline: the log-rank test on the matched seeds, two-sided, not stratified by seed (strata of two "
    "would make it a sign test; where seeds are alike the test errs towards undecided), with Holm's correction over "
    f"all entries. Undecided: p of {LEVEL:g} or more, or fewer than ten seeds.",
)


def board_page(board: Board) -> str:
    """Return the page of a track's leaderboard at one size."""
    content = board.to_dict()
    scores: list[dict[str, Any]] = content["entries"]
    parts = [Part(pictures=_pictures(scores))] if scores else []
    tables = [Table("Leaderboard", COLUMNS, board.rows), *_tables(scores)] if scores else []
    return render_page(
        Page(
            title=f"{board.track.name}: {board.track.title}",
            kind=f"Leaderboard, {board.size}",
            summary=[f"{board.summary[0].upper()}{board.summary[1:]}."],
            heading="What grokked sooner",
            tiles=_tiles(board),
            parts=parts,
            tables=tables,
            remake={"command": board.command, "yaml": "", "remark": _left(board)},
            provenance=_provenance(board, content),
            notes=NOTES,
        )
    )


def write_board(board: Board, out: str | Path | None = None, *, home: str | Path | None = None) -> Path:
    """Write the page of a leaderboard, and return its path.

    Args:
        out: the file, or a folder for it; by default `<home>/leaderboard/TRACK-SIZE.html`.
    """
    name = f"{board.track.name}-{board.size}.html"
    path = folder(home) / name if out is None else Path(out).expanduser()
    if path.is_dir():
        path = path / name
    storage.atomic_write(path, board_page(board).encode())
    return path


def seeds_frame(scores: list[dict[str, Any]]) -> pl.DataFrame:
    """Return one row per entry and seed: the step at which it grokked, or at which its budget ended."""
    rows = [
        {
            "entry": score["entry"],
            "seed": o["seed"],
            "step": o["ended"] if o["grokked"] is None else o["grokked"],
            "grokked": o["grokked"] is not None,
        }
        for score in scores
        for o in score["outcomes"]
    ]
    return pl.DataFrame(rows)


def medians_frame(scores: list[dict[str, Any]]) -> pl.DataFrame:
    """Return one row per entry: verdict, median, its interval, the budget, and the steps of the seeds that grokked."""
    schema = {"entry": pl.String, "verdict": pl.String, "median": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    rows = [
        {
            "entry": score["entry"],
            "verdict": _verdict(score),
            **{key: score["median"][key] for key in ("median", "low", "high")},
            "budget": max(o["ended"] for o in score["outcomes"]),
            "seeds": [o["grokked"] for o in score["outcomes"] if o["grokked"] is not None],
        }
        for score in scores
    ]
    return pl.DataFrame(rows, schema={**schema, "budget": pl.Int64, "seeds": pl.List(pl.Int64)})


def _verdict(score: dict[str, Any]) -> str:
    if score["entry"] == BASELINE:
        return "baseline"
    return str(score["difference"]["verdict"]) if score["difference"] else "undecided"


def _pictures(scores: list[dict[str, Any]]) -> list[Any]:
    medians = picture(
        "medians",
        "Median steps",
        f"The fastest is {scores[0]['entry']}. Bars are 95% intervals of the median, dots the seeds; shapes show "
        "whether the difference to the baseline is decided.",
        entry_medians(medians_frame(scores)),
        rows=True,
        about="When half of an entry's models have grokked, by Kaplan and Meier.",
    )
    curves = picture(
        "curves",
        "When the models grokked",
        "The share of each entry's models that have grokked by each step, beside the baseline; ticks are models whose "
        "budget ended before.",
        entry_curves(seeds_frame(scores), BASELINE),
        rows=True,
        about="Kaplan–Meier curves, one panel per entry.",
    )
    return [medians, curves]


def _tables(scores: list[dict[str, Any]]) -> list[Table]:
    settings = [(score["entry"], _settings(score["chosen"] or score["settings"])) for score in scores]
    about = [(score["entry"], f"{score['about']} {score['source']}".strip()) for score in scores]
    conventions = [
        (
            score["entry"],
            step_of(score["median"]["median"]),
            *(step_of(score["conventions"][name]["median"]) for name in CONVENTIONS if name in score["conventions"]),
        )
        for score in scores
    ]
    compared = [
        (score["entry"], f"{d['earlier']}", f"{d['later']}", f"{d['tied']}", d["verdict"], d["reason"] or "–")
        for score in scores
        if (d := score["difference"]) is not None
    ]
    costs = [
        (
            score["entry"],
            f"{len(tuning['trials'])}",
            f"{tuning['models']}",
            step_of(tuning["steps"]),
            duration(tuning["seconds"]),
            f"{tuning['flop'] / 1e12:.3g}",
        )
        for score in scores
        if (tuning := score["tuning"]) is not None
    ]
    tables = [
        Table("Settings", ("entry", "what tuning chose"), settings),
        Table("Entries", ("entry", "what it is, and its source"), about),
        Table("The median by the conventions of others", ("entry", "groklab", *CONVENTIONS), conventions),
    ]
    if compared:
        head = ("entry", "seeds in which it was earlier", "later", "tied", "verdict", "why undecided")
        tables.insert(0, Table("Beside the tuned AdamW, seed by seed", head, compared))
    if costs:
        tables.append(Table("Cost of tuning", ("entry", "trials", "models", "steps", "seconds", "TFLOP"), costs))
    return tables


def _settings(settings: dict[str, Any]) -> str:
    """Return settings in a line, those of the baseline where there are none."""
    return ", ".join(f"{name}={label(value)}" for name, value in settings.items()) or "its own"


def _tiles(board: Board) -> list[tuple[str, str, str]]:
    scale = board.scale
    tuning = f"with {scale.tuning_seeds} seeds each"
    return [
        ("budget", f"{scale.steps:,}", "steps of each model"),
        ("tuning", f"{scale.trials} trials", tuning),
        ("score", f"{scale.seeds} seeds", "fresh ones, matched between entries"),
        ("entries", f"{len(board.scores)}", f"{len(board.waiting)} more are not scored" if board.waiting else "all"),
    ]


def _left(board: Board) -> str:
    if not board.waiting:
        return ""
    return f"What is not measured yet takes at most about {duration(board.seconds_left)} by estimate."


def _provenance(board: Board, content: dict[str, Any]) -> list[tuple[str, str]]:
    dates = sorted({score["date"] for score in content["entries"]}) or [content["date"]]
    machines = sorted({score["hardware"] for score in content["entries"]}) or [content["hardware"]]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    reduced = [("reduced", board.scale.why)] if board.scale.why else []
    return [
        ("source of the track", board.track.source),
        *reduced,
        ("baseline", dump_yaml(content["baseline"])),
        ("measured", dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"),
        ("hardware", "\n".join(machines)),
        ("groklab", content["groklab"]),
        ("versions", f"Python {content['python']}, {versions}"),
        ("rules", f"{content['rules']}, {content['definition']}"),
    ]
