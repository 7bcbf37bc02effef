"""Figures in a notebook: of runs, and of weights that were never in one."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

import groklab as gl
from corpus import Corpus
from groklab import figures
from groklab.errors import InputError
from groklab.figures._registry import FIGURES


@pytest.mark.parametrize("name", ["transformer", "mlp", "ensemble", "mixture", "rfm", "rfm-multiply", "toy", "flow"])
def test_every_figure_that_applies_has_its_numbers_in_a_frame(corpus: Corpus, name: str) -> None:
    plots, reasons = figures.plots(corpus[name]), []
    assert len(plots())
    for figure in plots():
        try:
            drawings = plots[figure.name].drawings()
        except InputError as error:
            reasons.append(str(error))
            continue
        for part in range(sum(d.plot is not None for d in drawings)):
            frame = plots[figure.name].data(part=part)
            assert len(frame), figure.name
            assert not any(dtype.is_nested() for dtype in frame.dtypes), (figure.name, frame.schema)
    assert all(re.search("too few|nothing to show|has none", reason) for reason in reasons), reasons


def test_a_run_lists_its_figures_with_a_sentence_on_each(corpus: Corpus) -> None:
    listed = figures.list_figures(corpus["mlp"])
    assert "spectrum" in listed.names
    assert "attention" not in listed.names
    assert all(f.about in " ".join(repr(listed).split()) for f in listed)
    assert max(map(len, repr(listed).splitlines())) <= 100
    assert "<td>spectrum</td>" in listed._repr_html_()
    assert len(figures.list_figures()) == len(FIGURES)
    assert set(listed.names) == set(dir(figures.plots(corpus["mlp"])))


@pytest.mark.parametrize("name", ["transformer", "mlp", "ensemble", "mixture", "rfm", "rfm-multiply", "toy", "flow"])
def test_figures_are_listed_before_the_model_is_analysed(corpus: Corpus, name: str) -> None:
    run = corpus.copy(name)
    before, context = run.plot().names, run.plot._context(None)
    assert not {"model", "feature_analysis"} & set(vars(context))
    assert context.model.verdict()
    assert run.plot().names == before


def test_every_figure_of_groklab_says_what_it_shows_in_general() -> None:
    for figure in figures.list_figures():
        assert figure.about.endswith("."), figure.name
        assert figure.name.isidentifier()


def test_a_plot_has_its_figure_its_numbers_and_its_sentence(corpus: Corpus) -> None:
    spectrum = figures.plots(corpus["mlp"]).spectrum
    assert isinstance(spectrum(), go.Figure)
    assert spectrum.data().columns == ["step", "frequency", "share"]
    assert spectrum.sentence().startswith("At step")
    assert spectrum.__doc__.startswith("Fourier spectrum of the embedding.")
    assert repr(spectrum).startswith("spectrum: Fourier spectrum of the embedding.")


def test_members_are_drawn_by_their_place(corpus: Corpus) -> None:
    plots = figures.plots(corpus["ensemble"])
    assert plots.curves.data()["member"].n_unique() == 3
    assert plots.curves.data(member=1)["member"].n_unique() == 1
    first, second = (plots.spectrum.data(member=k) for k in (0, 1))
    assert not first.equals(second)
    assert plots.spectrum.data().equals(first)
    with pytest.raises(InputError, match="members 0 to 2"):
        plots.spectrum(member=3)


def test_the_parts_of_a_mixture_are_drawn_one_by_one(corpus: Corpus) -> None:
    run = corpus["mixture"]
    first, second = (figures.draw(run, "logits_2d", part=part).data_frame for part in (0, 1))
    assert not first.equals(second)
    with pytest.raises(InputError, match=r"part = 3: the figure logits_2d has 0 \(The logits over a and b"):
        figures.draw(run, "logits_2d", part=3)


def test_what_cannot_be_drawn_says_why(corpus: Corpus) -> None:
    plots = corpus["mlp"].plot
    with pytest.raises(AttributeError, match="did you mean spectrum"):
        plots.spectrm()
    with pytest.raises(InputError, match="did you mean circles"):
        figures.draw(corpus["mlp"], "circle")
    with pytest.raises(InputError, match=r"does not apply to micro-fast-.*, which has: curves"):
        plots.attention()
    with pytest.raises(InputError, match="need their task"):
        figures.plots(corpus["mlp"].weights())
    with pytest.raises(InputError, match="not str"):
        figures.plots("mlp")  # type: ignore[arg-type]


def test_weights_that_were_never_in_a_run_are_drawn_as_those_of_the_run_are(corpus: Corpus) -> None:
    run = corpus["mlp"]
    experiment, task = run.experiment, figures.RunContext.read(run).task
    last = max(run.checkpoints)
    plots = figures.plots(run.weights(), task, network=experiment.network)
    of_run = figures.plots(run).spectrum.data()
    np.testing.assert_allclose(plots.spectrum.data()["share"], of_run.filter(pl.col("step") == last)["share"])
    assert plots.frequencies.data().equals(figures.plots(run).frequencies.data())
    steps = {step: run.weights(step) for step in run.checkpoints}
    assert figures.draw(steps, "circles", task).data_frame["step"].n_unique() == len(steps)
    for several in (plots, figures.plots(steps, task)):
        for figure in several():
            assert len(several[figure.name].data()), figure.name
        assert not {"curves", "norms", "hidden_progress"} & set(several().names)
    assert "stages" not in plots().names


def test_a_run_that_goes_on_is_read_again(corpus: Corpus) -> None:
    run = corpus.copy("mlp")
    plots = figures.plots(run)
    assert plots is figures.plots(run) is run.plot
    before = plots.curves.data()["step"].max()
    gl.resume(run, {"budget.steps": run.status.step + 20})
    assert plots.curves.data()["step"].max() == before + 20  # type: ignore[operator]


def test_a_figure_keeps_its_numbers_in_copies_and_in_dark_colours(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, 2]})
    figure = figures.styled([{"type": "bar", "x": [1, 2], "y": [3, 4]}], {}, data=frame)
    for same in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure)), figures.in_dark(figure)):
        assert isinstance(same, figures.Figure)
        assert same.data_frame.equals(frame)


def test_numbers_of_a_figure_without_a_frame_are_read_off_its_traces() -> None:
    bars = {"type": "bar", "name": "bars", "x": ["a", "b"], "y": [3, 4]}
    cells = {"type": "heatmap", "z": [[1, 2], [3, 4]], "x": ["c", "d"]}
    frame = figures.styled([bars, cells], {}).data_frame
    assert frame.columns == ["trace", "x", "y", "z"]
    assert frame.rows()[1] == ("bars", "b", 4, None)
    assert frame.rows()[4] == ("1", "c", 1, 3)


def test_what_take_returns_is_drawn_by_every_figure_of_the_same_measure(corpus: Corpus) -> None:
    """A frame of `gl.take` has arrays in its cells; figures draw it as they draw the page's own frames."""
    run, c = corpus["transformer"], figures.RunContext.read(corpus["transformer"]).circuit
    plots, keys = run.plot, c.named
    last = pl.col("step") == max(run.checkpoints)

    def taken(name: str) -> pl.DataFrame:
        return gl.take(run, name)

    drawn = {
        "spectrum": figures.embedding_spectrum(taken("embedding_spectrum"), keys),
        "coefficients": figures.coefficients(taken("progress"), keys),
        "neurons": figures.neuron_clusters(taken("neurons"), keys),
        "logits_2d": figures.components_2d(taken("logits_2d"), keys),
        "neurons_2d": figures.components_2d(taken("neurons_2d"), keys),
        "directions": figures.directions(taken("directions"), taken("directions"), 2 * len(c.key_frequencies), keys),
        "frequencies": figures.frequency_losses(taken("ablations"), keys, 0.1, c.uniform),
    }
    for name, figure in drawn.items():
        own, of_taken = plots[name]().data[0], figure.data[0]
        values = "z" if own.type == "heatmap" else "x" if name == "neurons" else "y"
        if name == "frequencies":
            np.testing.assert_allclose(own.base + own.y, of_taken.base + of_taken.y, rtol=1e-5)
        elif name == "coefficients":
            assert [t.name for t in figure.data] == [t.name for t in plots[name]().data]
        else:
            np.testing.assert_allclose(own[values], of_taken[values], rtol=1e-5)
    for figure in (
        figures.attention_heads(taken("attention"), taken("attention")),
        figures.ablation_losses(taken("ablations"), 0.1, c.uniform),
        figures.frequency_losses(taken("excluded_by_frequency"), keys, 0.1, c.uniform),
        figures.fourier_progress(taken("fourier_sparsity")),
        figures.training_stages(run.metrics, taken("progress"), []),
        figures.logit_parts(taken("logit_parts"), c.uniform),
    ):
        assert len(figure.data_frame)
        assert not any(dtype.is_nested() for dtype in figure.data_frame.dtypes)
    assert len(taken("embedding_spectrum").filter(last)) == 1


def test_what_take_returns_of_features_is_drawn(corpus: Corpus) -> None:
    run = corpus["mlp"]
    plots = run.plot
    eigenvalues = figures.feature_eigenvalues(gl.take(run, "feature_spectrum"))
    assert eigenvalues.data[0].y == pytest.approx(plots.eigenvalues().data[0].y, rel=1e-4)
    block = figures.block_fourier(gl.take(run, "feature_fourier"))
    assert block.data[0].z.shape == (23, 23)
    history = gl.take(run, "agop_alignment").join(gl.take(run, "circulant_deviation"), on="step")
    assert len(figures.hidden_progress(run.metrics, history, "hankel", {}).data) > 4
