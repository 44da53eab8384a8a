"""What blocked tasks wait for, and waking them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vmsim.errors import ImpossibleState
from vmsim.machine.clock import Clock
from vmsim.machine.tables import KernelTables, flat
from vmsim.machine.task import BLOCKED, DEAD, QUEUED, Task
from vmsim.struct.ledger import L_SLEEP, L_WAIT_MEMORY, L_WAIT_READ, L_WAIT_SWAP, L_WAIT_WRITE
from vmsim.struct.pages import FRAME_COLUMNS, P_FLAGS, PG_LOCKED, PG_SWAPCACHE, PG_WRITEBACK
from vmsim.struct.swaps import D_WRITES, DEV_COLUMNS, NR_REQUESTS
from vmsim.struct.tasks import (
    T_PARENT,
    T_STATE,
    TASK_DEAD,
    WAIT_CHILD,
    WAIT_CONGESTION,
    WAIT_EVENT,
    WAIT_ISOLATED,
    WAIT_MEMORY,
    WAIT_PAGE,
    WAIT_POST,
    WAIT_QUEUE,
    WAIT_TASK,
    WAIT_THROTTLE,
    WAIT_TIMER,
    WAIT_TURN,
    WAIT_WRITEBACK,
)
from vmsim.struct.vmstat import NR_FREE_PAGES

_COLUMN: Final = {
    WAIT_TIMER: L_SLEEP, WAIT_MEMORY: L_WAIT_MEMORY, WAIT_TASK: L_SLEEP, WAIT_WRITEBACK: L_WAIT_WRITE,
    WAIT_THROTTLE: L_WAIT_WRITE, WAIT_CHILD: L_SLEEP, WAIT_POST: L_SLEEP, WAIT_TURN: L_SLEEP,
    WAIT_EVENT: L_SLEEP, WAIT_QUEUE: L_WAIT_WRITE, WAIT_CONGESTION: L_WAIT_WRITE, WAIT_ISOLATED: L_WAIT_MEMORY,
}  # fmt: skip


class Waits:
    """Blocked tasks by what they wait for. `woken` is called with each task that can run again.

    | wait | argument | ends |
    |---|---|---|
    | page, writeback | pfn | when PG_locked or PG_writeback of that frame is clear |
    | timer, throttle, congestion, isolated | ns from the end of the slice | then |
    | memory | ns, or 0 | then (0: never), or when more than `enough_memory` pages are free |
    | event | ns, or 0 | then (0: never), or at `happened` for that task |
    | queue | device | when the device's queue has room for a write |
    | task | tid | when that task has ended |
    | child | tid of a child, or 0, << 32 and of the process | when it, or a child of the process, has ended |
    | post | event << 32 and a count | when the event has so many posts |
    | turn | tid | when that task, or another, begins to wait for its turn and it is this one's, or when a task has ended |
    """

    __slots__ = (
        "_clock", "_woken", "_tasks", "_frame", "_locked", "_writeback", "_pages", "_for_task", "_for_child", "_for_post", "_for_turn",
        "_kernel", "_nr_free", "for_memory", "_dev", "_for_queue", "_events", "_pending", "enough_memory",
    )  # fmt: skip

    def __init__(
        self, kernel: KernelTables, clock: Clock, woken: Callable[[Task], None], tasks: dict[int, Task]
    ) -> None:
        self._clock = clock
        self._woken = woken
        self._tasks = tasks
        self._frame = flat(kernel.frame)
        self._locked: dict[int, list[Task]] = {}  # by index of the page's flags in `frame`; the longest waits first
        self._writeback: dict[int, list[Task]] = {}
        self._pages = ((self._locked, PG_LOCKED), (self._writeback, PG_WRITEBACK))
        self._for_task: dict[int, list[Task]] = {}
        self._for_child: dict[int, list[Task]] = {}  # by process
        self._for_post: dict[int, list[Task]] = {}  # by event
        self._for_turn: dict[int, Task] = {}  # tasks of logs of calls that wait for their turn
        self._kernel = kernel
        self.for_memory: list[Task] = []  # those that wait for free memory
        self.enough_memory = 0
        self._dev = flat(kernel.dev)
        self._for_queue: list[tuple[int, Task]] = []
        self._events: set[int] = set()  # daemons that wait for their event
        self._pending: set[int] = set()  # daemons that were woken before they slept
        self._nr_free = kernel.vmstat[NR_FREE_PAGES : NR_FREE_PAGES + 1].data

    def block(self, task: Task, kind: int, arg: int) -> bool:
        """Let a task sleep for what `kind` and `arg` say, from `task.since_ns` on; False if that has come already.

        Raises ImpossibleState for a kind that nothing ends.
        """
        if kind == WAIT_PAGE:
            page = arg * FRAME_COLUMNS + P_FLAGS
            flags = self._frame[page]
            if not flags & PG_LOCKED:
                return False
            task.column = L_WAIT_SWAP if flags & PG_SWAPCACHE else L_WAIT_READ
            if page in self._locked:
                self._locked[page].append(task)
            else:
                self._locked[page] = [task]
        elif not self._enlist(task, kind, arg):
            return False
        task.wait_seq += 1
        task.slept_ns = task.since_ns
        task.state = BLOCKED
        return True

    def wake(self, task: Task, at_ns: int) -> None:
        """A blocked task can run again from `at_ns` on."""
        task.state = QUEUED
        task.ready_ns = at_ns
        self._woken(task)

    def pages_done(self, at_ns: int) -> None:
        """Wake the tasks whose page is no longer locked or under writeback, in the order of their waits for it."""
        for waiting, flag in self._pages:
            if waiting:
                for page in [*waiting]:
                    if not self._frame[page] & flag:
                        for task in waiting.pop(page):
                            self.wake(task, at_ns)
        if self._for_queue:
            waiting_for, self._for_queue = self._for_queue, []
            for device, task in waiting_for:
                if self._full(device):
                    self._for_queue.append((device, task))
                else:
                    self.wake(task, at_ns)

    def happened(self, task: Task, at_ns: int) -> None:
        """Wake a daemon that waits for its event, now or as soon as it would begin to wait."""
        if task.state == BLOCKED and task.tid in self._events:
            self._events.remove(task.tid)
            self.wake(task, at_ns)
        else:
            self._pending.add(task.tid)

    def interrupt(self, task: Task, at_ns: int) -> None:
        """Wake a task from whatever it waits for: it was killed."""
        if task.state != BLOCKED:
            return
        for waiting in (self._locked, self._writeback, self._for_task, self._for_child, self._for_post):
            for key, tasks in list(waiting.items()):
                if task in tasks:
                    tasks.remove(task)
                    if not tasks:
                        del waiting[key]
        self._for_turn.pop(task.tid, None)
        if task in self.for_memory:
            self.for_memory.remove(task)
        self._for_queue = [(device, other) for device, other in self._for_queue if other is not task]
        self.wake(task, at_ns)

    def task_ended(self, tid: int, at_ns: int) -> None:
        """Wake the tasks that wait for the end of this one."""
        for task in self._for_task.pop(tid, ()):
            self.wake(task, at_ns)
        for task in list(self._for_turn.values()):  # it may have been the one whose turn it was
            del self._for_turn[task.tid]
            self.wake(task, at_ns)
        if self._for_child:
            for task in self._for_child.pop(int(self._kernel.task[tid, T_PARENT]), ()):
                self.wake(task, at_ns)

    def posted(self, event: int, at_ns: int) -> None:
        """Wake the tasks that wait for posts of an event, the longest waiting first; who gets none will wait again."""
        for task in self._for_post.pop(event, ()):
            self.wake(task, at_ns)

    def look_for_memory(self, at_ns: int) -> None:
        """Wake the tasks that wait for free memory, if a slice has left some."""
        if self._nr_free[0] > self.enough_memory:
            self.memory_freed(at_ns)

    def memory_freed(self, at_ns: int) -> None:
        """Wake the tasks that wait for free memory."""
        waiting, self.for_memory = self.for_memory, []
        for task in waiting:
            self.wake(task, at_ns)

    def _enlist(self, task: Task, kind: int, arg: int) -> bool:
        if kind not in _COLUMN:
            raise ImpossibleState(f"task {task} blocks at {task.since_ns} ns, but waits for nothing known ({kind})")
        task.column = _COLUMN[kind]
        if kind == WAIT_WRITEBACK:
            page = arg * FRAME_COLUMNS + P_FLAGS
            if not self._frame[page] & PG_WRITEBACK:
                return False
            self._writeback.setdefault(page, []).append(task)
        elif kind == WAIT_TASK:
            if arg not in self._tasks or self._tasks[arg].state == DEAD:
                return False
            self._for_task.setdefault(arg, []).append(task)
        elif kind == WAIT_CHILD:
            process, which = arg & 0xFFFFFFFF, arg >> 32
            rows = self._kernel.task[which : which + 1] if which else self._kernel.task
            if ((rows[:, T_PARENT] == process) & (rows[:, T_STATE] == TASK_DEAD)).any():
                return False
            self._for_child.setdefault(process, []).append(task)
        elif kind == WAIT_POST:
            if self._kernel.event[arg >> 32] >= arg & 0xFFFFFFFF:
                return False
            self._for_post.setdefault(arg >> 32, []).append(task)
        elif kind == WAIT_TURN:
            other = self._for_turn.pop(arg, None)
            self._for_turn[task.tid] = task
            if other is not None:
                self.wake(other, task.since_ns)
        elif kind == WAIT_QUEUE:
            if not self._full(arg):
                return False
            self._for_queue.append((arg, task))
        else:
            if kind == WAIT_MEMORY:
                self.for_memory.append(task)
            elif kind == WAIT_EVENT:
                if task.tid in self._pending:
                    self._pending.remove(task.tid)
                    return False
                self._events.add(task.tid)
            elif arg <= 0:
                return False
            if arg > 0:
                wait_seq = task.wait_seq + 1
                self._clock.at(task.since_ns + arg, lambda: self._expired(task, wait_seq), kind not in (WAIT_CONGESTION, WAIT_ISOLATED))
        return True

    def _expired(self, task: Task, wait_seq: int) -> None:
        if task.state == BLOCKED and task.wait_seq == wait_seq:
            if task in self.for_memory:
                self.for_memory.remove(task)
            self._events.discard(task.tid)
            self.wake(task, self._clock.now)

    def _full(self, device: int) -> bool:
        return self._dev[device * DEV_COLUMNS + D_WRITES] >= NR_REQUESTS
