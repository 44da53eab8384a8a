"""A CPU: a process in simulated time that runs tasks slice by slice, and sleeps when there is none."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from vmsim.errors import ImpossibleState
from vmsim.machine.clock import Alarm
from vmsim.machine.slices import GOES_ON
from vmsim.machine.task import DEAD, NICE_0_WEIGHT, QUEUED, RUNNING, Task
from vmsim.struct.kernel import SC_PHASE_MARK
from vmsim.struct.ledger import L_IDLE, L_IO, L_RUNQ
from vmsim.struct.tasks import SLICE_BLOCKED, SLICE_EXIT, SLICE_PHASE, T_NIVCSW
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
        "number", "task", "idle", "parked", "free_at_ns", "_machine", "_handed", "_alarm", "_seen", "_idle_ns", "_interrupts_ns",
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
        self._alarm = Alarm(self._machine.clock, process.send)
        next(process)

    def hand(self, task: Task) -> None:
        """Give this idle CPU a task, and wake it."""
        machine = self._machine
        self._handed = task
        self.idle = False
        machine.busy += 1
        self._alarm.ring(machine.clock.now)

    def unpark(self) -> None:
        """Let the CPU go on after the machine had stopped."""
        self.parked = False
        self._machine.busy += 1
        self._alarm.ring(self._machine.clock.now)

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
        """The CPU's life: dispatch, run a slice, let its time pass, and do what it ended for. It yields to sleep."""
        machine, number, ring = self._machine, self.number, self._alarm_later
        clock, scheduler, waits = machine.clock, machine.scheduler, machine.waits
        devices, due, queue = machine.devices, clock.due, scheduler.queue
        k, run_task = machine.kernel.k, machine.entries.run_task
        still = 0
        yield
        now = clock.now
        while True:
            task = self.task
            begin = self.free_at_ns
            if now >= machine.stop_ns:
                self._rest(True, now)
                yield
                now = clock.now
                continue
            if task is None:
                task = self._handed or scheduler.take()
                if task is None:
                    self._rest(False, now)
                    yield
                    now = clock.now
                    continue
                begin = self._dispatch(task, now)
                column = task.column
                since = task.since_ns
                ran_since = begin
            else:
                column = GOES_ON
                since = ran_since = task.since_ns
            budget = min(due[0] - begin, machine.quantum_ns if machine.busy > 1 else LONG_SLICE_NS)
            if queue:
                budget = min(budget, scheduler.slice_ns(task) - (begin - task.picked_ns))
            end, reason, wait, arg, requests, device, bio, write, first, pages = run_task(
                k, number, task.tid, since, task.ready_ns, column, begin, budget
            )
            self.free_at_ns = task.since_ns = end
            task.vruntime += (end - ran_since) * NICE_0_WEIGHT // task.weight
            if reason == SLICE_PHASE:
                machine.mark_phase(task, end)
            bios = machine.new_bios.take((device, bio, write, first, pages)) if requests > 1 else None
            if end > now:
                still = 0
                ring(end)
                yield
                now = end
            elif reason != SLICE_PHASE and (still := still + 1) > _STANDSTILL:
                raise ImpossibleState(f"task {task} runs on CPU {number} at {end} ns, but no time passes")
            if bios:
                machine.submit(bios)
            elif requests:
                devices[device].submit(bio, write, first, pages)
            if reason == SLICE_BLOCKED and waits.block(task, wait, arg):
                scheduler.leave(task)
                self.task = None
            elif reason == SLICE_EXIT:
                self._exit(task)
            elif queue:
                self._preempt(task)
