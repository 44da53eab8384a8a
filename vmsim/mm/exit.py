"""The end of a task, and of its address space with its last user.   Follows kernel/exit.c and mm/mmap.c (exit_mmap) of v4.4."""

from vmsim.mm.mmap import exit_mmap
from vmsim.mm.swapon import swapoff_interrupted
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_TASKS
from vmsim.struct.tasks import (
    T_EXIT,
    T_LOCKED,
    T_MM,
    T_PTES,
    T_RSS,
    T_SIG,
    T_STATE,
    T_SWAPOFF,
    T_TOTAL_VM,
    T_VMAS,
    TASK_DEAD,
)
from vmsim.struct.vmas import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_LOCKED_VM,
    MM_MAP_COUNT,
    MM_NR_PTES,
    MM_SHMEMPAGES,
    MM_TOTAL_VM,
    MM_USERS,
)


@compiled
def do_exit(k, tid, how, signal):
    """End a task: remember what its address space held, and free it if it was the last user.

    When no other task is left the machine stops, and what would be torn down only costs time: it stays, for inspection.
    """
    task = k.task[tid]
    row = k.mm[task[T_MM]]
    if task[T_SWAPOFF] != 0:
        swapoff_interrupted(k, tid)
    task[T_EXIT] = how
    task[T_SIG] = signal
    task[T_STATE] = TASK_DEAD
    task[T_VMAS] = row[MM_MAP_COUNT]
    task[T_LOCKED] = row[MM_LOCKED_VM]
    task[T_RSS] = row[MM_FILEPAGES] + row[MM_ANONPAGES] + row[MM_SHMEMPAGES]
    task[T_PTES] = row[MM_NR_PTES]
    task[T_TOTAL_VM] = row[MM_TOTAL_VM]
    k.sc[SC_NR_TASKS] -= 1
    row[MM_USERS] -= 1
    if row[MM_USERS] == 0 and k.sc[SC_NR_TASKS] > 0:
        exit_mmap(k, tid)
