"""Laws fitted to sweeps with invented times: parameters come back, censoring does not bend them, refusals say why."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

import groklab as gl
from groklab.laws import LAWS, comparison, keep, kept
from groklab.laws._fitting import predicted, solve
from groklab.sweeps import Sweep
from invented_sweep import FRACTION, LR, WD, Outcome, written

RATES, DECAYS = [0.001, 0.002, 0.004, 0.008], [0.5, 1.0, 2.0]
MEMORISED = 95  # of every member of an invented sweep


def delays(a: float, b: float, noise: float = 0.1) -> Callable[[dict[str, Any], int], Outcome]:
    """A delay of 1,600 · (lr / 0.001)^a · decay^b with a log-normal noise, censored at the budget of 2,000."""

    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        z = np.random.default_rng([seed, int(1e6 * point[LR]), int(10 * point[WD])]).standard_normal()
        delay = round(1600 * (point[LR] / 0.001) ** a * point[WD] ** b * np.exp(noise * z))
        return Outcome(grokked=MEMORISED + delay if MEMORISED + delay <= 2000 else None)

    return outcome


def swept(home: Path, a: float = -1.0, b: float = -0.4, seeds: int = 6, **options: Any) -> Sweep:
    return written(home, "decays", {LR: RATES, WD: DECAYS}, delays(a, b, **options), seeds=seeds)


def test_exponents_come_back_with_their_verdicts(home: Path) -> None:
    fit = gl.fit("rate-decay", swept(home), resamples=100)
    assert fit["a"].value == pytest.approx(-1, abs=0.05)
    assert fit["b"].value == pytest.approx(-0.4, abs=0.05)
    assert fit["sigma"].value == pytest.approx(0.1, rel=0.25)
    assert fit["a"].agrees
    assert fit["b"].agrees is False
    assert fit.r2 is not None
    assert fit.r2 > 0.95
    assert "does not contain the source's -1" in " ".join(fit.sentences)
    frame = fit.data_frame
    assert 0 < frame.filter(~frame["observed"]).height == fit.to_dict()["censored"] < 24


def test_censored_members_are_not_taken_as_observed(home: Path) -> None:
    """Half of the slowest cells are censored: as observed times they would bend the exponent of decay."""
    sweep = swept(home, b=-0.8, noise=0.3, seeds=10)
    fit = gl.fit("rate-decay", sweep, resamples=0)
    times = fit.times
    assert (~times.observed).mean() > 0.1
    assert fit["b"].value == pytest.approx(-0.8, abs=0.1)
    naive = solve(fit.law, times.columns, times.log_time, np.ones_like(times.observed), times.early)
    assert abs(naive.coefficients[2] + 0.8) > 2 * abs(fit["b"].value + 0.8)


def test_the_likelihood_is_that_of_scipy(home: Path) -> None:
    """A plain reference: the same likelihood from `scipy.stats`, maximised without gradients."""
    fit = gl.fit("rate-decay", swept(home, noise=0.3), resamples=0)
    times = fit.times
    y, seen = times.log_time, times.observed
    x = np.stack([np.ones_like(y), np.log(times.columns["lr"]), np.log(times.columns["decay"])], 1)

    def loss(p: np.ndarray) -> float:
        normal = stats.norm(x @ p[:3], np.exp(p[3]))
        return -float(np.where(seen, normal.logpdf(y), normal.logsf(y)).sum())

    best = optimize.minimize(loss, [1.0, -0.5, -0.5, -1.0], method="Nelder-Mead", options={"maxiter": 4000})
    assert fit.solution.log_likelihood == pytest.approx(-best.fun, abs=1e-3)
    assert [fit["a"].value, fit["b"].value, fit["sigma"].value] == pytest.approx(
        [*best.x[1:3], np.exp(best.x[3])], abs=2e-3
    )


def test_the_bootstrap_is_seeded_and_of_seeds(home: Path) -> None:
    sweep = swept(home)
    one, again, other = (gl.fit("rate-decay", sweep, resamples=40, seed=s) for s in (0, 0, 1))
    assert one.to_dict() == again.to_dict()
    assert one["b"].low != other["b"].low
    alone = gl.fit("rate-decay", written(home, "alone", {LR: RATES, WD: DECAYS}, delays(-1, -1)), resamples=40)
    assert alone["b"].low is None
    assert "no intervals over seeds" in " ".join(alone.sentences)


def test_the_better_law_is_named(home: Path) -> None:
    sweep = swept(home)
    fits = [gl.fit(name, sweep, resamples=0) for name in ("rate-decay", "inverse-rate-decay")]
    assert fits[0].aic < fits[1].aic - 20
    assert comparison(fits).startswith("By AIC, rate-decay describes the same members better than inverse-rate-decay")
    held = [f.held_out for f in fits]
    assert held[0] is not None
    assert held[1] is not None
    assert held[0] > held[1]
    alike = [gl.fit(name, swept(home, b=-1.0), resamples=0) for name in ("rate-decay", "inverse-rate-decay")]
    assert comparison(alike).startswith("By AIC, inverse-rate-decay describes")  # two parameters fewer
    assert "undecided" in comparison([alike[0], alike[0]])


def test_a_critical_fraction_comes_back(home: Path) -> None:
    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        above = point[FRACTION] - 0.4
        if above <= 0:
            return Outcome()
        time = 60 * above**-1.5 * np.exp(0.05 * np.random.default_rng([seed, int(1e3 * above)]).standard_normal())
        return Outcome(grokked=round(time) if time <= 2000 else None)

    fractions = [0.3, 0.38, 0.45, 0.5, 0.6, 0.7, 0.8]
    sweep = written(home, "fractions", {FRACTION: fractions}, outcome, seeds=5)
    fit = gl.fit("critical-data", sweep, resamples=50)
    f_c, nu = fit["f_c"], fit["nu"]
    assert f_c.value == pytest.approx(0.4, abs=0.02)
    assert nu.value == pytest.approx(1.5, abs=0.25)
    assert f_c.low is not None
    assert f_c.high is not None
    assert f_c.low <= 0.4 <= f_c.high
    assert np.isinf(predicted(fit.law, {"f": np.array([0.3])}, fit.solution)).all()
    assert "critical-data describes the same members better" in comparison(
        [fit, gl.fit("data-exponential", sweep, resamples=0)]
    )


def test_what_a_law_does_not_speak_of_is_refused_in_one_sentence(home: Path) -> None:
    sweep = swept(home, seeds=1)
    with pytest.raises(gl.InputError, match=re.escape("unknown (did you mean rate-decay?)")):
        gl.fit("rate-decy", sweep)
    with pytest.raises(
        gl.InputError, match=r"critical-data needs a sweep over split.frac_train .* and decays-.* varies"
    ):
        gl.fit("critical-data", sweep)
    never = written(home, "never", {LR: RATES, WD: DECAYS}, lambda *_: Outcome())
    with pytest.raises(gl.InputError, match=r"needs at least 3 cells with a member that grokked, and never-.* has 0"):
        gl.fit("rate-decay", never)
    more = written(home, "more", {LR: RATES, WD: DECAYS, FRACTION: [0.5, 0.8]}, delays(-1, -1))
    with pytest.raises(gl.InputError, match=r"also varies split.frac_train, .* hold it with --at split.frac_train=0.5"):
        gl.fit("rate-decay", more)
    held = gl.fit("rate-decay", more, at={FRACTION: "0.8"}, resamples=0)
    assert len(held.times.frame) == len(RATES) * len(DECAYS)


def test_a_unit_makes_an_exponent_comparable(home: Path) -> None:
    """T_gen = C exp(alpha · clamp / 25): the published alpha is per critical norm."""

    def outcome(point: dict[str, Any], seed: int) -> Outcome:
        return Outcome(grokked=round(2 * np.exp(7.5 * point["optimiser.clamp_norm"] / 25) * (1 + seed / 100)))

    sweep = written(home, "clamped", {"optimiser.clamp_norm": [10.0, 15.0, 20.0]}, outcome, seeds=2)
    plain = gl.fit("norm-exponential", sweep, resamples=20)
    assert plain["alpha"].agrees is None
    fit = gl.fit("norm-exponential", sweep, axes={"rho": "optimiser.clamp_norm/25"}, resamples=20)
    assert fit["alpha"].value == pytest.approx(7.5, abs=0.1)
    assert fit["alpha"].agrees is not None
    with pytest.raises(gl.InputError, match="needs a positive number"):
        gl.fit("norm-exponential", sweep, axes={"rho": "optimiser.clamp_norm/0"})


def test_the_figure_marks_what_is_censored_and_is_kept_for_the_page(home: Path) -> None:
    sweep = swept(home)
    fit = gl.fit("rate-decay", sweep, resamples=20)
    names = [trace.name for trace in fit.figure().data]
    assert [n for n in names if n] == [*(f"weight_decay {d:g}" for d in DECAYS), "observed", "not yet at its budget"]
    keep(fit, sweep, "groklab fit rate-decay decays")
    (again,) = kept(sweep)
    assert again.figure().data[1].y == pytest.approx(fit.figure().data[1].y)
    assert again.sentences == fit.sentences
    (sweep.path / "fits" / "rate-decay.json").write_text("{")
    assert kept(sweep) == []


def test_every_law_names_its_source() -> None:
    assert set(LAWS) >= {"rate-decay", "inverse-rate-decay", "norm-separation", "norm-exponential", "critical-data"}
    for law in LAWS.values():
        assert "arXiv" in law.source
        assert law.claimed


def test_the_command_prints_table_sentences_and_json(home: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    swept(home)
    code, out, _ = command("fit", "rate-decay,inverse-rate-decay", "decays", "--resamples", 20, "--json")
    assert code == 0
    answer = json.loads(out.splitlines()[-1])
    assert [f["law"] for f in answer["fits"]] == ["rate-decay", "inverse-rate-decay"]
    assert "By AIC" in answer["comparison"]
    code, out, _ = command("fit", "rate-decay", "decays", "--resamples", 20, "--out", home / "fit.html")
    assert code == 0
    assert "does not contain the source's -1" in out
    assert (home / "fit.html").stat().st_size > 1000
    code, out, _ = command("fit")
    assert "delay = C · lr^a · decay^b" in out
    code, _, err = command("fit", "rate-decay")
    assert (code, "SWEEP is missing" in err) == (2, True)


def test_the_page_of_a_sweep_shows_the_laws_that_were_fitted(home: Path) -> None:
    sweep = swept(home)
    page = sweep.report(home / "before.html").read_text("utf-8")
    assert 'id="laws"' not in page
    assert "Plotly" not in page
    keep(gl.fit("rate-decay", sweep, resamples=20), sweep, "groklab fit rate-decay decays")
    page = sweep.report(home / "after.html").read_text("utf-8")
    assert page.count('id="law-rate-decay"') == 1
    assert "does not contain the source&#39;s -1" in page
    assert "groklab fit rate-decay decays" in page
