"""The registry of kinds, with those of groklab in it: importing this module registers them."""

from groklab import learners, networks, objectives, optimisers, tasks
from groklab.registry import kinds, load_plugin, register

__all__ = ["kinds", "learners", "load_plugin", "networks", "objectives", "optimisers", "register", "tasks"]
