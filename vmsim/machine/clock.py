"""Simulated time: a SimPy environment that knows the sorted times of what is due, which slices must not run past.

What happens once for every major fault goes around SimPy's conveniences (Process, Timeout, `run`) straight to its queue
of events: together they would cost the host 8 us a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final, cast

from simpy import Environment, Event
from simpy.events import NORMAL, EventPriority

FAR: Final = 1 << 62
AFTER: Final = EventPriority(2)  # the priority of what happens after everything else at its time


class Due(Event):
    """Something that will happen at a known time, and that slices end for: a completion, a timer, a sample.

    `eventful` says that it can let a task go on.
    """

    _ok = True
    _value = None

    def __init__(self, clock: Clock, callback: Callable[[Any], None], eventful: bool = True) -> None:
        self.env = clock
        self.callbacks = [callback]
        self.eventful = eventful


class Clock(Environment):
    """Time is an int, in ns from the machine's start."""

    _now: int

    def __init__(self) -> None:
        super().__init__(0)
        self.due = [FAR]  # a heap of the times of what is due; whatever happens takes its own off
        self.uneventful = 1  # of the entries of `due`, FAR included

    @property
    def now(self) -> int:
        """The simulated time, ns."""
        return self._now

    @property
    def quiet(self) -> bool:
        """Whether nothing is due that can let a task go on."""
        return len(self.due) == self.uneventful

    def fall_due(self, when_ns: int, event: Due) -> None:
        """Let an event happen at `when_ns`, which is not in the past. Its callback calls `happened`."""
        heappush(self._queue, (when_ns, NORMAL, next(self._eid), event))
        heappush(self.due, when_ns)
        if not event.eventful:
            self.uneventful += 1

    def happened(self, event: Due) -> None:
        """An event that was due is no longer."""
        heappop(self.due)  # events happen in the order of their times, so the first is its own
        if not event.eventful:
            self.uneventful -= 1

    def at(self, when_ns: int, action: Callable[[], None], eventful: bool = True) -> None:
        """Call `action()` at `when_ns`. Raises ValueError for a time in the past."""
        if when_ns < self._now:
            raise ValueError(f"{when_ns} ns is in the past at {self._now} ns")

        def act(event: Due) -> None:
            self.happened(event)
            action()

        self.fall_due(when_ns, Due(self, act, eventful))

    def skip_to(self, when_ns: int) -> bool:
        """Go on to `when_ns` at once if nothing happens until after then; whether that is so."""
        queue = self._queue
        if queue and queue[0][0] <= when_ns:
            return False
        self._now = when_ns
        return True

    def run_to(self, end: Event) -> None:
        """Let events happen up to and with `end`, which will be among them. Failed events are not looked for."""
        queue = cast("list[tuple[int, int, int, Any]]", self._queue)
        while end.callbacks is not None:
            self._now, _, _, event = heappop(queue)
            callbacks = event.callbacks
            event.callbacks = None
            for callback in callbacks:
                callback(event)


class Alarm(Event):
    """What one generator sleeps on again and again: an event that is set anew once it has happened."""

    _ok = True
    _value = None

    def __init__(self, clock: Clock, wake: Callable[[Any], None]) -> None:
        super().__init__(clock)
        self._clock = clock
        self._wake = wake

    def ring(self, when_ns: int) -> None:
        """Wake the sleeper at `when_ns`, after everything else that happens then."""
        clock = self._clock
        self.callbacks = [self._wake]
        heappush(clock._queue, (when_ns, AFTER, next(clock._eid), self))
