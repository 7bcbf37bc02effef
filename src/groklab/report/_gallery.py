"""A gallery: the pages of runs and sweeps in one folder with an index, for any web server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import polars as pl

from groklab.errors import InputError
from groklab.figures import DARK, TEST, TRAIN, RunContext, spark_lines
from groklab.grokking import headline_sentence
from groklab.report import _html as html
from groklab.report._run_page import run_page
from groklab.report._sweep_members import pages_there, write_members
from groklab.report._sweep_page import render
from groklab.report._sweep_words import opening, page_command
from groklab.store import Run, storage
from groklab.sweeps import Sweep, curves_of, study, verdict_summary

#: The index for programs, by which a folder is known as a gallery; and Plotly, which all pages share.
LISTING, PLOTLY = "gallery.json", "plotly.min.js"
#: Curves drawn of one run or sweep, and points of each.
CURVES, POINTS = 60, 40
#: Names of a gallery's pages, and letters of these names.
_OWN = re.compile(r"(runs|sweeps)/[A-Za-z0-9_.,=+-]+\.html")
_LONGEST = 80
#: Called before each page with its place, the number of pages, and the name of the run or sweep.
GalleryView = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Card:
    """A run or sweep in the index.

    Args:
        name, kind: what it is.
        page: the address of its page, as seen from the index.
        about: what was trained, in a sentence.
        headline: the result, in a sentence.
        tags: the user's.
        train, test: curves of accuracy, as SVG paths.
    """

    name: str
    kind: str
    page: str
    about: str
    headline: str
    tags: Sequence[str] = ()
    train: str = ""
    test: str = ""


@dataclass(frozen=True)
class Gallery:
    """A gallery that was written: its index, and its pages."""

    path: Path
    cards: tuple[Card, ...]
    pages: tuple[Path, ...]

    @property
    def n_bytes(self) -> int:
        """The size of all pages with what they share."""
        return sum(p.stat().st_size for p in (self.path, self.path.with_name(PLOTLY), *self.pages) if p.is_file())


def write_gallery(
    folder: str | Path,
    subjects: Sequence[Run | Sweep],
    *,
    title: str = "Runs of groklab",
    members: bool = False,
    view: GalleryView | None = None,
) -> Gallery:
    """Write the pages of runs and sweeps into a folder with an index, and return what was written.

    All links are relative, and nothing is loaded from elsewhere, so the folder can be put on any web server or opened
    as it is. Pages of an earlier gallery in this folder that are no longer asked for are removed.

    Args:
        folder: a new or empty folder, or one with a gallery.
        subjects: runs and sweeps, in the order of the index.
        title: the heading of the index.
        members: write the pages of all members of the sweeps, too.
        view: called before each page.

    Raises:
        InputError: for no runs, or a folder with anything else in it.
        DamagedError: for a run that cannot be read at all.
    """
    if not subjects:
        raise InputError("a gallery needs at least one run or sweep")
    folder = Path(folder).expanduser()
    before = _listed(folder)
    unique = list({subject.path.resolve(): subject for subject in subjects}.values())
    addresses = _addresses(unique)
    cards, pages = [], []
    back = (title, "../index.html")
    storage.atomic_write(folder / LISTING, _listing(title, [*before, *addresses]))
    for i, (subject, address) in enumerate(zip(unique, addresses, strict=True)):
        if view is not None:
            view(i, len(unique), subject.name)
        path = folder / address
        if isinstance(subject, Sweep):
            cards.append(_sweep_card(subject, address))
            pages += _write_sweep(subject, path, back, members)
        else:
            cards.append(_run_card(subject, address))
            page = replace(run_page(subject), part_of=back)
            storage.atomic_write(path, html.render_page(page, plotly=f"../{PLOTLY}").encode())
        pages.append(path)
    storage.atomic_write(folder / PLOTLY, html.plotly_script().encode())
    _remove(folder, set(before) - set(addresses))
    storage.atomic_write(folder / LISTING, _listing(title, addresses, cards))
    content = html.render(
        "gallery.html.j2", styles=["gallery.css"], scripts=["gallery.js"], title=title, cards=cards, colours=_colours()
    )
    storage.atomic_write(folder / "index.html", content.encode())
    return Gallery(folder / "index.html", tuple(cards), tuple(pages))


def _listed(folder: Path) -> list[str]:
    """Return the addresses of the pages that a gallery in this folder has; raises InputError for another folder."""
    listing = folder / LISTING
    if listing.is_file():
        try:
            known = json.loads(listing.read_bytes())["pages"]
            return [address for address in known if isinstance(address, str) and _OWN.fullmatch(address)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{listing} is damaged; remove the folder, or name another one") from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not a gallery and not empty; name a new folder")
    return []


def _listing(title: str, addresses: Sequence[str], cards: Sequence[Card] = ()) -> bytes:
    described = [{k: v for k, v in asdict(card).items() if k not in ("train", "test")} for card in cards]
    content = {"title": title, "pages": list(dict.fromkeys(addresses)), "cards": described}
    return (json.dumps(content, indent=1) + "\n").encode()


def _addresses(subjects: Sequence[Run | Sweep]) -> list[str]:
    """Return the address of each page: the name in letters that every server and disk takes, each once."""
    addresses: list[str] = []
    for subject in subjects:
        kind = "sweeps" if isinstance(subject, Sweep) else "runs"
        plain = re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", subject.name).strip("-.")[:_LONGEST] or kind[:-1]
        taken = {address.lower() for address in addresses}
        names = (f"{kind}/{plain}{f'-{n}' if n else ''}.html" for n in range(len(subjects)))
        addresses.append(next(name for name in names if name.lower() not in taken))
    return addresses


def _run_card(run: Run, address: str) -> Card:
    context = RunContext.read(run)
    task = context.experiment.task.kind if context.task is None else context.task.name
    curves = [
        rows.sort("step")
        for _, rows in context.metrics.filter(pl.col("member") < CURVES).group_by("member", maintain_order=True)
    ]
    kind = f"ensemble of {len(context.experiments)}" if context.several else "run"
    network = getattr(context.experiment.network, "kind", context.experiment.learner.kind)
    headline = headline_sentence(context.headlines) or f"{context.status.state} at step {context.step:,}"
    train, test = spark_lines(curves, max(context.step, 1), POINTS) if curves else ("", "")
    return Card(run.name, kind, address, f"{task}, {network}".replace("_", " "), headline, context.tags, train, test)


def _sweep_card(sweep: Sweep, address: str) -> Card:
    result = study(sweep)
    curves = list(curves_of(sweep).values())[:CURVES]
    last = max([sweep.recorded(0).budget.steps, *(int(c["step"].max() or 0) for c in curves)])  # type: ignore[arg-type]
    train, test = spark_lines(curves, last, POINTS) if curves else ("", "")
    headline = " ".join(verdict_summary(part) for part in result.slices[:1])
    return Card(sweep.name, "sweep", address, opening(result, sweep), headline, (), train, test)


def _write_sweep(sweep: Sweep, path: Path, back: tuple[str, str], members: bool) -> list[Path]:
    """Write the page of a sweep and, if asked for, those of its members, which are returned."""
    result = study(sweep)
    everyone = range(sweep.n_members) if members else ()
    own = write_members(sweep, result, path, everyone, plotly=f"../../{PLOTLY}")
    pages = pages_there(sweep, path)
    for stale in set(path.with_name(f"{path.stem}-members").glob("*.html")) - set(own):
        stale.unlink()
    pages = pages if members else {}
    command = page_command(sweep, elsewhere=True)
    storage.atomic_write(path, render(sweep, result, pages, command, part_of=back, elsewhere=True).encode())
    return own


def _remove(folder: Path, addresses: set[str]) -> None:
    """Remove pages of an earlier gallery, which its listing names."""
    for address in addresses:
        page = folder / address
        own = page.with_name(f"{page.stem}-members")
        for path in (page, *own.glob("*.html")):
            path.unlink(missing_ok=True)
        # where it holds anything else it stays
        with suppress(OSError):
            own.rmdir()


def _colours() -> dict[str, str]:
    named = {"test": TEST, "train": TRAIN}
    light = "".join(f"--{name}: {colour}; " for name, colour in named.items())
    return {"light": light, "dark": "".join(f"--{name}: {DARK[colour]}; " for name, colour in named.items())}
