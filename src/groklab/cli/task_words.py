"""What `tasks explain` has found, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Digits of entropies and divergences, in nats.
NATS = ".4f"


def facts_in_words(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every fact of `explain_task` on the operation itself, as what it is about and what it says."""
    yield from _names(found)
    yield from _algebra(found)
    yield from labels_in_words(found["labels"])
    if found["published"]:
        yield "published", published(found["published"])
    if found["published"] or found["measured"]:
        yield "measured here", measured(found["measured"])


def _names(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if found["operation"]:
        papers = ", ".join(found["papers"]) or "no paper"
        yield "operation", f"{found['operation']}, {found['group']} ({papers})"
    if found["same_answers"]:
        yield "same answers", ", ".join(found["same_answers"])


def _algebra(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    a, p = found["algebra"], found["p"]

    def said(key: str, yes: str, no: str) -> str:
        if key in a["undefined"]:
            return f"undefined: {a['undefined'][key]}"
        return yes if a[key] else no

    if a["constant"]:
        yield "constant", "all its answers are the same, so that it is a function of any form"
        return
    form = a["linear_form"] or {}
    one = "one-to-one" if form.get("bijective") else "not one-to-one"
    tried = "no form u*x + v*y" if found["prime"] else "none of x, y, x + y and x - y"
    yield (
        "depends on",
        said("linear_form", f"{form.get('form')} alone, {one}: {form.get('values')} answers", f"{tried} alone"),
    )
    yield "sum", said("additive", _parts("g(x) + h(y)", a["additive"], p), "no g(x) + h(y)")
    c = a["product"]["constant"] if a["product"] else 0
    constant = f" {'-' if c < 0 else '+'} {abs(c)}" if c else ""
    yield "product", said("product", _parts(f"g(x)*h(y){constant}", a["product"], p), "no g(x)*h(y) + c")
    yield (
        "in disguise",
        said(
            "relabelled",
            _renamed(a["relabelled"]),
            "neither addition nor multiplication with operands and answers renamed",
        ),
    )
    yield "symmetry", _symmetry(a)
    yield (
        "one-to-one",
        f"in {_operands(a['one_to_one'])}, whatever the other is" if any(a["one_to_one"]) else "in no operand",
    )
    yield "over Z", said("integers", _factors(a["integers"]), "")
    yield f"mod {p}", said("field", _factors(a["field"]), "")
    for n in a["powers"]:
        gcd = f"; gcd({abs(n['exponent'])}, {p - 1}) = {n['gcd']}" if n["gcd"] is not None else ""
        yield "power", f"x^{n['exponent']}: {n['values']} of {p} values{', one-to-one' if n['bijective'] else ''}{gcd}"


def _parts(text: str, parts: dict[str, Any] | None, p: int) -> str:
    if parts is None:
        return ""
    (g, h), (g_one, h_one) = parts["values"], parts["bijective"]
    told = (
        f"{name} takes {n} of {p} values{', one-to-one' if one else ''}"
        for name, n, one in (("g", g, g_one), ("h", h, h_one))
    )
    return f"{text}: {'; '.join(told)}"


def _renamed(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    zeros = [f"{name} = {n}" for name, n in zip("xy", found["zeros"], strict=True) if n is not None]
    absent = [f"{name} = {n}" for name, n in zip("xy", found["undefined"], strict=True) if n is not None]
    parts = [f"zero is {' and '.join(zeros)}, and the answer {found['zero']}"] if zeros else []
    parts += [f"undefined at {' and '.join(absent)}"] if absent else []
    return f"{found['of']} with operands and answers renamed" + (f" ({'; '.join(parts)})" if parts else "")


def _symmetry(a: dict[str, Any]) -> str:
    told = [
        text for key, text in (("symmetric", "f(y, x) = f(x, y)"), ("antisymmetric", "f(y, x) = -f(x, y)")) if a[key]
    ]
    return ", ".join(told) or "none between x and y"


def _operands(one_to_one: list[bool]) -> str:
    return " and in ".join(name for name, one in zip("xy", one_to_one, strict=True) if one)


def _factors(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    return f"{found['text']}{', irreducible' if found['irreducible'] else ''}"


def labels_in_words(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Label statistics, line by line."""
    often = f"{found['smallest_count']} to {found['largest_count']} times"
    if found["smallest_count"] == found["largest_count"]:
        often = f"each {found['largest_count']} times"
    yield "labels", f"{found['labels']}, {often}; entropy {found['entropy']:{NATS}} nats"
    train, test = (_spread(found[f"{part}_entropy"]) for part in ("train", "test"))
    yield f"{found['n_train']:,} trained on", f"entropy {train} in training, {test} in test"
    if found["kl"] is None:
        kl = f"infinite in {found['infinite']} of {found['seeds']} splits, where a label is trained on and never tested"
    else:
        chance = found["kl_by_chance"]
        kl = _spread(found["kl"])
        kl += "" if chance is None else f"; a random split of so many labels gives {chance:{NATS}}"
    yield "KL(train||test)", kl


def _spread(found: dict[str, Any]) -> str:
    return f"{found['mean']:{NATS}}" + ("" if found["sd"] is None else f" ± {found['sd']:{NATS}}")


def published(found: dict[str, Any] | None) -> str:
    """The paper's verdict in words: where it grokked, and the best test accuracy where not."""
    if found is None:
        return "nothing"
    below = {r: v for r, v in found["by_fraction"].items() if v is not True}
    grokked = [r for r in found["by_fraction"] if r not in below]
    short = ", ".join(f"{v}% at {r}" for r, v in below.items())
    where = f"grokked from a fraction of {grokked[0]}" if grokked else "did not grok at any fraction up to 0.9"
    return where + (f"; best test accuracy {short}" if short else "") + f" (p = {found['p']})"


def measured(rows: list[dict[str, Any]]) -> str:
    """What was measured here, in words."""
    if not rows:
        return "nothing yet"
    moduli = {row["p"] for row in rows}
    told = (
        f"{row['grokked']} of {row['seeds']} grokked at {row['frac_train']:g}"
        + (f", p = {row['p']}" if len(moduli) > 1 else "")
        + ("" if row["best_test_accuracy"] is None else f" (best test accuracy {row['best_test_accuracy']:.1%})")
        for row in rows
    )
    return "; ".join(told) + (f" (p = {moduli.pop()})" if len(moduli) == 1 else "")
