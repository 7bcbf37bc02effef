"""What every learner offers, whatever it is: the contract between learners and the engine that drives them.

Three parts. A `Learner` is what an experiment names: settings, what it can do, and what it costs. It makes a `Program`,
which takes blocks of members from step to step and is all that the engine drives. A learner whose step JAX can trace
is written for one member, as `Dynamics`; `groklab.learners._compiled.CompiledProgram` makes it a program of many.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError
from groklab.lazy import Array, jax
from groklab.networks import Model
from groklab.registry import base_of
from groklab.tasks import Draw, Task, TaskShape

State: TypeAlias = Any
Hyperparameters: TypeAlias = dict[str, Any]
Outputs: TypeAlias = dict[str, Array]
Weights: TypeAlias = dict[str, Array]

#: What every learner's records hold, and those of learners that descend a gradient.
LOSSES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
METRICS = (*LOSSES, "weight_norm", "grad_norm")
#: Evaluations that one call of `Program.advance` may make.
MAX_RECORDS = 256


class Span(NamedTuple):
    """Steps from `start` to `stop`, evaluated at `start` and at each multiple of `every` before `stop`.

    With start == stop the state is evaluated, and nothing is updated.
    """

    start: Any
    stop: Any
    every: Any

    @property
    def n_records(self) -> int:
        """How many evaluations the span has."""
        return int(max(1, -(-(self.stop - self.start // self.every * self.every) // self.every)))


class CannotContinueError(InputError):
    """A learner cannot take its next step; the state before that step is valid and worth keeping."""


@base_of("learner")
class Learner(Model):
    """What the section `learner` of an experiment names: settings, capabilities, costs, and the maker of a program.

    Methods take the whole experiment, of which a learner reads the sections that it declares.
    """

    #: Sections of an experiment that it reads besides `task`, `split` and `learner`.
    sections: ClassVar[tuple[str, ...]] = ()
    #: Settings of an experiment that leaves them out, where they differ from the usual ones.
    defaults: ClassVar[dict[str, Any]] = {}
    #: Names of the metrics in its records, one array each.
    metrics: ClassVar[tuple[str, ...]] = LOSSES
    #: Members that one block holds at most; None: as many as the device is quick with.
    max_lanes: ClassVar[int | None] = None
    #: What is compiled before the first step.
    compiled_programs: ClassVar[tuple[str, ...]] = (
        "initial weights",
        "look-up tables of the data",
        "training steps with evaluation",
    )
    #: Whether real inputs are cast to the experiment's dtype before it sees them.
    casts_inputs: ClassVar[bool] = True
    #: Whether its losses are multiplied by the task's `loss_factor`; otherwise they are means.
    scales_losses: ClassVar[bool] = True
    #: Whether its data hold `test_transposed`: which test pairs are in the training set the other way round.
    needs_transposes: ClassVar[bool] = False

    def check(self, experiment: Any, task: Task) -> None:
        """Raise InputError, naming the setting, for a task or experiment that it cannot learn."""

    @abc.abstractmethod
    def make(self, experiment: Any, shape: TaskShape, draw: Draw | None) -> Program:
        """Make the program for tasks of this shape.

        Hyperparameters reach the program as arguments of its methods, so it may serve experiments that differ in them.

        Args:
            draw: for endless training data, the function that draws a batch of them from a key.
        """

    @abc.abstractmethod
    def weight_shapes(self, experiment: Any, shape: TaskShape) -> dict[str, tuple[int, ...]]:
        """Return each weight's name and shape, without making it."""

    @abc.abstractmethod
    def flops(self, experiment: Any, shape: TaskShape, n_train: int) -> float:
        """Count the floating-point operations of one step that the algorithm cannot avoid."""

    @abc.abstractmethod
    def predict(
        self, experiment: Any, weights: Mapping[str, Any], task: Task, train_rows: np.ndarray
    ) -> npt.NDArray[np.floating]:
        """Return the outputs (N, n_classes) of one member's weights for all inputs of a task.

        For a task with `reads`, (N, n_reads, n_classes). Raises InputError where the learner gives no answers.

        Args:
            train_rows: rows of the task that the member was trained on.
        """

    @abc.abstractmethod
    def memory(
        self, experiment: Any, shape: TaskShape, n_train: int, n_test: int, members: int, concurrent: int
    ) -> int:
        """Estimate the bytes that training holds at most. Raises InputError where a learner knows what would fit.

        Args:
            members: models in the ensemble.
            concurrent: how many of them are computed at the same time.
        """


class Program(abc.ABC):
    """Takes blocks of members from step to step.

    States, data, hyperparameters, keys and records are pytrees of arrays with a leading lane axis, one lane per member
    of the block. `state["weights"]` holds the weights by name.
    """

    metrics: tuple[str, ...]

    @abc.abstractmethod
    def init(self, keys: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Return fresh states."""

    def template(self, keys: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Return something with the shapes and types of `init`, as cheaply as can be."""
        return self.init(keys, hyperparameters)

    @abc.abstractmethod
    def prepare(self, raw: dict[str, np.ndarray], n_blocks: int = 1) -> Any:
        """Compute from the rows of each member (`Ensemble.raw_data`) what is needed once, before the first step.

        Args:
            n_blocks: how many blocks advance at the same time.
        """

    @abc.abstractmethod
    def advance(
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Any, span: Span
    ) -> tuple[State, dict[str, Any]]:
        """Take states, which may be consumed, through a span of steps.

        Returns:
            The states after `span.stop` updates, and records by metric, (at least `span.n_records` rows, lanes).

        Raises:
            CannotContinueError: if a step is impossible; the states given are then still valid.
        """

    def shapes(
        self, keys: Any, hyperparameters: Hyperparameters, raw: dict[str, np.ndarray]
    ) -> tuple[State, Any] | None:
        """Return shapes and types of `init` and `prepare`, for `compile_ahead`; None where nothing is compiled."""
        return None

    def compile_ahead(  # noqa: B027 (most programs compile nothing)
        self, states: State, data: Any, hyperparameters: Hyperparameters, keys: Any, every: int, lanes: int
    ) -> None:
        """Compile into the cache what a block of `lanes` lanes will need, of shapes like these but for the lanes.

        Args:
            states, data, hyperparameters, keys: arrays, or their shapes and types.
            every: steps between evaluations.
        """

    def around(self) -> AbstractContextManager[None]:
        """Return the context in which blocks advance."""
        return nullcontext()

    def check(  # noqa: B027 (most programs have nothing to try)
        self, keys: jax.Array, hyperparameters: Hyperparameters, raw: Callable[[], dict[str, np.ndarray]]
    ) -> None:
        """Raise InputError where a first step can be tried in a moment and fails; `raw` gives the block's rows."""


class Dynamics(abc.ABC):
    """One member's training, in pure functions that JAX can trace.

    `hyperparameters` are the member's own by dotted path. Step number s turns the state after s updates into the state
    after s + 1; its outputs describe the state before the update.
    """

    metrics: tuple[str, ...]

    @abc.abstractmethod
    def init(self, key: jax.Array, hyperparameters: Hyperparameters) -> State:
        """Return a fresh state; `state["weights"]` holds the weights by name."""

    @abc.abstractmethod
    def prepare(self, raw: dict[str, Any]) -> Any:
        """Compute from one member's rows what is needed once, before the first step."""

    @abc.abstractmethod
    def step(
        self, state: State, data: Any, hyperparameters: Hyperparameters, key: jax.Array, s: jax.Array
    ) -> tuple[State, Outputs]:
        """Return the state after update number s, and metrics of the state before it."""

    @abc.abstractmethod
    def evaluate(self, state: State, data: Any, hyperparameters: Hyperparameters, s: jax.Array) -> Outputs:
        """Return the metrics of the state after s updates that `step` does not give as it goes."""
