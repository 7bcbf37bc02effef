"""PyTorch's files: tensors come out as they went in, and nothing else is made or run."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crafting import Object, Raw, Tensor, name, torch_file
from groklab.errors import DamagedError, InputError
from groklab.interop._torch_files import Foreign, read_torch


def read(tmp_path: Path, content: bytes) -> Any:
    file = tmp_path / "x.pth"
    file.write_bytes(content)
    content, _ = read_torch(file, file.read_bytes())
    return content


def only_sentences(tmp_path: Path, content: bytes) -> None:
    said = ""
    try:
        read(tmp_path, content)
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_containers_and_tensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "double": rng.standard_normal((3, 4)),
        "float": rng.standard_normal((2, 3, 4)).astype(np.float32),
        "half": rng.standard_normal(5).astype(np.float16),
        "long": np.arange(6).reshape(2, 3),
        "bool": np.array([True, False]),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "turned": rng.standard_normal((3, 4)).astype(np.float32).T,
    }
    arrays["turned"] = np.asarray(arrays["turned"])
    stored: dict[str, Any] = {k: v for k, v in arrays.items() if k != "turned"}
    stored["turned"] = Tensor(np.ascontiguousarray(arrays["turned"].T), size=(4, 3), stride=(1, 4))
    plain = {"list": [1, 2.5, "three", None, True], "nested": {"betas": (0.9, 0.98), "big": 10**30}}
    found = read(tmp_path, torch_file({"model": stored, **plain}))
    assert {k: found[k] for k in plain} == plain
    for key, array in arrays.items():
        assert found["model"][key].dtype == array.dtype
        np.testing.assert_array_equal(found["model"][key], array)


def test_parts_of_a_storage_and_parameters(tmp_path: Path) -> None:
    whole = np.arange(24, dtype=np.float32)
    part = Tensor(whole, offset=5, size=(3, 2), stride=(4, 2), parameter=True)
    spread = Tensor(whole, offset=7, size=(3,), stride=(0,))
    found = read(tmp_path, torch_file([part, spread]))
    np.testing.assert_array_equal(found[0], [[5, 7], [9, 11], [13, 15]])
    np.testing.assert_array_equal(found[1], [7, 7, 7])
    assert not found[0].flags.writeable


def test_bfloat16_and_byte_order(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625], np.float32)
    brain = Tensor((values.view(np.uint32) >> 16).astype(np.uint16), kind="BFloat16Storage")
    np.testing.assert_array_equal(read(tmp_path, torch_file(brain)), values)
    assert read(tmp_path, torch_file(brain)).dtype == np.float32
    big = Tensor(values.astype(">f4"), kind="FloatStorage")
    np.testing.assert_array_equal(read(tmp_path, torch_file(big, order="big")), values)


@given(
    array=npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int64]), npst.array_shapes(min_dims=0, max_dims=4, max_side=4)
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_array(array: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path, torch_file({"x": array}))["x"], array)


ONES = np.ones(4, np.float32)
CALL = b"(X\x04\x00\x00\x00exittR"
FOREIGN = {
    "eval": (Raw(name("builtins", "eval") + CALL), "builtins.eval"),
    "stack global": (Raw(b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93" + CALL), "os.system"),
    "class": (Object("lightning.callbacks", "ModelCheckpoint", {"a": 1}), "lightning.callbacks.ModelCheckpoint"),
    "called twice": (Raw(name("builtins", "getattr") + CALL + CALL), "builtins.getattr"),
    "items": (Raw(name("a", "Dict") + b")\x81X\x01\x00\x00\x00aK\x01s"), "a.Dict"),
    "arguments by name": (Raw(name("a", "B") + b")}\x92"), "a.B"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_objects_of_other_programs_are_passed_over_and_never_made(case: str, tmp_path: Path) -> None:
    value, expected = FOREIGN[case]
    file = tmp_path / "x.pth"
    file.write_bytes(torch_file({"model": {"w": ONES}, "other": value}))
    content, foreign = read_torch(file, file.read_bytes())
    np.testing.assert_array_equal(content["model"]["w"], ONES)
    assert isinstance(content["other"], Foreign)
    assert (content["other"].name, foreign) == (expected, [expected])


def test_numbers_of_numpy(tmp_path: Path) -> None:
    dtype = name("numpy", "dtype") + b"(X\x02\x00\x00\x00f8\x89\x88tR"
    encoded = name("_codecs", "encode") + b"(X\x01\x00\x00\x00zX\x06\x00\x00\x00latin1tR"
    assert read(tmp_path, torch_file(Raw(encoded))) == b"z"
    scalar = (
        name("numpy.core.multiarray", "scalar")
        + b"("
        + dtype
        + b"B\x08\x00\x00\x00"
        + np.float64(2.5).tobytes()
        + b"tR"
    )
    assert read(tmp_path, torch_file([Raw(scalar)])) == [2.5]


REFUSED = {
    "inst": (Raw(b"(ios\nsystem\n"), "instruction INST"),
    "extension": (Raw(b"\x82\x01"), "instruction EXT1"),
    "state": (Raw(b"]}b"), "gives a state to what has none"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_such_file_needs_is_refused(case: str, tmp_path: Path) -> None:
    value, part = REFUSED[case]
    with pytest.raises(InputError, match=part) as said:
        read(tmp_path, torch_file(value))
    assert str(said.value).endswith(": not opened")
    assert not isinstance(said.value, DamagedError)


LIES = {
    "beyond its storage": Tensor(ONES, size=(5,), stride=(1,)),
    "stride beyond": Tensor(ONES, size=(2, 2), stride=(3, 1)),
    "offset beyond": Tensor(ONES, offset=1),
    "offset before": Tensor(ONES, offset=-1),
    "negative stride": Tensor(ONES, offset=3, size=(4,), stride=(-1,)),
    "negative size": Tensor(ONES, size=(-4,), stride=(1,)),
    "no number": Tensor(ONES, size=("4",), stride=(1,)),
    "sizes without strides": Tensor(ONES, size=(4,), stride=()),
    "longer storage": Tensor(ONES, count=5),
    "negative storage": Tensor(ONES, count=-1),
    "absurd": Tensor(ONES, size=(10**9, 10**9), stride=(0, 0)),
    "more than memory": Tensor(ONES, size=(2**62, 2**62), stride=(0, 0)),
    "empty but absurd": Tensor(ONES, size=(0, 2**62, 2**62), stride=(1, 1, 1)),
    "many dimensions": Tensor(ONES, size=(1,) * 60, stride=(1,) * 60),
    "recall": Raw(b"h\x07"),
    "nothing to pop": Raw(b"0000"),
    "call of a number": Raw(b"K\x01)R"),
    "python storage": Raw(b"(X\x07\x00\x00\x00storage" + name("torch", "QUInt8Storage") + b"tQ"),
    "call with other arguments": Raw(name("torch", "Size") + b")R"),
}


@pytest.mark.parametrize("case", LIES)
def test_a_lying_file_reads_and_allocates_nothing(case: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.pth"):
        read(tmp_path, torch_file([LIES[case], LIES[case]]))


def test_other_files(tmp_path: Path) -> None:
    whole = torch_file({"x": ONES})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme", "nothing")
    cases = {
        "plain pickle": pickle.dumps({"x": 1}),
        "before version 1.6": bytes.fromhex("80028a0a6cfc9c46f9206aa850192e") + b"rest",
        "not a zip archive": b"hello",
        "not a zip": b"",
        "compressed": torch_file({"x": np.zeros(10_000)}, compression=zipfile.ZIP_DEFLATED),
        "without PyTorch's data.pkl": buffer.getvalue(),
        "damaged": whole[: len(whole) // 2],
        "byte order": torch_file(ONES, order="middle"),
    }
    for part, content in cases.items():
        with pytest.raises(InputError, match=part):
            read(tmp_path, content)


@pytest.fixture(scope="module")
def whole() -> bytes:
    model = {"embed.W_E": np.arange(12, dtype=np.float32).reshape(3, 4), "n": np.array(3.0)}
    return torch_file({"model": model, "train_losses": [1.0, 0.5], "epoch": 3, "x": (None, True, "y")})


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_end_in_one_sentence(data: st.DataObject, whole: bytes, tmp_path: Path) -> None:
    content = bytearray(whole)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(1, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    only_sentences(tmp_path, bytes(content))


@given(code=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_instructions_end_in_one_sentence(code: bytes, tmp_path: Path) -> None:
    only_sentences(tmp_path, torch_file(Raw(code)))
    # a place of the memo that is far away costs nothing
    assert read(tmp_path, torch_file(Raw(b"Nr\xff\xff\xff\x7f"))) is None


def test_a_deeply_nested_file(tmp_path: Path) -> None:
    read(tmp_path, torch_file(Raw(b")" + b"\x85" * 200_000)))
    # as a key, whose hash would end the process, it is left out
    assert read(tmp_path, torch_file(Raw(b"})" + b"\x85" * 200_000 + b"K\x01s"))) == {}


def put(place: int) -> bytes:
    return b"q%c" % place


def get(place: int) -> bytes:
    return b"h%c" % place


def of_itself_twice(depth: int) -> bytes:
    """A list of two of the same lists, and so on: 2**depth values."""
    return b"](NNe" + put(0) + b"0" + b"".join(b"](" + get(i) * 2 + b"e" + put(i + 1) + b"0" for i in range(depth))


TEXT = b"X" + (2**16).to_bytes(4, "little") + b"x" * 2**16 + put(0) + b"X\6\0\0\0latin1" + put(1) + b"00"
GROWING = {
    "shared": of_itself_twice(60) + get(60),
    "shared attributes": name("a", "b") + b")R}X\1\0\0\0x" + of_itself_twice(60) + get(60) + b"sb",
    "pairs": b"]("
    + b"N" * 2000
    + b"e"
    + put(0)
    + b"0"
    + name("collections", "OrderedDict")
    + b"]("
    + get(0) * 2000
    + b"e\x85R",
    "attributes": b"}("
    + b"".join(b"K%cN" % i for i in range(250))
    + b"u"
    + put(0)
    + b"0]("
    + (name("a", "b") + b")R" + get(0) + b"b") * 9000
    + b"e",
    "texts": TEXT + b"](" + (name("_codecs", "encode") + get(0) + get(1) + b"\x86R") * 100 + b"e",
    "integer": b"\x8b" + (3000).to_bytes(4, "little") + b"\1" * 3000,
}


@pytest.mark.parametrize("case", GROWING)
def test_a_small_file_that_grows_is_refused(case: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(torch_file({"a": Raw(GROWING[case])}))
    with pytest.raises(DamagedError, match=r"many times its size|is not a pair|integer of more than"):
        read_torch(file, file.read_bytes())


def test_what_is_inside_of_itself_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    file.write_bytes(torch_file({"a": Raw(b"]" + put(0) + get(0) + b"a")}))
    inner = read_torch(file, file.read_bytes())[0]["a"]
    assert inner[0] is inner


def test_the_released_file(reference: Path) -> None:
    before = set(os.listdir(reference))
    file = reference / "nanda2023_wd0.1_seed1.pth"
    found, foreign = read_torch(file, file.read_bytes())
    assert foreign == []
    assert set(os.listdir(reference)) == before
    assert {k: v.shape for k, v in found["model"].items()}["blocks.0.attn.W_Q"] == (4, 32, 128)
    assert len(found["train_losses"]) == found["epoch"] + 1 == 107_791
    assert found["optimizer"]["param_groups"][0]["weight_decay"] == 0.1
