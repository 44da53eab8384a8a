"""Instructions that make tasks and wait for them, and the events through which tasks wait for each other.

Follows kernel/fork.c and kernel/exit.c (do_wait) of v4.4 as far as memory goes.
"""

from vmsim.mm.exec import mm_alloc
from vmsim.mm.fork import do_clone_thread, do_fork
from vmsim.struct.bits import wrapping_mul
from vmsim.struct.costs import C_SYSCALL_ENTRY
from vmsim.struct.errno import EAGAIN, ECHILD, ENOMEM
from vmsim.struct.files import PAT_HASH_ON, PAT_SCOUT, PAT_STATE, PATTERN_COLUMNS
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_PATTERN_NEXT, SC_TASK_LIMIT, SC_TASK_NEXT
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.syscalls import SYS_CLONE, SYS_FORK, SYS_WAIT
from vmsim.struct.tasks import (
    NR_REGISTERS,
    SLICE_BLOCKED,
    SLICE_EXIT,
    SLICE_FORK,
    SLICE_POST,
    T_CMAJ_FLT,
    T_CMIN_FLT,
    T_CNIVCSW,
    T_CNVCSW,
    T_MAJ_FLT,
    T_MIN_FLT,
    T_NIVCSW,
    T_NR_CHILDREN,
    T_NSYSCALLS,
    T_NVCSW,
    T_PARENT,
    T_PAT_COUNT,
    T_PAT_FIRST,
    T_PAT_SHIFT,
    T_PC,
    T_STAGE,
    T_STATE,
    T_TGID,
    T_WAIT,
    T_WAIT_ARG,
    TASK_DEAD,
    WAIT_CHILD,
    WAIT_POST,
)
from vmsim.workload.control import call_ends_task, operand
from vmsim.workload.instructions import (
    CODE_ARG,
    CODE_DEST,
    GO_ON,
    OP_FORK,
    OP_POST,
    OP_WAIT,
)

CLONE_VM = 0x100  # include/uapi/linux/sched.h; here always with CLONE_THREAD


@compiled
def _enter(k, tid):
    if k.task[tid, T_STAGE] == 0:
        k.led[L_SYSCALL] += k.cost[C_SYSCALL_ENTRY]
        k.task[tid, T_NSYSCALLS] += 1


@compiled
def _copy_patterns(k, tid, child):
    """The child draws from copies of its parent's patterns, as it has copies of its generators in memory.

    Those whose generator is not the program's own draw another sequence than the parent's.
    """
    task = k.task
    count = task[tid, T_PAT_COUNT]
    first = task[tid, T_PAT_FIRST]
    rows = k.sc[SC_PATTERN_NEXT]
    task[child, T_PAT_FIRST] = first
    task[child, T_PAT_COUNT] = count
    task[child, T_PAT_SHIFT] = rows - first
    for i in range(count):
        for column in range(PATTERN_COLUMNS):
            k.pattern[rows + i, column] = k.pattern[first + task[tid, T_PAT_SHIFT] + i, column]
        if k.pattern[rows + i, PAT_HASH_ON] == 0:
            x = k.pattern[rows + i, PAT_STATE] ^ wrapping_mul(child, -7046029254386353131)
            k.pattern[rows + i, PAT_STATE] = x if x != 0 else 1
            k.pattern[rows + i, PAT_SCOUT] = 0
    k.sc[SC_PATTERN_NEXT] = rows + count


@compiled
def _copy_process(k, tid, pc, flags):
    """fork(2), or clone(2) of a thread: the tid of the new task, -EAGAIN or -ENOMEM."""
    child = k.sc[SC_TASK_NEXT]
    if child >= k.sc[SC_TASK_LIMIT]:
        return -EAGAIN
    if flags & CLONE_VM != 0:
        result = do_clone_thread(k, tid, child)
    else:
        mm = mm_alloc(k)
        result = do_fork(k, tid, child, mm) if mm != 0 else -ENOMEM
    if result < 0:
        k.task[child, T_STATE] = 0
        k.task[child, T_PARENT] = 0
        return result
    k.sc[SC_TASK_NEXT] = child + 1
    k.task[k.task[tid, T_TGID], T_NR_CHILDREN] += 1
    for register in range(NR_REGISTERS):
        k.reg[child, register] = k.reg[tid, register]
    if k.code[pc, CODE_DEST] >= 0:
        k.reg[child, k.code[pc, CODE_DEST]] = 0
    k.task[child, T_PC] = k.code[pc, CODE_ARG + 1]
    _copy_patterns(k, tid, child)
    return child


@compiled
def _op_fork(k, tid, pc):
    flags = k.code[pc, CODE_ARG]
    _enter(k, tid)
    child = _copy_process(k, tid, pc, flags)
    if call_ends_task(k, tid, pc, SYS_CLONE if flags != 0 else SYS_FORK, child) != 0:
        return SLICE_EXIT
    k.task[tid, T_PC] = pc + 1
    if child < 0:
        return GO_ON
    k.task[tid, T_WAIT_ARG] = k.code[pc, CODE_ARG + 2] << 32 | child
    return SLICE_FORK


@compiled
def _reap(k, process, child):
    """A child that has ended has been waited for: its resource usage goes to the process (wait_task_zombie)."""
    row = k.task[process]
    ended = k.task[child]
    ended[T_PARENT] = 0
    row[T_NR_CHILDREN] -= 1
    if ended[T_TGID] != process:
        row[T_CMIN_FLT] += ended[T_MIN_FLT] + ended[T_CMIN_FLT]
        row[T_CMAJ_FLT] += ended[T_MAJ_FLT] + ended[T_CMAJ_FLT]
        row[T_CNVCSW] += ended[T_NVCSW] + ended[T_CNVCSW]
        row[T_CNIVCSW] += ended[T_NIVCSW] + ended[T_CNIVCSW]


@compiled
def _do_wait(k, process, which):
    """The child waited for; 0 when all have been; -ECHILD if there is no such child; -EAGAIN if none has ended yet.

    `which`: its tid, -1: any child, 0: all.
    """
    result = 0 if which == 0 else -ECHILD
    if k.task[process, T_NR_CHILDREN] == 0:
        return result
    for child in range(1, k.sc[SC_TASK_NEXT]):
        if k.task[child, T_PARENT] == process and (which <= 0 or child == which):
            if k.task[child, T_STATE] == TASK_DEAD:
                _reap(k, process, child)
                if which != 0:
                    return child
            else:
                result = -EAGAIN
    return result


@compiled
def _op_wait(k, tid, pc):
    task = k.task[tid]
    _enter(k, tid)
    process = task[T_TGID]
    which = operand(k, tid, pc, 0)
    result = _do_wait(k, process, which)
    if result == -EAGAIN:
        task[T_STAGE] = 1
        task[T_WAIT] = WAIT_CHILD
        task[T_WAIT_ARG] = max(which, 0) << 32 | process
        return SLICE_BLOCKED
    task[T_STAGE] = 0
    if call_ends_task(k, tid, pc, SYS_WAIT, result) != 0:
        return SLICE_EXIT
    task[T_PC] = pc + 1
    return GO_ON


@compiled
def _op_post(k, tid, pc):
    event = k.code[pc, CODE_ARG]
    _enter(k, tid)
    k.event[event] += max(0, operand(k, tid, pc, 1))
    k.task[tid, T_PC] = pc + 1
    k.task[tid, T_WAIT_ARG] = event
    return SLICE_POST


@compiled
def _op_wait_for(k, tid, pc):
    task = k.task[tid]
    event = k.code[pc, CODE_ARG]
    count = max(0, operand(k, tid, pc, 1))
    _enter(k, tid)
    if k.event[event] < count:
        task[T_STAGE] = 1
        task[T_WAIT] = WAIT_POST
        task[T_WAIT_ARG] = event << 32 | min(count, (1 << 31) - 1)
        return SLICE_BLOCKED
    k.event[event] -= count
    task[T_STAGE] = 0
    task[T_PC] = pc + 1
    return GO_ON


@compiled
def op_process(k, tid, pc, op):
    """Carry out one of the instructions from OP_FORK on: GO_ON, or why the slice ends."""
    if op == OP_FORK:
        return _op_fork(k, tid, pc)
    if op == OP_WAIT:
        return _op_wait(k, tid, pc)
    if op == OP_POST:
        return _op_post(k, tid, pc)
    return _op_wait_for(k, tid, pc)
