"""What a log's calls are carried out by: a kernel that answers them, or a script that notes what is to be done."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import tasks as t
from vmsim.struct import vmas as v

PAGE_SHIFT = 12
ALL_CAPS = t.CAP_IPC_LOCK | t.CAP_SYS_RESOURCE | t.CAP_SYS_ADMIN | t.CAP_SYS_NICE | t.CAP_SYS_RAWIO
VM_MAY = v.VM_MAYREAD | v.VM_MAYWRITE | v.VM_MAYEXEC


class Tables(Protocol):
    """The tables of a kernel that a log tells something of."""

    mm: NDArray[np.int64]
    rlim: NDArray[np.int64]
    sysctl: NDArray[np.int64]
    sc: NDArray[np.int64]
    task: NDArray[np.int64]


class Target(Protocol):
    """Rows of tasks, address spaces and files, and what is done with them, in pages where nothing else is said."""

    @property
    def kernel(self) -> Tables:
        """Its tables."""

    @property
    def task_pages(self) -> int:
        """Pages of an address space."""

    def step(self, tid: int, step: int, *numbers: int) -> int:
        """Carry out one of the STEP_*; its result."""

    def call(self, tid: int, nr: int, numbers: list[int], place: int = 0, expected: int = 0) -> int:
        """Carry out a system call; a mapping without an address is put at the page `place` if it is free. `expected` is the answer in
        the log. Returns value or -errno; raises MemoryError if it would have to wait for memory.
        """

    def first_gap(self, tid: int, start: int, end: int) -> tuple[int, int] | None:
        """The first part of [start, end) that is not mapped."""

    def flags(self, tid: int, page: int) -> int:
        """The VM_* flags of a page's VMA, 0 if it is not mapped."""

    def grows_to(self, tid: int, page: int) -> bool:
        """Touch a page below a growing-down mapping: whether it grew down to it."""

    def map(self, tid: int, start: int, end: int, flags: int) -> None:
        """Map memory, whatever was there before; what can't be mapped stays free."""

    def heap(self, tid: int, start: int, address: int) -> None:
        """Let a task's heap begin at `start` (-1: as before) and end at `address`, in bytes."""

    def brk(self, tid: int) -> int:
        """Where the heap ends, in bytes."""

    def heap_end(self, tid: int) -> int:
        """The page after the heap."""

    def new_tid(self) -> int:
        """A row for a task. Raises VmsimError if a log has too many at once."""

    def free_tid(self, tid: int) -> None:
        """Give a row back."""

    def new_mm(self) -> int:
        """A row for an address space."""

    def free_mm(self, mm: int) -> None:
        """Give a row back."""

    def exec(self, tid: int, mm: int) -> None:
        """Give a task an empty address space."""

    def default_limits(self, tid: int) -> None:
        """The limits of a process whose beginning the log doesn't tell."""

    def set_limit(self, tid: int, resource: int, soft: int, hard: int, new: bool) -> None:
        """The log says what a limit of a process is."""

    def set_caps(self, tid: int, caps: int) -> None:
        """The log says what a task may do."""

    def new_file(self, size: int, kind: int, path: str) -> int:
        """A row for a file of `size` bytes, all of it a hole."""

    def resize_file(self, row: int, size: int) -> None:
        """Let a file be `size` bytes long."""

    def is_mapped(self, row: int) -> bool:
        """Whether some process maps a file."""

    def forget_file(self, row: int) -> None:
        """A file that nobody has open or maps gives its row back."""

    def files_are_scarce(self) -> bool:
        """Whether rows of files should be given back."""

    def new_opening(self) -> int:
        """A number that tells one opening of a file from another."""
