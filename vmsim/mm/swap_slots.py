"""Handing out slots of the swap areas.   Follows mm/swapfile.c (scan_swap_map, get_swap_page) and swap_state.c of v4.4 (section D.1)."""

from vmsim.mm.huge_split import split_huge_page
from vmsim.mm.swap import free_page_and_lru
from vmsim.mm.swap_cache import add_to_swap_cache, try_to_free_swap
from vmsim.mm.swapfile import NO_CLUSTER, cluster_take, unlink_cluster, vm_swap_full
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, PG_DIRTY, PG_HEAD, PG_LOCKED, PG_LRU, PG_PAGEVEC
from vmsim.struct.reclaim import N_SWAP_AREAS, N_SWAP_FREE, N_SWAP_NEXT_AREA
from vmsim.struct.swaps import (
    SC_COUNT,
    SW_BASE,
    SW_CLUSTER_BASE,
    SW_CLUSTER_NEXT,
    SW_CLUSTER_NR,
    SW_CPU_NEXT,
    SW_FLAGS,
    SW_HIGHEST,
    SW_INUSE,
    SW_LOWEST,
    SW_MAX,
    SW_PAGES,
    SW_PRIO,
    SWAP_HAS_CACHE,
    SWAPFILE_CLUSTER,
    SWP_SOLIDSTATE,
    SWP_WRITEOK,
)


@compiled
def _slot_used(k, area, offset):
    """A free slot is taken for the swap cache; its entry."""
    si = k.swap[area]
    swp = si[SW_BASE] + offset
    k.swap_map[swp] = SWAP_HAS_CACHE
    si[SW_INUSE] += 1
    k.node[N_SWAP_FREE] -= 1
    if offset == si[SW_LOWEST]:
        si[SW_LOWEST] += 1
    if offset == si[SW_HIGHEST]:
        si[SW_HIGHEST] -= 1
    if si[SW_INUSE] == si[SW_PAGES]:
        si[SW_LOWEST] = si[SW_MAX]
        si[SW_HIGHEST] = 0
    si[SW_CLUSTER_NEXT] = offset + 1
    return swp


@compiled
def _ssd_slot(k, area):
    """The next free slot of this CPU's cluster, or of a free cluster; -1: search the area (scan_swap_map_try_ssd_cluster)."""
    si = k.swap[area]
    column = SW_CPU_NEXT + (k.sc[SC_CPU] & 15)
    while True:
        offset = si[column]
        if offset == 0:
            cluster = cluster_take(k, area)
            if cluster == NO_CLUSTER:
                return -1
            offset = max(cluster * SWAPFILE_CLUSTER, 1)
        end = min((offset // SWAPFILE_CLUSTER + 1) * SWAPFILE_CLUSTER, si[SW_MAX])
        while offset < end and k.swap_map[si[SW_BASE] + offset] != 0:
            offset += 1
        if offset < end:
            si[column] = offset + 1 if offset + 1 < end else 0
            return offset
        si[column] = 0


@compiled
def _empty_cluster(k, area):
    """The first run of 256 free slots of an area, unaligned, or -1."""
    si = k.swap[area]
    offset = si[SW_LOWEST]
    last = offset + SWAPFILE_CLUSTER - 1
    while last <= si[SW_HIGHEST]:
        if k.swap_map[si[SW_BASE] + offset] != 0:
            last = offset + SWAPFILE_CLUSTER
        elif offset == last:
            return offset - (SWAPFILE_CLUSTER - 1)
        offset += 1
    return -1


@compiled
def _first_free(k, area, start):
    """The first free slot from `start` on, then from the lowest; -1: none. Where swap is short, one that can be freed will do."""
    si = k.swap[area]
    base = si[SW_BASE]
    full = vm_swap_full(k)
    end = si[SW_HIGHEST] + 1
    for offset in range(start, end):
        if k.swap_map[base + offset] == 0 or (full and _reclaim_swap(k, base + offset)):
            return offset
    for offset in range(si[SW_LOWEST], min(start, end)):
        if k.swap_map[base + offset] == 0 or (full and _reclaim_swap(k, base + offset)):
            return offset
    return -1


@compiled
def _reclaim_swap(k, swp):
    """Free a slot that only the swap cache holds, of a page that stays in memory; whether it is free now (__try_to_reclaim_swap).

    Model: a page that nobody maps and that reclaim has in hand keeps its slot.
    """
    pfn = k.swap_cache[swp]
    if k.swap_map[swp] != SWAP_HAS_CACHE or k.frame[pfn, P_FLAGS] & PG_LOCKED != 0:
        return False
    unused = k.frame[pfn, P_MAPCOUNT] == 0
    if unused and k.frame[pfn, P_FLAGS] & (PG_LRU | PG_PAGEVEC) == 0:
        return False
    if not try_to_free_swap(k, pfn):
        return False
    if unused:
        free_page_and_lru(k, pfn)
    return True


@compiled
def scan_swap_map(k, area):
    """Take a slot of an area for the swap cache: its entry, or 0.

    On a rotating device slots are handed out one after the other for 256 of them; then the lowest free run of 256 is looked for.
    """
    si = k.swap[area]
    if si[SW_HIGHEST] == 0 or si[SW_FLAGS] & SWP_WRITEOK == 0:
        return 0
    if si[SW_FLAGS] & SWP_SOLIDSTATE != 0:
        offset = _ssd_slot(k, area)
        if offset < 0:
            offset = _first_free(k, area, max(si[SW_CLUSTER_NEXT], si[SW_LOWEST]))
        if offset < 0:
            return 0
        cluster = si[SW_CLUSTER_BASE] + offset // SWAPFILE_CLUSTER
        if k.swap_cluster[cluster, SC_COUNT] == 0:
            unlink_cluster(k, area, offset // SWAPFILE_CLUSTER)
        k.swap_cluster[cluster, SC_COUNT] += 1
        return _slot_used(k, area, offset)
    start = si[SW_CLUSTER_NEXT]
    if si[SW_CLUSTER_NR] == 0:
        si[SW_CLUSTER_NR] = SWAPFILE_CLUSTER - 1
        if si[SW_PAGES] - si[SW_INUSE] >= SWAPFILE_CLUSTER:
            start = si[SW_LOWEST]
            found = _empty_cluster(k, area)
            if found >= 0:
                start = found
    else:
        si[SW_CLUSTER_NR] -= 1
    if start > si[SW_HIGHEST]:
        start = si[SW_LOWEST]
    offset = _first_free(k, area, start)
    return 0 if offset < 0 else _slot_used(k, area, offset)


@compiled
def get_swap_page(k):
    """A slot of the area with the highest priority that has one; areas of one priority take turns page by page. 0: swap is full."""
    if k.node[N_SWAP_FREE] <= 0:
        return 0
    areas = k.node[N_SWAP_AREAS]
    tried = 0
    while True:
        best = -1
        for i in range(areas):
            area = (k.node[N_SWAP_NEXT_AREA] + i) % areas
            usable = k.swap[area, SW_FLAGS] & SWP_WRITEOK != 0 and tried >> area & 1 == 0
            if usable and (best < 0 or k.swap[area, SW_PRIO] > k.swap[best, SW_PRIO]):
                best = area
        if best < 0:
            return 0
        swp = scan_swap_map(k, best)
        if swp != 0:
            k.node[N_SWAP_NEXT_AREA] = (best + 1) % areas
            return swp
        tried |= 1 << best


@compiled
def add_to_swap(k, pfn):
    """Give an anonymous page a slot, and mark it dirty so that it is written; whether there was one.

    A huge page is split first: the slot is for its first page.
    """
    swp = get_swap_page(k)
    if swp == 0:
        return False
    if k.frame[pfn, P_FLAGS] & PG_HEAD != 0:
        split_huge_page(k, pfn, L_RECLAIM)
    add_to_swap_cache(k, pfn, swp)
    k.frame[pfn, P_FLAGS] |= PG_DIRTY
    return True
