"""Claims on embeddings of addition mod p: their effective dimension, and the circle that they come to lie on."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.experiment.presets import preset
from groklab.reproduction import Bench, Claim, Finding, Trial
from groklab.store.run import Run

#: Share of the first two components that one frequency has on an ordered circle, here.
CIRCLE = 0.75


def on_one_circle(coordinates: np.ndarray) -> tuple[int, float]:
    """The frequency k that the most of points (p, 2) is of, and the share of their variance that is.

    The share is 1 where point a lies at the angle 2 pi k a / p of a circle (or an ellipse), and about 2 / (p - 1) each
    for points in no order.
    """
    power = (np.abs(np.fft.fft(coordinates - coordinates.mean(axis=0), axis=0)) ** 2).sum(axis=1)
    shares = power[1 : (len(coordinates) + 1) // 2] / power[1:].sum()
    # k and p - k are one frequency of real coordinates
    return int(shares.argmax()) + 1, 2 * float(shares.max())


def _measured(run: Run, steps: int) -> pl.DataFrame:
    assert run.measured is not None
    return run.measured.filter(pl.col("step") <= steps).sort("step")


def _points(row: list[list[float]]) -> np.ndarray:
    return np.array(row)[:, :2]


def _first(curve: np.ndarray, steps: np.ndarray, bar: float) -> int | None:
    reached = np.flatnonzero(curve >= bar)
    return int(steps[reached[0]]) if len(reached) else None


def _grokking_embedding(name: str, steps: int) -> Any:
    def run(bench: Bench, seed: int) -> Finding:
        trained = bench.train(preset(name, {"seed": seed, "budget.steps": steps}))
        curves, found = trained.curves(), _measured(trained, steps)
        kept = curves["step"] <= steps
        at, right = curves["step"][kept], curves["test_accuracy"][kept]
        values: dict[str, Any] = {"memorised_at": _first(curves["train_accuracy"][kept], at, 0.99)}
        values |= {f"test_{bar:.0%}_at": _first(right, at, bar) for bar in (0.1, 0.5, 0.9)}
        dimension, measured_at = found["embedding_components.effective_dimension"].to_numpy(), found["step"].to_numpy()
        peak = int(dimension.argmax())
        values |= {"dimension_at_start": float(dimension[0]), "dimension_at_most": float(dimension[peak])}
        values |= {"dimension_at_most_at": int(measured_at[peak]), "dimension_at_end": float(dimension[-1])}
        values["test_accuracy_at_most_dimension"] = float(np.interp(measured_at[peak], at, right))
        frequencies, shares = zip(
            *(on_one_circle(_points(row)) for row in found["embedding_components.coordinates"].to_list()), strict=True
        )
        values |= {"circle_frequency": frequencies[-1], "circle_share_at_end": shares[-1]}
        values["circle_share_at_start"] = shares[0]
        ten, half, ninety = (values[f"test_{bar}%_at"] for bar in (10, 50, 90))
        holds = False
        if ninety is not None:
            before, after = (float(np.interp(step, measured_at, dimension)) for step in (ten, ninety))
            values |= {"dimension_at_test_10%": before, "dimension_at_test_90%": after}
            holds = 0 < measured_at[peak] < half and dimension[-1] < after < before
            holds = holds and shares[-1] > max(CIRCLE, 2 * shares[0])
        said = (
            f"effective dimension {dimension[0]:.1f} at the start, {dimension[peak]:.1f} at step "
            f"{measured_at[peak]:,}, {dimension[-1]:.1f} in the end; test accuracy passes 50% at step {half}; the "
            f"first two components go from {shares[0]:.0%} to {shares[-1]:.0%} of one frequency, {frequencies[-1]}"
        )
        return Finding(values, bool(holds), said)

    return run


CLAIMS = [
    Claim(
        id="effective-dimension",
        claim="The effective dimension of the embeddings rises at first and falls as the network generalises, while "
        "they come to lie on an ordered circle.",
        source="section 4.2, figures 1 and 7",
        expected="exp(S) of the components' shares of variance rises to generalisation, and then falls; the first two "
        "components show a circle of the numbers in order (or in steps of a frequency) when test accuracy has risen",
        counter="Direction only: no code and no numbers are published for it. The authors show a transformer, and note "
        "that the first components can mix several frequencies; the bar, 75% of their variance of one frequency, is "
        "ours.",
        quick=Trial(
            setting="Addition mod 53 from 60% of the pairs, by a network of one hidden layer on embeddings of width "
            "128, after one of the authors' public demonstration: it groks in 6,000 steps, where the transformer "
            "takes minutes. The table starts uniform with deviation 1, and biases at zero.",
            seeds=2,
            cost=45,
            run=_grokking_embedding("liu2022/mlp-53", 6000),
        ),
        full=Trial(
            setting="Addition mod 53 from half of the pairs, by a transformer of one layer and width 256, 20,000 "
            "steps.",
            seeds=3,
            cost=3000,
            run=_grokking_embedding("liu2022/transformer-53", 20_000),
        ),
    ),
]
