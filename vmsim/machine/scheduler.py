"""Which task runs next: CFS.   Follows kernel/sched/fair.c of v4.4 (H.1).

Model: one queue serves all CPUs, which is what the kernel's load balancing between per-CPU queues approximates; a task
that starts or wakes goes to the CPU it last ran on if that is idle, else to any idle CPU, else into the queue.  There
is no tick: preemption is decided exactly at the end of the task's time slice, and at the first slice boundary after a
wake-up.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final, Protocol

from vmsim.machine.task import NICE_0_WEIGHT, Task
from vmsim.units import NS_PER_MS

NR_LATENCY: Final = 8  # runnable tasks of a CPU up to which the period is `latency_ns` (sched_nr_latency)


class Runner(Protocol):
    """What the scheduler sees of a CPU."""

    idle: bool
    task: Task | None

    def hand(self, task: Task) -> None:
        """Give an idle CPU a task, and wake it."""


class Scheduler:
    """The run queue of `cpus`. All times are ns; a task's virtual time runs slower the heavier it is."""

    __slots__ = (
        "cpus", "latency_ns", "min_granularity_ns", "wakeup_granularity_ns", "queue", "woken", "_load", "_runnable",
        "_min_vruntime", "_credit_ns", "_seq",
    )  # fmt: skip

    def __init__(self) -> None:
        self.cpus: Sequence[Runner] = ()
        self.queue: list[tuple[int, int, Task]] = []  # (virtual time, order of arrival, task), the next one first
        self.woken = 0  # counts tasks that have queued up after a wait
        self._load = 0  # weight of all runnable tasks
        self._runnable = 0
        self._min_vruntime = 0
        self._seq = 0

    def attach(self, cpus: Sequence[Runner]) -> None:
        """The CPUs to schedule on; their number scales the latencies (SCHED_TUNABLESCALING_LOG)."""
        self.cpus = cpus
        factor = min(len(cpus), 8).bit_length()
        self.latency_ns = 6 * NS_PER_MS * factor
        self._credit_ns = self.latency_ns // 2
        self.min_granularity_ns = 750_000 * factor
        self.wakeup_granularity_ns = NS_PER_MS * factor

    def start(self, task: Task) -> None:
        """A new task: one time slice behind the others (START_DEBIT)."""
        least = self._advance_min()
        self._load += task.weight
        self._runnable += 1
        task.vruntime = least + self.slice_ns(task) * NICE_0_WEIGHT // task.weight
        self._place(task)

    def wake(self, task: Task) -> None:
        """A task has waited: it gets at most half a period of credit for it (GENTLE_FAIR_SLEEPERS)."""
        least = (self._advance_min() if self._runnable else self._min_vruntime) - self._credit_ns
        if task.vruntime < least:
            task.vruntime = least
        self._load += task.weight
        self._runnable += 1
        self.woken += 1
        cpu = self.cpus[task.cpu]
        if cpu.idle:
            cpu.hand(task)
        else:
            self._place(task)

    def leave(self, task: Task) -> None:
        """A running task blocks or ends; its CPU has it still."""
        self._load -= task.weight
        self._runnable -= 1
        if task.vruntime > self._min_vruntime:
            if self._runnable:
                self._advance_min()
            else:
                self._min_vruntime = task.vruntime

    def requeue(self, task: Task) -> None:
        """A running task is preempted."""
        self._seq += 1
        insort(self.queue, (task.vruntime, self._seq, task))

    def take(self) -> Task:
        """The queued task with the least virtual time. Raises IndexError if there is none."""
        return self.queue.pop(0)[2]

    def slice_ns(self, task: Task) -> int:
        """The task's share of a period in which every runnable task of its CPU runs once (sched_slice)."""
        cpus = len(self.cpus)
        each = -(-self._runnable // cpus)
        period = self.latency_ns if each <= NR_LATENCY else each * self.min_granularity_ns
        return min(period, period * task.weight * cpus // self._load)

    def must_yield(self, task: Task, ran_ns: int, woken: bool) -> bool:
        """Whether a running task gives way to the first in the queue; `woken`: tasks have woken since the last time.

        Follows check_preempt_tick and, for the woken, wakeup_preempt_entity.
        """
        if not self.queue:
            return False
        slice_ns = self.slice_ns(task)
        if ran_ns >= slice_ns:
            return True
        first = self.queue[0][2]
        ahead = task.vruntime - first.vruntime
        if woken and ahead > self.wakeup_granularity_ns * NICE_0_WEIGHT // first.weight:
            return True
        return ran_ns >= self.min_granularity_ns and ahead > slice_ns

    def _place(self, task: Task) -> None:
        for cpu in self.cpus:
            if cpu.idle:
                cpu.hand(task)
                return
        self._seq += 1
        insort(self.queue, (task.vruntime, self._seq, task))

    def _advance_min(self) -> int:
        """The least virtual time of all runnable tasks, which never goes back."""
        least = self.queue[0][0] if self.queue else None
        for cpu in self.cpus:
            task = cpu.task
            if task is not None and (least is None or task.vruntime < least):
                least = task.vruntime
        if least is not None and least > self._min_vruntime:
            self._min_vruntime = least
        return self._min_vruntime
