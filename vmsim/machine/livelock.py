"""Noticing that tasks reclaim memory for ever and nothing comes of it.

Kernels before 4.7 may do so: direct reclaim counts as progress while a zone isn't scanned six times over (zone_reclaimable), also where it
scans nothing at all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from vmsim.machine.clock import FAR, Clock
from vmsim.machine.tables import KernelTables
from vmsim.machine.task import QUEUED, RUNNING, Task
from vmsim.struct.ledger import NR_CPU_WORK
from vmsim.struct.tasks import (
    T_ACC_LEFT,
    T_ACCESSES,
    T_EXIT,
    T_KILLED,
    T_MEMDIE,
    T_NSIGNALS,
    T_NSYSCALLS,
    T_PC,
    T_RECLAIMING,
    T_STAGE,
    T_STAGE_ARG,
    T_STAGE_ARG2,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_TIMER,
)
from vmsim.struct.vmstat import (
    ALLOCSTALL,
    KSWAPD_HIGH_WMARK_HIT_QUICKLY,
    KSWAPD_LOW_WMARK_HIT_QUICKLY,
    PAGEOUTRUN,
    PGSCAN_DIRECT_THROTTLE,
    SLABS_SCANNED,
)
from vmsim.units import NS_PER_MS

LOOK_EVERY: Final = 1 << 10  # tries
ENOUGH_NS: Final = NS_PER_MS  # of a CPU, for a hundred tries, after which a task has shown that it gets nowhere
_IN_VAIN: Final = (
    ALLOCSTALL, PAGEOUTRUN, KSWAPD_LOW_WMARK_HIT_QUICKLY, KSWAPD_HIGH_WMARK_HIT_QUICKLY, PGSCAN_DIRECT_THROTTLE, SLABS_SCANNED,
)  # fmt: skip
_PROGRAM: Final = (
    T_PC, T_NSYSCALLS, T_NSIGNALS, T_ACCESSES, T_ACC_LEFT, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_KILLED, T_MEMDIE, T_EXIT,
)  # fmt: skip


def in_vain(kernel: KernelTables, task: Task) -> bool:
    """Whether a task that can run is in direct reclaim, or about to begin again."""
    row = kernel.task[task.tid]
    again = row[T_WAIT] == WAIT_TIMER and row[T_WAIT_ARG] == 0
    return task.state in (QUEUED, RUNNING) and bool(again or row[T_RECLAIMING] != 0)


class Livelock:
    """Compares the machine with how it was, each `LOOK_EVERY` tries to reclaim.

    It is a livelock if in between no page was scanned, freed, allocated, read or written, no object of a slab cache was freed, and no
    program got on; if each task that can run is in reclaim and has had a CPU for `ENOUGH_NS`; and if all that was due has happened.
    """

    __slots__ = ("_kernel", "_clock", "_tasks", "_counters", "_tries", "_state", "_due_ns", "_spent_ns")

    def __init__(self, kernel: KernelTables, clock: Clock, tasks: dict[int, Task]) -> None:
        self._kernel = kernel
        self._clock = clock
        self._tasks = tasks
        self._counters = np.delete(np.arange(len(kernel.vmstat)), _IN_VAIN)
        self._tries = 0
        self._state = b""
        self._due_ns = 0  # the last of what was due when the machine came to that state
        self._spent_ns: dict[int, int] = {}  # of a CPU until then, by task

    def tried_again(self) -> bool:
        """A task goes on at once with what it had to stop; whether nothing will ever come of it."""
        self._tries += 1
        return self._tries % LOOK_EVERY == 0 and self._look()

    def _look(self) -> bool:
        kernel = self._kernel
        runnable = [task for task in self._tasks.values() if task.state in (QUEUED, RUNNING)]
        if not all(task.daemon or in_vain(kernel, task) for task in runnable):
            return False
        spent = {tid: int(kernel.task_led[tid, :NR_CPU_WORK].sum()) for tid in self._tasks}
        state = b"".join(part.tobytes() for part in (kernel.vmstat[self._counters], kernel.task[:, _PROGRAM], kernel.slab, kernel.sb))
        if state != self._state:
            self._state = state
            self._due_ns = max((when for when, *_ in self._clock.due if when < FAR), default=0)
            self._spent_ns = spent
            return False
        if self._clock.now <= self._due_ns:
            return False
        return all(spent[task.tid] - self._spent_ns.get(task.tid, 0) >= ENOUGH_NS for task in runnable)
