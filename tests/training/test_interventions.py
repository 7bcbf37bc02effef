"""Changes in the middle of training: when they come, what they leave alone, and that they resume to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import groklab as gl
from corpus import Corpus
from groklab.errors import InputError
from groklab.report import write_report
from groklab.store import Run, marks_of, states, storage
from groklab.tasks import make_split
from groklab.training import _engine as engine
from groklab.training import build_task
from groklab.training._interventions import WHEN_EVALUATIONS

STEPS, AT = 60, 30
SETTINGS: dict[str, Any] = {
    "optimiser.learning_rate": 0.03,
    "budget.steps": STEPS,
    "evaluation.every": 2,
    "checkpoints.spacing": "linear",
    "checkpoints.every": 10,
    "checkpoints.rolling_seconds": 1e-9,
}
#: One entry of each kind, and some together.
KINDS: dict[str, list[dict[str, Any]]] = {
    "set": [{"kind": "set", "settings": {"optimiser.weight_decay": 0.0}}],
    "set another program": [
        {"kind": "set", "settings": {"optimiser.clip_norm": 0.01, "optimiser.schedule": "constant"}}
    ],
    "set another optimiser": [{"kind": "set", "settings": {"optimiser.kind": "sgd", "optimiser.learning_rate": 1.0}}],
    "set a filter": [
        {"kind": "set", "settings": {"optimiser.filter.kind": "grokfast_ema", "optimiser.filter.lamb": 3.0}}
    ],
    "subset": [{"kind": "training_set", "n_train": 50}],
    "superset": [{"kind": "training_set", "frac_train": 0.9}],
    "rows": [{"kind": "training_set", "rows": list(range(0, 500, 3))}],
    "noise": [{"kind": "labels", "share": 0.4}],
    "random labels": [{"kind": "labels", "to": "random"}],
    "norm": [{"kind": "norm", "factor": 0.5}],
    "norm of a group": [{"kind": "norm", "value": 3.0, "weights": "unembed*"}],
    "norm held": [{"kind": "norm", "of": "initial", "factor": 1.5, "hold": True}],
    "norm of a group held": [{"kind": "norm", "factor": 0.5, "weights": "embed*", "hold": True}],
    "temperature": [{"kind": "temperature", "value": 4.0}],
    "freeze": [{"kind": "freeze", "weights": "embed*"}],
    "reset": [{"kind": "reset", "weights": "embed*"}],
    "rewind": [{"kind": "reset", "to": 7}],
    "prune": [{"kind": "prune", "share": 0.4, "rewind": "initial"}],
    "prune at random": [{"kind": "prune", "share": 0.4, "by": "random", "scope": "each"}],
    "several": [
        {"kind": "prune", "share": 0.2},
        {"kind": "norm", "factor": 2.0, "hold": True},
        {"kind": "training_set", "n_train": 90},
    ],
}


class CrashError(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def experiment(entries: list[dict[str, Any]] | None = None, **more: Any) -> gl.Experiment:
    timed = [entry if {"step", "when"} & set(entry) else {**entry, "step": AT} for entry in entries or []]
    return gl.preset("micro-fast", {**SETTINGS, **more, "interventions": timed})


def same(a: Run, b: Run) -> bool:
    return bool(a.metrics.equals(b.metrics)) and _digests(a) == _digests(b)


def _digests(run: Run) -> list[str]:
    return [storage.digest(run.weights(step)) for step in run.checkpoints]


@pytest.fixture
def plain(corpus: Corpus) -> Run:
    return corpus.train(experiment())


@pytest.mark.parametrize("name", KINDS)
def test_all_before_it_stays_and_what_comes_after_changes(corpus: Corpus, plain: Run, name: str) -> None:
    run = corpus.train(experiment(KINDS[name]))
    before = run.metrics["step"] < AT
    assert run.metrics.filter(before).equals(plain.metrics.filter(before))
    for step in (s for s in plain.checkpoints if s < AT):
        assert storage.digest(run.weights(step)) == storage.digest(plain.weights(step))
    assert not run.metrics.equals(plain.metrics)
    assert storage.digest(run.weights()) != storage.digest(plain.weights())
    applied = run.status.members[0].interventions
    assert [(a.number, a.step) for a in applied] == [(i, AT) for i in range(len(KINDS[name]))]


@pytest.mark.parametrize(
    ("name", "crash"), [("several", AT - 2), ("several", AT), *((name, AT + 2) for name in KINDS), ("prune", AT)]
)
def test_a_crash_around_it_resumes_to_the_same_bits(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, crash: int
) -> None:
    usual = engine.CHUNK_SECONDS
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)

    def end(progress: Any) -> None:
        if progress.step > crash:
            raise CrashError

    with pytest.raises(CrashError):
        gl.train(experiment(KINDS[name]), home=tmp_path, view=end)
    monkeypatch.setattr(engine, "CHUNK_SECONDS", usual)
    broken = Run(next(p for p in tmp_path.iterdir() if (p / "experiment.json").is_file()))
    assert states(broken)[0].step == crash
    assert bool(states(broken)[0].applied) == (crash >= AT)
    resumed = gl.resume(broken, view=None)
    straight = corpus.train(experiment(KINDS[name]))
    assert same(resumed, straight)
    assert resumed.status.members == straight.status.members


def test_conditions_come_at_their_own_step_for_each_member(corpus: Corpus, tmp_path: Path) -> None:
    entries = [
        {"kind": "prune", "share": 0.3, "when": "memorised"},
        {"kind": "norm", "factor": 0.7, "when": "train_loss<0.5", "after": 4},
    ]
    base = experiment(entries, **{"budget.steps": 200})
    members = [gl.read(base, {"optimiser.learning_rate": rate}) for rate in (0.03, 0.01, 0.06)]
    together = corpus.train(members)
    steps = []
    for m, member in enumerate(members):
        alone = corpus.train(member)
        (mine,) = alone.status.members
        ours = together.status.members[m]
        assert [(a.number, a.step) for a in ours.interventions] == [(a.number, a.step) for a in mine.interventions]
        assert len(ours.interventions) == 2
        first, second = ours.interventions
        assert first.step % (WHEN_EVALUATIONS * 2) == 0
        curves = together.curves(m)
        reached = gl.grokking.reached_step(
            curves["step"][curves["step"] < first.step],
            curves["train_accuracy"][curves["step"] < first.step],
            "sustained_99",
            2,
            False,
        )
        assert reached is not None
        assert second.step >= first.step + 4
        # float32 in blocks of another width: as in test_ensemble, alike for the first 20 steps, and alike in kind later
        early = alone.metrics.filter(alone.metrics["step"] <= 20)
        mine_early = together.metrics.filter((together.metrics["member"] == m) & (together.metrics["step"] <= 20))
        np.testing.assert_allclose(early["train_loss"], mine_early["train_loss"], rtol=1e-4)
        pruned = sum(int((w == 0).sum()) for w in together.weights(member=m).values())
        assert pruned == sum(int((w == 0).sum()) for w in alone.weights().values())
        steps.append(first.step)
    assert len(set(steps)) > 1, steps


def test_an_ensemble_in_which_members_differ_resumes_to_the_same_bits(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def members() -> list[gl.Experiment]:
        return [
            experiment([{**KINDS["prune"][0], "step": 20}]),
            experiment(),
            experiment([{**KINDS["norm held"][0], "step": 30}, {"kind": "set", "step": 40, **_DECAY}]),
        ]

    straight = corpus.train(members())

    def end(progress: Any) -> None:
        if progress.step > 34:
            raise CrashError

    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-9)
    with pytest.raises(CrashError):
        gl.train(members(), home=tmp_path, view=end)
    broken = Run(next(p for p in tmp_path.iterdir() if (p / "experiment.json").is_file()))
    resumed = gl.resume(broken, view=None)
    assert same(resumed, straight)
    # the member without any is as in an ensemble of such, to rounding
    alone = corpus.train(experiment())
    np.testing.assert_allclose(
        straight.curves(1)["weight_norm"][:10], alone.metrics["weight_norm"].to_numpy()[:10], rtol=1e-5
    )


_DECAY: dict[str, Any] = {"settings": {"optimiser.weight_decay": 5.0}}


@pytest.mark.parametrize(
    "settings", [{"optimiser.weight_decay": 0.3}, {"optimiser.clip_norm": 0.1}, {"objective.temperature": 3.0}]
)
def test_a_setting_from_step_0_on_is_that_setting(corpus: Corpus, settings: dict[str, Any]) -> None:
    run = corpus.train(experiment([{"kind": "set", "step": 0, "settings": settings}]))
    assert same(run, corpus.train(experiment(**settings)))


def test_a_norm_is_what_was_asked_for_and_held(corpus: Corpus, plain: Run) -> None:
    norms = dict(zip(*_columns(corpus.train(experiment(KINDS["norm"])), "weight_norm"), strict=True))
    usual = dict(zip(*_columns(plain, "weight_norm"), strict=True))
    assert norms[AT] == pytest.approx(usual[AT] / 2, rel=1e-6)
    assert norms[AT + 10] != pytest.approx(norms[AT], rel=1e-3)
    held = dict(zip(*_columns(corpus.train(experiment(KINDS["norm held"])), "weight_norm"), strict=True))
    for step in range(AT, STEPS, 2):
        assert held[step] == pytest.approx(1.5 * usual[0], rel=1e-5)
    held_group = corpus.train(experiment(KINDS["norm of a group held"]))
    norms_of = {s: [np.linalg.norm(held_group.weights(s)[f"embed.{i}.W"]) for i in (0, 1)] for s in (AT, STEPS)}
    assert np.hypot(*norms_of[AT]) == pytest.approx(np.hypot(*norms_of[STEPS]), rel=1e-5)
    group = corpus.train(experiment(KINDS["norm of a group"]))
    changed, as_before = group.weights(AT), plain.weights(AT)
    assert np.linalg.norm(changed["unembed.W_U"]) == pytest.approx(3.0, rel=1e-6)
    for name in set(changed) - {"unembed.W_U"}:
        np.testing.assert_array_equal(changed[name], as_before[name])


def _columns(run: Run, name: str) -> tuple[list[int], list[float]]:
    return run.metrics["step"].to_list(), run.metrics[name].to_list()


def test_a_norm_may_be_that_of_an_event(corpus: Corpus) -> None:
    entry = {"kind": "norm", "of": "memorised", "when": "memorised", "after": 20, "hold": True}
    run = corpus.train(experiment([entry]))
    (applied,) = run.status.members[0].interventions
    steps, norms = _columns(run, "weight_norm")
    memorised = run.status.members[0].memorised_step
    assert norms[steps.index(applied.step)] == pytest.approx(norms[steps.index(memorised)], rel=1e-5)


def test_what_is_pruned_is_the_smallest_and_stays_zero(corpus: Corpus, plain: Run) -> None:
    run = corpus.train(experiment(KINDS["prune"]))
    ripe, initial, first, last = plain.weights(AT), plain.weights(0), run.weights(AT), run.weights()
    sizes = np.sort(np.concatenate([np.abs(w).ravel() for w in ripe.values()]))
    n = int(0.4 * len(sizes))
    for name, weight in first.items():
        small = np.abs(ripe[name]) < sizes[n]
        np.testing.assert_array_equal(weight == 0, small | (initial[name] == 0))
        np.testing.assert_array_equal(weight[~small], initial[name][~small])
        assert (last[name][small] == 0).all()
        assert (last[name][~small] != initial[name][~small]).any()
    assert f"pruned {n:,} of {len(sizes):,} weights" in run.status.members[0].interventions[0].sentence


def test_what_is_reset_is_taken_back_and_the_rest_stays(corpus: Corpus, plain: Run) -> None:
    back = corpus.train(experiment(KINDS["rewind"]))
    assert 7 in back.checkpoints
    for name, weight in back.weights(AT).items():
        np.testing.assert_array_equal(weight, back.weights(7)[name])
    drawn, before = corpus.train(experiment(KINDS["reset"])).weights(AT), plain.weights(AT)
    for name, weight in drawn.items():
        assert np.array_equal(weight, before[name]) != name.startswith("embed")
    frozen = corpus.train(experiment(KINDS["freeze"]))
    for name, weight in frozen.weights().items():
        assert np.array_equal(weight, before[name]) == name.startswith("embed")


@pytest.mark.parametrize("entry", [KINDS["subset"][0], KINDS["superset"][0], KINDS["rows"][0]])
def test_training_sets_are_of_the_size_asked_for_and_never_tested(entry: dict[str, Any]) -> None:
    e = experiment([entry])
    task = build_task(e)
    before = make_split(e.split, task, e.seed)
    after = e.interventions[0].data(before, task, 3)
    trained = after.train[after.schedule_weights[-1] > 0]
    wanted = entry.get("n_train") or len(entry.get("rows", ())) or int(entry["frac_train"] * task.n_inputs)
    assert len(trained) == wanted
    assert not np.intersect1d(trained, after.test).size
    assert np.isin(after.test, before.test).all()
    assert after.schedule_weights.sum() == pytest.approx(1)
    if "rows" not in entry:
        first = before.train if wanted > len(before.train) else trained
        assert np.isin(first, trained).all()
        assert np.isin(trained, np.union1d(before.train, before.test)).all()


def test_noise_gives_that_share_another_label() -> None:
    e = experiment(KINDS["noise"])
    task = build_task(e)
    before = make_split(e.split, task, e.seed)
    after = e.interventions[0].data(before, task, 3)
    wrong = after.train_targets != task.targets[after.train]
    assert wrong.sum() == int(0.4 * len(wrong))
    true = gl.read(e, {"interventions": [{"kind": "labels", "to": "true", "step": 0}]}).interventions[0]
    np.testing.assert_array_equal(true.data(after, task, 3).train_targets, before.train_targets)


def test_a_temperature_changes_the_loss_and_not_the_accuracy(corpus: Corpus, plain: Run) -> None:
    run = corpus.train(experiment(KINDS["temperature"]))
    at = {r.name: r.metrics.filter(r.metrics["step"] == AT) for r in (run, plain)}
    assert at[run.name]["test_loss"][0] != at[plain.name]["test_loss"][0]
    assert at[run.name]["test_accuracy"][0] == at[plain.name]["test_accuracy"][0]
    assert storage.digest(run.weights(AT)) == storage.digest(plain.weights(AT))


def test_stopping_waits_for_what_comes_and_judges_what_follows(tmp_path: Path) -> None:
    settings = {"optimiser.weight_decay": 4.0, "budget.steps": 600, "budget.stop_when_grokked": True}
    usual = gl.train(experiment(**settings), home=tmp_path, view=None)
    entry = {"kind": "reset", "to": "initial", "when": "grokked"}
    run = gl.train(experiment([entry], **settings), home=tmp_path, view=None)
    (applied,) = run.status.members[0].interventions
    assert run.status.reason == usual.status.reason == "grokked"
    assert applied.step >= usual.status.members[0].grokked_step
    assert run.status.step >= applied.grokked_step > applied.step
    assert applied.memorised_step > applied.step


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([{"kind": "set", "step": 31, **_DECAY}], "interventions.0.step = 31: needs to be a multiple of 2"),
        ([{"kind": "set", "step": 60, **_DECAY}], "interventions.0.step = 60: needs to be below budget.steps=60"),
        ([{"kind": "reset", "weights": "embd*"}], "interventions.0.weights = 'embd*': matches no weight"),
        ([{"kind": "prune", "share": 0.1, "when": "test_acuracy>0.1"}], "did you mean test_accuracy?"),
        ([{"kind": "prune", "share": 0.1, "when": "groked"}], "interventions.0.when: 'groked' is not one of memorised"),
        ([{"kind": "prune", "share": 0.1, "rewind": 40}], "interventions.0: goes back to step 40, which is later"),
        ([{"kind": "set", "settings": {"network.d_mlp": 8}}], "interventions.0: changes the shapes of the weights"),
        ([{"kind": "set", "settings": {"budget.steps": 8}}], "interventions.0.settings.budget.steps: cannot change"),
        ([{"kind": "set", "settings": {"optimiser.weigth_decay": 0}}], "did you mean optimiser.weight_decay?"),
        ([{"kind": "training_set", "n_train": 529}], "interventions.0.n_train = 529"),
        ([{"kind": "training_set", "rows": [1], "n_train": 3}], "needs exactly one of frac_train, n_train and rows"),
        ([{"kind": "norm", "step": 4, "factor": 2}, {"kind": "norm", "step": 2, "factor": 2}], "interventions.1.step"),
        ([{"kind": "norm", "of": "grokked", "factor": 2}], "interventions.0, at step 30: of = 'grokked'"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, entries: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        gl.train(experiment(entries), home=tmp_path, view=None)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_learners_without_an_optimiser_take_none() -> None:
    with pytest.raises(InputError, match="the learner rfm takes none"):
        gl.preset("rfm-small", {"interventions": [{"kind": "norm", "step": 2, "factor": 2}]})


def test_entries_are_set_one_by_one() -> None:
    e = gl.preset("micro", {"interventions.0.kind": "prune", "interventions.0.share": 0.2, "interventions.0.step": 10})
    assert e == gl.preset("micro", {"interventions": [{"kind": "prune", "share": 0.2, "step": 10}]})
    later = gl.read(e, {"interventions.0.step": 20})
    assert later.interventions[0].step == 20
    assert later.identity != e.identity
    assert gl.read(later.to_dict()) == later
    assert gl.read(gl.read(later.to_dict()), {"interventions": []}).identity == gl.preset("micro").identity
    with pytest.raises(InputError, match=r"interventions\.3\.step: needs the number of an entry, from 0 to 1"):
        gl.read(e, {"interventions.3.step": 20})


def test_what_was_done_is_said_and_marked_on_every_axis_of_steps(corpus: Corpus, plain: Run) -> None:
    run = corpus.train(experiment(KINDS["several"]))
    sentences = [mark.sentence() for mark in marks_of(run.recorded, run.status.members)]
    assert len(sentences) == 3
    assert sentences[1].startswith("At step 30 it rescaled the norm of all trained weights from ")
    assert [a["kind"] for a in run.summary()["interventions"]] == ["prune", "norm", "training_set"]
    assert "interventions" not in plain.summary()
    for name in ("curves", "norms"):
        drawn, without = (r.plot[name]().layout for r in (run, plain))
        added = drawn.shapes[len(without.shapes) :]
        assert {shape.x0 for shape in added} == {AT}
        assert {shape.yref for shape in added} == {"y domain", "y2 domain"}
        assert "pruned" in drawn.annotations[len(without.annotations)].hovertext
    assert run.plot.spectrum().layout.shapes == plain.plot.spectrum().layout.shapes
    assert gl.explain(run, view=None).sections()[0].title == "Changes in training"
    page = write_report([run], run.path.parents[1] / "marked.html").read_text()
    assert "Changes in training" in page


def test_a_sweep_may_vary_an_entry(home: Path) -> None:
    base = experiment([{"kind": "norm", "factor": 0.5}])
    sweep = gl.sweep(base, {"interventions.0.factor": [0.5, 2.0], "interventions.0.step": [10, 20]}, view=None)
    places = [sweep.run(member) for member in range(sweep.n_members)]
    done = [run.status.members[place].interventions[0] for run, place in places]
    assert sorted(a.step for a in done) == [10, 10, 20, 20]
    assert len({a.sentence for a in done}) == 4
