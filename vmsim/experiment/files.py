"""Files that are whole or not there: written beside their place under a hidden name, made durable, then renamed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vmsim.errors import VmsimError

if sys.platform != "win32":
    import fcntl

TEMPORARY = ".tmp-"


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by what `write` puts into the file it is given. Raises VmsimError, naming the file, if the disk refuses."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise VmsimError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """`write_whole` for a text, as UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


class DirectoryLock:
    """The right to write into a directory, held by at most one process and given back by the system if that process dies."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises VmsimError if another process has it."""
        self._file = open(directory / ".lock", "ab")  # noqa: SIM115 - open as long as the lock is held
        if sys.platform != "win32":
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise VmsimError(
                    f"{directory} is being written by another vmsim run; wait for it or choose another --out"
                ) from None

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        self._file.close()
