"""What the server of processes.py imports before it forks."""

import distributed  # noqa: F401
import jax.experimental  # noqa: F401

from groklab.cli import load_commands

load_commands()
