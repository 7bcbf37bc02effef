"""Claims on the toy regression: its released runs, its phase diagrams, and what moves it between the phases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from groklab.experiment import Experiment, preset, read
from groklab.grokking import GAP, first_step
from groklab.measures import parallelogram_quality
from groklab.papers._published import published_map
from groklab.papers.liu2022.claims.runs import (
    FAST,
    NAMED,
    ORDER,
    PUBLISHED_SEED,
    RETIRING,
    Part,
    diagram,
    grid,
    implied,
    lines,
    phase_until,
    started,
)
from groklab.papers.liu2022.starts import published_start
from groklab.reproduction import Claim, Outcome, Trainer, Trial
from groklab.store import Run
from groklab.tasks import make_split
from groklab.training import build_task

#: Published steps count from 0 the updates that have been made before; ours the updates themselves.
LATER = 1


def published_step(run: Run, metric: str, member: int = 0) -> int | None:
    """Return the first step at which a metric reaches 0.9, as published steps are counted."""
    curves = run.curves(member)
    return first_step(curves["step"] - LATER, curves[metric] >= 0.9)


def _seed58(trainer: Trainer, seed: int) -> Outcome:
    run = trainer.train(preset("liu2022/seed58"))
    measured = run.measured
    assert measured is not None
    good = measured.filter(measured["parallelograms.rqi"] > 0.95)["step"]
    task, experiment = build_task(run.experiment), run.experiment
    train = make_split(experiment.split, task, experiment.seed).train
    last = parallelogram_quality(run.weights()["embed.W_E"], task, train)
    curves = run.curves()
    values: dict[str, Any] = {
        "initial_loss": float(curves["train_loss"][0]),
        "train_step": published_step(run, "train_accuracy"),
        "test_step": published_step(run, "test_accuracy"),
        "rqi_step": int(good[0]) - LATER if len(good) else None,
        "test_accuracy": float(curves["test_accuracy"][-1]),
        **{k: last[k] for k in ("rqi", "n_parallelograms_train", "null_dimension", "ideal_accuracy")},
    }
    expected = {"train_step": 1130, "test_step": 1529, "rqi_step": 800}
    near = all(values[k] is not None and abs(values[k] - v) <= 1 for k, v in expected.items())
    perfect = values["test_accuracy"] == 1 and last.rqi == 1 and last.ideal_accuracy == 1
    holds = near and perfect and abs(values["initial_loss"] - 0.981266) < 2e-6 and last.n_parallelograms_train == 44
    sentence = f"train, test, RQI at {values['train_step']}, {values['test_step']}, {values['rqi_step']}"
    return Outcome(values, holds, sentence)


def _column(trainer: Trainer, seed: int) -> Outcome:
    """The row of decay 0 of the released re-run of the regression diagram, slow rates: cells that are not chaotic."""
    published_cells = published_map("toy_fig5b")
    # (weight decay, rate): the first row, and the rates up to 4.6e-4
    rates = [10 ** (-5 + k / 3) for k in range(6)]
    settings = {"budget.steps": 10_000, "measures.names": [], "checkpoints.spacing": "none", "evaluation.every": 1}
    base = preset("liu2022/addition", {**settings, **started(trainer, 58, "trainer")})
    members = [read(base, {"optimiser.learning_rate": rate}) for rate in rates]
    run = trainer.train([replace(m, name="liu2022-column") for m in members])
    values: dict[str, Any] = {}
    worst = 0
    for i, rate in enumerate(rates):
        train, test = published_step(run, "train_accuracy", i), published_step(run, "test_accuracy", i)
        cell = published_cells.place({"optimiser.learning_rate": rate, "optimiser.weight_decay": 0.0})
        assert cell is not None
        theirs = (published_cells.train_steps[cell], published_cells.test_steps[cell])
        for name, own, wanted in (("train", train, theirs[0]), ("test", test, theirs[1])):
            values[f"{name}_step_at_{rate:.1e}"] = own
            if (own is None) != _never(wanted):
                worst = 10_000
            elif own is not None:
                # the published code sees test accuracy one update late
                worst = max(worst, abs(own - int(wanted)))
    sentence = f"six rates, train and test: published steps to within {worst}"
    return Outcome({**values, "largest_difference": worst}, worst <= 2, sentence)


def _released(run: Callable[[Trainer, int], Outcome], setting: str, cost: float) -> dict[str, Any]:
    """Return one trial of the published seed for both sizes."""
    trial = Trial(setting=setting, seeds=(PUBLISHED_SEED,), cost=cost, run=run, fixed=True)
    return {"quick": trial, "full": trial}


def _never(step: Any) -> bool:
    return step is None or not np.isfinite(step)


#: By rows (decoder rate) and columns (decay 0 to 10) of data_add_r. Where the decoder is fast, what happens happens
#: soon, and the cells that never generalise need not be trained for long.
DIAGRAM: dict[str, tuple[Part, ...]] = {
    "quick": (grid((5, 7), (0, 3, 6, 8, 10), 25_000), grid((8, 10, 13), (0, 3, 6, 8, 10), 10_000)),
    "full": (grid(range(16), range(11), 100_000),),
}
#: By rows (decoder rate) and columns (representation rate) of data_add_r_reprlr.
RATES: dict[str, tuple[Part, ...]] = {
    "quick": (
        grid((0,), (0, 4, 8, 12), 30_000),
        grid((2, 4), (2, 4, 6, 8, 10, 12), 10_000),
        grid((6, 8, 10), (2, 4, 6, 8, 10, 12), 3000),
    ),
    "full": (grid(range(13), range(13), 100_000),),
}
#: The first nine rates at decay 0: the slow ones, and those that are compared step by step.
POWER_LAW: dict[str, tuple[Part, ...]] = {
    "quick": (grid(range(5), (0,), 30_000), grid((5, 6, 7, 8), (0,), 5000, every=1)),
    "full": (grid(range(9), (0,), 100_000, every=1),),
}


def _as_published(cells: pl.DataFrame) -> dict[str, Any]:
    same = int((cells["letter"] == cells["published_letter"]).sum())
    return {"cells": len(cells), "cells_as_published": same, "share_as_published": same / len(cells)}


def _share(letters: pl.Series, wanted: str) -> float:
    return float((letters == wanted).mean()) if len(letters) else 0.0  # type: ignore[arg-type]


def _phases(size: str, trainer: Trainer, seed: int) -> Outcome:
    cells = diagram(trainer, "phase-diagram", published_map("data_add_r"), DIAGRAM[size], seed)
    counts = {name: int((cells["letter"] == letter).sum()) for name, letter in NAMED.items()}
    slow, fast = cells.filter(pl.col("rate") < FAST), cells.filter(pl.col("rate") >= FAST)
    back, neighbours = _steps_back(slow)
    memorising = _share(fast.filter(pl.col("other") <= 4)["letter"], "M")
    confused = _share(cells.filter((pl.col("rate") >= 0.99e-3) & (pl.col("other") >= 6))["letter"], "X")
    values: dict[str, Any] = {**counts, "map": " ".join(lines(cells)), **_as_published(cells)}
    values["share_that_the_training_set_implies"] = implied(seed)
    values |= {"slow_decoder_steps_back": back, "slow_decoder_neighbours": neighbours}
    values |= {"fast_with_low_decay_memorising": memorising, "fast_with_high_decay_confused": confused}
    holds = min(counts.values()) > 0 and back <= 0.05 * neighbours and min(memorising, confused) >= 0.8
    sentence = (
        ", ".join(f"{n} of {name}" for name, n in counts.items())
        + f"; {values['cells_as_published']} of {len(cells)} cells as published; fast decoders memorise in "
        f"{memorising:.0%} of the cells of low decay and confuse in {confused:.0%} of those of high decay"
    )
    return Outcome(values, holds, sentence)


def _steps_back(slow: pl.DataFrame) -> tuple[int, int]:
    """Neighbours along the decay whose phases are not in the order C, G, M, X; and how many neighbours there are."""
    back = neighbours = 0
    for word in lines(slow):
        places = [ORDER.find(letter) for letter in word]
        back += sum(b < a for a, b in itertools.pairwise(places))
        neighbours += len(word) - 1
    return back, neighbours


def _power_law(size: str, trainer: Trainer, seed: int) -> Outcome:
    cells = diagram(trainer, "val-step", published_map("data_add_r"), POWER_LAW[size], seed)
    values: dict[str, Any] = {}
    for part in ("train", "test"):
        steps = cells[f"{part}_step"].to_list()
        values[f"{part}_steps"] = steps
        values[f"{part}_exponent"] = _exponent(cells.filter(pl.col("rate") < FAST), f"{part}_step")
    worst = {}
    for name, some in (("slow", cells["rate"] < 0.99e-4), ("fast", cells["rate"] >= 0.99e-4)):
        worst[name] = _furthest(cells.filter(some))
        values[f"{name}_furthest_from_published"] = worst[name]
    slope, never = values["test_exponent"], values["test_steps"][-1] is None
    values["fastest_never_generalises"] = never
    far = worst["fast"]
    holds = slope is not None and abs(slope + 0.97) < 0.05 and never and far is not None and far <= 0.01
    sentence = f"test steps go as the decoder's rate to the power {slope:.3f}" if slope is not None else "no power law"
    if far is not None:
        sentence += f"; from 1e-4 on all steps are within {far:.2%} of the published ones"
    return Outcome(values, bool(holds), sentence)


def _exponent(cells: pl.DataFrame, column: str) -> float | None:
    """Slope of log steps over log rate, None with fewer than three cells that got there."""
    reached = cells.drop_nulls(column)
    if len(reached) < 3:
        return None
    return float(np.polyfit(np.log(reached["rate"].to_numpy()), np.log(reached[column].to_numpy()), 1)[0])


def _furthest(cells: pl.DataFrame) -> float | None:
    """The largest relative distance of a step from the published one, None where only one of the two got there."""
    distances = [0.0]
    for part in ("train", "test"):
        for own, theirs in zip(cells[f"{part}_step"], cells[f"published_{part}"], strict=True):
            if (own is None) != (theirs is None):
                return None
            if own is not None:
                distances.append(abs(own / theirs - 1))
    return max(distances)


def _rates(size: str, trainer: Trainer, seed: int) -> Outcome:
    cells = diagram(trainer, "representation-rate", published_map("data_add_r_reprlr"), RATES[size], seed)
    cells = cells.with_columns(ratio=pl.col("other") / pl.col("rate"), gap=pl.col("test_step") - pl.col("train_step"))
    generalises = pl.col("test_step").is_not_null()
    high, low = cells.filter(pl.col("ratio") > 9), cells.filter(pl.col("ratio") < 1.1)
    wrong = len(high.filter(~generalises)) + len(low.filter(generalises))
    bounds = _bounds(cells)
    # the gap of the fastest representation, from the slowest decoder to the fastest
    gaps = cells.filter(pl.col("other") == cells["other"].max()).drop_nulls("gap").sort("rate")["gap"].to_list()
    falls = len(gaps) > 2 and sum(b > a for a, b in itertools.pairwise(gaps)) <= len(gaps) // 6
    values: dict[str, Any] = {"map": " ".join(lines(cells)), **_as_published(cells)}
    values |= {"from_ratio_10_generalising": len(high.filter(generalises)), "from_ratio_10": len(high)}
    values |= {"to_ratio_1_generalising": len(low.filter(generalises)), "to_ratio_1": len(low)}
    values |= {"least_ratio_by_decoder_rate": bounds, "gaps_from_slowest_decoder": gaps}
    late = bool(gaps) and gaps[0] >= GAP > gaps[-1]
    holds = wrong <= 0.05 * (len(high) + len(low)) and falls and late
    sentence = (
        f"{len(high.filter(generalises))} of {len(high)} cells with a representation 10 times as fast as the "
        f"decoder or more generalise, {len(low.filter(generalises))} of {len(low)} with one no faster; delays at "
        f"the fastest representation {gaps} from the slowest decoder to the fastest"
    )
    return Outcome(values, holds, sentence)


def _bounds(cells: pl.DataFrame) -> list[float | None]:
    """By decoder rate, the least ratio of rates that generalises."""
    bounds: list[float | None] = []
    for _, of in cells.group_by("row", maintain_order=True):
        ratios = of.drop_nulls("test_step")["ratio"].to_list()
        bounds.append(round(min(ratios), 2) if ratios else None)
    return bounds


_TOY = "The toy regression from the published code's own initial weights, its notebooks' training set of 45 of 55 pairs"


#: Size of mini-batches of the 45 training pairs.
BATCH = 15
#: Factors of the decoder's initial weights.
SCALES = (0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Delay:
    """A member's phase, and the steps from training's threshold to the test's.

    steps: None where training did not get there; at least so many, up to the budget, where `censored`.
    """

    phase: str
    steps: int | None
    censored: bool

    def longer(self, other: Delay) -> bool | None:
        """Return whether this delay is longer than another; None where that cannot be known."""
        if self.steps is None or other.steps is None or (self.censored and other.censored):
            return None
        if self.censored:
            return True if self.steps >= other.steps else None
        if other.censored:
            return False if self.steps <= other.steps else None
        return self.steps > other.steps


def _delays(trainer: Trainer, members: Sequence[Experiment], steps: int) -> list[Delay]:
    run = trainer.train(members)
    delays = []
    for i in range(len(members)):
        phase = phase_until(run, i, steps)
        censored = phase.train_step is not None and phase.gap is None
        lasts = steps - phase.train_step if censored and phase.train_step is not None else phase.gap
        delays.append(Delay(phase.phase, lasts, censored))
    return delays


def _settings(steps: int, name: str) -> dict[str, Any]:
    _, rows = published_start(PUBLISHED_SEED, recipe="notebook")
    return {**RETIRING, "split.rows": rows, "budget.steps": steps, "evaluation.every": 20, "name": name}


def _by_scale(trainer: Trainer, seeds: Sequence[int], steps: int) -> list[dict[float, Delay]]:
    """Of each seed, the delay with each initial scale, at full batch."""
    settings = _settings(steps, "liu2022-initial-scale")
    cells = [{"seed": seed, "network.init_scale": scale} for seed in seeds for scale in SCALES]
    delays = iter(_delays(trainer, [preset("liu2022/diagram", {**settings, **own}) for own in cells], steps))
    return [{scale: next(delays) for scale in SCALES} for _ in seeds]


def _initial_scale(steps: int, trainer: Trainer, seeds: Sequence[int]) -> list[Outcome]:
    named = [{f"scale_{x:g}": d for x, d in of.items()} for of in _by_scale(trainer, seeds, steps)]
    return [_finding(of, f"scale_{SCALES[0]:g}", f"scale_{SCALES[-1]:g}") for of in named]


def _batch_size(steps: int, trainer: Trainer, seeds: Sequence[int]) -> list[Outcome]:
    full = [of[1.0] for of in _by_scale(trainer, seeds, steps)]
    settings = {**_settings(steps, "liu2022-batches"), "batch_size": BATCH}
    small = _delays(trainer, [preset("liu2022/diagram", {**settings, "seed": seed}) for seed in seeds], steps)
    named = [{f"batch_{BATCH}": s, "batch_full": f} for s, f in zip(small, full, strict=True)]
    return [_finding(of, "batch_full", f"batch_{BATCH}") for of in named]


def _finding(by_name: dict[str, Delay], short: str, long: str) -> Outcome:
    """Whether the delay by the name `long` is longer than that by the name `short`."""
    values: dict[str, Any] = {name: of.phase for name, of in by_name.items()}
    values |= {f"{name}_delay": of.steps for name, of in by_name.items()}
    values["longer"] = by_name[long].longer(by_name[short])
    sentences = [f"{name.replace('_', ' ')}: {of.phase}{_in_words(of)}" for name, of in by_name.items()]
    return Outcome(values, values["longer"] is True, "; ".join(sentences))


def _in_words(delay: Delay) -> str:
    if delay.steps is None:
        return ""
    return f", not within {delay.steps:,} steps" if delay.censored else f", after {delay.steps:,} steps"


_SETTING = (
    "The toy regression, decoder rate 1e-4 without decay, on the training set of the published seed, from initial "
    "weights of the seeds; {}; {} steps, all seeds side by side."
)
_COUNTER = (
    "Known second-hand and without numbers. Delays are in steps; where both outlast the budget they cannot be "
    "compared, and the claim does not hold for the seed."
)
_BATCHES, _SCALES = "batches of 15 pairs and of all 45", "the decoder's initial weights times 0.3, 1 and 3"


def _trials(what: str, made: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {"together": True, "shares": "trends"}
    quick = Trial(setting=_SETTING.format(what, "20,000"), seeds=3, cost=30, run=partial(made, 20_000), **shared)
    full = Trial(setting=_SETTING.format(what, "100,000"), seeds=10, cost=500, run=partial(made, 100_000), **shared)
    return {"quick": quick, "full": full}


CLAIMS = [
    Claim(
        id="seed-58",
        claim="The released run with seed 58 is reproduced step by step.",
        source="toy trainer of the released code, its demo notebook",
        expected="loss 0.981266 at the start; 90% of training and test at steps 1,130 and 1,529, RQI 0.95 at 800 (±1); "
        "all right and RQI 1 in the end; 44 equations, ideal accuracy 1",
        counter="The published code prints 1,530: it sees test accuracy one update late.",
        **_released(_seed58, "The run itself.", 10),
    ),
    Claim(
        id="diagram-column",
        claim="The released diagram's cells without decay are reproduced step by step where they are not chaotic.",
        source="released re-run of figure 6b (its figure 5b), decay 0, rates 1e-5 to 4.6e-4",
        expected="train 8837, 4486, 1995, 1130, 2248, 963; test never, 6413, 3319, 1529, never, never (±1)",
        counter="A step more is allowed for the lag of the published test accuracy. At rates of 1e-3 and more rounding "
        "decides: up to 30% in the specification's own re-run.",
        **_released(_column, "The six cells themselves.", 30),
    ),
    Claim(
        id="phase-diagram",
        claim="Decoder rate and decay span four phases: grokking lies between comprehension and memorisation, a fast "
        "decoder memorises, and with high decay it confuses.",
        source="section 4.1, figure 6 (data_add_r of the released grids)",
        expected="all four phases; of a slow decoder comprehension, grokking, memorisation as decay grows; rates from "
        "4e-4 with decay to 4 memorise; faster ones with high decay confuse; 17, 60, 60, 39 cells in all",
        counter="The published diagram is one seed, 58, with 10 test pairs, all of which its training set implies. "
        "Where two are not implied, as with seed 0, 90% is a matter of luck, and there is neither comprehension nor "
        "grokking. The bars are ours: 80% of the cells of fast decoders with low and with high "
        "decay, 5% of neighbours out of order for slow ones. Cells are compared with the published run cut off at the "
        "same step.",
        quick=Trial(
            setting=f"{_TOY}; 25 of the 176 published cells: decoder rates 1e-4 and 2.5e-4 for 25,000 steps, 4e-4, "
            "1e-3 and 4e-3 for 10,000, each with decay 0, 3, 6, 8, 10; where rates are higher, phases show sooner.",
            seeds=(PUBLISHED_SEED, 0, 1),
            cost=150,
            run=partial(_phases, "quick"),
        ),
        full=Trial(
            setting=f"{_TOY}; all 176 published cells, 100,000 steps.",
            seeds=(PUBLISHED_SEED, 0, 1),
            cost=8500,
            run=partial(_phases, "full"),
        ),
    ),
    Claim(
        id="val-step-power-law",
        claim="Without decay the step at which test accuracy passes 90% is a power law in the decoder's rate, until "
        "the decoder is too fast.",
        source="figure 6 (data_add_r of the released grids, decay 0)",
        expected="published test steps 21295, 13272, 8304, 5458, 3413, 2076, 1504, 923 for rates 1e-5 to 2.5e-4, which "
        "is the rate to the power −0.97, and never at 4e-4; from 1e-4 on the same steps here, counted from 1",
        counter="That is one seed. The bar on the published steps from 1e-4 on is 1%, as rounding differs between "
        "processors, and 0.05 on the exponent.",
        quick=Trial(
            setting=f"{_TOY}; the nine published rates 1e-5 to 4e-4 at decay 0, the slow ones for up to 30,000 steps "
            "and measured every 20, from 1e-4 on for 5,000 and measured at each.",
            seeds=(PUBLISHED_SEED,),
            fixed=True,
            cost=20,
            run=partial(_power_law, "quick"),
        ),
        full=Trial(
            setting=f"{_TOY}; the nine published rates 1e-5 to 4e-4 at decay 0 for 100,000 steps, measured at each.",
            seeds=(PUBLISHED_SEED,),
            fixed=True,
            cost=60,
            run=partial(_power_law, "full"),
        ),
    ),
    Claim(
        id="representation-rate",
        claim="The toy generalises where the representation learns several times as fast as the decoder; with a slow "
        "decoder it does so late.",
        source="section 4.1, figure 6a (data_add_r_reprlr of the released grids)",
        expected="generalises from a representation rate of 3 to 6 times the decoder's on; the delay grows as the "
        "decoder slows, from comprehension to grokking",
        counter="That is one seed; other training sets may generalise at no ratio within these steps. The bars are "
        "ours: 95% of the cells of ratio 10 and more, and of 1 and less, on their sides; delays at the fastest "
        "representation that fall with the decoder's rate (but for one step in six), from above 1,000 to below.",
        quick=Trial(
            setting=f"{_TOY}; 34 of the 169 published cells: decoder rates 1e-5 (30,000 steps), 3e-5 and 1e-4 "
            "(10,000), 3e-4, 1e-3 and 3e-3 (3,000), each with representation rates up to 1e-2; no published cell of "
            "these that generalises takes longer.",
            seeds=(PUBLISHED_SEED,),
            cost=60,
            run=partial(_rates, "quick"),
        ),
        full=Trial(
            setting=f"{_TOY}; all 169 published cells, 100,000 steps.",
            seeds=(PUBLISHED_SEED, 0, 1),
            cost=8500,
            run=partial(_rates, "full"),
        ),
    ),
    Claim(
        id="batch-size",
        claim="Smaller batches lead from comprehension towards grokking.",
        source="appendix G",
        expected="direction only: a longer delay with small batches than with full ones",
        counter=_COUNTER,
        **_trials(_BATCHES, _batch_size),
    ),
    Claim(
        id="initial-scale",
        claim="Smaller initial weights lead from grokking towards comprehension.",
        source="appendix G",
        expected="direction only: a shorter delay with a small initial scale than with a large one",
        counter=f"{_COUNTER} Which weights are scaled is not said; here it is the decoder's.",
        **_trials(_SCALES, _initial_scale),
    ),
]
