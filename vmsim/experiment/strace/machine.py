"""The machine that logs are replayed on: many processes, files in memory, and no time; made once and used for one log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vmsim.arch.rules import rules_of
from vmsim.errors import ImpossibleState, VmsimError
from vmsim.experiment.conform.rig import PAGE_SIZE, Rig, as_signed
from vmsim.mm.task_mmu import VW_RESULT, VW_VALUES
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.syscalls import SYS_BRK, SYS_FTRUNCATE
from vmsim.workload import replay as r
from vmsim.workload import replay_tasks as rt
from vmsim.workload.replay import replay_step
from vmsim.workload.strace.target import PAGE_SHIFT

FRAMES = 1 << 21  # 8 GiB
TASKS = 2048
FILE_SLOTS = 1 << 26
_LARGEST_FILE = 1 << 22  # pages
_FILE_ROWS = 4000
_OPENINGS = 1 << 20
_MMAP_MIN_ADDR = 65536  # Model: CONFIG_DEFAULT_MMAP_MIN_ADDR of distributions' kernels
_MAX_MAP_COUNT = 65530
_STACK_LIMIT = 8 << 20
_MEMLOCK_LIMIT = {False: 64 << 10, True: 8 << 20}  # since 5.16: include/uapi/linux/resource.h (MLOCK_LIMIT)
_STACK_GUARD_PAGES = 256


class Machine:
    """Rows of tasks, address spaces and files are handed out here; every change of the memory is a step of the kernel's functions."""

    def __init__(self, version: str, switched: Mapping[str, bool] | None = None, frames: int = FRAMES) -> None:
        self.rig = Rig(switched, None, frames, TASKS, FILE_SLOTS)
        self.kernel = kernel = self.rig.kernel
        self.k = self.rig.k
        rules = rules_of(version, self.rig.switched)
        kernel.rule[: len(rules)] = rules
        sysctl = kernel.sysctl
        sysctl[kn.SYS_FAULT_AROUND_PAGES] = 1
        sysctl[kn.SYS_MAX_MAP_COUNT] = _MAX_MAP_COUNT
        sysctl[kn.SYS_MMAP_MIN_ADDR] = _MMAP_MIN_ADDR
        sysctl[kn.SYS_STACK_GUARD_PAGES] = _STACK_GUARD_PAGES
        sysctl[kn.SYS_OVERCOMMIT_RATIO] = 50
        kernel.sc[kn.SC_TOTALRAM] = 1 << 50  # not known: nothing is refused for being too large
        kernel.sc[kn.SC_NR_TASKS] = 1
        self.modern = version not in ("4.3", "4.4")
        self.task_pages = int(kernel.geo[kn.G_TASK_PAGES])
        self._tids = list(range(TASKS, 0, -1))
        self._mms = list(range(TASKS, 0, -1))
        self._shown = kernel.shown.data
        self._opening = 0

    def step(self, tid: int, step: int, *numbers: int) -> int:
        """Carry out a step; its result."""
        a = numbers + (0,) * (6 - len(numbers))
        self.kernel.sc[kn.SC_TASK] = tid
        if replay_step(self.k, tid, step, a[0], a[1], a[2], a[3], a[4], a[5]) < 0:
            raise ImpossibleState("a call of a replayed log would sleep")
        return self._shown[VW_RESULT]

    def call(self, tid: int, nr: int, numbers: list[int], place: int = 0, expected: int = 0) -> int:
        """Carry out a system call; a mapping without an address is put at the page `place` if it is free. Returns value or -errno."""
        self.kernel.sc[kn.SC_PLACE] = place
        a = [as_signed(number) for number in numbers] + [0] * (6 - len(numbers))
        asleep = replay_step(self.k, tid, r.STEP_QUIET + nr, a[0], a[1], a[2], a[3], a[4], a[5])
        self.kernel.sc[kn.SC_PLACE] = 0
        if asleep < 0:
            self.kernel.task[tid, t.T_STAGE] = 0
            raise MemoryError
        return self._shown[VW_RESULT]

    def first_gap(self, tid: int, start: int, end: int) -> tuple[int, int] | None:
        """The first part of [start, end) that is not mapped."""
        at = self.step(tid, rt.STEP_GAP, start, end)
        return None if at < 0 else (at, self._shown[VW_VALUES])

    def flags(self, tid: int, page: int) -> int:
        """The VM_* flags of a page's VMA, 0 if it is not mapped."""
        return self.step(tid, rt.STEP_FLAGS, page)

    def grows_to(self, tid: int, page: int) -> bool:
        """Touch a page below a growing-down mapping: whether it grew down to it."""
        return self.step(tid, r.STEP_TOUCH, page, 1, 1, 1, 1) == 1

    def map(self, tid: int, start: int, end: int, flags: int) -> None:
        """Map memory, whatever was there before; what can't be mapped stays free."""
        if 0 <= start < end <= self.task_pages:
            self.step(tid, r.STEP_MAP, start, end - start, flags, 0, 0 if flags & v.VM_SHARED else start)

    def heap(self, tid: int, start: int, address: int) -> None:
        """Let a task's heap begin at `start` and end at `address`, in bytes."""
        self.step(tid, rt.STEP_HEAP, start, address)

    def brk(self, tid: int) -> int:
        """Where the heap ends, in bytes."""
        return self.call(tid, SYS_BRK, [0])

    def heap_end(self, tid: int) -> int:
        """The page after the heap."""
        return -(-self.brk(tid) >> PAGE_SHIFT)

    def new_tid(self) -> int:
        """A row for a task. Raises VmsimError if a log has too many at once."""
        if not self._tids:
            raise VmsimError(f"more than {TASKS} processes and threads at once")
        return self._tids.pop()

    def free_tid(self, tid: int) -> None:
        """Give a row back."""
        self.kernel.task[tid] = 0
        self._tids.append(tid)

    def new_mm(self) -> int:
        """A row for an address space."""
        if not self._mms:
            raise VmsimError(f"more than {TASKS} address spaces at once")
        return self._mms.pop()

    def free_mm(self, mm: int) -> None:
        """Give a row back."""
        self._mms.append(mm)

    def exec(self, tid: int, mm: int) -> None:
        """Give a task an empty address space."""
        self.step(tid, rt.STEP_EXEC, mm, self.task_pages, self.task_pages - (1 << 15))
        # The image isn't known; as far as totals matter it has the pages of a small program, its interpreter, stack and vDSO.
        self.kernel.mm[mm, v.MM_TOTAL_VM] += 100
        self.kernel.mm[mm, v.MM_DATA_VM] += 4

    def default_limits(self, tid: int) -> None:
        """The limits that a login shell has."""
        row = self.kernel.rlim[tid]
        row[:] = t.RLIM_INFINITY
        row[2 * t.RLIMIT_STACK] = _STACK_LIMIT
        row[2 * t.RLIMIT_MEMLOCK : 2 * t.RLIMIT_MEMLOCK + 2] = _MEMLOCK_LIMIT[self.modern]

    def set_limit(self, tid: int, resource: int, soft: int, hard: int, new: bool) -> None:
        """Set a limit of a process."""
        self.kernel.rlim[tid, 2 * resource : 2 * resource + 2] = soft, hard

    def set_caps(self, tid: int, caps: int) -> None:
        """Say what a task may do."""
        self.kernel.task[tid, t.T_CAPS] = caps

    def new_file(self, size: int, kind: int, path: str) -> int:
        """A row for a file of `size` bytes, all of it a hole; its contents don't matter."""
        table = self.kernel.file
        used = int(self.kernel.sc[kn.SC_FILE_NEXT])
        idle = np.flatnonzero(table[1 : used + 1, f.FI_REFS] + table[1 : used + 1, f.FI_MAPCOUNT] == 0)
        row = int(idle[0]) + 1 if len(idle) else used + 1
        if row >= _FILE_ROWS:
            raise VmsimError(f"more than {_FILE_ROWS} files are mapped at once")
        self.kernel.sc[kn.SC_FILE_NEXT] = max(used, row)
        table[row] = 0
        table[row, f.FI_KIND] = kind
        table[row, f.FI_REFS] = 1
        table[row, f.FI_DEVICE] = table[row, f.FI_PREV_POS] = -1
        self.resize_file(row, size)
        return row

    def resize_file(self, row: int, size: int) -> None:
        """Let a file be `size` bytes long; its cache gets room for that if it hasn't yet."""
        if size < self.kernel.file[row, f.FI_SIZE]:
            self.call(0, SYS_FTRUNCATE, [row << 2 | f.FMODE_WRITE, size])
            return
        pages = min(-(-size // PAGE_SIZE), _LARGEST_FILE)
        room = int(self.kernel.file[row, f.FI_CAPACITY])
        if pages > room:
            wanted = max(pages, min(2 * room, _LARGEST_FILE))
            slot = int(self.kernel.sc[kn.SC_PCACHE_NEXT])
            if slot + wanted > int(self.kernel.sc[kn.SC_PCACHE_ROWS]):
                raise VmsimError("the files that are mapped have more pages than can be replayed")
            self.kernel.sc[kn.SC_PCACHE_NEXT] = f.next_slots(slot, wanted)
            self.step(0, rt.STEP_RESIZE, row, slot, wanted)
        self.kernel.file[row, f.FI_SIZE] = min(size, pages * PAGE_SIZE)

    def is_mapped(self, row: int) -> bool:
        """Whether some process maps a file."""
        return bool(self.kernel.file[row, f.FI_MAPCOUNT] > 0)

    def forget_file(self, row: int) -> None:
        """A file that nobody has open or maps gives its row back."""
        self.step(0, rt.STEP_FORGET, row)

    def files_are_scarce(self) -> bool:
        """Whether rows of files should be given back."""
        return bool(self.kernel.sc[kn.SC_FILE_NEXT] > _FILE_ROWS // 2)

    def new_opening(self) -> int:
        """A number that tells one opening of a file from another."""
        self._opening = (self._opening + 1) % _OPENINGS or 1
        return self._opening
