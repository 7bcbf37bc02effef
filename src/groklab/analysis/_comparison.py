"""Several runs or members beside each other: what was set, what happened, and what each has learnt to compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groklab import grokking, notebook
from groklab.analysis._analysing import Analysis, explain
from groklab.analysis._circuits import CircuitAnalysis
from groklab.analysis._features import FeatureAnalysis
from groklab.analysis._interventions import label_of
from groklab.analysis._key_frequencies import MANY, STAGES_RULE
from groklab.analysis._mixtures import MixtureAnalysis
from groklab.analysis._phases import phases_of
from groklab.analysis._watching import Measuring
from groklab.errors import InputError
from groklab.experiment import differing
from groklab.grokking import LearningPhase
from groklab.measures import WELL_EXPLAINED, Ablations, NamedTable, Neurons
from groklab.store import Collection, Run, copies, copies_sentences
from groklab.store import compare as statistics_of
from groklab.text import jsonable, listed, loss_of, percent, percents, times, visible

#: Models that a comparison takes apart, the first ones.
MOST = 8
#: Settings whose values a sentence names.
NAMED = 3
#: What a comparison in a notebook offers before its models are taken apart.
OFFERS = "measure() takes the models apart, and what they compute is shown here too"


@dataclass(frozen=True)
class ComparedModel:
    """One model of a comparison, taken apart.

    Args:
        name: its run's, or RUN#2.
        run: of an ensemble, the model is the first member.
        analysis: None where nothing can be measured.
        problem: the reason then.
    """

    name: str
    run: Run
    analysis: Analysis | None
    problem: str = ""

    @property
    def circuit(self) -> CircuitAnalysis | None:
        """The analysis of its circuit, where it has one."""
        model = None if self.analysis is None else self.analysis.model
        return model if isinstance(model, CircuitAnalysis) else None

    @property
    def key_frequencies(self) -> tuple[int, ...]:
        """Its key frequencies, where few stand out; empty otherwise."""
        model = None if self.analysis is None else self.analysis.model
        if isinstance(model, CircuitAnalysis):
            return model.named
        return (model.key_frequencies or ()) if isinstance(model, MixtureAnalysis) else ()

    @property
    def p(self) -> int | None:
        """The modulus of its task."""
        model = None if self.analysis is None else self.analysis.model
        return model.p if isinstance(model, CircuitAnalysis | MixtureAnalysis) else None

    @property
    def features(self) -> FeatureAnalysis | None:
        """The analysis of its features, where it has one."""
        if self.analysis is None:
            return None
        model = self.analysis.model
        return model if isinstance(model, FeatureAnalysis) else self.analysis.features

    @property
    def ablations(self) -> Ablations | None:
        """What the interventions cost, where they are measured."""
        circuit = self.circuit
        return None if circuit is None or "ablations" not in circuit.parts else circuit.part("ablations", Ablations)

    def interventions(self) -> dict[str, float]:
        """Return the loss on all pairs after each intervention, by its label; empty where none is measured.

        Those of single frequencies are left out: they are each model's own.
        """
        circuit, measured = self.circuit, self.ablations
        if circuit is None or measured is None:
            return {}
        losses = zip(measured.names, measured.loss, strict=True)
        return {label_of(k, circuit.sum): float(loss) for k, loss in losses if not k.rpartition("_")[2].isdigit()}

    def verdict(self) -> str:
        """Return what it computes, in one sentence."""
        return self.problem if self.analysis is None else self.analysis.verdict()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        circuit, ablations, features = self.circuit, self.ablations, self.features
        values: dict[str, Any] = {"model": self.name, "verdict": self.verdict()}
        if self.analysis is not None:
            values |= {"seed": self.analysis.seed, "step": self.analysis.step}
        values["key_frequencies"] = list(self.key_frequencies)
        if circuit is not None:
            values["logit_fve"] = circuit.logit_fve
            values["losses"] = {k: circuit.last(k) for k in ("loss", "restricted_loss", "excluded_loss")}
            values["training_stages"] = {f"{name}_ends": step for name, step in vars(circuit.stages).items()}
        if ablations is not None:
            values["ablations"] = dict(zip(ablations.names, ablations.loss, strict=True))
        if features is not None:
            values["circulant_deviation"] = features.deviations
        return dict(jsonable(values))


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs, or members of one, beside each other.

    The models are taken apart when something first asks for `models`, or for sentences on them.

    Args:
        runs: those compared, of which members are RUN#2.
    """

    runs: tuple[Run, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The runs' names as they can be shown, numbered where two folders have the same."""
        names = [visible(run.name) for run in self.runs]
        count = Counter(names)
        return tuple(f"{n} ({i})" if count[n] > 1 else n for i, n in enumerate(names, 1))

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Summaries and censored statistics of the members, as plain values; see `to_dict`."""
        return statistics_of(self.runs)

    @cached_property
    def differences(self) -> dict[str, list[str]]:
        """The settings, by dotted name, in which the runs differ, as one writes them."""
        return differing([run.recorded[0] for run in self.runs])

    @cached_property
    def models(self) -> tuple[ComparedModel, ...]:
        """The model of each run, taken apart; of an ensemble the first member, of many runs the first eight."""
        return self.measure()

    def measure(self, progress: Callable[[int, int], None] | None = None) -> tuple[ComparedModel, ...]:
        """Take the models apart, if nothing has done so, and return `models`; called as progress(done, total)."""
        if "models" not in self.__dict__:
            chosen = list(zip(self.names, self.runs, strict=True))[:MOST]
            models = []
            for i, (name, run) in enumerate(chosen):

                def report(measuring: Measuring, before: int = i) -> None:
                    if progress is not None:
                        progress(before * measuring.total + measuring.done, len(chosen) * measuring.total)

                try:
                    models.append(ComparedModel(name, run, explain(run, view=report)))
                except InputError as error:
                    models.append(ComparedModel(name, run, None, f"It cannot be taken apart: {error}."))
            self.__dict__["models"] = tuple(models)
        return tuple(self.__dict__["models"])

    @cached_property
    def phases(self) -> list[list[LearningPhase]]:
        """The phases of Liu et al. (2022) of each run's members."""
        return [phases_of(run.recorded, run.metrics) for run in self.runs]

    # -- in words -----------------------------------------------------------------------------------------------

    def sentences(self) -> list[str]:
        """Return which generalised first, in what they differ, and which share members."""
        return [self.order_sentence(), self.differences_sentence(), *copies_sentences(copies(self.runs))]

    def order_sentence(self) -> str:
        """Return which runs generalised, in the order of their (median) steps."""
        steps: dict[str, float | None] = {}
        for name, row in zip(self.names, self.statistics["runs"], strict=True):
            steps[name] = None if row["grokking"] is None else row["grokking"]["median"]
        reached = sorted((step, name) for name, step in steps.items() if step is not None)
        if not reached:
            return "None of these runs has generalised."
        first = reached[0][0]
        texts = [f"{reached[0][1]} at step {first:,.0f}"]
        for step, name in reached[1:]:
            late = f" ({times(step / first)} times as late)" if first and step > first else ""
            texts.append(f"{name} at step {step:,.0f}{late}")
        half = " (the median member, for an ensemble)" if any(run.n_members > 1 for run in self.runs) else ""
        rest = [name for name, step in steps.items() if step is None]
        not_yet = f" Not by the end of its steps: {listed(rest)}." if rest else ""
        return f"By first to generalise{half}: {listed(texts)}.{not_yet}"

    def differences_sentence(self) -> str:
        """Return in which settings the runs differ."""
        if not self.differences:
            return "The runs have the same settings."
        named = [f"{key} ({listed(values)})" for key, values in self.differences.items() if key != "name"]
        if not named:
            return "The runs differ in nothing but their names."
        if len(named) > NAMED or len(self.runs) > NAMED:
            keys = [key for key in self.differences if key != "name"]
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            return f"They differ in {', '.join(keys[:NAMED]) if more else listed(keys)}{more}, as the table shows."
        return f"They differ in {listed(named)}."

    def model_sentences(self) -> list[str]:
        """Return what each model computes, and which key frequencies they share."""
        several = [m.name for m in self.models if m.run.n_members > 1]
        whose = [f"Of {listed(several)} this is the first member."] if several else []
        left = len(self.runs) - len(self.models)
        most = [f"The other {left} runs are not taken apart."] if left else []
        verdicts = [f"{m.name}: {m.verdict()}" for m in self.models]
        return [*verdicts, *filter(None, [self.frequencies_sentence()]), *whose, *most]

    def frequencies_sentence(self) -> str:
        """Return which key frequencies the models share; '' where fewer than two have any of one modulus."""
        known = [m for m in self.models if m.key_frequencies]
        if len(known) < 2 or len({m.p for m in known}) > 1:
            return ""
        shared = sorted(set.intersection(*(set(m.key_frequencies) for m in known)))
        who = "All models" if len(known) == len(self.models) > 2 else listed([m.name for m in known])
        if not shared:
            return f"{who} share no key frequency."
        which = f"frequenc{'y' if len(shared) == 1 else 'ies'} {listed(shared)}"
        if all(len(shared) == len(m.key_frequencies) for m in known):
            return f"{who} have the same key frequencies, {listed(shared)}."
        return f"{who} share the key {which}."

    # -- tables -------------------------------------------------------------------------------------------------

    def outcomes_table(self) -> NamedTable:
        """Return when each run memorised and generalised."""
        head = ("run", "status", "memorised at", "generalised at", "delay", "95% interval", "test accuracy")
        rows = [self._outcome(i) for i in range(len(self.runs))]
        return NamedTable("Outcomes", head, rows)

    def phases_table(self) -> NamedTable:
        """Return the phase of each run, or those of its members, with the part of the rule that holds."""
        rows = []
        for name, phases in zip(self.names, self.phases, strict=True):
            alone = len(phases) == 1
            phase = phases[0].phase if alone else grokking.phase_counts(phases)
            rows.append((name, phase, phases[0].because if alone else "–"))
        return NamedTable(f"Phases of {grokking.OWNER}", ("run", "phase", "by the rule"), rows)

    def _outcome(self, i: int) -> tuple[str, ...]:
        run, name, row = self.runs[i], self.names[i], self.statistics["runs"][i]
        status = f"{row['status']}, {row['steps']:,} steps"
        headlines = run.headlines
        if not headlines:
            return (name, status, *["–"] * 5)
        if len(headlines) == 1:
            (one,) = headlines
            steps = [one.open if s is None else f"{s:,}" for s in (one.memorised, one.generalised)]
            delay = "–" if one.delay is None else f"{one.delay:,}"
            delay += f" ({times(one.times_as_late)} ×)" if one.times_as_late else ""
            return (name, status, *steps, delay, "–", percent(one.test_accuracy))
        events = [row["memorising"], row["grokking"]]
        counts = [
            f"{e['n_grokked']} of {e['n']}" + ("" if e["median"] is None else f", median {e['median']:,.0f}")
            for e in events
        ]
        medians = [e["median"] for e in events]
        delay = "–" if None in medians else f"{medians[1] - medians[0]:,.0f}"
        low, high = events[1]["low"], events[1]["high"]
        interval = "–" if low is None else f"{low:,.0f} to {'open' if high is None else f'{high:,.0f}'}"
        return (name, status, *counts, delay, interval, percents([h.test_accuracy for h in headlines]))

    def settings_table(self) -> NamedTable | None:
        """Return the settings that differ; None where all are the same."""
        rows = [(key, *values) for key, values in self.differences.items()]
        return NamedTable("Settings that differ", ("setting", *self.names), rows) if rows else None

    def models_table(self) -> NamedTable | None:
        """Return what was measured of the models, with one column per model; None where nothing was."""
        rows: dict[str, list[str]] = {}

        def enter(name: str, i: int, value: str) -> None:
            rows.setdefault(name, ["–"] * len(self.models))[i] = value

        for i, m in enumerate(self.models):
            model = None if m.analysis is None else m.analysis.model
            if isinstance(model, CircuitAnalysis | MixtureAnalysis) and model.key_frequencies is not None:
                keys = model.key_frequencies
                few = m.key_frequencies and len(keys) <= MANY
                enter("key frequencies", i, ", ".join(map(str, keys)) if few else f"{len(keys)} of {model.p // 2}")
            if m.circuit is not None:
                c = m.circuit
                if c.logit_fve is not None:
                    enter("variance of the logits that the sum of cosines explains", i, percent(c.logit_fve))
                if "neurons" in c.parts:
                    neurons = c.part("neurons", Neurons)
                    count = f"{neurons.well_explained_neurons} of {len(neurons.fve)}"
                    enter(f"neurons explained to {WELL_EXPLAINED:.0%} or more by one frequency", i, count)
                enter("loss on all pairs", i, loss_of(c.last("loss")))
                enter("restricted loss", i, loss_of(c.last("restricted_loss")))
                enter("excluded loss", i, loss_of(c.last("excluded_loss")))
                for stage, step in vars(c.stages).items():
                    enter(f"{stage.replace('_', ' ')} ends", i, "–" if step is None else f"{step:,}")
            if m.features is not None and m.features.orientation is not None:
                deviation = m.features.deviations[m.features.orientation]
                enter("circulant deviation of the features", i, "–" if deviation is None else f"{deviation:.2f}")
        head = ("measure", *(m.name for m in self.models))
        return NamedTable("Measures of the models", head, [(k, *v) for k, v in rows.items()]) if rows else None

    def ablations_table(self) -> NamedTable | None:
        """Return the loss on all pairs after each intervention, with one column per model; None without any."""
        known = [(m.name, losses) for m in self.models if (losses := m.interventions())]
        by_label = dict.fromkeys(label for _, losses in known for label in losses)
        rows = [(k, *(loss_of(losses[k]) if k in losses else "–" for _, losses in known)) for k in by_label]
        head = ("intervention", *(name for name, _ in known))
        return NamedTable("Loss on all pairs after interventions", head, rows) if rows else None

    def tables(self, models: bool = True) -> list[NamedTable]:
        """Return all tables, without empty ones; models: those of what the models compute, too."""
        happened = (self.outcomes_table(), self.phases_table(), self.settings_table())
        computed = (self.models_table(), self.ablations_table()) if models else ()
        return [table for table in (*happened, *computed) if table is not None]

    @property
    def notes(self) -> list[str]:
        """The definitions of what the tables hold."""
        return [STAGES_RULE] if any(m.circuit is not None for m in self.models) else []

    def to_dict(self, models: bool = True) -> dict[str, Any]:
        """Return plain JSON values.

        Args:
            models: take the models apart, too.

        Returns:
            `runs`: the summary of each run with `grokking` and `memorising` (Kaplan–Meier: n, n_grokked, which counts
            the members with the event, median, low, high). `pooled`: the same over runs that differ in nothing but
            their seeds. `copies`: by a run's name the later runs that have members of its identities. `differences`: by
            dotted name the settings in which the runs differ. `phases`: those of the members of each run. `sentences`.
            `models`: what each model computes.
        """
        phases = [[p.to_dict() for p in each] for each in self.phases]
        values = {**self.statistics, "phases": phases, "sentences": self.sentences()}
        if models:
            values["sentences"] += self.model_sentences()
            values["models"] = [m.to_dict() for m in self.models]
        return values

    def __repr__(self) -> str:
        return f"Comparison of {listed(self.names)}"

    def _repr_html_(self) -> str:
        # taking models apart takes seconds, too long for showing a value
        measured = "models" in vars(self)
        return notebook.block(
            notebook.title(repr(self)),
            notebook.listing([*self.sentences(), *(self.model_sentences() if measured else [])]),
            *(
                notebook.line(table.title) + notebook.table(table.head, table.rows)
                for table in self.tables(models=measured)
            ),
            notebook.line("sentences() · tables() · to_dict()" if measured else OFFERS, faint=True),
        )

    def __str__(self) -> str:
        return "\n".join([*self.sentences(), *self.model_sentences()])


def compare(runs: Sequence[Run | str | Path], *, home: str | Path | None = None) -> Comparison:
    """Put two or more runs, or members of one, beside each other.

    Settings that differ, when each memorised and generalised (over an ensemble's members as censored statistics), and
    what each has learnt to compute: key frequencies, stages of training, ablations, verdicts.

    Args:
        runs: runs, their names or their folders, or RUN#2 for the third member of one.
        home: the folder of runs in which names are looked up.

    Raises:
        InputError: for no runs, or a name that is not there.
    """
    if isinstance(runs, (Run, str, Path)):
        raise InputError("compare needs a list of runs")
    collection = Collection(Path(home) if home is not None else None)
    opened = tuple(r if isinstance(r, Run) else collection.look_up(r) for r in runs)
    if not opened:
        raise InputError("compare needs at least one run")
    return Comparison(opened)
