"""Swap areas and their slots.   Follows mm/swapfile.c of v4.4 (section D.1).

A swap entry is the index of its slot in `swap_map`, which holds references << SWAP_COUNT_SHIFT | SWAP_HAS_CACHE, 0 when free; entry 0
is no entry.
"""

from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.reclaim import N_SWAP_AREAS, N_SWAP_FREE, N_SWAP_NEXT_AREA, N_SWAP_TOTAL
from vmsim.struct.swaps import (
    SC_COUNT,
    SC_NEXT,
    SW_BASE,
    SW_BLOCK,
    SW_CLUSTER_BASE,
    SW_CLUSTER_NEXT,
    SW_CLUSTER_NR,
    SW_CPU_NEXT,
    SW_DEVICE,
    SW_FLAGS,
    SW_FREE_HEAD,
    SW_FREE_TAIL,
    SW_HIGHEST,
    SW_INUSE,
    SW_LOWEST,
    SW_MAX,
    SW_PAGES,
    SW_PRIO,
    SWAP_COUNT_SHIFT,
    SWAP_HAS_CACHE,
    SWAPFILE_CLUSTER,
    SWP_SOLIDSTATE,
    SWP_WRITEOK,
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
    if si[SW_FLAGS] & SWP_WRITEOK != 0:
        k.node[N_SWAP_FREE] += 1
    if si[SW_FLAGS] & SWP_SOLIDSTATE != 0:
        cluster = si[SW_CLUSTER_BASE] + offset // SWAPFILE_CLUSTER
        k.swap_cluster[cluster, SC_COUNT] -= 1
        if k.swap_cluster[cluster, SC_COUNT] == 0:
            _cluster_append(k, area, offset // SWAPFILE_CLUSTER)


@compiled
def _cluster_append(k, area, cluster):
    """A cluster without a used slot joins the free ones, at their end."""
    si = k.swap[area]
    k.swap_cluster[si[SW_CLUSTER_BASE] + cluster, SC_NEXT] = NO_CLUSTER
    if si[SW_FREE_HEAD] == NO_CLUSTER:
        si[SW_FREE_HEAD] = cluster
    else:
        k.swap_cluster[si[SW_CLUSTER_BASE] + si[SW_FREE_TAIL], SC_NEXT] = cluster
    si[SW_FREE_TAIL] = cluster


@compiled
def _cluster_take(k, area):
    """The first free cluster, or NO_CLUSTER."""
    si = k.swap[area]
    cluster = si[SW_FREE_HEAD]
    if cluster != NO_CLUSTER:
        si[SW_FREE_HEAD] = k.swap_cluster[si[SW_CLUSTER_BASE] + cluster, SC_NEXT]
    return cluster


@compiled
def _unlink_cluster(k, area, cluster):
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
            cluster = _cluster_take(k, area)
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
    """The first free slot from `start` on, then from the lowest; -1 if there is none."""
    si = k.swap[area]
    base = si[SW_BASE]
    for offset in range(start, si[SW_HIGHEST] + 1):
        if k.swap_map[base + offset] == 0:
            return offset
    for offset in range(si[SW_LOWEST], min(start, si[SW_HIGHEST] + 1)):
        if k.swap_map[base + offset] == 0:
            return offset
    return -1


@compiled
def scan_swap_map(k, area):
    """Take a slot of an area for the swap cache: its entry, or 0.

    On a rotating device slots are handed out one after the other for 256 of them; then the lowest free run of 256 is looked for.
    Model: slots that only the swap cache holds are not taken over here; reclaim frees them.
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
            _unlink_cluster(k, area, offset // SWAPFILE_CLUSTER)
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


@entry
def add_swap_area(k, device, block, slots, priority, solid_state, start):
    """swapon: an area of `slots` pages from page `block` of a device on, the first of which is the header; `start` is the offset at which
    a solid-state area begins. Its number."""
    area = k.node[N_SWAP_AREAS]
    si = k.swap[area]
    base = 0
    cluster_base = 0
    if area > 0:
        base = k.swap[area - 1, SW_BASE] + k.swap[area - 1, SW_MAX]
        cluster_base = k.swap[area - 1, SW_CLUSTER_BASE] + (k.swap[area - 1, SW_MAX] + SWAPFILE_CLUSTER - 1) // SWAPFILE_CLUSTER
    si[SW_FLAGS] = SWP_WRITEOK | (SWP_SOLIDSTATE if solid_state != 0 else 0)
    si[SW_DEVICE] = device
    si[SW_BLOCK] = block
    si[SW_BASE] = base
    si[SW_MAX] = slots
    si[SW_PAGES] = slots - 1
    si[SW_PRIO] = priority
    si[SW_LOWEST] = 1
    si[SW_HIGHEST] = slots - 1
    si[SW_CLUSTER_NEXT] = 1
    si[SW_CLUSTER_BASE] = cluster_base
    si[SW_FREE_HEAD] = NO_CLUSTER
    if solid_state != 0:
        clusters = (slots + SWAPFILE_CLUSTER - 1) // SWAPFILE_CLUSTER
        for i in range(clusters):
            _cluster_append(k, area, (start // SWAPFILE_CLUSTER + i) % clusters)
    k.node[N_SWAP_AREAS] = area + 1
    k.node[N_SWAP_TOTAL] += slots - 1
    k.node[N_SWAP_FREE] += slots - 1
    return area
