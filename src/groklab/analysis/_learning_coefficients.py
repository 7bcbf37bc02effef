"""The local learning coefficient over a run's checkpoints, with what is needed to judge the chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis._checkpoints import is_finite, task_of
from groklab.errors import InputError
from groklab.measures import chains_around
from groklab.store import Run, thin_evenly
from groklab.tasks import as_trained, make_split
from groklab.theory import Chains, Sampling

#: Checkpoints that are sampled unless others are asked for.
CHECKPOINTS = 30
#: Share of the distance to which the pull alone would let chains go, from which it is what holds them.
HELD = 0.95
#: R̂ from which chains are called too short (Vehtari et al. 2021).
R_HAT = 1.01


@dataclass(frozen=True, eq=False)
class LearningCoefficients:
    """Local learning coefficients by step.

    Attributes:
        run: the run's name.
        member: of an ensemble.
        sampling: how they were sampled.
        chains: the chains around each checkpoint, by step.
    """

    run: str
    member: int
    sampling: Sampling
    chains: Mapping[int, Chains]

    def frame(self) -> pl.DataFrame:
        """Return one row per checkpoint: step, learning_coefficient, chain_min, chain_max, loss, r_hat, distance,
        problem.
        """
        rows = [
            {
                "step": step,
                "learning_coefficient": c.estimate,
                "chain_min": float(c.estimates.min()),
                "chain_max": float(c.estimates.max()),
                "loss": c.start,
                "r_hat": c.r_hat,
                "distance": float(c.distances[:, -1].mean()),
                "problem": c.problem,
            }
            for step, c in self.chains.items()
        ]
        return pl.DataFrame(rows)

    def traces(self, step: int | None = None) -> pl.DataFrame:
        """Return each chain's draws at a step, by default the last: draw, chain, loss, running estimate, distance."""
        step = max(self.chains) if step is None else step
        if step not in self.chains:
            raise InputError("step", step, f"needs one of {', '.join(map(str, self.chains))}")
        c = self.chains[step]
        n_chains, n = c.losses.shape
        running = c.nbeta * (np.cumsum(c.losses, axis=1) / np.arange(1, n + 1) - c.start)
        return pl.DataFrame(
            {
                "step": np.full(n_chains * n, step),
                "draw": np.tile(np.arange(n), n_chains),
                "chain": np.repeat(np.arange(n_chains), n),
                "loss": c.losses.ravel(),
                "estimate": running.ravel(),
                "distance": c.distances.ravel(),
            }
        )

    def sentences(self) -> list[str]:
        """Return the course of the coefficient, where it is largest, and what is wrong with chains."""
        frame = self.frame()
        known = frame.filter(pl.col("learning_coefficient").is_finite())
        sentences = []
        if len(known):
            peak = known.row(int(known["learning_coefficient"].arg_max() or 0), named=True)
            last = known.row(-1, named=True)
            sentences.append(
                f"The local learning coefficient is {peak['learning_coefficient']:.3g} at most, at step "
                f"{peak['step']:,}, and {last['learning_coefficient']:.3g} at step {last['step']:,}."
            )
            rough = known.filter(pl.col("r_hat") > R_HAT)
            if len(rough):
                worst = float(rough["r_hat"].to_numpy().max())
                sentences.append(
                    f"R-hat is above {R_HAT} at {len(rough)} of {len(known)} checkpoints, {worst:.2f} at most: their "
                    "chains have not settled, so that estimates hang on draws and burn_in."
                )
        share = self._share_of_pull()
        if share is not None and share >= HELD:
            sentences.append(
                f"Chains end {share:.0%} as far from the weights as the pull alone would let them go (|w − w*| = "
                "√(d / γ) for d weights): at this temperature the loss hardly holds them, so that estimates compare "
                "checkpoints, and do not count weights."
            )
        for (problem,), rows in frame.filter(pl.col("problem") != "").group_by("problem", maintain_order=True):
            steps = ", ".join(f"{s:,}" for s in rows["step"][:5]) + (" and others" if len(rows) > 5 else "")
            sentences.append(f"No estimate at step {steps}: {problem}.")
        return sentences

    def _share_of_pull(self) -> float | None:
        """Return the median final distance over that without any loss, √(d / γ); None without a pull."""
        last = [float(c.distances[:, -1].mean()) for c in self.chains.values() if not c.problem]
        n = max((c.n_weights for c in self.chains.values()), default=0)
        if not last or not n or not self.sampling.gamma:
            return None
        return float(np.median(last) / np.sqrt(n / self.sampling.gamma))

    def to_dict(self) -> dict[str, Any]:
        """Return settings, values by step and sentences."""
        return {
            "run": self.run,
            "member": self.member,
            "sampling": asdict(self.sampling),
            **self.frame().to_dict(as_series=False),
            "sentences": self.sentences(),
        }


def learning_coefficient(
    run: Run, member: int = 0, steps: Sequence[int] | None = None, sampling: Sampling | None = None, **settings: Any
) -> LearningCoefficients:
    """Estimate the local learning coefficient at a run's checkpoints, from its training set alone (Lau et al. 2023).

    Args:
        run: whose checkpoints.
        member: of an ensemble.
        steps: which checkpoints; None takes about thirty.
        sampling: how the posterior is sampled; None is devinterp's notebook on modular addition, in one compiled
            program for all checkpoints.
        settings: fields of `Sampling` that replace those.

    Raises:
        InputError: for a step that is not kept, an unknown setting, and as `groklab.measures.chains_around` does.
    """
    sampling = _sampling(sampling, settings)
    steps = thin_evenly(run.checkpoints, CHECKPOINTS) if steps is None else steps
    return LearningCoefficients(run.name, member, sampling, dict(_sampled(run, member, steps, sampling)))


def learning_coefficient_grid(
    run: Run,
    step: int | None = None,
    epsilons: Sequence[float] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    nbetas: Sequence[float] = (1.0, 2.0, 5.0, 10.0, 20.0),
    member: int = 0,
    sampling: Sampling | None = None,
    **settings: Any,
) -> pl.DataFrame:
    """Estimate one checkpoint's coefficient over step sizes and temperatures; where it is flat it can be believed.

    Args:
        step: None is the last checkpoint.

    Returns:
        A frame with columns epsilon, nbeta, learning_coefficient (NaN where a chain diverged or is negative),
        chain_min, chain_max, r_hat, distance and problem.
    """
    sampling, rows = _sampling(sampling, settings), []
    step = run.checkpoints[-1] if step is None else step
    for epsilon in epsilons:
        for nbeta in nbetas:
            own = replace(sampling, epsilon=epsilon, nbeta=nbeta)
            result = LearningCoefficients(run.name, member, own, dict(_sampled(run, member, [step], own)))
            rows.append(result.frame().with_columns(epsilon=pl.lit(epsilon), nbeta=pl.lit(nbeta)))
    return pl.concat(rows).select("epsilon", "nbeta", pl.exclude("epsilon", "nbeta"))


def _sampling(sampling: Sampling | None, settings: Mapping[str, Any]) -> Sampling:
    try:
        return replace(sampling or Sampling(), **settings)
    except TypeError:
        known = list(asdict(Sampling()))
        unknown = next(name for name in settings if name not in known)
        raise InputError(unknown, settings[unknown], f"is not one of {', '.join(known)}") from None


def _sampled(run: Run, member: int, steps: Sequence[int], sampling: Sampling) -> Any:
    experiment, task = run.experiments[member], task_of(run, member)
    split = make_split(experiment.split, task, experiment.seed)
    task = as_trained(task, split)
    for step in steps:
        weights = run.weights(step, member)
        if is_finite(weights):
            yield step, chains_around(weights, task, split.train, experiment.model, experiment.objective, sampling)
