"""Reading an strace log: its lines in order, with the calls whose line was cut put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from vmsim.units import MIB
from vmsim.workload.strace.line import BEGUN, EXIT, REMARK, RESUMED, Line, parse_line
from vmsim.workload.trace.format import TraceError
from vmsim.workload.trace.stream import ByteStream, StreamError

LONGEST_LINE = 1 << 20
_AHEAD = 1 << 16
"""Lines looked at for who the parent of a new process is."""


class Entry(NamedTuple):
    """A line with its number; a RESUMED one has the arguments of both parts."""

    number: int
    line: Line


class Log:
    """A log's entries, one after the other. Raises TraceError, which names file and line, for what strace doesn't print."""

    def __init__(self, stream: ByteStream) -> None:
        self.path = stream.path
        self._lines = _numbered_lines(stream)
        self._ahead: deque[Entry] = deque()
        self._begun: dict[int, Line] = {}

    def __iter__(self) -> Iterator[Entry]:
        while self._ahead or self._read():
            yield self._ahead.popleft()

    def _read(self) -> bool:
        """Read one more entry; whether there was one."""
        for number, text in self._lines:
            try:
                line = parse_line(text)
            except (ValueError, OverflowError) as error:
                raise TraceError(self.path, str(error), "line", number) from None
            if line.kind == REMARK:
                continue
            self._ahead.append(Entry(number, self._joined(line)))
            return True
        return False

    def _joined(self, line: Line) -> Line:
        if line.kind == BEGUN:
            self._begun[line.pid] = line
        elif line.kind == RESUMED:
            begun = self._begun.pop(line.pid, None)
            if begun is not None and begun.name == line.name:
                return line._replace(args=_both(begun.args, line.args))
            return line._replace(args="" if begun is None else line.args)
        elif line.kind == EXIT:
            self._begun.pop(line.pid, None)
            if line.result is not None and line.result in self._begun:  # the process goes on as the thread that called execve
                self._begun[line.pid] = self._begun.pop(line.result)
        return line

    def parent_of(self, child: int, names: frozenset[str]) -> int | None:
        """The process whose call, one of `names`, returns `child` further on in the log; None if none does soon."""
        for entry in self._ahead:
            if entry.line.result == child and entry.line.name in names:
                return entry.line.pid
        while len(self._ahead) < _AHEAD and self._read():
            line = self._ahead[-1].line
            if line.result == child and line.name in names:
                return line.pid
        return None


def _both(first: str, second: str) -> str:
    """The arguments of the two parts of a call; strace repeats none, and cuts between two of them."""
    if not first or not second:
        return first or second
    if first.endswith((", ", ",")):
        return first.rstrip(", ") + ", " + second
    return f"{first}, {second}"


def _numbered_lines(stream: ByteStream) -> Iterator[tuple[int, str]]:
    tail, number = b"", 0
    while True:
        try:
            block = stream.read(MIB)
        except StreamError as error:
            raise TraceError(stream.path, str(error), "line", number + 1) from None
        *lines, tail = (tail + block).split(b"\n")
        for line in lines:
            number += 1
            if len(line) > LONGEST_LINE:
                raise TraceError(stream.path, f"a line longer than {LONGEST_LINE} bytes", "line", number)
            yield number, line.decode("latin-1").removesuffix("\r")
        if len(tail) > LONGEST_LINE:
            raise TraceError(stream.path, f"a line longer than {LONGEST_LINE} bytes", "line", number + 1)
        if not block:
            if tail:
                yield number + 1, tail.decode("latin-1")
            return
