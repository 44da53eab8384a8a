"""Text traces: blocks of bytes, cut at the ends of lines, go through a compiled parser; the first bad line's number
is exact."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vmsim.struct.jit import JIT, compiled
from vmsim.units import MIB
from vmsim.workload.trace.format import Chunk, Faults, TraceError, TraceFormat, shown
from vmsim.workload.trace.stream import ByteStream, StreamError

POS, END, LINE, COUNT, BAD = range(5)
"""The parser's state: where in the block it is and where its last line ends; the number of the line at POS; how many
accesses were parsed so far; and whether the line at POS can't be parsed."""

Text = Any
"""A block of text in a compiled function: an array of bytes, or bytes where nothing is compiled."""
Column = NDArray[Any]

TAB, NEWLINE, RETURN, SPACE, HASH, COMMA = 9, 10, 13, 32, 35, 44
LONGEST_LINE = 1 << 16
_TENTH = (2**64 - 1) // 10

_digit = np.full(256, 99, np.int8)
for _value, _letters in enumerate(
    ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "aA", "bB", "cC", "dD", "eE", "fF")
):
    for _letter in _letters:
        _digit[ord(_letter)] = _value
DIGIT: Any = _digit if JIT else _digit.tolist()
"""The value of a hexadecimal digit by its byte; 99 for any other byte."""


@compiled
def hex_number(data: Text, i: int) -> tuple[int, int]:
    """The hexadecimal number at `i` and where it ends: at `i` if there is none, -1 if it needs more than 64 bits."""
    value = 0
    start = i
    while True:
        digit = DIGIT[data[i]]
        if digit > 15:
            break
        value = value << 4 | digit
        i += 1
    while i - start > 16:
        if data[start] != 48:
            return 0, -1
        start += 1
    return value, i


@compiled
def decimal_number(data: Text, i: int) -> tuple[int, int]:
    """The decimal number at `i` and where it ends: at `i` if there is none, -1 if it needs more than 64 bits."""
    value = 0
    start = i
    while True:
        digit = DIGIT[data[i]]
        if digit > 9:
            break
        # 2^64 - 1 is 18446744073709551615; a negative value is a compiled number of 19 digits above 2^63.
        if i - start == 19 and (value < 0 or value > _TENTH or (value == _TENTH and digit > 5)) or i - start > 19:
            return 0, -1
        value = value * 10 + digit
        i += 1
    return value, i


@compiled
def after_spaces(data: Text, i: int) -> int:
    """The first position from `i` on that is neither a space nor a tab."""
    while data[i] == SPACE or data[i] == TAB:
        i += 1
    return i


@compiled
def at_line_end(data: Text, i: int) -> bool:
    """Whether the line ends at `i`, with a carriage return or without."""
    return bool(data[i] == NEWLINE or (data[i] == RETURN and data[i + 1] == NEWLINE))


@compiled
def next_line(data: Text, i: int) -> int:
    """The position after the next newline."""
    while data[i] != NEWLINE:
        i += 1
    return i + 1


class LineFormat(TraceFormat):
    """A text format. `parse(data, state, addr, size, op, params)` is compiled and parses whole lines (each ends in a
    newline) until the end or a bad one; `shortest` is the length of the shortest line that holds an access, its
    newline included."""

    shortest: ClassVar[int]
    parse: ClassVar[Any]
    params: NDArray[np.int64] = np.zeros(1, np.int64)

    @abstractmethod
    def expected(self, line: bytes) -> str:
        """What should have been there instead of this line."""

    def chunks(self, stream: ByteStream, faults: Faults) -> Iterator[Chunk]:
        """Read the accesses of whole lines, about a megabyte of text at a time."""
        state = np.array([0, 0, 1, 0, 0], np.int64)
        records, tail, ending = 0, b"", False
        while not ending and not faults.stopped:
            block, broken = _next_block(stream)
            ending = not block
            data = tail + block + (b"\n" if ending and tail and broken is None else b"")
            lines_end = data.rfind(b"\n") + 1
            error: TraceError | None = None
            addr, size, op = columns = _columns(lines_end // self.shortest + 1)
            state[[POS, END, COUNT]] = 0, lines_end, 0
            while state[POS] < state[END] and not faults.stopped:
                self._parse(data, state, columns)
                if not state[BAD]:
                    break
                error = self._bad_line(faults.file, data, state, cut=ending)
                if not faults.keep_going:
                    break
                faults.note(error)
                state[[POS, LINE]] = data.index(b"\n", state[POS]) + 1, state[LINE] + 1
                error = None
            if parsed := int(state[COUNT]):
                yield Chunk(records + 1, parsed, addr[:parsed], size[:parsed], op[:parsed])
                records += parsed
            if error is not None:
                faults.note(error)
            tail = data[lines_end:]
            if broken is not None:
                faults.note(TraceError(faults.file, str(broken), "line", int(state[LINE])), final=True)
            elif len(tail) > LONGEST_LINE:
                faults.note(
                    TraceError(faults.file, f"a line longer than {LONGEST_LINE} bytes", "line", int(state[LINE])),
                    final=True,
                )

    def _parse(self, data: bytes, state: NDArray[np.int64], columns: tuple[NDArray[Any], ...]) -> None:
        # Compiled code indexes an array faster than bytes; interpreted code bytes faster than an array.
        self.parse(np.frombuffer(data, np.uint8) if JIT else data, state, *columns, self.params)

    def _bad_line(self, file: str, data: bytes, state: NDArray[np.int64], cut: bool) -> TraceError:
        start = int(state[POS])
        line = data[start : data.index(b"\n", start)].rstrip(b"\r")
        ends = " (the file ends in this line)" if cut and start + len(line) + 1 >= len(data) else ""
        return TraceError(file, f"expected {self.expected(line)}, got {shown(line)}{ends}", "line", int(state[LINE]))


def _next_block(stream: ByteStream) -> tuple[bytes, StreamError | None]:
    try:
        return stream.read(MIB), None
    except StreamError as error:
        return b"", error


def _columns(length: int) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int8]]:
    return np.empty(length, np.uint64), np.empty(length, np.int32), np.empty(length, np.int8)
