"""The OOM killer: who dies when nothing can be reclaimed.   Follows mm/oom_kill.c of v4.4 (section C.10), and of v6.1 by rules.

The victim is marked and dies when it next runs; the machine wakes it, and writes the report.
"""

from vmsim.hw.walk import NODE_COUNT
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import (
    G_LEVELS,
    SC_NR_KILLED,
    SC_OOM,
    SC_TASK_ROWS,
    SC_TOTALRAM,
    SYS_OOM_KILL_ALLOCATING_TASK,
    SYS_PANIC_ON_OOM,
)
from vmsim.struct.reclaim import (
    N_OOM_CHOSEN,
    N_OOM_INVOKER,
    N_OOM_KILLS,
    N_OOM_LOG,
    N_OOM_PANIC,
    N_OOM_POINTS,
    N_OOM_VICTIM,
    N_SWAP_TOTAL,
    OOM_LOG,
    PANIC_NOBODY,
    PANIC_SET,
)
from vmsim.struct.rules import R_OOM_BADNESS_EXACT, R_OOM_CHILD_FIRST, R_OOM_ROOT_BONUS
from vmsim.struct.tasks import (
    CAP_SYS_ADMIN,
    KILLED_BY_OOM,
    T_CAPS,
    T_KILLED,
    T_MEMDIE,
    T_MM,
    T_OOM_ADJ,
    T_PARENT,
    T_STATE,
    T_SWAPOFF,
    T_TGID,
    TASK_DEAD,
)
from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES, MM_NR_PMDS, MM_NR_PTES, MM_PGD, MM_SHMEMPAGES, MM_SWAPENTS

OOM_SCORE_ADJ_MIN = -1000
NEVER = -(1 << 62)  # badness of what can't be killed


@compiled
def _alive(k, tid):
    return k.task[tid, T_STATE] != 0 and k.task[tid, T_STATE] != TASK_DEAD and k.task[tid, T_MM] != 0


@compiled
def _page_tables(k, mm):
    """Page tables that count: the two lowest levels, since 4.15 the third as well (mm_pgtables_bytes)."""
    tables = k.mm[mm, MM_NR_PTES] + k.mm[mm, MM_NR_PMDS]
    if k.rule[R_OOM_BADNESS_EXACT] != 0 and k.geo[G_LEVELS] > 3 and k.mm[mm, MM_PGD] != 0:
        tables += k.pt[k.mm[mm, MM_PGD] + NODE_COUNT]
    return tables


@compiled
def oom_badness(k, tid):
    """How bad a task is, in pages: what its death would free, less 3 % for root, plus its oom_score_adj; NEVER: it can't be killed."""
    if not _alive(k, tid) or k.task[tid, T_OOM_ADJ] == OOM_SCORE_ADJ_MIN:
        return NEVER
    number = k.task[tid, T_MM]
    mm = k.mm[number]
    points = mm[MM_FILEPAGES] + mm[MM_ANONPAGES] + mm[MM_SHMEMPAGES] + mm[MM_SWAPENTS] + _page_tables(k, number)
    if k.rule[R_OOM_ROOT_BONUS] != 0 and k.task[tid, T_CAPS] & CAP_SYS_ADMIN != 0:
        points -= points * 3 // 100
    points += k.task[tid, T_OOM_ADJ] * ((k.sc[SC_TOTALRAM] + k.node[N_SWAP_TOTAL]) // 1000)
    return points if k.rule[R_OOM_BADNESS_EXACT] != 0 else max(points, 1)


@entry
def badness_of(k, tid):
    """`oom_badness`, for who shows it."""
    return oom_badness(k, tid)


@entry
def page_tables_of(k, mm):
    """Page tables of an address space, as badness counts them."""
    return _page_tables(k, mm)


@compiled
def _select_bad_process(k):
    """The task with the highest badness, of equals the first (since 5.9 the last); 0: none, -1: an earlier victim is still dying.

    One that switches a swap area off goes first (oom_task_origin).
    """
    chosen = 0
    worst = NEVER
    for tid in range(1, k.sc[SC_TASK_ROWS]):
        if not _alive(k, tid):
            continue
        leader = k.task[tid, T_TGID]
        if leader != tid and _alive(k, leader):
            continue
        if k.task[tid, T_MEMDIE] != 0:
            return -1
        if k.task[tid, T_SWAPOFF] != 0:
            return tid
        points = oom_badness(k, tid)
        if points > worst or (points == worst and points != NEVER and k.rule[R_OOM_BADNESS_EXACT] != 0):
            worst = points
            chosen = tid
    return chosen


@compiled
def _sacrifice(k, victim):
    """The child of the victim that has memory of its own and the most points dies in its place, if there is one (oom_kill_process)."""
    chosen = victim
    points = 0
    for tid in range(1, k.sc[SC_TASK_ROWS]):
        if k.task[tid, T_PARENT] == victim and _alive(k, tid) and k.task[tid, T_MM] != k.task[victim, T_MM]:
            child = oom_badness(k, tid)
            if child > points:
                points = child
                chosen = tid
    return chosen


@compiled
def _kill(k, tid):
    if k.task[tid, T_KILLED] == 0:
        k.sc[SC_NR_KILLED] += 1
    k.task[tid, T_KILLED] = KILLED_BY_OOM


@compiled
def out_of_memory(k, invoker):
    """Choose a task and kill it; the number of kills grows by one if somebody was. Or panic: nobody can be, or a setting says so."""
    if k.task[invoker, T_KILLED] != 0:
        k.task[invoker, T_MEMDIE] = 1
        return
    k.node[N_OOM_INVOKER] = invoker
    if k.sysctl[SYS_PANIC_ON_OOM] != 0:
        _panic(k, PANIC_SET)
        return
    if k.sysctl[SYS_OOM_KILL_ALLOCATING_TASK] != 0 and oom_badness(k, invoker) != NEVER:
        _oom_kill_process(k, invoker, 0)
        return
    chosen = _select_bad_process(k)
    if chosen == 0:
        _panic(k, PANIC_NOBODY)
    elif chosen > 0:
        _oom_kill_process(k, chosen, oom_badness(k, chosen))


@compiled
def _panic(k, reason):
    k.node[N_OOM_PANIC] = reason
    k.sc[SC_OOM] = 1


@compiled
def _oom_kill_process(k, chosen, points):
    """The chosen task dies, or a child in its place, and with the victim all that share its memory."""
    victim = _sacrifice(k, chosen) if k.rule[R_OOM_CHILD_FIRST] != 0 else chosen
    k.sc[SC_OOM] = 1
    k.node[N_OOM_POINTS] = points
    k.node[N_OOM_CHOSEN] = chosen
    k.node[N_OOM_VICTIM] = victim
    if k.node[N_OOM_KILLS] < OOM_LOG:
        k.node[N_OOM_LOG + 2 * k.node[N_OOM_KILLS]] = victim
        k.node[N_OOM_LOG + 2 * k.node[N_OOM_KILLS] + 1] = points
    k.node[N_OOM_KILLS] += 1
    k.task[victim, T_MEMDIE] = 1
    for tid in range(1, k.sc[SC_TASK_ROWS]):
        if _alive(k, tid) and k.task[tid, T_MM] == k.task[victim, T_MM] and k.task[tid, T_OOM_ADJ] != OOM_SCORE_ADJ_MIN:
            _kill(k, tid)
    _kill(k, victim)
