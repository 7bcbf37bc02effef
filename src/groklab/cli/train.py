"""`train` and `resume`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import (
    TRAIN,
    IntOption,
    Json,
    Overrides,
    Quiet,
    TrustPlugin,
    app,
    console_for,
    emit,
    run_and_step,
    titled,
    view_for,
)
from groklab.errors import InputError
from groklab.experiment import PRESETS, check_name, description_of, find_preset
from groklab.text import duration

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.experiment import Experiment
    from groklab.store import Run
    from groklab.trackers import Tracking
    from groklab.training import Estimate

Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="TRACKER[=WHERE]", help="Send progress to mlflow, wandb or tensorboard, too."),
]


@app.command(rich_help_panel=TRAIN)
def train(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="A preset's name, or a YAML file.")],
    overrides: Overrides = None,
    seeds: Annotated[
        int | None, IntOption(help="Train this many members, with consecutive seeds, as one ensemble.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train again even if this was trained before.")] = False,
    start: Annotated[str | None, typer.Option("--from", metavar="RUN@STEP", help="Start from a run's weights.")] = None,
    take: Annotated[
        list[str] | None,
        typer.Option(help="With --from: take only embedding, transformer, unembedding, or named weights."),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="With --take: do not train the weights taken.")] = False,
    with_optimiser: Annotated[
        bool, typer.Option("--with-optimiser", help="With --from: go on with its optimiser and steps, as a branch.")
    ] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with your own components.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag for the run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what it would cost, without training.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write the run's HTML page when it is done.")] = False,
    tracks: Track = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an experiment to the end of its budget, and show its progress.

    If this experiment was interrupted, it is resumed; if it has finished, its results are shown.

    Examples:

      groklab train demo

      groklab train micro seed=3 optimiser.weight_decay=0.5

      groklab train nanda2023 task.p=59 split.frac_train=0.4 --dry-run

      groklab train micro --seeds 10 --json

      groklab train furuta2024/2x_y --from furuta2024-add@8000 --take embedding --freeze
    """
    check_name(what)
    from groklab.experiment import parse_overrides, read

    settings = parse_overrides(overrides or [])
    if plugin:
        settings["plugins"] = list(plugin)
    if start is not None:
        run_name, step = run_and_step("--from", start)
        from groklab.store import Collection

        settings |= {"start.run": Collection().find(run_name).path.as_posix(), "start.step": step}
    if take:
        settings["start.take"] = [part for text in take for part in text.split(",")]
    if freeze:
        settings["start.freeze"] = True
    if with_optimiser:
        settings["start.with_optimiser"] = True
    base, of_preset = description_of(what)
    settings = {**of_preset, **settings}
    named = any(key.startswith(("start.file", "start.run")) for key in settings) or base.get("start")
    if (take or freeze or with_optimiser) and not named:
        option, value = ("--take", ",".join(take)) if take else ("--freeze" if freeze else "--with-optimiser", True)
        raise InputError(option, value, "goes with --from RUN@STEP, whose weights it is about")
    experiment = read(base, settings)
    from groklab.training import training

    _check_source(experiment, settings)
    if dry_run:
        from groklab.training import estimate

        _print_cost(estimate(training.members_of(experiment, seeds)), as_json)
        return
    from groklab.cli.live import LiveView, PlainView
    from groklab.trackers import Tracking

    console = console_for(as_json)
    with view_for(console, quiet, LiveView, PlainView) as shown, Tracking(tracks or (), shown) as tracking:
        run = training.train(experiment, seeds=seeds, again=again, tags=tag or (), view=tracking.view)
    _print_places(tracking, console, quiet)
    _finish(run, console, quiet, as_json, report)


def _print_places(tracking: Tracking, console: Console, quiet: bool) -> None:
    for place in [] if quiet else tracking.places:
        console.print(titled("tracked:", f" {place}"), soft_wrap=True)


def _check_source(experiment: Experiment, settings: Mapping[str, Any]) -> None:
    """Raise InputError where the run that a preset starts from is not here, with the command that trains it."""
    from groklab.experiment import read
    from groklab.store import Collection
    from groklab.training import training

    name = experiment.start.run if experiment.start else None
    collection = Collection()
    if name is None or (collection.folder / name).exists():
        return
    makers = [preset for preset in PRESETS if training.run_name([read({}, find_preset(preset).settings)]) == name]
    if makers:
        how = f"`groklab train {makers[0]}` makes it"
        if any(key.startswith(("task.", "network.")) for key in settings):
            how += ", for the preset's own task and network; for others train their source and name it with --from"
        raise InputError("start.run", name, f"is not in {collection.folder}; {how}")


@app.command(rich_help_panel=TRAIN)
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    overrides: Overrides = None,
    trust_plugin: TrustPlugin = False,
    tracks: Track = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Continue a run that was stopped, or one that has ended with a longer budget.

    Examples:

      groklab resume micro-1a2b3c4d

      groklab resume micro-1a2b3c4d budget.steps=10000
    """
    from groklab.experiment import parse_overrides
    from groklab.store import Collection

    settings = parse_overrides(overrides or [])
    Collection().find(run)
    from groklab.cli.live import LiveView, PlainView
    from groklab.trackers import Tracking
    from groklab.training import training

    console = console_for(as_json)
    with view_for(console, quiet, LiveView, PlainView) as shown, Tracking(tracks or (), shown) as tracking:
        resumed = training.resume(run, settings, trust_plugin=trust_plugin, view=tracking.view)
    _print_places(tracking, console, quiet)
    _finish(resumed, console, quiet, as_json)


def _finish(run: Run, console: Console, quiet: bool, as_json: bool, report: bool = False) -> None:
    from groklab.cli.look import print_result

    if not quiet:
        print_result(run, console)
    if report:
        from groklab.report import write_report

        path = write_report([run])
        if not quiet:
            console.print(titled("report:", f" {path}"), soft_wrap=True)
    if as_json:
        emit(run.summary())


def _print_cost(cost: Estimate, as_json: bool) -> None:
    from groklab.device import readable_bytes

    if as_json:
        emit(vars(cost))
        return
    console = console_for(False)
    console.print(titled(cost.task, f": {cost.n_train:,} training and {cost.n_test:,} test inputs"))
    console.print(f"{cost.members} member(s) of {cost.parameters:,} parameters, {cost.steps:,} steps")
    console.print(
        f"{cost.flops_per_step / 1e9:.3g} GFLOP per step and member; this device multiplies matrices at "
        f"{cost.matmul_gflops:,} GFLOP/s ({cost.device})"
    )
    console.print(f"time: about {duration(cost.seconds)}; memory: about {readable_bytes(cost.memory_bytes)}")
    programs = ", ".join(cost.programs) or "nothing"
    console.print(f"to compile: {programs}; {cost.blocks} block(s) of {cost.lanes_per_block} lane(s)")
