from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab.experiment import parse_overrides
from groklab.figures import RunContext
from groklab.figures._registry import FIGURES
from groklab.grokking import CRITERIA, phase_of
from groklab.measures import MEASURES
from groklab.report import _settings as settings
from groklab.report import write_report
from groklab.report._run_page import member_table, notes
from groklab.report._story import summary
from groklab.store import Environment, RunWriter
from shared_pages import Pages

#: Figures of every run whose embedding has a modulus, and of those that add, with an MLP.
PLAIN = {"curves", "norms", "spectrum", "circles"}
OF_CIRCUIT = {
    "stages",
    "coefficients",
    "readout",
    "neurons",
    "neuron_examples",
    "logits_2d",
    "neurons_2d",
    "directions",
}
OF_CIRCUIT |= {"ablations", "frequencies", "logit_parts", "participation", "participation-1"}
#: And of one hidden layer on one-hot pairs.
OF_FEATURES = {"hidden_progress", "feature_matrix", "eigenvalues", "block_fourier", "block_power"}


def fast(**overrides: Any) -> gl.Run:
    settings = {"budget.steps": 300, **{k.replace("__", "."): v for k, v in overrides.items()}}
    return gl.train(gl.preset("micro-fast", settings))


class Outline(HTMLParser):
    """What a page is made of: its text without scripts, its headings, and everything that would load something."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.text, self.headings, self.loads, self.ids, self.anchors = "", [], [], [], []
        self.sliders, self.specs = 0, {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "style"):
            self.inside.append(found.get("id") or tag)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag in ("script", "img", "iframe", "link", "a", "object"):
            links = [v for k, v in attrs if k in ("src", "href", "data") and v and not v.startswith("data:")]
            self.anchors += [link[1:] for link in links if link.startswith("#")]
            self.loads += [link for link in links if not link.startswith("#")]
        self.sliders += tag == "input" and found.get("type") == "range"
        self.ids += [found["id"]] if "id" in found else []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.pop()
        elif tag in ("td", "th", "dt", "dd"):
            self.text += " "

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.text += data
        elif self.inside[-1].endswith("-spec"):
            self.specs[self.inside[-1].removesuffix("-spec")] = json.loads(data)


def words(path: Path) -> str:
    return re.sub(r"\s+", " ", Outline(path).text)


def test_a_run_has_one_page_that_loads_nothing(pages: Pages) -> None:
    path = pages["single"]
    page = Outline(path)
    assert page.loads == []
    assert page.headings[0] == 1
    assert page.headings[1] == 2
    assert set(page.headings[1:]) == {2, 3}
    assert len(page.ids) == len(set(page.ids))
    assert set(page.anchors) <= set(page.ids)
    assert {f"{key}-title" for key in page.specs} <= set(page.anchors)
    assert set(page.specs) == PLAIN | OF_CIRCUIT | OF_FEATURES
    assert page.sliders == 1
    assert len(page.specs["circles"]["frames"]) <= 33
    assert "sliders" not in page.specs["circles"]["layout"]
    content = path.read_text(encoding="utf-8")
    assert content.count("plotly.js v") == 1
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in content


def test_the_page_says_what_this_run_did(corpus: Corpus, pages: Pages) -> None:
    run = corpus["mlp"]
    found = words(pages["single"])
    member = run.status.members[0]
    assert f"memorised the training set at step {member.memorised_step:,}" in found
    assert f"generalised at step {member.grokked_step:,}" in found
    assert f"{member.grokked_step / member.memorised_step:.1f} times as late" in found
    assert member.weights_sha256 in found
    assert run.identities[0] in found
    assert "groklab train micro-fast" in found
    norms = {s: float(n) for s, n in run.metrics.select("step", "weight_norm").iter_rows()}
    assert f"{norms[member.grokked_step]:.1f} when it generalised" in found


def test_a_page_says_which_kind_of_model_was_trained(corpus: Corpus) -> None:
    kinds = {"flow": "An embedding of the effective theory", "mlp": "An MLP", "transformer": "A transformer"}
    for name, who in kinds.items():
        assert summary(RunContext.read(corpus[name]))[0].startswith(f"{who} was trained on ")


def test_a_run_that_stopped_short_is_called_censored() -> None:
    run = fast(budget__steps=100)
    path = write_report([run])
    assert path == run.path / "report.html"
    found = words(path)
    assert "had not generalised by step 100" in found
    assert "censored, not 'never'" in found
    assert "groklab train micro-fast budget.steps=100" in found


def test_an_ensemble_shows_its_members_and_when_they_grokked(corpus: Corpus, pages: Pages) -> None:
    run, path = corpus["ensemble"], pages["ensemble"]
    page = Outline(path)
    assert set(page.specs) == {"survival"} | PLAIN | OF_CIRCUIT | OF_FEATURES
    found = words(path)
    assert "3 members, each an MLP" in found
    assert "of 3 generalised" in found
    assert "--seeds 3" in found
    for member in run.status.members:
        assert member.weights_sha256 in found


def test_several_runs_are_compared(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    runs = [corpus.copy("mlp"), fast(optimiser__weight_decay=0.5)]
    path = write_report(runs)
    assert path.parent == home
    assert re.fullmatch(r"compare-[0-9a-f]{8}\.html", path.name)
    page = Outline(path)
    assert [t["name"] for t in page.specs["overlay"]["data"]] == [r.name for r in runs]
    assert "optimiser.weight_decay 1.0 0.5" in words(path)
    assert write_report(runs, tmp_path / "other.html") == tmp_path / "other.html"
    with pytest.raises(gl.InputError):
        write_report([])


def test_a_table_has_no_spectrum_and_its_name_is_escaped(tmp_path: Path) -> None:
    nasty = "<script>alert(1)<"
    table = tmp_path / f"{nasty}.csv"
    table.write_text("a,b,c\n" + "".join(f"{a},{b},{(a + b) % 5}\n" for a in range(5) for b in range(5)))
    run = fast(task__kind="table", task__path=str(table), budget__steps=50)
    run.tags = ["<img src=x onerror=alert(2)>"]
    path = write_report([run])
    page = Outline(path)
    assert nasty in page.text
    assert "<img src=x" in page.text
    assert page.loads == []
    assert html.escape(nasty) in path.read_text(encoding="utf-8")
    assert "a Fourier spectrum needs a task with a modulus" in words(path)
    assert set(page.specs) == {"curves", "norms"}
    assert gl.explain(run).verdict() in words(path)

    table.unlink()
    found = words(write_report([gl.Run(run.path)]))
    assert "the task cannot be built again" in found


def test_a_run_before_its_first_evaluation_has_a_page(corpus: Corpus, home: Path, tmp_path: Path) -> None:
    run = RunWriter.create(home / "fresh", [gl.preset("micro-fast")], Environment(groklab=gl.__version__)).run
    found = words(write_report([run]))
    assert "Nothing has been measured yet" in found
    assert "no curves yet" in found
    assert "kept no checkpoint" in found
    assert "Nothing has been measured yet" in words(write_report([run, corpus["mlp"]]))
    assert write_report([run], tmp_path) == tmp_path / "report.html"


def test_a_run_whose_results_are_not_saved_yet_says_where_it_is(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    RunWriter(run).status(state="running", members=[], step=0)
    found = words(write_report([gl.Run(run.path)]))
    assert "Nothing has been measured" not in found
    assert f"At step {run.metrics['step'].max():,} training accuracy is 100.0% and test accuracy 100.0%." in found


def test_a_diverged_run_has_a_page() -> None:
    run = fast(optimiser__learning_rate=1e30)
    assert run.status.members[0].train_loss is None or run.status.state == "diverged"
    found = words(write_report([run]))
    assert "It diverged" in found
    assert "not finite" in found


def test_damaged_files_are_named_on_the_page(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    step = run.checkpoints[-1]
    (run.path / "checkpoints" / f"step_{step:09d}.safetensors").write_bytes(b"garbage")
    metrics = run.path / "metrics.parquet"
    metrics.write_bytes(metrics.read_bytes()[:-10])
    (run.path / "environment.json").unlink()
    path = write_report([run])
    page = Outline(path)
    found = words(path)
    assert f"the checkpoint of step {step:,} is left out" in found
    assert "metrics.parquet is damaged" in found
    assert "environment.json cannot be read" in found
    assert {"spectrum", "stages", "neurons"} <= set(page.specs)
    assert found.count(f"the checkpoint of step {step:,} is left out") == 1
    (run.path / "status.json").write_text("{")
    assert "status.json" in words(write_report([run]))


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"seed": 3, "optimiser.learning_rate": 1e-5},
        {"split.n_train": 100},
        {"task.expression": "x**2 + x*y"},
        {"network.kind": "transformer", "network.d_model": 32, "task.layout": "a b ="},
        {"optimiser.weight_decay": 0.25, "network.init_std": {"embed.0.W": 0.1}},
    ],
)
def test_the_command_makes_the_same_experiment(overrides: dict[str, Any]) -> None:
    experiment = gl.preset("micro-fast", overrides)
    command, yaml = settings.remake([experiment])
    words = shlex.split(command)
    assert words[:3] == ["groklab", "train", "micro-fast"]
    assert yaml == ""
    assert gl.preset(words[2], parse_overrides(words[3:])) == experiment


def test_an_experiment_of_another_name_is_remade_from_yaml(tmp_path: Path) -> None:
    experiment = gl.preset("micro-fast", {"name": "mine"})
    command, yaml = settings.remake([experiment])
    assert command == "groklab train experiment.yaml"
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml)
    assert gl.read(gl.load_yaml(file)) == experiment


@pytest.mark.parametrize(("steps", "rate"), [(300, 0.03), (60, 0.03), (5, 1e-6)])
def test_the_phase_is_the_one_that_show_tells(steps: int, rate: float) -> None:
    run = fast(budget__steps=steps, optimiser__learning_rate=rate)
    phase = phase_of(run)
    found = words(write_report([run]))
    assert f"Phase of Liu et al. (2022) {phase.phase} {phase.because}" in found
    (headline,) = run.headlines
    for label, step in (("Memorised at", headline.memorised), ("Generalised at", headline.generalised)):
        assert f"{label} {'not yet' if step is None else f'{step:,}'}" in found
    assert "exactly that counts as grokking. Comprehension: training and test accuracy reach the threshold" in found


def test_members_have_the_phases_that_show_tells(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    facts = RunContext.read(run)
    assert [p.to_dict() for p in facts.phases] == [phase_of(run, member).to_dict() for member in range(3)]
    table = member_table(facts)
    column = list(table.head).index("phase of Liu et al. (2022)")
    assert [row[column] for row in table.rows] == [p.phase for p in facts.phases]


def test_with_one_checkpoint_the_page_says_where_it_is_and_not_how_it_went_there() -> None:
    run = fast(checkpoints__spacing="none")
    assert run.checkpoints == [300]
    found = words(write_report([run]))
    assert "the Gini coefficient of the components is 0." in found
    assert "went from" not in found.split("Fourier spectrum of the embedding")[1].split("Directions")[0]
    assert "; at step 300 it was" not in found
    assert "; at step 300 they were" not in found


def test_with_few_checkpoints_no_phase_is_said_to_have_ended(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    for step in run.checkpoints[2:-1]:
        (run.path / "checkpoints" / f"step_{step:09d}.safetensors").unlink()
    found = words(write_report([run]))
    assert "The ends of the stages need 4 checkpoints; there are 3." in found


@pytest.mark.parametrize("p", [7, 23])
def test_the_frequencies_that_carry_the_embedding_are_those_that_show_names(p: int) -> None:
    run = fast(task__p=p, budget__steps=100)
    carrying = MEASURES["embedding_frequencies"](run.weights(), run.experiment.task.build())
    named = [f"{k} ({share:.0%})" for k, share in zip(carrying["frequencies"], carrying["share"], strict=True)]
    assert len(named) > 1
    facts = RunContext.read(run)
    (drawn,) = FIGURES["spectrum"].drawings(facts)
    spectrum = drawn.sentence
    if len(named) > 10:
        assert "no frequency stands out" in spectrum
    else:
        assert f"{', '.join(named[:-1])} and {named[-1]}" in spectrum
        assert ("all 3 frequencies" in spectrum) == (p == 7)


def test_the_criteria_are_read_as_sentences(corpus: Corpus) -> None:
    run = corpus["mlp"]
    for criterion, asked in CRITERIA.items():
        facts = RunContext.read(run)
        evaluation = dataclasses.replace(facts.experiment.evaluation, criterion=criterion)
        facts.experiments = [dataclasses.replace(facts.experiment, evaluation=evaluation)]
        said = notes(facts)
        assert said[0] == f"Memorised, by training accuracy: {CRITERIA['sustained_99']}."
        assert said[1].startswith(f"Generalised, by test accuracy: {asked} (")
        assert "accuracy" not in asked


def test_what_was_read_is_the_run_itself(corpus: Corpus) -> None:
    run = corpus["mlp"]
    facts = RunContext.read(run)
    assert facts.metrics.equals(run.metrics)
    assert facts.problems == []
    assert facts.typical_step("memorised") == run.status.members[0].memorised_step
    assert facts.metrics.filter(pl.col("step") == 0).height == 1
    assert os.fspath(facts.folder.path) == os.fspath(run.path)
