"""Reading an strace log: its lines in order, with the calls whose line was cut put together."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from vmsim.units import MIB
from vmsim.workload.strace.line import BEGUN, CLONES, EXIT, REMARK, RESUMED, Line, parse_line
from vmsim.workload.trace.format import TraceError
from vmsim.workload.trace.stream import ByteStream, StreamError

LONGEST_LINE = 1 << 20
_AHEAD = 1 << 16
"""Lines looked at for who the parent of a new process is."""

_ATTACHED = re.compile(r"(.*)strace: Process (\d{1,10}) attached", re.DOTALL)


class Entry(NamedTuple):
    """A line with its number; a RESUMED one has the arguments of both parts."""

    number: int
    line: Line


class Owners:
    """Whose the lines of a log without `-o` are: strace names a process only while there are several.

    The one that the log begins with is number 0 here, also where it is named later.
    """

    def __init__(self) -> None:
        self._bare = False
        self._first = 0
        self._children: set[int] = set()
        self._alive = {0}

    def attached(self, child: int) -> None:
        """A process that is not the first one."""
        self._children.add(child)

    def owner(self, line: Line, first_is_cloning: bool) -> int:
        """The process that a line is of."""
        pid = line.pid
        if pid == 0:
            self._bare = True
            if 0 not in self._alive and len(self._alive) == 1:
                pid = next(iter(self._alive))
        elif self._bare:
            if pid not in self._children and not self._first and not (first_is_cloning and line.kind != RESUMED):
                self._first = pid
            pid = 0 if pid == self._first else pid
        else:
            return pid
        (self._alive.discard if line.kind == EXIT else self._alive.add)(pid)
        return pid

    def returned(self, line: Line) -> None:
        """Note the child that a call returned."""
        if self._bare and line.result is not None and line.name in CLONES:
            self._children.add(line.result)


class Log:
    """A log's entries, one after the other. Raises TraceError, which names file and line, for what strace doesn't print."""

    def __init__(self, stream: ByteStream) -> None:
        self.path = stream.path
        self._lines = _numbered_lines(stream)
        self._ahead: deque[Entry] = deque()
        self._begun: dict[int, Line] = {}
        self._owners = Owners()

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
                attached = _ATTACHED.fullmatch(text)
                if attached:
                    self._owners.attached(int(attached[2]))
                continue
            first = self._begun.get(0)
            line = line._replace(pid=self._owners.owner(line, first is not None and first.name in CLONES))
            self._owners.returned(line)
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

    def parent_of(self, child: int) -> int | None:
        """The process whose call returns `child` further on in the log; None if none does soon."""
        for entry in self._ahead:
            if entry.line.result == child and entry.line.name in CLONES:
                return entry.line.pid
        while len(self._ahead) < _AHEAD and self._read():
            line = self._ahead[-1].line
            if line.result == child and line.name in CLONES:
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
    tail, number, held = b"", 0, ""
    while True:
        try:
            block = stream.read(MIB)
        except StreamError as error:
            raise TraceError(stream.path, str(error), "line", number + 1) from None
        *lines, tail = (tail + block).split(b"\n")
        for line in lines:
            number += 1
            if len(held) + len(line) > LONGEST_LINE:
                raise TraceError(stream.path, f"a line longer than {LONGEST_LINE} bytes", "line", number)
            text = held + line.decode("latin-1").removesuffix("\r")
            held = ""
            if text.endswith(" attached"):
                cut = _ATTACHED.fullmatch(text)
                if cut and cut[1]:  # it came in the middle of a line, which goes on with the next
                    held, text = cut[1], text[cut.end(1) :]
            yield number, text
        if len(tail) > LONGEST_LINE:
            raise TraceError(stream.path, f"a line longer than {LONGEST_LINE} bytes", "line", number + 1)
        if not block:
            if tail or held:
                yield number + 1, held + tail.decode("latin-1")
            return
