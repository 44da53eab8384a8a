"""A block device: the queue before a service-time model, merging, and what it did.   Follows block/blk-core.c (H.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from vmsim.hw.device import DeviceModel
from vmsim.machine.clock import FAR, Clock
from vmsim.machine.elevator import Bio, Deadline, Elevator, Fifo, Request
from vmsim.machine.iostat import IoStat, Served
from vmsim.units import KIB

MAX_REQUEST_BYTES: Final = 1280 * KIB  # BLK_DEF_MAX_SECTORS

Fault = Callable[[int, int, int, int], bool]  # (now_ns, write, first page, pages): whether the transfer fails
Done = Callable[["BlockDevice", Sequence[Bio], Served, int], None]  # (device, the bios of a request, what it was, now_ns)


class BlockDevice:
    """One device: requests wait in the elevator until the model, which holds `model.depth` of them, has room.

    A new bio that continues a waiting request of its direction, at either end, is merged into it up to 1280 KiB; a
    request that the device already holds is merged no more. Model: two requests that have come to touch stay two.
    `fault` decides, bio by bio, whether a transfer fails.
    """

    __slots__ = (
        "name", "model", "page_bytes", "fault", "stat", "in_service", "_depth", "_clock", "_done", "_elevator",
        "_by_end", "_by_first", "_finish_ns", "_when_done",
    )  # fmt: skip

    def __init__(self, name: str, model: DeviceModel, page_bytes: int, fault: Fault | None = None) -> None:
        self.name = name
        self.model = model
        self.page_bytes = page_bytes
        self.fault = fault
        self.stat = IoStat(page_bytes)
        self.in_service = 0  # requests that the device holds
        self._depth = model.depth
        self._finish_ns = model.finish_ns
        self._when_done = self._finished
        self._elevator: Elevator = Deadline() if model.rotational else Fifo()
        self._by_end: dict[int, Request] = {}  # waiting requests by end << 1 | write, for back merges
        self._by_first: dict[int, Request] = {}  # and by first << 1 | write, for front merges

    def attach(self, clock: Clock, done: Done) -> None:
        """Connect the device to time, and to what is called with each completed request."""
        self._clock = clock
        self._done = done

    def submit(self, bio: Bio) -> None:
        """Take one bio."""
        if self.in_service < self._depth:  # so nothing waits that it could be merged with
            now = self._clock._now
            self.stat.arrivals.append(now)
            _, write, first, pages = bio
            self._start((bio,), write, first, pages, now, now)
        else:
            self.submit_plug([bio])

    def submit_plug(self, bios: list[Bio]) -> None:
        """Take what a task submits at once: merge it, then start what the device has room for."""
        now = self._clock.now
        for bio in bios:
            if not self._merge(bio):
                request = Request(bio, now)
                self.stat.arrivals.append(now)
                self._by_end[request.end << 1 | request.write] = request
                self._by_first[request.first << 1 | request.write] = request
                self._elevator.add(request)
        self._dispatch(now)

    def failed(self, write: int, first: int, pages: int) -> bool:
        """Whether the transfer of these pages, which completes now, fails."""
        if self.fault is None or not self.fault(self._clock.now, write, first, pages):
            return False
        self.stat.failed(write)
        return True

    def _merge(self, bio: Bio) -> bool:
        _, write, first, pages = bio
        most = MAX_REQUEST_BYTES // self.page_bytes - pages
        request = self._by_end.get(first << 1 | write)
        if request is not None and request.end - request.first <= most:
            self._forget_end(request)
            request.end += pages
            self._by_end[request.end << 1 | write] = request
        else:
            request = self._by_first.get(first + pages << 1 | write)
            if request is None or request.end - request.first > most:
                return False
            self._forget_first(request)
            request.first = first
            self._by_first[first << 1 | write] = request
            self._elevator.moved(request, first + pages)
        request.bios.append(bio)
        return True

    def _forget_end(self, request: Request) -> None:
        key = request.end << 1 | request.write
        if self._by_end.get(key) is request:  # a second request with the same end may have taken its place
            del self._by_end[key]

    def _forget_first(self, request: Request) -> None:
        key = request.first << 1 | request.write
        if self._by_first.get(key) is request:
            del self._by_first[key]

    def _dispatch(self, now: int) -> None:
        while self.in_service < self._depth:
            request = self._elevator.take(now)
            if request is None:
                return
            self._forget_end(request)
            self._forget_first(request)
            self._start(request.bios, request.write, request.first, request.end - request.first, request.arrived_ns, now)

    def _start(self, bios: Sequence[Bio], write: int, first: int, pages: int, arrived_ns: int, now: int) -> None:
        """Hand a request to the device."""
        size = self.page_bytes
        finish = self._finish_ns(now, write, first * size, pages * size)
        self.in_service += 1
        if finish < FAR:  # a stalled device never finishes
            self._clock.fall_due(finish, self._when_done, (bios, (write, len(bios), pages, arrived_ns, now)))

    def _finished(self, request: tuple[Sequence[Bio], Served]) -> None:
        bios, served = request
        now = self._clock._now
        self.stat.completed(served, now)
        held = self.in_service
        self.in_service = held - 1
        if held == self._depth:  # else nothing waits
            self._dispatch(now)
        self._done(self, bios, served, now)
