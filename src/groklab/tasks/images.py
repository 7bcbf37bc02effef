"""Handwritten digits: 5,000 of MNIST that come with the package, or a user's own IDX files."""

from __future__ import annotations

import functools
import hashlib
import lzma
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Le

from groklab.errors import DamagedError, InputError
from groklab.registry import register
from groklab.tasks.base import Algebra, Task
from groklab.tasks.idx import decode, file_bytes, read_idx

Bytes = npt.NDArray[np.uint8]

#: An IDX file of images and one of labels, one after the other (see the notice beside it).
SHIPPED = Path(__file__).parent / "data" / "mnist_5k.xz"
SHIPPED_SHA256 = "5756936df56903ab492b2134a1909c1c37b3321d93ae0a9d9aac8b8773f144bf"
#: Bytes of the first of the two: its header and 5,000 images.
_SHIPPED_IMAGES = 16 + 5000 * 28 * 28
N_CLASSES = 10


@register("task", "mnist")
class MNIST:
    """Images of handwritten digits, for networks that read real inputs: pixels / 255, and the digit as the class.

    images, labels: IDX files, such as MNIST's own, gzipped or not; without them 5,000 digits of MNIST that come with
    groklab, 500 a class, in an order in which image i is of class i mod 10 (within a class in MNIST's). first: only the
    first so many images. messiness: m of Omnigrok, whose inputs are m times the pixels plus (1 - m) (digit / 9 - 1/2),
    so that at 0 each input is nothing but its digit. content: the `fingerprint` of the two files, if altered ones are
    to be refused.
    """

    #: Fields that say where the files lie, which is no part of an experiment's identity.
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
        """SHA-256, in hexadecimal, of both files' bytes; raises InputError if one cannot be read."""
        if self.images is None or self.labels is None:
            return SHIPPED_SHA256
        both = file_bytes(self.images, "task.images"), file_bytes(self.labels, "task.labels")
        # of the two digests, so that no byte can move from one file to the other
        return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in both)).hexdigest()

    def build(self) -> Task:
        """The task; its inputs are no tokens, and `features` (N, rows * columns) float64 are the pixels.

        Raises InputError, naming the field, for files that are missing, damaged, or of images and labels that do not
        belong together.
        """
        if self.content is not None and self.content != (found := self.fingerprint()):
            raise InputError("task.content", self.content, f"the images have the content {found}")
        images, labels = self._digits()
        if self.first is not None:
            if self.first > len(images):
                raise InputError("task.first", self.first, f"needs to be at most {len(images):,}, the number of images")
            images, labels = images[: self.first], labels[: self.first]
        pixels = images.reshape(len(images), -1) / 255.0
        told = (labels / 9.0 - 0.5)[:, None]
        n = len(images)
        return Task(
            name="mnist",
            inputs=np.zeros((n, 0), np.int32),
            targets=labels.astype(np.int32),
            d_vocab=0,
            n_classes=N_CLASSES,
            algebra=Algebra(operation="images", n_answers=N_CLASSES),
            features=pixels if self.messiness == 1 else self.messiness * pixels + (1 - self.messiness) * told,
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
    """Images (5000, 28, 28) and labels (5000,) that come with groklab, read-only.

    Raises DamagedError where the package's file is not what it was.
    """
    try:
        content = lzma.decompress(SHIPPED.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DamagedError(f"the digits in {SHIPPED} cannot be read ({error})") from None
    if hashlib.sha256(content).hexdigest() != SHIPPED_SHA256:
        raise DamagedError(f"the digits in {SHIPPED} are not those that groklab came with")
    return decode(content[:_SHIPPED_IMAGES], 3), decode(content[_SHIPPED_IMAGES:], 1)
