"""A log of calls as a program carries it out: what it needs, found in one reading, and its rows, block by block.

Both readings stream: memory is bounded by what the log's processes have mapped at a time, not by the log's length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError
from vmsim.struct.streams import ROW_COLUMNS
from vmsim.workload.strace.log import Log
from vmsim.workload.strace.replayer import Replayer, Tally
from vmsim.workload.strace.script import LogFile, Script
from vmsim.workload.trace.format import TraceError
from vmsim.workload.trace.opening import Trace
from vmsim.workload.trace.reading import told
from vmsim.workload.trace.source import TraceRequest, file_stamp

PAGE_SIZE = 4096  # of the machines that strace logs come from (x86-64)
_MOST_PAGES = 1 << 24
_LINES = 4096
_BLOCK = 3000 * ROW_COLUMNS

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LogFacts:
    """What a log comes to: its memory calls, the other calls by name, tasks made beside the first, files mapped, and by rules of the
    replay what was left out and assumed."""

    calls: int
    tasks: int
    processes: int
    files: tuple[LogFile, ...]
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    assumed: Counter[str] = field(default_factory=Counter)


def is_log(request: TraceRequest) -> bool:
    """Whether a trace is a log of strace. Raises TraceError if it can't be read or its format isn't recognised."""
    return _is_log(request.path, request.format, file_stamp(request.path))


@lru_cache(maxsize=64)
def _is_log(path: str, given: str | None, stamp: tuple[int, int]) -> bool:
    return Trace(path, given).format.name == "strace"


def scan_log(request: TraceRequest, task_pages: int) -> LogFacts:
    """Read a whole log for what it needs. Raises TraceError, with the line, for what strace doesn't print."""
    if request.page_size != PAGE_SIZE:
        raise VmsimError(f"{request.path}: a log of calls needs pages of {PAGE_SIZE} bytes, and this machine's have {request.page_size}")
    return _scan_log(request, task_pages, file_stamp(request.path))


@lru_cache(maxsize=32)
def _scan_log(request: TraceRequest, task_pages: int, stamp: tuple[int, int]) -> LogFacts:
    script = Script(task_pages)
    tally = Tally(request.path)
    for seen in _replayed(request, script):
        tally = seen
        script.rows.clear()
    if not tally.steps:
        raise TraceError(request.path, "the log has no memory calls")
    if sum(file.pages for file in script.files) > _MOST_PAGES:
        raise VmsimError(f"{request.path}: the files that it maps have more than {_MOST_PAGES} pages")
    return LogFacts(tally.steps, script.made, tally.sequences, tuple(script.files), tally.skipped, tally.rules, tally.assumed)


def _replayed(request: TraceRequest, script: Script) -> Iterator[Tally]:
    """Let a script follow a log, some lines at a time."""
    trace = Trace(request.path, request.format)
    if trace.total_bytes is None:
        raise TraceError(request.path, "this is not a file on disk: a program reads a log twice")
    with trace.open() as stream:
        replayer = Replayer(Log(stream), script)
        for count, _ in enumerate(replayer.lines(), 1):
            if request.limit is not None and replayer.tally.steps >= request.limit:
                break
            if len(script.rows) >= _BLOCK or count % _LINES == 0:
                told(request.path, stream.read_bytes, stream.total_bytes)
                yield replayer.tally
        script.finish()
        yield replayer.tally


class LogSource:
    """The rows of a log, from its start, for a simulated task; its files are numbered from `first_file` on."""

    def __init__(self, request: TraceRequest, task: str, task_pages: int, first_file: int) -> None:
        self.request = request
        self.task = task
        self._task_pages = task_pages
        self._first_file = first_file
        self.rewind()

    def facts(self) -> LogFacts:
        """What the log comes to."""
        return scan_log(self.request, self._task_pages)

    def rewind(self) -> None:
        """Begin again."""
        self._blocks = self._read()
        self._rest = np.zeros(0, np.int64)

    def _read(self) -> Iterator[Ints]:
        script = Script(self._task_pages, self._first_file)
        for _ in _replayed(self.request, script):
            if script.rows:
                yield np.array(script.rows, np.int64)
                script.rows.clear()

    def take(self, most: int) -> Ints:
        """The next rows, of at most `most` numbers; none at the end. Raises TraceError, also if the file has changed since."""
        while not len(self._rest):
            block = next(self._blocks, None)
            if block is None:
                return self._rest
            self._rest = block
        most -= most % ROW_COLUMNS
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken
