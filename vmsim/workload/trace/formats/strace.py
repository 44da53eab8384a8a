"""strace logs: recognised, so that a person is led to the command that replays them; they hold calls, not accesses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vmsim.workload.trace.format import Chunk, Faults, Sample, TraceError, TraceFormat, register
from vmsim.workload.trace.stream import ByteStream

LINE = re.compile(
    rb"(?:\[pid\s+\d+\] |\d+ +)?(?:\d+(?::\d+:\d+)?(?:\.\d+)? )?(?:\[[0-9a-f]{8,16}\] )?"
    rb"(?:[a-z_][a-z0-9_]*\(.*|<\.\.\. [a-z0-9_]+ resumed>.*|\+\+\+ .* \+\+\+|--- .* ---|strace: .*)"
)
CALL = re.compile(rb"(?:^|\s)([a-z_][a-z0-9_]*)\(")
MEMORY_CALLS = frozenset(
    b"mmap mmap2 munmap mprotect mremap brk madvise mincore msync mlock mlock2 munlock mlockall munlockall "
    b"remap_file_pages pkey_mprotect process_madvise mseal".split()
)


@register
class Strace(TraceFormat):
    """A log of system calls, as ``strace -f`` writes it."""

    name = "strace"
    title = "strace log"

    @classmethod
    def recognise(cls, sample: Sample) -> tuple[float, str]:
        """By the share of lines that are calls, signals or exits."""
        lines = [line for line in sample.lines if line]
        calls = sum(1 for line in lines if LINE.fullmatch(line))
        if not calls:
            return 0.0, ""
        return calls / len(
            lines
        ), f"{calls} of the first {len(lines)} lines are calls, signals or exits as strace prints them"

    def chunks(self, stream: ByteStream, faults: Faults) -> Iterator[Chunk]:
        """There are none: raises TraceError."""
        raise TraceError(
            faults.file, "this is an strace log: it has system calls, not accesses ('vmsim strace FILE' replays it)"
        )
