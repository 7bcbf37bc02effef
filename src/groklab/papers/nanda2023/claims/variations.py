"""Claims on other settings and other tasks: fractions, decay, depth, width, primes, precision, sequences."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from groklab.analysis import take
from groklab.experiment import preset, read
from groklab.grokking import first_step
from groklab.measures import find_frequencies
from groklab.papers.nanda2023.claims.runs import final, mainline, trial
from groklab.reproduction import Claim, Outcome, Trainer, Trial
from groklab.store import Run

QUICK_STEPS = 8_000
SMALL = "Addition mod 59 at decay 2 (the preset demo), where a run takes seconds"


def _vary(trainer: Trainer, size: str, seed: int, what: str, steps: int, **settings: Any) -> Run:
    """A run of the small setting (`quick`) or of the mainline, until it has grokked or its steps are over."""
    dotted = {k.replace("__", "."): v for k, v in settings.items()}
    settings = {"name": f"nanda2023-{size}-{what}", "seed": seed, "budget.steps": steps, "checkpoints.per_decade": 1}
    stop = {"budget.stop_when_grokked": True, "budget.extra_steps": 200}
    return trainer.train(preset("demo" if size == "quick" else "nanda2023", {**settings, **stop, **dotted}))


def _grokked(run: Run) -> int | None:
    return run.status.members[0].grokked_step


def _end(run: Run) -> tuple[int | None, float]:
    member = run.status.members[0]
    return member.memorised_step, member.test_accuracy or 0.0


def _fractions(trainer: Trainer, size: str, seed: int) -> Outcome:
    fractions = (0.4, 0.5, 0.6, 0.8) if size == "quick" else (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    budget = QUICK_STEPS if size == "quick" else 40_000
    reached: list[int | None] = []
    peaks = []
    for f in fractions:
        run = _vary(trainer, size, seed, f"fraction-{f}", budget, split__frac_train=f)
        reached.append(_grokked(run))
        peaks.append(float(np.nanmax(run.curves()["test_loss"])))
    known = [r for r in reached if r is not None]
    falling = known == reached and all(a > b for a, b in pairwise(known))
    holds = falling and peaks[-1] < 6 < peaks[0]
    values: dict[str, Any] = {f"grokked_at_{f}": r for f, r in zip(fractions, reached, strict=True)}
    values |= {f"peak_test_loss_at_{f}": v for f, v in zip(fractions, peaks, strict=True)}
    sentence = ", ".join(f"{f:.0%}: {r}" for f, r in zip(fractions, reached, strict=True))
    return Outcome(values, holds, f"grokked at {sentence}")


def _decay(trainer: Trainer, size: str, seed: int) -> Outcome:
    decays = (1.0, 4.0) if size == "quick" else (0.1, 1.0)
    budget = 20_000 if size == "quick" else 130_000
    reached = [_grokked(_vary(trainer, size, seed, f"decay-{d}", budget, optimiser__weight_decay=d)) for d in decays]
    ratio = reached[0] / reached[1] if reached[0] and reached[1] else None
    share = ratio / (decays[1] / decays[0]) if ratio else None
    values = {**{f"grokked_at_decay_{d}": r for d, r in zip(decays, reached, strict=True)}, "ratio": ratio}
    holds = share is not None and 0.5 < share < 2
    return Outcome(values, holds, f"{reached[0]} steps at decay {decays[0]}, {reached[1]} at {decays[1]}")


def _never(
    what: str, quick_steps: int, full_steps: int, trainer: Trainer, size: str, seed: int, **settings: Any
) -> Outcome:
    """A trial that memorises and does not generalise within its steps."""
    steps = quick_steps if size == "quick" else full_steps
    memorised, accuracy = _end(_vary(trainer, size, seed, what, steps, **settings))
    values = {"memorised_step": memorised, "test_accuracy": accuracy, "steps": steps}
    sentence = f"memorised at {memorised}, test accuracy {accuracy:.1%} after {steps:,} steps"
    return Outcome(values, memorised is not None and accuracy < 0.9, sentence)


def _groks(
    what: str, quick_steps: int, full_steps: int, trainer: Trainer, size: str, seed: int, **settings: Any
) -> Outcome:
    """A trial that memorises, and groks at least twice as late."""
    trained = _vary(trainer, size, seed, what, quick_steps if size == "quick" else full_steps, **settings)
    grokked, (memorised, accuracy) = _grokked(trained), _end(trained)
    holds = grokked is not None and memorised is not None and grokked >= 2 * memorised
    values = {"memorised_step": memorised, "grokked_step": grokked, "test_accuracy": accuracy}
    return Outcome(values, holds, f"memorised at {memorised}, grokked at {grokked}")


def _dropout(trainer: Trainer, size: str, seed: int) -> Outcome:
    # half of the pairs at p = 59: with 40% it takes some 12,000 of its slower steps
    settings = {"network__dropout": 0.2, "optimiser__weight_decay": 0.0}
    settings |= {"split__frac_train": 0.5} if size == "quick" else {}
    return _groks("dropout", QUICK_STEPS, 40_000, trainer, size, seed, **settings)


def _p53(trainer: Trainer, size: str, seed: int) -> Outcome:
    steps = 10_000 if size == "quick" else 40_000
    ends = {}
    for decay in (1.0, 5.0):
        settings = {"name": f"nanda2023-p53-decay-{decay}", "seed": seed, "optimiser.weight_decay": decay}
        stop = {"budget.steps": steps, "budget.stop_when_grokked": True, "checkpoints.per_decade": 1}
        run = trainer.train(preset("nanda2023/p53", {**settings, **stop}))
        ends[decay] = _grokked(run), _end(run)[1]
    values = {f"{k}_at_decay_{d}": v for d, e in ends.items() for k, v in zip(("grokked", "accuracy"), e, strict=True)}
    holds = ends[1.0][0] is None and ends[5.0][0] is not None
    return Outcome(
        values, holds, f"decay 1: {ends[1.0][1]:.1%} after {steps:,} steps; decay 5: grokked at {ends[5.0][0]}"
    )


def _p401(trainer: Trainer, size: str, seed: int) -> Outcome:
    settings = {"name": "nanda2023-p401", "seed": seed, "split.frac_train": 0.2, "budget.steps": 20_000}
    more = {"evaluation.every": 20, "checkpoints.spacing": "none", "budget.stop_when_grokked": True}
    run = trainer.train(preset("nanda2023", {"task.p": 401, **settings, **more}))
    curves = run.curves()
    train, test = (first_step(curves["step"], curves[f"{part}_accuracy"] > 0.9) for part in ("train", "test"))
    holds = train is not None and test is not None and test <= 2 * train
    values = {"train_at_90": train, "test_at_90": test}
    return Outcome(values, holds, f"90% of the training set at step {train}, of the test set at {test}")


def _seeds(trainer: Trainer, size: str, seed: int) -> Outcome:
    run = mainline(trainer, size, seed)
    weights, task, _, experiment = final(run)
    keys = find_frequencies(weights, task, experiment.network)
    grokked = _grokked(run)
    holds = grokked is not None and 3 <= len(keys) <= (6 if size == "full" else 8)
    return Outcome({"grokked_step": grokked, "key_frequencies": list(keys)}, holds, f"{grokked}: {list(keys)}")


def _widths(trainer: Trainer, size: str, seed: int) -> Outcome:
    widths = (4, 8, 16, 128) if size == "quick" else (8, 16, 32, 64, 128, 256, 512, 1024)
    losses = []
    for d in widths:
        settings = {"split.frac_train": 0.9, "optimiser.weight_decay": 0.0, "network.d_model": d, "seed": seed}
        name = {"name": f"nanda2023-{size}-width-{d}", "budget.steps": 3_000, "checkpoints.per_decade": 1}
        base = "demo" if size == "quick" else "nanda2023"
        run = trainer.train(preset(base, {**settings, **name, "budget.stop_when_grokked": False}))
        last = run.status.members[0]
        losses.append(tuple(np.nan if x is None else x for x in (last.train_loss, last.test_loss)))
    narrow, wide = losses[0], losses[-1]
    holds = narrow[0] > 0.1 and wide[0] < 1e-6 < wide[1]
    values = {f"train_loss_d_{d}": x[0] for d, x in zip(widths, losses, strict=True)}
    values |= {f"test_loss_d_{d}": x[1] for d, x in zip(widths, losses, strict=True)}
    sentence = f"d_model {widths[0]}: {narrow[0]:.2g}/{narrow[1]:.2g}; {widths[-1]}: {wide[0]:.2g}/{wide[1]:.2g}"
    return Outcome(values, holds, sentence)


def _slingshots(trainer: Trainer, size: str, seed: int) -> Outcome:
    steps = QUICK_STEPS if size == "quick" else 40_000
    spikes = {}
    for form in ("float32", "exact"):
        settings = {"objective__form": form, "budget__stop_when_grokked": False}
        curves = _vary(trainer, size, seed, f"loss-{form}", steps, **settings).curves()
        late = curves["step"] > 1000
        losses = curves["train_loss"][late]
        # how far above its least so far the loss jumps, where that is not below what single precision resolves
        least = np.minimum.accumulate(np.maximum(losses, np.finfo(np.float32).eps))
        spikes[form] = float(np.max(losses / least))
    values = {f"largest_spike_{k}": v for k, v in spikes.items()}
    holds = spikes["float32"] > 10 * spikes["exact"]
    return Outcome(values, holds, f"spikes of {spikes['float32']:.3g} times in float32, {spikes['exact']:.3g} exactly")


def _claim(run: Any, quick: dict[str, Any] | None, full: dict[str, Any] | None, **words: Any) -> Claim:
    def made(size: str, about: dict[str, Any] | None) -> Trial | None:
        return None if about is None else trial(run, size, shares="", **about)

    return Claim(quick=made("quick", quick), full=made("full", full), **words)


CHECKPOINTS = 150


def _run(trainer: Trainer, name: str, seed: int) -> Run:
    base = preset(name)
    every = max(base.budget.steps // CHECKPOINTS, 1)
    settings = {"name": f"{name}-claims", "seed": base.seed + seed}
    return trainer.train(read(base, {**settings, "checkpoints.spacing": "linear", "checkpoints.every": every}))


def _apart(name: str, column: str, what: str, trainer: Trainer, seed: int) -> Outcome:
    """A trial: the answers (`answer_loss`) or their positions (`loss`) are learnt at different times."""
    frame = take(_run(trainer, name, seed), "position_losses")
    losses = np.array(frame[column].to_list(), float)
    losses = losses[:, np.isfinite(losses[0])]
    steps = [first_step(frame["step"].to_numpy(), column < column[0] / 2) for column in losses.T]
    known = [s for s in steps if s is not None]
    spread = max(known) / max(min(known), 1) if len(known) > 1 else None
    values = {f"half_loss_at_{what}_{i}": s for i, s in enumerate(steps)} | {"spread": spread}
    holds = len(known) == len(steps) and spread is not None and spread >= 1.5
    return Outcome(values, holds, f"{what}s reach half of their first loss at steps {', '.join(map(str, steps))}")


def _change(name: str, trainer: Trainer, seed: int) -> Outcome:
    """A trial: test accuracy rises from a quarter to three quarters of what it reaches in a small part of training."""
    curves = _run(trainer, name, seed).curves()
    steps, accuracy = curves["step"], curves["test_accuracy"].astype(float)
    top = float(accuracy.max())
    first, last = (int(steps[np.argmax(accuracy >= share * top)]) for share in (0.25, 0.75))
    width = (last - first) / max(last, 1)
    values = {"best_test_accuracy": top, "quarter_at": first, "three_quarters_at": last, "width": width}
    sentence = f"test accuracy {top:.1%} at best; a quarter of it at step {first}, three quarters at {last}"
    return Outcome(values, top > 0.5 and width < 0.6, sentence)


def _late(name: str, trainer: Trainer, seed: int) -> Outcome:
    """A trial: the training loss is small long before the test loss falls."""
    trained = _run(trainer, name, seed)
    curves = trained.curves()
    peak = float(np.nanmax(curves["test_loss"]))
    end = float(np.nanmin(curves["test_loss"][np.nanargmax(curves["test_loss"]) :]))
    member = trained.status.members[0]
    memorised = member.memorised_step
    fell = first_step(curves["step"], (curves["test_loss"] < peak / 2) & (curves["step"] > (memorised or 0)))
    values = {
        "memorised_step": memorised,
        "test_loss_peak": peak,
        "test_loss_least_after": end,
        "half_of_peak_at": fell,
    }
    holds = memorised is not None and fell is not None and fell >= 2 * memorised and end < peak / 4
    return Outcome(values, holds, f"memorised at {memorised}; test loss peaks at {peak:.3g}, falls to {end:.3g}")


def _trial(run: Any, setting: str, cost: float, seeds: int = 2) -> Trial:
    return Trial(setting=setting, seeds=seeds, cost=cost, run=run)


SMALL_ADDITION = "Two-digit addition in the place of five: the fewest digits that carry."


CLAIMS = [
    Claim(
        id="seeds",
        claim="Every seed groks, with its own few key frequencies.",
        source="appendix C.2.1",
        expected="3 to 5 key frequencies in each of five seeds",
        quick=trial(_seeds, "quick"),
        full=trial(_seeds, "full"),
    ),
    _claim(
        _fractions,
        {"setting": f"{SMALL}; fractions .4 to .8 of the pairs, one run of each a seed.", "seeds": 2, "cost": 90},
        {"setting": "p = 113 at decay 1, fractions .3 to .8, to 40,000 steps.", "seeds": 3, "cost": 3 * 900},
        id="fractions",
        claim="More data, less delay; with enough of it, train and test loss do not part.",
        source="appendix C.2 and the released sweep",
        expected="test loss below 0.1 at step 7,930 for 30%, 3,109 for 40%, 956 for 50%; no divergence from 60% on",
    ),
    _claim(
        _decay,
        {"setting": f"{SMALL}; decay 1 against 4.", "seeds": 2, "cost": 100},
        {"setting": "p = 113 at 30%, decay 0.1 against 1.", "seeds": 1, "cost": 2400},
        id="decay-sets-time",
        claim="The time to grok falls with weight decay, about as its inverse.",
        source="released runs (the text of appendix D.1 contradicts itself)",
        expected="test loss below 0.1 at step 95,520 with decay 0.1, 9,300 with decay 1: a factor of 10.3",
        counter="On the small network micro the delay is not proportional to the inverse of the decay.",
    ),
    _claim(
        partial(_never, "no-decay", QUICK_STEPS, 40_000, optimiser__weight_decay=0.0),
        {
            "setting": f"{SMALL}, without decay; twice as long as the slowest seed takes with it.",
            "seeds": 2,
            "cost": 90,
        },
        {"setting": "p = 113 at 30%, 40,000 steps.", "seeds": 3, "cost": 3 * 700},
        id="no-decay-never",
        claim="Without weight decay the model memorises and does not grok.",
        source="appendix D.1",
        expected="no grokking at 30% of the pairs",
        counter="A budget that ran out is censoring, not 'never'.",
    ),
    _claim(
        partial(_groks, "two-layers", 6_000, 40_000, network__n_layers=2),
        {"setting": f"{SMALL}, with two layers.", "seeds": 2, "cost": 120},
        {"setting": "p = 113 at 30%, decay 1, two layers, 40,000 steps.", "seeds": 3, "cost": 3 * 3600},
        id="two-layers",
        claim="Two-layer transformers grok too.",
        source="appendix C.2",
        expected="grokked, with strong slingshots",
    ),
    _claim(
        _dropout,
        {
            "setting": f"{SMALL}, here from half of the pairs, with dropout 0.2 in the place of decay.",
            "seeds": 1,
            "cost": 100,
        },
        {"setting": "p = 113 at 30%, dropout 0.2, no decay, 40,000 steps.", "seeds": 3, "cost": 3 * 2400},
        id="dropout",
        claim="Dropout in place of weight decay groks, too.",
        source="appendix D.1",
        expected="grokked at dropout 0.2 and 0.5, three seeds each",
    ),
    Claim(
        id="l1-never",
        claim="With l1 regularisation in place of weight decay it does not grok.",
        source="appendix D.1",
        expected="no grokking",
        quick=None,
        full=None,
        counter="groklab has no l1 term yet: this is not tested.",
    ),
    _claim(
        _p53,
        {"setting": "The paper's own setting, to 10,000 of its 40,000 steps.", "seeds": 1, "cost": 100, "fixed": False},
        {"setting": "p = 53 at 30%, decay 1 and 5, to 40,000 steps.", "seeds": 3, "cost": 3 * 400},
        id="p53",
        claim="For p = 53, decay 1 does not generalise and decay 5 groks.",
        source="appendix C.2",
        expected="no at decay 1, yes at decay 5",
    ),
    _claim(
        partial(_groks, "p109", 40_000, 40_000, task__p=109),
        None,
        {"setting": "p = 109 at 30%, decay 1, to 40,000 steps.", "seeds": 3, "cost": 3 * 400},
        id="p109",
        claim="p = 109 behaves as p = 113.",
        source="appendix C.2",
        expected="grokked",
    ),
    _claim(
        _p401,
        None,
        {"setting": "p = 401 at 20%, decay 1, stopped when it has generalised.", "seeds": 3, "cost": 3 * 2400},
        id="p401",
        claim="For p = 401 there is no grokking: with a fifth of the pairs it generalises at once.",
        source="appendix C.2",
        expected="training and test accuracy rise together",
    ),
    _claim(
        _widths,
        {"setting": "p = 59, d_model 4, 8, 16 and 128, the scan's own 3,000 steps.", "seeds": 1, "cost": 60},
        {"setting": "p = 113, the scan's eight widths and 3,000 steps.", "seeds": 1, "cost": 3000},
        id="widths",
        claim="Without decay, at 90% of the pairs, narrow models cannot fit and wide ones do not generalise well.",
        source="released width scan",
        expected="d_model 8: train .790, test .874; 128: 4.6e-10 and 9.2e-3; 1,024: 3.5e-10 and .980",
    ),
    _claim(
        _slingshots,
        {"setting": f"{SMALL}, 8,000 steps with either loss.", "seeds": 1, "cost": 90},
        {"setting": "p = 113 at 30%, decay 1, 40,000 steps with either loss.", "seeds": 3, "cost": 3 * 1400},
        id="slingshots",
        version=2,
        claim="A loss computed in single precision brings slingshots once it is tiny; computed exactly it is smooth.",
        source="released run with low precision",
        expected="the training loss spikes after some 5,000 steps",
    ),
    Claim(
        id="addition-digit-by-digit",
        version=2,
        claim="On endless data the digits of long addition are learnt in phase changes of their own.",
        source="appendix D.2",
        expected="each digit's loss falls abruptly, at a time of its own",
        quick=_trial(partial(_apart, "nanda2023/small-addition", "loss", "digit"), SMALL_ADDITION, 25),
        full=_trial(
            partial(_apart, "nanda2023/5-digit-infinite", "loss", "digit"), "Five digits, 6,000 steps.", 3600, 3
        ),
    ),
    Claim(
        id="addition-groks",
        claim="On few fixed examples long addition groks.",
        source="appendix D.2",
        expected="training loss 1e-6 by step 1,600, test loss from 8.5 to 0.2 at about 14,000",
        quick=_trial(partial(_late, "nanda2023/small-addition-finite"), f"{SMALL_ADDITION} 700 examples, decay 1.", 60),
        full=_trial(partial(_late, "nanda2023/5-digit-finite"), "Five digits, 750 examples, 18,000 steps.", 36_000, 1),
    ),
    Claim(
        id="induction-phase-change",
        claim="Induction on repeated subsequences is learnt in a phase change.",
        source="appendix D.3",
        expected="loss 5.05 at the start, 1.23 at step 1,000, then 0.33",
        quick=_trial(
            partial(_change, "nanda2023/small-induction"),
            "Two repeats in 29 tokens of 32 kinds: the shortest of its kind.",
            80,
        ),
        full=_trial(
            partial(_change, "nanda2023/induction-infinite"), "The saved run's settings, 6,000 steps.", 7200, 1
        ),
    ),
    Claim(
        id="induction-groks",
        claim="On 512 fixed sequences induction is learnt long after they are memorised.",
        source="appendix D.3",
        expected="test loss from 15.6 to 1.8 at step 200,000 to 210,000",
        quick=None,
        full=_trial(
            partial(_late, "nanda2023/induction-finite"), "The saved run's settings, 285,820 steps.", 600_000, 1
        ),
    ),
    Claim(
        id="trigrams-one-by-one",
        version=2,
        claim="On endless data skip trigrams are learnt one by one, each in a phase change.",
        source="appendix D.4",
        expected="loss 2.37 at the start, 0.32 at step 272, 5.9e-3 at 545",
        counter="The published tokens and table are not known; these are groklab's own.",
        quick=_trial(
            partial(_apart, "nanda2023/skip-trigrams-infinite", "answer_loss", "trigram"),
            "The full setting, which takes seconds.",
            50,
        ),
        full=_trial(
            partial(_apart, "nanda2023/skip-trigrams-infinite", "answer_loss", "trigram"),
            "One layer of attention, 3,000 steps.",
            120,
            3,
        ),
    ),
    Claim(
        id="trigrams-grok",
        claim="On few fixed examples skip trigrams generalise after they are memorised.",
        source="appendix D.4",
        expected="test loss 2.36 at the start, 0.79 at step 454, 0.89 at 908, 0.035 at 2,272",
        counter="The published tokens and table are not known; these are groklab's own.",
        quick=_trial(partial(_late, "nanda2023/skip-trigrams-finite"), "The full setting, which takes seconds.", 50),
        full=_trial(partial(_late, "nanda2023/skip-trigrams-finite"), "60 examples, 3,000 steps.", 120, 3),
    ),
]
