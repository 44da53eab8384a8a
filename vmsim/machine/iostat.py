"""What a block device did: requests, bytes, latencies, and the integrals over time that Little's law speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmsim.struct.kernel import HIST_BUCKETS, HIST_SUB_BITS

_NUMBERS: Final = 6  # of a request in the log
_FULL: Final = 1024 * _NUMBERS  # numbers counted at a time: a request at a time would cost a major fault 2 us of the host's time

Served = tuple[int, int, int, int, int]  # of a request: direction, bios, pages, and when it came and when its service began, ns


class Completed:
    """The requests of one direction that are done."""

    def __init__(self) -> None:
        self.requests = 0
        self.bios = 0  # more than `requests` by the merges
        self.nbytes = 0
        self.errors = 0  # bios that failed
        self.latency_ns = 0  # arrival to completion, summed
        self.latency_max_ns = 0
        self.service_ns = 0  # handed to the device to completion, summed
        self._buckets: NDArray[np.int64] = np.zeros(HIST_BUCKETS, np.int64)

    def count(self, rows: NDArray[np.int64], page_bytes: int) -> None:
        """Count requests, one a row: bios, pages, and the times of arrival, of the start of service and of the end."""
        latency_ns = rows[:, 4] - rows[:, 2]
        self.requests += len(rows)
        self.bios += int(rows[:, 0].sum())
        self.nbytes += int(rows[:, 1].sum()) * page_bytes
        self.latency_ns += int(latency_ns.sum())
        self.service_ns += int((rows[:, 4] - rows[:, 3]).sum())
        self.latency_max_ns = max(self.latency_max_ns, int(latency_ns.max()))
        np.add.at(self._buckets, _buckets_of(latency_ns), 1)

    def latencies(self) -> Mapping[int, int]:
        """Requests by bucket of their latency (vmsim.struct.histogram), those that have any."""
        return {int(bucket): int(self._buckets[bucket]) for bucket in np.flatnonzero(self._buckets)}


class IoStat:
    """Counts of what is completed. Who has the device appends the time to `arrivals` when a request comes, and calls `completed`."""

    __slots__ = ("arrivals", "_page_bytes", "_completed", "_log", "_depth", "_arrivals_ns", "_busy_ns", "_counted_ns")

    def __init__(self, page_bytes: int) -> None:
        self.arrivals: list[int] = []  # ns, those that are not counted yet
        self._page_bytes = page_bytes
        self._completed = (Completed(), Completed())
        self._log: list[int] = []  # of each request that is not counted yet what it was, and when it was done
        self._depth = 0  # requests when those not counted yet began to come
        self._arrivals_ns = 0  # sum of the arrival times of all requests counted to have come but not to be completed
        self._busy_ns = 0  # until the last that is counted came or was completed,
        self._counted_ns = 0  # which was then

    @property
    def depth(self) -> int:
        """The number of requests in the device and its queue."""
        return self._depth + len(self.arrivals) - len(self._log) // _NUMBERS

    @property
    def reads(self) -> Completed:
        """The reads that are done."""
        self._count()
        return self._completed[0]

    @property
    def writes(self) -> Completed:
        """The writes that are done."""
        self._count()
        return self._completed[1]

    def completed(self, served: Served, now_ns: int) -> None:
        """A request is done."""
        log = self._log
        log += served
        log.append(now_ns)
        if len(log) == _FULL:
            self._count()

    def failed(self, write: int) -> None:
        """A bio of a request that is done has failed."""
        self._completed[write].errors += 1

    def depth_ns(self, now_ns: int) -> int:
        """The integral up to now of the number of requests in the device and its queue."""
        return self.reads.latency_ns + self.writes.latency_ns + self.depth * now_ns - self._arrivals_ns

    def busy_ns(self, now_ns: int) -> int:
        """The time up to now with at least one request."""
        self._count()
        return self._busy_ns + (now_ns - self._counted_ns if self._depth else 0)

    def _count(self) -> None:
        """Count what has come and what was completed since the last time."""
        arrivals = np.array(self.arrivals, np.int64)
        rows = np.fromiter(self._log, np.int64).reshape(-1, _NUMBERS)
        self.arrivals.clear()
        self._log.clear()
        self._arrivals_ns += int(arrivals.sum()) - int(rows[:, 3].sum())
        for write, completed in enumerate(self._completed):
            chosen = rows[rows[:, 0] == write, 1:]
            if len(chosen):
                completed.count(chosen, self._page_bytes)
        self._count_busy(arrivals, rows[:, 5])

    def _count_busy(self, arrivals: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Add the time with at least one request up to the last of these arrivals and ends."""
        when = np.concatenate(([self._counted_ns], arrivals, ends))
        change = np.repeat((self._depth, 1, -1), (1, len(arrivals), len(ends)))
        order = when.argsort(kind="stable")
        depth = change[order].cumsum()
        lasted = np.diff(when[order])
        self._busy_ns += int(lasted[depth[:-1] > 0].sum())
        self._depth, self._counted_ns = int(depth[-1]), int(when[order[-1]])


def _buckets_of(latency_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The buckets of latencies below 2**49 ns, as `vmsim.struct.histogram.hist_bucket` has them."""
    bits = np.frexp(latency_ns.astype(np.float64))[1].astype(np.int64)  # exact: fewer bits than a float has
    octave = np.maximum(bits - HIST_SUB_BITS - 1, 0)
    return np.minimum((octave << HIST_SUB_BITS) + (latency_ns >> octave), HIST_BUCKETS - 1)
