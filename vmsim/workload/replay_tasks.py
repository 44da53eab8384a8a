"""Steps of logs of many processes: programs that start, fork, share their memory and end, and what is mapped where."""

from vmsim.mm.exit import do_exit
from vmsim.mm.fork import do_fork
from vmsim.mm.interval import index_create
from vmsim.mm.mmap import exit_mmap
from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.mm.pgtable import pgd_alloc
from vmsim.mm.radix_tree import move_nodes
from vmsim.mm.task_mmu import VW_NVALUES, VW_VALUES
from vmsim.mm.vma import find_vma
from vmsim.struct.errno import ENOMEM
from vmsim.struct.files import FI_CACHE, FI_CAPACITY, FILE_COLUMNS
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_TASKS
from vmsim.struct.tasks import EXIT_DONE, NR_RLIMITS, T_CAPS, T_MM, T_PARENT, T_STATE, T_TGID, TASK_COLUMNS, TASK_RUNNABLE
from vmsim.struct.vmas import (
    MM_BRK,
    MM_COLUMNS,
    MM_MMAP_BASE,
    MM_START_BRK,
    MM_TASK_SIZE,
    MM_USERS,
    V_END,
    V_FLAGS,
    V_NEXT,
    V_START,
)

STEP_FIRST_TASK = -8
STEP_COPY = -8  # a child with a copy of the memory: its tid, the row of its address space
STEP_SHARE = -9  # a child with the same memory: its tid, whether it is a thread
STEP_EXEC = -10  # a new, empty address space: its row, TASK_SIZE, mmap base, pages
STEP_END = -11
STEP_GAP = -12  # the first page of [first, end) that is not mapped, -1 if all are; the end of that gap is listed
STEP_FLAGS = -13  # the VM_* flags of a page's VMA, 0 if it is not mapped
STEP_RESIZE = -14  # the page cache of a file grows: file, first slot, slots
STEP_FORGET = -15  # a file
STEP_HEAP = -16  # where the heap begins (-1: as before) and ends, in bytes


@compiled
def _new_task(k, tid, child):
    task = k.task
    for column in range(TASK_COLUMNS):
        task[child, column] = 0
    task[child, T_STATE] = TASK_RUNNABLE
    task[child, T_PARENT] = tid
    task[child, T_TGID] = child
    k.sc[SC_NR_TASKS] += 1


@compiled
def _copy(k, tid, child, mm):
    for column in range(MM_COLUMNS):
        k.mm[mm, column] = 0
    return do_fork(k, tid, child, mm)


@compiled
def _share(k, tid, child, thread):
    """clone(CLONE_VM): a thread has its process's limits, another process a copy of them."""
    _new_task(k, tid, child)
    k.task[child, T_CAPS] = k.task[tid, T_CAPS]
    k.task[child, T_MM] = k.task[tid, T_MM]
    k.mm[k.task[tid, T_MM], MM_USERS] += 1
    if thread != 0:
        k.task[child, T_TGID] = k.task[tid, T_TGID]
    else:
        for i in range(2 * NR_RLIMITS):
            k.rlim[child, i] = k.rlim[k.task[tid, T_TGID], i]
    return child


@compiled
def _exec(k, tid, mm, task_size, mmap_base):
    """A task gets an empty address space, and leaves the one that it had, if any."""
    if k.task[tid, T_STATE] == 0:
        _new_task(k, 0, tid)
    elif k.task[tid, T_MM] != 0:
        old = k.task[tid, T_MM]
        k.mm[old, MM_USERS] -= 1
        if k.mm[old, MM_USERS] == 0:
            exit_mmap(k, tid)
    for column in range(MM_COLUMNS):
        k.mm[mm, column] = 0
    k.task[tid, T_MM] = mm
    k.mm[mm, MM_USERS] = 1
    k.mm[mm, MM_TASK_SIZE] = task_size
    k.mm[mm, MM_MMAP_BASE] = mmap_base
    index_create(k, mm)
    return 0 if pgd_alloc(k, mm) != 0 else -ENOMEM


@compiled
def _gap(k, mm, start, end):
    v = find_vma(k, mm, start)
    at = start
    while v != 0 and k.vma[v, V_START] <= at and at < end:
        at = k.vma[v, V_END]
        v = k.vma[v, V_NEXT]
    if at >= end:
        return -1
    k.shown[VW_NVALUES] = 1
    k.shown[VW_VALUES] = end if v == 0 else min(end, k.vma[v, V_START])
    return at


@compiled
def _flags(k, mm, vpn):
    v = find_vma(k, mm, vpn)
    return k.vma[v, V_FLAGS] if v != 0 and k.vma[v, V_START] <= vpn else 0


@compiled
def _resize(k, file, slot, slots):
    """Give a file's page cache more slots, elsewhere."""
    old = k.file[file, FI_CACHE]
    for i in range(k.file[file, FI_CAPACITY]):
        k.pcache[slot + i] = k.pcache[old + i]
        k.pcache[old + i] = 0
    move_nodes(k, old, slot, k.file[file, FI_CAPACITY])
    k.file[file, FI_CACHE] = slot
    k.file[file, FI_CAPACITY] = slots
    return 0


@compiled
def _forget(k, file):
    """A file that nobody maps or has open goes, with its cached pages."""
    for i in range(k.file[file, FI_CAPACITY]):
        if k.pcache[k.file[file, FI_CACHE] + i] > 0:
            delete_from_page_cache(k, file, i)
    for column in range(FILE_COLUMNS):
        k.file[file, column] = 0
    return 0


@compiled
def _heap(k, mm, start, address):
    if start >= 0:
        k.mm[mm, MM_START_BRK] = start
    k.mm[mm, MM_BRK] = address
    return 0


@compiled
def task_step(k, tid, step, a0, a1, a2):
    """Carry out one of the steps above; its result."""
    if step == STEP_COPY:
        return _copy(k, tid, a0, a1)
    if step == STEP_SHARE:
        return _share(k, tid, a0, a1)
    if step == STEP_EXEC:
        return _exec(k, tid, a0, a1, a2)
    if step == STEP_END:
        do_exit(k, tid, EXIT_DONE, 0)
        return 0
    if step == STEP_GAP:
        return _gap(k, k.task[tid, T_MM], a0, a1)
    if step == STEP_FLAGS:
        return _flags(k, k.task[tid, T_MM], a0)
    if step == STEP_RESIZE:
        return _resize(k, a0, a1, a2)
    if step == STEP_HEAP:
        return _heap(k, k.task[tid, T_MM], a0, a1)
    return _forget(k, a0)
