"""strace logs: recognised, so that a person is led to the command that replays them; they hold calls, not accesses."""

from __future__ import annotations

from collections.abc import Iterator

from vmsim.workload.strace.line import REMARK, parse_line
from vmsim.workload.trace.format import Chunk, Faults, Sample, TraceError, TraceFormat, register
from vmsim.workload.trace.stream import ByteStream

MEMORY_CALLS = frozenset({
    "mmap", "mmap2", "munmap", "mprotect", "mremap", "brk", "madvise", "mincore", "msync", "mlock", "mlock2", "munlock", "mlockall",
    "munlockall", "remap_file_pages", "pkey_mprotect", "process_madvise", "mseal",
})  # fmt: skip


def _is_strace(line: bytes) -> bool:
    try:
        return parse_line(line.decode("latin-1")).kind != REMARK
    except (ValueError, OverflowError):
        return False


@register
class Strace(TraceFormat):
    """A log of system calls, as ``strace -f`` writes it."""

    name = "strace"
    title = "strace log"

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the share of lines that are calls, signals or exits."""
        lines = [line for line in sample.lines if line]
        calls = sum(1 for line in lines if _is_strace(line))
        if not calls:
            return 0.0, ""
        return calls / len(
            lines
        ), f"{calls} of the first {len(lines)} lines are calls, signals or exits as strace prints them"

    def chunks(self, stream: ByteStream, faults: Faults) -> Iterator[Chunk]:
        """There are none: raises TraceError."""
        raise TraceError(
            faults.file,
            "this is an strace log: it has system calls, not accesses "
            "('vmsim strace FILE' compares them, a program's step 'trace: FILE' carries them out)",
        )
