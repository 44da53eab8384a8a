"""What a log leaves open and the replay has to assume: kept as counts by what is said of it."""

from __future__ import annotations

from collections import Counter

from vmsim.spec.flags import PROT_GROWSDOWN
from vmsim.struct import kernel as kn
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.errno import EAGAIN, ENOMEM, EPERM
from vmsim.struct.syscalls import SYS_MUNMAP
from vmsim.workload.strace.process import Task
from vmsim.workload.strace.target import ALL_CAPS, PAGE_SHIFT, VM_MAY, Target

_PLAIN = v.VM_READ | v.VM_WRITE | VM_MAY
_NEAR = 128  # VMAs of an image that no log shows
_LARGEST_HIDDEN = 1 << 16  # pages
_LOCKING = frozenset({"mlock", "mlock2", "mlockall", "mmap", "mremap", "brk"})
IMAGE = "ranges of memory that no call of the log maps, but that later calls find mapped: parts of program images, stacks, vDSO"
WITHDRAWN = "such ranges that turned out to be free"
GROWN = "touches, which no log shows, that let a growing-down mapping grow"
HEAP = "heaps that begin where the first brk of the program says"


class Assumptions:
    """Makes the simulated state agree with what an answer tells of the part that the log doesn't show."""

    def __init__(self, machine: Target) -> None:
        self._machine = machine
        self.made: Counter[str] = Counter()
        self._largest_charge = 0

    def mapped(self, task: Task, start: int, end: int, prot: int = 0) -> None:
        """A call found [start, end) mapped: what of it the log has never told anything of was mapped before."""
        machine, memory = self._machine, task.memory
        end = min(end, machine.task_pages)
        at = start
        flags = _PLAIN | (v.VM_GROWSDOWN if prot & PROT_GROWSDOWN else 0)
        while at < end:
            gap = machine.first_gap(task.tid, at, end)
            if gap is None:
                return
            above = machine.first_gap(task.tid, gap[0], machine.task_pages)
            if above and machine.flags(task.tid, above[1]) & v.VM_GROWSDOWN and machine.grows_to(task.tid, gap[0]):
                self.made[GROWN] += 1
                continue
            for first, last in memory.known.missing(*gap):
                machine.map(task.tid, first, last, flags)
                memory.assumed.add(first, last)
                self.made[IMAGE] += 1
            at = gap[1]
        memory.known.add(start, end)

    def free(self, task: Task, start: int, end: int) -> None:
        """A call found [start, end) free: what was only assumed to be there goes."""
        memory = task.memory
        if not memory.assumed.overlaps(start, end):
            return
        for first, last in memory.assumed.parts(start, end):
            self._machine.call(task.tid, SYS_MUNMAP, [first << PAGE_SHIFT, (last - first) << PAGE_SHIFT])
            self.made[WITHDRAWN] += 1
        memory.assumed.remove(start, end)

    def taken(self, task: Task, start: int, end: int) -> None:
        """A hint was passed over although nothing is known to be there: a page of it, at least, is mapped."""
        gap = self._machine.first_gap(task.tid, start, min(end, self._machine.task_pages))
        if gap != (start, end):
            return
        for first, _ in task.memory.known.missing(start, end)[:1]:
            self.mapped(task, first, first + 1)

    def heap(self, task: Task, result: int) -> None:
        """The first break of a program."""
        # A heap whose beginning the log doesn't show may shrink to anywhere.
        task.memory.heap_start = -(-result >> PAGE_SHIFT)
        self._machine.heap(task.tid, result if task.memory.from_exec else 1, result)
        task.memory.heap_known = True
        self.made[HEAP] += 1

    def privileges(self, task: Task, name: str, pages: int, locks: bool, error: int, complete: bool, start: int = 0) -> None:
        """Decide by an answer whether a task may lock without limit, where nothing else in the log has.

        `pages`: how many more would be locked, from page `start` on where that is not 0; `locks`: whether the call locks; `error`: what
        the log says, 0 if it succeeded; `complete`: whether the whole range is mapped, so that ENOMEM can only mean the limit.
        """
        privileges = task.privileges
        if privileges.sure or privileges.decided or name not in _LOCKING or not locks:
            return
        machine = self._machine
        row = machine.kernel.rlim[task.group.tid]
        limit = int(row[2 * t.RLIMIT_MEMLOCK])
        known = t.RLIMIT_MEMLOCK in task.group.known_limits
        locked = int(machine.kernel.mm[task.memory.row, v.MM_LOCKED_VM])
        over = limit != t.RLIM_INFINITY and locked + pages > limit >> PAGE_SHIFT
        if error == 0:
            if over and known and locked + pages - self._locked_already(task, start, pages) > limit >> PAGE_SHIFT:
                self._decide(task, True)
        elif error == EPERM:
            if not known:
                row[2 * t.RLIMIT_MEMLOCK] = 0
            self._decide(task, False)
        elif complete and over and error in (ENOMEM, EAGAIN):
            self._decide(task, False)

    def _locked_already(self, task: Task, start: int, pages: int) -> int:
        """How many of these pages are locked."""
        if not start or pages > _LARGEST_HIDDEN:
            return 0
        return sum(1 for page in range(start, start + pages) if self._machine.flags(task.tid, page) & v.VM_LOCKED)

    def lower_limit(self, task: Task, pages: int) -> bool:
        """Whether a lock that fails in the log alone can have met a limit; then it is so low from now on."""
        privileges = task.privileges
        if privileges.sure or privileges.decided or t.RLIMIT_MEMLOCK in task.group.known_limits or pages <= 0:
            return False
        locked = int(self._machine.kernel.mm[task.memory.row, v.MM_LOCKED_VM])
        self._machine.kernel.rlim[task.group.tid, 2 * t.RLIMIT_MEMLOCK] = min(max((locked + pages - 1) << PAGE_SHIFT, 1), 1 << 62)
        self.made["lower limits of locked memory than usual, by the calls that failed"] += 1
        self._decide(task, False)
        privileges.weak = True
        return True

    def no_limit(self, task: Task) -> bool:
        """Whether a lock that fails here alone met a limit that was assumed without need; then it is not so low."""
        privileges = task.privileges
        if not privileges.weak:
            return False
        privileges.weak = privileges.decided = False
        privileges.caps = ALL_CAPS
        row = self._machine.kernel.rlim[task.group.tid]
        row[2 * t.RLIMIT_MEMLOCK] = row[2 * t.RLIMIT_MEMLOCK + 1]
        self._machine.kernel.task[task.tid, t.T_CAPS] = privileges.caps
        self.made["such limits that turned out not to be there"] += 1
        return True

    def _decide(self, task: Task, privileged: bool) -> None:
        privileges = task.privileges
        privileges.caps = privileges.caps | t.CAP_IPC_LOCK if privileged else 0
        privileges.decided = True
        self._machine.kernel.task[task.tid, t.T_CAPS] = privileges.caps
        self.made[f"tasks {'with' if privileged else 'without'} CAP_IPC_LOCK, by their first call that shows it"] += 1

    def charged(self, pages: int) -> None:
        """The machine granted so many pages at once."""
        self._largest_charge = max(self._largest_charge, pages)

    def refused(self, task: Task, pages: int) -> bool:
        """Whether an ENOMEM that the simulation doesn't give can come from what the log doesn't tell; then it is so from now on."""
        kernel = self._machine.kernel
        row = kernel.mm[task.memory.row]
        count = int(row[v.MM_MAP_COUNT])
        if int(kernel.sysctl[kn.SYS_MAX_MAP_COUNT]) - _NEAR <= count:
            kernel.sysctl[kn.SYS_MAX_MAP_COUNT] = count - 1
            self.made["VMAs of the image that count against max_map_count"] += 1
            return True
        limits = kernel.rlim[task.group.tid]
        for resource, column in ((t.RLIMIT_AS, v.MM_TOTAL_VM), (t.RLIMIT_DATA, v.MM_DATA_VM)):
            limit = int(limits[2 * resource])
            if limit != t.RLIM_INFINITY:
                hidden = (limit >> PAGE_SHIFT) - int(row[column]) + 1
                if 0 < hidden <= _LARGEST_HIDDEN:
                    row[column] += hidden
                    self.made["larger program images, by a limit that was reached"] += 1
                    return True
        if pages > self._largest_charge and pages >= 1 << 16:
            kernel.sc[kn.SC_TOTALRAM] = min(int(kernel.sc[kn.SC_TOTALRAM]), pages - 1)
            self.made[f"the machine has less than {pages << PAGE_SHIFT >> 20} MiB of memory and swap"] = 1
            return True
        return False

    def granted(self, task: Task, pages: int) -> bool:
        """Whether an ENOMEM of the simulation can come from an image that was assumed too large; then it is smaller from now on."""
        kernel = self._machine.kernel
        row = kernel.mm[task.memory.row]
        limits = kernel.rlim[task.group.tid]
        for resource, column in ((t.RLIMIT_AS, v.MM_TOTAL_VM), (t.RLIMIT_DATA, v.MM_DATA_VM)):
            limit = int(limits[2 * resource])
            if limit != t.RLIM_INFINITY:
                excess = int(row[column]) + pages - (limit >> PAGE_SHIFT)
                if 0 < excess <= 100:
                    row[column] -= excess
                    self.made["smaller program images, by a limit that was not reached"] += 1
                    return True
        return False
