"""groklab: the laboratory for grokking.

>>> import groklab as gl
>>> run = gl.train(gl.preset("micro"))
>>> run.summary()["grokked_step"]
"""

from groklab import device

device.configure()

__version__ = "0.1.0"

from groklab import learners, networks, objectives, optimisers, tasks  # noqa: E402  (they register their kinds)
from groklab.analysis.comparing import compare  # noqa: E402
from groklab.analysis.explaining import explain  # noqa: E402
from groklab.analysis.measuring import analyse, take  # noqa: E402
from groklab.errors import DamagedError, InputError  # noqa: E402
from groklab.exchange.exporting import export  # noqa: E402
from groklab.exchange.importing import import_file  # noqa: E402
from groklab.experiment.reading import read  # noqa: E402
from groklab.experiment.schema import Experiment  # noqa: E402
from groklab.experiment.yaml_input import load_yaml  # noqa: E402
from groklab.measures import MEASURES, measure  # noqa: E402
from groklab.networks import activations, patch  # noqa: E402
from groklab.papers import PRESETS, preset  # noqa: E402
from groklab.papers.explaining_tasks import explain_task  # noqa: E402
from groklab.registry import load_plugin, register  # noqa: E402
from groklab.reproduction import reproduce  # noqa: E402
from groklab.store.collection import Collection  # noqa: E402
from groklab.store.run import Run  # noqa: E402
from groklab.sweeps import Sweep, sweep  # noqa: E402
from groklab.tasks import Task  # noqa: E402
from groklab.tasks.label_statistics import label_statistics  # noqa: E402
from groklab.training.training import resume, train  # noqa: E402

__all__ = [
    "MEASURES",
    "PRESETS",
    "Collection",
    "DamagedError",
    "Experiment",
    "InputError",
    "Run",
    "Sweep",
    "Task",
    "activations",
    "analyse",
    "compare",
    "explain",
    "explain_task",
    "export",
    "import_file",
    "label_statistics",
    "learners",
    "load_plugin",
    "load_yaml",
    "measure",
    "networks",
    "objectives",
    "optimisers",
    "patch",
    "preset",
    "read",
    "register",
    "reproduce",
    "resume",
    "runs",
    "sweep",
    "take",
    "tasks",
    "train",
]


def runs(home: str | None = None) -> list[Run]:
    """Every run that is kept, the one changed last at the end."""
    from pathlib import Path

    collection = Collection(Path(home) if home else None)
    found = [s for s in collection.summaries() if s["status"] != "damaged"]
    return [collection.find(s["run"]) for s in found]
