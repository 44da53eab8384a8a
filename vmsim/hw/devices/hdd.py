"""A rotating disk: seek to the track, wait for the sector, transfer."""

from __future__ import annotations

from math import isqrt

import numpy as np

from vmsim.hw.device import Latency, Parameters, device_model
from vmsim.units import NS_PER_S


@device_model("hdd")
class Hdd:
    """One request at a time; parameters: size, rpm, seek_min, seek_avg, seek_max, cylinders, transfer_rate.

    The seek time grows with the square root of the distance while the arm accelerates and then with the distance
    (Ruemmler and Wilkes, An introduction to disk drive modeling, IEEE Computer 27(3), 1994): `seek_min` to the next
    cylinder, `seek_max` across all of them, and `seek_avg` on average over random pairs, which fixes the value where
    the two parts meet, at a third of the way.  Model: cylinders hold alike much, the transfer rate is the same
    everywhere, and the angle at arrival is random.  A request that begins where the last one ended neither seeks nor
    waits for the platter: the drive has read on into its buffer.  The drive does not reorder; the elevator in front of
    it does, so `queue_depth` is not used.
    """

    __slots__ = (
        "depth", "rotational", "_cylinders", "_cylinder_bytes", "_seek", "_turn", "_rate", "_next", "_cylinder",
        "_free",
    )  # fmt: skip

    def __init__(self, parameters: Parameters, rng: np.random.Generator) -> None:
        self.depth = 1
        self.rotational = True
        self._cylinders: int = parameters["cylinders"]
        self._cylinder_bytes = max(1, -(-parameters["size"] // self._cylinders))
        low, mean, high = parameters["seek_min"], parameters["seek_avg"], parameters["seek_max"]
        # The curve's mean over the density 2 (1 - x) of the distance x of two random places, solved for its knee.
        knee = min(max((135 * mean - 27 * low - 20 * high) // 88, low), high)
        self._seek: tuple[int, int, int] = (low, knee, high)
        turn_ns = 60 * NS_PER_S // parameters["rpm"]
        self._turn = Latency(lambda: rng.uniform(0, turn_ns, 1024))
        self._rate: int = parameters["transfer_rate"]
        self._next = -1  # where the last request ended, bytes
        self._cylinder = 0
        self._free = 0

    def seek_ns(self, distance: int) -> int:
        """Time to move the arm over `distance` cylinders; 0 within one."""
        if distance == 0:
            return 0
        low, knee, high = self._seek
        span = max(self._cylinders - 1, 1)
        if 3 * distance <= span:
            return low + (knee - low) * isqrt(3 * distance * span) // span
        return knee + (high - knee) * (3 * distance - span) // (2 * span)

    def finish_ns(self, now_ns: int, write: int, first: int, nbytes: int) -> int:
        """The time at which a request handed over at `now_ns` is done."""
        begin = now_ns if now_ns > self._free else self._free
        cylinder = first // self._cylinder_bytes
        if first != self._next:
            begin += self.seek_ns(abs(cylinder - self._cylinder)) + self._turn.next_ns()
        self._next = first + nbytes
        self._cylinder = (self._next - 1) // self._cylinder_bytes
        self._free = begin + nbytes * NS_PER_S // self._rate
        return self._free
