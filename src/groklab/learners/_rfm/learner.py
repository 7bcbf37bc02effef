"""A Recursive Feature Machine (Radhakrishnan et al. 2022; Mallinar et al. 2024, section 2): the learner.

Its only weights are M, the feature matrix (d, d), in the experiment's dtype. M_0 is the identity (or planted). The
machine after s iterations solves kernel regression with M_s; its AGOP's power is M_{s+1}. So step 0 is the paper's
iteration 0, the plain kernel machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import numpy as np

from groklab.components import hyperparameters_of, with_hyperparameters
from groklab.device import available_memory, cores, dense, readable_bytes, threads
from groklab.errors import InputError
from groklab.learners._base import LOSSES, CannotContinueError, Hyperparameters, Learner, Program, Span, State
from groklab.learners._rfm import card
from groklab.learners._rfm.kernels import Array, KernelName, kernel_of
from groklab.learners._rfm.machine import Data, Fitted, errors, fit
from groklab.learners._rfm.points import CACHE, dimension, is_pairs, points_of
from groklab.learners._rfm.solving import workspace
from groklab.registry import register
from groklab.tasks import Draw, Task, TaskShape, in_transpose, matrix_power, planted_features

#: Numbers of training inputs at which one machine alone is solved in several threads. (Above, OpenBLAS's Cholesky
#: factor ends the process: seen from n = 16,500, with OpenBLAS 0.3.30 in SciPy 1.17.)
MANY = range(4_000, 16_000)
#: Floating-point operations of an iteration that takes a moment only, and may be tried.
QUICK = 1e11


@register("learner", "rfm")
class RFM(Learner):
    """Kernel regression whose metric M is, again and again, a power of its average gradient outer product (AGOP).

    Attributes:
        kernel: with norms and products of M, 'quadratic' (x'Mz)^2; 'gaussian' exp(-|x-z|^2 / (2 bandwidth^2));
            'laplace' exp(-|x-z| / bandwidth); 'general_quadratic' (|x|^2-1)(|z|^2-1)/2 + (x'Mz)^2.
        bandwidth: the paper prints the Gaussian as exp(-|x-z|^2 / L), which is bandwidth sqrt(L/2).
        ridge: added to the kernel matrix's diagonal.
        agop_power: s of M = AGOP^s; negative eigenvalues count as zero.
        centre: whether Jacobians are taken less their mean over the training inputs, as in the published code
            (formula 3 of the paper does not; a Gaussian kernel needs it).
        normalise: whether M is divided by its largest entry ('max') or by its trace over d ('trace'); that changes the
            predictions of a Gaussian kernel and not those of the quadratic one.
        features: M_0; anything but 'one_hot' plants random circulant features of that orientation. The right ones are
            toeplitz for x+y, hankel for x-y, toeplitz_log for x*y, hankel_log for x/y.
        features_seed: draws the planted features.
        path: 'pairs' looks products of one-hot pairs up, 'dense' multiplies; 'auto' is pairs where the task has two
            varying tokens.
        solver: 'cholesky' holds the kernel matrix, 'iterative' (conjugate gradients) does not; 'auto' is cholesky where
            it fits into memory.
    """

    kernel: KernelName = "quadratic"
    bandwidth: float = 2.5
    ridge: float = 0.0
    agop_power: float = 0.5
    centre: bool = True
    normalise: Literal["none", "max", "trace"] = "none"
    features: Literal["one_hot", "toeplitz", "hankel", "toeplitz_log", "hankel_log"] = "one_hot"
    features_seed: int = 0
    path: Literal["auto", "pairs", "dense"] = "auto"
    solver: Literal["auto", "cholesky", "iterative"] = "auto"

    reads_features: ClassVar[bool] = True
    is_kernel_machine: ClassVar[bool] = True
    max_lanes: ClassVar[int | None] = 1
    compiled_programs: ClassVar[tuple[str, ...]] = ()
    casts_inputs: ClassVar[bool] = False
    scales_losses: ClassVar[bool] = False
    needs_transposes: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        *LOSSES,
        "weight_norm",
        "trace",
        "train_correct_loss",
        "test_correct_loss",
        "transpose_free_accuracy",
        "condition",
    )
    #: An iteration is a step.
    defaults: ClassVar[dict[str, Any]] = {
        "dtype": "float64",
        "budget": {"steps": 30},
        "evaluation": {"every": 1},
        "checkpoints": {"spacing": "linear", "every": 1},
    }

    def __post_init__(self) -> None:
        if not self.bandwidth > 0:
            raise InputError("learner.bandwidth", self.bandwidth, "needs to be above 0")
        if not self.ridge >= 0:
            raise InputError("learner.ridge", self.ridge, "needs to be 0 or above")
        if not self.agop_power > 0:
            raise InputError("learner.agop_power", self.agop_power, "needs to be above 0")
        if self.features_seed < 0:
            raise InputError("learner.features_seed", self.features_seed, "needs to be 0 or above")

    # -- what the engine needs ------------------------------------------------------------------------------------

    def check(self, experiment: Any, task: Task) -> None:
        """Raise InputError unless the task is finite, with one class as the answer of each input."""
        if task.reads is not None or task.draw is not None:
            allowed = f"cannot learn {task.name}: it needs a finite task with one answer an input"
            raise InputError("learner.kind", self.kind, allowed)
        if task.values is not None:
            allowed = f"cannot learn {task.name}, whose answers are real numbers; gradient_descent can"
            raise InputError("learner.kind", self.kind, allowed)
        if experiment.split.schedule:
            raise InputError("split.schedule", experiment.split.schedule, "needs the learner gradient_descent")

    def make(self, experiment: Any, shape: TaskShape, draw: Draw | None) -> KernelProgram:
        """Make the program that iterates the machine."""
        return KernelProgram(self, shape, experiment.dtype)

    def weight_shapes(self, experiment: Any, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return the shape of the one weight, M."""
        return {"M": (dimension(shape), dimension(shape))}

    def first_features(self, shape: TaskShape, dtype: str) -> Array:
        """Return M_0 (d, d). Raises InputError where features are planted and inputs are not pairs."""
        if self.features == "one_hot":
            return np.eye(dimension(shape), dtype=dtype)
        if not is_pairs(shape):
            raise InputError("learner.features", self.features, "needs a task of two varying tokens")
        planted = planted_features(shape.n_symbols, self.features, self.features_seed)
        return matrix_power(planted, 0.5).astype(dtype)

    def flops(self, experiment: Any, shape: TaskShape, n_train: int) -> float:
        """Count the operations of an iteration: solving the kernel regression, and the AGOP."""
        n, size, c = n_train, dimension(shape), shape.n_classes
        pairs = is_pairs(shape) and self.path != "dense"
        solving = n**3 / 3 + 2.0 * n * n * c
        if self.kernel in ("quadratic", "general_quadratic"):
            return solving + 7.0 * c * size**3 + (0 if pairs else 2.0 * n * c * size**2)
        return solving + 2.0 * n * n * c + n * c * size**2 + (4.0 * n * n * c if pairs else 2.0 * n * n * c * size)

    def memory(
        self, experiment: Any, shape: TaskShape, n_train: int, n_test: int, members: int, concurrent: int
    ) -> int:
        """Return the bytes of the machines that are iterated at the same time."""
        return self.bytes_needed(shape, n_train, n_test, experiment.dtype, concurrent)

    def bytes_needed(self, shape: TaskShape, n: int, n_test: int, dtype: str, side_by_side: int = 1) -> int:
        """Return the bytes that iterations of so many members hold at most.

        With the solver 'auto' the kernel matrix is left out where only that fits. Raises InputError, with the largest n
        that would fit, where they are more than are free.
        """
        matrix, rest = self._bytes(shape, n, n_test, dtype)
        free = available_memory() // side_by_side
        if self.solver != "iterative" and matrix + rest <= free:
            return side_by_side * (matrix + rest)
        if self.solver != "cholesky" and rest <= free:
            return side_by_side * rest
        needed = matrix + rest if self.solver == "cholesky" else rest

        def fits(k: int) -> bool:
            own, other = self._bytes(shape, k, n_test, dtype)
            return other + (own if self.solver == "cholesky" else 0) <= free

        low, high = 0, n
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        advice = f"n = {low:,} would fit" if low else "no training set of a task of this size would"
        if self.solver == "cholesky" and rest <= free:
            advice += ", or learner.solver = iterative"
        raise InputError(
            f"a kernel machine with n = {n:,} training inputs (split.frac_train) of {shape.n_classes:,} classes needs "
            f"about {readable_bytes(needed)} ({needed:,} bytes), but only {readable_bytes(free)} are free: {advice}"
        )

    def _bytes(self, shape: TaskShape, n: int, n_test: int, dtype: str) -> tuple[int, int]:
        """Return the bytes of the kernel matrix, and of everything else."""
        size, c = dimension(shape), shape.n_classes
        item = np.dtype(dtype).itemsize
        tables = 2 * size * (n if is_pairs(shape) else n + n_test)
        outputs = 4 * c * (n + n_test)
        forms = 3 * c * size**2 if self.kernel in ("quadratic", "general_quadratic") else 0
        # a card holds the matrix, its factor and a copy, and larger chunks
        copies, chunks = (3, 4 * item * min(card.CHUNK, n * n)) if dense() else (1, int(4 * CACHE))
        return copies * item * n * n, item * (tables + outputs + forms) + chunks

    def holds_matrix(self, shape: TaskShape, n: int, n_test: int, dtype: str, side_by_side: int = 1) -> bool:
        """Return whether the kernel matrix is held; decided once, as the other way rounds otherwise."""
        if self.solver != "auto":
            return self.solver == "cholesky"
        return side_by_side * sum(self._bytes(shape, n, n_test, dtype)) <= available_memory()

    def step(
        self, weights: Mapping[str, Any], data: Data, hyperparameters: Mapping[str, Any], record: bool, move: bool
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Solve with M, measure f (if `record`), and take M to a power of f's AGOP (if `move`): one iteration.

        Raises InputError where the kernel matrix is singular.
        """
        settings: RFM = with_hyperparameters(self, {k: float(v) for k, v in hyperparameters.items()}, "learner")
        if dense():
            taken = card.step(settings, weights["M"], data, record, move)
            if taken is not None:
                return taken
        # on a card too, where there is no Cholesky factor
        metric = np.asarray(weights["M"])
        with threads(cores() if data.alone and data.train.n in MANY else 1):
            fitted, condition = settings.fitted(metric, data)
        # before the predictions, which come with it on the training inputs
        agop = fitted.agop(settings.centre) if move else None
        row = {**errors(fitted, data), "condition": condition} if record else {}
        if record:
            row |= {"weight_norm": float(np.linalg.norm(metric)), "trace": float(np.trace(metric))}
        if agop is None:
            return {"M": metric}, row
        moved = matrix_power(agop, settings.agop_power)
        if settings.normalise != "none":
            largest = moved.max() if settings.normalise == "max" else np.trace(moved) / len(moved)
            moved = moved / max(float(largest), np.finfo(np.float64).tiny)
        return {"M": moved.astype(metric.dtype)}, row

    def fitted(self, metric: Array, data: Data) -> tuple[Fitted, float]:
        """Return the kernel machine with this metric, and its matrix's estimated condition number."""
        kernel = kernel_of(self.kernel, self.bandwidth)
        room = workspace(data.train.n, data.dtype) if data.holds else None
        fitted, solution = fit(kernel, data.train, data.answers, metric, self.ridge, room)
        return fitted, solution.condition

    # -- what measures and users need ------------------------------------------------------------------------------

    def predict(self, experiment: Any, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray) -> Array:
        """Return `outputs`: the machine is fitted on the training rows again."""
        return self.outputs(weights, task, train_rows)

    def outputs(self, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray) -> Array:
        """Return (N, n_classes) float64 predictions on all inputs of a task, from M and the training rows."""
        data = self._data(task, np.asarray(train_rows), np.arange(task.n_inputs))
        with threads(1):
            fitted, _ = self.fitted(np.asarray(weights["M"], np.float64), data)
            return fitted.predict(data.test)

    def agop(self, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray, *, by_class: bool = False) -> Array:
        """Return the (d, d) float64 AGOP of the machine with this M, or its terms (n_classes, d, d), one per output."""
        data = self._data(task, np.asarray(train_rows), np.arange(1))
        with threads(1):
            fitted, _ = self.fitted(np.asarray(weights["M"], np.float64), data)
            return fitted.agop(self.centre, by_class)

    def start(self, task: Task, train_rows: np.ndarray, dtype: str = "float64") -> Iterations:
        """Return the machine on a task, to iterate by hand; all other inputs are test inputs."""
        rest = np.setdiff1d(np.arange(task.n_inputs), train_rows)
        data = self._data(task, np.asarray(train_rows), rest, dtype)
        return Iterations(self, data, {"M": self.first_features(task.shape, dtype)})

    def _data(self, task: Task, train: np.ndarray, test: np.ndarray, dtype: str = "float64") -> Data:
        inputs = task.inputs if task.features is None else task.features
        transposed = in_transpose(task, train)
        known = np.ones(task.n_inputs, np.bool_) if transposed is None else transposed
        return Data(
            points_of(inputs[train], task.shape, self.path),
            task.targets[train],
            points_of(inputs[test], task.shape, self.path),
            task.targets[test],
            known[test],
            task.shape,
            dtype,
            self.holds_matrix(task.shape, len(train), len(test), dtype),
        )


class KernelProgram(Program):
    """Iterates one machine at a time, on the host: a block holds one lane."""

    metrics = RFM.metrics

    def __init__(self, machine: RFM, shape: TaskShape, dtype: str) -> None:
        self.machine, self.shape, self.dtype = machine, shape, dtype

    def init(self, keys: Any, hyperparameters: Hyperparameters) -> State:
        """Return M_0 (1, d, d)."""
        return {"weights": {"M": self.machine.first_features(self.shape, self.dtype)[None]}}

    def prepare(self, raw: dict[str, np.ndarray], n_blocks: int = 1) -> Data:
        """Return the points of one machine. Raises InputError for data that are not finite."""
        rows = {name: values[0] for name, values in raw.items()}
        inside, tested = rows["schedule_weights"][0] > 0, rows["test_weights"] > 0
        n, n_test = int(inside.sum()), int(tested.sum())
        return Data(
            points_of(rows["train_inputs"][inside], self.shape, self.machine.path),
            rows["train_targets"][inside],
            points_of(rows["test_inputs"][tested], self.shape, self.machine.path),
            rows["test_targets"][tested],
            rows["test_transposed"][tested],
            self.shape,
            self.dtype,
            self.machine.holds_matrix(self.shape, n, n_test, self.dtype, min(n_blocks, cores())),
            alone=n_blocks == 1,
        )

    def around(self) -> AbstractContextManager[None]:
        """Keep linear algebra in one thread: small products in several wait for each other."""
        return threads(1)

    def check(self, keys: Any, hyperparameters: Hyperparameters, raw: Callable[[], dict[str, np.ndarray]]) -> None:
        """Try the first iteration where it takes a moment only. Raises InputError where it fails."""
        data = self.prepare(raw())
        if data.train.n < MANY.start and self.machine.flops(None, self.shape, data.train.n) < QUICK:
            with self.around():
                self.advance(self.init(keys, hyperparameters), data, hyperparameters, keys, Span(0, 0, 1))

    def advance(
        self, states: State, data: Data, hyperparameters: Hyperparameters, keys: Any, span: Span
    ) -> tuple[State, dict[str, Any]]:
        """Iterate; raise CannotContinueError, with the iteration, where the kernel matrix is singular."""
        weights = {"M": states["weights"]["M"][0]}
        own = {name: value[0] for name, value in hyperparameters.items()}
        start, stop, every = map(int, span)
        rows = []
        for s in range(start, max(stop, start + 1)):
            record = s == start or s % every == 0
            try:
                weights, row = self.machine.step(weights, data, own, record, stop > start)
            except InputError as error:
                raise CannotContinueError(f"iteration {s}: {error}") from None
            rows += [row] if record else []
        records = {name: np.array([[row[name]] for row in rows]) for name in self.metrics}
        return {"weights": {"M": weights["M"][None]}}, records


class Iterations:
    """A machine that is iterated by hand; `steps` counts its iterations."""

    def __init__(self, learner: RFM, data: Data, weights: dict[str, Any]) -> None:
        self.learner, self.data, self.weights, self.steps = learner, data, weights, 0
        self._hyperparameters = hyperparameters_of(learner, "learner")

    @property
    def M(self) -> Array:
        """The feature matrix (d, d)."""
        return np.asarray(self.weights["M"])

    def step(self) -> dict[str, float]:
        """Return the machine's metrics, and go one iteration on."""
        self.weights, row = self._advanced(move=True)
        self.steps += 1
        return row

    def evaluate(self) -> dict[str, float]:
        """Return the machine's metrics."""
        return self._advanced(move=False)[1]

    def fitted(self) -> Fitted:
        """Return the kernel machine as it is, for predictions and AGOPs."""
        return self.learner.fitted(self.M, self.data)[0]

    def _advanced(self, move: bool) -> tuple[dict[str, Any], dict[str, float]]:
        with threads(1):
            return self.learner.step(self.weights, self.data, self._hyperparameters, True, move)
