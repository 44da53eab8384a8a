"""ChampSim's instruction traces: 64-byte `input_instr` records, and the 96-byte `cloudsuite_instr` records of its SPARC
traces.

Layout of inc/trace_instruction.h in ChampSim/ChampSim, with the padding that a 64-bit C compiler puts in. An address of
0 in a memory operand means that there is none. The traces have no access sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmsim.workload.trace.format import FETCH, READ, WRITE, Sample, register
from vmsim.workload.trace.records import Columns, RecordFormat, Rows

_U8, _U64 = "u1", "<u8"
_INPUT_INSTR = np.dtype(
    [
        ("ip", _U64),
        ("is_branch", _U8),
        ("branch_taken", _U8),
        ("destination_registers", _U8, 2),
        ("source_registers", _U8, 4),
        ("destination_memory", _U64, 2),
        ("source_memory", _U64, 4),
    ]
)
_CLOUDSUITE_INSTR = np.dtype(
    [
        ("ip", _U64),
        ("is_branch", _U8),
        ("branch_taken", _U8),
        ("destination_registers", _U8, 4),
        ("source_registers", _U8, 4),
        ("padding", _U8, 6),
        ("destination_memory", _U64, 4),
        ("source_memory", _U64, 4),
        ("asid", _U8, 2),
        ("tail_padding", _U8, 6),
    ]
)


class _Instructions(RecordFormat):
    """Instruction records: each is one fetch, then its reads, then its writes."""

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the share of records whose branch bytes are 0 or 1, and that have an instruction pointer."""
        rows = np.frombuffer(sample.data, cls.layout, len(sample.data) // cls.layout.itemsize)
        if (
            not len(rows)
            or sample.is_text
            or (sample.whole and len(sample.data) % cls.layout.itemsize and len(rows) < 4)
        ):
            return 0.0, ""
        plausible = _good(rows) & (rows["ip"] != 0) & (rows["ip"] < 1 << 57)
        for name in ("padding", "tail_padding"):
            if name in (cls.layout.names or ()):
                plausible &= ~rows[name].any(axis=1)
        share = float(plausible.mean())
        # Zeros fit any layout: neighbouring instructions that follow each other closely are what tells.
        close = float((np.abs(np.diff(rows["ip"].view(np.int64))) < 4096).mean()) if len(rows) > 1 else 0.0
        score = share**2 * (0.6 + 0.38 * min(1.0, 2 * close))
        return score, f"{share:.0%} of the first {len(rows)} records of {cls.layout.itemsize} bytes are instructions"

    def good(self, rows: Rows) -> NDArray[np.bool_]:
        """A record whose branch bytes aren't 0 or 1, or that takes a branch without being one, can't be."""
        return _good(rows)

    def expected(self, row: Any) -> str:
        """Which byte is wrong."""
        return (
            "expected is_branch and branch_taken to be 0 or 1, and 1 0, 0 0 or 1 1, "
            f"got is_branch {row['is_branch']} and branch_taken {row['branch_taken']}"
        )

    def decode(self, rows: Rows) -> Columns:
        """Fetch, reads and writes of each instruction, in this order."""
        operands = np.concatenate([rows["ip"][:, None], rows["source_memory"], rows["destination_memory"]], axis=1)
        kinds = [FETCH] + [READ] * rows["source_memory"].shape[1] + [WRITE] * rows["destination_memory"].shape[1]
        present = operands != 0
        present[:, 0] = True
        addr = operands[present]
        op = np.broadcast_to(np.array(kinds, np.int8), operands.shape)[present]
        return addr, np.zeros(len(addr), np.int32), op


@register
class ChampSim(_Instructions):
    """64-byte records of x86-64 instructions."""

    name = "champsim"
    title = "ChampSim instructions (64-byte records)"
    layout = _INPUT_INSTR


@register
class Cloudsuite(_Instructions):
    """96-byte records of SPARC instructions."""

    name = "cloudsuite"
    title = "ChampSim cloudsuite instructions (96-byte records)"
    layout = _CLOUDSUITE_INSTR


def _good(rows: Rows) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = (rows["is_branch"] <= 1) & (rows["branch_taken"] <= rows["is_branch"])
    return good
