"""Compiling the recorder with the host's C compiler, once for its sources, into the user's cache directory."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vmsim.errors import VmsimError
from vmsim.struct.jit import cache_root

_SOURCES = Path(__file__).parent / "recorder"
_COMPILERS = ("cc", "gcc", "clang", "tcc")
_SECONDS = 120


def why_not() -> str | None:
    """Why nothing can be recorded here, or None if nothing speaks against it."""
    if sys.platform != "linux":
        return f"only Linux can be recorded, this is {sys.platform}"
    if platform.machine() != "x86_64":
        return f"only x86-64 can be recorded (the subject is driven by injected code), this is {platform.machine()}"
    if not _built().exists() and _compiler() is None:
        return f"the recorder is C and there is no compiler here ({', '.join(_COMPILERS)}); CC names one"
    return None


def recorder_path() -> Path:
    """The recorder, which is compiled if it was not before. Raises VmsimError where it can't be."""
    reason = why_not()
    if reason is not None:
        raise VmsimError(reason)
    built = _built()
    if not built.exists():
        _compile(built)
    return built


def _built() -> Path:
    digest = hashlib.sha256()
    for path in sorted(_SOURCES.glob("*.[ch]")):
        digest.update(path.name.encode() + path.read_bytes())
    return cache_root() / f"recorder-{digest.hexdigest()[:16]}"


def _compiler() -> str | None:
    named = os.environ.get("CC")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, _COMPILERS)), None)


def _compile(built: Path) -> None:
    """Put the program in place whole; statically linked if the host has what that takes."""
    compiler = _compiler()
    assert compiler is not None
    sources = [str(path) for path in sorted(_SOURCES.glob("*.c"))]
    try:
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="recorder-", dir=built.parent) as folder:
            made = Path(folder) / built.name
            for linking in (["-static"], []):
                told = subprocess.run(
                    [compiler, "-O2", *linking, "-o", str(made), *sources], capture_output=True, text=True, timeout=_SECONDS
                )
                if told.returncode == 0:
                    os.replace(made, built)
                    return
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VmsimError(f"the recorder can't be compiled: {error}") from None
    raise VmsimError(f"the recorder can't be compiled with {compiler}:\n{told.stderr.strip()}")
