"""Claims on operations with the help of others: frozen parts of other models, and mixtures learnt by one model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.lazy import jax
from groklab.papers.furuta2024.claims.operations import EASY, HARD
from groklab.papers.furuta2024.claims.runs import (
    ELEMENTARY,
    FRACTION,
    MORE,
    STEPS,
    PerSeed,
    Trained,
    alone,
    cleaned_up,
    endings,
    grokked_at,
    settings_of,
    trained,
    trial,
)
from groklab.papers.furuta2024.claims.spectra import ELEMENTARY_COST
from groklab.papers.furuta2024.presets import MIXTURES
from groklab.reproduction import Claim, Outcome, Size, Trainer
from groklab.store import Run

#: What decay leaves of a weight that has no gradient, each step.
DECAY = 1 - 1e-3


@dataclass(frozen=True)
class Transfer:
    """An operation learnt with a frozen part of a model that has grokked another."""

    source: str
    part: str
    operation: str

    @property
    def name(self) -> str:
        """A short name."""
        return f"{self.operation}-with-{self.part}-of-{self.source}"

    def trained(self, trainer: Trainer, size: Size, seeds: Sequence[int], **changes: Any) -> Trained:
        """Train each seed from the source of its own seed."""
        source = cleaned_up(trainer, size, self.source, seeds).run
        members = PerSeed(range(len(seeds)) if source.n_members > 1 else [None])
        taken = {"start__run": source.name, "start__member": members, "start__take": [self.part]}
        settings = {"start__freeze": True, "split__frac_train": MORE[size], **taken}
        return trained(trainer, size, self.name, (self.operation,), seeds, **settings, **changes)


EMBEDDING_OF_SUM = Transfer("add", "embedding", "2x_y")
EMBEDDING_OF_PRODUCT = Transfer("multiply", "embedding", "2x_y")
TRANSFORMER_OF_PRODUCT = Transfer("multiply", "transformer", "xy_y")
EMBEDDING_FOR_CROSS_TERM = Transfer("add", "embedding", "xy_y")


def _helps(transfer: Transfer, trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    """Whether a transferred part makes an operation grok that does not from scratch."""
    helped = transfer.trained(trainer, size, seeds)
    scratch = alone(trainer, size, transfer.operation, seeds)
    for seed in seeds:
        runs = {"transferred": helped, "from_scratch": scratch}
        ends = {name: ran.end(transfer.operation, seed) for name, ran in runs.items()}
        values, sentence = endings(ends)
        holds = ends["transferred"][0] is not None and ends["from_scratch"][0] is None
        yield Outcome(values, holds, f"{sentence.replace('_', ' ')} in {STEPS[size]:,} steps")


def _fails(transfer: Transfer, trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    """Whether an operation does not grok with a part of the wrong source."""
    ran = transfer.trained(trainer, size, seeds)
    for seed in seeds:
        step, best = ran.end(transfer.operation, seed)
        values = {"grokked_step": step, "best_test_accuracy": best}
        yield Outcome(values, step is None, f"{grokked_at(step, best)} in {STEPS[size]:,} steps")


def _unused(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    source = cleaned_up(trainer, size, "add", seeds)
    kept = EMBEDDING_OF_SUM.trained(trainer, size, seeds, start__unused_rows="keep") if size == "full" else None
    for seed in seeds:
        task, experiment = source.task("add", seed), source.run.experiments[source.member("add", seed)]
        # as a program draws them
        key = jax.random.fold_in(jax.random.key(seed), 0)
        fresh = np.asarray(experiment.network.init(key, task.shape, experiment.dtype)["embed.W_E"])
        last = source.weights("add", seed)["embed.W_E"]
        unused = np.setdiff1d(np.arange(task.d_vocab), task.inputs)
        steps = source.run.status.members[source.member("add", seed)].steps or 0
        wanted = np.linalg.norm(fresh[unused], axis=1) * DECAY**steps
        norms = np.linalg.norm(last[unused], axis=1)
        off = float(np.abs(norms / wanted - 1).max())
        operands = float(np.median(np.linalg.norm(last[: task.modulus], axis=1)))
        values: dict[str, Any] = {"steps": steps, "unused_rows": len(unused), "largest_norm": float(norms.max())}
        values |= {"norm_of_operands": operands, "relative_deviation_from_decay_alone": off}
        sentence = f"norms up to {norms.max():.1e} after {steps:,} steps, of operands {operands:.2f}"
        sentence += f"; {off:.1e} off pure decay"
        if kept is not None:
            step, best = kept.end("2x_y", seed)
            values["kept_as_they_are_grokked_step"] = step
            sentence += f"; kept as they are, 2x + y {grokked_at(step, best)}"
        yield Outcome(values, len(unused) == 4 and off < 0.01, sentence)


def _frozen(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    groups = {"optimiser.groups.embed.*.frozen": True}
    operations = ELEMENTARY if size == "full" else ("add", "multiply")
    ran = trained(trainer, size, "frozen-embedding", operations, seeds, **groups)
    for seed in seeds:
        ends = {o: ran.end(o, seed) for o in operations}
        yield Outcome(endings(ends)[0], all(step is not None for step, _ in ends.values()), endings(ends)[1])


_QUICK = (
    "Mod 37: the source from 60% of the pairs, until 2,000 steps after it has grokked; the other operation, with "
    "frozen parts as alone, from 75% for up to 4,000 steps. The network is as in the paper."
)


def _transfer(run: Any, more: dict[Size, float], shares: str = "", in_quick: bool = True, **words: Any) -> Claim:
    """more: seconds beside those of a hard operation alone; the sources are counted by other claims."""
    costs = {size: more[size] + (HARD[size] if shares else 0) for size in more}
    quick = trial(run, "quick", costs["quick"], _QUICK, shares=shares) if in_quick else None
    return Claim(quick=quick, full=trial(run, "full", costs["full"], shares=shares), **words)


#: The share at which the three elementary operations grok together.
TOGETHER = 0.9
#: A run ends this many steps after its operations have grokked on average, so that the last one may follow.
MARGIN: dict[Size, int] = {"quick": 1_000, "full": 5_000}


@dataclass(frozen=True)
class Mixed:
    """A run of a mixture, one member per seed."""

    run: Run
    operations: tuple[str, ...]
    budget: int

    def grokked(self, operation: str, member: int) -> int | None:
        """Return the step at which the operation grokked within the budget, or None."""
        operations = self.run.status.members[member].operations or []
        step = operations[self.operations.index(operation)].grokked_step
        return step if step is not None and step <= self.budget else None

    def best(self, operation: str, member: int) -> float:
        """Return the operation's best test accuracy within the budget."""
        curves = self.run.curves(member)
        kept = curves["step"] <= self.budget
        return float(np.nanmax(curves[f"test_accuracy_op{self.operations.index(operation)}"][kept]))

    def end(self, operation: str, member: int) -> tuple[int | None, float]:
        """Return the step at which the operation grokked, or None, and its best test accuracy."""
        return self.grokked(operation, member), self.best(operation, member)


def mixed(trainer: Trainer, size: Size, name: str, seeds: Sequence[int], fraction: float) -> Mixed:
    """Train a mixture of the presets until shortly after it has grokked on average or its steps are over."""
    own = {"split.frac_train": fraction, "budget.extra_steps": MARGIN[size]}
    settings = settings_of(size, f"mixture-{name}") | own
    run = trainer.train([preset(f"furuta2024/mixture-{name}", {**settings, "seed": seed}) for seed in seeds])
    return Mixed(run, MIXTURES[name][0], STEPS[size])


def _rescued(name: str, hard: str, trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    """Whether an operation groks beside others that does not grok alone."""
    together = mixed(trainer, size, name, seeds, FRACTION[size])
    scratch = alone(trainer, size, hard, seeds)
    for i, seed in enumerate(seeds):
        ends = {o: together.end(o, i) for o in together.operations}
        values, sentence = endings(ends | {"alone": scratch.end(hard, seed)})
        holds = ends[hard][0] is not None and values["alone_grokked_step"] is None
        yield Outcome(values, holds, f"{sentence.replace('alone', f'{hard} alone')} in {STEPS[size]:,} steps")


def _elementary(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    runs = {f"{f:.0%}": mixed(trainer, size, "elementary", seeds, f) for f in (TOGETHER, FRACTION[size])}
    for i in range(len(seeds)):
        ends = {share: {o: ran.end(o, i) for o in ran.operations} for share, ran in runs.items()}
        values: dict[str, Any] = {}
        sentences = []
        for share, of_share in ends.items():
            own, sentence = endings(of_share)
            values |= {f"{name}_at_{share}": value for name, value in own.items()}
            sentences.append(f"from {share} of the pairs {sentence}")
        most, *fewer = ([step for step, _ in of_share.values()] for of_share in ends.values())
        holds = None not in most and all(None in steps for steps in fewer)
        yield Outcome(values, holds, "; ".join(sentences))


def _order(trainer: Trainer, size: Size, seeds: Sequence[int]) -> Iterator[Outcome]:
    ran = mixed(trainer, size, "elementary", seeds, TOGETHER)
    for i in range(len(seeds)):
        steps = {o: ran.grokked(o, i) for o in ran.operations}
        known = [step for step in steps.values() if step is not None]
        last = steps["multiply"]
        holds = len(known) == len(steps) and last == max(known)
        values = {f"{o}_grokked_step": step for o, step in steps.items()}
        yield Outcome(values, holds, ", ".join(f"{o} {grokked_at(s, ran.best(o, i))}" for o, s in steps.items()))


_SMALL = (
    "A budget that ran out is censoring, not 'never'. There is no quick trial: mod 37, from 60% of the pairs, 12,000 "
    "steps do not suffice ({})."
)


def _rescue(name: str, hard: str, cost: float, seen: str, **words: Any) -> Claim:
    full = trial(partial(_rescued, name, hard), "full", cost)
    return Claim(quick=None, full=full, source="appendix D", counter=_SMALL.format(seen), **words)


_COST = 20_000
_FEW = (
    "A budget that ran out is censoring, not 'never'. There is no quick trial: in one seed each, x + y, x − y and xy "
    "come to 96 to 98% within 12,000 steps mod 37, and grok mod 59 at 1,800, 3,920 and 2,980, in some nine minutes."
)


CLAIMS = [
    _transfer(
        partial(_helps, EMBEDDING_OF_SUM),
        EASY,
        shares="2x_y",
        id="embedding-of-addition",
        claim="The frozen embedding of a model that has grokked x + y makes 2x + y grok, where alone it does not.",
        source="figure 9, tables 1 and 6",
        expected="groks from 30% with it, from 50% without",
        counter="Rows of signs that the source has never seen are drawn again here: decay left nothing of them.",
    ),
    _transfer(
        partial(_helps, TRANSFORMER_OF_PRODUCT),
        EASY,
        shares="xy_y",
        id="transformer-of-multiplication",
        claim="The frozen attention and MLP of a model that has grokked xy make xy + y grok, where alone it does not.",
        source="figure 9, tables 1 and 6",
        expected="groks from 30% with them, from 50% without",
    ),
    _transfer(
        partial(_fails, EMBEDDING_OF_PRODUCT),
        HARD,
        id="embedding-of-multiplication",
        claim="The frozen embedding of multiplication does not serve 2x + y.",
        source="table 6",
        expected="no grokking from any share up to 90%",
        counter="A budget that ran out is censoring, not 'never'.",
    ),
    _transfer(
        partial(_fails, EMBEDDING_FOR_CROSS_TERM),
        HARD,
        in_quick=False,
        id="embedding-for-a-cross-term",
        claim="The frozen embedding of addition does not serve xy + y.",
        source="table 6",
        expected="no grokking from any share up to 90%",
        counter="A budget that ran out is censoring, not 'never'.",
    ),
    Claim(
        id="unused-tokens",
        claim="An embedding that is taken over holds nothing in the rows of signs that its source has never seen.",
        source="section on transfer and the published code, whose decay of 1 at rate 10⁻³ acts on all weights",
        expected="their norm is that of the start times (1 − 10⁻³) to the number of steps, to 1% (2e-4 where numbers "
        "have 1.43 in a reference run)",
        counter="In the published code operands run over these tokens, too, which hides it.",
        quick=trial(_unused, "quick", ELEMENTARY_COST["quick"], cleaned=True, shares="elementary"),
        full=trial(_unused, "full", EASY["full"], cleaned=True),
    ),
    Claim(
        id="frozen-random-embedding",
        claim="Elementary operations grok with a random embedding that is never trained.",
        source="appendix F",
        expected="all three grok from 30%",
        quick=trial(_frozen, "quick", 2 * EASY["quick"], "{}; x + y and xy alone."),
        full=trial(_frozen, "full", 3 * EASY["full"]),
    ),
    _rescue(
        "add-xy_y",
        "xy_y",
        2 * HARD["full"],
        "one seed: 57% of the test pairs of x + y and 6% of xy + y are right then",
        id="mixture-rescues-cross-term",
        claim="Learnt together with x + y, xy + y groks from a share of pairs from which alone it does not.",
        expected="groks from 30% beside addition, from 50% alone",
    ),
    _rescue(
        "quadratic",
        "x2_xy_y2",
        3 * HARD["full"],
        "as seen of x + y with xy + y",
        id="mixture-rescues-quadratic-form",
        claim="Learnt together with x² + y² and (x + y)², x² + xy + y² groks from 30% of the pairs.",
        expected="groks from 30% beside the others, from 80% alone",
    ),
    Claim(
        id="elementary-mixture",
        claim="One model groks x + y, x − y and xy from 90% of the pairs.",
        source="figure 4",
        expected="all three from 90% (reference checkpoint: 20,000 steps), not from 30%",
        counter=_FEW,
        quick=None,
        full=trial(
            *(_elementary, "full", _COST, "Mod 97 from 90% and from 30% of the pairs, up to 100,000 steps."),
            shares="elementary-mixture",
        ),
    ),
    Claim(
        id="multiplication-groks-last",
        claim="Of x + y, x − y and xy in one model, xy groks last.",
        source="figure 4",
        expected="multiplication is the slowest",
        counter="Mod 59 x − y was slower in the one seed tried, as it is alone.",
        quick=None,
        full=trial(
            *(_order, "full", _COST, "Mod 97 from 90% of the pairs, up to 100,000 steps."), shares="elementary-mixture"
        ),
    ),
]
