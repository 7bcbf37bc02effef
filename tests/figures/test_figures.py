from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest

from groklab import figures, grokking
from groklab.analysis import carrying_frequencies, strong_frequencies
from groklab.errors import InputError
from groklab.figures import _comparison as comparison
from groklab.figures import _embedding as embedding
from groklab.figures import _survival as survival
from groklab.figures import _theme as theme
from groklab.store import thin, thin_evenly


def metrics(members: int = 1, n: int = 5000) -> pl.DataFrame:
    step = np.tile(np.arange(n) * 10, members)
    falling = np.exp(-step / 5000).astype(np.float32)
    return pl.DataFrame(
        {
            "step": step,
            "member": np.repeat(np.arange(members, dtype=np.int32), n),
            "train_loss": falling,
            "test_loss": falling,
            "train_accuracy": 1 - falling,
            "test_accuracy": 1 - falling,
            "weight_norm": 10 * falling,
            "grad_norm": falling,
        }
    )


def circle(p: int, k: int, d: int = 8) -> np.ndarray:
    """An embedding (p, d) that holds the frequency k alone."""
    angle = 2 * np.pi * k * np.arange(p) / p
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(d, 2)))[0].T
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) @ axes


def test_thinning_is_even_in_the_logarithm_and_keeps_what_it_must() -> None:
    steps = np.arange(0, 40_001, 10)
    kept = thin(steps, 300, keep=(9_450, None, 7))
    assert kept[0] == 0
    assert kept[-1] == 40_000
    assert 9_450 in kept
    assert 7 not in kept
    assert 150 < len(kept) <= 303
    decades = np.histogram(np.log10(np.array(kept[1:])), bins=[2, 3, 4])[0]
    assert 0.5 < decades[0] / decades[1] < 2
    assert thin([0, 1, 2], 10) == [0, 1, 2]


def test_curves_mark_both_steps_and_stay_small() -> None:
    drawn = figures.training_curves(metrics(), 200, 9_000)
    assert {a.text for a in drawn.layout.annotations} == {"memorised 200", "generalised 9,000"}
    assert {s.x0 for s in drawn.layout.shapes} == {200, 9_000}
    assert len(drawn.layout.shapes) == 4
    assert all(len(t.x) <= 1_510 for t in drawn.data)
    assert {200.0, 9_000.0, 49_990.0} <= set(drawn.data[0].x)
    assert (drawn.layout.xaxis.type, drawn.layout.yaxis.type, drawn.layout.yaxis2.type) == ("log", "log", None)
    assert [t.line.color for t in drawn.data] == [theme.TRAIN, theme.TEST] * 2


def test_an_ensemble_is_a_line_a_member_in_one_trace() -> None:
    drawn = figures.training_curves(metrics(members=3, n=50), None, 100)
    assert len(drawn.data) == 4
    assert np.isnan(drawn.data[0].x).sum() == 3
    assert [a.text for a in drawn.layout.annotations] == ["half generalised 100"]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_values_without_a_logarithm_do_no_harm(bad: float) -> None:
    frame = metrics(n=40).with_columns(train_loss=pl.lit(bad), grad_norm=pl.lit(bad), weight_norm=pl.lit(bad))
    drawn = figures.training_curves(frame, None, None)
    assert not np.isfinite(drawn.data[0].y).any()
    assert json.loads(drawn.to_json())["layout"]["yaxis"]["type"] == "log"
    json.loads(figures.norms(frame).to_json())


def test_no_frequency_carries_the_embedding_where_none_or_too_many_do() -> None:
    assert carrying_frequencies({1: 0.06, 2: 0.9, 3: 0.04}) == [2, 1]
    assert carrying_frequencies({k: 0.04 for k in range(1, 26)}) == []
    assert carrying_frequencies({k: 0.1 for k in range(1, 11)}) == list(range(1, 11))
    assert carrying_frequencies({k: 0.09 for k in range(1, 12)}) == []
    assert strong_frequencies({k: 0.25 for k in range(1, 5)}) == []


def test_the_spectrum_of_one_circle_is_one_bar() -> None:
    frame = embedding.spectrum_frame({0: np.random.default_rng(1).normal(size=(23, 8)), 100: circle(23, 5)})
    assert frame.columns == ["step", "frequency", "norm", "share"]
    assert strong_frequencies(embedding.last_shares(frame)) == [5]
    drawn = figures.embedding_spectrum(frame)
    assert int(np.argmax(drawn.data[0].y)) + 1 == 5
    assert [f.name for f in drawn.frames] == ["0", "100"]
    assert len(drawn.layout.sliders[0].steps) == 2
    only_norms = figures.embedding_spectrum(frame.drop("share"))
    assert only_norms.data[0].y[4] == pytest.approx(math.sqrt(23), rel=1e-5)


@pytest.mark.parametrize(("p", "k"), [(23, 5), (12, 3), (3, 1)])
def test_points_of_a_circle_are_joined_along_it(p: int, k: int) -> None:
    planes = embedding.plane_frame({7: circle(p, k)}, panels=1)
    assert planes["frequency"].unique().to_list() == [k]
    points = planes.sort("place")
    angles = np.unwrap(np.arctan2(points["y"].to_numpy(), points["x"].to_numpy()))
    turn = np.diff(angles)
    assert (turn > -1e-9).all() or (turn < 1e-9).all()
    assert abs(angles[-1] - angles[0]) < 2 * np.pi
    np.testing.assert_allclose(np.hypot(points["x"], points["y"]), 1, rtol=1e-9)
    assert embedding.turning_share(planes)["turning"][0] == pytest.approx(1)


def test_circles_in_random_weights_are_as_good_as_chance_says() -> None:
    random = np.random.default_rng(2)
    found = [
        embedding.turning_share(embedding.plane_frame({0: random.normal(size=(59, 128))}))["turning"].mean()
        for _ in range(5)
    ]
    assert np.mean(found) == pytest.approx(embedding.chance_turning(59, 128), abs=0.05)


def test_planes_have_up_to_four_panels_and_no_half_frequency() -> None:
    random = np.random.default_rng(3)
    for p, panels in ((3, 1), (4, 1), (5, 2), (30, 4)):
        planes = embedding.plane_frame({0: random.normal(size=(p, 6)), 10: random.normal(size=(p, 6))})
        assert p / 2 not in planes["frequency"].to_list()
        drawn = figures.embedding_planes(planes)
        assert len(drawn.data) == panels
        assert len(drawn.data[0].x) == p + 1
        assert len(drawn.frames) == 2
    with pytest.raises(InputError, match="at least 3"):
        embedding.plane_frame({0: random.normal(size=(2, 6))})


def test_shares_of_members_count_those_cut_off() -> None:
    reached: list[int | None] = [100, 200, None, 400]
    ended = [1000, 1000, 250, 1000]
    frame = survival.event_frame({"grokked": reached}, ended)
    assert frame["step"].to_list() == [100, 200, 250, 400]
    assert frame["share"].to_list() == pytest.approx([0.25, 0.5, 0.5, 1.0])
    assert frame["censored"].to_list() == [0, 0, 1, 0]
    assert grokking.survival(reached, ended).median == 200
    drawn = figures.reached_share(frame, 100, None)
    assert any("ended before" in t.name for t in drawn.data)


def test_runs_side_by_side_have_escaped_names() -> None:
    frame = metrics(n=30).select(pl.lit("<b>x</b>").alias("run"), "member", "step", "test_accuracy")
    drawn = figures.accuracy_overlay(frame)
    assert drawn.data[0].name == "&lt;b&gt;x&lt;/b&gt;"


def test_every_colour_has_its_twin_and_enough_contrast() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(a: str, b: str) -> float:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for colour in (*theme.SERIES, theme.SOFT):
        assert contrast(colour, theme.PAPER) >= 3
        assert contrast(theme.DARK[colour], theme.DARK[theme.PAPER]) >= 3
    for text in (theme.INK, theme.MUTED):
        assert contrast(text, theme.PAPER) >= 4.5
        assert contrast(theme.DARK[text], theme.DARK[theme.PAPER]) >= 4.5


def test_a_figure_in_dark_colours_differs_in_nothing_else() -> None:
    light = figures.training_curves(metrics(n=20), 10, 50)
    dark = figures.in_dark(light)
    assert dark.data[0].line.color == theme.DARK[theme.TRAIN]
    assert dark.layout.font.color == theme.DARK[theme.INK]
    assert dark.to_dict()["data"][0]["x"] == light.to_dict()["data"][0]["x"]


def test_a_sequential_scale_runs_one_way_in_both_schemes() -> None:
    def light(colour: str) -> float:
        return sum(w * int(colour[i : i + 2], 16) for w, i in ((0.21, 1), (0.72, 3), (0.07, 5)))

    for scheme in (lambda c: c, theme.DARK.__getitem__):
        steps = np.diff([light(scheme(c)) for _, c in theme.SEQUENTIAL])
        assert (steps > 40).all() or (steps < -40).all()


@pytest.mark.parametrize("n", [1, 3, 8])
def test_a_key_frequency_has_one_colour_in_every_figure(n: int) -> None:
    keys = list(range(2, 2 + n))
    bars = theme.bar_colours(range(1, 12), keys)
    assert [k for k, colour in enumerate(bars, 1) if colour != theme.SOFT] == keys
    assert bars[1 : 1 + n] == list(theme.key_colours(keys).values() or [theme.TEST] * n)
    frame = embedding.spectrum_frame({0: circle(23, 5), 10: circle(23, 5)})
    spectrum = figures.embedding_spectrum(frame, keys)
    assert spectrum.data[0].marker.color == tuple(theme.bar_colours(range(1, 12), keys))
    planes = embedding.plane_frame({0: circle(23, 3)}, panels=1)
    drawn = figures.embedding_planes(planes, keys)
    colour = theme.key_colours(keys).get(3)
    assert drawn.data[0].line.color == (colour or theme.FAINT)
    assert drawn.layout.annotations[0].font.color == (colour or theme.INK)


def test_the_colours_of_residues_have_a_bar() -> None:
    drawn = figures.embedding_planes(embedding.plane_frame({0: circle(23, 3)}))
    assert drawn.layout.coloraxis.colorbar.title.text == "residue"
    assert drawn.layout.coloraxis.colorbar.ticktext[-1] == "23 = 0"
    assert all(t.marker.coloraxis == "coloraxis" for t in drawn.data)


@pytest.mark.parametrize("moduli", [(23, 23), (23, 13)])
def test_circles_of_several_moduli_share_one_scale_of_colours(moduli: tuple[int, int]) -> None:
    """Each model's residues go once around the colours, whatever its modulus."""
    planes = [
        embedding.plane_frame({0: circle(p, 3)}, panels=1).drop("step").insert_column(0, pl.lit(name).alias("model"))
        for name, p in zip("ab", moduli, strict=True)
    ]
    drawn = comparison.circle_grid(pl.concat(planes))
    largest = [max(trace.marker.color) / drawn.layout.coloraxis.cmax for trace in drawn.data]
    assert largest == pytest.approx([1 - 1 / p for p in moduli])
    assert drawn.layout.coloraxis.colorbar.ticktext[-1] == ("23 = 0" if moduli[0] == moduli[1] else "p = 0")


def test_residues_in_print_keep_their_distance() -> None:
    crowded = np.concatenate([circle(30, 1)[:20] * 1e-3, circle(30, 1)[20:]])
    drawn = figures.embedding_planes(embedding.plane_frame({0: crowded}, panels=1))
    (points,) = drawn.data
    xy = np.stack([points.x, points.y], axis=1)[[text != "" for text in points.text]]
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)[~np.eye(len(xy), dtype=bool)]
    assert apart.min() >= embedding.NEAR * np.abs([points.x, points.y]).max() * 0.999


def test_key_frequencies_keep_their_colours_while_there_are_enough() -> None:
    assert theme.key_colours([8, 3]) == {3: theme.SERIES[0], 8: theme.SERIES[1]}
    assert theme.key_colours(range(1, 20)) == {}


def test_evenly_thinned_steps_keep_both_ends() -> None:
    assert thin_evenly(range(0, 1001, 10), 5) == [0, 250, 500, 750, 1000]
    assert thin_evenly([1, 2], 5) == [1, 2]
