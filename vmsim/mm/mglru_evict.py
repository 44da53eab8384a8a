"""Eviction from the oldest generation.   Follows mm/vmscan.c of v6.1 (lru_gen_shrink_lruvec, evict_folios, lru_gen_age_node).

Model: a page whose write has ended while it was isolated is met again; the kernel tries it once more in the same batch.
"""

from vmsim.mm.mglru import gen_list, gen_of, inc_gen, lru_gen_add, lru_gen_del, move_to_gen, nr_gens, refs_of, tier_of
from vmsim.mm.mglru_tiers import MAX_REFS, last_tier, reset_ctrl_pos, type_to_scan
from vmsim.mm.mglru_walk import inc_max_seq
from vmsim.mm.page_alloc import free_page, zone_watermark_ok
from vmsim.mm.swap import add_page_to_unevictable_list, lru_add
from vmsim.mm.vmscan_page import PAGE_ACTIVATE, PAGE_CULL, PAGE_FREED, give_up_swap_slot, reclaim_page
from vmsim.mm.vmscan_unmap import try_to_unmap_flush
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_ZONES, SYS_SWAPPINESS
from vmsim.struct.pages import (
    MAX_LRU_BATCH,
    MAX_NR_GENS,
    MAX_NR_TIERS,
    MIN_LRU_BATCH,
    MIN_NR_GENS,
    P_FLAGS,
    P_PREV,
    PG_ACTIVE,
    PG_ANON,
    PG_DIRTY,
    PG_LOCKED,
    PG_MLOCKED,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_REFS_MASK,
    PG_SWAPBACKED,
    PG_WORKINGSET,
    PG_WRITEBACK,
    Z_GEN,
    Z_HIGH,
    Z_LOW,
    Z_PAGES_SCANNED,
)
from vmsim.struct.reclaim import (
    DEF_PRIORITY,
    N_MAX_SEQ,
    N_MIN_SEQ,
    N_PROTECTED,
    N_SWAP_FREE,
    S_AGE_NODE,
    S_GEN_BATCH,
    S_GEN_SCANNED,
    S_IS_KSWAPD,
    S_LRU_RECLAIMED,
    S_NEED_AGING,
    S_NEED_SWAPPING,
    S_PRIORITY,
    S_RECLAIMED,
    S_SEQ,
    S_TO_RECLAIM,
)
from vmsim.struct.vmstat import (
    PGACTIVATE,
    PGREFILL_DMA,
    PGSCAN_ANON,
    PGSCAN_DIRECT_DMA,
    PGSCAN_KSWAPD_DMA,
    PGSTEAL_ANON,
    PGSTEAL_DIRECT_DMA,
    PGSTEAL_KSWAPD_DMA,
    UNEVICTABLE_PGCULLED,
    WORKINGSET_ACTIVATE,
    WORKINGSET_ACTIVATE_ANON,
)


@compiled
def gen_swappiness(k):
    """Swappiness, 0 where hardly a slot is free: then anonymous pages are left alone (get_swappiness)."""
    return k.sysctl[SYS_SWAPPINESS] if k.node[N_SWAP_FREE] >= MIN_LRU_BATCH else 0


@compiled
def _should_run_aging(k, s, swappiness):
    """How many pages to scan; S_NEED_AGING: there are too few generations, or their sizes are uneven (should_run_aging)."""
    node = k.node
    top = node[N_MAX_SEQ]
    young = 0
    old = 0
    total = 0
    for file in range(0 if swappiness != 0 else 1, 2):
        for seq in range(node[N_MIN_SEQ + file], top + 1):
            size = 0
            for zone in range(k.sc[SC_NR_ZONES]):
                size += max(k.zone[zone, Z_GEN + 2 * (seq % MAX_NR_GENS) + file], 0)
            total += size
            if seq == top:
                young += size
            elif seq + MIN_NR_GENS == top:
                old += size
    oldest = node[N_MIN_SEQ + (0 if swappiness != 0 else 1)] + MIN_NR_GENS
    uneven = young * MIN_NR_GENS > total or old * (MIN_NR_GENS + 2) < total
    s[S_NEED_AGING] = 1 if oldest > top or (oldest == top and uneven) else 0
    return total >> s[S_PRIORITY]


@compiled
def _nr_to_scan(k, s, swappiness):
    """Pages to scan, 0 for none; a direct reclaimer in trouble ages by itself (get_nr_to_scan)."""
    pages = _should_run_aging(k, s, swappiness)
    if s[S_NEED_AGING] == 0:
        return pages
    if s[S_PRIORITY] != DEF_PRIORITY:
        if s[S_IS_KSWAPD] != 0:
            return 0
        inc_max_seq(k, swappiness)
        return pages
    return pages if k.node[N_MIN_SEQ + (0 if swappiness != 0 else 1)] + MIN_NR_GENS <= k.node[N_MAX_SEQ] else 0


@compiled
def lru_gen_age_node(k, s):
    """kswapd makes a new generation if one is due; not where the last pass went well without (lru_gen_age_node)."""
    if s[S_AGE_NODE] == 0:
        s[S_AGE_NODE] = 1
        return
    swappiness = gen_swappiness(k)
    _should_run_aging(k, s, swappiness)
    if s[S_NEED_AGING] != 0:
        inc_max_seq(k, swappiness)


@compiled
def _sort(k, pfn, file, tier):
    """Whether a page of the oldest generation is dealt with and not to be isolated: it is mlocked, was used, is protected or waits for
    its write (sort_folio)."""
    flags = k.frame[pfn, P_FLAGS]
    gen = gen_of(flags)
    oldest = k.node[N_MIN_SEQ + file] % MAX_NR_GENS
    refs = refs_of(flags)
    mine = tier_of(refs)
    if flags & PG_MLOCKED != 0:
        lru_gen_del(k, pfn, 1)
        add_page_to_unevictable_list(k, pfn)
        k.vmstat[UNEVICTABLE_PGCULLED] += 1
    elif file != 0 and flags & (PG_ANON | PG_DIRTY) == PG_ANON | PG_DIRTY:  # given up by MADV_FREE, but written since
        lru_gen_del(k, pfn, 1)
        k.frame[pfn, P_FLAGS] |= PG_SWAPBACKED
        lru_gen_add(k, pfn, 1)
    elif gen != oldest:
        move_to_gen(k, pfn, gen, 0)
    elif mine > tier or refs == MAX_REFS:
        move_to_gen(k, pfn, inc_gen(k, pfn, 0), 1)
        k.node[N_PROTECTED + file * MAX_NR_TIERS + mine] += 1
        k.vmstat[WORKINGSET_ACTIVATE if file != 0 else WORKINGSET_ACTIVATE_ANON] += 1
    elif flags & (PG_LOCKED | PG_WRITEBACK) != 0 or (file != 0 and flags & PG_DIRTY != 0):
        move_to_gen(k, pfn, inc_gen(k, pfn, 1), 0)
    else:
        return False
    return True


@compiled
def _isolate(k, s, pfn, at):
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_REFERENCED == 0:
        flags &= ~(PG_REFS_MASK | PG_WORKINGSET)
    k.frame[pfn, P_FLAGS] = flags & ~(PG_RECLAIM | PG_REFERENCED)
    lru_gen_del(k, pfn, 1)
    s[S_GEN_BATCH + at] = pfn


@compiled
def _scan(k, s, file, tier):
    """Take up to 64 pages of one kind off the oldest generation, the highest zone first: scanned << 8 | isolated (scan_folios)."""
    if nr_gens(k, file) == MIN_NR_GENS:
        return 0
    scanned = 0
    isolated = 0
    for zone in range(k.sc[SC_NR_ZONES] - 1, -1, -1):
        head = gen_list(k, k.node[N_MIN_SEQ + file] % MAX_NR_GENS, file, zone)
        while k.frame[head, P_PREV] != head and scanned < MAX_LRU_BATCH and isolated < MIN_LRU_BATCH:
            pfn = k.frame[head, P_PREV]
            scanned += 1
            if not _sort(k, pfn, file, tier):
                _isolate(k, s, pfn, isolated)
                isolated += 1
    k.vmstat[PGSCAN_KSWAPD_DMA if s[S_IS_KSWAPD] != 0 else PGSCAN_DIRECT_DMA] += isolated
    k.vmstat[PGSCAN_ANON + file] += isolated
    k.vmstat[PGREFILL_DMA] += scanned - isolated
    k.zone[0, Z_PAGES_SCANNED] += isolated
    return scanned << 8 | isolated if isolated > 0 or scanned >= MAX_LRU_BATCH else 0


@compiled
def _isolate_pages(k, s, swappiness):
    """A batch of the kind that comes back less often, else of the other: (scanned << 8 | isolated) << 1 | file (isolate_folios)."""
    tier = -1
    if swappiness == 0:
        file = 1
    elif k.node[N_MIN_SEQ] < k.node[N_MIN_SEQ + 1] or swappiness == 200:
        file = 0
    elif swappiness == 1:
        file = 1
    else:
        file = type_to_scan(k, swappiness)
        own = swappiness if file == 0 else 200 - swappiness
        tier = last_tier(k, 1 - file, 200 - own, file, own)
    scanned = 0
    for _ in range(1 if swappiness == 0 else 2):
        if tier < 0:
            tier = last_tier(k, file, 1, file, 2)
        scanned = _scan(k, s, file, tier)
        if scanned != 0:
            break
        file = 1 - file
        tier = -1
    return scanned << 1 | file


@compiled
def _try_to_inc_min_seq(k, swappiness):
    """Oldest generations that are empty are over; files' are not left ahead of anonymous ones (try_to_inc_min_seq)."""
    node = k.node
    anon = node[N_MIN_SEQ]
    file = node[N_MIN_SEQ + 1]
    for kind in range(0 if swappiness != 0 else 1, 2):
        seq = node[N_MIN_SEQ + kind]
        empty = True
        while seq + MIN_NR_GENS <= node[N_MAX_SEQ]:
            for zone in range(k.sc[SC_NR_ZONES]):
                head = gen_list(k, seq % MAX_NR_GENS, kind, zone)
                empty = empty and k.frame[head, P_PREV] == head
            if not empty:
                break
            seq += 1
        if kind == 0:
            anon = seq
        else:
            file = seq
    if swappiness != 0:
        anon = min(anon, file)
        file = max(anon, node[N_MIN_SEQ + 1])
    if anon == node[N_MIN_SEQ] and file == node[N_MIN_SEQ + 1]:
        return 0
    for kind in range(2):
        seq = anon if kind == 0 else file
        if seq != node[N_MIN_SEQ + kind]:
            reset_ctrl_pos(k, kind)
            node[N_MIN_SEQ + kind] = seq
    return 1


@compiled
def _shrink_batch(k, s, count):
    """Reclaim what can be of the batch; the others go back once all have been looked at (shrink_folio_list)."""
    freed = 0
    for i in range(count):
        pfn = s[S_GEN_BATCH + i]
        outcome = reclaim_page(k, s, 0, pfn)
        if outcome == PAGE_FREED:
            free_page(k, pfn)
            freed += 1
            s[S_GEN_BATCH + i] = 0
        elif outcome == PAGE_ACTIVATE:
            give_up_swap_slot(k, pfn, 0)
            k.vmstat[PGACTIVATE] += 1
        elif outcome == PAGE_CULL:
            give_up_swap_slot(k, pfn, 1)
    try_to_unmap_flush(k, s, 0)
    for i in range(count):
        pfn = s[S_GEN_BATCH + i]
        if pfn != 0:
            _put_back(k, pfn)
    return freed


@compiled
def _put_back(k, pfn):
    """A page that stays: mlocked, waiting for its write, or else as young as any (evict_folios)."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_MLOCKED != 0:
        add_page_to_unevictable_list(k, pfn)
        k.vmstat[UNEVICTABLE_PGCULLED] += 1
        return
    if flags & PG_RECLAIM != 0 and flags & (PG_DIRTY | PG_WRITEBACK) != 0:
        if flags & PG_WORKINGSET != 0:
            flags |= PG_REFERENCED
        k.frame[pfn, P_FLAGS] = flags & ~PG_ACTIVE
    else:
        k.frame[pfn, P_FLAGS] = flags & ~(PG_REFS_MASK | PG_REFERENCED | PG_WORKINGSET) | PG_ACTIVE
    lru_add(k, pfn)


@compiled
def _evict(k, s, swappiness):
    """One batch: pages scanned, 0 if there is nothing to evict (evict_folios)."""
    found = _isolate_pages(k, s, swappiness)
    scanned = (found >> 9) + _try_to_inc_min_seq(k, swappiness)
    if nr_gens(k, 0 if swappiness != 0 else 1) == MIN_NR_GENS:
        scanned = 0
    count = found >> 1 & 0xFF
    if count > 0:
        freed = _shrink_batch(k, s, count)
        s[S_LRU_RECLAIMED] += freed
        k.vmstat[PGSTEAL_KSWAPD_DMA if s[S_IS_KSWAPD] != 0 else PGSTEAL_DIRECT_DMA] += freed
        k.vmstat[PGSTEAL_ANON + (found & 1)] += freed
        if found & 1 == 0:
            s[S_NEED_SWAPPING] = 1
    return scanned


@compiled
def _should_abort(k, s):
    """Whether enough is done for now: by what was reclaimed, and the zones' watermarks (should_abort_scan)."""
    if s[S_IS_KSWAPD] == 0:
        if k.node[N_MAX_SEQ] - s[S_SEQ] > 1:
            return True
        if s[S_RECLAIMED] + s[S_LRU_RECLAIMED] >= s[S_TO_RECLAIM] and s[S_NEED_SWAPPING] != 0:
            return True
    elif s[S_RECLAIMED] + s[S_LRU_RECLAIMED] < s[S_TO_RECLAIM]:
        return False
    if s[S_PRIORITY] > DEF_PRIORITY - 2:
        return False
    mark = Z_HIGH if s[S_IS_KSWAPD] != 0 else Z_LOW
    for zone in range(k.sc[SC_NR_ZONES]):
        if not zone_watermark_ok(k, zone, k.zone[zone, mark], k.sc[SC_NR_ZONES] - 1):
            return False
    s[S_LRU_RECLAIMED] += MIN_LRU_BATCH
    return True


@compiled
def lru_gen_begin(k, s):
    """A pass begins."""
    s[S_GEN_SCANNED] = 0
    s[S_NEED_SWAPPING] = 0
    s[S_NEED_AGING] = 0
    s[S_SEQ] = k.node[N_MAX_SEQ]


@compiled
def lru_gen_step(k, s):
    """One batch of a pass; whether it goes on (lru_gen_shrink_lruvec)."""
    swappiness = gen_swappiness(k)
    pages = _nr_to_scan(k, s, swappiness)
    scanned = _evict(k, s, swappiness) if pages > 0 else 0
    if scanned == 0:
        return False
    s[S_GEN_SCANNED] += scanned
    if s[S_GEN_SCANNED] < pages and not _should_abort(k, s):
        return True
    if s[S_LRU_RECLAIMED] >= MIN_LRU_BATCH and s[S_NEED_AGING] == 0:
        s[S_AGE_NODE] = 0
    return False
