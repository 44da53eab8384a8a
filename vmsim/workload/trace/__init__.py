"""Programs from traces: readers of recorded memory accesses, what is in a trace, and its pages as a workload.

`open_trace` streams a file in chunks of columns, in constant memory; `inspect` sums a file up; `pages` gives the page
numbers that the simulator's replay touches, and `Footprint` packs the touched regions of a sparse address space into
one contiguous arena. A trace format is one file in ``formats/`` and one test.
"""

from vmsim.workload.trace.footprint import Footprint, pages
from vmsim.workload.trace.format import FETCH, MODIFY, READ, WRITE, Chunk, Guess, TraceError, known_formats
from vmsim.workload.trace.opening import Trace, guess_format, open_trace
from vmsim.workload.trace.summary import Region, TraceSummary, WorkingSet, inspect

__all__ = [
    "FETCH",
    "MODIFY",
    "READ",
    "WRITE",
    "Chunk",
    "Footprint",
    "Guess",
    "Region",
    "Trace",
    "TraceError",
    "TraceSummary",
    "WorkingSet",
    "guess_format",
    "inspect",
    "known_formats",
    "open_trace",
    "pages",
]
