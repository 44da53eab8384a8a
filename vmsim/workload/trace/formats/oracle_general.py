"""libCacheSim's oracleGeneral: packed 24-byte records of time, object, size, and when the object comes next.

Layout of oracleGeneralBin.h in 1a1a11a/libCacheSim: uint32 time, uint64 obj_id, uint32 size, int64 next_access_vtime,
little-endian. The format has no operations: all accesses are reads. An object stands for one page.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmsim.workload.trace.format import Sample, register
from vmsim.workload.trace.records import Columns, RecordFormat, Rows, as_sizes

RECORD = np.dtype([("time", "<u4"), ("obj_id", "<u8"), ("obj_size", "<u4"), ("next_access_vtime", "<i8")])
NEVER = 2**63 - 1
"""next_access_vtime of an object that doesn't come again; -1 in older files."""


@register
class OracleGeneral(RecordFormat):
    """24-byte records. What can't be: a next access that is neither a count of requests nor -1."""

    name = "oracleGeneral"
    title = "libCacheSim oracleGeneral (24-byte records)"
    addressing = "objects"
    layout = RECORD

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By times that don't run backwards and by next accesses that lead to the same object."""
        rows = np.frombuffer(sample.data, RECORD, len(sample.data) // RECORD.itemsize)
        if not len(rows) or sample.is_text:
            return 0.0, ""
        return recognise_requests(rows)

    def good(self, rows: Rows) -> NDArray[np.bool_]:
        """Next accesses from -1 on."""
        good: NDArray[np.bool_] = rows["next_access_vtime"] >= -1
        return good

    def expected(self, row: Any) -> str:
        """What the next access may be."""
        return f"expected next_access_vtime to be -1 or the number of a request, got {row['next_access_vtime']}"

    def decode(self, rows: Rows) -> Columns:
        """The objects as reads."""
        return rows["obj_id"].copy(), as_sizes(rows["obj_size"]), np.zeros(len(rows), np.int8)


def recognise_requests(rows: Rows) -> tuple[float, str]:
    """How much these look like requests: the score and the reason."""
    index = np.arange(len(rows))
    next_access = rows["next_access_vtime"]
    last = (next_access == -1) | (next_access == NEVER)
    plausible = float((last | (next_access > index)).mean())
    ordered = float((np.diff(rows["time"].astype(np.int64)) >= 0).mean()) if len(rows) > 1 else 1.0
    inside = ~last & (next_access > index) & (next_access < len(rows))
    # Some writers count requests from 0, some from 1.
    same = max(_same_object(rows, inside, next_access - base) for base in (0, 1))
    if inside.any() and same > 0.5:
        known = int(inside.sum())
        return (
            0.6 + 0.39 * same * ordered,
            f"{same:.0%} of {known} next accesses among the first {len(rows)} records lead to the same object",
        )
    return (
        0.7 * plausible**2 * ordered**2,
        f"{plausible:.0%} of the first {len(rows)} records have a possible next access, times in order",
    )


def _same_object(rows: Rows, inside: NDArray[np.bool_], target: NDArray[np.int64]) -> float:
    if not inside.any():
        return 0.0
    return float((rows["obj_id"][inside] == rows["obj_id"][np.clip(target[inside], 0, len(rows) - 1)]).mean())
