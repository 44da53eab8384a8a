"""Binary traces: fixed-size records, checked and decoded a megabyte at a time as NumPy columns; a bad record's
number is exact."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vmsim.units import MIB
from vmsim.workload.trace.format import Chunk, Faults, TraceError, TraceFormat
from vmsim.workload.trace.stream import ByteStream, StreamError

Rows = NDArray[Any]
Columns = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int8]]
LARGEST_INT32 = 2**31 - 1


class RecordFormat(TraceFormat):
    """A format of records of one type (`layout`, packed or with its padding named), after `header_bytes` of
    something else."""

    unit = "record"
    layout: np.dtype[Any]
    header_bytes: int = 0
    promised: int | None = None
    """How many records the header tells of, if it does."""
    largest_block: ClassVar[int] = MIB

    @abstractmethod
    def good(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of these records can be."""

    @abstractmethod
    def expected(self, row: Any) -> str:
        """What is wrong with a record that can't be."""

    @abstractmethod
    def decode(self, rows: Rows) -> Columns:
        """The accesses of good records: addr, size, op."""

    def chunks(self, stream: ByteStream, faults: Faults) -> Iterator[Chunk]:
        """Read the accesses of whole records."""
        number, tail, left_of_header = 0, b"", self.header_bytes
        while not faults.stopped:
            try:
                block = stream.read(self.largest_block)
            except StreamError as error:
                faults.note(TraceError(faults.file, str(error), self.unit, number + 1), final=True)
                return
            if not block:
                break
            skipped = min(left_of_header, len(block))
            left_of_header -= skipped
            data = tail + block[skipped:]
            rows = np.frombuffer(data, self.layout, len(data) // self.layout.itemsize)
            tail = data[rows.nbytes :]
            yield from self._checked(rows, number, faults)
            number += len(rows)
        self._check_end(number, len(tail), faults)

    def _checked(self, rows: Rows, number: int, faults: Faults) -> Iterator[Chunk]:
        """The accesses of the good ones of these records, `number` of which came before."""
        good = self.good(rows)
        bad = np.flatnonzero(~good)
        if not len(bad):
            yield from self._chunk(rows, number)
            return
        told = bad[: faults.limit - faults.count if faults.keep_going else 1]
        until = int(told[-1]) if len(told) < len(bad) or not faults.keep_going else len(rows)
        yield from self._chunk(rows[:until][good[:until]], number)
        for index in told:
            faults.note(TraceError(faults.file, self.expected(rows[index]), self.unit, number + int(index) + 1))

    def _chunk(self, rows: Rows, number: int) -> Iterator[Chunk]:
        if len(rows):
            addr, size, op = self.decode(rows)
            yield Chunk(number + 1, len(rows), addr, size, op)

    def _check_end(self, number: int, left: int, faults: Faults) -> None:
        if faults.stopped:
            return
        if left:
            message = f"the file ends in this record, after {left} of its {self.layout.itemsize} bytes"
            faults.note(TraceError(faults.file, message, self.unit, number + 1), final=True)
        elif self.promised is not None and number < self.promised:
            message = f"the file ends before this record; its header tells of {self.promised}"
            faults.note(TraceError(faults.file, message, self.unit, number + 1), final=True)


def as_sizes(sizes: NDArray[Any]) -> NDArray[np.int32]:
    """Sizes in bytes as a chunk holds them, cut off at 2^31-1."""
    cut: NDArray[np.int32] = np.minimum(sizes, LARGEST_INT32).astype(np.int32)
    return cut
