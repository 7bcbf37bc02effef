"""`import` and `export`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from groklab.cli.app import EXCHANGE, FloatOption, IntOption, Json, TrustPlugin, app, console_for, emit, run_and_step
from groklab.errors import InputError, check_choice

if TYPE_CHECKING:
    from groklab.store import Run


@app.command("import", rich_help_panel=EXCHANGE)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .pth, .safetensors or .npz file, or an export.")],
    p: Annotated[int | None, IntOption("--p", help="The modulus.")] = None,
    operation: Annotated[str | None, typer.Option(help="The operation, such as add or 'x^2 + y'.")] = None,
    frac_train: Annotated[float | None, FloatOption(help="The share of the inputs trained on.")] = None,
    split_seed: Annotated[int | None, IntOption(help="The seed of Python's shuffle of the inputs.")] = None,
    weight_decay: Annotated[float | None, FloatOption(help="The weight decay it was trained with.")] = None,
    activation: Annotated[str | None, typer.Option(help="The network's activation, such as gelu_exact.")] = None,
    attention_rate: Annotated[float | None, FloatOption(help="The transformer's attention rate.")] = None,
    mask: Annotated[str | None, typer.Option(help="The transformer's mask: causal or none.")] = None,
    n_heads: Annotated[
        int | None, IntOption(help="Attention heads, of a TransformerBridge without its config.json.")
    ] = None,
    trust_plugin: TrustPlugin = False,
    ignore_losses: Annotated[
        bool, typer.Option("--ignore-losses", help="Import weights that do not have the losses that the file records.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import weights trained elsewhere as a run, with what their file records about the training.

    PyTorch's files are read without PyTorch and without running anything in them. Options give
    what the file does not record.

    Examples:

      groklab import wd_10-1_mod_addition_loss_curve.pth

      groklab import weights.safetensors --p 113 --operation add --frac-train 0.3 --split-seed 1

      groklab import model_2fsoiei4o2.pt --mask none --attention-rate 0.63
    """
    from groklab.cli.look import print_result
    from groklab.interop import import_file

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = import_file(
            file,
            p=p,
            operation=operation,
            frac_train=frac_train,
            split_seed=split_seed,
            weight_decay=weight_decay,
            activation=activation,
            attention_rate=attention_rate,
            mask=mask,
            n_heads=n_heads,
            trust_plugin=trust_plugin,
            ignore_losses=ignore_losses,
        )
    console = console_for(as_json)
    for warning in caught:
        console.print(f"note: {warning.message}", soft_wrap=True)
    print_result(run, console)
    if as_json:
        emit({**run.summary(), "warnings": run.imported.warnings if run.imported else []})


@app.command("export", rich_help_panel=EXCHANGE)
def export_(
    run: Annotated[str, typer.Argument(metavar="RUN[@STEP]", help="A run, and one of its kept steps.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="transformer-lens (2, 3), transformer-lens-bridge (4), safetensors; or mlflow, wandb, tensorboard.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="The output folder, by default inside the run's; a tracking program's folder or address.",
        ),
    ] = None,
    member: Annotated[int | None, IntOption(help="Which member of an ensemble.")] = None,
    keep_outputs: Annotated[
        bool, typer.Option("--keep-outputs", help="Keep outputs that are not answers, such as that of the sign '='.")
    ] = False,
    trust_plugin: TrustPlugin = False,
    as_json: Json = False,
) -> None:
    """Write a run's weights for TransformerLens or as plain safetensors, with a model card.

    A tracking program gets settings, metrics, results and files, one record per member; what it has already is not sent
    again.

    Examples:

      groklab export demo-1a2b3c4d --to transformer-lens --out demo-for-lens

      groklab export demo-1a2b3c4d@1000 --to safetensors

      groklab export demo-1a2b3c4d --to tensorboard --out logs
    """
    from groklab.store import Collection

    name, step = run_and_step("RUN@STEP", run) if "@" in run else (run, None)
    opened = Collection().find(name, trust_plugin=trust_plugin)
    from groklab.interop import Format, export
    from groklab.trackers import tracker_names

    trackers = tracker_names()
    check_choice("--to", to, [*get_args(Format), *trackers])
    if to in trackers:
        if step is not None or keep_outputs:
            option, value = ("RUN@STEP", run) if step is not None else ("--keep-outputs", True)
            raise InputError(option, value, f"is of weights; --to {to} takes a run as a whole")
        _send(opened, to, out, member, as_json)
        return
    from groklab.device import readable_bytes

    to_format: Any = to  # checked there
    folder = export(opened, to=to_format, out=out, step=step, member=member, keep_outputs=keep_outputs)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {str(path.relative_to(folder)): path.stat().st_size for path in paths}
    if as_json:
        emit({"export": str(folder), "to": to, "run": opened.name, "files": files})
        return
    console = console_for(False)
    console.print(f"exported to {folder}", soft_wrap=True)
    for file, size in files.items():
        console.print(f"  {file}  {readable_bytes(size)}")


def _send(run: Run, to: str, where: str | None, member: int | None, as_json: bool) -> None:
    from groklab.trackers import send

    places = send(run, to, where, member)
    if as_json:
        emit({"run": run.name, "to": to, "places": places})
        return
    console = console_for(False)
    for place in places:
        console.print(f"{to}: {place}", soft_wrap=True)
