from __future__ import annotations

import json

import pytest

import groklab as gl
from corpus import Corpus
from groklab.analysis import Comparison, compare, explain
from groklab.errors import InputError
from groklab.figures import COMPARISON_FIGURES, comparison_drawings
from groklab.report import comparison_page
from groklab.store import OneMember


@pytest.fixture(scope="module")
def compared(corpus: Corpus) -> Comparison:
    return compare([corpus["transformer"], corpus["mlp"]])


def test_models_are_taken_apart_as_explain_does(compared: Comparison, corpus: Corpus) -> None:
    for model, name in zip(compared.models, ("transformer", "mlp"), strict=True):
        own = explain(corpus[name], view=None)
        assert model.analysis is not None
        assert model.verdict() == own.verdict()
        assert model.analysis.explanation() == own.explanation()
    assert compared.measure() is compared.models


def test_settings_that_differ_are_named(compared: Comparison) -> None:
    assert compared.differences["network.kind"] == ["transformer", "mlp"]
    assert compared.differences["task.p"] == ["11", "23"]
    table = compared.settings_table()
    assert table is not None
    assert ("task.p", "11", "23") in table.rows
    assert "seed" not in compared.differences


def test_every_table_has_a_column_or_row_per_run(compared: Comparison) -> None:
    outcomes, phases, settings, models, ablations = compared.tables()
    assert [row[0] for row in outcomes.rows] == [row[0] for row in phases.rows] == list(compared.names)
    for table in (settings, models, ablations):
        assert table.head[1:] == compared.names
        assert all(len(row) == 3 for row in table.rows)
    assert compared.tables(models=False) == [outcomes, phases, settings]
    (headline,) = compared.runs[1].headlines
    assert outcomes.rows[1][2:4] == (f"{headline.memorised:,}", f"{headline.generalised:,}")


def test_members_are_compared_with_each_other(corpus: Corpus) -> None:
    run = corpus["ensemble"]
    found = compare([OneMember(run, place) for place in (0, 2)])
    assert found.names == (f"{run.name}#0", f"{run.name}#2")
    assert found.differences == {"seed": ["0", "2"]}
    assert "They differ in seed (0 and 2)." in found.sentences()
    assert [m.analysis.seed for m in found.models if m.analysis is not None] == [0, 2]
    assert comparison_page(found).title == "2 members side by side"


def test_shared_key_frequencies_are_named(corpus: Corpus) -> None:
    transformer = corpus["transformer"]
    found = compare([transformer, transformer])
    if found.models[0].key_frequencies:
        assert "have the same key frequencies" in found.frequencies_sentence()
    assert found.names == (f"{transformer.name} (1)", f"{transformer.name} (2)")


def test_all_kinds_of_runs_stand_beside_each_other(corpus: Corpus) -> None:
    found = compare([corpus[name] for name in ("rfm", "mixture", "toy", "flow", "ensemble")])
    values = json.loads(json.dumps(found.to_dict()))
    assert len(values["models"]) == len(values["runs"]) == 5
    assert all(model["verdict"] for model in values["models"])
    assert "first member" in " ".join(found.model_sentences())
    for _, drawing in comparison_drawings(found):
        assert drawing.sentence
        assert drawing.plot is None or len(drawing.plot.data_frame)


def test_a_run_that_cannot_be_taken_apart_has_a_reason(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    for path in (run.path / "checkpoints").iterdir():
        path.unlink()
    found = compare([run, corpus["mlp"]])
    assert found.models[0].analysis is None
    assert "no checkpoint" in found.models[0].verdict()
    assert found.models[1].analysis is not None


def test_figures_draw_what_the_analyses_say(compared: Comparison) -> None:
    drawings = {figure.name: drawing for figure, drawing in comparison_drawings(compared)}
    assert list(drawings) == [figure.name for figure in COMPARISON_FIGURES if figure.name in drawings]
    assert {"overlay", "losses", "stages", "spectra", "circles", "ablations"} == set(drawings)
    for name, drawing in drawings.items():
        assert drawing.plot is not None, name
        column = "run" if name in ("overlay", "losses") else "model"
        assert set(drawing.plot.data_frame[column]) == set(compared.names)
    losses = drawings["ablations"].plot.data_frame  # type: ignore[union-attr]
    part = compared.models[0].ablations
    assert part is not None
    own = losses.filter((losses["model"] == compared.names[0]) & (losses["intervention"] == "nothing changed"))
    assert own["loss"][0] == pytest.approx(float(part.loss[part.names.index("base")]))


def test_the_page_names_what_it_shows(compared: Comparison) -> None:
    page = comparison_page(compared)
    assert [part.title for part in page.parts] == ["Curves", "What they compute", "Evidence"]
    assert [label for label, _, _ in page.tiles] == list(compared.names)
    assert all(picture.about and picture.csv for picture in page.pictures)
    assert page.summary == compared.sentences()


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="at least one run"):
        gl.compare([])
