"""What a run's model computes, in sentences whose every number is measured on this run."""

from __future__ import annotations

import numpy as np

from groklab.analysis.circuits import MANY, CircuitAnalysis
from groklab.measures.fourier import rows_of
from groklab.measures.neurons import WELL_EXPLAINED
from groklab.measures.training_stages import FEWEST
from groklab.text import listed, loss_of, percent, times

#: A gap in the singular values: the last before it is at least this many times the next.
GAP = 3.0
RULES = {
    "neuron_logit_map": "components of W_L, the map from neurons to logits, above a quarter of the largest",
    "logits": "components of the logits above a twentieth of the largest",
    "furuta": "components of W_L above half of the largest",
    "furuta_union": "components of W_L or W_E above half of the largest",
}


def computes(c: CircuitAnalysis) -> list[str]:
    """A few sentences: the verdict, how frequencies were chosen, neurons, attention, restricted and excluded loss."""
    told = [c.verdict(), _rule(c)]
    if "neurons" in c.parts:
        told.append(neurons_sentence(c))
    if "attention" in c.parts:
        told.append(heads_sentence(c))
    return [*told, _losses(c)]


def _rule(c: CircuitAnalysis) -> str:
    rule = RULES.get(c.rule, c.rule)
    if not c.few:
        return f"Its key frequencies are {rule}: nearly the complete spectrum, so what is written of them says little."
    return f"Its key frequencies, of 1 to {c.p // 2}, are {rule}."


def _frequencies(c: CircuitAnalysis) -> str:
    if len(c.key_frequencies) == 1:
        return f"the key frequency {c.key_frequencies[0]}"
    if len(c.key_frequencies) > MANY:
        return f"{len(c.key_frequencies)} key frequencies"
    return f"the key frequencies {listed(c.key_frequencies)}"


def _losses(c: CircuitAnalysis) -> str:
    own, restricted, excluded = c.last("loss"), c.last("restricted_loss"), c.last("excluded_loss")
    return (
        f"With those frequencies of {c.sum} alone in the logits the loss on all pairs is {loss_of(restricted)} "
        f"(restricted; its own {loss_of(own)}); with all else but them the training loss is {loss_of(excluded)} "
        f"(excluded; its own {loss_of(c.last('train_loss'))}, even guesses {loss_of(c.uniform)})."
    )


def phases_sentence(c: CircuitAnalysis) -> str:
    """Where the phases end, and when the restricted loss began to fall."""
    ends = vars(c.phases)
    named = [(name.replace("_", " "), step) for name, step in ends.items() if step is not None]
    if len(c.steps) < FEWEST:
        kept = "one checkpoint" if len(c.steps) == 1 else f"{len(c.steps)} checkpoints"
        return f"Where phases end needs {FEWEST} checkpoints, and {kept} can be looked at."
    if not named:
        return (
            f"No phase had ended by step {c.steps[-1]:,}: excluded loss had not risen and test accuracy not passed 50%."
        )
    told = [f"{name} ends at step {step:,}" for name, step in named]
    before = _early(c)
    more = f"; {before}" if before else ""
    missing = [name.replace("_", " ") for name, step in ends.items() if step is None]
    if missing:
        more += f"; the end of {missing[0]} was not reached by step {c.steps[-1]:,}"
    if not c.few:
        more += "; with so many key frequencies this says little"
    return f"By the rule in the definitions, {listed(told)}{more}."


def _early(c: CircuitAnalysis) -> str:
    """That the restricted loss fell before the test loss, where it did."""
    bar = 0.5 * c.uniform
    low = np.flatnonzero(c.trajectory["restricted_loss"] < bar)
    if not len(low) or not c.few:
        return ""
    at = int(low[0])
    accuracy = float(c.trajectory["test_accuracy"][at])
    return (
        f"restricted loss is below half of an even guess's from step {c.steps[at]:,} on, where test accuracy was "
        f"{percent(accuracy)}"
        if (c.trajectory["restricted_loss"][at:] < bar).all()
        else ""
    )


def coefficients_sentence(c: CircuitAnalysis) -> str:
    """The final coefficients of the key frequencies, and the largest of the others."""
    alpha = c.trajectory["alpha"][-1]
    rest = np.delete(np.abs(alpha), [k - 1 for k in c.named])
    if not c.named:
        k = int(np.argmax(np.abs(alpha))) + 1
        return f"No few frequencies stand out; the largest coefficient is {alpha[k - 1]:.3g}, of k = {k}."
    if len(c.named) > MANY:
        spread = np.abs(alpha[[k - 1 for k in c.named]])
        told = f"{spread.min():.3g} to {spread.max():.3g} in size for the {len(c.named)} key frequencies"
    else:
        told = listed([f"{alpha[k - 1]:.2f} for k = {k}" for k in c.named])
    more = f", and at most {rest.max():.2g} in size for any other" if len(rest) else ""
    return f"At step {c.steps[-1]:,} the coefficients are {told}{more}."


def readout_sentence(c: CircuitAnalysis, share: float) -> str:
    """What share of W_L's power the key frequencies hold."""
    gini = [c.trajectory["gini_W_L"][i] for i in (0, -1)] if "gini_W_L" in c.trajectory else None
    moved = "went from {:.2f} to {:.2f}" if len(c.steps) > 1 else "is {:.2f}"
    more = f"; the Gini coefficient of its components {moved.format(*gini)}" if gini else ""
    if not c.few:
        n = len(c.key_frequencies)
        return f"No few frequencies stand out in W_L at step {c.steps[-1]:,}: {n} of {c.p // 2} do{more}."
    return f"At step {c.steps[-1]:,} {_frequencies(c)} hold{_s(c)} {percent(share)} of the power of W_L{more}."


def _s(c: CircuitAnalysis) -> str:
    return "s" if len(c.key_frequencies) == 1 else ""


def neurons_sentence(c: CircuitAnalysis) -> str:
    """How many neurons one frequency explains, and how they share the frequencies."""
    found = c.parts["neurons"]
    n, well, dead = len(found["fve"]), found["well_explained_neurons"], found["dead_neurons"]
    clusters = np.asarray(found["clustered_by_frequency"])
    counts = [(int(clusters[k - 1]), k) for k in c.named[:MANY]]
    named = f", {listed([f'{m} by k = {k}' for m, k in counts])}" if well and 0 < len(c.named) <= MANY else ""
    gone = f"; {dead} never var{'y' if dead > 1 else 'ies'}" if dead else ""
    count = f"{well} of {n} neurons {'is' if well == 1 else 'are'}" if well else f"None of the {n} neurons is"
    each = "one frequency each" if well > 1 else "one frequency"
    return f"{count} explained to {WELL_EXPLAINED:.0%} or more by {each}{named}{gone}."


def examples_sentence(c: CircuitAnalysis, n: int, chosen: bool) -> str:
    """What the heat maps of neurons show."""
    if n == 1:
        return "The activation of the neuron that one frequency explains best."
    if chosen:
        return "For each frequency named, the activation of the neuron that it explains best, each on its own scale."
    return f"The activations of the {n} neurons that one frequency explains best, each on its own scale."


def components_sentence(c: CircuitAnalysis, part: str) -> str:
    """How much of the power besides the constant lies in the key frequencies' blocks, and what is largest."""
    found = c.parts[part]
    power = np.asarray(found["norm"]) ** 2
    power[0, 0] = 0
    total = float(power.sum())
    names = [n for n in found["largest"] if n != "const · const"]
    whose = "logits" if part == "logits_2d" else "neurons"
    if total <= 0 or not names:
        return f"The {whose} do not vary with a and b."
    largest = f"the largest single component is {names[0]} (of a · of b)"
    if not c.few:
        return f"No few frequencies stand out; {largest}."
    blocks = [np.ix_(rows_of([k], c.p), rows_of([k], c.p)) for k in c.key_frequencies]
    share = sum(float(power[block].sum()) for block in blocks) / total
    return (
        f"{percent(share)} of the power of the {whose}, without their means, lies in the products of cos and sin of a "
        f"with those of b at the same key frequency; {largest}."
    )


def attention_sentence(c: CircuitAnalysis, own: str) -> str:
    """How much attention stays at the last position, and the frequencies of the scores."""
    found = c.parts["attention"]
    pattern, share, best = (np.asarray(found[k]) for k in ("mean_pattern", "score_share", "score_frequency"))
    at_end = [percent(float(v)) for v in dict.fromkeys((pattern[:, -1].min(), pattern[:, -1].max()))]
    told = [f"k = {k} ({percent(float(share[h].max()), 0)})" if k else "none" for h, k in enumerate(best)]
    heads = "The one head keeps" if len(best) == 1 else f"The {len(best)} heads keep"
    return (
        f"{heads} {' to '.join(dict.fromkeys(at_end))} of attention on {own}, on average; the score for a, as a "
        f"function of a, is strongest at {listed(told)}: in brackets the share of its power."
    )


def heads_sentence(c: CircuitAnalysis) -> str:
    """Each head's frequency, and what of its attention to a that explains."""
    found = c.parts["attention"]
    frequency, fve = (np.asarray(found[k]) for k in ("pattern_frequency", "pattern_fve"))
    told = [f"{k} ({percent(float(v), 0)})" if k else "none" for k, v in zip(frequency, fve, strict=True)]
    if len(told) == 1:
        explained = f"{percent(float(fve[0]))} of its variance lies in the frequency {frequency[0]}"
        return f"The one head's attention to a {'varies: ' + explained if frequency[0] else 'does not vary'}."
    return (
        f"Heads 0 to {len(told) - 1} attend to a by the frequencies {listed(told)}: in brackets the share of the "
        "variance of their attention that one frequency explains."
    )


def directions_sentence(c: CircuitAnalysis) -> str:
    """Whether W_L has a gap after 2|K| singular values, and how well the neurons write there."""
    found = c.parts["directions"]
    rank = len(rows_of(c.key_frequencies, c.p))
    values = np.asarray(found["singular_values"])
    fve = np.concatenate([np.asarray(found["cos_fve"]), np.asarray(found["sin_fve"])])
    fve = fve[np.isfinite(fve)]
    low, high = (percent(float(v)) for v in (fve.min(initial=1), fve.max(initial=0)))
    written = f"{low} to {high}" if low != high else low
    if not c.few or not 0 < rank < len(values):
        return (
            f"With {len(c.key_frequencies)} of {c.p // 2} frequencies as key ones there are no few directions to look "
            f"for; of what the neurons write on theirs {written} of the variance is cos or sin of wₖ({c.sum})."
        )
    ratio = values[rank - 1] / values[rank] if values[rank] > 0 else np.inf
    gap = f"{times(float(ratio))} times" if np.isfinite(ratio) and ratio < 1e6 else "over a million times"
    is_gap = (
        f"The first {rank} singular values of W_L, two a key frequency, end in a gap: the last is {gap} the next"
        if ratio >= GAP
        else f"W_L has no gap after {rank} singular values, two a key frequency: the last is {gap} the next"
    )
    return (
        f"{is_gap}; without those frequencies {percent(found['residual_ratio'])} of its norm is left, and of what the "
        f"neurons write there {written} of the variance is cos or sin of wₖ({c.sum})."
    )


def ablations_sentence(c: CircuitAnalysis) -> str:
    """How many interventions harm, beside the model's own loss."""
    found = c.parts["ablations"]
    names, loss = list(found["names"]), np.asarray(found["loss"])
    own = float(loss[names.index("base")])
    if own >= c.uniform:
        return (
            f"The model's own loss on all pairs, {loss_of(own)}, is above that of even guesses, {loss_of(c.uniform)}, "
            "so what the interventions change says little of how it would generalise."
        )
    rest = np.array([v for n, v in zip(names, loss, strict=True) if n != "base"])
    harmless, ruinous = int((rest <= 1.1 * own).sum()), int((rest >= c.uniform).sum())
    keys = float(loss[names.index("logits_without_keys")])
    return (
        f"Of {len(rest)} interventions {harmless} leave{'s' if harmless == 1 else ''} the loss of {loss_of(own)} no "
        f"more than a tenth higher and {ruinous} make{'s' if ruinous == 1 else ''} it worse than even guesses "
        f"({loss_of(c.uniform)}); without the key frequencies it is {loss_of(keys)}."
    )


def frequencies_sentence(c: CircuitAnalysis) -> str:
    """What taking out a key frequency costs beside any other."""
    loss = np.asarray(c.parts["ablations"]["loss_without_frequency"])
    own = c.last("loss")
    if not c.named:
        k = int(np.argmax(loss)) + 1
        return f"The loss on all pairs is {loss_of(own)}; without k = {k} it is highest, {loss_of(loss[k - 1])}."
    keys = loss[[k - 1 for k in c.named]]
    rest = np.delete(loss, [k - 1 for k in c.named])
    each = f"to between {loss_of(keys.min())} and {loss_of(keys.max())}" if len(keys) > 1 else f"to {loss_of(keys[0])}"
    other = f", any other frequency to at most {loss_of(rest.max())}" if len(rest) else ""
    return f"Taking one key frequency out of the logits brings the loss from {loss_of(own)} {each}{other}."
