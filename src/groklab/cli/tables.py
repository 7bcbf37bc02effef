"""Tables that fit the window: what does not fit beside the first column follows below it, and no cell is wrapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from groklab.text import flattened, visible

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.experiment import Experiment

#: Characters between columns.
GAP = 2
#: The share of the window that the first column may take; longer names get a line of their own.
FIRST = 0.45

#: Settings that are shown even at their defaults.
ALWAYS = {
    *("task.kind", "task.p", "task.expression", "split.frac_train", "split.n_train", "learner.kind"),
    *("network.kind", "network.n_layers", "network.n_heads", "network.n_hidden_layers", "network.d_model"),
    *("network.d_mlp", "network.activation", "objective.kind", "optimiser.kind", "optimiser.learning_rate"),
    *("optimiser.weight_decay", "batch_size", "dtype", "seed", "budget.steps"),
}


@dataclass(frozen=True)
class Column:
    """One column: its heading, whether it is aligned to the left, and what goes first where the window is narrow.

    Attributes:
        rank: columns with the highest rank are left out first; those of rank 0 stay, and follow below where they must.
    """

    heading: str
    left: bool = False
    rank: int = 0


def print_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Print a table, and return the headings of the columns that do not fit the window."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, (c.heading, *(row[i] for row in cells)))) for i, c in enumerate(columns)]
    alone = widths[0] > FIRST * console.width
    first = GAP if alone else widths[0] + GAP
    kept = _that_fit(columns, widths, console.width - first)
    for number, block in enumerate(_blocks(kept, widths, console.width - first)):
        if number:
            console.print()
        console.print(
            _line(
                [columns[0].heading if not alone else "", *(columns[i].heading for i in block)],
                first,
                block,
                columns,
                widths,
                style="bold",
            ),
            soft_wrap=True,
        )
        for row in cells:
            if alone:
                console.print(Text(row[0]), soft_wrap=True)
            line = ["" if alone else row[0], *(row[i] for i in block)]
            console.print(_line(line, first, block, columns, widths), soft_wrap=True)
    return [c.heading for i, c in enumerate(columns) if i and i not in kept]


def _that_fit(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Return the columns to print: those of the highest ranks are left out until the others fit."""
    kept = list(range(1, len(columns)))
    while sum(widths[i] + GAP for i in kept) - GAP > width:
        last = max(kept, key=lambda i: columns[i].rank)
        if not columns[last].rank:
            break
        kept.remove(last)
    return kept


def _blocks(kept: Sequence[int], widths: Sequence[int], width: int) -> Iterator[list[int]]:
    block: list[int] = []
    for i in kept:
        if block and sum(widths[j] + GAP for j in (*block, i)) - GAP > width:
            yield block
            block = []
        block.append(i)
    yield block


def _line(
    cells: Sequence[str],
    first: int,
    block: Sequence[int],
    columns: Sequence[Column],
    widths: Sequence[int],
    style: str = "",
) -> Text:
    parts = [cells[0] + " " * (first - cell_len(cells[0]))]
    for i, cell in zip(block, cells[1:], strict=True):
        space = " " * (widths[i] - cell_len(cell))
        parts.append((cell + space if columns[i].left else space + cell) + " " * GAP)
    return Text("".join(parts).rstrip(), style=style)


def shown_settings(experiment: Experiment, every: bool = False) -> dict[str, Any]:
    """Return an experiment's settings by dotted name: those that are shown always or differ from the defaults."""
    settings = flattened(experiment.to_dict())
    chosen = experiment.chosen()
    wanted = {key: value for key, value in settings.items() if value is not None}
    if every:
        return wanted
    shown = {k: v for k, v in wanted.items() if k in ALWAYS or any(k == c or k.startswith(f"{c}.") for c in chosen)}
    # each entry as it was chosen, too
    return shown | {k: chosen[k] for k in ("interventions",) if k in shown}


def print_settings(console: Console, settings: Mapping[str, Any]) -> None:
    """Print settings by dotted name, one on each line, as commands take them."""
    from groklab.experiment import plain  # with YAML, which lists do without

    lines = [f"  {visible(key)}={visible(plain(value))}" for key, value in settings.items()]
    # at once: each print takes a millisecond
    console.print(Text("\n".join(lines), style="dim"), soft_wrap=True)
