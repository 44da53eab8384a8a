"""A log of calls as a program: its rows come through the buffer of a stream and are carried out in the log's order, one at a time.

Each process and thread of the log is a task of its own. Whose row is not the next one sleeps until it is (WAIT_TURN).
"""

from vmsim.mm.exec import exec_mmap, mm_alloc
from vmsim.mm.exit import do_exit
from vmsim.mm.fork import do_clone_thread, do_fork
from vmsim.mm.mmap import mmap_region
from vmsim.struct.costs import C_SYSCALL_ENTRY
from vmsim.struct.errno import EAGAIN, ENOMEM, EWAIT
from vmsim.struct.files import FI_CAPACITY, FI_SIZE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_NR_NEW_BIOS, SC_PLACE, SC_TASK_LIMIT, SC_TASK_NEXT
from vmsim.struct.ledger import L_SYSCALL, L_USER
from vmsim.struct.streams import (
    ROW_ARG,
    ROW_CAPS,
    ROW_COLUMNS,
    ROW_COPY,
    ROW_END,
    ROW_EXEC,
    ROW_EXPECTED,
    ROW_HEAP,
    ROW_KIND,
    ROW_LIMIT,
    ROW_MAP,
    ROW_PLACE,
    ROW_RESIZE,
    ROW_SHARE,
    ROW_TASK,
    ST_CALLS,
    ST_DIFFER,
    ST_LENGTH,
    ST_LOST,
    ST_POS,
    ST_STATE,
    ST_USERS,
    STREAM_ENDED,
)
from vmsim.struct.tasks import (
    EXIT_DONE,
    NR_REGISTERS,
    NR_RLIMITS,
    SLICE_BLOCKED,
    SLICE_BUDGET,
    SLICE_EXIT,
    SLICE_FORK,
    SLICE_IO,
    SLICE_REFILL,
    T_CAPS,
    T_LOG,
    T_LOG_CAPS,
    T_MM,
    T_NR_CHILDREN,
    T_NSYSCALLS,
    T_PARENT,
    T_PC,
    T_STAGE,
    T_STATE,
    T_TGID,
    T_WAIT,
    T_WAIT_ARG,
    TASK_DEAD,
    WAIT_NONE,
    WAIT_TURN,
)
from vmsim.struct.vmas import MM_BRK, MM_MMAP_BASE, MM_START_BRK, MM_TASK_SIZE
from vmsim.workload.calls import do_syscall
from vmsim.workload.control import operand
from vmsim.workload.instructions import CODE_ARG, GO_ON
from vmsim.workload.streaming import begin_trace

MAIN = 1  # the log's first task
_STREAM_SHIFT = 16  # in T_LOG: stream << 16 | number in the log


@compiled
def _task_of(k, log):
    """The living task of a number in the log, 0 if there is none."""
    for tid in range(1, k.sc[SC_TASK_NEXT]):
        if k.task[tid, T_LOG] == log and k.task[tid, T_STATE] != TASK_DEAD:
            return tid
    return 0


@compiled
def _copy_log_task(k, tid, pc, row, at):
    """The task that the row at `at` makes: its tid, -EAGAIN or -ENOMEM."""
    child = k.sc[SC_TASK_NEXT]
    if child >= k.sc[SC_TASK_LIMIT]:
        return -EAGAIN
    task = k.task
    if row[at + ROW_KIND] == ROW_SHARE:
        result = do_clone_thread(k, tid, child)
        if row[at + ROW_ARG + 1] == 0:  # a process of its own, as vfork makes
            task[child, T_TGID] = child
            for i in range(2 * NR_RLIMITS):
                k.rlim[child, i] = k.rlim[task[tid, T_TGID], i]
    else:
        mm = mm_alloc(k)
        result = do_fork(k, tid, child, mm) if mm != 0 else -ENOMEM
    if result < 0:
        task[child, T_STATE] = 0
        task[child, T_PARENT] = 0
        return result
    k.sc[SC_TASK_NEXT] = child + 1
    task[task[tid, T_TGID], T_NR_CHILDREN] += 1
    for register in range(NR_REGISTERS):
        k.reg[child, register] = k.reg[tid, register]
    task[child, T_PC] = pc
    task[child, T_LOG] = task[tid, T_LOG] >> _STREAM_SHIFT << _STREAM_SHIFT | row[at + ROW_ARG]
    task[child, T_LOG_CAPS] = task[tid, T_LOG_CAPS]
    return child


@compiled
def _make_task(k, tid, pc, row, at):
    task = k.task[tid]
    k.led[L_SYSCALL] += k.cost[C_SYSCALL_ENTRY]
    task[T_NSYSCALLS] += 1
    label = k.code[pc, CODE_ARG + (2 if row[at + ROW_KIND] == ROW_SHARE and row[at + ROW_ARG + 1] != 0 else 1)]
    child = _copy_log_task(k, tid, pc, row, at)
    if child < 0:
        return GO_ON
    task[T_WAIT_ARG] = label << 32 | child
    return SLICE_FORK


@compiled
def _settle(k, tid, row, at):
    """Rows that say how something is, and take no time of their own."""
    kind = row[at + ROW_KIND]
    task = k.task[tid]
    mm = task[T_MM]
    if kind == ROW_MAP:
        mmap_region(k, tid, row[at + ROW_ARG], row[at + ROW_ARG + 1], row[at + ROW_ARG + 2], 0, row[at + ROW_ARG])
    elif kind == ROW_EXEC:
        exec_mmap(k, tid, k.mm[mm, MM_TASK_SIZE], k.mm[mm, MM_MMAP_BASE])
    elif kind == ROW_HEAP:
        if row[at + ROW_ARG] >= 0:
            k.mm[mm, MM_START_BRK] = row[at + ROW_ARG]
        k.mm[mm, MM_BRK] = row[at + ROW_ARG + 1]
    elif kind == ROW_LIMIT:
        k.rlim[task[T_TGID], 2 * row[at + ROW_ARG]] = row[at + ROW_ARG + 1]
        k.rlim[task[T_TGID], 2 * row[at + ROW_ARG] + 1] = row[at + ROW_ARG + 2]
    elif kind == ROW_CAPS:
        task[T_CAPS] = task[T_LOG_CAPS] & row[at + ROW_ARG]
    elif kind == ROW_RESIZE:
        file = row[at + ROW_ARG]
        k.file[file, FI_SIZE] = min(row[at + ROW_ARG + 1], k.file[file, FI_CAPACITY] << k.geo[G_PAGE_SHIFT])


@compiled
def _call(k, tid, pc, row, at, s):
    """A system call of the log: GO_ON when it is done, else why the slice ends."""
    task = k.task[tid]
    if task[T_STAGE] == 0:
        k.led[L_USER] += max(0, operand(k, tid, pc, 3))
    k.sc[SC_PLACE] = row[at + ROW_PLACE]
    result = do_syscall(
        k,
        tid,
        row[at + ROW_KIND],
        row[at + ROW_ARG],
        row[at + ROW_ARG + 1],
        row[at + ROW_ARG + 2],
        row[at + ROW_ARG + 3],
        row[at + ROW_ARG + 4],
        row[at + ROW_ARG + 5],
    )
    k.sc[SC_PLACE] = 0
    if result == -EWAIT:
        if task[T_WAIT] != WAIT_NONE:
            return SLICE_BLOCKED
        return SLICE_IO if k.sc[SC_NR_NEW_BIOS] > 0 else SLICE_BUDGET
    s[ST_CALLS] += 1
    if result != row[at + ROW_EXPECTED]:
        s[ST_DIFFER] += 1
    s[ST_POS] += ROW_COLUMNS
    return GO_ON


@compiled
def _carry_out(k, tid, pc, row, at, s):
    """The next row, which is this task's."""
    kind = row[at + ROW_KIND]
    if kind >= 0:
        return _call(k, tid, pc, row, at, s)
    s[ST_POS] += ROW_COLUMNS
    if kind == ROW_COPY or kind == ROW_SHARE:
        return _make_task(k, tid, pc, row, at)
    if kind == ROW_END:
        do_exit(k, tid, EXIT_DONE, 0)
        return SLICE_EXIT
    _settle(k, tid, row, at)
    return GO_ON


@compiled
def _log_ends(k, tid, pc, s):
    """Nothing comes after the last row; only the log's first task goes on with its program."""
    task = k.task[tid]
    if task[T_LOG] & ((1 << _STREAM_SHIFT) - 1) != MAIN:
        do_exit(k, tid, EXIT_DONE, 0)
        return SLICE_EXIT
    s[ST_USERS] -= 1
    task[T_LOG] = 0
    task[T_PC] = pc + 1
    return GO_ON


@compiled
def op_calls(k, tid, pc):
    """Carry out rows of a log while they are this task's: why the slice ends, or GO_ON after one of them."""
    task = k.task[tid]
    stream = k.code[pc, CODE_ARG]
    s = k.stream[stream]
    row = k.stream_buffer[stream]
    if task[T_LOG] == 0:
        begin_trace(k, stream)
        task[T_LOG] = stream << _STREAM_SHIFT | MAIN
        task[T_LOG_CAPS] = task[T_CAPS]
    while True:
        if s[ST_POS] == s[ST_LENGTH]:
            if s[ST_STATE] == STREAM_ENDED:
                return _log_ends(k, tid, pc, s)
            task[T_WAIT_ARG] = stream
            return SLICE_REFILL
        at = s[ST_POS]
        wanted = stream << _STREAM_SHIFT | row[at + ROW_TASK]
        if wanted == task[T_LOG]:
            return _carry_out(k, tid, pc, row, at, s)
        other = _task_of(k, wanted)
        if other != 0:
            task[T_WAIT] = WAIT_TURN
            task[T_WAIT_ARG] = other
            return SLICE_BLOCKED
        s[ST_LOST] += 1
        s[ST_POS] += ROW_COLUMNS
