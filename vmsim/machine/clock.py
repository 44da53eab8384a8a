"""Simulated time: a SimPy environment that knows the sorted times of what is due, which slices must not run past.

SimPy's own events, processes and timeouts work in it. What happens for every major fault takes shorter ways: a completion or timer is
an entry of a heap of its own, called and not waited for, and who is woken at once doesn't pass through SimPy's queue of events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

from simpy import Environment, Event
from simpy.events import NORMAL, EventPriority

FAR: Final = 1 << 62
AFTER: Final = EventPriority(2)  # the priority of what happens after everything else at its time

Action = Callable[[Any], None]


def _never(argument: None) -> None:
    """What is due at the end of time."""


class Clock(Environment):
    """Time is an int, in ns from the machine's start.

    At each time happens first what is due then, in the order in which it was asked for, then SimPy's events, then who is `awake` goes on.
    """

    _now: int

    def __init__(self) -> None:
        super().__init__(0)
        self.due: list[tuple[int, int, Action, Any]] = [(FAR, -1, _never, None)]  # a heap: time, order, action, its argument
        self.uneventful = 1  # entries of `due` that can't let a task go on
        self.awake: deque[Action] = deque()  # sleepers that were woken and go on at this very time

    @property
    def now(self) -> int:
        """The simulated time, ns."""
        return self._now

    @property
    def quiet(self) -> bool:
        """Whether nothing is due that can let a task go on."""
        return len(self.due) == self.uneventful

    def fall_due(self, when_ns: int, action: Action, argument: Any) -> None:
        """Call `action(argument)`, which may let a task go on, at `when_ns`, which is not in the past."""
        heappush(self.due, (when_ns, next(self._eid), action, argument))

    def at(self, when_ns: int, action: Callable[[], None], eventful: bool = True) -> None:
        """Call `action()` at `when_ns`; `eventful`: it may let a task go on. Raises ValueError for a time in the past."""
        if when_ns < self._now:
            raise ValueError(f"{when_ns} ns is in the past at {self._now} ns")
        self.uneventful += not eventful
        self.fall_due(when_ns, self._act if eventful else self._act_uneventfully, action)

    def _act(self, action: Callable[[], None]) -> None:
        action()

    def _act_uneventfully(self, action: Callable[[], None]) -> None:
        self.uneventful -= 1
        action()

    def skip_to(self, when_ns: int) -> bool:
        """Go on to `when_ns` at once if nothing happens until after then; whether that is so."""
        queue = self._queue
        if self.due[0][0] <= when_ns or self.awake or queue and queue[0][0] <= when_ns:
            return False
        self._now = when_ns
        return True

    def peek(self) -> int:
        """The time of what happens next, `FAR` if nothing does."""
        if self.awake:
            return self._now
        when = self.due[0][0]
        return min(when, int(self._queue[0][0])) if self._queue else when

    def step(self) -> None:
        """What happens next happens. Raises EmptySchedule if nothing does."""
        when, queue = self.due[0][0], self._queue
        first = bool(queue) and queue[0][:2] < (when, NORMAL)  # SimPy's
        if self.awake and self._now < (queue[0][0] if first else when):
            self.awake.popleft()(None)
        elif first or when == FAR:
            super().step()
        else:
            self._now, _, action, argument = heappop(self.due)
            action(argument)

    def run_to(self, end: Event) -> None:
        """Let things happen up to and with `end`, which will be among them: `step` again and again, with a short way for what is due."""
        due, queue, awake = self.due, self._queue, self.awake
        while end.callbacks is not None:
            if queue:
                self.step()
            elif awake and self._now < due[0][0]:
                awake.popleft()(None)
            else:
                self._now, _, action, argument = heappop(due)
                action(argument)


class Alarm(Event):
    """What one generator sleeps on again and again: an event that is set anew once it has happened."""

    _ok = True
    _value = None

    def __init__(self, clock: Clock, wake: Action) -> None:
        super().__init__(clock)
        self._clock = clock
        self._wake = wake

    def ring(self, when_ns: int) -> None:
        """Wake the sleeper at `when_ns`, after everything else that happens then."""
        clock = self._clock
        self.callbacks = [self._wake]
        heappush(clock._queue, (when_ns, AFTER, next(clock._eid), self))
