"""`fit`: laws of the delay, fitted to a sweep."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import TAKE_APART, IntOption, Json, app, console_for, emit, plain_table, titled
from groklab.errors import InputError, shorten

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.laws import Fit


@app.command(rich_help_panel=TAKE_APART)
def fit(
    laws: Annotated[
        str | None, typer.Argument(metavar="LAW", help="A law's name, or several with commas, to be compared.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Argument(metavar="SWEEP", help="A sweep's name, the beginning of it, or its folder.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="KEY=VALUE", help="Hold another setting of the grid at a value.")
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=KEY",
            help="Take a variable of the law from this setting, such as rho=optimiser.clamp_norm/25.",
        ),
    ] = None,
    resamples: Annotated[int, IntOption(help="Draws of the bootstrap over seeds.")] = 500,
    seed: Annotated[int, IntOption(help="Seed of the bootstrap.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the figure: .html, or .pdf, .svg, .png for paper."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a law to the times of a sweep, with censoring, and intervals over seeds; without arguments, list the laws.

    The fit is kept in the sweep's folder, and its page shows it from then on.

    Examples:

      groklab fit rate-decay decays

      groklab fit rate-decay,inverse-rate-decay decays --json
    """
    console = console_for(as_json)
    if laws is None:
        _list(console, as_json)
        return
    if sweep is None:
        raise InputError("SWEEP is missing: `groklab fit LAW SWEEP`; `groklab sweeps` lists the sweeps")
    held, axes = _pairs("--at", at), {name: str(key) for name, key in _pairs("--axis", axis).items()}
    from groklab.laws import comparison, keep, law
    from groklab.laws import fit as fit_law
    from groklab.sweeps import find_sweep

    names = [name.strip() for name in laws.split(",")]
    if out is not None and len(names) > 1:
        raise InputError("--out", str(out), "holds the figure of one law, and these are several")
    known = [law(name) for name in names]
    target = find_sweep(sweep)
    fits = [fit_law(each, target, axes=axes, at=held, resamples=resamples, seed=seed) for each in known]
    options = [
        part for option, given in (("--at", at), ("--axis", axis)) for each in given or [] for part in (option, each)
    ]
    for each in fits:
        keep(each, target, shlex.join(["groklab", "fit", each.law.name, target.name, *options]))
        _show(each, console)
    best = comparison(fits) if len(fits) > 1 else None
    if best is not None:
        console.print(best, soft_wrap=True)
    if out is not None:
        console.print(f"figure: {fits[0].figure().save(out)}", soft_wrap=True)
    if as_json:
        emit({"fits": [each.to_dict() for each in fits], "comparison": best})
    else:
        console.print(f"next: `groklab report {target.name}` shows the data with the law", soft_wrap=True)


def _pairs(option: str, texts: list[str] | None) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise InputError(option, shorten(text), "needs NAME=VALUE")
        pairs[name] = value
    return pairs


def _list(console: Console, as_json: bool) -> None:
    from groklab.laws import LAWS

    if as_json:
        about = ("name", "formula", "source", "claimed", "time")
        emit({"laws": [{key: getattr(each, key) for key in about} for each in LAWS.values()]})
        return
    table = plain_table(("law", "formula", "source"), left=("law", "formula", "source"))
    for each in LAWS.values():
        table.add_row(each.name, each.formula, each.source)
    console.print(table)


def _show(fit: Fit, console: Console) -> None:
    console.print(titled(fit.law.name, f"  {fit.law.formula}"))
    headings = ("parameter", "value", "95% interval", "source")
    table = plain_table(headings, left=("parameter", "source"))
    for estimate in fit.estimates:
        table.add_row(*estimate.texts)
    console.print(table)
    for sentence in fit.sentences:
        console.print(sentence, soft_wrap=True)
    held = "" if fit.held_out is None else f", log-density of cells left out {fit.held_out:.2f} per member"
    console.print(f"AIC {fit.aic:.1f}{held}", soft_wrap=True)
