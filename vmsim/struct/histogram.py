"""The buckets of a latency histogram:

linear within an octave, 128 to the octave, so that a value is known within 0.8 %.
"""

from __future__ import annotations

from vmsim.struct.bits import bit_length
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import HIST_BUCKETS, HIST_SUB_BITS


@compiled
def hist_bucket(ns):
    """Bucket of a latency of `ns` >= 0 nanoseconds; everything from 2**49 ns (six days) up falls into the last one."""
    octave = max(bit_length(ns) - HIST_SUB_BITS - 1, 0)
    return min((octave << HIST_SUB_BITS) + (ns >> octave), HIST_BUCKETS - 1)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """Lowest latency in a bucket and the lowest above it, ns. Raises ValueError outside the histogram."""
    if not 0 <= bucket < HIST_BUCKETS:
        raise ValueError(f"bucket {bucket} is outside 0..{HIST_BUCKETS - 1}")
    octave = max((bucket >> HIST_SUB_BITS) - 1, 0)
    low = (bucket - (octave << HIST_SUB_BITS)) << octave
    return low, low + (1 << octave)
