"""Pressure stall information: /proc/pressure/cpu, memory and io.   Follows kernel/sched/psi.c of v6.1.

Each CPU counts the tasks that run or could, that wait for I/O, and that are stalled for memory. From these counts follow its states: *some*
task is held up, or *full*: nobody gets on.  Times in the states are weighed by how long each CPU wasn't idle, summed, and averaged
every 2 s over 10 s, 60 s and 300 s, in the fixed-point numbers of the load average.

A memory stall is direct reclaim, whatever it waits for; the wait for a page of the working set that was evicted too early and is read
again; and kswapd's work.  An I/O stall is every wait for a device or for dirty pages to be written, also of those reads.

Model: the CPU time that reclaim takes is counted at the end of each slice that it was part of, not where in the slice it was.
"""

from __future__ import annotations

from typing import Final

from vmsim.machine.tables import KernelTables
from vmsim.machine.task import BLOCKED, DEAD, QUEUED, RUNNING, Task
from vmsim.spec.counters import PSI_COUNTERS
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import P_FLAGS, PG_WORKINGSET
from vmsim.struct.reclaim import N_KSWAPD_TID
from vmsim.struct.tasks import (
    T_RECLAIMING,
    WAIT_CONGESTION,
    WAIT_EVENT,
    WAIT_PAGE,
    WAIT_QUEUE,
    WAIT_THROTTLE,
    WAIT_WRITEBACK,
)
from vmsim.units import JIFFY_NS, NS_PER_S, NS_PER_US

PERIOD_NS: Final = 2 * NS_PER_S + JIFFY_NS  # PSI_FREQ
FSHIFT: Final = 11
FIXED_1: Final = 1 << FSHIFT
EXP: Final = (1677, 1981, 2034)  # 1 / exp(2 s / 10 s, 60 s, 300 s), times FIXED_1
RESOURCES: Final = ("io", "memory", "cpu")
_IO_SOME, _IO_FULL, _MEM_SOME, _MEM_FULL, _CPU_SOME, _NONIDLE = range(6)
_STATES: Final = dict(zip(PSI_COUNTERS, range(5), strict=True))
_IO_WAITS: Final = frozenset((WAIT_PAGE, WAIT_WRITEBACK, WAIT_THROTTLE, WAIT_QUEUE, WAIT_CONGESTION))


def calc_load(load: int, exp: int, active: int) -> int:
    """One step of an exponential average (include/linux/sched/loadavg.h)."""
    new = load * exp + active * (FIXED_1 - exp)
    if active >= load:
        new += FIXED_1 - 1
    return new // FIXED_1


class _CpuCounts:
    """Tasks of one CPU by what they do, and the times of the states in the present period, ns."""

    __slots__ = ("running", "on_cpu", "iowait", "memstall", "since_ns", "times")

    def __init__(self) -> None:
        self.running = 0
        self.on_cpu = 0
        self.iowait = 0
        self.memstall = 0  # blocked tasks only: stalls of running ones are added slice by slice
        self.since_ns = 0
        self.times = [0] * 6

    def advance(self, now_ns: int) -> None:
        """Charge the time up to `now_ns` to the states that hold."""
        passed = now_ns - self.since_ns
        if passed <= 0:
            return
        self.since_ns = now_ns
        times = self.times
        if self.iowait:
            times[_IO_SOME] += passed
            if not self.running:
                times[_IO_FULL] += passed
        if self.memstall:
            times[_MEM_SOME] += passed
            if not self.running:
                times[_MEM_FULL] += passed
        if self.running > self.on_cpu:
            times[_CPU_SOME] += passed
        if self.running or self.iowait or self.memstall:
            times[_NONIDLE] += passed


class Pressure:
    """The whole machine's pressure. Call `changed` at each change of a task's state, `ran` after each slice."""

    def __init__(self, kernel: KernelTables, cpus: int) -> None:
        self._kernel = kernel
        self._cpus = [_CpuCounts() for _ in range(cpus)]
        self._now = 0
        self._next_ns = PERIOD_NS
        self._last_ns = 0  # when the averages were last brought up to date
        self._counted: dict[int, tuple[int, int, int, int, int]] = {}  # of each task: CPU, running, on CPU, iowait, memstall
        self._reclaim_ns: dict[int, int] = {}  # of each task, as far as it is counted
        self.total_ns = [0] * 5
        self._averaged_ns = [0] * 5  # of the totals, what is in the averages
        self.averages = [[0, 0, 0] for _ in range(5)]

    def changed(self, task: Task, now_ns: int, wait: int = 0, argument: int = 0) -> None:
        """A task is QUEUED, RUNNING, BLOCKED (for `wait` and its `argument`) or DEAD from now on."""
        self.advance(now_ns)
        state = task.state
        iowait = state == BLOCKED and wait in _IO_WAITS
        memstall = state == BLOCKED and self._is_memstall(task, wait, argument)
        new = (task.cpu, int(state in (QUEUED, RUNNING)), int(state == RUNNING), int(iowait), int(memstall))
        for sign, counts in ((-1, self._counted.get(task.tid)), (1, new)):
            if counts is not None:
                cpu = self._cpus[counts[0]]
                cpu.advance(self._now)
                cpu.running += sign * counts[1]
                cpu.on_cpu += sign * counts[2]
                cpu.iowait += sign * counts[3]
                cpu.memstall += sign * counts[4]
        if state == DEAD:
            del self._counted[task.tid]
        else:
            self._counted[task.tid] = new

    def ran(self, task: Task) -> None:
        """A running task's slice ends: what it spent on reclaim was a stall."""
        spent = int(self._kernel.task_led[task.tid, L_RECLAIM])
        spent_ns = spent - self._reclaim_ns.get(task.tid, 0)
        if not spent_ns:
            return
        self._reclaim_ns[task.tid] = spent
        cpu = self._cpus[task.cpu]
        if not cpu.memstall:  # else these times are counted already
            cpu.times[_MEM_SOME] += spent_ns
        if cpu.running == cpu.on_cpu:
            cpu.times[_MEM_FULL] += spent_ns

    def advance(self, now_ns: int) -> None:
        """Bring totals and averages up to `now_ns`; of slices that are under way nothing is known yet."""
        while now_ns >= self._next_ns:
            self._now = self._next_ns
            self._collect()
            self._average(self._next_ns - self._last_ns)
            self._last_ns = self._next_ns
            self._next_ns += PERIOD_NS
        self._now = max(self._now, now_ns)

    def text(self, resource: str, now_ns: int) -> str:
        """The file of /proc/pressure at `now_ns`. Averages are per cent, totals microseconds."""
        self.advance(now_ns)
        self._collect()
        first = 2 * RESOURCES.index(resource)
        lines = [self._line("some", first)]
        if resource == "cpu":
            lines.append("full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")  # undefined for the whole machine
        else:
            lines.append(self._line("full", first + 1))
        return "".join(lines)

    def _line(self, name: str, state: int) -> str:
        averages = " ".join(
            f"avg{seconds}={average >> FSHIFT}.{(average & (FIXED_1 - 1)) * 100 >> FSHIFT:02}"
            for seconds, average in zip((10, 60, 300), self.averages[state], strict=True)
        )
        return f"{name} {averages} total={self.total_ns[state] // NS_PER_US}\n"

    def _is_memstall(self, task: Task, wait: int, argument: int) -> bool:
        """Whether a task that waits is stalled for memory."""
        if task.tid == self._kernel.node[N_KSWAPD_TID]:
            return wait != WAIT_EVENT
        if self._kernel.task[task.tid, T_RECLAIMING]:
            return True
        return wait == WAIT_PAGE and bool(self._kernel.frame[argument, P_FLAGS] & PG_WORKINGSET)

    def _collect(self) -> None:
        """Add what the CPUs have counted to the totals, each weighed by the time that it wasn't idle (collect_percpu_times)."""
        for cpu in self._cpus:
            cpu.advance(self._now)
        weights = [cpu.times[_NONIDLE] for cpu in self._cpus]
        whole = max(sum(weights), 1)
        for state in range(5):
            self.total_ns[state] += sum(cpu.times[state] * weight for cpu, weight in zip(self._cpus, weights, strict=True)) // whole
        for cpu in self._cpus:
            cpu.times = [0] * 6

    def _average(self, period_ns: int) -> None:
        """update_averages: what is more than the period is left for the next one."""
        for state, averages in enumerate(self.averages):
            sample = min(self.total_ns[state] - self._averaged_ns[state], period_ns)
            self._averaged_ns[state] += sample
            percent = sample * 100 // period_ns * FIXED_1
            self.averages[state] = [calc_load(load, exp, percent) for load, exp in zip(averages, EXP, strict=True)]

    def total_us(self, name: str, now_ns: int) -> int:
        """The total of one of PSI_COUNTERS at `now_ns`, microseconds."""
        self.advance(now_ns)
        self._collect()
        return self.total_ns[_STATES[name]] // NS_PER_US
