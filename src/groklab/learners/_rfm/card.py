"""An iteration of a kernel machine on a graphics card: everything but single numbers stays there.

The formulas are those of `machine` and `solving`, whose trajectories it follows. A card multiplies so quickly that
dense rows serve pairs, too; only the sums of a radial kernel's gradients over pairs go by symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from groklab.device import xla_options
from groklab.errors import InputError
from groklab.lazy import Array, jax, jnp
from groklab.learners._rfm.points import Pairs
from groklab.learners._rfm.solving import MOST_PRODUCTS, PROBES, SINGULAR, TOLERANCE, condition_of, probes, singular

if TYPE_CHECKING:
    from groklab.learners._rfm.learner import RFM
    from groklab.learners._rfm.machine import Data

#: Numbers of a chunk of rows by all training points, or of gradients by output: 2 GB in double precision.
CHUNK = 2**28


class OnCard(NamedTuple):
    """A member's data on the card.

    train, test: rows (n, d); answers: one-hot (n, c); spread: `Points.spread` (d, d); places, used: for pairs, the
    training rows (2p, m) that have each symbol, and which of them are real.
    """

    train: Array
    test: Array
    answers: Array
    train_targets: Array
    test_targets: Array
    test_free: Array
    spread: Array
    places: Array | None
    used: Array | None


def put(data: Data, centre: bool) -> OnCard:
    """Move a member's data to the card."""
    places = used = None
    if isinstance(data.train, Pairs):
        # by both symbols: the rows that share one, padded to the longest such list
        symbols = np.concatenate([data.train.first, data.train.second + data.train.p])
        order = np.argsort(symbols, kind="stable")
        counts = np.bincount(symbols, minlength=2 * data.train.p)
        within = np.arange(counts.max())
        used = within < counts[:, None]
        starts = np.cumsum(counts) - counts
        places = np.where(used, order[np.minimum(starts[:, None] + within, len(order) - 1)] % data.train.n, 0)
    return OnCard(
        jnp.asarray(data.train.dense(data.dtype), data.dtype),
        jnp.asarray(data.test.dense(data.dtype), data.dtype),
        jnp.asarray(data.answers),
        jnp.asarray(data.train_targets),
        jnp.asarray(data.test_targets),
        jnp.asarray(~data.test_transposed),
        jnp.asarray(data.train.spread(centre), data.dtype),
        None if places is None else jnp.asarray(places),
        None if used is None else jnp.asarray(used, data.dtype),
    )


def step(
    machine: RFM, metric: Any, data: Data, record: bool, move: bool
) -> tuple[dict[str, Any], dict[str, float]] | None:
    """Take one iteration as `RFM.step` does; None where the kernel matrix has no Cholesky factor.

    Args:
        machine: its settings, the member's own.
        metric: M (d, d), on the card or not.
        data: the member's.

    Raises:
        InputError: where the kernel matrix is singular, or the features are not finite.
    """
    held, here = data.holds, data.on_card(machine.centre)
    metric = jnp.asarray(metric)
    settings = {"bandwidth": machine.bandwidth, "ridge": machine.ridge, "power": machine.agop_power}
    scalars = {name: jnp.asarray(value, metric.dtype) for name, value in settings.items()}
    if held:
        coefficients, condition = _solved(machine.kernel, metric, here, scalars)
        condition = float(condition)
        if np.isnan(condition):
            return None
        if not condition <= SINGULAR / np.finfo(metric.dtype).eps:
            raise singular(condition, np.dtype(metric.dtype))
    else:
        coefficients, *path = _solved_iteratively(machine.kernel, metric, here, scalars)
        condition = _condition(*map(np.asarray, path))
    moved, measured = _iterated(
        machine.kernel, machine.centre, machine.normalise, record, move, metric, here, coefficients, scalars
    )
    row = {name: float(value) for name, value in jax.device_get(measured).items()}
    if move and not row.pop("finite"):
        raise InputError("the feature matrix holds numbers that are not finite")
    if record:
        row["condition"] = condition
        if not bool(np.any(~data.test_transposed)):
            row["transpose_free_accuracy"] = np.nan
    return {"M": moved}, row


def _jit(*static: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function when it is first called, with products in full precision."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        made: list[Any] = []

        def call(*arguments: Any) -> Any:
            if not made:
                made.append(jax.jit(function, static_argnums=static, compiler_options=xla_options()))
            with jax.default_matmul_precision("highest"):
                return made[0](*arguments)

        return call

    return decorate


# -- kernels -------------------------------------------------------------------------------------------------------


def _values(kernel: str, inner: Array, norms_x: Array, norms_z: Array, bandwidth: Array) -> Array:
    """Return kernel values (n_x, n_z) of inner products; norms are x'Mx and z'Mz."""
    if kernel in ("quadratic", "general_quadratic"):
        values = inner * inner
        return values if kernel == "quadratic" else values + 0.5 * (norms_x[:, None] - 1) * (norms_z - 1)
    squares = _distances(kernel, inner, norms_x, norms_z)
    return jnp.exp(-jnp.sqrt(squares) / bandwidth if kernel == "laplace" else -0.5 * squares / bandwidth**2)


def _distances(kernel: str, inner: Array, norms_x: Array, norms_z: Array) -> Array:
    squares = norms_x[:, None] + norms_z - 2 * inner
    if kernel == "laplace":
        rounding = 64 * float(np.finfo(inner.dtype).eps) * (norms_x[:, None] + norms_z)
        squares = jnp.where(squares < rounding, 0, squares)
    return jnp.maximum(squares, 0)


def _slopes(kernel: str, inner: Array, norms_x: Array, norms_z: Array, bandwidth: Array) -> Array:
    """Return s(D) of the gradient M s(D) (z - x) of a radial kernel."""
    if kernel == "gaussian":
        return _values(kernel, inner, norms_x, norms_z, bandwidth) / bandwidth**2
    root = jnp.sqrt(_distances(kernel, inner, norms_x, norms_z))
    near = root == 0
    root = jnp.where(near, 1, root)
    return jnp.where(near, 0, jnp.exp(-root / bandwidth) / (bandwidth * root))


def _norms(rows: Array, metric: Array) -> Array:
    return jnp.sum((rows @ metric) * rows, axis=1)


def _by_rows(function: Callable[[Array], Array], rows: Array, width: int) -> Array:
    """Return function(rows) for rows (n, d), some at a time: as many as have `CHUNK` numbers of `width` each."""
    n, size = rows.shape[0], max(1, min(rows.shape[0], CHUNK // width))
    padded = jnp.concatenate([rows, jnp.zeros((-n % size, rows.shape[1]), rows.dtype)])
    chunks: Array = jax.lax.map(function, padded.reshape(-1, size, rows.shape[1]))
    return chunks.reshape(-1, chunks.shape[-1])[:n]


def _times_kernel(kernel: str, metric: Array, train: Array, scalars: Mapping[str, Array]) -> Any:
    """Return the function (rows, V) -> kernel values of rows and training points, times V."""
    seen, norms = train @ metric, _norms(train, metric)

    def multiply(rows: Array, values: Array) -> Array:
        def chunk(x: Array) -> Array:
            return _values(kernel, x @ seen.T, _norms(x, metric), norms, scalars["bandwidth"]) @ values

        return _by_rows(chunk, rows, len(train))

    return multiply


# -- solving -------------------------------------------------------------------------------------------------------


@_jit(0)
def _solved(kernel: str, metric: Array, here: OnCard, scalars: Mapping[str, Array]) -> tuple[Array, Array]:
    """Return coefficients (n, c), and the estimated condition number: NaN where there is no Cholesky factor."""
    train, n = here.train, here.train.shape[0]
    norms = _norms(train, metric)
    matrix = _values(kernel, train @ metric @ train.T, norms, norms, scalars["bandwidth"])
    matrix = matrix + scalars["ridge"] * jnp.eye(n, dtype=matrix.dtype)
    largest = jnp.linalg.norm(matrix @ jnp.full(n, n**-0.5, matrix.dtype))
    factor = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)

    def solve(right: Array) -> Array:
        half = jax.lax.linalg.triangular_solve(factor, right, left_side=True, lower=True)
        return jax.lax.linalg.triangular_solve(factor, half, left_side=True, lower=True, transpose_a=True)

    probed = jnp.concatenate([here.answers, jnp.asarray(probes(n, matrix.dtype.name))], axis=1)
    solved = solve(probed)
    lengths = jnp.linalg.norm(probed, axis=0)
    stretched = jnp.where(lengths > 0, solved / jnp.where(lengths > 0, lengths, 1), 0)
    squares, mix = jnp.linalg.eigh((stretched.T @ stretched).astype(jnp.float64))
    most = squares > 1e-10 * squares[-1]
    scale = jnp.where(most, 1 / jnp.sqrt(jnp.where(most, squares, 1)), 0)[-PROBES:]
    directions = stretched @ (mix[:, -PROBES:] * scale).astype(stretched.dtype)
    condition = largest * jnp.linalg.norm(solve(directions), ord=2)
    coefficients = solved[:, : here.answers.shape[1]]
    # not a number where the factor has failed, infinite where the solutions are not finite
    failed = ~jnp.isfinite(factor[-1, -1])
    finite = jnp.isfinite(condition) & jnp.isfinite(coefficients).all()
    return coefficients, jnp.where(failed, jnp.nan, jnp.where(finite, condition, jnp.inf))


@_jit(0)
def _solved_iteratively(kernel: str, metric: Array, here: OnCard, scalars: Mapping[str, Array]) -> Any:
    """Solve by conjugate gradients: coefficients, whether they are solved, how many products, steps and ratios."""
    train, right = here.train, here.answers
    multiply = _times_kernel(kernel, metric, train, scalars)
    squares = jnp.sum(right * right, axis=0)
    goal = TOLERANCE[np.dtype(right.dtype)] ** 2 * squares
    blank = jnp.zeros((MOST_PRODUCTS, right.shape[1]), right.dtype)

    def turn(carry: Any) -> Any:
        x, residual, direction, squares, _, i, steps, ratios = carry
        image = multiply(train, direction) + scalars["ridge"] * direction
        curvature = jnp.sum(direction * image, axis=0)
        alive = (squares > goal) & (curvature > 0)
        size = jnp.where(alive, squares / jnp.where(alive, curvature, 1), 0)
        x, residual = x + size * direction, residual - size * image
        fresh = jnp.sum(residual * residual, axis=0)
        ratio = jnp.where(alive & (squares > 0), fresh / jnp.where(squares > 0, squares, 1), 0)
        steps, ratios = steps.at[i].set(size), ratios.at[i].set(ratio)
        return x, residual, residual + ratio * direction, fresh, alive.any(), i + 1, steps, ratios

    def going(carry: Any) -> Array:
        _, _, _, squares, moves, i, _, _ = carry
        more: Array = (squares > goal).any() & moves & (i < MOST_PRODUCTS)
        return more

    first = jnp.zeros_like(right), right, right, squares, jnp.asarray(True), jnp.asarray(0), blank, blank
    x, _, _, squares, _, i, steps, ratios = jax.lax.while_loop(going, turn, first)
    return x, (squares <= goal).all(), i, steps, ratios


def _condition(solved: np.ndarray, n_products: np.ndarray, steps: np.ndarray, ratios: np.ndarray) -> float:
    """Return the condition number that conjugate gradients saw. Raises InputError where they did not converge."""
    if not solved:
        raise InputError(
            f"conjugate gradients did not solve the kernel regression within {MOST_PRODUCTS:,} products: "
            "learner.ridge needs to be larger"
        )
    return condition_of(list(steps[: int(n_products)]), list(ratios[: int(n_products)]))


# -- outputs, metrics and the next metric ----------------------------------------------------------------------------


@_jit(0, 1, 2, 3, 4)
def _iterated(
    kernel: str,
    centre: bool,
    normalise: str,
    record: bool,
    move: bool,
    metric: Array,
    here: OnCard,
    coefficients: Array,
    scalars: Mapping[str, Array],
) -> tuple[Array, dict[str, Array]]:
    """Return the next metric, and the machine's metrics by name."""
    if kernel in ("quadratic", "general_quadratic"):
        outputs, agop = _polynomial(kernel, metric, here, coefficients)
    else:
        outputs, agop = _radial(kernel, centre, metric, here, coefficients, scalars)
    row: dict[str, Array] = {}
    if record:
        row = _errors(outputs, here) | {"weight_norm": jnp.linalg.norm(metric), "trace": jnp.trace(metric)}
    if not move:
        return metric, row
    inner = agop().astype(jnp.float64)
    values, vectors = jnp.linalg.eigh((inner + inner.T) / 2)
    moved = (vectors * jnp.clip(values, 0) ** scalars["power"].astype(jnp.float64)) @ vectors.T
    if normalise != "none":
        largest = moved.max() if normalise == "max" else jnp.trace(moved) / len(moved)
        moved = moved / jnp.maximum(largest, np.finfo(np.float64).tiny)
    return moved.astype(metric.dtype), row | {"finite": jnp.isfinite(inner).all()}


_Outputs = Callable[[Array], Array]


def _polynomial(kernel: str, metric: Array, here: OnCard, coefficients: Array) -> tuple[_Outputs, Callable[[], Array]]:
    """Return the functions to outputs (n, c) of rows, and to the AGOP (d, d)."""
    train = here.train
    seen = train @ metric
    moments = jax.lax.map(lambda a: (train * a[:, None]).T @ seen, coefficients.T)
    constants = jnp.zeros(coefficients.shape[1], coefficients.dtype)
    if kernel == "general_quadratic":
        half = 0.5 * ((_norms(train, metric) - 1) @ coefficients)
        moments = moments + half[:, None, None] * jnp.eye(train.shape[1], dtype=train.dtype)
        constants = -half

    def outputs(rows: Array) -> Array:
        own = rows @ metric
        forms: Array = jax.lax.map(lambda t: jnp.sum((own @ t) * rows, axis=1), moments)
        return forms.T + constants

    def agop() -> Array:
        def add(total: Array, t: Array) -> tuple[Array, None]:
            half = t @ here.spread
            return total + half @ half.T, None

        total, _ = jax.lax.scan(add, jnp.zeros_like(metric), moments)
        return metric @ (total * (4 / len(train))) @ metric

    return outputs, agop


def _radial(
    kernel: str, centre: bool, metric: Array, here: OnCard, coefficients: Array, scalars: Mapping[str, Array]
) -> tuple[_Outputs, Callable[[], Array]]:
    """Return the functions to outputs (n, c) of rows, and to the AGOP (d, d)."""
    train, bandwidth = here.train, scalars["bandwidth"]
    (n, d), c = train.shape, coefficients.shape[1]
    seen, norms = train @ metric, _norms(train, metric)
    size = max(1, min(n, CHUNK // max(d * c, n)))

    weights = None if here.used is None else coefficients[here.places] * here.used[..., None]

    def pulls_of(slopes: Array) -> Array:
        """Return sum_i a_il s_ij x_i, (d, c, chunk)."""
        if weights is None:
            return jnp.einsum("nc,nj,nd->dcj", coefficients, slopes, train)

        def symbol(own: tuple[Array, Array]) -> Array:
            weight, place = own
            return weight.T @ slopes[place]

        pulled: Array = jax.lax.map(symbol, (weights, here.places))
        return pulled

    def agop() -> Array:
        padding = -n % size
        columns = jnp.arange(n + padding).reshape(-1, size)

        def add(carry: Any, j: Array) -> tuple[Any, Array]:
            total, pulled = carry
            real, j = j < n, jnp.minimum(j, n - 1)
            slopes = _slopes(kernel, seen @ train[j].T, norms, norms[j], bandwidth) * real
            pushes = coefficients.T @ slopes
            h = pulls_of(slopes) - train[j].T[:, None, :] * pushes
            flat = h.reshape(d, -1)
            return (total + flat @ flat.T, pulled + slopes.sum(1)), pushes

        zero = jnp.zeros_like(metric), jnp.zeros(n, train.dtype)
        (total, pulled), pushes = jax.lax.scan(add, zero, columns)
        total = total / n
        if centre:
            pushes = jnp.moveaxis(pushes, 1, 0).reshape(c, -1)[:, :n]
            means = train.T @ (pulled[:, None] * coefficients - pushes.T) / n
            total = total - means @ means.T
        return metric @ total @ metric

    multiply = _times_kernel(kernel, metric, train, scalars)
    return lambda rows: multiply(rows, coefficients), agop


def _errors(outputs: _Outputs, here: OnCard) -> dict[str, Array]:
    """Return what `machine.errors` does."""
    row = {}
    for name, rows, targets in (
        ("train", here.train, here.train_targets),
        ("test", here.test, here.test_targets),
    ):
        made = outputs(rows)
        is_own = jnp.arange(made.shape[1]) == targets[:, None]
        own = jnp.sum(jnp.where(is_own, made, 0), axis=1)
        right = own > jnp.max(jnp.where(is_own, -jnp.inf, made), axis=1)
        squares = jnp.sum(jnp.where(is_own, 0, made).astype(jnp.float64) ** 2)
        correct = jnp.sum((own.astype(jnp.float64) - 1) ** 2)
        row[f"{name}_loss"] = (squares + correct) / made.size
        row[f"{name}_accuracy"] = jnp.sum(right.astype(jnp.float64)) / len(targets)
        row[f"{name}_correct_loss"] = correct / len(targets)
    free = here.test_free.astype(jnp.float64)
    row["transpose_free_accuracy"] = jnp.sum(right * free) / jnp.maximum(jnp.sum(free), 1)
    return row
