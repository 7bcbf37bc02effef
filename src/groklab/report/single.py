"""The page of one run: a single model or an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groklab import grokking
from groklab.analysis.analysing import analyse_model
from groklab.analysis.circuits import PHASES_RULE, CircuitAnalysis
from groklab.analysis.facts import Facts, Weights, gather, whole_checkpoints
from groklab.analysis.features import FeatureAnalysis, analyse_features, has_features
from groklab.analysis.model import ModelAnalysis, NotApplicable
from groklab.device import threads
from groklab.grokking import learning_phases
from groklab.report import settings, story
from groklab.report.circuit_parts import PARTS as PARTS_OF_LOGITS
from groklab.report.circuit_parts import parts_of_logits
from groklab.report.circuit_pictures import PARTS, ablation_tables, phase_pictures, readout_pictures
from groklab.report.feature_pictures import feature_pictures, steps_shown
from groklab.report.operation_pictures import FURUTA, operation_pictures
from groklab.report.page import Page, Table
from groklab.report.pictures import Picture, curve_pictures, embedding_pictures, loss_name, survival_pictures
from groklab.store.run import Run
from groklab.text import duration, loss_of, percent, step_of, times

#: Members of an ensemble whose hashes are written out; the files of the run hold all.
MEMBERS = 12
DEFINITIONS = (
    PHASES_RULE,
    "Key frequencies are those of the final model, and are applied to all checkpoints. Restricted loss: of the logits "
    "with nothing but cos and sin of w_k s at the key frequencies, and their means over inputs. Excluded loss: of the "
    "logits without these. Both are cross-entropies in nats, in double precision.",
)
FEATURES = (
    "Feature matrix: M of a kernel machine; of a network the square root of its AGOP, the mean of J'J over training "
    "inputs with J its outputs' gradient in the one-hot pair (a, b). Its blocks are p × p, the bottom-left one "
    "that of b by a.",
    "Circulant deviation: the share of a block's squares that its means over wrapped diagonals (Toeplitz) or "
    "anti-diagonals (Hankel) leave; in log order without 0, residues in the order of powers of the smallest generator. "
    "Alignment: the cosine of two matrices as vectors, here with the final one.",
)
PHASE = (
    f"Phases (Liu et al. 2022), with a threshold of {learning_phases.THRESHOLD:.0%} and a gap of "
    f"{learning_phases.GAP:,} steps. {learning_phases.RULE[0].upper()}{learning_phases.RULE[1:]}. They rest on other "
    "accuracies than the definitions above, so a run that has grokked can be of the phase comprehension."
)
SUMMED = (
    "The training and test loss of this mixture are the sum of the mean losses of its {n} operations, not their mean "
    "(task.losses=mean takes that), so even guesses have {n} times the loss that they have of one operation."
)
MACHINE = (
    "Step s is the kernel machine whose M has gone through s iterations; step 0 is the plain kernel machine with its "
    "first M, mostly the identity."
)


def run_page(run: Run) -> Page:
    """Everything on the page of a run."""
    facts = gather(run)
    pictures = [*survival_pictures(facts), *curve_pictures(facts)]
    kept, why = whole_checkpoints(facts)
    model = _analysis(facts, kept)
    parts = parts_of_logits(model)
    computes, measured, of_circuit = model.sentences(), parts.tables, list(parts.pictures)
    of_operations: list[Picture] = []
    if facts.experiment.network is not None:
        few = model.named if isinstance(model, CircuitAnalysis) else ()
        spectrum, planes = embedding_pictures(facts, kept, why, few)
        of_circuit += [*spectrum, *planes]
        of_operations = operation_pictures(facts, kept, model)
    if isinstance(model, CircuitAnalysis):
        of_circuit = [*phase_pictures(model, loss_name(facts)), *spectrum, *readout_pictures(facts, model, kept)]
        of_circuit += [*planes, *(p for part in PARTS for p in part(model)), *parts.pictures]
        measured = [*measured, *ablation_tables(model)]
    features = model if facts.kernel_machine else _features(facts, kept)
    if facts.several and (len(computes) > 1 or of_operations):
        computes = [_of_first(facts), *computes]
    whose = f"Member 0 (seed {facts.experiment.seed}): " if facts.several else ""
    drawn: list[Picture] = []
    if isinstance(features, FeatureAnalysis):
        # small matrices: threads would only wait for each other
        with threads(1):
            drawn = feature_pictures(features, steps_shown(facts, features), loss_name(facts), whose)
    rows = settings.short_table(facts)
    tables = [*measured, Table("Settings", ("setting", "value"), rows, full=facts.experiment.to_yaml())]
    if facts.several:
        tables.insert(0, member_table(facts))
    return Page(
        title=run.name,
        kind="Ensemble" if facts.several else "Run",
        tags=facts.tags,
        summary=story.summary(facts),
        tiles=_tiles(facts),
        problems=facts.problems,
        pictures=[*pictures, *of_operations, *of_circuit],
        tables=tables,
        provenance=_provenance(facts),
        remake=_remake(facts),
        notes=[
            *notes(facts),
            *(DEFINITIONS if isinstance(model, CircuitAnalysis) else []),
            *(PARTS_OF_LOGITS if parts.tables else []),
            *(FEATURES if drawn else []),
            *(FURUTA if any(p.key == "sparsity" for p in of_operations) else []),
        ],
        computes=computes,
        features=features.sentences() if features is not None and features is not model else [],
        feature_pictures=drawn,
    )


def _of_first(facts: Facts) -> str:
    return f"This, and the figures below that look into a model, is of member 0 (seed {facts.experiment.seed})."


def _analysis(facts: Facts, kept: Mapping[int, Weights]) -> ModelAnalysis:
    if facts.task is None:
        return NotApplicable("The task cannot be built again, so nothing can be measured of what the model computes.")
    return analyse_model(facts.task, facts.experiment, kept, facts.evaluations())


def _features(facts: Facts, kept: Mapping[int, Weights]) -> FeatureAnalysis | NotApplicable | None:
    """Return the analysis of a network's features; None where there is none to look for."""
    if facts.task is None or not has_features(facts.experiment, facts.task):
        return None
    with threads(1):
        return analyse_features(facts.task, facts.experiment, kept, facts.evaluations())


def member_table(facts: Facts) -> Table:
    """What each member reached, with the settings in which they differ."""
    different = {k: v for k, v in settings.differing(facts.experiments).items() if k != "seed"}
    head = (
        "member",
        "seed",
        *different,
        "phase",
        "memorised",
        "grokked",
        "times as late",
        "test accuracy",
        f"test loss, sum of {facts.summed}" if facts.summed else "test loss",
    )
    phases = [str(p.phase) for p in facts.phases] or ["–"] * len(facts.members)
    rows = []
    for i, m in enumerate(facts.members):
        memorised, grokked = m.get("memorised_step"), m.get("grokked_step")
        censored = f"not by {facts.step:,}"
        rows.append(
            (
                str(i),
                str(facts.experiments[i].seed),
                *(values[i] for values in different.values()),
                phases[i],
                censored if memorised is None else step_of(memorised),
                censored if grokked is None else step_of(grokked),
                times(grokked / memorised) if grokked and memorised else "–",
                percent(m.get("test_accuracy")),
                loss_of(m.get("test_loss")),
            )
        )
    return Table("Members", head, rows)


def notes(facts: Facts) -> list[str]:
    """How the words of the page are defined."""
    criterion = facts.experiment.evaluation.criterion
    steps = "Step s is the state after s updates."
    embedding = (
        " A frequency carries the embedding if it has at least 5% of its power; it stands out if it has twice an even "
        "share besides."
    )
    if facts.kernel_machine:
        steps, embedding = MACHINE, ""
    return [
        f"Memorised, by training accuracy: {story.CRITERIA['sustained_99']}.",
        f"Generalised, or grokked, by test accuracy: {story.CRITERIA[criterion]} "
        f"(definition {grokking.DEFINITION}, criterion {criterion}).",
        PHASE,
        *([SUMMED.format(n=facts.summed)] if facts.summed else []),
        steps + embedding,
    ]


def _tiles(facts: Facts) -> list[tuple[str, str, str]]:
    """The few numbers one looks for first: label, value, remark."""
    if not facts.members:
        return []
    if facts.several:
        tiles = []
        for label, event in (("Memorised", "memorised"), ("Grokked", "grokked")):
            found = facts.estimate(event)
            assert found is not None
            median = f"median step {found.median:,.0f}" if found.median is not None else "median not reached"
            tiles.append((label, f"{found.n_grokked} of {found.n}", median))
        seen = sorted(m["test_accuracy"] for m in facts.members if m.get("test_accuracy") is not None)
        if seen:
            tiles.append(("Worst test accuracy", percent(seen[0]), f"best {percent(seen[-1])}"))
        return [*tiles, ("Steps", f"{facts.step:,}", str(facts.status["status"]))]
    m = facts.members[0]
    memorised, grokked = m.get("memorised_step"), m.get("grokked_step")
    censored = f"censored at {facts.step:,}" if not facts.running else "so far"
    delay = ("–", "not defined")
    if grokked is not None and memorised:
        delay = f"{times(grokked / memorised)} ×", f"{grokked - memorised:,} steps"
    elif grokked is not None and memorised == 0:
        delay = f"{grokked:,}", "steps: memorised at once"
    return [
        (
            "Memorised",
            "not yet" if memorised is None else f"{memorised:,}",
            "step" if memorised is not None else censored,
        ),
        ("Grokked", "not yet" if grokked is None else f"{grokked:,}", "step" if grokked is not None else censored),
        ("Delay", *delay),
        ("Test accuracy", percent(m.get("test_accuracy")), f"at step {facts.step:,}, {facts.status['status']}"),
        *(("Phase", p.phase, censored if p.censored else "") for p in facts.phases),
    ]


def _provenance(facts: Facts) -> list[tuple[str, str]]:
    env = facts.environment
    versions = ", ".join(f"{k} {env[k]}" for k in ("jax", "jaxlib", "optax", "numpy", "python") if k in env)
    hashes = [str(m.get("weights_sha256")) for m in facts.members]

    def each(values: list[str]) -> str:
        if len(values) == 1:
            return values[0]
        shown = [f"{i}: {v}" for i, v in enumerate(values[:MEMBERS])]
        return "\n".join([*shown, f"and {len(values) - MEMBERS} more"] if len(values) > MEMBERS else shown)

    return [
        ("groklab", str(env.get("groklab", "unknown"))),
        ("other versions", versions or "unknown"),
        ("device", str(env.get("device", "unknown"))),
        ("machine", str(env.get("platform", "unknown"))),
        ("last written", facts.changed.strftime("%Y-%m-%d %H:%M UTC")),
        ("time training", duration(float(facts.status["seconds"]))),
        ("seed", settings.seeds_of(facts.experiments)),
        ("identity", each(facts.run.identities)),
        ("weights SHA-256", each(hashes) if hashes else "none yet"),
    ]


def _remake(facts: Facts) -> dict[str, Any]:
    command, yaml = settings.remake(facts.experiments)
    remark = ""
    if not settings.counted_up(facts.experiments):
        remark = "This makes the first member; the others differ from it as the table of members shows."
    return {"command": command, "yaml": yaml, "remark": remark}
