"""A log as a program: what each of its lines lets the simulated machine do, as rows of numbers.

The rules by which a log is read are those of its replay; but what the replay asks a kernel is asked a map of what is mapped where,
and every call is taken to be answered as the log says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmsim.errors import VmsimError
from vmsim.spec.flags import MREMAP_DONTUNMAP
from vmsim.struct import kernel as kn
from vmsim.struct import streams as st
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.errno import EFAULT
from vmsim.struct.files import FMODE_WRITE
from vmsim.struct.syscalls import SYS_BRK, SYS_FTRUNCATE, SYS_MINCORE, SYS_MMAP, SYS_MREMAP, SYS_MUNMAP
from vmsim.workload import replay_tasks as rt
from vmsim.workload.strace.intervals import Intervals
from vmsim.workload.strace.target import ALL_CAPS, PAGE_SHIFT, VM_MAY

TASKS = 2048
MAIN = 1
_LARGEST_FILE = 1 << 22  # pages
_MOST_FILES = 3500
_MMAP_MIN_ADDR = 65536
_MAPPED = v.VM_READ | v.VM_WRITE | VM_MAY


class Notes:
    """Tables for what a log tells; nothing but the script's own rows comes from them."""

    def __init__(self) -> None:
        self.mm = np.zeros((TASKS + 2, v.MM_COLUMNS), np.int64)
        self.task = np.zeros((TASKS + 2, t.TASK_COLUMNS), np.int64)
        self.rlim = np.full((TASKS + 2, 2 * t.NR_RLIMITS), t.RLIM_INFINITY, np.int64)
        self.sysctl = np.zeros(kn.NR_SYSCTL, np.int64)
        self.sc = np.zeros(kn.NR_SCALARS, np.int64)
        self.sysctl[kn.SYS_MMAP_MIN_ADDR] = _MMAP_MIN_ADDR


@dataclass
class LogFile:
    """A file that a log maps: `pages` it has at its longest."""

    path: str
    kind: int
    size: int = 0
    pages: int = 0


class Space:
    """What is mapped where in an address space."""

    def __init__(self) -> None:
        self.mapped = Intervals()
        self.growing = Intervals()
        self.heap = 0

    def copy(self) -> Space:
        """That of a child."""
        other = Space()
        other.mapped, other.growing, other.heap = self.mapped.copy(), self.growing.copy(), self.heap
        return other


class Script:
    """Collects rows, ROW_COLUMNS numbers each, in `rows`; the caller empties it. Files are numbered from `first_file` on."""

    def __init__(self, task_pages: int, first_file: int = 1) -> None:
        self.kernel = Notes()
        self.task_pages = task_pages
        self.rows: list[int] = []
        self.files: list[LogFile] = []
        self.made = 0  # tasks besides the first
        self._first_file = first_file
        self._spaces: dict[int, Space] = {}  # by task
        self._tids = list(range(TASKS, 0, -1))
        self._mms = list(range(TASKS, 0, -1))
        self._caps: dict[int, int] = {}
        self._opening = 0

    def _row(self, tid: int, kind: int, *numbers: int, expected: int = 0, place: int = 0) -> None:
        padding = (0,) * (6 - len(numbers))
        self.rows.extend((tid, kind, *numbers, *padding, expected, place))

    def step(self, tid: int, step: int, *numbers: int) -> int:
        """Note that a task makes a child, or ends."""
        if step == rt.STEP_END:
            self._end(tid)
            return 0
        child = numbers[0]
        if step == rt.STEP_COPY:
            self._spaces[child] = self._spaces[tid].copy()
            self._row(tid, st.ROW_COPY, child)
        else:
            self._spaces[child] = self._spaces[tid]
            self._row(tid, st.ROW_SHARE, child, numbers[1])
        self._caps[child] = self._caps.get(tid, ALL_CAPS)
        self.made += 1
        return child

    def _end(self, tid: int) -> None:
        """The log's first task stays for those that the log doesn't tell the beginning of, with nothing mapped if others live on."""
        self._spaces.pop(tid, None)
        if tid != MAIN:
            self._row(tid, st.ROW_END)
        elif self._spaces:
            self._row(MAIN, st.ROW_EXEC)

    def finish(self) -> None:
        """The log ends, and with it the tasks whose end it doesn't tell."""
        for tid in sorted(self._spaces):
            if tid != MAIN:
                self._row(tid, st.ROW_END)

    def call(self, tid: int, nr: int, numbers: list[int], place: int = 0, expected: int = 0) -> int:
        """Note a call, and what of the address space its answer changes; it is `expected`."""
        if nr == SYS_MINCORE and expected == -EFAULT:
            return expected  # by its vector, which is no argument of the simulated call
        a = [number - (1 << 64) if number >= 1 << 63 else number for number in numbers]
        self._row(tid, nr, *a, expected=expected, place=place)
        if expected >= 0:
            self._change(self._spaces[tid], nr, a, expected)
        return expected

    def _change(self, space: Space, nr: int, a: list[int], result: int) -> None:
        if nr == SYS_MMAP:
            start, end = _pages(result, a[1])
            space.growing.remove(start, end)
            space.mapped.add(start, end)
            if a[3] & v.VM_GROWSDOWN:  # MAP_GROWSDOWN is the same bit
                space.growing.add(start, end)
        elif nr == SYS_MUNMAP:
            _unmap(space, *_pages(a[0], a[1]))
        elif nr == SYS_MREMAP:
            if not a[3] & MREMAP_DONTUNMAP and a[1] > 0:
                _unmap(space, *_pages(a[0], a[1]))
            space.mapped.add(*_pages(result, a[2]))
        elif nr == SYS_BRK:
            before, after = (-(-end >> PAGE_SHIFT) for end in (space.heap, result))
            (space.mapped.add if after > before else space.mapped.remove)(min(before, after), max(before, after))
            space.heap = result

    def first_gap(self, tid: int, start: int, end: int) -> tuple[int, int] | None:
        """The first part of [start, end) that is not mapped."""
        missing = self._spaces[tid].mapped.missing(start, end)
        return missing[0] if missing else None

    def flags(self, tid: int, page: int) -> int:
        """VM_* flags of a mapped page, as far as they are known; 0 if it is not mapped."""
        space = self._spaces[tid]
        if not space.mapped.overlaps(page, page + 1):
            return 0
        return _MAPPED | (v.VM_GROWSDOWN if space.growing.overlaps(page, page + 1) else 0)

    def grows_to(self, tid: int, page: int) -> bool:
        """A growing-down mapping above a page grows down to it."""
        gap = self._spaces[tid].mapped.missing(page, self.task_pages)
        if not gap or gap[0][0] != page:
            return False
        self.map(tid, page, gap[0][1], _MAPPED | v.VM_GROWSDOWN)
        return True

    def map(self, tid: int, start: int, end: int, flags: int) -> None:
        """Map memory, whatever was there before."""
        if not 0 <= start < end <= self.task_pages:
            return
        space = self._spaces[tid]
        space.mapped.add(start, end)
        (space.growing.add if flags & v.VM_GROWSDOWN else space.growing.remove)(start, end)
        self._row(tid, st.ROW_MAP, start, end - start, flags)

    def heap(self, tid: int, start: int, address: int) -> None:
        """Let a task's heap begin at `start` (-1: as before) and end at `address`, in bytes."""
        self._spaces[tid].heap = address
        self._row(tid, st.ROW_HEAP, start, address)

    def brk(self, tid: int) -> int:
        """Where the heap ends, in bytes."""
        return self._spaces[tid].heap

    def heap_end(self, tid: int) -> int:
        """The page after the heap."""
        return -(-self._spaces[tid].heap >> PAGE_SHIFT)

    def new_tid(self) -> int:
        """A number for a task. Raises VmsimError if a log has too many at once."""
        if not self._tids:
            raise VmsimError(f"more than {TASKS} processes and threads at once")
        return self._tids.pop()

    def free_tid(self, tid: int) -> None:
        """Give a number back; that of the log's first task is its own."""
        if tid != MAIN:
            self._tids.append(tid)

    def new_mm(self) -> int:
        """A number for an address space."""
        if not self._mms:
            raise VmsimError(f"more than {TASKS} address spaces at once")
        return self._mms.pop()

    def free_mm(self, mm: int) -> None:
        """Give a number back."""
        self._mms.append(mm)

    def exec(self, tid: int, mm: int) -> None:
        """Give a task an empty address space; one that the log doesn't tell the beginning of begins with it."""
        if tid not in self._spaces and tid != MAIN:
            self._row(MAIN, st.ROW_SHARE, tid, 0)
            self.made += 1
        self._spaces[tid] = Space()
        self._row(tid, st.ROW_EXEC)

    def default_limits(self, tid: int) -> None:
        """They are those of the simulated task."""

    def set_limit(self, tid: int, resource: int, soft: int, hard: int, new: bool) -> None:
        """A process sets a limit; those that it only asks for are the simulated task's."""
        if new:
            self._row(tid, st.ROW_LIMIT, resource, soft, hard)

    def set_caps(self, tid: int, caps: int) -> None:
        """A task keeps only these of its capabilities, or gets them back."""
        if caps != self._caps.get(tid, ALL_CAPS):
            self._caps[tid] = caps
            self._row(tid, st.ROW_CAPS, caps)

    def new_file(self, size: int, kind: int, path: str) -> int:
        """A number for a file that is mapped."""
        if len(self.files) >= _MOST_FILES:
            raise VmsimError(f"more than {_MOST_FILES} files are mapped")
        self.files.append(LogFile(path, kind))
        row = self._first_file + len(self.files) - 1
        self.resize_file(row, size)
        return row

    def resize_file(self, row: int, size: int) -> None:
        """Let a file be `size` bytes long."""
        file = self.files[row - self._first_file]
        size = min(size, _LARGEST_FILE << PAGE_SHIFT)
        if size < file.size:
            self._row(MAIN, SYS_FTRUNCATE, row << 2 | FMODE_WRITE, size)
        elif size > file.size:
            self._row(MAIN, st.ROW_RESIZE, row, size)
        file.size = size
        file.pages = max(file.pages, -(-size >> PAGE_SHIFT))

    def is_mapped(self, row: int) -> bool:
        """Files keep their rows."""
        return True

    def forget_file(self, row: int) -> None:
        """Files keep their rows."""

    def files_are_scarce(self) -> bool:
        """Files keep their rows."""
        return False

    def new_opening(self) -> int:
        """A number that tells one opening of a file from another."""
        self._opening = (self._opening + 1) % (1 << 20) or 1
        return self._opening


def _pages(address: int, length: int) -> tuple[int, int]:
    return address >> PAGE_SHIFT, (address + length + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT


def _unmap(space: Space, start: int, end: int) -> None:
    space.mapped.remove(start, end)
    space.growing.remove(start, end)
