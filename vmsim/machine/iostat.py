"""What a block device did: requests, bytes, latencies, and the integrals over time that Little's law speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmsim.machine.elevator import Request
from vmsim.struct.kernel import HIST_BUCKETS, HIST_SUB_BITS

_FOLD: Final = 1024  # requests counted at a time: one at a time would cost a major fault 1 us of the host's time
_NUMBERS: Final = 6


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

    def count(self, rows: NDArray[np.int64]) -> None:
        """Count requests, one a row: bios, bytes, and the times of arrival, of the start of service and of the end."""
        latency_ns = rows[:, 4] - rows[:, 2]
        self.requests += len(rows)
        self.bios += int(rows[:, 0].sum())
        self.nbytes += int(rows[:, 1].sum())
        self.latency_ns += int(latency_ns.sum())
        self.service_ns += int((rows[:, 4] - rows[:, 3]).sum())
        self.latency_max_ns = max(self.latency_max_ns, int(latency_ns.max()))
        np.add.at(self._buckets, _buckets_of(latency_ns), 1)

    def latencies(self) -> Mapping[int, int]:
        """Requests by bucket of their latency (vmsim.struct.histogram), those that have any."""
        return {int(bucket): int(self._buckets[bucket]) for bucket in np.flatnonzero(self._buckets)}


class IoStat:
    """Counts of what is completed, and `depth`, the number of requests in the device and its queue."""

    __slots__ = ("depth", "_completed", "_log", "_arrivals_ns", "_busy_ns", "_busy_since")

    def __init__(self) -> None:
        self.depth = 0
        self._completed = (Completed(), Completed())
        self._log: list[int] = []  # of each request its direction, and what `Completed.count` takes
        self._arrivals_ns = 0  # sum of the arrival times of all requests but those counted in `_completed`
        self._busy_ns = 0  # until the device last fell idle
        self._busy_since = 0

    @property
    def reads(self) -> Completed:
        """The reads that are done."""
        self._fold()
        return self._completed[0]

    @property
    def writes(self) -> Completed:
        """The writes that are done."""
        self._fold()
        return self._completed[1]

    def arrived(self, now_ns: int) -> None:
        """A request has come."""
        if not self.depth:
            self._busy_since = now_ns
        self.depth += 1
        self._arrivals_ns += now_ns

    def completed(self, request: Request, nbytes: int, now_ns: int) -> None:
        """A request of so many bytes is done."""
        log = self._log
        log += (request.write, len(request.bios), nbytes, request.arrived_ns, request.started_ns, now_ns)
        if len(log) == _FOLD * _NUMBERS:
            self._fold()
        self.depth -= 1
        if not self.depth:
            self._busy_ns += now_ns - self._busy_since

    def failed(self, write: int) -> None:
        """A bio of a request that is done has failed."""
        self._completed[write].errors += 1

    def depth_ns(self, now_ns: int) -> int:
        """The integral up to now of the number of requests in the device and its queue."""
        return self.reads.latency_ns + self.writes.latency_ns + self.depth * now_ns - self._arrivals_ns

    def busy_ns(self, now_ns: int) -> int:
        """The time up to now with at least one request."""
        return self._busy_ns + (now_ns - self._busy_since if self.depth else 0)

    def _fold(self) -> None:
        if self._log:
            rows = np.fromiter(self._log, np.int64).reshape(-1, _NUMBERS)
            self._log.clear()
            self._arrivals_ns -= int(rows[:, 3].sum())
            for write, completed in enumerate(self._completed):
                chosen = rows[rows[:, 0] == write, 1:]
                if len(chosen):
                    completed.count(chosen)


def _buckets_of(latency_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The buckets of latencies below 2**49 ns, as `vmsim.struct.histogram.hist_bucket` has them."""
    bits = np.frexp(latency_ns.astype(np.float64))[1].astype(np.int64)  # exact: fewer bits than a float has
    octave = np.maximum(bits - HIST_SUB_BITS - 1, 0)
    return np.minimum((octave << HIST_SUB_BITS) + (latency_ns >> octave), HIST_BUCKETS - 1)
