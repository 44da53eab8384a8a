"""One simulated process that makes system calls one by one, with a tmpfs file of eight pages, as a kernel of any version."""

from __future__ import annotations

from typing import Any

from vmsim.experiment.conform.rig import PAGE_SIZE, PARENT, Rig
from vmsim.experiment.conform.state import StateText
from vmsim.mm.task_mmu import VW_LCK, VW_RESULT, VW_SIGNAL
from vmsim.struct.errno import ERRNO_NAMES
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.workload.replay import FILE, STEP_TOUCH, WINDOW_START

P = PAGE_SIZE
BASE = WINDOW_START * PAGE_SIZE
FIXED, ANON, PRIVATE, SHARED = 0x10, 0x20, 2, 1
RW_FD = FILE << 2 | FMODE_READ | FMODE_WRITE
RO_FD = FILE << 2 | FMODE_READ


def header(kernel: str, size: int, privileged: bool) -> dict[str, Any]:
    """What a recording's header says of such a machine."""
    limit = [-1, -1]
    return {
        "kernel": kernel, "page_size": P, "arena": hex(BASE), "arena_pages": 512, "thp_disabled": True, "cap_ipc_lock": privileged,
        "rlimit_memlock": limit, "rlimit_as": limit, "rlimit_stack": limit, "rlimit_data": limit, "fault_around_bytes": 65536,
        "fault_around_measured": {"pages": 16}, "max_map_count": 65530, "overcommit": [0, 50], "mem_total_kb": 1 << 20,
        "outside": [], "file": {"size": size, "cached": "64."},
    }  # fmt: skip


class Process:
    """`call` answers a value or the name of an errno; pages are numbers from the window's first on."""

    def __init__(self, kernel: str = "6.18", size: int = 8 * P, privileged: bool = True) -> None:
        self.rig = Rig()
        self.rig.begin(header(kernel, size, privileged))

    def call(self, name: str, *arguments: int) -> int | str:
        """Make a system call."""
        result = self.rig.step(PARENT, SYSCALL_NAMES.index(name), *arguments)[VW_RESULT]
        return ERRNO_NAMES[-result] if -4096 < result < 0 else result

    def map(self, first: int = 0, pages: int = 8, prot: int = 3, flags: int = ANON | PRIVATE, fd: int = -1, offset: int = 0) -> int | str:
        """mmap with MAP_FIXED; the first page of the mapping, or an errno's name."""
        result = self.call("mmap", BASE + first * P, pages * P, prot, flags | FIXED, fd, offset)
        return result if isinstance(result, str) else (result - BASE) // P

    def at(self, name: str, first: int, pages: int, *more: int) -> int | str:
        """A call on a range of pages."""
        return self.call(name, BASE + first * P, pages * P, *more)

    def touch(self, page: int, count: int = 1, write: int = 1) -> int:
        """Access pages in order; the signal that ended it, or 0."""
        return self.rig.step(PARENT, STEP_TOUCH, WINDOW_START + page, count, 1, write, 1)[VW_SIGNAL]

    def vma(self, page: int) -> list[Any]:
        """The VMA that holds a page, as a recording has it: start, pages, perms, object, offset, rss, anon, locked, flags."""
        return next(vma for vma in StateText("lf", True).vmas(self.view()) if vma[0] <= page < vma[0] + vma[1])

    def pages(self) -> str:
        """The pages of the window, run by run: `.` nothing, Z the zero page, A anonymous, F of an object."""
        return StateText("lf", True).pages(self.view())

    def cached(self) -> str:
        """The pages of the file that are in memory, run by run."""
        return StateText("lf", True).cached(self.view())

    @property
    def locked(self) -> int:
        """VmLck in pages."""
        return self.view()[VW_LCK]

    def view(self) -> list[int]:
        """The state's numbers."""
        return self.rig.step(PARENT, SYSCALL_NAMES.index("getrusage"), 0, 0)
