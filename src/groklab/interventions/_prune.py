"""Pruning by a mask, and rewinding: grokking tickets (Minegishi et al. 2023, arXiv 2310.19470)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from groklab.interventions._base import Change, Intervention, Moment, draws, matching, norm_of, restarted
from groklab.interventions._reset import step_of
from groklab.registry import register


@register("intervention", "prune")
class Prune(Intervention):
    """Set a share of the weights to zero, and keep them there; the others may go back to an earlier step.

    Attributes:
        share: of the entries that match, the share that is set to zero.
        by: 'magnitude' takes the smallest, 'random' any.
        scope: 'all' compares the entries of all matrices, 'each' prunes this share of each.
        weights: a pattern of names.
        rewind: 'initial', or an earlier step, to whose weights all trained weights go back, with fresh moments; None
            goes on from the present ones.
        seed: of the random choice; None takes one of the experiment's.
    """

    share: Annotated[float, Gt(0), Lt(1)]
    by: Literal["magnitude", "random"] = "magnitude"
    scope: Literal["all", "each"] = "all"
    weights: str = "*"
    rewind: Literal["initial"] | Annotated[int, Ge(0)] | None = None
    seed: Annotated[int, Ge(0), Lt(2**63)] | None = None

    def patterns(self) -> tuple[tuple[str, str], ...]:
        """Return its pattern."""
        return (("weights", self.weights),)

    def keeps(self) -> tuple[int, ...]:
        """Return the step that it goes back to."""
        return () if self.rewind is None else (step_of(self.rewind),)

    def apply(self, moment: Moment) -> Change:
        """Choose what is pruned by the present weights, and rewind."""
        state, names = moment.state, matching(moment.trained, self.weights)
        sizes = {k: state["weights"][k].size for k in names}
        offsets = dict(zip(names, np.cumsum([0, *sizes.values()])[:-1], strict=True))
        random = draws(sum(sizes.values()), moment.seed).astype(np.float64) if self.by == "random" else None
        scores = {}
        for k in names:
            own = np.abs(state["weights"][k]).astype(np.float64).ravel()
            if random is not None:
                own = random[offsets[k] : offsets[k] + sizes[k]]
            # what was pruned before stays so
            scores[k] = np.where(state["masks"][k].ravel(), own, -1.0) if "masks" in state else own
        chosen = [names] if self.scope == "all" else [[k] for k in names]
        left: dict[str, np.ndarray] = {}
        for group in chosen:
            joined = np.concatenate([scores[k] for k in group])
            keep = np.ones(len(joined), np.bool_)
            keep[np.argsort(joined, kind="stable")[: int(self.share * len(joined))]] = False
            parts = np.split(keep, np.cumsum([sizes[k] for k in group])[:-1])
            left |= {k: part.reshape(state["weights"][k].shape) for k, part in zip(group, parts, strict=True)}
        blank = {k: np.ones(v.shape, np.bool_) for k, v in state["weights"].items()}
        masks = {**blank, **state.get("masks", {}), **left}
        new: dict[str, Any] = dict(state)
        if self.rewind is not None:
            source = moment.kept(step_of(self.rewind))
            new |= restarted(moment, {k: source[k] for k in moment.trained}, list(moment.trained))
        new["weights"] = {k: np.where(masks[k], v, np.zeros_like(v)) for k, v in new["weights"].items()}
        pruned, total = sum(int((~left[k]).sum()) for k in names), sum(sizes.values())
        sentence = f"pruned {pruned:,} of {total:,} weights by {self.by}"
        if self.by == "random":
            sentence = f"pruned {pruned:,} of {total:,} weights at random"
        if self.rewind is not None:
            sentence += f", and took the others back to step {step_of(self.rewind):,}"
        norm = norm_of({k: new["weights"][k] for k in moment.trained})
        return Change(f"{sentence} (norm {norm:.4g})", state={**new, "masks": masks})
