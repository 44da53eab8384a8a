"""A CPU: a process in simulated time that runs tasks slice by slice, and sleeps when there is none."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from vmsim.errors import ImpossibleState
from vmsim.machine.clock import Alarm
from vmsim.machine.slices import GOES_ON
from vmsim.machine.task import DEAD, NICE_0_WEIGHT, QUEUED, RUNNING, Task
from vmsim.struct.kernel import SC_NR_KILLED, SC_OOM, SC_WAKE
from vmsim.struct.ledger import L_IDLE, L_IO, L_RUNQ
from vmsim.struct.tasks import SLICE_BLOCKED, SLICE_EXIT, SLICE_FORK, SLICE_PHASE, SLICE_POST, SLICE_REFILL, T_NIVCSW
from vmsim.units import NS_PER_MS

if TYPE_CHECKING:
    from vmsim.machine.machine import Machine

LONG_SLICE_NS: Final = 100 * NS_PER_MS  # of a task that nothing else bounds
_STANDSTILL: Final = 1 << 16  # slices in a row that take no time and mark no phase


class Cpu:
    """One CPU, number `number`; `start` brings it to life.

    Its time is accounted for up to `free_at_ns`: the end of the slice that it runs, later by the interrupts that came
    during it, or the end of its last work while it is idle. `idle` says that it sleeps and can be handed a task.
    """

    __slots__ = (
        "number", "task", "idle", "parked", "free_at_ns", "_machine", "_handed", "_wake", "_alarm", "_seen", "_idle_ns",
        "_interrupts_ns",
    )  # fmt: skip

    def __init__(self, number: int, machine: Machine) -> None:
        self.number = number
        self.task: Task | None = None
        self.idle = True
        self.parked = False  # keeps its task, if it has one, until the machine runs on
        self.free_at_ns = 0
        self._machine = machine
        self._handed: Task | None = None
        self._seen = 0  # tasks woken when preemption was last asked for
        self._idle_ns = 0  # not in the ledger yet
        self._interrupts_ns = 0

    def start(self) -> None:
        """Let the CPU sleep until it is handed a task."""
        process = self._process()
        self._wake = process.send
        self._alarm = Alarm(self._machine.clock, process.send)
        next(process)

    def hand(self, task: Task) -> None:
        """Give this idle CPU a task, and wake it."""
        self._handed = task
        self.idle = False
        machine = self._machine
        machine.busy += 1
        machine.clock.awake.append(self._wake)

    def unpark(self) -> None:
        """Let the CPU go on after the machine had stopped."""
        self.parked = False
        self._machine.busy += 1
        self._machine.clock.awake.append(self._wake)

    def interrupt(self, cost_ns: int, now_ns: int) -> int:
        """Spend time on an interrupt that comes now; the time at which its handler is done.

        An idle CPU handles it at once. The slice in progress has been charged as a whole already, so the time that the
        interrupt takes from it is added behind it.
        """
        self._interrupts_ns += cost_ns
        free = self.free_at_ns
        if free < now_ns:
            self._idle_ns += now_ns - free
            free = now_ns
        self.free_at_ns = free = free + cost_ns
        return free if self.task is None else now_ns + cost_ns

    def settle(self, now_ns: int) -> None:
        """Charge the time up to `now_ns` of a CPU that runs nothing, and bring its ledger up to date."""
        self._idle_ns += now_ns - self.free_at_ns
        self.free_at_ns = now_ns
        self.flush()

    def flush(self) -> None:
        """Bring the ledger up to `free_at_ns`."""
        led = self._machine.kernel.cpu_led[self.number]
        led[L_IDLE] += self._idle_ns
        led[L_IO] += self._interrupts_ns
        self._idle_ns = self._interrupts_ns = 0

    def _process(self) -> Generator[None, object, None]:
        """The CPU's life: dispatch, run a slice, let its time pass, do what it ended for. It yields to sleep."""
        machine, number, alarm = self._machine, self.number, self._alarm
        clock, scheduler, waits = machine.clock, machine.scheduler, machine.waits
        devices, due, queue = machine.devices, clock.due, scheduler.queue
        handle, run_task = machine.handle, machine.entries.run_task
        calls = machine.kernel.sc.data
        pressure, livelock = machine.pressure, machine.livelock
        still = 0
        yield
        now = clock.now
        while True:
            task = self.task
            stops = now >= machine.stop_ns
            if stops:
                task = None
            elif task is not None:
                column, begin, accounted = GOES_ON, self.free_at_ns, task.since_ns
            else:
                task = self._handed
                if task is not None:
                    self._handed = None
                elif queue:
                    task = scheduler.take()
                if task is not None:
                    column, begin = task.column, self._dispatch(task, now)
                    accounted = begin
            if task is None:
                self._rest(stops)
                yield
                now = clock._now
                continue
            budget = due[0][0] - begin
            limit = machine.quantum_ns if machine.busy > 1 else LONG_SLICE_NS
            if queue:
                limit = min(limit, scheduler.slice_ns(task) - (begin - task.picked_ns))
            if budget > limit:
                budget = limit
            end, reason, wait, arg, requests, device, bio, write, first, pages = run_task(
                handle, number, task.tid, task.since_ns, task.ready_ns, column, begin, budget
            )
            self.free_at_ns = task.since_ns = end
            if pressure is not None:
                pressure.ran(task)
            task.vruntime += (end - accounted) * NICE_0_WEIGHT // task.weight
            if reason == SLICE_PHASE:
                machine.mark_phase(task)
            elif reason == SLICE_BLOCKED and calls[SC_OOM]:
                machine.out_of_memory(end)
            bios = machine.new_bios.take((device, bio, write, first, pages)) if requests > 1 else None
            if end > now:
                still = 0
                if not clock.skip_to(end):
                    alarm.ring(end)
                    yield
                now = end
            elif reason != SLICE_PHASE and (still := still + 1) > _STANDSTILL:
                raise ImpossibleState(f"task {task} runs on CPU {number} at {end} ns, but no time passes")
            if bios:
                machine.submit(bios)
            elif requests:
                devices[device].submit((bio, write, first, pages))
            if reason == SLICE_BLOCKED and waits.block(task, wait, arg):
                scheduler.leave(task)
                self.task = None
                if pressure is not None:
                    pressure.changed(task, end, wait, arg)
            elif reason == SLICE_EXIT:
                self._exit(task)
            else:
                if reason == SLICE_FORK:
                    machine.forked(task, arg)
                elif reason == SLICE_POST:
                    waits.posted(arg, end)
                elif reason == SLICE_REFILL:
                    machine.refill(arg)
                elif reason == SLICE_BLOCKED and livelock.tried_again():
                    machine.gets_nowhere()
                if queue:
                    self._preempt(task)
            if waits.for_memory:
                waits.look_for_memory(end)
            if calls[SC_WAKE]:
                machine.wake_daemons(end)
            if calls[SC_NR_KILLED]:
                machine.wake_killed(end)

    def _rest(self, stops: bool) -> None:
        """There is nothing to run, or the machine stops."""
        machine = self._machine
        if stops:
            self.parked = True
        else:
            self.idle = True
        machine.busy -= 1
        if not machine.busy:
            machine.nobody_works()

    def _dispatch(self, task: Task, now: int) -> int:
        """Switch to a task; the time at which that begins."""
        machine = self._machine
        self._seen = machine.scheduler.woken
        self.task = task
        task.state = RUNNING
        task.cpu = self.number
        free = self.free_at_ns
        begin = now if now > free else free
        if begin < task.ready_ns:
            begin = task.ready_ns
        self._idle_ns += begin - free
        self.free_at_ns = task.picked_ns = begin
        if machine.pressure is not None:
            machine.pressure.changed(task, begin)
        return begin

    def _exit(self, task: Task) -> None:
        machine = self._machine
        task.state = DEAD
        task.end_ns = task.since_ns
        machine.scheduler.leave(task)
        self.task = None
        if machine.pressure is not None:
            machine.pressure.changed(task, task.end_ns)
        machine.task_ended(task)

    def _preempt(self, task: Task) -> None:
        """Give the CPU to the first in the queue if it is its turn."""
        machine = self._machine
        scheduler = machine.scheduler
        woken = scheduler.woken != self._seen
        self._seen = scheduler.woken
        if not scheduler.must_yield(task, self.free_at_ns - task.picked_ns, woken):
            return
        if task.vruntime < scheduler.queue[0][0]:  # it is the next one itself
            task.picked_ns = self.free_at_ns
            return
        machine.kernel.task[task.tid, T_NIVCSW] += 1
        self.task = None
        task.state = QUEUED
        task.ready_ns = task.since_ns
        task.column = L_RUNQ
        if machine.pressure is not None:
            machine.pressure.changed(task, task.ready_ns)
        scheduler.requeue(task)
