"""What the server of processes.py imports before it forks."""

import distributed  # noqa: F401
import jax.experimental  # noqa: F401

import groklab  # noqa: F401
from groklab.cli import (  # noqa: F401
    diagrams,
    explaining_tasks,
    files,
    listings,
    looking,
    measuring,
    reproducing,
    running,
    sweeping,
    theorising,
)
