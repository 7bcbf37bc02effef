"""The page of one run: a single model or an ensemble."""

from __future__ import annotations

from collections.abc import Sequence

from groklab import grokking
from groklab.experiment import differing
from groklab.figures import RunContext, Section, figures_of
from groklab.report import _settings as settings
from groklab.report import _story as story
from groklab.report._html import Page, Part, Picture, Table, pictures_of
from groklab.store import Run
from groklab.text import duration, loss_of, percent, step_of, times

#: The headings over the figures of each section.
EVIDENCE: dict[Section, str] = {
    "training": "Evidence: training",
    "computes": "Evidence: the computation",
    "features": "Evidence: the features",
}
#: Members of an ensemble whose hashes are written out; the files of the run hold all.
MEMBERS = 12
#: Figures that need no weights.
OVERVIEW = ("survival", "curves", "operations")
PHASE = (
    "{rule} They rest on other accuracies than memorising and generalising above: a model may have generalised late "
    "and still be of the phase comprehension."
)
SUMMED = (
    "The training and test loss of this mixture are the sum of the mean losses of its {n} operations, not their mean "
    "(task.losses=mean takes that), so uniform guessing has {n} times its loss on one operation."
)
EMBEDDING = (
    " A frequency carries the embedding if it has at least 5% of its power; it stands out if it has twice an even "
    "share besides."
)
MACHINE = (
    "Step s is the kernel machine whose M has gone through s iterations; step 0 is the plain kernel machine with its "
    "first M, mostly the identity."
)


def run_page(run: Run) -> Page:
    """Return the page of a run, with all registered figures that apply to it."""
    context = RunContext.read(run)
    pictures: dict[Section, list[Picture]] = {"training": [], "computes": [], "features": []}
    definitions: list[str] = []
    for section in pictures:
        for figure in figures_of(section):
            drawings = figure.drawings(context)
            pictures[section] += pictures_of(figure, drawings)
            definitions += figure.definitions if drawings else []
    computed, looks_at = context.model.sentences(), context.feature_analysis
    features = looks_at.sentences() if looks_at is not None and looks_at is not context.model else []
    if context.several and (len(computed) > 1 or any(p.spec for p in pictures["computes"])):
        whose = f"This, and the figures below that look into a model, is of member 0 (seed {context.experiment.seed})."
        computed = [whose, *computed]
    parts = [
        Part("computes", "What it computes", computed),
        Part("looks-at", "What it looks at", features),
        *(Part(f"evidence-{section}", title, pictures=pictures[section]) for section, title in EVIDENCE.items()),
    ]
    return _page(context, parts, definitions)


def overview_page(run: Run) -> Page:
    """Return the page of a run without what takes its weights apart: quick, also while it trains."""
    context = RunContext.read(run)
    figures = [figure for figure in figures_of("training") if figure.name in OVERVIEW]
    shown = [p for figure in figures for p in pictures_of(figure, figure.drawings(context))]
    return _page(context, [Part(pictures=shown)])


def _page(context: RunContext, parts: Sequence[Part], definitions: Sequence[str] = ()) -> Page:
    return Page(
        title=context.folder.name,
        kind="Ensemble" if context.several else "Run",
        tags=context.tags,
        summary=story.summary(context),
        tiles=_tiles(context),
        problems=context.problems,
        parts=parts,
        tables=[
            *([member_table(context)] if context.several else []),
            *([_changes(context)] if context.marks else []),
            settings.settings_table(context),
        ],
        provenance=_provenance(context),
        remake=_remake(context),
        notes=[*notes(context), *dict.fromkeys(definitions)],
    )


def member_table(context: RunContext) -> Table:
    """Return the outcome of each member, with the settings in which they differ."""
    different = {k: v for k, v in differing(context.experiments).items() if k != "seed"}
    head = (
        "member",
        "seed",
        *different,
        "memorised",
        "generalised",
        "delay",
        "test accuracy",
        f"test loss, sum of {context.summed}" if context.summed else "test loss",
        f"phase of {grokking.OWNER}",
    )
    phases = [str(p.phase) for p in context.phases] or ["–"] * len(context.members)
    headlines = context.headlines
    censored = f"not by {context.step:,}"
    rows = []
    for i, m in enumerate(context.members):
        memorised, grokked = m.memorised_step, m.grokked_step
        rows.append(
            (
                str(i),
                str(context.experiments[i].seed),
                *(values[i] for values in different.values()),
                censored if memorised is None else step_of(memorised),
                censored if grokked is None else step_of(grokked),
                "–" if headlines[i].delay is None else f"{headlines[i].delay:,}",
                percent(m.test_accuracy),
                loss_of(m.test_loss),
                phases[i],
            )
        )
    return Table("Members", head, rows)


def _changes(context: RunContext) -> Table:
    """Return what was changed in the middle of training: the dotted lines of the figures, by their numbers."""
    marks = context.marks
    numbered = {step: i for i, step in enumerate(sorted({mark.step for mark in marks}), start=1)}
    rows = [(str(numbered[mark.step]), f"{mark.step:,}", mark.text, mark.after) for mark in marks]
    return Table("Changes in training", ("mark", "step", "what was done", "what followed"), rows)


def notes(context: RunContext) -> list[str]:
    """Return the definitions of the words on the page, besides those of its figures."""
    criterion = context.experiment.evaluation.criterion
    return [
        *definitions(criterion),
        PHASE.format(rule=grokking.rule_sentence()),
        *([SUMMED.format(n=context.summed)] if context.summed else []),
        MACHINE if context.kernel_machine else "Step s is the state after s updates." + EMBEDDING,
    ]


def definitions(criterion: str) -> list[str]:
    """Return what memorised and generalised mean."""
    return [
        f"Memorised, by training accuracy: {grokking.CRITERIA['sustained_99']}.",
        f"Generalised, by test accuracy: {grokking.CRITERIA[criterion]} (definition {grokking.DEFINITION}, criterion "
        f"{criterion}). In settings and JSON this is 'grokked'. The delay is the difference of the two steps.",
    ]


def _tiles(context: RunContext) -> list[tuple[str, str, str]]:
    """Return the few numbers that one looks for first: label, value, remark."""
    if not context.members:
        return []
    if context.several:
        tiles = []
        for label, event in (("Memorised", "memorised"), ("Generalised", "grokked")):
            summary = context.survival(event)
            assert summary is not None
            median = f"median step {summary.median:,.0f}" if summary.median is not None else "median not reached"
            tiles.append((label, f"{summary.n_grokked} of {summary.n}", median))
        accuracies = sorted(m.test_accuracy for m in context.members if m.test_accuracy is not None)
        if accuracies:
            tiles.append(("Worst test accuracy", percent(accuracies[0]), f"best {percent(accuracies[-1])}"))
        return [*tiles, ("Steps", f"{context.step:,}", str(context.status.state))]
    (headline,) = context.headlines
    open_ = f"{headline.open} at {context.step:,}" if headline.ended else headline.open
    steps = {"Memorised at": headline.memorised, "Generalised at": headline.generalised}
    events = [
        (label, "not yet" if step is None else f"{step:,}", "step" if step is not None else open_)
        for label, step in steps.items()
    ]
    delay = ("–", "not defined")
    if headline.delay is not None:
        late = f"steps, {times(headline.times_as_late)} times as late" if headline.times_as_late else "steps"
        delay = f"{headline.delay:,}", late
    return [
        *events,
        ("Delay", *delay),
        ("Test accuracy", percent(headline.test_accuracy), f"at step {context.step:,}, {context.status.state}"),
        *((f"Phase of {grokking.OWNER}", p.phase, p.because) for p in context.phases),
    ]


def _provenance(context: RunContext) -> list[tuple[str, str]]:
    environment = context.environment

    def per_member(values: list[str]) -> str:
        if len(values) == 1:
            return values[0]
        shown = [f"{i}: {v}" for i, v in enumerate(values[:MEMBERS])]
        return "\n".join([*shown, f"and {len(values) - MEMBERS} more"] if len(values) > MEMBERS else shown)

    return [
        ("groklab", environment.groklab or "unknown"),
        ("other versions", environment.versions),
        ("device", environment.device or "unknown"),
        ("machine", environment.platform or "unknown"),
        ("last written", context.changed.strftime("%Y-%m-%d %H:%M UTC")),
        ("time training", duration(float(context.status.seconds))),
        ("seed", settings.seeds_of(context.experiments)),
        ("identity", per_member(context.folder.identities)),
        ("weights SHA-256", per_member([m.weights_sha256 for m in context.members]) or "none yet"),
    ]


def _remake(context: RunContext) -> dict[str, str]:
    command, yaml = settings.remake(context.experiments)
    remark = ""
    if not settings.counted_up(context.experiments):
        remark = "This makes the first member; the others differ from it as the table of members shows."
    return {"command": command, "yaml": yaml, "remark": remark}
