"""The kernel as the machine sees it: its tables, and the functions through which it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import ImpossibleState
from vmsim.machine.slices import GOES_ON, account, report
from vmsim.struct.costs import C_CONTEXT_SWITCH
from vmsim.struct.files import B_BLOCK, B_DEVICE, B_PAGES, B_STATE, B_WRITE, BIO_COLUMNS, BIO_NEW, BIO_QUEUED
from vmsim.struct.kernel import SC_BIO_NEXT, SC_NR_NEW_BIOS
from vmsim.struct.tasks import T_MM

# What a slice was: end, reason, wait, its argument, new requests; of the first: device, bio, write, first page, pages.
SliceReport = tuple[int, int, int, int, int, int, int, int, int, int]
NewBio = tuple[int, int, int, int, int]  # device, bio, write, first page, pages

# (k, cpu, tid, now, budget) -> elapsed ns << 8 | SLICE_*; charges the time to the ledgers of the CPU and the task
RunSlice = Callable[[Any, int, int, int, int], int]
# (k, bio, error) -> CPU time, ns; unlocks the pages of a request that the device has finished (error 1: that failed)
CompleteBio = Callable[[Any, int, int], int]
# (k, cpu, mm) -> CPU time, ns; sets a CPU's TLB to an address space
SwitchMm = Callable[[Any, int, int], int]
# (handle, cpu, tid, since, ready, column, begin, budget): `vmsim.machine.slices.account`, a slice, and its `report`
RunTask = Callable[[Any, int, int, int, int, int, int, int], SliceReport]


class KernelTables(Protocol):
    """What the machine needs of `vmsim.struct.kernel.Kernel`: `k` for the compiled functions, and some tables."""

    k: Any
    task: NDArray[np.int64]
    frame: NDArray[np.int64]
    bio: NDArray[np.int64]
    dev: NDArray[np.int64]
    sc: NDArray[np.int64]
    geo: NDArray[np.int64]
    cost: NDArray[np.int64]
    vmstat: NDArray[np.int64]
    cpu_led: NDArray[np.int64]
    task_led: NDArray[np.int64]
    node: NDArray[np.int64]
    slab: NDArray[np.int64]
    sb: NDArray[np.int64]
    event: NDArray[np.int64]
    stream: NDArray[np.int64]
    stream_buffer: NDArray[np.int64]


class Entries(NamedTuple):
    """The kernel's functions that the machine calls, with `handle(kernel)` as their first argument."""

    run_task: RunTask
    complete_bio: CompleteBio
    handle: Callable[[KernelTables], Any]
    writes_too_much: Callable[[Any], int] = lambda handle: 1


def entries_of(
    kernel: KernelTables, run_slice: RunSlice, complete_bio: CompleteBio, switch_mm: SwitchMm = lambda k, cpu, mm: 0
) -> Entries:
    """Entries made of Python functions (or of compiled ones, called one by one: slower than `switch.compiled_entries`)."""
    account_plain: Any = getattr(account, "py_func", account)
    report_plain: Any = getattr(report, "py_func", report)
    loaded: dict[int, int] = {}

    def run_task(
        k: Any, cpu: int, tid: int, since: int, ready: int, column: int, begin: int, budget: int
    ) -> SliceReport:
        switch_ns = 0
        if column != GOES_ON:
            switch_ns = int(kernel.cost[C_CONTEXT_SWITCH])
            mm = int(kernel.task[tid, T_MM])
            if mm not in (0, loaded.get(cpu)):
                loaded[cpu] = mm
                switch_ns += switch_mm(k, cpu, mm)
        row = kernel.sc[SC_BIO_NEXT]
        start = account_plain(kernel, cpu, tid, since, ready, column, begin, switch_ns)
        packed = run_slice(k, cpu, tid, int(start), max(budget - switch_ns, 1))
        return cast(SliceReport, tuple(int(number) for number in report_plain(kernel, tid, start, packed, row)))

    return Entries(run_task, complete_bio, lambda kernel: kernel.k)


def flat(table: NDArray[np.int64]) -> memoryview[int]:
    """The table row by row, sharing its memory: column c of row r stands at r * columns + c.

    Reading one number this way gives a Python int, in a third of the time that the array takes.
    """
    view = table.reshape(-1)
    if not np.shares_memory(view, table):
        raise ValueError("a table of the kernel is not contiguous")
    return view.data


class NewBios:
    """The requests of a slice that submitted more than one."""

    __slots__ = ("_bio", "_sc", "_rows")

    def __init__(self, kernel: KernelTables) -> None:
        self._bio = flat(kernel.bio)
        self._sc = flat(kernel.sc)
        self._rows = kernel.bio.shape[0]

    def take(self, first: NewBio) -> list[NewBio]:
        """The first request and all others, now queued, in the order of their submission."""
        bio, sc = self._bio, self._sc
        found = [first]
        row = first[1]
        for _ in range(self._rows):
            if not sc[SC_NR_NEW_BIOS]:
                return found
            row = (row + 1) % self._rows
            at = row * BIO_COLUMNS
            if bio[at + B_STATE] == BIO_NEW:
                bio[at + B_STATE] = BIO_QUEUED
                sc[SC_NR_NEW_BIOS] -= 1
                found.append((bio[at + B_DEVICE], row, bio[at + B_WRITE], bio[at + B_BLOCK], bio[at + B_PAGES]))
        raise ImpossibleState(f"{sc[SC_NR_NEW_BIOS]} requests were submitted that are not in the table")
