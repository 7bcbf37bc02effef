"""Exported weights in the real TransformerLens, and back: run by `make interop` in a virtualenv that has it.

    python check.py FOLDER

FOLDER holds what `prepare.py` wrote: a folder a model, with its export and `expected.npz` (tokens, logits). For each
the model is built as the model card says, its logits are compared, and what the package itself then saves is put into
`returned.safetensors` and `returned.pth` for `prepare.py --return`. groklab need not be installed here.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

TOLERANCE = 1e-4


def lines_of(card: Path) -> str:
    """The Python of a model card."""
    return card.read_text("utf-8").split("```python\n")[1].split("```")[0]


def main() -> None:
    torch.set_num_threads(1)
    version = metadata.version("transformer-lens")
    to = "transformer-lens-bridge" if int(version.split(".")[0]) >= 4 else "transformer-lens"
    root = Path(sys.argv[1]).resolve()
    folders = sorted(path.parent.parent for path in root.glob(f"*/{to}/model.safetensors"))
    if not folders:
        raise SystemExit(f"{root} holds no export to {to}")
    for folder in folders:
        export = folder / to
        os.chdir(export)
        made: dict[str, object] = {}
        exec(compile(lines_of(export / "README.md"), "README.md", "exec"), made)
        model = made["model"]
        expected = np.load(folder / "expected.npz")
        with torch.inference_mode():
            logits = model(torch.from_numpy(expected["tokens"]).long())[:, -1].double().numpy()
        wanted = expected["logits"][:, : logits.shape[1]]
        off = float(np.abs(logits - wanted).max())
        print(
            f"{to} {version}: {folder.name}: {logits.shape}, |logits| up to {np.abs(wanted).max():.1f}, off {off:.2e}"
        )
        if not off < TOLERANCE:
            raise SystemExit(f"{folder.name}: the logits differ by {off:.3g}")
        state = {k: v.contiguous() for k, v in model.state_dict().items() if v.numel()}
        back = folder / f"returned-{to}"
        back.mkdir(exist_ok=True)
        (back / "config.json").write_text(json.dumps(made["config"]))
        torch.save(state, back / "returned.pth")
        save_file({k: v for k, v in state.items() if not k.endswith(("mask", "IGNORE"))}, back / "returned.safetensors")


if __name__ == "__main__":
    main()
