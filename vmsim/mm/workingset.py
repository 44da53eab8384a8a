"""Refault distance: whether a page that comes back was evicted too early.   Follows mm/workingset.c of v4.4 (section C.11) and of v6.1.

A shadow is a negative number, -(age << 3 | the page had been active << 2 | row of the lists) - 1.  Shadows of a file stand in
`pcache`, those of swapped pages in `swap_cache`.
"""

from vmsim.mm.mglru_tiers import lru_gen_eviction, lru_gen_refault
from vmsim.mm.radix_tree import forget_shadows
from vmsim.mm.swap import is_file, lruvec_of
from vmsim.struct.files import NODE_SHIFT
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES
from vmsim.struct.pages import (
    LRU_ACTIVE_ANON,
    LRU_ACTIVE_FILE,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    NR_LRU_LISTS,
    P_FLAGS,
    PG_ACTIVE,
    PG_WORKINGSET,
    Z_INACTIVE_AGE,
    Z_LRU,
    Z_PRESENT,
)
from vmsim.struct.reclaim import N_ACTIVATED, N_COST, N_SHADOW_NODES, N_SWAP_FREE
from vmsim.struct.rules import R_ANON_REFAULTS, R_LRU_COSTS, R_LRU_GEN, R_SHADOW_NODES_HALVE
from vmsim.struct.slab import XN_NEXT
from vmsim.struct.vmstat import (
    NR_LRU_BASE,
    NR_SLAB_RECLAIMABLE,
    NR_SLAB_UNRECLAIMABLE,
    WORKINGSET_ACTIVATE,
    WORKINGSET_ACTIVATE_ANON,
    WORKINGSET_NODERECLAIM,
    WORKINGSET_REFAULT,
    WORKINGSET_REFAULT_ANON,
    WORKINGSET_RESTORE_ANON,
)

_AGE_SHIFT = 3
_ROW_MASK = 3
_WAS_ACTIVE = 4


@compiled
def workingset_eviction(k, pfn):
    """The shadow that an evicted page leaves; the lists' age advances."""
    if k.rule[R_LRU_GEN] != 0:
        return lru_gen_eviction(k, pfn)
    lruvec = lruvec_of(k, pfn)
    age = k.zone[lruvec, Z_INACTIVE_AGE]
    k.zone[lruvec, Z_INACTIVE_AGE] = age + 1
    return -(age << _AGE_SHIFT | (_WAS_ACTIVE if k.frame[pfn, P_FLAGS] & PG_WORKINGSET != 0 else 0) | lruvec) - 1


@compiled
def lru_note_cost(k, lruvec, file, pages):
    """Pages of a kind were written to be reclaimed, or came back too soon; what is long ago counts half (lru_note_cost, 5.8 on)."""
    node = k.node
    zone = k.zone[lruvec]
    node[N_COST + file] += pages
    size = zone[Z_LRU + LRU_INACTIVE_ANON] + zone[Z_LRU + LRU_ACTIVE_ANON]
    size += zone[Z_LRU + LRU_INACTIVE_FILE] + zone[Z_LRU + LRU_ACTIVE_FILE]
    if node[N_COST] + node[N_COST + 1] > size // 4:
        node[N_COST] //= 2
        node[N_COST + 1] //= 2


@compiled
def _competing(k, lruvec, file):
    """Pages that a page which comes back competes with: the active ones of files; since 5.9 also those that its own kind, and where there
    is swap the other kind, could give up for it."""
    zone = k.zone[lruvec]
    size = zone[Z_LRU + LRU_ACTIVE_FILE]
    if k.rule[R_ANON_REFAULTS] == 0:
        return size
    if file == 0:
        size += zone[Z_LRU + LRU_INACTIVE_FILE]
    if k.node[N_SWAP_FREE] > 0:
        size += zone[Z_LRU + LRU_ACTIVE_ANON]
        if file != 0:
            size += zone[Z_LRU + LRU_INACTIVE_ANON]
    return size


@compiled
def workingset_refault(k, pfn, shadow, file):
    """A page comes back after its eviction: it becomes active if its refault distance is no more than the pages it competes with."""
    if k.rule[R_LRU_GEN] != 0:
        lru_gen_refault(k, pfn, shadow, file)
        return
    packed = -shadow - 1
    lruvec = packed & _ROW_MASK
    k.vmstat[WORKINGSET_REFAULT if file != 0 else WORKINGSET_REFAULT_ANON] += 1
    if k.zone[lruvec, Z_INACTIVE_AGE] - (packed >> _AGE_SHIFT) > _competing(k, lruvec, file):
        return
    k.frame[pfn, P_FLAGS] |= PG_ACTIVE
    lruvec = lruvec_of(k, pfn)
    k.zone[lruvec, Z_INACTIVE_AGE] += 1
    k.node[N_ACTIVATED + file] += 1
    k.vmstat[WORKINGSET_ACTIVATE if file != 0 else WORKINGSET_ACTIVATE_ANON] += 1
    if packed & _WAS_ACTIVE != 0 and k.rule[R_LRU_COSTS] != 0:
        k.frame[pfn, P_FLAGS] |= PG_WORKINGSET
        k.vmstat[WORKINGSET_RESTORE_ANON + file] += 1
        lru_note_cost(k, lruvec, is_file(k.frame[pfn, P_FLAGS]), 1)


@compiled
def count_shadow_nodes(k):
    """Nodes of page-cache trees that hold only shadows, beyond those that may (count_shadow_nodes).

    May: a 16th of the node's pages; by the later rule an eighth of those on lists and in slabs, where memory cgroups are built in.
    """
    pages = 0
    shift = NODE_SHIFT + 1 - 3
    if k.rule[R_SHADOW_NODES_HALVE] != 0:
        shift = NODE_SHIFT - 3
        for lru in range(NR_LRU_LISTS):
            pages += k.vmstat[NR_LRU_BASE + lru]
        pages += k.vmstat[NR_SLAB_RECLAIMABLE] + k.vmstat[NR_SLAB_UNRECLAIMABLE]
    else:
        for zone in range(k.sc[SC_NR_ZONES]):
            pages += k.zone[zone, Z_PRESENT]
    return max(0, k.node[N_SHADOW_NODES] - (pages >> shift))


@compiled
def scan_shadow_nodes(k, nr_to_scan):
    """Take so many of these nodes, those first that have had no page for longest (scan_shadow_nodes): how many went."""
    gone = 0
    while gone < nr_to_scan and k.node[N_SHADOW_NODES] > 0:
        forget_shadows(k, k.xnode[0, XN_NEXT])
        k.vmstat[WORKINGSET_NODERECLAIM] += 1
        gone += 1
    return gone
