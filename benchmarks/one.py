"""One question in a process of its own; its answer is one line of JSON."""

import importlib
import json
import os
import sys

try:
    import torch
except ImportError:
    pass
else:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
print(json.dumps(importlib.import_module(f"benchmarks.{sys.argv[1]}").run()))
