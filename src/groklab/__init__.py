"""groklab: the laboratory for grokking.

>>> import groklab as gl
>>> run = gl.train(gl.preset("micro"))
>>> run.summary()["grokked_step"]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from groklab import registry

if TYPE_CHECKING:
    from groklab import figures as figures
    from groklab import learners as learners
    from groklab import networks as networks
    from groklab import objectives as objectives
    from groklab import optimisers as optimisers
    from groklab import tasks as tasks
    from groklab.analysis.analysing import analyse as analyse
    from groklab.analysis.analysing import explain as explain
    from groklab.analysis.checkpoints import take as take
    from groklab.errors import DamagedError as DamagedError
    from groklab.errors import InputError as InputError
    from groklab.experiment.presets import PRESETS as PRESETS
    from groklab.experiment.presets import preset as preset
    from groklab.experiment.reading import read as read
    from groklab.experiment.schema import Experiment as Experiment
    from groklab.experiment.yaml_input import load_yaml as load_yaml
    from groklab.figures.registry import Drawing as Drawing
    from groklab.figures.registry import figure as figure
    from groklab.interop.exporting import export as export
    from groklab.interop.importing import import_file as import_file
    from groklab.measures import MEASURES as MEASURES
    from groklab.measures import measure as measure
    from groklab.networks import activations as activations
    from groklab.networks import patch as patch
    from groklab.papers.task_explanation import explain_task as explain_task
    from groklab.registry import load_plugin as load_plugin
    from groklab.registry import register as register
    from groklab.reproduction import reproduce as reproduce
    from groklab.store.collection import Collection as Collection
    from groklab.store.collection import runs as runs
    from groklab.store.comparing import compare as compare
    from groklab.store.run import Run as Run
    from groklab.sweeps.folder import Sweep as Sweep
    from groklab.sweeps.scheduler import sweep as sweep
    from groklab.tasks import Algebra as Algebra
    from groklab.tasks import Task as Task
    from groklab.tasks.label_statistics import label_statistics as label_statistics
    from groklab.training.training import resume as resume
    from groklab.training.training import train as train

__version__ = "0.1.0"

# presets and claims are looked up in the papers, which the packages that hold those tables do not import
registry.SOURCES.append("groklab.papers")

#: Where each public name is. It is imported when it is first used, so that `import groklab` is quick.
_MODULES = {
    "MEASURES": "measures",
    "PRESETS": "experiment.presets",
    "Algebra": "tasks",
    "Collection": "store.collection",
    "DamagedError": "errors",
    "Drawing": "figures.registry",
    "Experiment": "experiment.schema",
    "InputError": "errors",
    "Run": "store.run",
    "Sweep": "sweeps",
    "Task": "tasks",
    "activations": "networks",
    "analyse": "analysis.analysing",
    "compare": "store.comparing",
    "explain": "analysis.analysing",
    "explain_task": "papers.task_explanation",
    "export": "interop.exporting",
    "figure": "figures.registry",
    "import_file": "interop.importing",
    "label_statistics": "tasks.label_statistics",
    "load_plugin": "registry",
    "load_yaml": "experiment.yaml_input",
    "measure": "measures",
    "patch": "networks",
    "preset": "experiment.presets",
    "read": "experiment.reading",
    "register": "experiment.reading",
    "reproduce": "reproduction",
    "resume": "training.training",
    "runs": "store.collection",
    "sweep": "sweeps",
    "take": "analysis.checkpoints",
    "train": "training.training",
}
_PACKAGES = ("figures", "learners", "networks", "objectives", "optimisers", "tasks")

__all__ = sorted([*_MODULES, *_PACKAGES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"groklab.{_MODULES[name]}"), name)
    elif name in _PACKAGES:
        value = importlib.import_module(f"groklab.{name}")
    else:
        raise AttributeError(f"module 'groklab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
