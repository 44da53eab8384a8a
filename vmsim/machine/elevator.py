"""The order in which waiting requests go to a device: first come, first served, or sorted by place with deadlines."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final, Protocol

from vmsim.units import NS_PER_MS, NS_PER_S

Bio = tuple[int, int, int, int]  # number, write, first page, pages


class Request:
    """One waiting request: pages [first, end) of a device, in the direction `write`; `bios` are those in it.

    It came at `arrived_ns`; `seq` is the elevator's.
    """

    __slots__ = ("write", "first", "end", "bios", "arrived_ns", "seq")

    seq: int

    def __init__(self, bio: Bio, now_ns: int) -> None:
        _, self.write, self.first, pages = bio
        self.end = self.first + pages
        self.bios = [bio]
        self.arrived_ns = now_ns


class Elevator(Protocol):
    """Requests that wait for the device."""

    def add(self, request: Request) -> None:
        """A new request waits."""

    def moved(self, request: Request, old_first: int) -> None:
        """A waiting request was extended to the front."""

    def take(self, now_ns: int) -> Request | None:
        """The next request for the device, or None; it waits no longer."""


class Fifo:
    """First come, first served (the noop elevator; the order of merged requests is that of their first parts)."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()

    def add(self, request: Request) -> None:
        """A new request waits."""
        self._waiting.append(request)

    def moved(self, request: Request, old_first: int) -> None:
        """Its place in the order stays."""

    def take(self, now_ns: int) -> Request | None:
        """The oldest request."""
        return self._waiting.popleft() if self._waiting else None


class Deadline:
    """Batches of one direction in ascending order of place; an expired request begins the next batch.

    Follows block/deadline-iosched.c of v4.4 and its defaults.  Reads go first, but not more than two batches of them
    while writes wait; a batch has 16 requests at most.
    """

    __slots__ = ("_sorted", "_fifo", "_direction", "_position", "_batched", "_starved", "_seq")

    EXPIRE_NS: Final = (500 * NS_PER_MS, 5 * NS_PER_S)
    FIFO_BATCH: Final = 16
    WRITES_STARVED: Final = 2

    def __init__(self) -> None:
        self._sorted: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])  # (first page, seq) by direction
        self._fifo: tuple[dict[int, Request], dict[int, Request]] = ({}, {})  # by seq, oldest first
        self._direction = 0
        self._position = -1  # end of the last request, if of this direction; else -1
        self._batched = 0
        self._starved = 0
        self._seq = 0

    def add(self, request: Request) -> None:
        """A new request waits."""
        self._seq += 1
        request.seq = self._seq
        insort(self._sorted[request.write], (request.first, request.seq))
        self._fifo[request.write][request.seq] = request

    def moved(self, request: Request, old_first: int) -> None:
        """Its place changes, its deadline doesn't."""
        self._unsort(request.write, (old_first, request.seq))
        insort(self._sorted[request.write], (request.first, request.seq))

    def take(self, now_ns: int) -> Request | None:
        """The next request of the batch, or the first of a new one."""
        reads, writes = self._fifo
        if not reads and not writes:
            return None
        key = self._next_in_batch()
        if key is None:
            direction = self._choose_direction()
            if direction != self._direction:
                self._direction = direction
                self._position = -1
            self._batched = 0
            key = self._batch_start(now_ns)
        request = self._fifo[self._direction].pop(key[1])
        self._unsort(self._direction, key)
        self._batched += 1
        self._position = request.end
        return request

    def _next_in_batch(self) -> tuple[int, int] | None:
        waiting = self._sorted[self._direction]
        if self._position < 0 or self._batched >= self.FIFO_BATCH:
            return None
        index = bisect_left(waiting, (self._position, 0))
        return waiting[index] if index < len(waiting) else None

    def _choose_direction(self) -> int:
        reads, writes = self._fifo
        if reads and (not writes or self._starved < self.WRITES_STARVED):
            self._starved += 1 if writes else 0
            return 0
        self._starved = 0
        return 1

    def _batch_start(self, now_ns: int) -> tuple[int, int]:
        """Where a batch begins: at the oldest request if it has expired, else past the end of the last batch."""
        oldest = next(iter(self._fifo[self._direction].values()))
        waiting = self._sorted[self._direction]
        index = bisect_left(waiting, (self._position, 0)) if self._position >= 0 else len(waiting)
        if now_ns - oldest.arrived_ns >= self.EXPIRE_NS[self._direction] or index == len(waiting):
            return oldest.first, oldest.seq
        return waiting[index]

    def _unsort(self, direction: int, key: tuple[int, int]) -> None:
        waiting = self._sorted[direction]
        del waiting[bisect_left(waiting, key)]
