"""Handwritten digits: 5,000 of MNIST that come with the package, or IDX files, the format of MNIST.

An IDX file is a magic number, the sizes, then one byte per value; it may be gzipped.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import lzma
import math
import struct
import zlib
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from groklab.errors import DamagedError, InputError
from groklab.registry import register
from groklab.tasks._base import Algebra, Task
from groklab.text import LARGEST, named_file

Bytes = npt.NDArray[np.uint8]
#: An IDX file of images and one of labels, one after the other (see the notice beside it).
SHIPPED = Path(__file__).parent / "data" / "mnist_5k.xz"
SHIPPED_SHA256 = "5756936df56903ab492b2134a1909c1c37b3321d93ae0a9d9aac8b8773f144bf"
#: Bytes of the first of the two: its header and 5,000 images.
_SHIPPED_IMAGES = 16 + 5000 * 28 * 28
N_CLASSES = 10
#: What a file may hold, unpacked: all 70,000 digits of MNIST are 55 million bytes.
MAX_BYTES = LARGEST["images"]
#: By the number of dimensions: what such a file of unsigned bytes holds, and the number that it begins with.
HOLDS = {1: "labels", 3: "images"}
MAGIC = {1: 0x00000801, 3: 0x00000803}


@register("task", "mnist")
class MNIST:
    """Images of handwritten digits, for networks that read real inputs: pixels / 255, and the digit as the class.

    Attributes:
        images, labels: IDX files, such as MNIST's own, gzipped or not; without them 5,000 digits of MNIST that come
            with groklab, 500 per class, ordered so that image i is of class i mod 10 (within a class as in MNIST).
        first: only the first so many images.
        messiness: m of Omnigrok, whose inputs are m times the pixels plus (1 - m) (digit / 9 - 1/2), so that at 0 each
            input is nothing but its digit.
        content: the `fingerprint` of the two files, if altered ones are to be refused.
    """

    #: Fields that say where the files are, which is not part of an experiment's identity.
    paths: ClassVar[tuple[str, ...]] = ("images", "labels")

    images: str | None = None
    labels: str | None = None
    first: Annotated[int, Ge(2)] | None = None
    messiness: Annotated[float, Ge(0), Le(1)] = 1.0
    content: str | None = None

    def __post_init__(self) -> None:
        for given, missing in (("images", "labels"), ("labels", "images")):
            if getattr(self, given) is not None and getattr(self, missing) is None:
                raise InputError(f"task.{missing}", None, f"needs to be given together with task.{given}")

    def fingerprint(self) -> str:
        """Return the SHA-256, in hexadecimal, of both files' bytes. Raises InputError if one cannot be read."""
        if self.images is None or self.labels is None:
            return SHIPPED_SHA256
        both = named_file("task.images", self.images, "images"), named_file("task.labels", self.labels, "images")
        # of the two digests, so that no byte can move from one file to the other
        return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in both)).hexdigest()

    def build(self) -> Task:
        """Build the task, without tokens; `features` (N, rows * columns) float64 are the pixels.

        Raises:
            InputError: naming the field, for files that are missing, damaged, or of images and labels that do not
                belong together.
        """
        if self.content is not None and self.content != (own := self.fingerprint()):
            raise InputError("task.content", self.content, f"the images have the content {own}")
        images, labels = self._digits()
        if self.first is not None:
            if self.first > len(images):
                raise InputError("task.first", self.first, f"needs to be at most {len(images):,}, the number of images")
            images, labels = images[: self.first], labels[: self.first]
        pixels = images.reshape(len(images), -1) / 255.0
        digit = (labels / 9.0 - 0.5)[:, None]
        n = len(images)
        return Task(
            name="mnist",
            inputs=np.zeros((n, 0), np.int32),
            targets=labels.astype(np.int32),
            d_vocab=0,
            n_classes=N_CLASSES,
            algebra=Algebra(operation="images", n_answers=N_CLASSES),
            features=pixels if self.messiness == 1 else self.messiness * pixels + (1 - self.messiness) * digit,
        )

    def _digits(self) -> tuple[Bytes, Bytes]:
        if self.images is None or self.labels is None:
            return shipped_digits()
        images, labels = read_idx(self.images, 3, "task.images"), read_idx(self.labels, 1, "task.labels")
        if len(images) != len(labels):
            allowed = f"holds {len(labels):,} labels, and task.images {len(images):,} images"
            raise InputError("task.labels", self.labels, allowed)
        wrong = np.flatnonzero(labels >= N_CLASSES)
        if len(wrong):
            allowed = f"has the label {labels[wrong[0]]} at place {wrong[0] + 1:,}; labels are 0 to {N_CLASSES - 1}"
            raise InputError("task.labels", self.labels, allowed)
        return images, labels


@functools.cache
def shipped_digits() -> tuple[Bytes, Bytes]:
    """Return the images (5000, 28, 28) and labels (5000,) that come with groklab, read-only.

    Raises:
        DamagedError: where the package's file has been altered.
    """
    try:
        content = lzma.decompress(SHIPPED.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DamagedError(f"the digits in {SHIPPED} cannot be read ({error})") from None
    if hashlib.sha256(content).hexdigest() != SHIPPED_SHA256:
        raise DamagedError(f"the digits in {SHIPPED} are not those that groklab came with")
    return decode(content[:_SHIPPED_IMAGES], 3), decode(content[_SHIPPED_IMAGES:], 1)


def read_idx(path: str, n_dimensions: int, setting: str) -> npt.NDArray[np.uint8]:
    """Return the images (N, rows, columns) of an IDX file of 3 dimensions, or the labels (N,) of one of 1.

    Raises:
        InputError: on `setting` for a file that is missing, unreadable, of another kind, longer or shorter than it
            says, empty, or larger than MAX_BYTES once unpacked; no more than that is ever unpacked.
    """
    try:
        return decode(unpacked(named_file(setting, path, "images")), n_dimensions)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(setting, path, str(error)) from None


def unpacked(data: bytes) -> bytes:
    """Return the data, unpacked if gzipped. Raises ValueError for damaged ones and for more than MAX_BYTES."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        # not gzip.decompress, which has no limit
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as opened:
            content = opened.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"is a damaged gzip file ({error})") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES:,} bytes once unpacked")
    return content


def decode(data: bytes, n_dimensions: int) -> npt.NDArray[np.uint8]:
    """Return the read-only array of 1 or 3 dimensions in an IDX file. Raises ValueError for another file."""
    header = 4 + 4 * n_dimensions
    wanted, holds = MAGIC[n_dimensions], HOLDS[n_dimensions]
    begins = int.from_bytes(data[:4], "big")
    if len(data) >= 4 and begins != wanted:
        other = next((f", that of {HOLDS[n]}," for n, magic in MAGIC.items() if magic == begins), "")
        raise ValueError(f"begins with {begins:#010x}{other} where an IDX file of {holds} has {wanted:#010x}")
    if len(data) < header:
        raise ValueError(f"has {len(data)} bytes, fewer than the {header} of the header of an IDX file of {holds}")
    sizes = struct.unpack(f">{n_dimensions}I", data[4:header])
    declared, actual = math.prod(sizes), len(data) - header
    shape = " x ".join(f"{n:,}" for n in sizes)
    if declared != actual:
        raise ValueError(f"says that it holds {shape} = {declared:,} bytes of {holds}, and holds {actual:,}")
    if declared == 0:
        raise ValueError(f"says that it holds {shape} {holds}, none at all")
    return np.frombuffer(data, np.uint8, offset=header).reshape(sizes)


def encode(array: npt.NDArray[np.uint8]) -> bytes:
    """Return the IDX file of labels (N,) or images (N, rows, columns)."""
    return struct.pack(f">{1 + array.ndim}I", MAGIC[array.ndim], *array.shape) + array.tobytes()
