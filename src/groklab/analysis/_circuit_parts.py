"""The parts of what a network computes modulo p (Nanda et al. 2023): what was measured of each, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import Weights
from groklab.analysis._key_frequencies import MANY, OperationAnalysis, few_stand_out
from groklab.errors import InputError
from groklab.measures import (
    WELL_EXPLAINED,
    Ablations,
    Attention,
    Directions,
    Grid,
    Neurons,
    Result,
    Spectrum2D,
    component_norms,
    embedding_matrix,
    frequency_shares,
    operand_positions,
    residue_map,
    rows_of,
)
from groklab.tasks import Task
from groklab.text import first_of, listed, loss_of, percent, times

#: A gap in the singular values: the last before it is at least this many times the next.
GAP = 3.0
#: An intervention does no harm up to this many times the model's own loss.
HARMLESS = 1.1
#: The type of a measure's result.
R = TypeVar("R", bound=Result)
CONSTANT = "const · const"
#: Interventions that a sentence names.
NAMED = {
    "polynomials_all": "every neuron replaced by its polynomial of one frequency",
    "key_sums_all": "every neuron reduced to cos and sin of wₖ(SUM) at the key frequencies",
    "complement": "the directions of W_L taken out of the neurons",
    "attention_output_zero": "attention's output set to 0",
    "skip_around_mlp_zero": "the path around the MLP set to 0",
}


@dataclass(frozen=True, kw_only=True, repr=False)
class CircuitParts(OperationAnalysis):
    """A network's final model and how it formed, measured by Fourier components, part by part.

    Args:
        task: what the network was trained on.
        network: its settings.
        grid: the task's pairs (a, b) and the sum or difference of which the answer is a function.
        key_frequencies: of the final model, by `rule`.
        rule: a key of `RULES`.
        weights: the final model's.
        metrics: the member's evaluations, with the columns step, train_loss, test_loss, test_accuracy and weight_norm.
        parts: results of other measures of the final model, by name.
        left_out: the reason of each measure that is missing among them, by name.
    """

    task: Task
    network: Any
    grid: Grid
    key_frequencies: tuple[int, ...]
    rule: str
    weights: Weights
    metrics: pl.DataFrame
    parts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]

    def part(self, name: str, kind: type[R]) -> R:
        """Return a measure's result among `parts`, of its own type.

        Raises:
            InputError: with the reason where it was left out.
        """
        if name not in self.parts:
            raise InputError(self.left_out[name])
        result = self.parts[name]
        assert isinstance(result, kind)
        return result

    @property
    def p(self) -> int:
        """The modulus."""
        return self.grid.p

    @property
    def few(self) -> bool:
        """Whether few frequencies stand out, to be named and coloured."""
        return few_stand_out(self.key_frequencies, self.p)

    @property
    def named(self) -> tuple[int, ...]:
        """The key frequencies where they are few, to be coloured."""
        return self.key_frequencies if self.few else ()

    def _stages_note(self) -> str:
        """Return that the restricted loss fell before the test loss, where it did."""
        if not self.few:
            return "; with so many key frequencies this means little"
        restricted, bar = self.trajectory["restricted_loss"], 0.5 * self.uniform
        low = np.flatnonzero(restricted < bar)
        if not len(low) or not (restricted[low[0] :] < bar).all():
            return ""
        accuracy = float(self.trajectory["test_accuracy"][low[0]])
        return (
            f"; restricted loss is below half that of uniform guessing from step {self.steps[int(low[0])]:,} on, when "
            f"test accuracy was {percent(accuracy)}"
        )

    def coefficients_sentence(self) -> str:
        """Return the final coefficients of the key frequencies, and the largest of the others."""
        alpha = self.trajectory["alpha"][-1]
        rest = np.delete(np.abs(alpha), [k - 1 for k in self.named])
        if not self.named:
            k = int(np.argmax(np.abs(alpha))) + 1
            return f"No small set of frequencies stands out; the largest coefficient is {alpha[k - 1]:.3g}, of k = {k}."
        if len(self.named) > MANY:
            spread = np.abs(alpha[[k - 1 for k in self.named]])
            values = f"{spread.min():.3g} to {spread.max():.3g} in size for the {len(self.named)} key frequencies"
        else:
            values = listed([f"{alpha[k - 1]:.2f} for k = {k}" for k in self.named])
        more = f", and at most {rest.max():.2g} in size for any other" if len(rest) else ""
        return f"At step {self.steps[-1]:,} the coefficients are {values}{more}."

    def embedding_sentence(self) -> str:
        """Return what share of the embedding's power the key frequencies hold, its constant left out."""
        try:
            shares = frequency_shares(embedding_matrix(self.weights, self.task))
        except InputError as error:
            return f"{error}."
        if np.isnan(shares).any():
            return f"The embedding is the same for all residues{self._gini('gini_W_E')}."
        share = {k: float(shares[k - 1]) for k in self.key_frequencies}
        each = [f"{k} ({percent(v, 0)})" for k, v in sorted(share.items(), key=lambda item: -item[1])]
        return (
            f"Key frequencies hold {percent(sum(share.values()), 0)} of the power of the embedding "
            f"besides its constant: {first_of(each, MANY)}{self._gini('gini_W_E')}."
        )

    def readout_sentence(self) -> str:
        """Return what share of W_L's power the key frequencies hold; nothing where W_L has no row for each residue."""
        try:
            power = component_norms(residue_map(self.weights, self.task))[1:] ** 2
        except InputError:
            return ""
        keys, step = self.key_frequencies, self.steps[-1]
        gini = self._gini("gini_W_L")
        if not self.few:
            count = f"{len(keys)} of {self.p // 2} pass the rule"
            return f"No small set of frequencies stands out in W_L at step {step:,}: {count}{gini}."
        share = float(power[[i - 1 for i in rows_of(keys, self.p)]].sum() / max(power.sum(), 1e-300))
        which = f"the key frequencies {listed(keys)} hold"
        if len(keys) == 1:
            which = f"the key frequency {keys[0]} holds"
        elif len(keys) > MANY:
            which = f"{len(keys)} key frequencies hold"
        return f"At step {step:,} {which} {percent(share)} of the power of W_L besides its constant{gini}."

    def _gini(self, name: str) -> str:
        """Return a clause on the Gini coefficient of a matrix's Fourier components."""
        if name not in self.trajectory:
            return ""
        values = self.trajectory[name]
        if np.isnan(values[-1]):
            return ""
        change = len(values) > 1 and np.isfinite(values[0])
        moved = f"went from {values[0]:.2f} to {values[-1]:.2f}" if change else f"is {values[-1]:.2f}"
        return f"; the Gini coefficient of its components {moved}"

    def neurons_sentence(self) -> str:
        """Return how many neurons one frequency explains, and how they share the frequencies."""
        neurons = self.part("neurons", Neurons)
        n, well, dead = len(neurons.fve), neurons.well_explained_neurons, neurons.dead_neurons
        clusters = neurons.clustered_by_frequency
        counts = [(int(clusters[k - 1]), k) for k in self.named[:MANY]]
        named = f", {listed([f'{m} by k = {k}' for m, k in counts])}" if well and 0 < len(self.named) <= MANY else ""
        gone = f"; {dead} never var{'y' if dead > 1 else 'ies'}" if dead else ""
        count = f"{well} of {n} neurons {'is' if well == 1 else 'are'}" if well else f"None of the {n} neurons is"
        each = "one frequency each" if well > 1 else "one frequency"
        return f"{count} explained to {WELL_EXPLAINED:.0%} or more by {each}{named}{gone}."

    def other_clusters_sentence(self) -> str:
        """Return which frequencies explain neurons without being key; nothing where there is none."""
        clusters = self.part("neurons", Neurons).clustered_by_frequency
        order = [int(i) + 1 for i in np.argsort(-clusters, kind="stable") if clusters[i]]
        other = [f"{k} ({clusters[k - 1]})" for k in order if k not in self.key_frequencies]
        if not other:
            return ""
        return f"Frequencies that explain neurons and are not key, with the number of neurons: {first_of(other, MANY)}."

    def components_sentence(self, part: str) -> str:
        """Return how much of the power besides the constant is in the key frequencies' blocks, and what is largest."""
        components = self.part(part, Spectrum2D)
        power = components.norm**2
        power[0, 0] = 0
        total = float(power.sum())
        names = [n for n in components.largest if n != CONSTANT]
        whose = "logits" if part == "logits_2d" else "neurons"
        if total <= 0 or not names:
            return f"The {whose} do not vary with a and b."
        largest = f"the largest single component is {names[0]} (of a · of b)"
        if not self.few:
            return f"No small set of frequencies stands out; {largest}."
        blocks = [np.ix_(rows_of([k], self.p), rows_of([k], self.p)) for k in self.key_frequencies]
        share = sum(float(power[block].sum()) for block in blocks) / total
        return (
            f"{percent(share)} of the power of the {whose}, without their means, is in the products of cos and sin of "
            f"a with those of b at the same key frequency; {largest}."
        )

    def attention_sentence(self) -> str:
        """Return how much attention stays at the last position, and the frequencies of the scores."""
        attention = self.part("attention", Attention)
        pattern, share, best = attention.mean_pattern, attention.score_share, attention.score_frequency
        # the token p stands for '=' in every layout
        own = "the last position itself" + (", ‘=’" if self.task.shape.constants[-1] == self.p else "")
        at_end = [percent(float(v)) for v in dict.fromkeys((pattern[:, -1].min(), pattern[:, -1].max()))]
        scores = [f"k = {k} ({percent(float(share[h].max()), 0)})" if k else "none" for h, k in enumerate(best)]
        heads = "The one head keeps" if len(best) == 1 else f"The {len(best)} heads keep"
        return (
            f"{heads} {' to '.join(dict.fromkeys(at_end))} of attention on {own}, on average; the score for a, as a "
            f"function of a, is strongest at {listed(scores)}; in brackets is its share of the power."
        )

    def heads_sentence(self) -> str:
        """Return each head's frequency, and how much of its attention to a that explains."""
        attention = self.part("attention", Attention)
        frequency, fve = attention.pattern_frequency, attention.pattern_fve
        heads = [f"{k} ({percent(float(v), 0)})" if k else "none" for k, v in zip(frequency, fve, strict=True)]
        if len(heads) == 1:
            explained = f"{percent(float(fve[0]))} of its variance is at the frequency {frequency[0]}"
            constant = "is the same for all inputs, and has no variance to explain"
            return f"The one head's attention to a {'varies: ' + explained if frequency[0] else constant}."
        if not frequency.any():
            return f"Heads 0 to {len(heads) - 1} attend to a alike for all inputs, which leaves no variance to explain."
        same = "" if frequency.all() else "; where there is none, attention is constant, with no variance to explain"
        return (
            f"Heads 0 to {len(heads) - 1} attend to a by the frequencies {listed(heads)}; in brackets is the share of "
            f"the variance of their attention that one frequency explains{same}."
        )

    def linear_sentence(self) -> str:
        """Return how well a linear form of the operands' waves fits each head; nothing where no attention varies."""
        attention = self.part("attention", Attention)
        linear = attention.linear_fve
        shares = [percent(float(v), 0) if v >= 0 else "none" for v in linear if np.isfinite(v)]
        if not shares:
            return ""
        # the form rests on ½, so that a head that rests elsewhere is further from it than from its own mean
        off = [
            f"{percent(float(mean))} ± {percent(float(std), 2)}"
            for v, mean, std in zip(linear, self._attention_to_a(attention), attention.pattern_std, strict=True)
            if v < 0
        ]
        rests = f"; none where attention rests away from ½ and varies little ({listed(off)})" if off else ""
        constant = f", of {len(shares)} of {len(linear)} heads; that of the others is constant"
        return (
            f"½ + α(cos wₖa − cos wₖb) + β(sin wₖa − sin wₖb) explains {listed(shares)} of the variance of the "
            f"attention to a, head by head{constant if len(shares) < len(linear) else ''}{rests}."
        )

    def _attention_to_a(self, attention: Attention) -> np.ndarray:
        """Return each head's mean attention to the first operand."""
        return np.asarray(attention.mean_pattern[:, operand_positions(self.task)[0]])

    def directions_sentence(self) -> str:
        """Return whether W_L has a gap after 2|K| singular values, and how well the neurons write there."""
        directions = self.part("directions", Directions)
        rank = len(rows_of(self.key_frequencies, self.p))
        values, fve = directions.singular_values, np.concatenate([directions.cos_fve, directions.sin_fve])
        fve = fve[np.isfinite(fve)]
        if not len(fve):
            return "What the neurons write along the directions of W_L is the same for all inputs."
        low, high = (percent(float(v)) for v in (fve.min(), fve.max()))
        written = f"{low} to {high}" if low != high else low
        if not self.few or not 0 < rank < len(values):
            return (
                f"With {len(self.key_frequencies)} of {self.p // 2} frequencies as key ones there is no small set of "
                f"directions to look for; cos or sin of wₖ({self.sum}) explains {written} of the variance of what the "
                f"neurons write along theirs."
            )
        ratio = values[rank - 1] / values[rank] if values[rank] > 0 else np.inf
        gap = f"{times(float(ratio))} times" if np.isfinite(ratio) and ratio < 1e6 else "over a million times"
        is_gap = (
            f"The first {rank} singular values of W_L, two per key frequency, end in a gap: the last is {gap} the next"
            if ratio >= GAP
            else f"W_L has no gap after {rank} singular values, two per key frequency: the last is {gap} the next"
        )
        return (
            f"{is_gap}; without those frequencies {percent(directions.residual_ratio)} of its norm is left, the "
            f"constant row, to which softmax is blind, left out of both "
            f"({percent(directions.residual_ratio_with_constant)} with it in both). Along "
            f"these directions cos or sin of wₖ({self.sum}) explains {written} of the variance of the neurons' output."
        )

    def ablations_sentence(self) -> str:
        """Return how many interventions harm, beside the model's own loss."""
        ablations = self.part("ablations", Ablations)
        names, loss = ablations.names, ablations.loss
        own = float(loss[names.index("base")])
        if own >= self.uniform:
            return (
                f"The model's own loss on all pairs, {loss_of(own)}, is above that of uniform guessing, "
                f"{loss_of(self.uniform)}, so the interventions say little about how it would generalise."
            )
        rest = np.array([v for n, v in zip(names, loss, strict=True) if n != "base"])
        harmless, ruinous = int((rest <= HARMLESS * own).sum()), int((rest >= self.uniform).sum())
        keys = float(loss[names.index("logits_without_keys")])
        return (
            f"Of {len(rest)} interventions, {harmless} leave{'s' if harmless == 1 else ''} the loss of {loss_of(own)} "
            f"at most 10% higher and {ruinous} make{'s' if ruinous == 1 else ''} it worse than uniform guessing "
            f"({loss_of(self.uniform)}); without the key frequencies it is {loss_of(keys)}."
        )

    def interventions_sentence(self) -> str:
        """Return the loss after a few interventions."""
        ablations = self.part("ablations", Ablations)
        loss = dict(zip(ablations.names, ablations.loss, strict=True))
        each = [f"{loss_of(loss[k])} with {words.replace('SUM', self.sum)}" for k, words in NAMED.items() if k in loss]
        return f"The loss on all pairs is {loss_of(loss['base'])} with nothing changed, {listed(each)}." if each else ""

    def frequencies_sentence(self) -> str:
        """Return what taking out a key frequency costs beside any other."""
        loss = self.part("ablations", Ablations).loss_without_frequency
        own = self.last("loss")
        if not self.named:
            k = int(np.argmax(loss)) + 1
            return f"The loss on all pairs is {loss_of(own)}; without k = {k} it is highest, {loss_of(loss[k - 1])}."
        keys = loss[[k - 1 for k in self.named]]
        rest = np.delete(loss, [k - 1 for k in self.named])
        each = f"between {loss_of(keys.min())} and {loss_of(keys.max())}" if len(keys) > 1 else loss_of(keys[0])
        other = f", any other frequency to at most {loss_of(rest.max())}" if len(rest) else ""
        return f"Taking one key frequency out of the logits brings the loss from {loss_of(own)} to {each}{other}."
