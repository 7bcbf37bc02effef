"""The figure of a phase diagram."""

from __future__ import annotations

import itertools
from pathlib import Path

from groklab.figures import COLOURS, phase_diagram
from groklab.grokking import LETTERS, PHASES
from groklab.sweeps import study
from invented_sweep import LR, WD, Outcome, written


def test_the_figure_has_one_square_per_cell_with_its_letter_and_no_more(home: Path) -> None:
    results = {(1e-4, 0): [(100, 5000)] * 3, (1e-3, 0): [None] * 3, (1e-3, 2): [(100, 200), (100, 5000), None]}

    def outcome(point: dict[str, float], seed: int) -> Outcome:
        times = results.get((point[LR], point[WD]), [(100, 300)] * 3)[seed]
        return Outcome("pending") if times is None else Outcome(times=times)

    found = study(written(home, "figure", {LR: [1e-4, 1e-3], WD: [0, 0.5, 2]}, outcome, 3, 100_000))
    drawn = phase_diagram(found.frame(), LR, WD)
    heat = drawn.data[0]
    codes = {phase: i for i, phase in enumerate(PHASES)}
    c = codes["comprehension"]
    assert [list(row) for row in heat.z] == [[codes["grokking"], None], [c, c], [c, len(PHASES)]]
    assert heat.text[0][0] == "grokking in 3 of 3 seeds<br>training 100<br>test 5,000<br>gap 4,900"
    assert heat.zsmooth is None
    assert {(a.x, a.y): a.text for a in drawn.layout.annotations} == {
        **{(0, 0): "G", (0, 1): "C", (1, 1): "C", (0, 2): "C", (1, 2): "C/G"}
    }
    assert list(drawn.layout.xaxis.ticktext) == ["1e-4", "1e-3"]
    assert list(drawn.layout.yaxis.ticktext) == ["0", "0.5", "2"]
    assert [t.name for t in drawn.data[1:]] == [f"{LETTERS[p]} {p}" for p in ("comprehension", "grokking")]


def test_one_setting_makes_a_strip(home: Path) -> None:
    found = study(written(home, "strip", {WD: [0, 1, 2]}, lambda point, seed: Outcome(times=(100, 300))))
    assert len(phase_diagram(found.frame(), WD).data[0].z) == 1


def test_colours_differ_in_lightness_for_those_who_see_no_hue() -> None:
    def lightness(colour: str) -> float:
        linear = [((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5)]
        return float(116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16)

    four = sorted(lightness(COLOURS[p]) for p in PHASES[:4])
    assert all(b - a > 10 for a, b in itertools.pairwise(four))
