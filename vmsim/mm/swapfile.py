"""Swap areas, the references to their slots and the free clusters.   Follows mm/swapfile.c of v4.4 (section D.1).

A swap entry is the index of its slot in `swap_map`, which holds references << SWAP_COUNT_SHIFT | SWAP_HAS_CACHE, 0 when free; entry 0
is no entry.
"""

from vmsim.struct.jit import compiled
from vmsim.struct.reclaim import N_SWAP_AREAS, N_SWAP_FREE, N_SWAP_TOTAL
from vmsim.struct.swaps import (
    SC_COUNT,
    SC_NEXT,
    SW_BASE,
    SW_CLUSTER_BASE,
    SW_FLAGS,
    SW_FREE_HEAD,
    SW_FREE_TAIL,
    SW_HIGHEST,
    SW_INUSE,
    SW_LOWEST,
    SWAP_COUNT_SHIFT,
    SWAP_HAS_CACHE,
    SWAPFILE_CLUSTER,
    SWP_SOLIDSTATE,
)

NO_CLUSTER = -1


@compiled
def vm_swap_full(k):
    """Whether more than half of all slots are in use: slots that only the swap cache holds are then worth having back."""
    return k.node[N_SWAP_FREE] * 2 < k.node[N_SWAP_TOTAL]


@compiled
def swap_area(k, swp):
    """The area of an entry."""
    area = k.node[N_SWAP_AREAS] - 1
    while swp < k.swap[area, SW_BASE]:
        area -= 1
    return area


@compiled
def swap_references(k, swp):
    """Page-table entries and memory-file slots that refer to a slot (page_swapcount)."""
    return k.swap_map[swp] >> SWAP_COUNT_SHIFT


@compiled
def swap_duplicate(k, swp):
    """One more reference to a slot."""
    k.swap_map[swp] += 1 << SWAP_COUNT_SHIFT


@compiled
def swap_free(k, swp):
    """One reference less; the slot is free with the last, if the swap cache doesn't hold it."""
    k.swap_map[swp] -= 1 << SWAP_COUNT_SHIFT
    if k.swap_map[swp] == 0:
        _slot_freed(k, swp)


@compiled
def swapcache_free(k, swp):
    """The swap cache no longer holds a slot; it is free if nothing refers to it."""
    k.swap_map[swp] &= ~SWAP_HAS_CACHE
    if k.swap_map[swp] == 0:
        _slot_freed(k, swp)


@compiled
def _slot_freed(k, swp):
    area = swap_area(k, swp)
    si = k.swap[area]
    offset = swp - si[SW_BASE]
    si[SW_LOWEST] = min(si[SW_LOWEST], offset)
    si[SW_HIGHEST] = max(si[SW_HIGHEST], offset)
    si[SW_INUSE] -= 1
    k.swap_cache[swp] = 0
    k.node[N_SWAP_FREE] += 1
    if si[SW_FLAGS] & SWP_SOLIDSTATE != 0:
        cluster = si[SW_CLUSTER_BASE] + offset // SWAPFILE_CLUSTER
        k.swap_cluster[cluster, SC_COUNT] -= 1
        if k.swap_cluster[cluster, SC_COUNT] == 0:
            cluster_append(k, area, offset // SWAPFILE_CLUSTER)


@compiled
def cluster_append(k, area, cluster):
    """A cluster without a used slot joins the free ones, at their end."""
    si = k.swap[area]
    k.swap_cluster[si[SW_CLUSTER_BASE] + cluster, SC_NEXT] = NO_CLUSTER
    if si[SW_FREE_HEAD] == NO_CLUSTER:
        si[SW_FREE_HEAD] = cluster
    else:
        k.swap_cluster[si[SW_CLUSTER_BASE] + si[SW_FREE_TAIL], SC_NEXT] = cluster
    si[SW_FREE_TAIL] = cluster


@compiled
def cluster_take(k, area):
    """The first free cluster, or NO_CLUSTER."""
    si = k.swap[area]
    cluster = si[SW_FREE_HEAD]
    if cluster != NO_CLUSTER:
        si[SW_FREE_HEAD] = k.swap_cluster[si[SW_CLUSTER_BASE] + cluster, SC_NEXT]
    return cluster


@compiled
def unlink_cluster(k, area, cluster):
    """Take a cluster out of the free ones, wherever in their order it stands; nothing if it isn't among them."""
    si = k.swap[area]
    base = si[SW_CLUSTER_BASE]
    before = NO_CLUSTER
    at = si[SW_FREE_HEAD]
    while at != NO_CLUSTER and at != cluster:
        before = at
        at = k.swap_cluster[base + at, SC_NEXT]
    if at == NO_CLUSTER:
        return
    following = k.swap_cluster[base + at, SC_NEXT]
    if before == NO_CLUSTER:
        si[SW_FREE_HEAD] = following
    else:
        k.swap_cluster[base + before, SC_NEXT] = following
    if si[SW_FREE_TAIL] == cluster:
        si[SW_FREE_TAIL] = before
