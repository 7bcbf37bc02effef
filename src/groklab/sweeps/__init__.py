"""Sweeps: grids of experiments, packed into ensembles, trained by many processes or hosts, kept in one table."""

from groklab.sweeps.folder import Sweep
from groklab.sweeps.plan import MAX_MEMBERS, make_plan, parse_grid
from groklab.sweeps.scheduler import SweepProgress, sweep

__all__ = ["MAX_MEMBERS", "Sweep", "SweepProgress", "make_plan", "parse_grid", "sweep"]
