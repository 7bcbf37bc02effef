from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy
import numpy as np
import optax
import pytest
from jax._src.lru_cache import LRUCache

from groklab import lazy


def test_names_are_those_of_the_libraries() -> None:
    assert lazy.jax.jit is jax.jit
    assert lazy.jax.numpy is jax.numpy
    assert lazy.jnp.asarray is jax.numpy.asarray
    assert lazy.optax.adamw is optax.adamw
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lazy.jnp.nothing  # noqa: B018


def test_a_library_is_imported_at_its_first_use_and_then_configured() -> None:
    code = (
        "import sys\n"
        "from groklab.lazy import Array, jax, jit, jnp, optax, pl, scipy\n"
        "double = jit(lambda x: 2 * x)\n"
        "assert not {'jax', 'optax', 'polars', 'scipy'} & set(sys.modules)\n"
        "assert optax.sgd and 'polars' not in sys.modules\n"
        "assert double(jnp.asarray(0.1)).dtype == 'float64'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_transformed_functions_behave_as_jax_makes_them() -> None:
    @lazy.custom_vjp
    def square(x: lazy.Array) -> lazy.Array:
        """Return the square."""
        return x * x

    # another derivative than the true one, to see that the rule is used
    square.defvjp(lambda x: (x * x, x), lambda x, g: (7 * g,))
    assert square.__doc__ == "Return the square."
    assert float(square(jax.numpy.asarray(3.0))) == 9
    assert float(lazy.jit(jax.grad(square))(3.0)) == 7


def test_annotations_of_arrays_are_checked() -> None:
    assert isinstance(jax.numpy.zeros(2), lazy.Array)
    assert not isinstance(np.zeros(2), lazy.Array)
    matrix = lazy.Float64[lazy.Array, "n n"]
    assert isinstance(jax.numpy.zeros((2, 2), "float64"), matrix)
    assert not isinstance(jax.numpy.zeros((2, 2), "float32"), matrix)
    assert not isinstance(jax.numpy.zeros((2, 3), "float64"), matrix)
    assert isinstance(np.zeros((2, 2)), lazy.Float64[np.ndarray, "n n"])


def test_programs_are_kept_where_the_environment_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert lazy.cache_folder() == home / "groklab"


def test_an_entry_of_the_compilation_cache_is_complete_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = LRUCache(str(tmp_path), max_size=-1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            cache.put("key", b"program")
    assert cache.get("key") is None
    assert not list(tmp_path.glob("*key*"))
    cache.put("key", b"program")
    assert cache.get("key") == b"program"
    assert len(list(tmp_path.glob("*key*"))) == 1


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    without_home(monkeypatch)
    assert lazy.cache_folder() is None


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_device_that_is_not_here_is_refused() -> None:
    code = "import groklab as gl; gl.train(gl.preset('micro'))"
    environment = {**os.environ, "JAX_PLATFORMS": "cuda", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    why = "JAX finds no such device here; unset it, or set it to cpu, to train on the CPU"
    assert done.stderr.endswith(f"InputError: JAX_PLATFORMS = 'cuda': {why}\n")


#: Prints what a forked child can do, after its parent has used a library.
FORKED = """
import os, sys, warnings
from groklab.errors import InputError
from groklab.lazy import jax, jit, jnp, np, pl
warnings.simplefilter("ignore")
double = jit(lambda x: 2 * x)
{}
if os.fork() == 0:
    uses = (lambda: np.zeros(2), lambda: pl.DataFrame(), lambda: jnp.zeros(2), lambda: double(1))
    for name, use in zip(("numpy", "polars", "jax", "jit"), uses):
        try:
            use()
            print(name)
        except InputError as error:
            assert "fork" in str(error) and "'spawn'" in str(error)
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("used", "free"),
    [
        ("pl.DataFrame()", ["numpy", "jax", "jit"]),
        ("double(jnp.zeros(2))", ["numpy", "polars"]),
    ],
)
def test_a_forked_process_refuses_what_would_wait_for_threads_of_its_parent(used: str, free: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED.format(used)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == free
