"""What is in a trace: counts, footprint, working set over time, the busiest regions and the first bad record, in one
pass."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vmsim.errors import VmsimError
from vmsim.units import MIB
from vmsim.workload.strace.line import BEGUN, CALL, parse_line
from vmsim.workload.trace.census import PageCensus
from vmsim.workload.trace.format import FETCH, MODIFY, READ, WRITE, Chunk, Faults, TraceError
from vmsim.workload.trace.formats.strace import MEMORY_CALLS
from vmsim.workload.trace.lines import LONGEST_LINE
from vmsim.workload.trace.opening import Trace, open_trace
from vmsim.workload.trace.stream import ByteStream, StreamError
from vmsim.workload.trace.touched import page_shift, touched_pages

Progress = Callable[[int, int | None], None]
"""Told now and then how many bytes of the file have been read, and of how many (None for a pipe)."""

REGION_GAP_BYTES = MIB
"""Pages nearer than this to each other are shown as one region. Model: mappings of one program part lie closer,
others farther."""
_TOP = 12


@dataclass(frozen=True)
class WorkingSet:
    """The mean working set of the windows among some accesses: from access number `first` (from 1), in pages."""

    first: int
    accesses: int
    pages: float


@dataclass(frozen=True)
class Region:
    """Touched pages near each other: byte addresses from `start` to before `end` (for objects: the object's number
    in both)."""

    start: int
    end: int
    pages: int
    touches: int
    kinds: str


@dataclass
class TraceSummary:
    """What `inspect` found in a trace file.

    `records` counts lines or records that hold accesses (calls for strace), `accesses` all accesses, which are reads,
    writes, fetches and modifies. `footprint_pages` is exact unless `sampling` is more than 1: then every `sampling`-th
    page was counted. `working_set` holds 64 to 128 points: the mean number of pages touched in windows of `window`
    accesses; `working_set_by_window` is the mean over the whole trace for windows of 1, 2, 4 ... times that.
    `first_bad` is the first bad line or record, `bad` their number; they were passed over unless `stopped`.
    """

    path: str
    format: str
    described: str
    sureness: str
    why: str
    compression: str
    unit: str
    addressing: str
    page_size: int
    file_bytes: int | None = None
    records: int = 0
    accesses: int = 0
    reads: int = 0
    writes: int = 0
    fetches: int = 0
    modifies: int = 0
    lowest_address: int | None = None
    highest_address: int | None = None
    footprint_pages: int = 0
    sampling: int = 1
    window: int = 0
    working_set: list[WorkingSet] = field(default_factory=list)
    working_set_by_window: list[tuple[int, float]] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    regions_in_all: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    other_calls: int = 0
    processes: int = 0
    first_bad: TraceError | None = None
    bad: int = 0
    stopped: bool = False
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; addresses are numbers."""
        error, self.first_bad = self.first_bad, None
        try:
            table = asdict(self)
        finally:
            self.first_bad = error
        table["first_bad"] = error and {
            "unit": error.unit,
            "number": error.number,
            "message": error.message,
            "text": str(error),
        }
        table["footprint_bytes"] = self.footprint_pages * self.page_size
        return table


def inspect(
    path: str | os.PathLike[str],
    page_size: int = 4096,
    window: int | None = None,
    format: str | None = None,
    progress: Progress | None = None,
) -> TraceSummary:
    """Read a whole trace once, in constant memory, and sum it up.

    `window` is the length of a working set's window in accesses; None takes about a hundredth of the trace. Bad lines
    and records are passed over and counted, a thousand of them at most; a file that ends too early ends the reading.
    Raises TraceError only if the file can't be opened or its format isn't recognised.
    """
    shift = page_shift(page_size)
    if window is not None and window < 1:
        raise VmsimError(f"a window is at least one access, got {window}")
    started = time.monotonic()
    trace = open_trace(path, format, keep_going=True)
    summary = TraceSummary(
        path=trace.path,
        format=trace.guess.format,
        described=trace.format.described(),
        sureness=trace.guess.sureness,
        why=trace.guess.why,
        compression=trace.compression,
        unit=trace.format.unit,
        addressing=trace.addressing,
        page_size=page_size,
    )
    if trace.format.name == "strace":
        _count_calls(trace, summary, progress)
    else:
        _count_accesses(trace, summary, PageCensus(window), shift, progress)
    summary.file_bytes = trace.total_bytes if trace.total_bytes is not None else trace.read_bytes
    summary.first_bad, summary.bad, summary.stopped = trace.faults.first, trace.faults.count, trace.faults.stopped
    summary.seconds = time.monotonic() - started
    return summary


def _count_accesses(
    trace: Trace, summary: TraceSummary, census: PageCensus, shift: int, progress: Progress | None
) -> None:
    kinds = np.zeros(4, np.int64)
    lowest, highest = 2**64, -1
    for chunk in trace:
        summary.records += chunk.records
        kinds += np.bincount(chunk.op, minlength=4)
        lowest = min(lowest, int(chunk.addr.min()))
        highest = max(highest, _last_address(chunk) if trace.addressing == "bytes" else int(chunk.addr.max()))
        census.add(*touched_pages(chunk, trace.addressing, shift), chunk.op)
        if progress is not None:
            progress(trace.read_bytes, trace.total_bytes)
    summary.accesses = census.accesses
    summary.reads, summary.writes = int(kinds[READ]), int(kinds[WRITE])
    summary.fetches, summary.modifies = int(kinds[FETCH]), int(kinds[MODIFY])
    if census.accesses:
        summary.lowest_address, summary.highest_address = lowest, highest
        summary.window = census.window
        summary.working_set = [
            WorkingSet(start + 1, accesses, pages) for start, accesses, pages in census.working_sets()
        ]
        summary.working_set_by_window = census.mean_by_window()
    summary.footprint_pages, summary.sampling = census.footprint, census.sampling
    regions = _regions(census, summary.addressing, shift)
    summary.regions_in_all = len(regions)
    summary.regions = sorted(regions, key=lambda region: -region.touches)[:_TOP]


def _last_address(chunk: Chunk) -> int:
    end = chunk.addr + np.maximum(chunk.size, 1).astype(np.uint64) - np.uint64(1)
    return int(np.maximum(end, chunk.addr).max())


def _regions(census: PageCensus, addressing: str, shift: int) -> list[Region]:
    """The pages in groups without large gaps; objects each for itself, the busiest of them."""
    pages, touches, kinds = census.pages()
    if not len(pages):
        return []
    if addressing == "objects":
        busiest = np.argsort(-touches, kind="stable")[:_TOP]
        numbers = pages.view(np.uint64)
        return [Region(int(numbers[i]), int(numbers[i]), 1, int(touches[i]), _letters(int(kinds[i]))) for i in busiest]
    gap = max(REGION_GAP_BYTES >> shift, 1) * census.sampling
    starts = np.append(0, np.flatnonzero(np.diff(pages) > gap) + 1)
    ends = np.append(starts[1:], len(pages))
    counted = np.add.reduceat(touches, starts) * census.sampling
    letters = np.bitwise_or.reduceat(kinds, starts)
    return [
        Region(
            int(pages[a]) << shift,
            int(pages[b - 1]) + 1 << shift,
            int(b - a) * census.sampling,
            int(n),
            _letters(int(k)),
        )
        for a, b, n, k in zip(starts, ends, counted, letters, strict=True)
    ]


def _letters(kinds: int) -> str:
    """The operations as /proc/PID/maps would show the rights they need."""
    read, write, fetch, modify = (kinds >> kind & 1 for kind in (READ, WRITE, FETCH, MODIFY))
    return ("r" if read or modify else "-") + ("w" if write or modify else "-") + ("x" if fetch else "-")


def _count_calls(trace: Trace, summary: TraceSummary, progress: Progress | None) -> None:
    """Lines of an strace log, and how many calls concern memory."""
    calls: Counter[str] = Counter()
    processes: set[int] = set()
    with trace.open() as stream:
        for number, line in enumerate(_lines(stream, trace.path, trace.faults), 1):
            if trace.faults.stopped:
                break
            try:
                parsed = parse_line(line.decode("latin-1").removesuffix("\r"))
            except (ValueError, OverflowError) as error:
                trace.faults.note(TraceError(trace.path, str(error), "line", number))
                continue
            summary.records += bool(line)
            if parsed.kind in (CALL, BEGUN) and parsed.name in MEMORY_CALLS:
                calls[parsed.name] += 1
            elif parsed.kind in (CALL, BEGUN):
                summary.other_calls += 1
            processes.add(parsed.pid)
            if progress is not None and number % 4096 == 0:
                progress(trace.read_bytes, trace.total_bytes)
    summary.calls = dict(calls.most_common())
    summary.processes = max(len(processes), 1)


def _lines(stream: ByteStream, path: str, faults: Faults) -> Iterator[bytes]:
    """The lines of a stream; what breaks it is noted as the last line's fault."""
    tail, number = b"", 0
    while True:
        try:
            block = stream.read(MIB)
        except StreamError as error:
            faults.note(TraceError(path, str(error), "line", number + 1), final=True)
            return
        *lines, tail = (tail + block).split(b"\n")
        if len(tail) > LONGEST_LINE:
            faults.note(
                TraceError(path, f"a line longer than {LONGEST_LINE} bytes", "line", number + len(lines) + 1),
                final=True,
            )
        number += len(lines)
        yield from lines
        if not block or faults.stopped:
            if tail:
                yield tail
            return
