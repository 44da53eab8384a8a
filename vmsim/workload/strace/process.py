"""The processes of a log: tasks, address spaces, privileges, limits; who shares what with whom."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from vmsim.workload import replay_tasks as rt
from vmsim.workload.strace.files import Descriptors
from vmsim.workload.strace.intervals import Intervals
from vmsim.workload.strace.log import Entry
from vmsim.workload.strace.target import ALL_CAPS, Target

STEPS_SHOWN = 12
_IN_DOUBT = 64  # calls of the parent's threads after a fork that may have taken effect before it


@dataclass
class Memory:
    """An address space. `known`: pages of which the log has told whether they are mapped; `assumed`: those that only must have been."""

    row: int
    users: int = 1
    known: Intervals = field(default_factory=Intervals)
    assumed: Intervals = field(default_factory=Intervals)
    outside: dict[str, Intervals] = field(default_factory=dict)  # mappings that a rule leaves out, by the rule
    segments: dict[int, int] = field(default_factory=dict)  # SysV shared memory: address, pages
    heap_known: bool = False
    heap_start: int = 0  # page
    from_exec: bool = False
    compat: bool = False  # of a 32-bit program
    steps: deque[Entry] = field(default_factory=lambda: deque(maxlen=STEPS_SHOWN + 1))
    calls: int = 0
    pending: list[Pending] = field(default_factory=list)
    own: Intervals = field(default_factory=Intervals)  # what it has told of itself since it was copied
    young: list[tuple[Memory, int]] = field(default_factory=list)  # copies made while other threads may have had calls in progress

    def told(self, start: int, end: int) -> None:
        """The log has told what is at [start, end)."""
        self.known.add(start, end)
        self.own.add(start, end)
        self.assumed.remove(start, end)
        for part in self.outside.values():
            part.remove(start, end)
        if self.young:
            self.young = [(copy, left - 1) for copy, left in self.young if left > 0 and copy.users > 0]
            for copy, _ in self.young:
                copy.doubt(start, end)

    def doubt(self, start: int, end: int) -> None:
        """Whether a change of [start, end) came before or after this copy was made isn't known."""
        for first, last in self.own.missing(start, end):
            self.known.remove(first, last)
            self.assumed.add(first, last)


@dataclass
class Pending:
    """An unmapping whose line is cut, carried out before its result is known, because another call needs the place."""

    pid: int
    start: int
    length: int
    result: int | None = None


@dataclass
class Privileges:
    """What a task may do. `sure`: the log has shown it; else it is assumed until a call decides."""

    caps: int = ALL_CAPS
    sure: bool = False
    decided: bool = False
    weak: bool = False  # ... by an answer that may have another reason
    euid: int | None = None
    saved_caps: int | None = None  # what the saved user id gives back, and whether it is sure
    saved_sure: bool = False

    def copy(self) -> Privileges:
        """Those of a child."""
        return replace(self)


@dataclass
class Group:
    """A process: what its threads share."""

    tid: int
    tasks: int = 1
    known_limits: set[int] = field(default_factory=set)
    seen: bool = False  # the log has a line of it
    diverged: bool = False


@dataclass
class Task:
    """A thread or process of the log."""

    pid: int
    tid: int
    memory: Memory
    group: Group
    files: Descriptors
    privileges: Privileges
    filtered: bool = False  # it has a seccomp filter


class Processes:
    """All tasks that live at a point of the log, by their number in it."""

    def __init__(self, machine: Target) -> None:
        self._machine = machine
        self.alive: dict[int, Task] = {}

    def start(self, pid: int) -> Task:
        """A process that the log doesn't tell the beginning of."""
        machine = self._machine
        tid = machine.new_tid()
        memory = Memory(machine.new_mm())
        machine.exec(tid, memory.row)
        machine.default_limits(tid)
        task = Task(pid, tid, memory, Group(tid), Descriptors(), Privileges())
        self._enter(task)
        self.apply_privileges(task)
        return task

    def _enter(self, task: Task) -> None:
        if task.pid in self.alive:
            self.end(task.pid)
        self.alive[task.pid] = task

    def rename(self, old: int, pid: int) -> Task:
        """A task has another number from now on."""
        task = self.alive.pop(old, None)
        if task is None:
            return self.start(pid)
        task.pid = pid
        self._enter(task)
        return task

    def apply_privileges(self, task: Task) -> None:
        """Tell the machine what a task may do."""
        self._machine.set_caps(task.tid, task.privileges.caps)

    def fork(self, parent: Task, pid: int, shares_memory: bool, is_thread: bool, shares_files: bool) -> Task:
        """A child of a task: a thread, a process with the same memory, or one with a copy."""
        machine = self._machine
        tid = machine.new_tid()
        old = parent.memory
        if shares_memory or is_thread:
            machine.step(parent.tid, rt.STEP_SHARE, tid, int(is_thread))
            memory = old
            memory.users += 1
        else:
            row = machine.new_mm()
            if machine.step(parent.tid, rt.STEP_COPY, tid, row) < 0:
                machine.free_mm(row)
                machine.free_tid(tid)
                return self.start(pid)
            memory = Memory(row, 1, old.known.copy(), old.assumed.copy(), {rule: part.copy() for rule, part in old.outside.items()})
            memory.segments, memory.heap_known, memory.from_exec = old.segments.copy(), old.heap_known, old.from_exec
            memory.heap_start = old.heap_start
            memory.steps.extend(old.steps)
            memory.calls = old.calls
            if old.users > 1:
                old.young.append((memory, _IN_DOUBT))
        group = parent.group if is_thread else Group(tid, 1, parent.group.known_limits.copy())
        files = parent.files if shares_files else parent.files.copy()
        task = Task(pid, tid, memory, group, files, parent.privileges.copy(), parent.filtered)
        if is_thread:
            group.tasks += 1
        self._enter(task)
        return task

    def exec(self, task: Task) -> None:
        """A task begins a new program."""
        machine = self._machine
        row = machine.new_mm()
        old = task.memory
        machine.exec(task.tid, row)
        self._leave(old)
        task.memory = Memory(row, from_exec=True)
        task.files = task.files.copy()
        task.files.exec()

    def _leave(self, memory: Memory) -> None:
        memory.users -= 1
        if memory.users == 0:
            self._machine.free_mm(memory.row)

    def end(self, pid: int) -> None:
        """A task ends."""
        task = self.alive.pop(pid, None)
        if task is None:
            return
        machine = self._machine
        machine.step(task.tid, rt.STEP_END)
        self._leave(task.memory)
        group = task.group
        group.tasks -= 1
        if task.tid != group.tid:
            machine.free_tid(task.tid)
        if group.tasks == 0:
            machine.free_tid(group.tid)

    def superseded(self, leader: int, thread: int) -> None:
        """The thread that called execve goes on under its process's number; the leader is gone."""
        task = self.alive.pop(thread, None)
        self.end(leader)
        if task is not None:
            task.pid = leader
            self.alive[leader] = task
