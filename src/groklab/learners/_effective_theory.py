"""The effective theory of representation learning as a learner: embeddings that flow (Liu et al. 2022, section 3.2).

There is no decoder and no data but the equations E_i + E_j = E_m + E_n of the training set:
l_eff = (1/nu) sum over them of |E_i + E_j − E_m − E_n|^2 / Z0, with Z0 = sum_k |E_k|^2, and dE/dt = −grad l_eff.
With G as in `groklab.theory._parallelograms` and H = 2 G / (nu Z0) that is dE/dt = −(H − rho) E, rho = tr(E'HE) / Z0,
which keeps Z0 and, once it is zero, the mean of E. So E(t) = sqrt(Z0) exp(−H t) E(0) / |exp(−H t) E(0)|, without any
steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from groklab.components import with_hyperparameters
from groklab.errors import InputError
from groklab.lazy import Array, Bool, Float, Int, diffrax, jax, jnp
from groklab.learners._base import LOSSES, Dynamics, Hyperparameters, Learner, Outputs, State
from groklab.learners._compiled import CompiledProgram
from groklab.registry import register
from groklab.tasks import Draw, Task, TaskShape
from groklab.theory import ZERO, Normalisation, check_applies, equations_of

#: Error that the integrator allows in a step, absolute and relative.
TOLERANCE = 1e-10
#: Mean squared defect below which a quadruple is a parallelogram.
DELTA_SQUARED = 0.01


@register("learner", "effective_theory")
class EffectiveTheory(Learner):
    """Embeddings that descend the effective loss of the training set's parallelograms; nothing else is learnt.

    Attributes:
        d: dimensions of the embedding.
        eta: flow time of one step, the learning rate of the representation.
        normalisation: nu in the loss, 'one' as in the published code and on every published time axis, or
            'parallelograms', |P0(D)|, as in the paper's formula.
        equations: those of the training set ('train'), as in the paper, or of all pairs ('all'), as in the published
            code.
        integrator: 'closed_form' is exact; 'ode' integrates the gradient of the loss (Tsit5, error 1e-10 per step);
            'euler_frozen' is the published code's Euler step with Z0 held at its first value, with which |E| drifts.
    """

    d: Annotated[int, Ge(1)] = 1
    eta: float = 1e-3
    normalisation: Normalisation = "one"
    equations: Literal["train", "all"] = "train"
    integrator: Literal["closed_form", "ode", "euler_frozen"] = "closed_form"

    metrics: ClassVar[tuple[str, ...]] = (*LOSSES, "weight_norm", "rqi")
    defaults: ClassVar[dict[str, Any]] = {
        "dtype": "float64",
        "budget": {"steps": 5000},
        "evaluation": {"every": 1},
        "checkpoints": {"spacing": "linear", "every": 100},
    }

    def __post_init__(self) -> None:
        if not self.eta > 0:
            raise InputError("learner.eta", self.eta, "needs to be above 0")

    def check(self, experiment: Any, task: Task) -> None:
        """Raise InputError for tasks that the theory does not cover: modulo p, or with operands that do not commute."""
        equations = equations_of(task)
        if task.shape.n_symbols != equations.p or len(task.shape.varying) != 2:
            raise InputError("learner.kind", self.kind, f"needs a token for each operand, which {task.name} has not")
        check_applies(equations)

    def make(self, experiment: Any, shape: TaskShape, draw: Draw | None = None) -> CompiledProgram:
        """Make the program of the flow. Raises InputError unless two positions vary and the data are finite."""
        if len(shape.varying) != 2 or draw is not None or shape.reads is not None:
            raise InputError("learner.kind", self.kind, "needs a finite task of two varying tokens")
        if self.integrator == "ode" and experiment.dtype != "float64":
            raise InputError("dtype", experiment.dtype, "needs float64 for the integrator 'ode'")
        return CompiledProgram(Flow(self, shape, experiment.dtype), experiment.matmul_precision)

    def weight_shapes(self, experiment: Any, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return the shape of the one weight, the embedding of each symbol."""
        return {"embed.W_E": (shape.n_symbols, self.d)}

    def flops(self, experiment: Any, shape: TaskShape, n_train: int) -> float:
        """Count the products of a step: into the eigenbasis and back."""
        return 4.0 * shape.n_symbols**2 * self.d

    def memory(
        self, experiment: Any, shape: TaskShape, n_train: int, n_test: int, members: int, concurrent: int
    ) -> int:
        """Estimate the one-hot sums of all rows, their weighted copy and totals by class, and matrices over symbols."""
        entries = shape.n_symbols * (3 * (n_train + n_test) + shape.n_classes + 5 * shape.n_symbols)
        return int(np.dtype(experiment.dtype).itemsize) * concurrent * entries

    def predict(
        self, experiment: Any, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray
    ) -> npt.NDArray[np.floating]:
        """Raise InputError: a representation without a decoder gives no answers."""
        raise InputError("the effective theory has no decoder, and gives no answers to inputs")


class Flow(Dynamics):
    """The flow of one member's embeddings.

    The data that `prepare` makes: `pairs`, `classes` and `is_test` of all rows, in the order of their classes;
    `widest`, the size of the largest class; `all`, the equations of all pairs; and `phases`, for each training set of
    the split's schedule: `is_train`, the equations `train`, `gram` and `nu` of those that are descended, and that G's
    eigenvalues and -vectors `values`, `vectors`, zero modes at exactly zero. Equations are `gram` (p, p), the matrix G,
    their number `count`, `nu`, and each row's `share`, by which rows of one unordered pair count as one.
    """

    def __init__(self, settings: EffectiveTheory, shape: TaskShape, dtype: str) -> None:
        self.settings, self.shape, self.dtype = settings, shape, jnp.dtype(dtype)
        self.metrics = settings.metrics

    def init(self, key: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Draw embeddings uniform in ±1/2, then normalise: mean 0, unbiased standard deviation 1 in each dimension."""
        size = self.shape.n_symbols, self.settings.d
        drawn = jax.random.uniform(key, size, self.dtype, -0.5, 0.5)
        return {"weights": {"embed.W_E": normalised(drawn)}, "first_z0": jnp.zeros((), self.dtype)}

    def prepare(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Build the equations of the rows of positive weight, and what the closed form and the metrics need."""
        places = jnp.array(self.shape.varying)
        pairs = jnp.concatenate([raw["train_inputs"], raw["test_inputs"]])[:, places]
        classes = jnp.concatenate([raw["train_targets"], raw["test_targets"]])
        n_train, n_test = len(raw["train_inputs"]), len(raw["test_inputs"])
        is_train = jnp.pad(raw["schedule_weights"] > 0, ((0, 0), (0, n_test)))
        is_test = jnp.pad(raw["test_weights"] > 0, (n_train, 0))
        present = is_test | jnp.any(is_train, axis=0)
        # rows that only pad are of a class of their own, which holds nothing else
        classes = jnp.where(present, classes, self.shape.n_classes + jnp.arange(len(classes), dtype=classes.dtype))
        order = jnp.argsort(classes)
        pairs, classes, present = pairs[order], classes[order], present[order]
        of_all = self._equations_of(pairs, classes, present)

        def of_phase(is_train: jax.Array) -> dict[str, Any]:
            train = self._equations_of(pairs, classes, is_train)
            descended = train if self.settings.equations == "train" else of_all
            values, vectors = jnp.linalg.eigh(descended["gram"])
            # (in single precision rounding alone is more)
            zero = jnp.maximum(ZERO, 10 * len(values) * float(np.finfo(self.dtype).eps) * values[-1])
            return {
                "train": train,
                "is_train": is_train.astype(self.dtype),
                "gram": descended["gram"],
                "nu": descended["nu"],
                "values": jnp.where(values < zero, 0, values),
                "vectors": vectors,
            }

        return {
            "pairs": pairs,
            "classes": classes,
            "widest": jnp.max(jnp.bincount(classes, length=self.shape.n_classes + len(classes))),
            "is_test": is_test[order].astype(self.dtype),
            "all": of_all,
            "schedule_steps": raw["schedule_steps"],
            "phases": jax.vmap(of_phase)(is_train[:, order]),
        }

    def step(
        self, state: State, data: Any, hyperparameters: Hyperparameters, key: jax.Array, s: jax.Array
    ) -> tuple[State, Outputs]:
        """Flow by the time eta; there are no outputs."""
        eta = with_hyperparameters(self.settings, hyperparameters, "learner").eta
        e = state["weights"]["embed.W_E"]
        now = _of_phase(data, s)
        # frozen at the weights that the run starts from, which may come from elsewhere
        z0 = jnp.where(s == 0, jnp.sum(e**2), state["first_z0"])
        if self.settings.integrator == "closed_form":
            moved = _exactly(e, now, eta)
        elif self.settings.integrator == "ode":
            moved = _integrated(e, now, eta)
        else:
            moved = e + eta * frozen_descent(e, now["gram"], now["nu"], z0)
        return {"weights": {"embed.W_E": moved}, "first_z0": z0}, {}

    def evaluate(self, state: State, data: Any, hyperparameters: Hyperparameters, s: jax.Array) -> Outputs:
        """Return losses, accuracies, the embedding's norm, and `rqi`, the share of equations that hold within delta.

        Losses are l_eff of the training equations and of all. Training accuracy is 1: the theory takes the training set
        as fitted. Test accuracy is predicted: the share of test pairs within delta of a training pair of their class.
        delta^2 is 0.01, of the mean over dimensions of the normalised embedding's squared defect.
        """
        e = state["weights"]["embed.W_E"]
        now, share, tested = _of_phase(data, s), data["all"]["share"], data["is_test"]
        read = normalised(e)[data["pairs"]].sum(axis=1)
        near = within_delta(read, data["classes"], jnp.stack([share, now["is_train"]], axis=1), data["widest"])
        # every pair is near itself, and any two near each other twice
        within = (jnp.sum(share * near[:, 0]) - jnp.sum(share)) / 2
        right = jnp.sum(jnp.where(near[:, 1] > 0, tested, 0))
        return {
            "train_loss": effective_loss(e, now["train"]["gram"], now["train"]["nu"]),
            "test_loss": effective_loss(e, data["all"]["gram"], data["all"]["nu"]),
            "train_accuracy": jnp.ones((), self.dtype),
            "test_accuracy": right / jnp.maximum(jnp.sum(tested), 1),
            "weight_norm": jnp.sqrt(jnp.sum(e**2)),
            "rqi": within / jnp.maximum(data["all"]["count"], 1),
        }

    def _equations_of(
        self, pairs: Int[Array, "n 2"], classes: Int[Array, " n"], rows: Bool[Array, " n"]
    ) -> dict[str, jax.Array]:
        """Return `gram` (p, p) as `Equations.gram`, `count`, `nu` and `share` (n,) of the equations among some rows."""
        p, n_classes = self.shape.n_symbols, self.shape.n_classes + len(classes)
        key = jnp.minimum(pairs[:, 0], pairs[:, 1]) * p + jnp.maximum(pairs[:, 0], pairs[:, 1])
        shown = jnp.zeros(p * p, self.dtype).at[key].add(rows.astype(self.dtype))
        share = jnp.where(rows, 1 / jnp.maximum(shown[key], 1), 0)
        a = jax.nn.one_hot(pairs[:, 0], p, dtype=self.dtype) + jax.nn.one_hot(pairs[:, 1], p, dtype=self.dtype)
        sizes = jnp.zeros(n_classes, self.dtype).at[classes].add(share)
        totals = jnp.zeros((n_classes, p), self.dtype).at[classes].add(share[:, None] * a)
        count = jnp.sum(sizes * (sizes - 1)) / 2
        by_paper = self.settings.normalisation == "parallelograms"
        return {
            "gram": (a * (share * sizes[classes])[:, None]).T @ a - totals.T @ totals,
            "count": count,
            "nu": jnp.maximum(count, 1) if by_paper else jnp.ones_like(count),
            "share": share,
        }


def _of_phase(data: Any, s: jax.Array) -> Any:
    """Return what belongs to the training set of step s."""
    phase = jnp.sum(s >= data["schedule_steps"]) - 1
    return jax.tree.map(lambda x: x[phase], data["phases"])


def _exactly(e: jax.Array, now: Any, eta: jax.Array) -> jax.Array:
    z0 = jnp.sum(e**2)
    rates = 2 * now["values"] / (now["nu"] * z0)
    moved = now["vectors"] @ (jnp.exp(-rates * eta)[:, None] * (now["vectors"].T @ e))
    same_size: jax.Array = moved * jnp.sqrt(z0 / jnp.sum(moved**2))
    return same_size


def _integrated(e: jax.Array, now: Any, eta: jax.Array) -> jax.Array:

    def downhill(t: Any, y: jax.Array, args: Any) -> jax.Array:
        gradient: jax.Array = jax.grad(effective_loss)(y, now["gram"], now["nu"])
        return -gradient

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(downhill),
        diffrax.Tsit5(),
        t0=0.0,
        t1=eta,
        dt0=None,
        y0=e,
        stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
    )
    moved: jax.Array = solution.ys[0]
    return moved


def normalised(e: Float[Array, "p d"]) -> Float[Array, "p d"]:
    """Centre each dimension over the symbols and divide it by its unbiased standard deviation."""
    e = e - jnp.mean(e, axis=0)
    scale = jnp.sqrt(jnp.sum(e**2, axis=0) / max(e.shape[0] - 1, 1))
    return e / jnp.where(scale > 0, scale, 1)


def effective_loss(e: Float[Array, "p d"], gram: Float[Array, "p p"], nu: Float[Array, ""]) -> Float[Array, ""]:
    """Return l_eff = tr(E' G E) / (nu tr(E' E)) (Liu et al. 2022, section 3)."""
    return jnp.sum(e * (gram @ e)) / (nu * jnp.sum(e**2))


def frozen_descent(
    e: Float[Array, "p d"], gram: Float[Array, "p p"], nu: Float[Array, ""], z0: Float[Array, ""]
) -> Float[Array, "p d"]:
    """Return −grad l_eff with Z0 taken as z0, whatever tr(E' E) is by now, as the published code does.

    |E| is then at an unstable balance, so that what an Euler step adds to it grows.
    """
    pulled = gram @ e
    return 2 / (nu * z0) * (jnp.sum(e * pulled) / z0 * e - pulled)


def within_delta(
    y: Float[Array, "n d"], classes: Int[Array, " n"], shares: Float[Array, "n k"], widest: Int[Array, ""]
) -> Float[Array, "n k"]:
    """Sum, for each row, the shares of the rows of its class whose y is within delta of its own, itself included.

    Rows are in the order of their classes, the largest of which has `widest` rows: rows k apart are compared, k by k,
    so that the work is that of the parallelograms and not that of all pairs of rows.
    """
    n = y.shape[0]

    def apart(k: Int[Array, ""], counts: Float[Array, "n k"]) -> Float[Array, "n k"]:
        same = (jnp.roll(classes, -k) == classes) & (jnp.arange(n) < n - k)
        near = same & (jnp.mean((jnp.roll(y, -k, axis=0) - y) ** 2, axis=1) < DELTA_SQUARED)
        weight = near.astype(y.dtype)[:, None]
        return counts + weight * jnp.roll(shares, -k, axis=0) + jnp.roll(weight * shares, k, axis=0)

    counts: jax.Array = jax.lax.fori_loop(1, widest, apart, shares)
    return counts
