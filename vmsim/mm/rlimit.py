"""setrlimit(2), getrlimit(2), prlimit(2) and getrusage(2).   Follows kernel/sys.c of v4.4 (section A.12)."""

from vmsim.mm.accounting import mm_rss
from vmsim.struct.errno import EINVAL, EPERM, ESRCH
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_TASK_ROWS
from vmsim.struct.ledger import L_USER, NR_CPU_WORK
from vmsim.struct.tasks import (
    CAP_SYS_RESOURCE,
    NR_RLIMITS,
    RLIM_INFINITY,
    T_CAPS,
    T_CMAJ_FLT,
    T_CMIN_FLT,
    T_CNIVCSW,
    T_CNVCSW,
    T_MAJ_FLT,
    T_MIN_FLT,
    T_MM,
    T_NIVCSW,
    T_NVCSW,
    T_STATE,
    T_TGID,
    TASK_DEAD,
)
from vmsim.struct.vmas import MM_HIWATER_RSS

HARD_STAYS = -2  # as the hard limit: leave it

RUSAGE_SELF = 0
RUSAGE_CHILDREN = -1
RUSAGE_THREAD = 1

# Which number of `struct rusage` a program asks for.
RU_MINFLT = 0
RU_MAJFLT = 1
RU_NVCSW = 2
RU_NIVCSW = 3
RU_MAXRSS = 4  # KiB
RU_UTIME = 5  # us
RU_STIME = 6


@compiled
def _set_limit(k, tid, row, resource, soft, hard):
    """Set a limit of the process `row` (-1: infinity); raising the hard one needs CAP_SYS_RESOURCE (do_prlimit)."""
    if resource < 0 or resource >= NR_RLIMITS:
        return -EINVAL
    if soft < 0:
        soft = RLIM_INFINITY
    if hard == HARD_STAYS:
        hard = k.rlim[row, 2 * resource + 1]
    if hard < 0:
        hard = RLIM_INFINITY
    if soft > hard:
        return -EINVAL
    if hard > k.rlim[row, 2 * resource + 1] and k.task[tid, T_CAPS] & CAP_SYS_RESOURCE == 0:
        return -EPERM
    k.rlim[row, 2 * resource] = soft
    k.rlim[row, 2 * resource + 1] = hard
    return 0


@compiled
def sys_setrlimit(k, tid, resource, soft, hard):
    """setrlimit(2)."""
    return _set_limit(k, tid, k.task[tid, T_TGID], resource, soft, hard)


@compiled
def sys_prlimit(k, tid, pid, resource, soft, hard):
    """prlimit(2) with a new limit, of the process `pid` or of the caller (0); all processes have the same user."""
    if resource < 0 or resource >= NR_RLIMITS:
        return -EINVAL
    if pid < 0 or pid >= k.sc[SC_TASK_ROWS]:
        return -ESRCH
    target = pid if pid != 0 else tid
    if k.task[target, T_TGID] == 0 or k.task[target, T_STATE] == TASK_DEAD:
        return -ESRCH
    return _set_limit(k, tid, k.task[target, T_TGID], resource, soft, hard)


@compiled
def sys_getrlimit(k, tid, resource, hard):
    """getrlimit(2): the soft limit, or the hard one, as the result (the kernel writes both to memory)."""
    if resource < 0 or resource >= NR_RLIMITS:
        return -EINVAL
    return k.rlim[k.task[tid, T_TGID], 2 * resource + (1 if hard != 0 else 0)]


@compiled
def _children_usage(k, process, field):
    if field == RU_MINFLT:
        return k.task[process, T_CMIN_FLT]
    if field == RU_MAJFLT:
        return k.task[process, T_CMAJ_FLT]
    if field == RU_NVCSW:
        return k.task[process, T_CNVCSW]
    return k.task[process, T_CNIVCSW] if field == RU_NIVCSW else 0


@compiled
def sys_getrusage(k, tid, who, field):
    """getrusage(2): one field of the structure as the result (the kernel writes all of it to memory).

    Model: RUSAGE_SELF is of the calling task; of RUSAGE_CHILDREN times and maxrss are 0. Time of the slice
    in progress is not in it yet.
    """
    if who != RUSAGE_SELF and who != RUSAGE_CHILDREN and who != RUSAGE_THREAD:
        return -EINVAL
    task = k.task[tid]
    if who == RUSAGE_CHILDREN:
        return _children_usage(k, task[T_TGID], field)
    if field == RU_MINFLT:
        return task[T_MIN_FLT]
    if field == RU_MAJFLT:
        return task[T_MAJ_FLT]
    if field == RU_NVCSW:
        return task[T_NVCSW]
    if field == RU_NIVCSW:
        return task[T_NIVCSW]
    if field == RU_MAXRSS:
        mm = task[T_MM]
        return max(k.mm[mm, MM_HIWATER_RSS], mm_rss(k, mm)) << (k.geo[G_PAGE_SHIFT] - 10)
    user = k.task_led[tid, L_USER]
    if field == RU_UTIME:
        return user // 1000
    total = 0
    for column in range(NR_CPU_WORK):
        total += k.task_led[tid, column]
    return (total - user) // 1000
