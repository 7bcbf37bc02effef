"""What a worker does: train one pack of a sweep, as an ordinary run."""

from __future__ import annotations

import contextlib
import ctypes
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from groklab.errors import InputError, Interrupted
from groklab.grokking.learning_phases import learning_phase
from groklab.store import claims, storage
from groklab.sweeps.folder import Folder
from groklab.training import interrupts, training
from groklab.training.progress import Progress

#: Numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
#: Seconds between two words of a pack on how far it is, and between two looks at one that another process trains.
TELL_SECONDS, WAIT_SECONDS = 1.0, 0.5


def train_pack(folder: str, number: int) -> dict[str, Any]:
    """Train a pack to its end, from wherever it stands; says how that went, as plain values.

    folder: the sweep's. The answer's `status` is 'finished', 'interrupted' (the sweep was asked to stop) or 'failed',
    with the `reason` in one sentence. Whatever else is to know is in the pack's run.
    """
    _keep_memory()
    sweep = Folder(Path(folder))
    pack = sweep.packs[number]
    try:
        if _wait_for_claim(sweep, pack.path):
            return {"pack": number, "status": "interrupted", "reason": None}
        with contextlib.ExitStack() as stack:
            stop = _stopper(sweep, lambda: stack.enter_context(interrupts.deadline(0.0)))
            training.train(sweep.experiments_of(number), view=_Teller(pack.progress, stop), home=sweep.path / "packs")
    except Interrupted:
        return {"pack": number, "status": "interrupted", "reason": None}
    except InputError as error:
        return {"pack": number, "status": "failed", "reason": str(error)}
    except Exception as error:  # what a stranger's plug-in raises must not end the sweep; workers.log tells more
        traceback.print_exc()
        return {"pack": number, "status": "failed", "reason": f"{type(error).__name__}: {error}"}
    return {"pack": number, "status": "finished", "reason": None}


def _keep_memory() -> None:
    """Have the C library keep what is freed, for the next call of the program.

    dask has workers give it back at once (it sets MALLOC_TRIM_THRESHOLD_), and a program that takes it anew at each
    call spends a third of its time on that.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_TRIM_THRESHOLD, 2**28)
        library.mallopt(_M_MMAP_THRESHOLD, 2**25)


def _wait_for_claim(sweep: Folder, path: Path) -> bool:
    """Wait while another process trains the pack, as one that outlives its sweep may; True if asked to stop."""
    while claims.holder(path) is not None:
        if sweep.stopping:
            return True
        time.sleep(WAIT_SECONDS)
    return sweep.stopping


def _stopper(sweep: Folder, end: Callable[[], Any]) -> Callable[[], None]:
    """What ends training, saved, once the sweep was asked to stop."""
    ended = False

    def stop() -> None:
        nonlocal ended
        if not ended and sweep.stopping:
            ended = True
            end()

    return stop


class _Teller:
    """Tells, in a small file, how far a pack is: its members' steps, which have ended, and their phases so far."""

    def __init__(self, path: Path, stop: Callable[[], None]) -> None:
        self.path, self.stop, self.told = path, stop, 0.0

    def __call__(self, progress: Progress) -> None:
        self.stop()
        now = time.monotonic()
        if progress.compiling or not len(progress.steps) or now - self.told < TELL_SECONDS:
            return
        self.told = now
        ended, phases = [], []
        for m in range(progress.metrics["train_loss"].shape[1]):
            whole = np.isfinite(progress.metrics["train_loss"][:, m])
            ended.append(not bool(whole[-1]))
            curves = (progress.metrics[f"{s}_accuracy"][whole, m] for s in ("train", "test"))
            phases.append(learning_phase(progress.steps[whole], *curves).phase)
        content = {"step": progress.step, "budget": progress.budget, "ended": ended, "phases": phases}
        with contextlib.suppress(InputError):
            storage.atomic_write(self.path, json.dumps(content).encode())
