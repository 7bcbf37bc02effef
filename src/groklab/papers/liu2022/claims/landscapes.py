"""Claims of Omnigrok (arXiv 2210.01117) on training at a constant norm, and on a student of a random teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groklab.experiment.presets import preset
from groklab.papers.liu2022.claims.images import DELAY, Plan, at, first, told, trial, until
from groklab.reproduction import Bench, Claim, Finding
from groklab.reproduction.claim import Size

STEPS: dict[Size, int] = {"quick": 5_000, "full": 10_000}
STUDENT_STEPS = 100_000
#: Factors of the initial weights, and so of the norm that is kept.
SCALES: dict[Size, tuple[float, ...]] = {
    "quick": (0.3, 0.6, 1.0, 2.0, 8.0),
    "full": (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0),
}
#: Scales that are too small and too large, and where the training set begins to be fitted.
SMALL, LARGE, FITS = 0.3, 8.0, 0.6
RATE = 1e-3


def _lowest(bench: Bench, size: Size, seed: int, asked: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """The lowest errors and losses met at each scale and learning rate: one run, side by side."""
    members = []
    for scale, rate in asked:
        own = {"network.init_scale": scale, "optimiser.learning_rate": rate}
        members.append(preset("omnigrok/landscape", {**own, "seed": seed, "budget.steps": STEPS[size]}))
    run = bench.train(members)
    lowest = []
    for i in range(len(asked)):
        curves = until(run, STEPS[size], i)
        found = {f"{part}_error": 1 - float(curves[f"{part}_accuracy"].max()) for part in ("train", "test")}
        lowest.append(found | {f"{part}_loss": float(curves[f"{part}_loss"].min()) for part in ("train", "test")})
    return lowest


def _landscape(bench: Bench, size: Size, seed: int) -> dict[float, dict[str, float]]:
    """What `_lowest` gives at each scale."""
    found = _lowest(bench, size, seed, [(scale, RATE) for scale in SCALES[size]])
    return dict(zip(SCALES[size], found, strict=True))


def _lu(bench: Bench, size: Size, seed: int) -> Finding:
    found = _landscape(bench, size, seed)
    train = {scale: of["train_error"] for scale, of in found.items()}
    test = {scale: of["test_error"] for scale, of in found.items()}
    best = min(test, key=lambda scale: test[scale])
    falls_to_zero = train[SMALL] > 0.05 and all(e <= 0.005 for scale, e in train.items() if scale >= FITS)
    has_minimum = FITS <= best <= 2 and test[SMALL] > 1.5 * test[best] and test[LARGE] > 2 * test[best]
    values: dict[str, Any] = {f"{name}_at_{scale:g}": v for scale, of in found.items() for name, v in of.items()}
    values |= {"best_scale": best, "training_is_an_L": falls_to_zero, "test_is_a_U": has_minimum}
    said = (
        f"training error {train[SMALL]:.2f} at scale {SMALL:g}, {train[FITS]:.3f} at {FITS:g}; test error "
        f"{test[SMALL]:.2f} at {SMALL:g}, {test[best]:.2f} at {best:g}, {test[LARGE]:.2f} at {LARGE:g}"
    )
    return Finding(values, falls_to_zero and has_minimum, said)


def _rate_with_norm(bench: Bench, size: Size, seed: int) -> Finding:
    plain = _landscape(bench, size, seed)
    scaled = _lowest(bench, size, seed, [(LARGE, RATE * LARGE)])[0]
    least = min(of["test_error"] for of in plain.values())
    values = {"least_test_error": least} | {f"{name}_at_usual_rate": v for name, v in plain[LARGE].items()}
    values |= {f"{name}_at_rate_with_norm": v for name, v in scaled.items()}
    said = (
        f"test error at scale {LARGE:g} is {plain[LARGE]['test_error']:.2f} at the usual rate, "
        f"{scaled['test_error']:.2f} at {LARGE:g} times it, and {least:.2f} at the best norm"
    )
    return Finding(values, scaled["test_error"] > 2 * least, said)


def _student(bench: Bench, size: Size, seed: int) -> Finding:
    run = bench.train(preset("omnigrok/teacher-student", {"seed": seed, "budget.steps": STUDENT_STEPS}))
    curves = until(run, STUDENT_STEPS)
    fitted = first(curves, "train_accuracy", 0.9)
    half, most, all_right = (first(curves, "test_accuracy", bar) for bar in (0.5, 0.9, 1.0))
    values: dict[str, Any] = {"train_90%_at": fitted, "test_50%_at": half, "test_90%_at": most}
    values |= {"test_100%_at": all_right, "test_end": float(curves["test_accuracy"][-1])}
    values["test_when_train_90%"] = at(curves, "test_accuracy", fitted)
    holds = fitted is not None and most is not None and most - fitted >= DELAY
    return Finding(values, holds, f"90% of the training inputs {told(fitted)}, of the others {told(most)}")


_CONSTANT = (
    "200 digits for training, 4,800 for test; AdamW without decay, all weights scaled to one norm after each step"
)
_LANDSCAPE: dict[Size, Plan] = {
    "quick": {
        "setting": f"{_CONSTANT}; scales 0.3, 0.6, 1, 2 and 8, 5,000 steps, half of the paper's.",
        "seeds": 1,
        "cost": 65,
    },
    "full": {"setting": f"{_CONSTANT}; 13 scales from 0.1 to 8, the paper's 10,000 steps.", "seeds": 3, "cost": 975},
}
_CONTROL: dict[Size, Plan] = {
    "quick": {
        "setting": f"{_CONSTANT}; scales 0.3 to 8, and 8 at a rate of 0.008; 5,000 steps, half of the paper's.",
        "seeds": 1,
        "cost": 78,
    },
    "full": {
        "setting": f"{_CONSTANT}; 13 scales from 0.1 to 8, and 8 at a rate of 0.008; 10,000 steps.",
        "seeds": 3,
        "cost": 1050,
    },
}
_TEACHING = "The paper's own setting, as it takes seconds: 5-100-100-5, 100 examples, 100,000 steps."

CLAIMS = [
    Claim(
        id="landscape-lu",
        claim="At a constant norm training error falls to zero and stays there, an L; test error has a minimum, a U.",
        source="Omnigrok (arXiv 2210.01117), reduced landscapes",
        expected="200 digits: training error 0 from scale 0.6 on; lowest test error 0.18 near scale 1, 0.78 at 8",
        counter="Held to: training error above 0.05 at scale 0.3 and at most 0.005 from 0.6; least test error between "
        "0.6 and 2, 1.5 times as much at 0.3 and twice as much at 8.",
        quick=trial(_lu, "quick", _LANDSCAPE["quick"], "landscape"),
        full=trial(_lu, "full", _LANDSCAPE["full"], "landscape"),
    ),
    Claim(
        id="landscape-rate-control",
        claim="It is the norm that spoils generalisation at the U's right, not that Adam's steps are small beside it.",
        source="Omnigrok (arXiv 2210.01117), reduced landscapes; the control follows a public comment by L. Chan",
        expected="no such control in the paper: test error 0.78 at scale 8 at the usual rate, 0.18 near scale 1",
        counter="At a fixed rate Adam moves large weights by a smaller share. Held to: with the rate in proportion to "
        "the norm, test error at scale 8 is still twice the least.",
        quick=trial(_rate_with_norm, "quick", _CONTROL["quick"], "landscape"),
        full=trial(_rate_with_norm, "full", _CONTROL["full"], "landscape"),
    ),
    Claim(
        id="teacher-student",
        claim="In regression, too, a student with large initial weights fits first and generalises much later.",
        source="Omnigrok (arXiv 2210.01117), teacher and student",
        expected="90% of the training inputs at step 600; 62% of the others at 15,000, all at about 50,000",
        counter="Held to: 90% of the test inputs at least 1,000 steps after 90% of the training inputs.",
        quick=trial(_student, "quick", {"setting": _TEACHING, "seeds": 2, "cost": 40}, ""),
        full=trial(_student, "full", {"setting": _TEACHING, "seeds": 10, "cost": 200}, ""),
    ),
]
