"""The claims of Varma et al. 2023 (arXiv 2309.02390) on ungrokking: `groklab reproduce varma2023`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from groklab.experiment import Experiment, preset
from groklab.reproduction import Bar, Claim, Outcome, Trainer, Trial, Values, publish

#: Shares of the pairs, and the decays after the change.
BELOW, ABOVE = 0.2, 0.5
DECAYS = {"strong": 1.0, "weak": 0.1}
CASES = tuple((share, name) for share in (BELOW, ABOVE) for name in (*DECAYS, "scratch"))


def experiment(share: float, case: str, seed: int) -> Experiment:
    """Return a network that goes on with a share of the pairs and a decay, or ('scratch') has it from the start."""
    about = {"name": "varma2023/cases", "seed": seed}
    if case == "scratch":
        return preset("varma2023/ungrokking", {**about, "split.frac_train": share, "interventions": []})
    decay = {"when": "grokked", "kind": "set", "settings": {"optimiser.weight_decay": DECAYS[case]}}
    subset = {"when": "train_accuracy>=0", "kind": "training_set", "frac_train": share}
    return preset("varma2023/ungrokking", {**about, "interventions": [decay, subset]})


def before_and_after(curves: Mapping[str, Any], step: int | None) -> tuple[float | None, float | None, float | None]:
    """Return test accuracy before a step, and training and test accuracy in the end; None without a step."""
    if step is None:
        return None, None, None
    before = curves["test_accuracy"][curves["step"] < step][-1]
    return float(before), float(curves["train_accuracy"][-1]), float(curves["test_accuracy"][-1])


def _ungrokking(trainer: Trainer, seeds: Sequence[int]) -> Iterator[Outcome]:
    run = trainer.train([experiment(*case, seed) for seed in seeds for case in CASES])

    def measured(seed_number: int, share: float) -> Values:
        values: Values = {}
        for case in DECAYS:
            member = seed_number * len(CASES) + CASES.index((share, case))
            applied = run.status.members[member].interventions or []
            step = applied[1].step if len(applied) > 1 else None
            before, train, test = before_and_after(run.curves(member), step)
            values |= {f"test_before_{case}": before, f"train_after_{case}": train, f"test_after_{case}": test}
        scratch = run.curves(seed_number * len(CASES) + CASES.index((share, "scratch")))
        return values | {"test_from_scratch": float(scratch["test_accuracy"][-1])}

    for i in range(len(seeds)):
        values, control = measured(i, BELOW), measured(i, ABOVE)
        yield Outcome(values, sentence=f"{_sentence(values, BELOW)}; {_sentence(control, ABOVE)}", control=control)


def _sentence(values: Values, share: float) -> str:
    after = [values[f"test_after_{case}"] for case in DECAYS]
    if None in after:
        return f"a network did not grok before it went on with {share:.0%} of the pairs"
    return (
        f"test accuracy {after[0]:.1%} with decay {DECAYS['strong']:g} and {after[1]:.1%} with {DECAYS['weak']:g} "
        f"after going on with {share:.0%} of the pairs, {values['test_from_scratch']:.1%} from scratch"
    )


_FALLS = "a network that has lost half of what it generalised to has fallen back"

publish(
    "varma2023",
    "Ungrokking (Varma et al. 2023)",
    [
        Claim(
            id="ungrokking",
            claim="A network that has grokked and goes on with a subset below the critical size falls back in test "
            "accuracy, however weak the decay.",
            source="arXiv 2309.02390; its sizes were not checked against the paper",
            expected="test accuracy falls from near 100% at each decay, while the subset stays memorised",
            control="the same networks, which go on with a subset above the critical size",
            counter="The critical size is bracketed here by training from scratch at both sizes, not computed from the "
            "two circuits' efficiencies; near it the fall is partial: at a tenth of the rate, 20% of the pairs left "
            "44 to 57% test accuracy after 6,000 steps (two seeds that are not reported).",
            quick=Trial(
                setting="micro at a rate of 10⁻² (p = 23, 65% of the pairs, decay 1) until it has grokked, then 20% "
                "of the pairs with decay 1 or 0.1, to step 5,000, 5 seeds as one ensemble; both "
                "subsets also from scratch.",
                seeds=5,
                cost=45,
                bars=(
                    Bar("test_before_strong", ">=", 0.9, "it must have generalised before"),
                    Bar("test_before_weak", ">=", 0.9, "it must have generalised before"),
                    Bar("train_after_strong", ">=", 0.99, "the subset is still memorised: training has not collapsed"),
                    Bar("train_after_weak", ">=", 0.99, "the subset is still memorised: training has not collapsed"),
                    Bar("test_after_strong", "<=", 0.5, _FALLS),
                    Bar("test_after_weak", "<=", 0.5, _FALLS),
                    Bar("test_from_scratch", "<=", 0.5, "the subset is below the critical size"),
                ),
                run=_ungrokking,
                together=True,
            ),
            full=None,
        ),
    ],
)
