"""`train` and `resume`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from groklab.cli.main import app
from groklab.cli.output import Json, console_for, emit, number
from groklab.device import readable_bytes
from groklab.errors import InputError
from groklab.experiment.presets import PRESETS, check_name, find_preset
from groklab.text import duration

if TYPE_CHECKING:
    from groklab import Run
    from groklab.experiment.schema import Experiment

GROUP = "Train"
#: Beyond this many, no single frequency stands out.
MOST_FREQUENCIES = 10
#: What an imported file's losses bound: the latest possible steps.
_BOUNDS = {"memorised": "memorised_step", "grokked": "grokked_step"}
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings by dotted name, such as task.p=59 seed=3.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing while training.")]


@app.command(rich_help_panel=GROUP)
def train(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="A preset's name, or a YAML file.")],
    overrides: Overrides = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train this many members, seeds counted up, as one ensemble.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Train anew even if this was trained before.")] = False,
    start: Annotated[str | None, typer.Option("--from", metavar="RUN@STEP", help="Start from a run's weights.")] = None,
    take: Annotated[
        list[str] | None,
        typer.Option(help="With --from: take only embedding, transformer, unembedding, or weights of a name."),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="With --take: what is taken stays as it is.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="A Python file with kinds of your own.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag for the run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and train nothing.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Write the run's HTML page when it is done.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an experiment until its budget ends, watching it.

    An experiment that was interrupted is resumed; one that is finished is shown.

    Examples:

      groklab train demo

      groklab train micro seed=3 optimiser.weight_decay=0.5

      groklab train nanda2023 task.p=59 split.frac_train=0.4 --dry-run

      groklab train micro --seeds 10 --json

      groklab train furuta2024/2x_y --from furuta2024-add@8000 --take embedding --freeze
    """
    check_name(what)  # before JAX is imported: a refusal should not take a second
    from groklab import Collection, read
    from groklab.experiment.yaml_input import parse_overrides
    from groklab.sweeps.plan import description_of
    from groklab.training import training
    from groklab.training.ensemble import estimate

    asked = parse_overrides(overrides or [])
    if plugin:
        asked["plugins"] = list(plugin)
    if start is not None:
        run_name, _, step = start.partition("@")
        if not step.isdecimal():
            raise InputError("--from", start, "needs a run and a kept step, such as micro-1a2b3c4d@1000")
        asked |= {"start.run": Collection().find(run_name).path.as_posix(), "start.step": int(step)}
    if take:
        asked["start.take"] = [part for text in take for part in text.split(",")]
    if freeze:
        asked["start.freeze"] = True
    base, settings = description_of(what)
    named = any(key.startswith(("start.file", "start.run")) for key in {**settings, **asked}) or base.get("start")
    if (take or freeze) and not named:
        option, value = ("--take", ",".join(take)) if take else ("--freeze", True)
        raise InputError(option, value, "goes with --from RUN@STEP, whose weights it is about")
    experiment = read(base, {**settings, **asked})
    _find_source(experiment, {**settings, **asked})
    if dry_run:
        members = training.members_of(experiment, seeds)
        _show_cost(estimate(members), as_json)
        return
    console = console_for(as_json)
    with _view(console, quiet) as view:
        run = training.train(experiment, seeds=seeds, again=again, tags=tag or (), view=view)
    _finish(run, console, quiet, as_json, report)


def _find_source(experiment: Experiment, asked: Mapping[str, Any]) -> None:
    """Raise InputError where the run that a preset starts from is not here, with the command that makes it."""
    from groklab import Collection, read
    from groklab.training import training

    name = experiment.start.run if experiment.start else None
    collection = Collection()
    if name is None or (collection.folder / name).exists():
        return
    makers = [preset for preset in PRESETS if training.run_name([read({}, find_preset(preset).settings)]) == name]
    if makers:
        how = f"`groklab train {makers[0]}` makes it"
        if any(key.startswith(("task.", "network.")) for key in asked):
            how += ", for the preset's own task and network; for others train their source and name it with --from"
        raise InputError("start.run", name, f"is not in {collection.folder}; {how}")


@app.command(rich_help_panel=GROUP)
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, the beginning of it, or its folder.")],
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on with a run that was stopped, or past its end with a longer budget.

    Examples:

      groklab resume micro-1a2b3c4d

      groklab resume micro-1a2b3c4d budget.steps=10000
    """
    from groklab.experiment.yaml_input import parse_overrides
    from groklab.training import training

    console = console_for(as_json)
    with _view(console, quiet) as view:
        found = training.resume(run, parse_overrides(overrides or []), view=view)
    _finish(found, console, quiet, as_json)


def _view(console: Console, quiet: bool) -> Any:
    from groklab.cli.live import LiveView, PlainView

    if quiet:
        return nullcontext(None)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveView(console)
    return nullcontext(PlainView(console))


def _finish(run: Run, console: Console, quiet: bool, as_json: bool, report: bool = False) -> None:
    if not quiet:
        say_result(run, console)
    if report:
        from groklab.report import write_report

        path = write_report([run])
        if not quiet:
            console.print(f"[bold]report:[/bold] {path}", soft_wrap=True)
    if as_json:
        emit(run.summary())


def say_result(run: Run, console: Console) -> None:
    """What was seen, in a few lines."""
    s = run.summary()
    head = f"[bold]{s['run']}[/bold] {s['status']} at step {s['steps']:,} after {duration(s['seconds'])}"
    console.print(head + (f" ({s['reason']})" if s["reason"] else ""))
    if run.n_members > 1:
        memorised = sum(m is not None for m in s["memorised_step"])
        grokked = [g for g in s["grokked_step"] if g is not None]
        console.print(f"{memorised} of {run.n_members} memorised, {len(grokked)} of {run.n_members} grokked: {grokked}")
    elif s["reason"] == "imported":
        bounds = [f"{n} by step {s[k]:,}" for n, k in _BOUNDS.items() if s[k] is not None]
        console.print(f"imported: {', '.join(bounds) or 'not grokked'}, at the latest")
    elif s["grokked_step"] is not None:
        ratio = f" ({s['grokked_step'] / s['memorised_step']:.1f} times as long)" if s["memorised_step"] else ""
        console.print(f"memorised at step {number(s['memorised_step'])}, grokked at step {s['grokked_step']:,}{ratio}")
    else:
        fitted = "not memorised" if s["memorised_step"] is None else f"memorised at step {s['memorised_step']:,}"
        console.print(f"{fitted}; not grokked by step {s['steps']:,} (censored)")
    for one in s.get("operations", ()) if run.n_members == 1 else ():
        steps = {name: one[f"{name}_step"] for name in ("memorised", "grokked")}
        reached = [f"not {n}" if step is None else f"{n} at step {step:,}" for n, step in steps.items()]
        console.print(f"  {one['operation']}: {', '.join(reached)}; test {number(one['test_accuracy'], '.1%')}")
    if run.n_members == 1 and run.checkpoints:
        say_frequencies(run, console)
    console.print(f"kept in {s['path']}; `groklab report {s['run']}` makes its page", soft_wrap=True)


def say_frequencies(run: Run, console: Console) -> None:
    """Which Fourier frequencies carry the embedding at the end, where the task and network have any."""
    from groklab.measures import MEASURES
    from groklab.training.ensemble import build_task

    try:
        found = MEASURES["embedding_frequencies"](run.weights(), build_task(run.experiment))
    except InputError:
        return  # no modulus, no embedding: nothing to say
    pairs = list(zip(found["frequencies"], found["share"], strict=True))
    strong = ", ".join(f"{k} ({share:.0%})" for k, share in pairs)
    if not pairs or len(pairs) > MOST_FREQUENCIES:
        strong = "none stands out, its power is spread over many"
    console.print(f"frequencies that carry the embedding: {strong}")


def _show_cost(cost: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(cost)
        return
    console = console_for(False)
    console.print(f"[bold]{cost['task']}[/bold]: {cost['n_train']:,} training and {cost['n_test']:,} test inputs")
    console.print(f"{cost['members']} member(s) of {cost['parameters']:,} parameters, {cost['steps']:,} steps")
    console.print(
        f"{cost['flops_per_step'] / 1e9:.3g} GFLOP a step and member; this device multiplies matrices at "
        f"{cost['matmul_gflops']:,} GFLOP/s ({cost['device']})"
    )
    console.print(f"time: about {duration(cost['seconds'])}; memory: about {readable_bytes(cost['memory_bytes'])}")
    programs = ", ".join(cost["programs"]) or "nothing"
    console.print(f"to compile: {programs}; {cost['blocks']} block(s) of {cost['lanes_per_block']} lane(s)")
