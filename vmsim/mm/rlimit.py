"""setrlimit(2) and prlimit(2).   Follows kernel/sys.c (do_prlimit) of v4.4 (section A.12)."""

from vmsim.struct.errno import EINVAL, EPERM
from vmsim.struct.jit import compiled
from vmsim.struct.tasks import CAP_SYS_RESOURCE, NR_RLIMITS, RLIM_INFINITY, T_CAPS, T_TGID

HARD_STAYS = -2  # as the hard limit: leave it


@compiled
def sys_setrlimit(k, tid, resource, soft, hard):
    """Set a limit (-1: infinity); raising the hard one needs CAP_SYS_RESOURCE."""
    if resource < 0 or resource >= NR_RLIMITS:
        return -EINVAL
    if soft < 0:
        soft = RLIM_INFINITY
    if hard == HARD_STAYS:
        hard = k.rlim[k.task[tid, T_TGID], 2 * resource + 1]
    if hard < 0:
        hard = RLIM_INFINITY
    if soft > hard:
        return -EINVAL
    row = k.task[tid, T_TGID]
    if hard > k.rlim[row, 2 * resource + 1] and k.task[tid, T_CAPS] & CAP_SYS_RESOURCE == 0:
        return -EPERM
    k.rlim[row, 2 * resource] = soft
    k.rlim[row, 2 * resource + 1] = hard
    return 0
