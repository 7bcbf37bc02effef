"""Write the reference pages that come from the code itself: `python docs/generate.py`.

They go to docs/reference/generated/, which is not kept in git.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from annotated_types import Ge, Gt, Le, Lt

import groklab as gl
from groklab import leaderboard, registry
from groklab.cli import load_commands
from groklab.cli.app import app
from groklab.experiment import reading
from groklab.optimisers import Group
from groklab.reproduction import (
    KIND_HEADINGS,
    OVERVIEW,
    PAPERS,
    SIZES,
    Claim,
    Spread,
    bar_rows,
    judge,
    label,
    load,
    overview_of,
    seed_values,
    verdict_of,
)
from groklab.tasks import OPERATIONS, ScheduledSplit, Split
from groklab.text import duration

load_commands()

FOLDER = Path(__file__).parent / "reference" / "generated"
REPRODUCTIONS = Path(__file__).parent / "reproductions"
LEADERBOARD = Path(__file__).parent / "leaderboard"
TITLES = {
    "task": "Tasks",
    "learner": "Learners",
    "network": "Networks",
    "objective": "Objectives",
    "optimiser": "Optimisers",
}
#: Papers whose claims have pages of their own; the claims of all others are beyond them.
FIRST_PAPERS = ("controls", "furuta2024", "liu2022", "mallinar2024", "nanda2023", "omnigrok")
COUNTED_ONE = {"check": "a check of the code", "own": "groklab's own"}
#: Optimisers share most settings; each kind's own table leaves them out.
SHARED = {"optimiser": "Optimiser"}


def pages() -> dict[str, str]:
    """Every generated page's Markdown by file name."""
    return {
        "commands.md": commands(),
        "presets.md": presets(),
        "operations.md": operations(),
        "measures.md": measures(),
        "figures.md": figures(),
        "experiment.md": fields(),
        "reproductions.md": reproductions_index(),
        "beyond.md": beyond(),
        "leaderboard.md": leaderboards(),
        **{f"reproductions-{path.stem}.md": reproductions(path) for path in saved_reproductions()},
    }


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all pages below a folder, leaving files that are up to date untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


# -- the command line ---------------------------------------------------------------------------------------------


def command_names() -> list[str]:
    """Every command as it is typed after `groklab`, such as `runs rm`."""
    return [name for name, _ in _commands(typer.main.get_command(app))]


def commands() -> str:
    """The page of commands."""
    parts = [
        "# Command line\n",
        "`groklab COMMAND --help` says the same. Wherever a command prints a result, `--json` prints it as one JSON "
        "object on one line, last on standard output; everything else then goes to standard error.\n",
        "Exit codes: 0 for done, 2 for something that cannot be done as asked (with one sentence on standard error), "
        "128 + n after signal n: 130 after Ctrl-C, 143 after TERM.\n",
    ]
    for name, command in _commands(typer.main.get_command(app)):
        parts.append(f"## groklab {name}\n")
        parts.append(_help(command.help or ""))
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name != "argument"]
        if arguments:
            rows = [(f"`{p.metavar or p.name.upper()}`", (p.help or "") + _needed(p)) for p in arguments]
            parts.append(_table(("argument", "meaning"), rows))
        if options:
            rows = [(_spelling(p), p.help or "") for p in options]
            parts.append(_table(("option", "meaning"), rows))
    return "\n".join(parts)


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")


def _help(text: str) -> str:
    """A command's docstring with its examples, which stand indented, as one code block."""
    prose, _, examples = inspect.cleandoc(text).partition("Examples:")
    if not examples:
        prose, _, examples = prose.partition("Example:")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    block = "\n```bash\n" + "\n".join(lines) + "\n```\n" if lines else ""
    return prose.strip() + "\n" + block


def _needed(argument: Any) -> str:
    return "" if argument.required else " Optional."


def _spelling(option: Any) -> str:
    value = "" if getattr(option, "is_flag", False) else f" {option.metavar or _value_name(option)}"
    again = " (may be repeated)" if getattr(option, "multiple", False) else ""
    return ", ".join(f"`{name}{value}`" for name in option.opts) + again


def _value_name(option: Any) -> str:
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", str)
    return "N" if kind is int or int in typing.get_args(kind) else "TEXT"


# -- presets, operations, measures --------------------------------------------------------------------------------


def presets() -> str:
    """The page of presets, a section each."""
    parts = [
        "# Presets\n",
        "A preset is a named experiment. `groklab train NAME` trains it, with any setting overridden; "
        "`groklab presets NAME` shows its page in the terminal. What differs from the papers is told in "
        "[Presets and their papers](../../explanation/papers.md).\n",
        _table(("preset", "shows"), [(f"[`{p.name}`](#{_anchor(p.name)})", p.shows) for p in gl.PRESETS.values()]),
    ]
    for p in gl.PRESETS.values():
        rows = [("costs", p.costs), ("should give", p.expect), ("source", p.source)]
        settings = yaml.safe_dump(_nested(p.settings), sort_keys=False, allow_unicode=True).strip()
        parts += [
            f"## {p.name} {{ #{_anchor(p.name)} }}\n",
            f"{p.shows}\n",
            *(f"- {label}: {text}" for label, text in rows),
            f"\n```yaml\n{settings}\n```\n",
        ]
    return "\n".join(parts)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _nested(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        node, parts = found, key.split(".")
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = value
    return found


def operations() -> str:
    """The page of named operations."""
    left_out = {"none": "", "any": "inputs that hold a zero", "last": "last operand zero"}
    rows = [
        (
            f"`{o.name}`",
            f"`{o.expression}`" + ("" if o.modular else " (not reduced)"),
            o.group,
            o.description,
            left_out[o.zeros],
            ", ".join(f"`{s}`" for s in o.spellings),
            o.source,
        )
        for o in OPERATIONS.values()
    ]
    return "\n".join(
        [
            "# Operations\n",
            "`task.expression` takes any of these names or spellings, or a formula of your own in x, y, z (or a, b, "
            "c) with `+ - * / ^` and parentheses: `task.expression='x^2 + x*y'`. Formulas are read by a small parser "
            "and never run as Python; `**` is another way to write `^`, and `2xy` means `2*x*y`. Division means "
            "multiplying by the inverse mod p.\n",
            _table(("name", "formula", "family", "what it is", "left out", "other spellings", "source"), rows),
        ]
    )


def measures() -> str:
    """The page of measures."""
    rows = [(f"`{m.name}`", m.about, "yes" if m.online else "no") for m in gl.MEASURES.values()]
    return "\n".join(
        [
            "# Measures\n",
            "A measure is a pure function from a model's weights and its task to named arrays. "
            '`gl.take(run, "embedding_spectrum")` takes one of every kept checkpoint of a run and gives a polars '
            'frame; `gl.MEASURES["embedding_spectrum"](weights, task)` takes it of weights by hand. A measure with '
            "outputs of fixed shape could run during training, too.\n",
            _table(("measure", "what it is", "fixed shape"), rows),
        ]
    )


SECTIONS_OF_FIGURES = {
    "training": "How it trained",
    "computes": "What it computes",
    "features": "What it looks at",
}


def figures() -> str:
    """The page of figures: each with what it shows, how it is drawn, and a picture."""
    sections = [(heading, gl.figures.figures_of(name)) for name, heading in SECTIONS_OF_FIGURES.items()]
    rows = [(f"[`{f.name}`](#{_anchor(f.name)})", f.about) for _, listed in sections for f in listed]
    parts = [
        "# Figures\n",
        "Every figure of a run's page is a method of `run.plot`, too. `run.plot()` lists those that a run has:\n",
        '```python\nimport groklab as gl\n\nrun = gl.train("micro")\nrun.plot()  # the figures of this run\n'
        "figure = run.plot.curves()  # one of them\nfigure.data_frame  # the numbers that it draws\n"
        "run.plot.curves.sentence()  # what it says\n```\n",
        'A figure is Plotly\'s, for light and dark pages. `figure.save("curves.pdf", width="column")` writes it for '
        "paper (PDF, SVG or PNG, with the extra `paper`), and `groklab figures RUN` all figures of a run. Weights that "
        "were never in a run have the same figures: `gl.figures.plots(weights, task).spectrum()`. "
        "[Recipes](../../how-to/plugins.md) shows how to add a figure.\n",
        _table(("figure", "what it shows"), rows),
    ]
    for heading, listed in sections:
        parts.append(f"## {heading}\n")
        for f in listed:
            parts += [
                f"### {f.title} {{ #{_anchor(f.name)} }}\n",
                f"{_escape(f.about)} `run.plot.{f.name}()`\n",
                f"![{f.title}](../../assets/figures/{f.name}.png)\n",
            ]
    return "\n".join(
        [
            *parts,
            "## Of a sweep\n",
            "### Phase diagram { #phase_diagram }\n",
            "One square per cell of a sweep, coloured by the phase that most of its seeds have. "
            "`gl.figures.phase_diagram(study.frame(), study.axes.x, study.axes.y)`, see "
            "[Draw phase diagrams](../../how-to/phase-diagrams.md)\n",
            "![A map of the phases of a sweep](../../assets/figures/phase_diagram.png)\n",
        ]
    )


# -- reproductions ------------------------------------------------------------------------------------------------


def saved_reproductions() -> list[Path]:
    """The committed results of `groklab reproduce PAPER --save docs/reproductions`."""
    return sorted(REPRODUCTIONS.glob("*.json"))


def reproductions_index() -> str:
    """Return the page that opens with the ledger in one table; every row links to its evidence."""
    rows = []
    for path in saved_reproductions():
        for row in overview_of(load(path)):
            page = f"reproductions-{path.stem}.md"
            links = {"paper": f"[{_escape(row.title)}]({page})", "size": f"[{row.size}]({page}#{row.size})"}
            rows.append((row.texts | links).values())
    return "\n".join(
        [
            "# Reproduced claims\n",
            _table(OVERVIEW, rows),
            "Claims are counted by verdict: reproduced by every seed, by some, by none, or not run yet. Checks are "
            "identities and properties of the code, which hold or fail, and groklab's own findings are not the "
            "paper's: both are counted apart. Quick trials use the smallest setting that tests a claim, full ones the "
            "paper's; neither replaces the other. Seeds are the fewest and the most of a claim that is measured, "
            "time is what was spent, beside the estimate for all trials. See "
            "[Reproduce a paper's claims](../../how-to/reproduce.md).\n",
        ]
    )


def beyond() -> str:
    """Return the page of all claims beyond the first papers, with their saved verdicts and the counter-evidence."""
    saved = {path.stem: {c["id"]: c for c in load(path)["claims"]} for path in saved_reproductions()}
    parts = [
        "# Claims and verdicts\n",
        "Every claim of [this section](../../beyond/index.md) with its verdict at both sizes, as `groklab reproduce` "
        "measured it, and the evidence against it. A claim's name opens its bars, its control and its numbers.\n",
    ]
    for paper in PAPERS.values():
        if paper.name in FIRST_PAPERS:
            continue
        rows = []
        for claim in paper.claims:
            entry = saved.get(paper.name, {}).get(claim.id)
            verdicts = _verdicts(entry) if entry else ["not run"] * len(SIZES)
            name = f"`{claim.id}`"
            if entry:
                name = f"[{name}](reproductions-{paper.name}.md#{_anchor(claim.id)})"
            kind = "" if claim.kind == "claim" else f" ({COUNTED_ONE[claim.kind]})"
            rows.append((name, _escape(claim.claim) + kind, *verdicts, _escape(claim.counter)))
        parts += [f"## {paper.title}\n", _table(("claim", "what is claimed", *SIZES, "counter-evidence"), rows)]
    return "\n".join(parts)


def reproductions(path: Path) -> str:
    """The page of one paper's committed results: the ledger's rows, a table of its claims, and a section each."""
    content = load(path)
    paper = PAPERS[content["paper"]]
    claims = {claim.id: claim for claim in paper.claims}
    about = [heading for heading in OVERVIEW if heading != "paper"]
    anchored = [row.texts | {"size": f"<span id='{row.size}'>{row.size}</span>"} for row in overview_of(content)]
    parts = [
        f"# {paper.title}, reproduced\n",
        f"The claims that `groklab reproduce {paper.name}` tests, as they stood on {content['date']} "
        f"([the same as JSON](../../reproductions/{path.name})). Each claim has bars, fixed before anything is "
        "measured, and a control that must fail them; see [Reproduce a paper's claims](../../how-to/reproduce.md).\n",
        _table(about, [[texts[heading] for heading in about] for texts in anchored]),
    ]
    for kind, heading in KIND_HEADINGS.items():
        own = [c for c in content["claims"] if c["kind"] == kind]
        if own:
            rows = [(f"[`{c['id']}`](#{_anchor(c['id'])})", *_verdicts(c), _escape(c["claim"])) for c in own]
            parts += [f"## {heading}\n", _table(("claim", *SIZES, "what is claimed"), rows)]
            parts += [_claim(c, claims[c["id"]]) for c in own]
    return "\n".join(parts)


def _verdicts(entry: dict[str, Any]) -> list[str]:
    """Return the verdict of each size."""
    return [verdict_of(entry["kind"], entry[size]["holds"] if entry[size] else ()) for size in SIZES]


def _claim(entry: dict[str, Any], claim: Claim) -> str:
    """The section of a claim: its table of bars, with quick and full beside each other."""
    judged, verdicts = [], dict(zip(SIZES, _verdicts(entry), strict=True))
    for size in SIZES:
        trial, evidence = claim.trial(size), entry[size]
        n = len(evidence["seeds"]) if evidence else 0
        values = [seed_values(evidence[key], n) if evidence else [] for key in ("measured", "control")]
        controls = values[1] if evidence and evidence["control"] else []
        judged.append(judge(trial.bars if trial is not None else (), values[0], controls))
    measured = [bool(entry[size]) for size in SIZES]
    cells = [row.cells(measured) for row in bar_rows(judged)]
    rows = [(quantity, condition, *map(_escape, rest)) for quantity, condition, *rest in cells]
    headings = [heading for size in SIZES if entry[size] for heading in (f"{size}, measured", f"{size}, control")]
    about = ("source", "expected", "control", "counter")
    named = [(key if key != "counter" else "counter-evidence", entry[key]) for key in about if entry[key]]
    parts = [
        f"### {claim.id} {{ #{_anchor(claim.id)} }}\n",
        f"{_escape(entry['claim'])}\n",
        *(f"- {name}: {_escape(text)}" for name, text in named),
        "",
    ]
    if rows:
        parts.append(_table(("quantity", "bar", *headings, "origin of the bar"), rows))
    parts += [_side(size, verdicts[size], claim, entry[size]) for size in SIZES]
    return "\n".join(parts)


def _side(size: str, verdict: str, claim: Claim, evidence: dict[str, Any] | None) -> str:
    """A claim at one size: its verdict, what else was measured, the setting and the cost."""
    trial = claim.quick if size == "quick" else claim.full
    if trial is None:
        return f"**{size.capitalize()}: not run** (there is no {size} trial).\n"
    if evidence is None:
        cost = duration(trial.cost)
        setting = f"- setting: {_escape(trial.setting)}\n- cost: about {cost} on two cores by estimate\n"
        return f"**{size.capitalize()}: not run** (not measured yet).\n\n{setting}"
    barred = {bar.value for bar in trial.bars}
    others = {k: Spread.of(v["values"]).text for k, v in evidence["measured"].items() if k not in barred}
    also = "; ".join(f"{label(name)} {_escape(text)}" for name, text in others.items())
    return "\n".join(
        [
            f"**{size.capitalize()}: {verdict}** ({evidence['note']}).\n",
            *([f"- also measured: {also}"] if also else []),
            f"- setting: {_escape(evidence['setting'])}",
            f"- cost: {evidence['seconds']:,.0f} seconds, less what other claims had trained; measured "
            f"{evidence['date']} with groklab {evidence['groklab']} on {_escape(evidence['hardware'])}",
            f"\n```bash\n{evidence['command']}\n```\n",
        ]
    )


# -- the leaderboard ----------------------------------------------------------------------------------------------


def leaderboards() -> str:
    """Return the page of the saved leaderboards: a table for each track and size."""
    parts = [
        "# The leaderboard\n",
        "Methods that shall make grokking come sooner, tuned and scored under equal rules by `groklab leaderboard`. "
        "[Enter the leaderboard](../../how-to/leaderboard.md) says how a score is made. Steps, seconds and operations "
        "(TFLOP) are those to the median grokking step; *undecided* is what does not differ from the "
        "tuned AdamW beyond chance.\n",
    ]
    for track in leaderboard.TRACKS.values():
        parts += [f"## {track.name}\n", f"{_escape(track.title)}. Source: {_escape(track.source)}.\n"]
        path = LEADERBOARD / f"{track.name}.json"
        saved = leaderboard.load(path)["sizes"] if path.exists() else {}
        for size in leaderboard.SIZES:
            parts.append(_board(track, size, saved[size]) if size in saved else _not_measured(track, size))
    return "\n".join(parts)


def _board(track: leaderboard.Track, size: str, content: dict[str, Any]) -> str:
    """A track's saved scores at one size."""
    scale, scores = content["scale"], content["entries"]
    rules = "" if content["rules"] == leaderboard.RULES else " These were measured by earlier rules."
    reduced = f" Reduced: {_escape(scale['why'])}." if scale["why"] else ""
    dates = sorted({score["date"] for score in scores})
    settings = [(score["entry"], _in_a_line(score["chosen"]), _escape(score["about"])) for score in scores]
    return "\n".join(
        [
            f"### {track.name}, {size}\n",
            f"{_begun(leaderboard.summary_of(scores, content['waiting']))}.{rules}\n",
            _table(leaderboard.COLUMNS, [map(_escape, leaderboard.row_of(score)) for score in scores]),
            f"{scale['steps']:,} steps at most; {scale['trials']} trials with {scale['tuning_seeds']} seeds each, then "
            f"{scale['seeds']} fresh seeds.{reduced} Measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))} with "
            f"groklab {content['groklab']} on {_escape(scores[0]['hardware'])} "
            f"([the same as JSON](../../leaderboard/{track.name}.json)).\n",
            _table(("entry", "what tuning chose", "what it is"), settings),
            f"```bash\n{content['command']}\n```\n",
        ]
    )


def _begun(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _in_a_line(settings: dict[str, Any] | None) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in (settings or {}).items()) or "its own settings"


def _not_measured(track: leaderboard.Track, size: leaderboard.Size) -> str:
    reduced = f" Reduced: {_escape(track.scale(size).why)}." if track.scale(size).why else ""
    command = f"groklab leaderboard {track.name} --{size}"
    return f"### {track.name}, {size}\n\nNot measured yet.{reduced}\n\n```text\n{command}\n```\n"


# -- the fields of an experiment ----------------------------------------------------------------------------------


def fields() -> str:
    """The page of every setting of an experiment: its type, what is allowed, its default."""
    parts = [
        "# Settings of an experiment\n",
        "Settings are written as sections in YAML and as dotted names on the command line and in Python: "
        "`task.p=59`. A setting that is unknown or out of range is refused with a sentence that says what is "
        "allowed.\n",
        "Settings marked *number* below are fed to the compiled program instead of deciding it: members of one "
        "ensemble may differ in them, and changing one compiles nothing anew.\n",
        "## Top level\n",
        f"{_prose(inspect.getdoc(gl.Experiment) or '')}\n",
    ]
    defaults = {f.name: _default(f) for f in dataclasses.fields(gl.Experiment)}
    rows = [(f"`{name}`", _allowed(hint), defaults[name]) for name, hint in reading.PLAIN.items()]
    rows += [(f"`{family}`", f"a [section with a `kind`](#{family})", f"`{kind}`") for family, kind in _families()]
    rows += [(f"`{name}`", f"a [section](#{name})", "") for name in reading.GROUPS]
    parts.append(_table(("setting", "allowed", "default"), sorted(rows)))
    for name, cls in reading.GROUPS.items():
        parts += [f"## {name}\n", _described(cls)]
        if cls is Split:
            parts += ["### split.schedule, each entry\n", _described(ScheduledSplit)]
    parts += ["## start\n", _described(reading.Start)]
    parts += [
        "## Interventions { #interventions }\n",
        "`interventions` is a list of entries, each with a time and a `kind`; none unless they are given. Settings are "
        "named by the number of the entry: `interventions.0.step=4000`.\n",
        "### Every intervention\n",
        _described(gl.interventions.Intervention),
    ]
    timed = {f.name for f in dataclasses.fields(gl.interventions.Intervention)}
    for kind, cls in registry.kinds("intervention").items():
        parts += [f"### interventions.N.kind: {kind}\n", _described(cls, timed)]
    for family, default in _families():
        parts += [f"## {TITLES[family]} {{ #{family} }}\n", f"`{family}.kind` is `{default}` unless it is given.\n"]
        shared: set[str] = set()
        if family == "optimiser":
            base = gl.optimisers.Optimiser
            shared = {f.name for f in dataclasses.fields(base)}
            parts += ["### Every optimiser\n", _described(base, numbers=True)]
            parts += ["### optimiser.groups, each pattern\n", _described(Group, numbers=True)]
            parts += ["### optimiser.filter\n", "Null, or a section of one of these kinds.\n"]
            for kind, cls in registry.kinds("gradient_filter").items():
                parts += [f"#### optimiser.filter.kind: {kind}\n", _described(cls, numbers=True)]
        for kind, cls in registry.kinds(family).items():
            parts += [f"### {family}.kind: {kind}\n", _described(cls, shared, numbers=family != "task")]
    return "\n".join(parts)


def _families() -> list[tuple[str, str]]:
    return list(reading.FAMILIES.items())


def _described(cls: type, left_out: Iterable[str] = (), numbers: bool = False) -> str:
    hints = typing.get_type_hints(cls, include_extras=True)
    own = [f for f in dataclasses.fields(cls) if f.name not in set(left_out)]
    rows = []
    for f in own:
        mark = " (*number*)" if numbers and _is_number(hints[f.name]) else ""
        rows.append((f"`{f.name}`", _allowed(hints[f.name]) + mark, _default(f)))
    table = _table(("setting", "allowed", "default"), rows) if rows else ""
    return f"{_prose(inspect.getdoc(cls) or '')}\n\n{table}"


def _prose(text: str) -> str:
    """Return a docstring as Markdown: attributes as a list, indented tables as code, stars and underscores escaped."""
    parts = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Attributes:\n"):
            joined = re.sub(r"\n {8,}", " ", paragraph).splitlines()[1:]
            items = (line.strip().partition(": ") for line in joined)
            parts.append("\n".join(f"- {_escape(f'`{names}`: {words}')}" for names, _, words in items))
            continue
        lines = paragraph.splitlines()
        plain = [line for line in lines if not line.startswith("  ")]
        aligned = [line for line in lines if line.startswith("  ")]
        if aligned:
            at = lines.index(aligned[0])
            after = [line for line in lines[at:] if not line.startswith("  ")]
            parts.append(_escape("\n".join(lines[:at])))
            parts.append("```text\n" + inspect.cleandoc("\n".join(aligned)) + "\n```")
            parts.append(_escape("\n".join(after)))
        else:
            parts.append(_escape("\n".join(plain)))
    return "\n\n".join(part for part in parts if part)


def _escape(text: str) -> str:
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([*_>\[\]])", r"\\\1", p).replace("<", "&lt;") for p in pieces)


def _is_number(hint: Any) -> bool:
    if typing.get_origin(hint) is Annotated:
        return _is_number(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_is_number(part) for part in typing.get_args(hint))
    return hint is float


def _allowed(hint: Any) -> str:
    """What a type annotation allows, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        bounds = [_bound(b) for b in arguments[1:]]
        return ", ".join([_allowed(arguments[0]), *(b for b in bounds if b)])
    if origin in (typing.Union, types.UnionType):
        return " or ".join("`null`" if part is type(None) else _allowed(part) for part in arguments)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_allowed(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {_allowed(arguments[1])}"
    names = {int: "integer", float: "number", str: "text", bool: "`true`, `false`"}
    if hint in names:
        return names[hint]
    if hint is reading.Start:
        return "a [section](#start)"
    if hint is Any:  # a component within another
        return "a section with a `kind`, or `null`"
    return "settings as below" if dataclasses.is_dataclass(hint) else str(hint)


def _bound(bound: Any) -> str:
    if isinstance(bound, Ge):
        return f"≥ {bound.ge:,}"
    if isinstance(bound, Gt):
        return f"> {bound.gt:,}"
    if isinstance(bound, Le):
        return f"≤ {bound.le:,}"
    if isinstance(bound, Lt):
        return f"< {bound.lt:,}"
    return ""


def _default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
        if dataclasses.is_dataclass(value):
            return ""
    else:
        return "needed"
    if value is None or isinstance(value, bool):
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    if value in ({}, ()):
        return "none"
    return f"`{value}`"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headings = list(headings)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines) + "\n"


if __name__ == "__main__":
    for page in write():
        print(page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page)
