"""How the kernel is compiled: `compiled` for functions that only compiled code calls, `entry` for those that Python calls.

With ``NUMBA_DISABLE_JIT=1`` both leave the function as it is, so the same lines run under a debugger.  Compiled code is kept in the
user's cache directory, in a folder named by a hash of every compiled source: Numba itself doesn't notice a change in a callee's file.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

_ROOMS = ("struct", "hw", "mm", "workload", "machine")
_FILES = ("experiment/bench.py", "experiment/conform/shown_text.py")
F = TypeVar("F", bound=Callable[..., Any])


def compiled_sources() -> list[Path]:
    """All files that compiled code, or a constant in it, can come from."""
    package = Path(__file__).resolve().parent.parent
    return [path for room in _ROOMS for path in sorted((package / room).rglob("*.py"))] + [package / name for name in _FILES]


def _source_hash() -> str:
    """A short hash of all sources that compiled code can come from, and of the Python and Numba that compile them."""
    from importlib.metadata import version

    digest = hashlib.sha256(f"{platform.python_version()} {version('numba')} {version('llvmlite')}".encode())
    package = Path(__file__).resolve().parent.parent
    for path in compiled_sources():
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """The folder for what is made once on a machine."""
    return Path(os.environ.get("VMSIM_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmsim")


def cache_dir() -> Path:
    """The folder of compiled code for exactly these sources."""
    return cache_root() / f"compiled-{_source_hash()}"


JIT = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
CACHE = cache_dir()


def is_cache_warm() -> bool:
    """Whether the kernel was compiled on this machine before (or needs no compilation)."""
    return not JIT or (CACHE / "complete").exists()


def mark_cache_warm() -> None:
    """Note that every entry point has been compiled, and drop the folders of older sources."""
    if not JIT:
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "complete").touch()


if JIT:
    from numba import njit, types
    from numba.core import config as _numba_config

    from vmsim.struct.whole import PartCompiler, ProgramCompiler

    _numba_config.CACHE_DIR = str(CACHE)  # never NUMBA_CACHE_DIR's: what is kept there may come from other sources

    def _one_type(given: Any) -> Any:
        """Every number is an int64: a literal, a bool or an int32 would compile the function once more each."""
        plain = types.unliteral(given)
        return types.int64 if isinstance(plain, (types.Boolean, types.Integer)) else plain

    def compiled(function: F) -> F:
        """A function of the kernel that only other compiled functions call; it is compiled for int64 arguments."""
        done: Any = njit(function, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=PartCompiler)
        resolve = done.get_call_template
        done.get_call_template = lambda args, kws: resolve(tuple(_one_type(arg) for arg in args), kws)
        result: F = done
        return result

    def entry(function: F) -> F:
        """A compiled function that Python calls: crossing costs microseconds, so by the slice and never by the access."""
        done: F = njit(function, error_model="numpy", cache=True, no_cfunc_wrapper=True, pipeline_class=ProgramCompiler)
        return done

    def without_dispatcher(function: F, arguments: int) -> F:
        """An entry point as a function of so many ints and nothing else: finding out their types takes as long as the crossing itself.

        Compiles it, or loads it from the cache.
        """
        done: Any = function
        numbers = (types.int64,) * arguments
        done.compile(numbers)
        direct: F = done.overloads[numbers].entry_point
        return direct

else:

    def compiled(function: F) -> F:
        """A function of the kernel that only other compiled functions call."""
        return function

    def entry(function: F) -> F:
        """A compiled function that Python calls: crossing costs microseconds, so by the slice and never by the access."""
        return function

    def without_dispatcher(function: F, arguments: int) -> F:
        """An entry point as a function of so many ints."""
        return function
