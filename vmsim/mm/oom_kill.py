"""The OOM killer: who dies when nothing can be reclaimed.   Follows mm/oom_kill.c of v4.4 (section C.10).

The victim is marked and dies when it next runs; the machine wakes it, and writes the report.
"""

from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import SC_NR_KILLED, SC_TASK_ROWS, SC_TOTALRAM
from vmsim.struct.reclaim import N_OOM_INVOKER, N_OOM_KILLS, N_OOM_LOG, N_OOM_POINTS, N_OOM_VICTIM, N_SWAP_TOTAL, OOM_LOG
from vmsim.struct.tasks import CAP_SYS_ADMIN, T_CAPS, T_KILLED, T_MEMDIE, T_MM, T_OOM_ADJ, T_PARENT, T_STATE, TASK_DEAD
from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES, MM_NR_PMDS, MM_NR_PTES, MM_SHMEMPAGES, MM_SWAPENTS

OOM_SCORE_ADJ_MIN = -1000


@compiled
def _alive(k, tid):
    return k.task[tid, T_STATE] != 0 and k.task[tid, T_STATE] != TASK_DEAD and k.task[tid, T_MM] != 0


@compiled
def oom_badness(k, tid):
    """How bad a task is, in pages: what its death would free, less 3 % for root, plus its oom_score_adj; 0: it can't be killed."""
    if not _alive(k, tid) or k.task[tid, T_OOM_ADJ] == OOM_SCORE_ADJ_MIN:
        return 0
    mm = k.mm[k.task[tid, T_MM]]
    points = mm[MM_FILEPAGES] + mm[MM_ANONPAGES] + mm[MM_SHMEMPAGES] + mm[MM_SWAPENTS] + mm[MM_NR_PTES] + mm[MM_NR_PMDS]
    if k.task[tid, T_CAPS] & CAP_SYS_ADMIN != 0:
        points -= points * 3 // 100
    points += k.task[tid, T_OOM_ADJ] * ((k.sc[SC_TOTALRAM] + k.node[N_SWAP_TOTAL]) // 1000)
    return max(points, 1)


@entry
def badness_of(k, tid):
    """`oom_badness`, for who shows it."""
    return oom_badness(k, tid)


@compiled
def _select_bad_process(k):
    """The task with the highest badness, the first of equals; 0 if there is none, -1 if an earlier victim is still dying."""
    chosen = 0
    worst = 0
    for tid in range(1, k.sc[SC_TASK_ROWS]):
        if not _alive(k, tid):
            continue
        if k.task[tid, T_MEMDIE] != 0:
            return -1
        points = oom_badness(k, tid)
        if points > worst:
            worst = points
            chosen = tid
    return chosen


@compiled
def _sacrifice(k, victim, points):
    """A child of the victim with memory of its own and more points dies in its place (oom_kill_process)."""
    chosen = victim
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
        k.task[tid, T_KILLED] = 1
        k.sc[SC_NR_KILLED] += 1


@compiled
def out_of_memory(k, invoker):
    """Choose a task and kill it, with all that share its memory; the number of kills grows by one if somebody was chosen."""
    if k.task[invoker, T_KILLED] != 0:
        k.task[invoker, T_MEMDIE] = 1
        return
    chosen = _select_bad_process(k)
    if chosen <= 0:
        return
    points = oom_badness(k, chosen)
    victim = _sacrifice(k, chosen, points)
    k.node[N_OOM_POINTS] = points
    k.node[N_OOM_VICTIM] = victim
    k.node[N_OOM_INVOKER] = invoker
    if k.node[N_OOM_KILLS] < OOM_LOG:
        k.node[N_OOM_LOG + 2 * k.node[N_OOM_KILLS]] = victim
        k.node[N_OOM_LOG + 2 * k.node[N_OOM_KILLS] + 1] = points
    k.node[N_OOM_KILLS] += 1
    k.task[victim, T_MEMDIE] = 1
    for tid in range(1, k.sc[SC_TASK_ROWS]):
        if _alive(k, tid) and k.task[tid, T_MM] == k.task[victim, T_MM] and k.task[tid, T_OOM_ADJ] != OOM_SCORE_ADJ_MIN:
            _kill(k, tid)
    _kill(k, victim)
