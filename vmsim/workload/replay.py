"""Carrying out the steps of a recording one by one: a call or a run of accesses, then the state that it leaves, in `k.shown`."""

from vmsim.hw.burst import ACCESS_FAULT
from vmsim.hw.mmu import access_burst
from vmsim.hw.tlb import switch_mm
from vmsim.hw.walk import leaf_slot
from vmsim.mm.exit import do_exit
from vmsim.mm.fault import do_page_fault
from vmsim.mm.fork import do_fork
from vmsim.mm.interval import index_create
from vmsim.mm.mmap import mmap_region
from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.mm.pgtable import pgd_alloc
from vmsim.mm.range import aligned_pages, page_of
from vmsim.mm.shmem import shmem_getpage
from vmsim.mm.task_mmu import (
    MAX_VALUES,
    VW_CODE,
    VW_END,
    VW_MAJFLT,
    VW_MINFLT,
    VW_NVALUES,
    VW_RESULT,
    VW_SIGNAL,
    VW_VALUES,
    show_resident,
    show_state,
)
from vmsim.struct.errno import ENOMEM, EWAIT
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FILE_COLUMNS
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import (
    SC_ANON_VMA_NEXT,
    SC_CPU,
    SC_DEADLINE,
    SC_FAULT_VPN,
    SC_FAULT_WRITE,
    SC_INO_NEXT,
    SC_NR_TASKS,
    SC_TASK,
)
from vmsim.struct.ledger import NR_LEDGER
from vmsim.struct.pages import P_FLAGS, PG_CONTENT, PG_CONTENT_SHIFT, PTE_SHIFT, PTE_ZERO, ZERO_PFN
from vmsim.struct.syscalls import SYS_MINCORE
from vmsim.struct.tasks import (
    EXIT_DONE,
    T_ACC_KIND,
    T_BUF_LEN,
    T_BUF_POS,
    T_MAJ_FLT,
    T_MIN_FLT,
    T_MM,
    T_SI_CODE,
    T_TGID,
    TASK_COLUMNS,
)
from vmsim.struct.vmas import MM_COLUMNS, MM_DEF_FLAGS, MM_MMAP_BASE, MM_TASK_SIZE, MM_USERS
from vmsim.workload.calls import do_syscall
from vmsim.workload.replay_tasks import STEP_FIRST_TASK, task_step

# What a step does besides the system calls, as numbers below those of system calls.
STEP_TOUCH = -1  # first page, accesses, pages between them, write, number of the contents that the first write makes
STEP_FORK = -2  # tid of the child, which has the address space of the same number; its state is shown
STEP_EXIT = -3  # tid of the task whose state is shown then
STEP_BEGIN = -4  # a task with an empty address space: TASK_SIZE and mmap base in pages, default VMA flags
STEP_MAP = -5  # a VMA of it: first page, pages, flags, file, page offset
STEP_CACHE = -6  # first page of the file that is cached, and how many
STEP_DROP_FILE = -7
# Steps of logs of calls show nothing but their result; those from STEP_FIRST_TASK down are carried out by `task_step`.
STEP_QUIET = 1 << 10  # + SYS_*: a call, without the state that it leaves

# Which window of the address space and which file the state is shown of.
WINDOW_START = 0x200000000000 >> 12
WINDOW_PAGES = 512
FILE = 1
FILE_PAGES = 64

_HOST_SLICE_NS = 1 << 60
_MAX_ACCESSES = 900


@compiled
def _touch(k, tid, vpn, count, stride, write):
    """Access pages one after the other up to the first that gets a signal: VW_RESULT, VW_SIGNAL and VW_CODE say how far it came."""
    task = k.task[tid]
    count = min(count, _MAX_ACCESSES)
    for i in range(count):
        k.abuf[tid, i] = (vpn + i * stride) << 1 | write
    task[T_BUF_POS] = 0
    task[T_BUF_LEN] = count
    while access_burst(k, 0, tid, 0) == ACCESS_FAULT:
        signal = do_page_fault(k, tid, k.sc[SC_FAULT_VPN], k.sc[SC_FAULT_WRITE])
        if signal > 0:
            k.shown[VW_SIGNAL] = signal
            k.shown[VW_CODE] = task[T_SI_CODE]
            break
    task[T_ACC_KIND] = 0
    k.shown[VW_RESULT] = task[T_BUF_POS]


@compiled
def _contents(k, tid, vpn, count, stride, write, stamp):
    """List the numbers of the contents that the accesses found; with `write` each page gets a new number, from `stamp` on."""
    k.shown[VW_NVALUES] = count
    for i in range(count):
        entry = k.pt[leaf_slot(k, k.task[tid, T_MM], vpn + i * stride)]
        pfn = ZERO_PFN if entry & PTE_ZERO != 0 else entry >> PTE_SHIFT
        flags = k.frame[pfn, P_FLAGS]
        k.shown[VW_VALUES + i] = (flags & PG_CONTENT) >> PG_CONTENT_SHIFT
        if write != 0:
            k.frame[pfn, P_FLAGS] = flags & ~PG_CONTENT | (stamp + i) << PG_CONTENT_SHIFT


@compiled
def _begin(k, tid, task_size, mmap_base, flags):
    for column in range(TASK_COLUMNS):
        k.task[tid, column] = 0
    for column in range(MM_COLUMNS):
        k.mm[tid, column] = 0
    k.task[tid, T_MM] = tid
    k.task[tid, T_TGID] = tid
    k.mm[tid, MM_USERS] = 1
    k.mm[tid, MM_TASK_SIZE] = task_size
    k.mm[tid, MM_MMAP_BASE] = mmap_base
    k.mm[tid, MM_DEF_FLAGS] = flags
    k.sc[SC_NR_TASKS] = 2  # one besides this one, so that its end frees its memory
    k.sc[SC_ANON_VMA_NEXT] = 0
    k.sc[SC_INO_NEXT] = 0
    index_create(k, tid)
    return 0 if pgd_alloc(k, tid) != 0 else -ENOMEM


@compiled
def _cache_pages(k, first, count):
    for pgoff in range(first, first + count):
        pfn = shmem_getpage(k, FILE, pgoff)
        if pfn == 0:
            return -ENOMEM
        k.frame[pfn, P_FLAGS] |= (pgoff + 1) << PG_CONTENT_SHIFT
    return 0


@compiled
def _drop_file(k):
    for pgoff in range(k.file[FILE, FI_CAPACITY]):
        if k.pcache[k.file[FILE, FI_CACHE] + pgoff] > 0:
            delete_from_page_cache(k, FILE, pgoff)
    for column in range(FILE_COLUMNS):
        k.file[FILE, column] = 0


@compiled
def _special(k, tid, step, a0, a1, a2, a3, a4):
    """A step that is neither a system call nor a run of accesses; its result."""
    if step == STEP_FORK:
        for column in range(MM_COLUMNS):
            k.mm[a0, column] = 0
        return do_fork(k, tid, a0, a0)
    if step == STEP_EXIT:
        do_exit(k, tid, EXIT_DONE, 0)
        return 0
    if step == STEP_BEGIN:
        return _begin(k, tid, a0, a1, a2)
    if step == STEP_MAP:
        return mmap_region(k, tid, a0, a1, a2, a3, a4)
    if step == STEP_CACHE:
        return _cache_pages(k, a0, a1)
    if step <= STEP_FIRST_TASK:
        return task_step(k, tid, step, a0, a1, a2)
    _drop_file(k)
    return 0


@entry
def replay_step(k, tid, step, a0, a1, a2, a3, a4, a5):
    """Carry out one step (SYS_* or STEP_*) of a task and write result, faults and the state it leaves to `k.shown`.

    Returns the end of what it wrote: 0 if it shows nothing, -1 if it would have to sleep, which nothing in a recording does.
    """
    view = k.shown
    sc = k.sc
    sc[SC_CPU] = 0
    sc[SC_TASK] = tid
    sc[SC_DEADLINE] = _HOST_SLICE_NS
    task = k.task[tid]
    minor = task[T_MIN_FLT]
    major = task[T_MAJ_FLT]
    view[VW_SIGNAL] = 0
    view[VW_CODE] = 0
    view[VW_NVALUES] = 0
    whose = tid
    if step >= STEP_QUIET:
        view[VW_RESULT] = do_syscall(k, tid, step - STEP_QUIET, a0, a1, a2, a3, a4, a5)
        return -1 if view[VW_RESULT] == -EWAIT else 0
    if step <= STEP_FORK:
        view[VW_RESULT] = _special(k, tid, step, a0, a1, a2, a3, a4)
        whose = a0
        if step < STEP_EXIT or (step == STEP_FORK and view[VW_RESULT] < 0):
            return 0
    elif step == STEP_TOUCH:
        switch_mm(k, 0, task[T_MM])
        _touch(k, tid, a0, a1, a2, a3)
        _contents(k, tid, a0, view[VW_RESULT], a2, a3, a4)
    else:
        switch_mm(k, 0, task[T_MM])
        view[VW_RESULT] = do_syscall(k, tid, step, a0, a1, a2, a3, a4, a5)
        if view[VW_RESULT] == -EWAIT:
            return -1
        if step == SYS_MINCORE and (view[VW_RESULT] == 0 or view[VW_RESULT] == -ENOMEM) and aligned_pages(k, a1) <= MAX_VALUES:
            view[VW_NVALUES] = show_resident(k, task[T_MM], page_of(k, a0), aligned_pages(k, a1))
    for column in range(NR_LEDGER):
        k.led[column] = 0
    view[VW_MINFLT] = task[T_MIN_FLT] - minor
    view[VW_MAJFLT] = task[T_MAJ_FLT] - major
    show_state(k, k.task[whose, T_MM], WINDOW_START, WINDOW_PAGES, FILE, FILE_PAGES)
    return view[VW_END]
