from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from groklab.components import with_hyperparameters
from groklab.objectives import CrossEntropy, MeanSquaredError, exact_cross_entropy, sparsemax


def logits_at(margin: float, dtype: type) -> tuple[jax.Array, jax.Array]:
    """Rows whose answer leads by `margin`, over rivals that differ among themselves."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 7)) * 0.5
    targets = np.array([0, 3, 6, 2])
    logits[np.arange(4), targets] = logits.max(axis=1) + margin
    return jnp.asarray(logits, dtype), jnp.asarray(targets, jnp.int32)


def by_mpmath(logits: jax.Array, targets: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Losses and their gradients in 60 digits."""
    with mpmath.workdps(60):
        losses, gradients = [], []
        for row, y in zip(np.asarray(logits, float), np.asarray(targets), strict=True):
            e = [mpmath.exp(mpmath.mpf(x) - mpmath.mpf(row[y])) if j != y else 0 for j, x in enumerate(row)]
            losses.append(float(mpmath.log1p(sum(e))))
            g = [x / (1 + sum(e)) for x in e]
            g[y] = -sum(g)
            gradients.append([float(x) for x in g])
    return np.array(losses), np.array(gradients)


@jax.jit
def exact_with_gradient(logits: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
    losses, pull = jax.vjp(lambda x: exact_cross_entropy(x, targets), logits)
    return losses, pull(jnp.ones_like(losses))[0]


@jax.jit(static_argnums=0)
def per_row(objective: Any, logits: jax.Array, targets: jax.Array) -> jax.Array:
    return objective.per_row(logits, targets)


@pytest.mark.parametrize("margin", [15.0, 20.0, 30.0, 60.0, -5.0, -80.0, -3000.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.float64, 1e-12)])
def test_the_exact_form_keeps_relative_accuracy_at_any_margin(margin, dtype, tolerance):
    logits, targets = logits_at(margin, dtype)
    loss, gradient = by_mpmath(logits, targets)
    got, pulled = exact_with_gradient(logits, targets)
    np.testing.assert_allclose(got, loss, rtol=tolerance)
    smallest_normal = 1e-37 if dtype == jnp.float32 else 1e-300
    np.testing.assert_allclose(pulled, gradient, rtol=tolerance, atol=smallest_normal)


def test_the_float32_form_collapses_where_the_exact_one_does_not():
    logits, targets = logits_at(30.0, jnp.float32)
    assert (np.asarray(per_row(CrossEntropy(form="float32"), logits, targets)) == 0).all()
    assert (np.asarray(per_row(CrossEntropy(), logits, targets)) > 1e-14).all()


@jax.jit(static_argnums=0)
def mean_with_gradient(form: str, temperature: float, logits: jax.Array, targets: jax.Array) -> Any:
    objective = with_hyperparameters(CrossEntropy(form=form), {"temperature": temperature})
    return jax.value_and_grad(lambda x: objective.per_row(x, targets).mean())(logits)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.1, 20), temperature=st.floats(0.2, 5))
def test_all_softmax_forms_agree_with_the_definition_at_moderate_margins(seed, scale, temperature):
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(6, 5)) * scale, rng.integers(0, 5, 6).astype(np.int32)
    expected = mean_with_gradient("float64", temperature, logits, targets)
    by_scipy = -log_softmax(logits / temperature, axis=1)[np.arange(6), targets].mean()
    np.testing.assert_allclose(expected[0], by_scipy, rtol=1e-10, atol=1e-14)
    for form in ("exact", "float32"):  # 'float32' works in the logits' own precision, here double
        got = mean_with_gradient(form, temperature, logits, targets)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), got, expected)


def by_sorting(z: np.ndarray, y: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, gradient and projection of one row as Martins & Astudillo write them (algorithm 1, eqs. 14 and 15)."""
    falling = np.sort(z)[::-1]
    sums, k = np.cumsum(falling), np.arange(1, len(z) + 1)
    size = k[1 + k * falling > sums].max()
    tau = (sums[size - 1] - 1) / size
    p = np.maximum(z - tau, 0)
    return -z[y] + 0.5 * (z[p > 0] ** 2 - tau**2).sum() + 0.5, p - np.eye(len(z))[y], p


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), scale=st.floats(0.01, 20), temperature=st.floats(0.2, 5), ties=st.booleans())
def test_sparsemax_is_the_published_loss_and_gradient(seed, scale, temperature, ties):
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(8, 9)) * scale, rng.integers(0, 9, 8).astype(np.int32)
    if ties:
        logits = np.round(logits)
    loss, gradient = mean_with_gradient("sparsemax", temperature, logits, targets)
    rows = [by_sorting(z / temperature, y) for z, y in zip(logits, targets, strict=True)]
    np.testing.assert_allclose(loss, np.mean([row[0] for row in rows]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient, np.stack([row[1] for row in rows]) / 8 / temperature, rtol=1e-9, atol=1e-12)
    p = np.asarray(sparsemax(jnp.asarray(logits)))
    np.testing.assert_allclose(p, np.stack([by_sorting(z, 0)[2] for z in logits]), atol=1e-12 * max(1, scale))


def test_sparsemax_is_accurate_near_zero_and_zero_beyond_a_margin_of_one():
    for margin in (1e-3, 0.9, 0.999):
        logits = np.array([[margin, 0.0]], np.float32)
        # of two classes it is (1 - margin)^2 / 4
        loss = float(per_row(CrossEntropy(form="sparsemax"), jnp.asarray(logits), jnp.zeros(1, jnp.int32))[0])
        # p itself is rounded; the formula as written would be a quarter off at the last margin
        assert loss == pytest.approx((1 - float(logits[0, 0])) ** 2 / 4, rel=2e-4)
    loss, gradient = mean_with_gradient("sparsemax", 1.0, np.array([[1.0, 0.0, -5.0]]), np.zeros(1, np.int32))
    assert loss == 0
    assert not np.asarray(gradient).any()


def test_dtypes_and_the_batched_form():
    logits, targets = logits_at(3.0, jnp.float32)
    many, answers = np.stack([logits, 2 * logits]), np.stack([targets, targets])
    for form, dtype in (
        ("exact", "float32"),
        ("float32", "float32"),
        ("stablemax", "float32"),
        ("sparsemax", "float32"),
        ("float64", "float64"),
    ):
        objective = CrossEntropy(form=form)
        losses = jax.jit(jax.vmap(lambda x, y, o=objective: o.per_row(x, y)))(many, answers)
        assert losses.dtype == dtype
        np.testing.assert_allclose(losses[1], per_row(objective, many[1], targets), rtol=1e-6)


def test_stablemax_by_hand():
    logits, stablemax = np.array([[2.0, 0.0, -3.0]]), CrossEntropy(form="stablemax")  # s = 3, 1, 1/4
    got = np.concatenate([per_row(stablemax, logits, np.array([y])) for y in range(3)])
    np.testing.assert_allclose(got, -np.log(np.array([3, 1, 0.25]) / 4.25), rtol=1e-12)
    gradient = np.asarray(jax.jit(jax.grad(lambda x: stablemax.per_row(x, jnp.array([0]))[0]))(logits))
    np.testing.assert_allclose(gradient[0], [-1 / 3 + 1 / 4.25, 1 / 4.25, (1 / 16) / 4.25], rtol=1e-12)


def test_stablemax_is_the_published_formula_at_any_logit():
    """-log(s_y / sum s) with s(x) = x + 1, or 1 / (1 - x) below zero, and the gradient of that."""
    rng = np.random.default_rng(0)
    logits = np.sign(rng.normal(size=(200, 13))) * 10 ** rng.uniform(-6, 5, (200, 13))
    targets = rng.integers(0, 13, 200)
    s = np.where(logits >= 0, np.abs(logits) + 1, 1 / (1 + np.abs(logits)))
    hit, total = np.arange(13) == targets[:, None], s.sum(1, keepdims=True)
    stablemax = CrossEntropy(form="stablemax")
    np.testing.assert_allclose(per_row(stablemax, logits, targets), -np.log((s / total)[hit]), rtol=1e-12, atol=1e-15)
    slope = np.where(logits >= 0, 1, s**2)  # of s
    expected = slope * (1 / total - hit / s)
    got = jax.jit(jax.grad(lambda x: stablemax.per_row(x, jnp.asarray(targets)).sum()))(logits)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-15)


def test_mean_squared_error_is_a_mean_over_outputs():
    logits = jnp.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(MeanSquaredError().per_row(logits, jnp.array([1, 3])), [0.5, 0.0])
