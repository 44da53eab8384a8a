"""libCacheSim's own binary format, versions 1 to 8: a header with statistics, then packed records.

Layout of traceReader/customizedReader/lcs.h in 1a1a11a/libCacheSim. The header is 8192 bytes (1024 in files written
before version 3): uint64 start magic, uint64 version, int64 version of the statistics, int64 number of requests, ...,
and the magic again in its last 8 bytes. Version 1 has oracleGeneral's records; 2 adds an operation (8 bits) and a
tenant (24); 3 widens the size and adds a time to live; 4 to 8 append 1, 2, 4, 8 or 16 features of 32 bits. An object
stands for one page.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmsim.workload.trace.format import READ, WRITE, Sample, register
from vmsim.workload.trace.formats.oracle_general import RECORD
from vmsim.workload.trace.records import Columns, RecordFormat, Rows, as_sizes

MAGIC = 0x123456789ABCDEF0
_HEADERS = (8192, 1024)
_FEATURES = {4: 1, 5: 2, 6: 4, 7: 8, 8: 16}
_NOP, _INVALID = 0, 255
_READS = (1, 2, 12)
_LAST_OPERATION = 14
"""req_op_e of libCacheSim's enum.h: 0 nop, 1 get, 2 gets, 3 set ... 11 decr, 12 read, 13 write, 14 update, 255
invalid (not given)."""


@register
class Lcs(RecordFormat):
    """Versions 1 to 8 by the header. Version 1 and requests without an operation are reads."""

    name = "lcs"
    title = "libCacheSim lcs"
    addressing = "objects"

    def __init__(self, sample: Sample, options: Mapping[str, str]) -> None:
        super().__init__(sample, options)
        self.header_bytes = _header_bytes(sample.data)
        self.version, _, requests = struct.unpack_from("<QQq", sample.data, 8)
        if not 1 <= self.version <= (8 if self.header_bytes == _HEADERS[0] else 2):
            raise ValueError(
                f"lcs versions 1 to 8 are known (1 and 2 with the short header), this is version {self.version}"
            )
        if requests < 0:
            raise ValueError(f"the header tells of {requests} requests")
        self.promised = requests or None
        self.layout = _layout(self.version)

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the magic numbers at both ends of the header."""
        try:
            size = _header_bytes(sample.data)
        except ValueError as error:
            return (0.9, str(error)) if sample.data[:8] == struct.pack("<Q", MAGIC) else (0.0, "")
        return 1.0, f"the magic number stands at both ends of a header of {size} bytes"

    def good(self, rows: Rows) -> NDArray[np.bool_]:
        """Next accesses from -1 on, no negative sizes, known operations."""
        good: NDArray[np.bool_] = rows["next_access_vtime"] >= -1
        if self.version > 1:
            operation = rows["op_and_tenant"] & 255
            good &= (operation <= _LAST_OPERATION) | (operation == _INVALID)
            good &= rows["obj_size"] >= 0
        return good

    def expected(self, row: Any) -> str:
        """What is wrong with the record."""
        if row["next_access_vtime"] < -1:
            return f"expected next_access_vtime to be -1 or the number of a request, got {row['next_access_vtime']}"
        if row["obj_size"] < 0:
            return f"expected a size, got {row['obj_size']}"
        return f"expected an operation from 0 to {_LAST_OPERATION}, or {_INVALID}, got {row['op_and_tenant'] & 255}"

    def decode(self, rows: Rows) -> Columns:
        """The objects with their operations; every operation that isn't a get or a read changes the object."""
        op = np.zeros(len(rows), np.int8)
        if self.version > 1:
            op[~np.isin(rows["op_and_tenant"] & 255, (_NOP, _INVALID, *_READS))] = WRITE
        else:
            op[:] = READ
        return rows["obj_id"].copy(), as_sizes(rows["obj_size"]), op

    def described(self) -> str:
        """The format and its version."""
        return f"{self.title} version {self.version} ({self.layout.itemsize}-byte records)"


def _header_bytes(data: bytes) -> int:
    magic = struct.pack("<Q", MAGIC)
    if not data.startswith(magic):
        raise ValueError(f"an lcs file begins with the number {MAGIC:#x}, this one with {data[:8].hex() or 'nothing'}")
    for size in _HEADERS:
        if data[size - 8 : size] == magic:
            return size
    if len(data) < _HEADERS[0]:
        raise ValueError(f"the file ends in the lcs header, after {len(data)} bytes")
    raise ValueError(
        "the lcs header isn't closed by its magic number (the first layout, with a format string, isn't read)"
    )


def _layout(version: int) -> np.dtype[Any]:
    if version == 1:
        return RECORD
    if version == 2:
        return np.dtype(
            [*_fields("time", "obj_id", "obj_size"), ("op_and_tenant", "<u4"), ("next_access_vtime", "<i8")]
        )
    fields = [
        ("time", "<u4"),
        ("obj_id", "<u8"),
        ("obj_size", "<i8"),
        ("op_and_tenant", "<u4"),
        ("ttl", "<u4"),
        ("next_access_vtime", "<i8"),
    ]
    if features := _FEATURES.get(version):
        return np.dtype([*fields, ("features", "<u4", features)])
    return np.dtype(fields)


def _fields(*names: str) -> list[tuple[str, Any]]:
    return [(name, RECORD[name]) for name in names]
