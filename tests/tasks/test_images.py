"""Digits: those that come with the package, a user's own IDX files, and every way in which such a file can lie."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import groklab as gl
from groklab.cli import main
from groklab.errors import DamagedError, InputError
from groklab.tasks import MNIST, encode
from groklab.tasks import _images as images
from groklab.tasks._images import decode, unpacked
from groklab.text import LARGEST

DRAWN = np.random.default_rng(0)
IMAGES = DRAWN.integers(0, 256, (12, 4, 3), dtype=np.uint8)
LABELS = (np.arange(12) % 10).astype(np.uint8)


def saved(folder: Path, suffix: str = "", **content: bytes) -> dict[str, Any]:
    """Settings of a task whose two files hold IMAGES and LABELS, or what is given in their place."""
    found = {"images": encode(IMAGES), "labels": encode(LABELS), **content}
    folder.mkdir(exist_ok=True)
    for name, data in found.items():
        (folder / f"{name}{suffix}").write_bytes(data)
    return {name: str(folder / f"{name}{suffix}") for name in found}


def test_digits_that_come_with_the_package() -> None:
    task = MNIST().build()
    assert task.features is not None
    assert (task.features.shape, task.features.dtype) == ((5000, 784), np.float64)
    assert (task.n_ctx, task.n_classes, task.shape.n_features) == (0, 10, 784)
    np.testing.assert_array_equal(task.targets, np.arange(5000) % 10)
    assert (task.features.min(), task.features.max()) == (0, 1)
    # the first of MNIST's training images is a 5, and its pixels add up to 27,525
    assert task.features[5].sum() * 255 == pytest.approx(27_525, abs=1e-6)
    # nearest class means classify most digits: images and labels belong together
    means = np.stack([task.features[:2500][task.targets[:2500] == c].mean(0) for c in range(10)])
    distances = ((task.features[2500:, None] - means) ** 2).sum(-1)
    assert (distances.argmin(1) == task.targets[2500:]).mean() > 0.75


def test_a_damaged_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = images.SHIPPED.read_bytes()
    other = tmp_path / "digits.xz"
    monkeypatch.setattr(images, "SHIPPED", other)
    for content in (data[:-100], b""):
        other.write_bytes(content)
        with pytest.raises(DamagedError, match="cannot be read"):
            images.shipped_digits.__wrapped__()
    other.write_bytes(images.lzma.compress(encode(IMAGES)))
    with pytest.raises(DamagedError, match="not those that groklab came with"):
        images.shipped_digits.__wrapped__()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_own_files_packed_or_not(tmp_path: Path, pack: Any) -> None:
    task = MNIST(**saved(tmp_path, images=pack(encode(IMAGES)), labels=pack(encode(LABELS)))).build()
    np.testing.assert_array_equal(task.features, IMAGES.reshape(12, 12) / 255)
    np.testing.assert_array_equal(task.targets, LABELS)


def test_the_first_so_many(tmp_path: Path) -> None:
    files = saved(tmp_path)
    task = MNIST(**files, first=7).build()
    np.testing.assert_array_equal(task.features, IMAGES[:7].reshape(7, 12) / 255)
    assert task.n_inputs == 7
    with pytest.raises(InputError, match=r"task\.first = 13: needs to be at most 12"):
        MNIST(**files, first=13).build()


def test_messiness_goes_from_the_digit_to_its_image(tmp_path: Path) -> None:
    files = saved(tmp_path)
    told = MNIST(**files, messiness=0.0).build().features
    assert told is not None
    np.testing.assert_allclose(told, np.repeat(LABELS[:, None] / 9 - 0.5, 12, 1), rtol=1e-12)
    half = MNIST(**files, messiness=0.5).build().features
    np.testing.assert_allclose(half, (told + IMAGES.reshape(12, 12) / 255) / 2, rtol=1e-12)


@given(
    array=st.one_of(
        arrays(np.uint8, st.tuples(st.integers(1, 9))),
        arrays(np.uint8, st.tuples(*[st.integers(1, 4)] * 3)),
    ),
    packed=st.booleans(),
)
def test_what_is_written_is_read(array: np.ndarray, packed: bool) -> None:
    data = gzip.compress(encode(array)) if packed else encode(array)
    np.testing.assert_array_equal(decode(unpacked(data), array.ndim), array)


@given(data=st.binary(max_size=40), n=st.sampled_from([1, 3]), dressed=st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, n: int, dressed: bool) -> None:
    if dressed:
        data = images.MAGIC[n].to_bytes(4, "big") + data
    try:
        found = decode(unpacked(data), n)
    except ValueError:
        # the only way in which it says no
        return
    assert encode(found) == data


@pytest.mark.parametrize("packed", [False, True])
def test_every_truncation_is_refused(tmp_path: Path, packed: bool) -> None:
    for name, array in (("images", IMAGES), ("labels", LABELS)):
        whole = gzip.compress(encode(array)) if packed else encode(array)
        for length in range(len(whole)):
            files = saved(tmp_path, **{name: whole[:length]})
            with pytest.raises(InputError, match=rf"^task\.{name} = "):
                MNIST(**files).build()


def test_each_lie_has_its_sentence(tmp_path: Path) -> None:
    pictures, labels = encode(IMAGES), encode(LABELS)
    more = (60_000).to_bytes(4, "big")
    cases: list[tuple[dict[str, bytes], str]] = [
        ({"images": pictures[:-1]}, "says that it holds 12 x 4 x 3 = 144 bytes of images, and holds 143"),
        ({"images": pictures + b"\0"}, "says that it holds 12 x 4 x 3 = 144 bytes of images, and holds 145"),
        ({"images": pictures[:4] + more + pictures[8:]}, "60,000 x 4 x 3 = 720,000 bytes of images, and holds 144"),
        ({"images": pictures[:4] + b"\xff" * 12}, "4,294,967,295 x 4,294,967,295 x 4,294,967,295"),
        ({"images": labels}, "begins with 0x00000801, that of labels, where an IDX file of images has 0x00000803"),
        ({"images": b"\x89PNG" + pictures}, "begins with 0x89504e47 where an IDX file of images has 0x00000803"),
        ({"images": pictures[:9]}, "has 9 bytes, fewer than the 16 of the header"),
        ({"images": b""}, "has 0 bytes"),
        ({"images": pictures[:4] + b"\0" * 12}, "0 x 0 x 0 images, none at all"),
        ({"images": gzip.compress(pictures)[:-9]}, "damaged gzip file"),
        ({"images": gzip.compress(pictures) + b"more"}, "damaged gzip file"),
        ({"images": b"\x1f\x8b" + pictures}, "damaged gzip file"),
        ({"labels": pictures}, "begins with 0x00000803, that of images, where an IDX file of labels has 0x00000801"),
        ({"labels": encode(LABELS[:5])}, "holds 5 labels, and task.images 12 images"),
        ({"labels": encode(LABELS + np.uint8(1))}, "has the label 10 at place 10; labels are 0 to 9"),
    ]
    for content, sentence in cases:
        with pytest.raises(InputError) as refused:
            MNIST(**saved(tmp_path, **content)).build()
        assert sentence in str(refused.value), str(refused.value)
        assert str(refused.value).startswith(f"task.{next(iter(content))} = ")


def test_a_file_that_unpacks_to_gigabytes_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(1_000_000))
    assert len(bomb) < 2_000
    monkeypatch.setattr(images, "MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="larger than 100,000 bytes once unpacked"):
        MNIST(**saved(tmp_path, images=bomb)).build()
    monkeypatch.setitem(LARGEST, "images", 100_000)
    with pytest.raises(InputError, match=r"it has 100,001 bytes, and at most 100,000 are read$"):
        MNIST(**saved(tmp_path, images=bytes(100_001))).build()


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    files = saved(tmp_path)
    with pytest.raises(InputError, match=r"task\.labels = .*no such file"):
        MNIST(images=files["images"], labels=str(tmp_path / "none")).build()
    with pytest.raises(InputError, match=r"task\.images = .*it is a folder"):
        MNIST(images=str(tmp_path), labels=files["labels"]).build()
    for one, other in (("images", "labels"), ("labels", "images")):
        with pytest.raises(InputError, match=rf"task\.{other} = None: needs to be given together with task\.{one}"):
            MNIST(**{one: files[one]})


def described(**task: Any) -> gl.Experiment:
    settings = {"task": {"kind": "mnist", **task}, "network": {"kind": "dense"}, "split": {"n_train": 5}}
    return gl.read(settings)


def test_identity_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    here, there = (saved(tmp_path / name) for name in ("here", "there"))
    altered = saved(tmp_path / "altered", labels=encode(LABELS[::-1].copy()))
    own = described(**here).identity
    assert own == described(**there).identity
    others = [
        described(**altered),
        described(**here, first=11),
        described(**here, messiness=0.5),
        described(),
        described(images=here["labels"], labels=here["images"]),
    ]
    assert len({own, *(e.identity for e in others)}) == 6
    kept = MNIST(**here).fingerprint()
    assert MNIST(**there, content=kept).build().n_inputs == 12
    with pytest.raises(InputError, match=r"task\.content"):
        MNIST(**altered, content=kept).build()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"images": encode(IMAGES)[:-1]}, "holds 143"),
        ({"images": encode(IMAGES)[:4] + b"\xff" * 12}, "task.images"),
        ({"labels": gzip.compress(encode(LABELS))[:-3]}, "damaged gzip file"),
    ],
)
def test_the_command_says_it_in_one_sentence(
    content: dict[str, bytes],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = saved(tmp_path, **content)
    settings = [
        "task.kind=mnist",
        *(f"task.{k}={v}" for k, v in files.items()),
        "network.kind=dense",
        "split.n_train=5",
    ]
    monkeypatch.setattr(sys, "argv", ["groklab", "train", "omnigrok/mnist", *settings])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs" / "omnigrok").exists()
