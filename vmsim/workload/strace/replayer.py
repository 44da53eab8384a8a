"""A log's lines, one by one: every line goes to the process that it is of, every memory call to what carries it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from vmsim.errors import VmsimError
from vmsim.workload.strace import names as n
from vmsim.workload.strace.assumed import Assumptions
from vmsim.workload.strace.bookkeeping import Bookkeeping, tells
from vmsim.workload.strace.call import ARGUMENTS, Difference, read_call
from vmsim.workload.strace.calls import MemoryCalls
from vmsim.workload.strace.files import Files
from vmsim.workload.strace.left_out import UNCOMPARED
from vmsim.workload.strace.line import BEGUN, CLONES, EXIT, SIGNAL, Line
from vmsim.workload.strace.log import Entry, Log
from vmsim.workload.strace.process import Processes, Task
from vmsim.workload.strace.target import ALL_CAPS, Target
from vmsim.workload.strace.values import descriptor, fields, split_args
from vmsim.workload.trace.format import TraceError

_EXECS = frozenset({"execve", "execveat"})
_MMAPS = frozenset({"mmap2", "old_mmap"})  # as 32-bit programs call it; strace shows the offset in bytes
_CHANGES = frozenset({"sealed mappings", "remap_file_pages"})
_NO_BREAK = frozenset({"NULL", "0", "0 /* NULL */", "0x0"})
_RESTARTS = "ERESTART"


@dataclass(frozen=True)
class Divergence:
    """A call that the simulator answers differently; `steps`: the process's memory calls up to it."""

    path: str
    line: int
    pid: int
    before: int
    steps: list[Entry]
    difference: Difference
    first: bool  # of its process


@dataclass
class Tally:
    """What the replay of a log found."""

    path: str
    kernel: str = ""
    why: str = ""  # it is that kernel
    sequences: int = 0
    steps: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    assumed: Counter[str] = field(default_factory=Counter)
    divergences: list[Divergence] = field(default_factory=list)


def _clone_flags(line: Line) -> int:
    """The CLONE_* flags of a call that makes a child."""
    flags = n.CLONE_VM if line.name == "vfork" else 0
    for text in split_args(line.args):
        found = fields(text).get("flags") if text.startswith("{") else text[6:] if text.startswith("flags=") else None
        if found is not None:
            flags = n.number(found)
    return flags


class Replayer:
    """Hands the calls of one log to a target, and keeps what it answers differently."""

    def __init__(self, log: Log, machine: Target) -> None:
        self._log = log
        self.machine = machine
        self._processes = Processes(self.machine)
        self._files = Files(self.machine)
        self._assumed = Assumptions(self.machine)
        self._calls = MemoryCalls(self.machine, self._files, self._assumed)
        self._book = Bookkeeping(self.machine, self._processes, self._files, self._calls)
        self._cloning: dict[int, tuple[int, int]] = {}  # by the parent: flags of a clone that hasn't returned, and its child's number
        self._execs = 0
        self._unborn = 0  # numbers of children whose number isn't known yet
        self._early: set[int] = set()  # children that the log shows before the call that makes them returns
        self._unseen: dict[int, int] = {}  # children that have done nothing yet, and their place in the order
        self.tally = Tally(log.path)

    def run(self) -> Tally:
        """Replay the whole log. Raises VmsimError, with file and line, for what can't be read."""
        for _ in self.lines():
            pass
        return self.tally

    def lines(self) -> Iterator[int]:
        """Replay the log line by line: the number of each after it. Raises VmsimError, with file and line, for what can't be read."""
        tally = self.tally
        tally.rules, tally.assumed = self._calls.rules, self._assumed.made
        number = 0
        try:
            for number, line in self._log:
                self._line(number, line)
                yield number
        except TraceError:
            raise
        except (ValueError, VmsimError) as error:
            raise TraceError(self._log.path, str(error), "line", number) from None

    def _line(self, number: int, line: Line) -> None:
        if line.kind == EXIT:
            self._exit(line)
            return
        task = self._processes.alive.get(line.pid)
        if task is None:
            task = self._appears(line.pid)
        elif line.pid in self._unseen:
            del self._unseen[line.pid]
        if not task.group.seen:
            task.group.seen = True
            self.tally.sequences += 1
        if line.kind == SIGNAL:
            return
        name = line.name
        if line.kind == BEGUN:
            if name in CLONES:
                self._begins_child(task, line)
            elif name == "munmap":
                self._calls.begin_unmapping(task, line.args)
        elif name in ARGUMENTS:
            self._memory_call(task, Entry(number, line))
        elif name in _MMAPS:
            task.memory.compat = True
            self._memory_call(task, Entry(number, line._replace(name="mmap")))
        elif name in CLONES:
            self._cloned(task, line)
        elif name in _EXECS:
            if line.result == 0:
                self._exec(task)
        elif name in UNCOMPARED:
            self._uncompared(task, line)
        else:
            self.tally.skipped[name] += 1
            if tells(name):
                self._book.note(task, line)

    def _memory_call(self, task: Task, entry: Entry) -> None:
        line = entry.line
        if line.result is None or line.error.startswith(_RESTARTS):
            self._calls.rules["interrupted"] += 1
            return
        if "(INJECTED)" in line.note:
            self._calls.rules["injected"] += 1
            return
        self._missed_exec(task, line)
        call = read_call(task, entry)
        path = None
        if line.name == "mmap" and "<" in line.args:
            path = descriptor(split_args(line.args)[4]).path
        task.memory.steps.append(entry)
        task.memory.calls += 1
        difference = self._calls.replay(call, path)
        if call.rule is None:
            self.tally.steps += 1
        if difference is not None:
            memory, group = task.memory, task.group
            before = max(memory.calls - len(memory.steps), 0)
            steps = list(memory.steps) if not group.diverged else [entry]
            self.tally.divergences.append(Divergence(self._log.path, entry.number, task.pid, before, steps, difference, not group.diverged))
            group.diverged = True

    def _uncompared(self, task: Task, line: Line) -> None:
        """A memory call that is left out; what it changed answers by its rule afterwards."""
        rule = UNCOMPARED[line.name]
        self._calls.rules[rule] += 1
        if line.result == 0 and rule in _CHANGES:
            texts = split_args(line.args)
            if len(texts) < 2:
                raise ValueError(f"{line.name} has at least 2 arguments")
            self._calls.put_outside(task, n.number(texts[0]), n.number(texts[1]), rule)

    # Processes.

    def _begins_child(self, task: Task, line: Line) -> None:
        """The line of a clone is cut. What the child has is what its parent has now: other threads go on meanwhile."""
        flags = _clone_flags(line)
        child = 0
        if not flags & n.CLONE_VM:
            self._unborn -= 1
            child = self._unborn
            self._fork(task, child, flags)
        self._cloning[line.pid] = (flags, child)

    def _appears(self, pid: int) -> Task:
        """A process does something for the first time: the child of a call that hasn't returned, or one that the log begins with."""
        if self._cloning:
            parents = [parent for parent in self._cloning if parent in self._processes.alive]
            wanted = parents[0] if len(parents) == 1 else self._log.parent_of(pid)
            if wanted not in parents and parents:
                wanted = parents[-1]
            if wanted is not None and wanted in self._processes.alive:
                self._early.add(pid)
                flags, child = self._cloning[wanted]
                if child:
                    self._cloning[wanted] = (flags, 0)
                    return self._processes.rename(child, pid)
                return self._fork(self._processes.alive[wanted], pid, flags)
        if self._unseen and pid:  # the call gave its number in another PID namespace
            other = next(reversed(self._unseen))
            del self._unseen[other]
            return self._processes.rename(other, pid)
        return self._processes.start(pid)

    def _cloned(self, task: Task, line: Line) -> None:
        flags, child = self._cloning.pop(line.pid, (_clone_flags(line), 0))
        pid = line.result
        if pid is None or pid <= 0:
            if child:
                self._processes.end(child)
        elif pid in self._early:
            self._early.discard(pid)
        else:
            if child:
                self._processes.rename(child, pid)
            else:
                self._fork(task, pid, flags)
            self._unseen[pid] = 1

    def _fork(self, parent: Task, pid: int, flags: int) -> Task:
        return self._processes.fork(parent, pid, bool(flags & n.CLONE_VM), bool(flags & n.CLONE_THREAD), bool(flags & n.CLONE_FILES))

    def _exec(self, task: Task) -> None:
        self._processes.exec(task)
        self._execs += 1
        privileges = task.privileges
        if privileges.euid:  # capabilities don't outlive execve, but for root; a file may give new ones
            privileges.caps, privileges.sure, privileges.decided = 0, False, False
            self._processes.apply_privileges(task)
        elif privileges.euid == 0 and not privileges.caps:
            privileges.caps, privileges.sure, privileges.decided = ALL_CAPS, False, False
            self._processes.apply_privileges(task)

    def _missed_exec(self, task: Task, line: Line) -> None:
        """In a log that shows no execve at all, a break that is elsewhere than it was is another program's."""
        if not self._execs and line.name == "brk" and task.memory.heap_known and line.args in _NO_BREAK and line.result:
            if self.machine.brk(task.tid) != line.result:
                self._processes.exec(task)
                self._assumed.made["programs whose execve is not in the log, by a heap that is elsewhere"] += 1

    def _exit(self, line: Line) -> None:
        _, child = self._cloning.pop(line.pid, (0, 0))
        if child:
            self._processes.end(child)
        self._unseen.pop(line.pid, None)
        if line.name == "superseded" and line.result is not None:
            self._processes.superseded(line.pid, line.result)
        else:
            self._processes.end(line.pid)
