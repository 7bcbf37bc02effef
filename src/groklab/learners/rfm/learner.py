"""A Recursive Feature Machine (Radhakrishnan et al. 2022; Mallinar et al. 2024, section 2): the learner.

Its only weights are M, the feature matrix (d, d), in the experiment's dtype. M_0 is the identity (or planted). The
machine after s iterations solves kernel regression with M_s; its AGOP's power is M_{s+1}. So step 0 is the paper's
iteration 0, the plain kernel machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import numpy as np

from groklab.components import with_hyperparameters
from groklab.device import available_memory, cores, readable_bytes, threads
from groklab.errors import InputError
from groklab.learners.base import LOSSES
from groklab.learners.rfm.data import Data, dimension, errors, is_pairs, points_of
from groklab.learners.rfm.iterations import Iterations
from groklab.learners.rfm.kernels import Array, KernelName, kernel_of
from groklab.learners.rfm.machine import Fitted, fit
from groklab.learners.rfm.points import CACHE
from groklab.learners.rfm.workspace import workspace
from groklab.networks.common import Model
from groklab.registry import register
from groklab.tasks.base import Task, TaskShape
from groklab.tasks.features import matrix_power, planted_features
from groklab.tasks.splits import in_transpose

#: Numbers of training inputs at which one machine alone is solved in several threads. (Above, OpenBLAS's Cholesky
#: factor ends the process: seen from n = 16,500, with OpenBLAS 0.3.30 in SciPy 1.17.)
MANY = range(4_000, 16_000)


@register("learner", "rfm")
class RFM(Model):
    """Kernel regression whose metric M is, again and again, a power of its average gradient outer product (AGOP).

    kernel, with norms and products of M: 'quadratic' (x'Mz)^2; 'gaussian' exp(-|x-z|^2 / (2 bandwidth^2)); 'laplace'
    exp(-|x-z| / bandwidth); 'general_quadratic' (|x|^2-1)(|z|^2-1)/2 + (x'Mz)^2. The paper prints the Gaussian as
    exp(-|x-z|^2 / L), which is bandwidth sqrt(L/2).
    ridge: added to the kernel matrix's diagonal. agop_power: s of M = AGOP^s; negative eigenvalues count as zero.
    centre: take Jacobians less their mean over the training inputs, as the published code does (formula 3 of the paper
    does not; a Gaussian kernel needs it). normalise: M is divided by its largest entry ('max') or by its trace over d
    ('trace'); the quadratic kernel's predictions do not change with M's scale, while a Gaussian's do.
    features: M_0; anything but 'one_hot' plants random circulant features of that orientation (features.py), drawn
    from features_seed: the right ones are toeplitz for x+y, hankel for x-y, toeplitz_log for x*y, hankel_log for x/y.
    path: 'pairs' looks products of one-hot pairs up, 'dense' multiplies; 'auto' is pairs where the task has two
    varying tokens. solver: 'cholesky' holds the kernel matrix, 'iterative' (conjugate gradients) does not; 'auto' is
    cholesky where it fits into memory.
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
    compiled: ClassVar[bool] = False
    sections: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[str, ...]] = (
        *LOSSES,
        "weight_norm",
        "trace",
        "train_correct_loss",
        "test_correct_loss",
        "transpose_free_accuracy",
        "condition",
    )
    #: What an experiment of this learner says where it says nothing: an iteration is a step.
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

    # -- what the engine asks ------------------------------------------------------------------------------------

    def weight_shapes(self, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """The one weight M."""
        size = dimension(shape)
        return {"M": (size, size)}

    def init(self, shape: TaskShape, dtype: str) -> dict[str, Array]:
        """M_0. Raises InputError where features are planted and inputs are no pairs."""
        (size, _) = self.weight_shapes(shape)["M"]
        if self.features == "one_hot":
            return {"M": np.eye(size, dtype=dtype)}
        if not is_pairs(shape):
            raise InputError("learner.features", self.features, "needs a task of two varying tokens")
        planted = planted_features(shape.n_symbols, self.features, self.features_seed)
        return {"M": matrix_power(planted, 0.5).astype(dtype)}

    def flops(self, shape: TaskShape, n: int) -> float:
        """Floating-point operations of an iteration that the algorithm cannot avoid."""
        size, c = self.weight_shapes(shape)["M"][0], shape.n_classes
        pairs = is_pairs(shape) and self.path != "dense"
        solving = n**3 / 3 + 2.0 * n * n * c
        if self.kernel in ("quadratic", "general_quadratic"):
            return solving + 7.0 * c * size**3 + (0 if pairs else 2.0 * n * c * size**2)
        return solving + 2.0 * n * n * c + n * c * size**2 + (4.0 * n * n * c if pairs else 2.0 * n * n * c * size)

    def memory(self, shape: TaskShape, n: int, n_test: int, dtype: str, side_by_side: int = 1) -> int:
        """Bytes that iterations of so many members hold at most. Raises InputError where they are more than there are.

        With the solver 'auto' the kernel matrix is left out where only that fits.
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
        """Of the kernel matrix, and of everything else."""
        size, c = self.weight_shapes(shape)["M"][0], shape.n_classes
        item = np.dtype(dtype).itemsize
        tables = 2 * size * (n if is_pairs(shape) else n + n_test)
        outputs = 4 * c * (n + n_test)
        forms = 3 * c * size**2 if self.kernel in ("quadratic", "general_quadratic") else 0
        return item * n * n, item * (tables + outputs + forms) + int(4 * CACHE)

    def _holds(self, shape: TaskShape, n: int, n_test: int, dtype: str, side_by_side: int = 1) -> bool:
        """Whether the kernel matrix is held; decided once, as the other way rounds otherwise."""
        if self.solver != "auto":
            return self.solver == "cholesky"
        return side_by_side * sum(self._bytes(shape, n, n_test, dtype)) <= available_memory()

    def prepare(self, raw: dict[str, np.ndarray], shape: TaskShape, dtype: str, n_blocks: int) -> Data:
        """The points of one member, from its rows of tokens or reals. Raises InputError for data not finite.

        n_blocks: how many members advance side by side; one alone may have all cores.
        """
        if len(raw["phase_steps"]) > 1:
            raise InputError("split.schedule", "…", "needs the learner gradient_descent")
        inside = raw["phase_weights"][0] > 0
        tested = raw["test_weights"] > 0
        return Data(
            points_of(raw["train_inputs"][inside], shape, self.path),
            raw["train_targets"][inside],
            points_of(raw["test_inputs"][tested], shape, self.path),
            raw["test_targets"][tested],
            raw["test_transposed"][tested],
            shape,
            dtype,
            self._holds(shape, int(inside.sum()), int(tested.sum()), dtype, min(n_blocks, cores())),
            alone=n_blocks == 1,
        )

    def is_quick(self, data: Data) -> bool:
        """Whether an iteration takes a moment only, so that it can be tried."""
        return data.train.n < MANY.start and self.flops(data.shape, data.train.n) < 1e11

    def around(self) -> AbstractContextManager[None]:
        """Linear algebra in one thread: small products in several wait for each other."""
        return threads(1)

    def step(
        self, weights: Mapping[str, Any], data: Data, hyperparameters: Mapping[str, Any], record: bool, move: bool
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """One iteration: solve with M, measure f (if `record`), and (if `move`) take M to a power of f's AGOP.

        Raises InputError where the kernel matrix is singular.
        """
        settings: RFM = with_hyperparameters(self, {k: float(v) for k, v in hyperparameters.items()}, "learner")
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
        """The kernel machine with this metric, and its matrix's estimated condition number."""
        kernel = kernel_of(self.kernel, self.bandwidth)
        room = workspace(data.train.n, data.dtype) if data.holds else None
        fitted, solution = fit(kernel, data.train, data.answers, metric, self.ridge, room)
        return fitted, solution.condition

    # -- what measures and people ask ------------------------------------------------------------------------------

    def outputs(self, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray) -> Array:
        """(N, n_classes) float64 predictions on all inputs of a task, from M and the training rows."""
        data = self._data(task, np.asarray(train_rows), np.arange(task.n_inputs))
        with self.around():
            fitted, _ = self.fitted(np.asarray(weights["M"], np.float64), data)
            return fitted.predict(data.test)

    def agop(self, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray, *, by_class: bool = False) -> Array:
        """(d, d) float64 AGOP of the machine with this M, or its terms (n_classes, d, d), an output each."""
        data = self._data(task, np.asarray(train_rows), np.arange(1))
        with self.around():
            fitted, _ = self.fitted(np.asarray(weights["M"], np.float64), data)
            return fitted.agop(self.centre, by_class)

    def start(self, task: Task, train_rows: np.ndarray, dtype: str = "float64") -> Iterations:
        """The machine on a task, to be iterated by hand; test inputs are all others."""
        rest = np.setdiff1d(np.arange(task.n_inputs), train_rows)
        data = self._data(task, np.asarray(train_rows), rest, dtype)
        return Iterations(self, data, self.init(task.shape, dtype))

    def _data(self, task: Task, train: np.ndarray, test: np.ndarray, dtype: str = "float64") -> Data:
        seen = task.inputs if task.features is None else task.features
        transposed = in_transpose(task, train)
        known = np.ones(task.n_inputs, np.bool_) if transposed is None else transposed
        return Data(
            points_of(seen[train], task.shape, self.path),
            task.targets[train],
            points_of(seen[test], task.shape, self.path),
            task.targets[test],
            known[test],
            task.shape,
            dtype,
            self._holds(task.shape, len(train), len(test), dtype),
        )
