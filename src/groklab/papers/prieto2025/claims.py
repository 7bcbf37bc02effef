"""The claims of Prieto et al. 2025 (arXiv 2501.04697): `groklab reproduce prieto2025`.

All at the paper's own network: one-hot pairs mod 113, 40% of them, ReLU layers of width 200. Runs stop when they have
grokked. Steps are counted to the first evaluation of five in a row with at least 99% of the test pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from groklab.experiment import preset
from groklab.grokking import log_rank, survival
from groklab.reproduction import Bar, Claim, Outcome, Size, Trainer, Trial, Values, publish

#: Steps of what groks, which are the paper's, and of what does not.
GROKS = 300
NEVER: dict[Size, int] = {"quick": 600, "full": 3_000}
#: Steps of StableMax and its rivals at a small size and at the paper's.
STABLE: dict[Size, int] = {"quick": 6_000, "full": 80_000}
#: The small network on which StableMax is tested in minutes.
SMALL = {"task.p": 59, "split.frac_train": 0.7, "network.d_mlp": 100}
#: Rates and decays that AdamW is tuned over, and the seeds of the tuning, which are not reported.
TUNING = [{"optimiser.learning_rate": r, "optimiser.weight_decay": d} for r in (0.01, 0.03) for d in (4.0, 8.0, 16.0)]
TUNING_SEEDS = (100, 101)
STOPS = {"budget.stop_when_grokked": True, "budget.retire": True, "checkpoints.spacing": "none"}


def trained(
    trainer: Trainer, of: str, members: Iterable[Mapping[str, Any]], steps: int, **common: Any
) -> list[dict[str, Any]]:
    """Train variations of a preset as one ensemble; return the times and the best test accuracy of each."""
    settings = {**STOPS, "budget.steps": steps, **{k.replace("__", "."): v for k, v in common.items()}}
    run = trainer.train([preset(of, {**settings, **member}) for member in members])
    values = []
    for i, member in enumerate(run.status.members):
        # a run that is kept may have gone further
        memorised, grokked = (s if s and s <= steps else None for s in (member.memorised_step, member.grokked_step))
        curves = run.curves(i)
        seen = curves["test_accuracy"][curves["step"] <= steps]
        own = {"memorised_step": memorised, "grokked_step": grokked, "best_test_accuracy": float(np.nanmax(seen))}
        values.append({**own, "times_as_late": grokked / memorised if grokked and memorised else None})
    return values


def of_seeds(trainer: Trainer, of: str, seeds: Sequence[int], steps: int, **common: Any) -> list[dict[str, Any]]:
    """Train a preset with several seeds."""
    return trained(trainer, of, [{"seed": seed} for seed in seeds], steps, **common)


def in_words(values: Values) -> str:
    """Say when a network memorised and grokked."""
    if values["grokked_step"] is None:
        best = values["best_test_accuracy"]
        return f"memorised at {values['memorised_step']}, not grokked, test accuracy at most {best:.1%}"
    return f"memorised at {values['memorised_step']}, grokked at {values['grokked_step']}"


def _beside(what: str, values: list[dict[str, Any]], other: str, control: list[dict[str, Any]]) -> Iterator[Outcome]:
    for own, theirs in zip(values, control, strict=True):
        yield Outcome(own, sentence=f"{what}: {in_words(own)}; {other}: {in_words(theirs)}", control=theirs)


def _perpgrad(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    values = of_seeds(trainer, "prieto2025/perpgrad", seeds, GROKS)
    return _beside("⊥Grad", values, "without it", of_seeds(trainer, "prieto2025", seeds, NEVER[size]))


def _plain(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    values = of_seeds(trainer, "prieto2025", seeds, NEVER[size])
    return _beside("plain", values, "⊥Grad", of_seeds(trainer, "prieto2025/perpgrad", seeds, GROKS))


def _exact(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    values = of_seeds(trainer, "prieto2025/exact", seeds, NEVER[size])
    filtered = of_seeds(trainer, "prieto2025/perpgrad", seeds, GROKS, objective__form="exact", name="prieto2025/both")
    return _beside("exact cross-entropy", values, "exact and ⊥Grad", filtered)


def _strong_decay(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    values = of_seeds(trainer, "prieto2025/strong-decay", seeds, GROKS)
    return _beside("decay 8", values, "no decay", of_seeds(trainer, "prieto2025", seeds, NEVER[size]))


def _tuned(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    cells = [{**cell, "seed": seed} for cell in TUNING for seed in TUNING_SEEDS]
    tried = trained(trainer, "prieto2025/strong-decay", cells, GROKS, name="prieto2025/tuning")
    n = len(TUNING_SEEDS)
    times = [[v["grokked_step"] or 2 * GROKS for v in tried[i * n : (i + 1) * n]] for i in range(len(TUNING))]
    best = TUNING[int(np.argmin([sum(of) for of in times]))]
    # as many seeds again, so that the same difference is looked for between seeds of one setting
    others = [max(seeds) + 1 + i for i in range(len(seeds))]
    rival = trained(
        *(trainer, "prieto2025/strong-decay", [{**best, "seed": s} for s in (*seeds, *others)], GROKS),
        name="prieto2025/tuned",
    )
    filtered = of_seeds(trainer, "prieto2025/perpgrad", seeds, GROKS)
    steps = [[v["grokked_step"] for v in of] for of in (filtered, rival[: len(seeds)], rival[len(seeds) :])]
    named = f"rate {best['optimiser.learning_rate']:g}, decay {best['optimiser.weight_decay']:g}"
    for i in range(len(seeds)):
        values, control = _ratio(steps[1], steps[0], i), _ratio(steps[1], steps[2], i)
        sentence = f"⊥Grad grokked at {steps[0][i]}, AdamW tuned to {named} at {steps[1][i]}"
        yield Outcome(values, sentence=sentence, control=control)


def _ratio(slow: list[int | None], fast: list[int | None], i: int) -> Values:
    """How many times as long one takes as the other, of a pair and in the median, and whether chance does the same."""
    medians = [survival(of, [GROKS] * len(of)).median for of in (slow, fast)]
    one, other = slow[i], fast[i]
    return {
        "slow_step": one,
        "fast_step": other,
        "times_as_long": one / other if one and other else None,
        "ratio_of_medians": medians[0] / medians[1] if medians[0] and medians[1] else None,
        "log_rank_p": log_rank(slow, fast, (GROKS, GROKS)),
    }


def _stablemax(size: Size, trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    small: dict[str, Any] = SMALL if size == "quick" else {}
    by_form = {
        form: trained(
            *(trainer, "prieto2025/stablemax", [{"seed": seed} for seed in seeds], STABLE[size]),
            **{**small, "objective.form": form, "name": f"prieto2025/{form}{'-small' if small else ''}"},
        )
        for form in ("stablemax", "float32", "exact")
    }
    for stable, float32, exact in zip(*by_form.values(), strict=True):
        sentence = "; ".join(f"{k}: {in_words(v)}" for k, v in zip(by_form, (stable, float32, exact), strict=True))
        # the sharper of two controls: whichever form of softmax comes further
        control = max(float32, exact, key=lambda v: (v["grokked_step"] is not None, v["best_test_accuracy"]))
        yield Outcome(stable, sentence=sentence, control=control)


MEMORISED = Bar("memorised_step", ">=", 1, "the network must fit its training set")
GROKKED = Bar("grokked_step", "<=", GROKS, "the paper: ⊥Grad is trained for 300 epochs")
NO_DELAY = Bar("times_as_late", "<=", 1.5, "groklab's own for 'no delay': by half at most, where micro takes 7 times")
NOWHERE = Bar("best_test_accuracy", "<", 0.5, "groklab's own: half of the test pairs; chance is 0.9%")
GENERALISED: dict[Size, Bar] = {
    "quick": Bar("best_test_accuracy", ">=", 0.5, "groklab's own: half of the test pairs; chance is 1.7%"),
    "full": Bar("best_test_accuracy", ">=", 0.99, "groklab's grokked: 99% of the test pairs"),
}
STABLE_SETTING: dict[Size, str] = {
    "quick": "p = 59, 70% of the pairs, 100-100 ReLU units: smaller, and stopped when it is well under way to "
    "grokking, since that takes tens of thousands of steps;",
    "full": "The paper's network, p = 113, 40%, 200-200 ReLU units;",
}
SETTING = "The paper's network, rate and share of pairs: p = 113, 40%, one-hot, 200-200 ReLU units, AdamW at 10⁻²"


def trials(run: Callable[..., Iterator[Outcome]], what: str, bars: tuple[Bar, ...], cost: Mapping[Size, float]) -> Any:
    """Return the quick and the full trial of a claim."""
    return {
        size: Trial(
            setting=f"{SETTING}; {what.format(never=NEVER[size])}",
            seeds=5 if size == "quick" else 10,
            cost=cost[size],
            run=partial(run, size),
            bars=bars,
            together=True,
            shares="prieto2025",
        )
        for size in cost
    }


def _stable_trials() -> Any:
    cost: dict[Size, float] = {"quick": 200, "full": 60_000}
    return {
        size: Trial(
            setting=f"{STABLE_SETTING[size]} {STABLE[size]:,} steps of each loss, AdamW at 10⁻² without decay.",
            seeds=3,
            cost=cost[size],
            run=partial(_stablemax, size),
            bars=(MEMORISED, GENERALISED[size]),
            together=True,
        )
        for size in cost
    }


publish(
    "prieto2025",
    "Prieto et al. 2025, Grokking at the edge of numerical stability",
    [
        Claim(
            id="perpgrad-groks",
            claim="With ⊥Grad a network groks without weight decay, and without a delay.",
            source="section on ⊥Grad; released code",
            expected="groks within 300 epochs",
            control="the same network without ⊥Grad, trained for longer",
            counter="Strong decoupled decay does nearly the same: see strong-decay.",
            **trials(
                _perpgrad, "300 steps with ⊥Grad, {never:,} without", (GROKKED, NO_DELAY), {"quick": 70, "full": 600}
            ),
        ),
        Claim(
            id="plain-never",
            claim="Without weight decay and without ⊥Grad the network memorises and does not generalise.",
            source="section on softmax collapse; released code",
            expected="test accuracy stays at chance",
            control="the same network with ⊥Grad",
            counter="A budget that ran out is censoring, not 'never': the full trial looks five times as far.",
            **trials(_plain, "{never:,} steps, with ⊥Grad 300", (MEMORISED, NOWHERE), {"quick": 70, "full": 600}),
        ),
        Claim(
            id="exact-loss-alone",
            kind="own",
            claim="Rounding is not all: with a cross-entropy that is exact at any margin, and no ⊥Grad, the network "
            "does not generalise within the same budget either.",
            source="groklab's control",
            expected="no value is published: the paper compares with softmax in float32 alone",
            control="the same exact loss with ⊥Grad",
            **trials(_exact, "{never:,} steps, with ⊥Grad 300", (MEMORISED, NOWHERE), {"quick": 80, "full": 700}),
        ),
        Claim(
            id="strong-decay",
            claim="With a decoupled decay of 8, plain AdamW groks as well, with hardly any delay.",
            source="https://github.com/LucasPrietoAl/grokking-at-the-edge-of-numerical-stability/issues/8",
            expected="groks within 200 epochs",
            control="the same network without decay, trained for longer",
            counter="The paper's authors answer there that they did not aim at speed.",
            **trials(
                _strong_decay,
                "300 steps with decay 8, {never:,} without",
                (GROKKED, NO_DELAY),
                {"quick": 70, "full": 600},
            ),
        ),
        Claim(
            id="faster-than-tuned-adamw",
            kind="own",
            claim="⊥Grad at its published rate groks in fewer steps than AdamW whose rate and decay were tuned.",
            source="groklab's own",
            expected="no value is published",
            control="five more seeds of the tuned AdamW in place of ⊥Grad",
            **trials(
                _tuned,
                "300 steps; AdamW tuned over rates 0.01, 0.03 and decays 4, 8, 16 on seeds 100 and 101, ⊥Grad not",
                (
                    Bar(
                        "times_as_long",
                        ">",
                        1,
                        "the claim's own 'fewer steps', with the same initial weights and pairs",
                    ),
                    Bar("log_rank_p", "<", 0.05, "the usual level, over all seeds"),
                ),
                {"quick": 150, "full": 300},
            ),
        ),
        Claim(
            id="stablemax-groks",
            claim="With StableMax in place of softmax the network groks without weight decay.",
            source="section on StableMax; released code",
            expected="groks within 80,000 epochs",
            control="softmax without decay, in float32 and exact: whichever of the two comes further",
            **_stable_trials(),
        ),
    ],
)
