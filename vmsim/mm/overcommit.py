"""Commit accounting.   Follows mm/util.c and mm/mmap.c (__vm_enough_memory) of v4.4 (section A.13)."""

from vmsim.struct.errno import ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    G_PAGE_SHIFT,
    SC_COMMITTED,
    SC_TOTALRAM,
    SC_TOTALRESERVE,
    SYS_ADMIN_RESERVE_KBYTES,
    SYS_OVERCOMMIT_KBYTES,
    SYS_OVERCOMMIT_MEMORY,
    SYS_OVERCOMMIT_RATIO,
    SYS_USER_RESERVE_KBYTES,
)
from vmsim.struct.reclaim import N_SWAP_FREE, N_SWAP_TOTAL
from vmsim.struct.rules import R_OVERCOMMIT_GUESS_TOTAL
from vmsim.struct.tasks import CAP_SYS_ADMIN, T_CAPS, T_MM
from vmsim.struct.vmas import MM_TOTAL_VM
from vmsim.struct.vmstat import NR_FILE_PAGES, NR_FREE_PAGES, NR_SHMEM, NR_SLAB_RECLAIMABLE

OVERCOMMIT_GUESS = 0
OVERCOMMIT_ALWAYS = 1


@compiled
def commit_limit(k):
    """CommitLimit in pages (vm_commit_limit)."""
    shift = k.geo[G_PAGE_SHIFT] - 10
    if k.sysctl[SYS_OVERCOMMIT_KBYTES] != 0:
        return (k.sysctl[SYS_OVERCOMMIT_KBYTES] >> shift) + k.node[N_SWAP_TOTAL]
    return k.sc[SC_TOTALRAM] * k.sysctl[SYS_OVERCOMMIT_RATIO] // 100 + k.node[N_SWAP_TOTAL]


@compiled
def charge_commit(k, tid, pages):
    """Charge pages to the commit counter: 0, or -ENOMEM if the overcommit mode forbids it."""
    mode = k.sysctl[SYS_OVERCOMMIT_MEMORY]
    k.sc[SC_COMMITTED] += pages
    if mode == OVERCOMMIT_ALWAYS:
        return 0
    shift = k.geo[G_PAGE_SHIFT] - 10
    admin = 0 if k.task[tid, T_CAPS] & CAP_SYS_ADMIN != 0 else k.sysctl[SYS_ADMIN_RESERVE_KBYTES] >> shift
    if mode == OVERCOMMIT_GUESS and k.rule[R_OVERCOMMIT_GUESS_TOTAL] != 0:
        if pages <= k.sc[SC_TOTALRAM] + k.node[N_SWAP_TOTAL]:
            return 0
    elif mode == OVERCOMMIT_GUESS:
        free = k.vmstat[NR_FREE_PAGES] + k.vmstat[NR_FILE_PAGES] - k.vmstat[NR_SHMEM] + k.node[N_SWAP_FREE]
        free += k.vmstat[NR_SLAB_RECLAIMABLE] - k.sc[SC_TOTALRESERVE]
        if free - admin > pages:
            return 0
    else:
        reserve = min(k.mm[k.task[tid, T_MM], MM_TOTAL_VM] // 32, k.sysctl[SYS_USER_RESERVE_KBYTES] >> shift)
        if k.sc[SC_COMMITTED] < commit_limit(k) - admin - reserve:
            return 0
    k.sc[SC_COMMITTED] -= pages
    return -ENOMEM


@compiled
def uncharge_commit(k, pages):
    """Give committed pages back."""
    k.sc[SC_COMMITTED] -= pages
