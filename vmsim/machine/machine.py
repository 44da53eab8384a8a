"""The simulated machine: CPUs, devices and tasks in one simulation, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from simpy import Event

from vmsim.errors import ImpossibleState
from vmsim.machine.block import BlockDevice
from vmsim.machine.clock import FAR, Clock
from vmsim.machine.cpu import Cpu
from vmsim.machine.dmesg import Dmesg
from vmsim.machine.elevator import Bio
from vmsim.machine.ending import FINISHED, LIVELOCK, PANIC, STUCK, UNTIL, Ending, describe_waiting
from vmsim.machine.iostat import Served
from vmsim.machine.livelock import Livelock
from vmsim.machine.phases import Phase, PhaseRecorder
from vmsim.machine.pressure import Pressure
from vmsim.machine.scheduler import Scheduler
from vmsim.machine.series import Series
from vmsim.machine.tables import Entries, KernelTables, NewBio, NewBios
from vmsim.machine.task import BLOCKED, DEAD, NEW, QUEUED, Task
from vmsim.machine.waits import Waits
from vmsim.struct.files import B_FILE
from vmsim.struct.kernel import SC_OOM, SC_PHASE_MARK, SC_WAKE
from vmsim.struct.ledger import L_RUNQ, LEDGER_NAMES
from vmsim.struct.reclaim import N_OOM_PANIC
from vmsim.struct.streams import ST_LENGTH, ST_POS, ST_STATE, STREAM_AGAIN, STREAM_BUFFER, STREAM_ENDED, STREAM_OPEN
from vmsim.struct.tasks import T_KILLED, T_START_NS, T_STATE, T_WAIT, TASK_RUNNABLE, WAIT_CONGESTION
from vmsim.units import NS_PER_MS, NS_PER_US
from vmsim.workload.strace.source import LogSource
from vmsim.workload.trace.source import TraceSource

PROGRESS_NS: Final = 100 * NS_PER_MS  # of simulated time between two calls of `progress`
IRQ_CPU: Final = 0  # that devices interrupt. Model: nobody spreads the interrupts (irqbalance)


@dataclass(frozen=True)
class Options:
    """How a machine is run.

    All memory accesses of a slice happen at its start in simulated time. Where tasks run on more than one CPU they
    share memory (frames, LRU lists, the page cache), so their slices are bounded by `quantum_ns`, the largest error in
    the order of two accesses. `phase_names` are the programs' phases by id, `child_names` what they call the tasks that
    they make, `event_names` what tasks wait for, `traces` the accesses that they carry out; `daemons` are the kernel's
    threads by their bit of SC_WAKE, which start when they are first woken.
    """

    quantum_ns: int = 100 * NS_PER_US
    phase_names: tuple[str, ...] = ()
    child_names: tuple[str, ...] = ()
    event_names: tuple[str, ...] = ()
    daemons: Mapping[int, Task] = field(default_factory=dict)
    series: Series | None = None
    show: Callable[[int, Task], None] | None = None  # keeps the texts of a program's `show` step, by its number
    traces: tuple[TraceSource | LogSource, ...] = ()
    dmesg: Dmesg | None = None
    pressure: bool = False  # measure it (PSI)


DEFAULTS: Final = Options()


class Machine:
    """A machine with the kernel's tables, devices by index, and tasks; its CPUs are the rows of `kernel.cpu_led`.

    Devices interrupt CPU 0. `clock.now` is the simulated time in ns. The same arguments give the same run.
    """

    def __init__(
        self,
        kernel: KernelTables,
        devices: Sequence[BlockDevice],
        tasks: Sequence[Task],
        entries: Entries,
        options: Options = DEFAULTS,
    ) -> None:
        self.kernel = kernel
        self.entries = entries
        self.handle = entries.handle(kernel)
        self.devices = tuple(devices)
        self.tasks: dict[int, Task] = {}
        self.clock = Clock()
        self.scheduler = Scheduler()
        self.new_bios = NewBios(kernel)
        self.pressure = Pressure(kernel, len(kernel.cpu_led)) if options.pressure else None
        self.waits = Waits(kernel, self.clock, self._woken if self.pressure else self.scheduler.wake, self.tasks)
        self.phases = PhaseRecorder(kernel, options.phase_names)
        self.series = options.series
        self.dmesg = options.dmesg
        self.panicked = False
        self.livelock = Livelock(kernel, self.clock, self.tasks)
        self._livelocked = False
        self._traces = options.traces
        self._child_names = options.child_names
        self._event_names = options.event_names
        self._children: dict[tuple[int, int], int] = {}  # tasks made, by parent and name
        self._show = options.show
        self.on_mark: Callable[[], None] | None = None  # called when a task begins a phase or ends one
        self.daemons = options.daemons
        self.cpus = tuple(Cpu(number, self) for number in range(len(kernel.cpu_led)))
        self._irq_cpu = self.cpus[IRQ_CPU]
        self.busy = 0  # CPUs that are neither idle nor parked
        self.stop_ns = FAR  # from when on CPUs don't begin another slice
        self.quantum_ns = options.quantum_ns
        self._alive = 0  # tasks that keep the machine running
        self._stopped = Event(self.clock)
        self.scheduler.attach(self.cpus)
        for device in self.devices:
            device.attach(self.clock, self._io_done)
        for cpu in self.cpus:
            cpu.start()
        for task in tasks:
            self.add_task(task)
        if self.series is not None:
            self.series.attach(kernel, self.clock, self.devices, self.pressure)

    def add_task(self, task: Task) -> None:
        """A task that will start at its `start_ns`, which is not in the past. Raises ValueError if its tid is taken."""
        if task.tid in self.tasks:
            raise ValueError(f"task {task} has the tid of {self.tasks[task.tid]}")
        self.tasks[task.tid] = task
        self._alive += not task.daemon
        self.clock.at(task.start_ns, lambda: self._start_task(task))

    def run(self, progress: Callable[[int], None] | None = None, until_ns: int | None = None) -> Ending:
        """Run until all tasks have ended, until `until_ns`, or until nothing can ever happen again; say which it was.

        Slices that began before `until_ns` are finished, so the machine may stop a little later; it can be run on from
        there. `progress` is called with the simulated time, every 100 ms of it. The ledger is checked at the end.
        """
        clock = self.clock
        self.stop_ns = clock.now if self.panicked or self._livelocked else FAR
        self._stopped = stopped = Event(clock)
        if until_ns is not None:
            self.stop_ns = min(self.stop_ns, until_ns)
            self.clock.at(until_ns, self.check_progress, eventful=False)
        if progress is not None:
            self._report(progress, stopped)
        for cpu in self.cpus:
            if cpu.parked:
                cpu.unpark()
        self.check_progress()
        clock.run_to(stopped)
        while (free := max(cpu.free_at_ns for cpu in self.cpus)) > clock.now:  # the end of the last interrupt
            clock.run(until=free)
        self._settle()
        self.check_ledger()
        reason = str(stopped.value)
        ending = Ending(reason, clock.now)
        if ending.stuck:
            ending = replace(ending, waiting=describe_waiting(self.kernel, self.tasks.values(), self.devices, self._event_names))
        return ending

    def at(self, when_ns: int, callback: Callable[[int], None]) -> None:
        """Call `callback(now)` at a simulated time that is not in the past; slices end there, too."""
        self.clock.at(when_ns, lambda: callback(self.clock.now), eventful=False)

    def check_ledger(self) -> None:
        """Raise ImpossibleState unless each nanosecond of each CPU and task has exactly one owner."""
        kernel = self.kernel
        for cpu in self.cpus:
            cpu.flush()
        wrong = [
            f"{name} {row} has {LEDGER_NAMES[column]} {led[row, column]}"
            for name, led in (("CPU", kernel.cpu_led), ("task", kernel.task_led))
            for row, column in np.argwhere(led < 0)
        ]
        for cpu in self.cpus:
            wrong += _difference(f"CPU {cpu.number}", kernel.cpu_led[cpu.number], cpu.free_at_ns)
        for task in self.tasks.values():
            wrong += _difference(f"task {task}", kernel.task_led[task.tid], task.since_ns - task.start_ns)
        if wrong:
            raise ImpossibleState(f"at {self.clock.now} ns the ledger doesn't close: " + "; ".join(wrong))

    def phase_results(self) -> list[Phase]:
        """The phases that have ended."""
        return self.phases.phases()

    # What the parts of the machine tell it.

    def mark_phase(self, task: Task) -> None:
        """A task has passed the mark in SC_PHASE_MARK at the end of its slice: a phase's, or -1 - the number of a `show` step."""
        mark = int(self.kernel.sc[SC_PHASE_MARK])
        if self.on_mark is not None:
            self.on_mark()
        if mark >= 0:
            self.phases.mark(task, mark, task.since_ns)
        elif self._show is not None:
            self._show(-1 - mark, task)

    def forked(self, parent: Task, what: int) -> None:
        """A task has made another: the number of its name << 32 | tid. It is called `parent/name-0`, and so on."""
        label, tid = what >> 32, what & 0xFFFFFFFF
        number = self._children.get((parent.tid, label), 0)
        self._children[parent.tid, label] = number + 1
        name = f"{parent.name}/{self._child_names[label]}-{number}"
        self.add_task(Task(tid, name, parent.since_ns, parent.nice, parent.daemon))

    def refill(self, stream: int) -> None:
        """A program has carried out what the buffer of a trace held: read on. Raises TraceError."""
        source = self._traces[stream - 1]
        row = self.kernel.stream[stream]
        if row[ST_POS] < row[ST_LENGTH] or row[ST_STATE] == STREAM_ENDED:
            return  # another task of this trace has asked first
        if row[ST_STATE] == STREAM_AGAIN:
            source.rewind()
        accesses = source.take(STREAM_BUFFER)
        self.kernel.stream_buffer[stream, : len(accesses)] = accesses
        row[ST_POS], row[ST_LENGTH] = 0, len(accesses)
        row[ST_STATE] = STREAM_OPEN if len(accesses) else STREAM_ENDED

    def submit(self, bios: list[NewBio]) -> None:
        """Hand requests to the devices, those for one device together."""
        plugs: dict[int, list[tuple[int, int, int, int]]] = {}
        for bio in bios:
            plugs.setdefault(bio[0], []).append(bio[1:])
        for device, plug in plugs.items():
            self.devices[device].submit_plug(plug)

    def task_ended(self, task: Task) -> None:
        """A task has ended at `task.end_ns`."""
        self.phases.task_ended(task, task.end_ns)
        if self.dmesg is not None:
            self.dmesg.task_ended(task)
        self.waits.task_ended(task.tid, task.end_ns)
        self._alive -= not task.daemon
        if not self._alive:
            self.stop_ns = self.clock.now

    def wake_daemons(self, now_ns: int) -> None:
        """The kernel asks for some of its threads (SC_WAKE)."""
        bits = int(self.kernel.sc[SC_WAKE])
        self.kernel.sc[SC_WAKE] = 0
        for number, daemon in self.daemons.items():
            if not bits >> number & 1:
                continue
            if daemon.tid in self.tasks:
                self.waits.happened(daemon, now_ns)
            else:
                self._start_daemon(daemon, now_ns)

    def _start_daemon(self, daemon: Task, now_ns: int) -> None:
        """A kernel thread begins to act: it has slept since boot, so it is woken rather than new."""
        self.tasks[daemon.tid] = daemon
        daemon.start_ns = daemon.since_ns = daemon.ready_ns = now_ns
        row = self.kernel.task[daemon.tid]
        row[T_STATE] = TASK_RUNNABLE
        row[T_START_NS] = now_ns
        daemon.state = QUEUED
        self._woken(daemon)

    def _woken(self, task: Task) -> None:
        """A task has slept and can run again."""
        if self.pressure is not None:
            self.pressure.changed(task, task.ready_ns)
        self.scheduler.wake(task)

    def out_of_memory(self, now_ns: int) -> None:
        """The OOM killer has acted in the slice that ends at `now_ns`: report it while its victim lives; stop if it found none."""
        self.kernel.sc[SC_OOM] = 0
        if self.dmesg is not None:
            self.dmesg.out_of_memory(now_ns, self.tasks)
        if self.kernel.node[N_OOM_PANIC]:
            self.panicked = True
            self.stop_ns = self.clock.now

    def gets_nowhere(self) -> None:
        """Tasks reclaim memory, and nothing will ever come of it: stop."""
        self._livelocked = True
        self.stop_ns = self.clock.now

    def wake_killed(self, now_ns: int) -> None:
        """Tasks were killed: those that sleep wake up to die."""
        for task in list(self.tasks.values()):
            if self.kernel.task[task.tid, T_KILLED]:
                self.waits.interrupt(task, now_ns)

    def nobody_works(self) -> None:
        """No CPU has work: stop if it is time to, or if there never will be any."""
        clock = self.clock
        if len(clock.due) == clock.uneventful or clock._now >= self.stop_ns:
            self.check_progress()

    def check_progress(self) -> None:
        """Stop if no CPU works and it is time to, or nothing is due that could change that."""
        if self.busy or self._stopped.triggered:
            return
        if not self._alive:
            self._stopped.succeed(FINISHED)
        elif self.clock.now >= self.stop_ns:
            self._stopped.succeed(PANIC if self.panicked else LIVELOCK if self._livelocked else UNTIL)
        elif self.clock.quiet and not self._writeback_waits_end():
            self._stopped.succeed(STUCK)

    def _writeback_waits_end(self) -> bool:
        """Whether a task that waits for less writeback will find it when it looks again."""
        waits = any(task.state == BLOCKED and self.kernel.task[task.tid, T_WAIT] == WAIT_CONGESTION for task in self.tasks.values())
        return waits and not self.entries.writes_too_much(self.handle)

    def _start_task(self, task: Task) -> None:
        row = self.kernel.task[task.tid]
        row[T_STATE] = TASK_RUNNABLE
        row[T_START_NS] = task.start_ns
        task.state = QUEUED
        if self.pressure is not None:
            self.pressure.changed(task, self.clock.now)
        self.scheduler.start(task)

    def _io_done(self, device: BlockDevice, bios: Sequence[Bio], served: Served, now_ns: int) -> None:
        """A device's interrupt: complete the bios of a request and wake who waited for them."""
        handle, complete_bio = self.handle, self.entries.complete_bio
        cost = 0
        if device.fault is None:
            for bio in bios:
                cost += complete_bio(handle, bio[0], 0)
        else:
            for number, write, first, pages in bios:
                failed = device.failed(write, first, pages)
                if failed and self.dmesg is not None:
                    name = self.devices.index(device), device.name
                    self.dmesg.io_error(now_ns, name, write, first, not self.kernel.bio[number, B_FILE])
                cost += complete_bio(handle, number, int(failed))
        self.waits.pages_done(self._irq_cpu.interrupt(int(cost), now_ns))
        if not self.busy:
            self.nobody_works()

    def _report(self, progress: Callable[[int], None], stopped: Event) -> None:
        clock = self.clock

        def tell(event: Event) -> None:
            if not stopped.triggered:
                progress(clock.now)
                clock.timeout(PROGRESS_NS).callbacks.append(tell)

        clock.timeout(PROGRESS_NS).callbacks.append(tell)

    def _settle(self) -> None:
        """Charge everybody's waiting up to now."""
        now = self.clock.now
        for cpu in self.cpus:
            cpu.settle(now)
        for task in self.tasks.values():
            if task.state not in (NEW, DEAD):
                led = self.kernel.task_led[task.tid]
                ready = now if task.state == BLOCKED else task.ready_ns if task.state == QUEUED else task.since_ns
                led[task.column] += ready - task.since_ns
                led[L_RUNQ] += now - ready
                task.since_ns = task.ready_ns = now
        if self.series is not None:
            self.series.sample()


def _difference(name: str, ledger: np.ndarray[tuple[int], np.dtype[np.int64]], expected_ns: int) -> list[str]:
    total = int(ledger.sum())
    if total == expected_ns:
        return []
    columns = ", ".join(f"{column} {ns}" for column, ns in zip(LEDGER_NAMES, ledger.tolist(), strict=True) if ns)
    return [f"{name} has {total} ns of {expected_ns} ({columns})"]
