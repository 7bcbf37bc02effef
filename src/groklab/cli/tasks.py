"""`tasks`, `tasks explain` and `tasks labels`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groklab.cli.app import (
    FIND,
    HELP,
    Commands,
    FloatOption,
    IntOption,
    Json,
    Overrides,
    app,
    console_for,
    emit,
    plain_table,
    print_pairs,
    titled,
)

if TYPE_CHECKING:
    from rich.console import Console

    from groklab.papers import MeasuredOperation, PublishedOperation, TaskExplanation
    from groklab.tasks import Factors, LabelCounts, LinearForm, Operation, Parts, Relabelling, Spread

#: Digits of entropies and divergences, in nats.
NATS = ".4f"
tasks_app = Commands(invoke_without_command=True, **HELP)
app.add_typer(tasks_app, name="tasks", rich_help_panel=FIND)


@tasks_app.callback()
def tasks(context: typer.Context, as_json: Json = False) -> None:
    """List the named operations by family; any expression in x, y, z works too, as task.expression='x**2 + x*y'.

    Examples:

      groklab tasks

      groklab tasks explain "x**2 + x*y + y**2" --p 97
    """
    from rich.text import Text

    from groklab.tasks import OPERATIONS

    if context.invoked_subcommand is not None:
        return
    if as_json:
        emit({"tasks": [_operation(o) for o in OPERATIONS.values()]})
        return
    table = plain_table(show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    groups = list(dict.fromkeys(o.group for o in OPERATIONS.values()))
    in_order = sorted(OPERATIONS.values(), key=lambda o: groups.index(o.group))
    for group, operations in groupby(in_order, key=lambda o: o.group):
        table.add_row(group, style="cyan not bold")
        for o in operations:
            meaning = Text.assemble(o.expression, (f"   {o.description}; {o.source}", "dim"))
            table.add_row(f"  {o.name}", meaning)
    console_for(False).print(table)


@tasks_app.command("explain")
def explain(
    expression: Annotated[
        str, typer.Argument(metavar="EXPRESSION|NAME", help="A formula in x and y, or an operation.")
    ],
    p: Annotated[int, IntOption("--p", help="The modulus.")] = 97,
    frac_train: Annotated[float, FloatOption(help="Fraction trained on, for the label statistics.")] = 0.3,
    seeds: Annotated[int, IntOption(help="Random splits behind the label statistics.")] = 100,
    as_json: Json = False,
) -> None:
    """Show the algebraic properties of an operation, and the operations of Furuta et al. 2024 most like it.

    Whether it is a function of a form such as x + y, a sum g(x) + h(y), a product, or addition or multiplication with
    operands and answers renamed; its factors over the integers and mod p; its symmetry; which powers are one-to-one;
    how its labels are distributed. Of the paper's operations that share most of these properties: what was published
    and what was measured here. Each property counts one, and nothing else enters.

    Examples:

      groklab tasks explain "x**2 + x*y + y**2" --p 97

      groklab tasks explain x5_y5 --p 59 --json
    """
    from groklab.papers import explain_task

    facts = explain_task(expression, p, frac_train=frac_train, seeds=seeds)
    if as_json:
        emit(facts.to_dict())
        return
    _print(facts, console_for(False))


@tasks_app.command("labels")
def labels(
    what: Annotated[str, typer.Argument(metavar="PRESET|FILE.yaml", help="An experiment, of any task with classes.")],
    overrides: Overrides = None,
    seeds: Annotated[int, IntOption(help="Random splits, with seeds counted up from the experiment's.")] = 100,
    as_json: Json = False,
) -> None:
    """Show how often each label occurs, and how far training labels are from test labels over random splits.

    Entropies and the divergence KL(train||test) in nats (Furuta et al. 2024, appendix K); of a mixture also of
    each operation.

    Examples:

      groklab tasks labels furuta2024/mixture-elementary

      groklab tasks labels micro split.frac_train=0.7 --json
    """
    from groklab.experiment import check_name, description_of

    check_name(what)
    from groklab.experiment import parse_overrides, read
    from groklab.tasks import label_statistics
    from groklab.training import build_task

    base, settings = description_of(what)
    experiment = read(base, {**settings, **parse_overrides(overrides or [])})
    task = build_task(experiment)
    statistics = label_statistics(task, experiment.split, seeds=seeds, first_seed=experiment.seed)
    if as_json:
        emit({"task": task.name, **statistics.to_dict()})
        return
    console = console_for(False)
    for name, own in {task.name: statistics, **statistics.by_operation}.items():
        console.print(titled(name, f": {own.inputs:,} inputs"))
        _print_facts(labels_in_words(own, seeds))


def _operation(o: Operation) -> dict[str, Any]:
    names = ("group", "papers", "expression", "description", "source", "spellings")
    return {"name": o.name, "formula": o.expression, **{name: getattr(o, name) for name in names}}


def _print_facts(rows: Iterable[tuple[str, str]]) -> None:
    """Print facts: what each is about, and what it says."""
    print_pairs(rows, style="dim", right=True)


def _print(facts: TaskExplanation, console: Console) -> None:
    modulus = f"mod {facts.p}" if facts.modular else f"on 0..{facts.p - 1}"
    console.print(titled(f"{facts.formula} {modulus}", f": {facts.inputs:,} inputs"))
    _print_facts(facts_in_words(facts))
    console.print("Most similar of the 35 operations of Furuta et al. 2024, by the number of shared properties:")
    console.print(f"({', '.join(facts.properties)})", style="dim")
    for row in facts.resembles:
        differs = f"; differs in: {', '.join(row.differs)}" if row.differs else ""
        undecided = f"; undecided: {', '.join(row.unknown)}" if row.unknown else ""
        console.print(titled(f"  {row.operation}", f" ({row.formula}; {row.group})"), soft_wrap=True)
        console.print(f"    shares {row.shared} of {row.of}{differs}{undecided}", soft_wrap=True)
        console.print(f"    published: {published(row.published)}", soft_wrap=True)
        console.print(f"    measured here: {measured(row.measured)}", soft_wrap=True)


# -- facts in words ------------------------------------------------------------------------------------------------


def facts_in_words(facts: TaskExplanation) -> Iterator[tuple[str, str]]:
    """Yield the facts of `explain_task` on the operation itself: what each is about, and what it says."""
    if facts.operation:
        papers = ", ".join(facts.papers) or "no paper"
        yield "operation", f"{facts.operation}, {facts.group} ({papers})"
    if facts.same_answers:
        yield "same answers", ", ".join(facts.same_answers)
    yield from _algebra(facts)
    yield from labels_in_words(facts.labels, facts.labels.seeds)
    if facts.published:
        yield "published", published(facts.published)
    if facts.published or facts.measured:
        yield "measured here", measured(facts.measured)


def _algebra(facts: TaskExplanation) -> Iterator[tuple[str, str]]:
    a, p = facts.algebra, facts.p

    def fact(key: str, yes: str, no: str) -> str:
        if key in a.undefined:
            return f"undefined: {a.undefined[key]}"
        return yes or no

    if a.constant:
        yield "constant", "all its answers are the same, so that it is a function of any form"
        return
    tried = "no form u*x + v*y" if facts.prime else "none of x, y, x + y and x - y"
    yield "depends on", fact("linear_form", _depends(a.linear_form), f"{tried} alone")
    yield "sum", fact("additive", _parts("g(x) + h(y)", a.additive, p), "no g(x) + h(y)")
    c = a.product.constant if a.product else 0
    constant = f" {'-' if c < 0 else '+'} {abs(c)}" if c else ""
    yield "product", fact("product", _parts(f"g(x)*h(y){constant}", a.product, p), "no g(x)*h(y) + c")
    neither = "neither addition nor multiplication with operands and answers renamed"
    yield "equivalent to", fact("relabelled", _renamed(a.relabelled), neither)
    symmetries = {"symmetric": "f(y, x) = f(x, y)", "antisymmetric": "f(y, x) = -f(x, y)"}
    yield "symmetry", ", ".join(text for key, text in symmetries.items() if getattr(a, key)) or "none between x and y"
    operands = " and in ".join(name for name, one in zip("xy", a.one_to_one, strict=True) if one)
    yield "one-to-one", f"in {operands}, whatever the other is" if operands else "in no operand"
    yield "over Z", fact("integers", _factors(a.integers), "")
    yield f"mod {p}", fact("field", _factors(a.field), "")
    for n in a.powers:
        gcd = f"; gcd({abs(n.exponent)}, {p - 1}) = {n.gcd}" if n.gcd is not None else ""
        yield "power", f"x^{n.exponent}: {n.values} of {p} values{', one-to-one' if n.bijective else ''}{gcd}"


def _depends(form: LinearForm | None) -> str:
    if form is None:
        return ""
    return f"{form.form} alone, {'one-to-one' if form.bijective else 'not one-to-one'}: {form.values} answers"


def _parts(text: str, parts: Parts | None, p: int) -> str:
    if parts is None:
        return ""
    (g, h), (g_one, h_one) = parts.values, parts.bijective
    texts = (
        f"{name} takes {n} of {p} values{', one-to-one' if one else ''}"
        for name, n, one in (("g", g, g_one), ("h", h, h_one))
    )
    return f"{text}: {'; '.join(texts)}"


def _renamed(form: Relabelling | None) -> str:
    if form is None:
        return ""
    zeros = [f"{name} = {n}" for name, n in zip("xy", form.zeros, strict=True) if n is not None]
    absent = [f"{name} = {n}" for name, n in zip("xy", form.undefined, strict=True) if n is not None]
    parts = [f"zero is {' and '.join(zeros)}, and the answer {form.zero}"] if zeros else []
    parts += [f"undefined at {' and '.join(absent)}"] if absent else []
    return f"{form.of} with operands and answers renamed" + (f" ({'; '.join(parts)})" if parts else "")


def _factors(form: Factors | None) -> str:
    if form is None:
        return ""
    return f"{form.text}{', irreducible' if form.irreducible else ''}"


def labels_in_words(statistics: LabelCounts, seeds: int) -> Iterator[tuple[str, str]]:
    """Yield label statistics: what each is about, and what it says."""
    often = f"{statistics.smallest_count} to {statistics.largest_count} times"
    if statistics.smallest_count == statistics.largest_count:
        often = f"each {statistics.largest_count} times"
    yield "labels", f"{statistics.labels}, {often}; entropy {statistics.entropy:{NATS}} nats"
    train, test = (_spread(part) for part in (statistics.train_entropy, statistics.test_entropy))
    yield f"{statistics.n_train:,} in training", f"entropy {train} in the training set, {test} in the test set"
    if statistics.kl is None:
        often = f"{statistics.infinite} of {seeds} splits"
        kl = f"infinite in {often}, where a label is trained on but never tested"
    else:
        chance = statistics.kl_by_chance
        kl = _spread(statistics.kl)
        kl += "" if chance is None else f"; random labels would give {chance:{NATS}}"
    yield "KL(train||test)", kl


def _spread(values: Spread) -> str:
    return f"{values.mean:{NATS}}" + ("" if values.sd is None else f" ± {values.sd:{NATS}}")


def published(result: PublishedOperation | None) -> str:
    """Return the published result in words: where it grokked, and the best test accuracy where not."""
    if result is None:
        return "nothing"
    below = {r: v for r, v in result.by_fraction.items() if v is not True}
    grokked = [r for r in result.by_fraction if r not in below]
    short = ", ".join(f"{v}% at {r}" for r, v in below.items())
    where = f"grokked from a fraction of {grokked[0]}" if grokked else "did not grok at any fraction up to 0.9"
    return where + (f"; best test accuracy {short}" if short else "") + f" (p = {result.p})"


def measured(rows: list[MeasuredOperation]) -> str:
    """Return what was measured here in words."""
    if not rows:
        return "nothing yet"
    moduli = {row.p for row in rows}
    texts = (
        f"{row.grokked} of {row.seeds} grokked at {row.frac_train:g}"
        + (f", p = {row.p}" if len(moduli) > 1 else "")
        + ("" if row.best_test_accuracy is None else f" (best test accuracy {row.best_test_accuracy:.1%})")
        for row in rows
    )
    return "; ".join(texts) + (f" (p = {moduli.pop()})" if len(moduli) == 1 else "")
