"""The recorder as a child process: programs go in, sequences of a recording come out; it ends with this process, whatever happens."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from typing import IO, Self

from vmsim.errors import VmsimError
from vmsim.experiment.live.build import recorder_path
from vmsim.experiment.live.program import Program, recorder_text

_SECONDS = 90.0  # the recorder itself gives up after 60


class RecorderError(VmsimError):
    """A program could not be recorded."""


class Recorder:
    """A context manager. The child is started when it is needed and killed at the end."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._path = recorder_path()
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill the recorder; the process that it drives ends with it."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()
        if self._said is not None:
            self._said.close()
            self._said = None

    def record(self, program: Program) -> list[bytes]:
        """The lines that recording a program gives: header, start, operations, end. Raises RecorderError."""
        child = self._child or self._start()
        assert child.stdin is not None
        try:
            child.stdin.write(recorder_text(program).encode())
            child.stdin.flush()
            return self._read(child).splitlines(keepends=True)
        except BrokenPipeError:
            raise self._failure("the recorder ended") from None
        except BaseException:
            self.close()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the child runs
        try:
            self._child = subprocess.Popen(
                [str(self._path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            raise RecorderError(f"{self._path}: {error.strerror or error}") from None
        return self._child

    def _read(self, child: subprocess.Popen[bytes]) -> bytes:
        """What the child writes, up to the line that ends a sequence."""
        assert child.stdout is not None
        end = time.monotonic() + self._seconds
        text = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while True:
                if not ready.select(max(0.0, end - time.monotonic())):
                    raise self._failure(f"the recorder did not answer for {self._seconds:.0f} s")
                part = os.read(child.stdout.fileno(), 1 << 20)
                if not part:
                    raise self._failure("the recorder ended")
                text += part
                if text.endswith(b"}\n") and text.rfind(b'{"end":', -32) >= 0:
                    return bytes(text)

    def _failure(self, what: str) -> RecorderError:
        """An error with what the recorder said; the child is killed."""
        child, said = self._child, self._said
        if child is not None:
            child.kill()
            child.wait()
        reason = ""
        if said is not None:
            said.seek(0)
            reason = said.read(4096).decode(errors="replace").strip()
        self.close()
        return RecorderError(f"{what}: {reason}" if reason else what)
