"""Files that are complete or absent: atomic writes, checksums of arrays and tables."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import io
import json
import math
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from groklab.errors import DamagedError, InputError, shorten
from groklab.lazy import np, pl
from groklab.text import jsonable, read_file

T = TypeVar("T")
_MARK = b"groklab_sha256:"
#: What a file holds in place of its own checksum until `seal` replaces it.
SEAL = _MARK + b"0" * 64
#: How the names of hidden folders end that become parts of another.
_PART = ".groklab-part"
#: What file systems without file locks answer.
_NO_FILE_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
#: What a file's old content is replaced under: a context for its path, which raises InputError to prevent it.
Guard = Callable[[Path], AbstractContextManager[None]]
_guards: ContextVar[tuple[Guard, ...]] = ContextVar("guards", default=())


@contextlib.contextmanager
def guarded(guard: Guard) -> Iterator[None]:
    """Have all files that this thread writes inside the block replaced under a guard."""
    before = _guards.set((*_guards.get(), guard))
    try:
        yield
    finally:
        _guards.reset(before)


def check_writable(path: Path) -> None:
    """Raise InputError where a file could not be written there, before the work whose result it would be."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        code = errno.EISDIR
    elif not folder.is_dir():
        code = errno.ENOTDIR
    elif not os.access(folder, os.W_OK | os.X_OK):
        code = errno.EACCES
    else:
        return
    raise explain(path, OSError(code, os.strerror(code)))


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old content or the new, never a mixture.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # again, where another process that writes this file has taken the temporary one for a left one
        while not _replace(path, content):
            pass
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(path, error) from error


def _replace(path: Path, content: bytes) -> bool:
    """Replace a file, and remove what killed writers of it have left; False if the new content has been lost."""
    sweep(path.parent, glob.escape(path.name))
    name = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        # not `tempfile`, whose files others in the group may not read
        with open(name, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.ExitStack() as stack:
            for guard in _guards.get():
                stack.enter_context(guard(path))
            try:
                os.replace(name, path)
            except FileNotFoundError:
                return False
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return True


def sweep(folder: Path, of: str = "*") -> None:
    """Remove what killed writers have left in a folder, of files whose names match a pattern."""
    for left in folder.glob(f".{of}.{'[0-9a-f]' * 12}.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


@contextlib.contextmanager
def complete_folder(folder: Path, last: str, stale: Collection[str] = ()) -> Iterator[Path]:
    """Yield a hidden folder to fill; at the end of the block its content becomes that of `folder`, as one change.

    A folder that is not there yet appears by one rename. In one that is there (it may be a mount point, or the folder
    somebody works in) entries are replaced one by one, the file `last` removed first and put in place last: without
    that file the folder counts as incomplete. What killed processes have left is removed.

    Args:
        stale: names of entries that are removed where the new content lacks them.

    Raises:
        InputError: where the disk is full or the folder cannot be written.
    """
    there = folder.is_dir()
    beside = folder if there else folder.parent
    stage = beside / f".{secrets.token_hex(6)}{_PART}"
    try:
        stage.mkdir(parents=True)
        # a file lock ends with its process, however that ends
        with _locked(stage):
            moving = False
            try:
                # later than its own: a folder that holds one was begun by this function
                _remove_parts(beside)
                yield stage
                moving = there
                if there:
                    _move(stage, folder, last, stale)
                else:
                    os.rename(stage, folder)
                moving = False
                _sync_folder(beside)
            finally:
                # what an interrupted move leaves marks a folder that is not complete
                if not moving:
                    shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise explain(folder, error) from error


def is_part(path: Path) -> bool:
    """Return whether this is a hidden folder of `complete_folder`."""
    return path.name.startswith(".") and path.name.endswith(_PART)


def _remove_parts(folder: Path) -> None:
    """Remove the hidden folders of processes that have ended."""
    for part in filter(is_part, folder.iterdir()):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), _locked(part):
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; raises BlockingIOError where another process holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        lock_file(handle)
        yield
    finally:
        os.close(handle)


def lock_file(handle: int) -> bool:
    """Lock an open file or folder until it is closed or this process ends.

    Returns False where the file system has no locks; raises BlockingIOError where another process holds the lock.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_FILE_LOCKS:
            raise
        return False
    return True


def _move(stage: Path, folder: Path, last: str, stale: Collection[str]) -> None:
    """Put the entries of a folder in the place of another's."""
    (folder / last).unlink(missing_ok=True)
    entries = sorted((entry.name for entry in stage.iterdir()), key=lambda name: name == last)
    for name in {*entries, *stale}:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        elif name not in entries:
            (folder / name).unlink(missing_ok=True)
    for name in entries:
        _sync_folder(folder)
        os.replace(stage / name, folder / name)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    text = json.dumps(value, indent=1, allow_nan=False)
    if "\\ud" in text:  # perhaps half of a surrogate pair
        text = json.dumps(jsonable(value), indent=1)
    atomic_write(path, f"{text}\n".encode())


def read_bytes(path: Path, kind: str = "run") -> bytes:
    """Read a file; raises DamagedError if it is not a regular one, InputError if unreadable, FileNotFoundError.

    Args:
        kind: what it holds at most, see `groklab.text.LARGEST`.
    """
    try:
        return read_file(path, kind)
    except FileNotFoundError:
        raise
    except OSError as error:
        refusal = DamagedError if error.errno in (errno.EINVAL, errno.EFBIG, errno.ELOOP) else InputError
        raise refusal(f"{path} cannot be read: {error.strerror or error}") from None


def read_json(path: Path, kind: type[T], help: str = "") -> T:
    """Read JSON as a type; numbers are finite, of at most 64 bits, and texts are Unicode.

    Args:
        help: what to do about damage, for the error.

    Raises:
        DamagedError: the file is damaged, or a field does not fit the type; FileNotFoundError: it is missing.
    """
    return check_json(path, read_bytes(path, "record"), kind, help)


def set_aside(path: Path, error: DamagedError, effect: str) -> None:
    """Rename a damaged file to NAME.damaged, and warn; effect: what happens now, such as 'it is made again'."""
    aside = path.with_name(f"{path.name}.damaged")
    with contextlib.suppress(OSError):
        os.replace(path, aside)
    warnings.warn(f"{error}; set aside as {aside.name}, {effect}", stacklevel=4)


def check_json(path: Path, content: bytes | str, kind: type[T], help: str = "") -> T:
    """Return JSON that a file holds as a type; see `read_json`."""
    try:
        plain = json.loads(content, parse_constant=_finite, parse_float=_finite, parse_int=_integer)
        json.dumps(plain, ensure_ascii=False).encode()  # half a character fails here
        value: T = _adapter(cast(Any, kind)).validate_json(content, strict=True)
        return value
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(shorten(str(part)) for part in first["loc"])
        subject = f"{place} = {shorten(repr(first['input']))}:" if place else "it"
        fault = f"{subject} needs to{first['msg'].partition(' should')[2]}"
        if first["type"] == "missing":
            fault = f"{place} is missing"
        elif first["type"] == "value_error":
            fault = str(first["ctx"]["error"])
    except (ValueError, RecursionError) as error:
        fault = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    raise DamagedError(f"{path} is damaged: {fault}{help and f'; {help}'}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= 2**64:
        raise ValueError(f"{shorten(text, 30)} needs more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{shorten(text, 30)} is not a finite number")
    return float(text)


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays, in hexadecimal: equal for equal weights on any machine.

    It covers, for each array in the order of the names: the line `name dtype [shape]` (as in `W_E float32 [3, 4]`),
    a newline, and the array's bytes in row-major order, little-endian.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        total.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        total.update(little.tobytes())
    return total.hexdigest()


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write arrays as safetensors, with `header` and checksums of the arrays and of itself in the file's metadata."""
    text = json.dumps({**header, "sha256": digest(arrays)})
    metadata = {"groklab": text, "groklab_sha256": hashlib.sha256(text.encode()).hexdigest()}
    atomic_write(path, as_safetensors(arrays, metadata))


def as_safetensors(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file of arrays, the same bytes whenever they are the same."""
    from safetensors.numpy import save

    content = save({k: np.array(v, order="C", ndmin=0) for k, v in arrays.items()}, metadata=dict(metadata))
    start = 8 + int.from_bytes(content[:8], "little")
    # the library writes metadata in an order of chance
    header = json.dumps({**json.loads(content[8:start]), "__metadata__": metadata}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return b"".join([len(header).to_bytes(8, "little"), header, memoryview(content)[start:]])


#: Types of numbers in safetensors, as NumPy has them; bfloat16 is the upper half of a float32.
_DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1"}
_DTYPES |= {"U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?"}


def read_safetensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a .safetensors file, bfloat16 as float32, and its metadata.

    Raises:
        InputError: for a type of numbers that NumPy has no equal of.
        safetensors.SafetensorError, ValueError: for a damaged file.
    """
    from safetensors import deserialize

    arrays = {}
    for name, entry in deserialize(content):  # type: ignore[no-untyped-call]
        if entry["dtype"] not in _DTYPES:
            raise InputError(shorten(name), entry["dtype"], f"is not read; {', '.join(_DTYPES)} are")
        array = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = array
    length = int.from_bytes(content[:8], "little")
    return arrays, json.loads(content[8 : 8 + length]).get("__metadata__", {})


def load_arrays(path: Path, kind: type[T]) -> tuple[dict[str, np.ndarray], T]:
    """Read what `save_arrays` wrote, its header as a type; raises DamagedError if it is truncated or altered."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None
    except InputError as error:
        raise DamagedError(str(error)) from None
    try:
        arrays, metadata = read_safetensors(content)
        text = metadata["groklab"]
        sha256 = json.loads(text)["sha256"]
        sealed = metadata["groklab_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    except Exception as error:  # safetensors, JSON and key errors alike mean: not what was written
        raise DamagedError(f"{path} is damaged: {error}") from None
    if not sealed or digest(arrays) != sha256:
        raise DamagedError(f"{path} is damaged: its checksum does not match its content")
    return arrays, check_json(path, text, kind)


def seal(content: bytes) -> bytes:
    """Return bytes with the blank `SEAL` in them replaced by the checksum of these bytes."""
    return content.replace(SEAL, _MARK + hashlib.sha256(content).hexdigest().encode())


def is_sealed(content: bytes) -> bool:
    """Return whether bytes are, to the last bit, what `seal` returned."""
    start = content.rfind(_MARK)
    end = start + len(SEAL)
    blank = content[:start] + SEAL + content[end:]
    return start >= 0 and content[start:end] == _MARK + hashlib.sha256(blank).hexdigest().encode()


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table as Parquet atomically, with its own checksum among its metadata."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False, metadata={"checksum": SEAL.decode()})
    atomic_write(path, seal(buffer.getvalue()))


def read_table(path: Path, help: str = "") -> pl.DataFrame:
    """Read what `write_table` wrote.

    Args:
        help: what to do about damage, for the error.

    Raises:
        DamagedError: the file is damaged; FileNotFoundError: it is missing.
    """
    content = read_bytes(path)
    # checked before it is parsed: readers of Parquet end the whole process on some altered files
    if not is_sealed(content):
        raise DamagedError(f"{path} is damaged: its checksum does not match its content{help and f'; {help}'}")
    return pl.read_parquet(io.BytesIO(content))


def disk_use(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size
    return total


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems cannot do this for folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def explain(path: Path, error: OSError) -> InputError:
    """Return the sentence for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return InputError(f"the disk is full: {path} could not be written; free some space, then repeat the command")
    return InputError(f"{path} cannot be written: {error.strerror or error}")
