"""swapon(2) and swapoff(2), and how the end of a task that switches an area off leaves it.   Follows mm/swapfile.c of v4.4 (D.2)."""

from vmsim.mm.overcommit import charge_commit, uncharge_commit
from vmsim.mm.swapfile import NO_CLUSTER, cluster_append
from vmsim.mm.swapoff import try_to_unuse
from vmsim.struct.errno import EBUSY, EINVAL, ENOMEM, EPERM, EWAIT
from vmsim.struct.jit import compiled, entry
from vmsim.struct.reclaim import N_LEAST_PRIORITY, N_SWAP_AREAS, N_SWAP_FREE, N_SWAP_TOTAL
from vmsim.struct.rules import R_SWAP_PRIORITY_FROM_2
from vmsim.struct.swaps import (
    SC_COUNT,
    SW_BASE,
    SW_BLOCK,
    SW_CLUSTER_BASE,
    SW_CLUSTER_NEXT,
    SW_CLUSTER_NR,
    SW_CPU_NEXT,
    SW_DEVICE,
    SW_FLAGS,
    SW_FREE_HEAD,
    SW_HIGHEST,
    SW_INUSE,
    SW_LOWEST,
    SW_MAX,
    SW_PAGES,
    SW_PRIO,
    SW_START,
    SWAP_COLUMNS,
    SWAP_FLAG_PREFER,
    SWAP_FLAG_PRIO_MASK,
    SWAP_FLAGS_VALID,
    SWAPFILE_CLUSTER,
    SWP_FILE,
    SWP_SOLIDSTATE,
    SWP_USED,
    SWP_WRITEOK,
)
from vmsim.struct.tasks import CAP_SYS_ADMIN, T_CAPS, T_STAGE, T_STAGE_ARG, T_STAGE_ARG2, T_SWAPOFF

NO_PRIORITY = -1


@entry
def define_swap_area(k, device, block, slots, solid_state, is_file, start):
    """Boot: an area of `slots` pages from page `block` of a device on, the first of which is the header, switched off; its number.

    `start` is the offset at which a solid-state area begins to be used.
    """
    area = k.node[N_SWAP_AREAS]
    si = k.swap[area]
    if area > 0:
        before = k.swap[area - 1]
        si[SW_BASE] = before[SW_BASE] + before[SW_MAX]
        si[SW_CLUSTER_BASE] = before[SW_CLUSTER_BASE] + (before[SW_MAX] + SWAPFILE_CLUSTER - 1) // SWAPFILE_CLUSTER
    si[SW_DEVICE] = device
    si[SW_BLOCK] = block
    si[SW_MAX] = slots
    si[SW_PAGES] = slots - 1
    si[SW_START] = start
    si[SW_FLAGS] = (SWP_SOLIDSTATE if solid_state != 0 else 0) | (SWP_FILE if is_file != 0 else 0)
    k.node[N_SWAP_AREAS] = area + 1
    return area


@compiled
def _reset(k, area):
    """An area as swapon finds it: every slot free."""
    si = k.swap[area]
    si[SW_INUSE] = 0
    si[SW_LOWEST] = si[SW_CLUSTER_NEXT] = 1
    si[SW_HIGHEST] = si[SW_PAGES]
    si[SW_CLUSTER_NR] = 0
    si[SW_FREE_HEAD] = NO_CLUSTER
    for column in range(SW_CPU_NEXT, SWAP_COLUMNS):
        si[column] = 0
    if si[SW_FLAGS] & SWP_SOLIDSTATE != 0:
        clusters = (si[SW_MAX] + SWAPFILE_CLUSTER - 1) // SWAPFILE_CLUSTER
        for i in range(clusters):
            k.swap_cluster[si[SW_CLUSTER_BASE] + i, SC_COUNT] = 0
        for i in range(clusters):
            cluster_append(k, area, (si[SW_START] // SWAPFILE_CLUSTER + i) % clusters)


@compiled
def _hand_out(k, area):
    """Slots of the area count, and are given away from now on."""
    k.swap[area, SW_FLAGS] |= SWP_WRITEOK
    k.node[N_SWAP_TOTAL] += k.swap[area, SW_PAGES]
    k.node[N_SWAP_FREE] += k.swap[area, SW_PAGES]


@entry
def enable_swap_area(k, area, priority):
    """Switch an area on with a priority >= 0, or with the next lower one of its own (NO_PRIORITY)."""
    _reset(k, area)
    if priority < 0:
        k.node[N_LEAST_PRIORITY] -= 1
        priority = k.node[N_LEAST_PRIORITY] - (1 if k.rule[R_SWAP_PRIORITY_FROM_2] != 0 else 0)
    k.swap[area, SW_PRIO] = priority
    k.swap[area, SW_FLAGS] |= SWP_USED
    _hand_out(k, area)


@compiled
def sys_swapon(k, tid, area, flags):
    """swapon(2) of one of the machine's areas. Model: its header is always in order, and known without a read."""
    if flags & ~SWAP_FLAGS_VALID != 0:
        return -EINVAL
    if k.task[tid, T_CAPS] & CAP_SYS_ADMIN == 0:
        return -EPERM
    if k.swap[area, SW_FLAGS] & SWP_USED != 0:
        return -EBUSY
    enable_swap_area(k, area, flags & SWAP_FLAG_PRIO_MASK if flags & SWAP_FLAG_PREFER != 0 else NO_PRIORITY)
    return 0


@compiled
def _begin(k, tid, area):
    """Take an area out of use, unless memory could not hold what is in it; 0 or -errno."""
    if k.task[tid, T_CAPS] & CAP_SYS_ADMIN == 0:
        return -EPERM
    si = k.swap[area]
    if si[SW_FLAGS] & SWP_WRITEOK == 0:
        return -EINVAL
    if charge_commit(k, tid, si[SW_PAGES]) != 0:
        return -ENOMEM
    uncharge_commit(k, si[SW_PAGES])
    if si[SW_PRIO] < 0:
        for other in range(k.node[N_SWAP_AREAS]):
            if k.swap[other, SW_FLAGS] & SWP_WRITEOK != 0 and k.swap[other, SW_PRIO] < si[SW_PRIO]:
                k.swap[other, SW_PRIO] += 1
        k.node[N_LEAST_PRIORITY] += 1
    si[SW_FLAGS] &= ~SWP_WRITEOK
    k.node[N_SWAP_TOTAL] -= si[SW_PAGES]
    k.node[N_SWAP_FREE] -= si[SW_PAGES]
    k.task[tid, T_SWAPOFF] = area + 1
    k.task[tid, T_STAGE] = 1
    k.task[tid, T_STAGE_ARG] = k.task[tid, T_STAGE_ARG2] = 0
    return 0


@compiled
def sys_swapoff(k, tid, area):
    """swapoff(2): bring every page of the area back into memory, and switch it off."""
    if k.task[tid, T_STAGE] == 0:
        error = _begin(k, tid, area)
        if error != 0:
            return error
    if try_to_unuse(k, tid, area) == -EWAIT:
        return -EWAIT
    k.swap[area, SW_FLAGS] &= ~SWP_USED
    k.task[tid, T_SWAPOFF] = 0
    return 0


@compiled
def swapoff_interrupted(k, tid):
    """A task dies while it switches an area off: that is in use again (reinsert_swap_info)."""
    _hand_out(k, k.task[tid, T_SWAPOFF] - 1)
    k.task[tid, T_SWAPOFF] = 0
