"""Page frames: which are free, and handing them out.   Follows mm/page_alloc.c of v4.4 (section C of the behaviour notes).

Frames that were never used are handed out upward from each zone's start; freed ones are taken again first, the last freed
first, as from the hot end of a per-CPU list.  A CPU's list of a zone is a count of frames that the zone no longer counts as free.
What happens when no zone is above its watermark is in mm/page_alloc_slow.py.
"""

from vmsim.mm.pageblock import has_whole, piece_freed, take_piece, take_whole, whole_freed
from vmsim.struct.costs import C_ALLOC_PAGE, C_FREE_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_HUGE_BITS, SC_NR_CPUS, SC_NR_ZONES
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import (
    FRAME_COLUMNS,
    P_FLAGS,
    PG_HEAD,
    PG_INUSE,
    PG_LOCKED,
    PG_TAIL,
    PVEC_FREE_FACTOR,
    Z_ALLOC_BATCH,
    Z_BATCH,
    Z_END_PFN,
    Z_FLAGS,
    Z_FREE,
    Z_HIGH,
    Z_LOW,
    Z_MANAGED,
    Z_MIN,
    Z_NEW_END,
    Z_NEXT_NEW,
    Z_NR_STACK,
    Z_PAGES_SCANNED,
    Z_PCP_HIGH,
    Z_RESERVE,
    Z_START_PFN,
    ZONE_FAIR_DEPLETED,
)
from vmsim.struct.reclaim import KSWAPD_PASS, N_KSWAPD_STATE
from vmsim.struct.rules import R_FAIR_ZONES, R_PCP_RECLAIM
from vmsim.struct.vmstat import NR_FREE_PAGES, PGALLOC_DMA, PGFREE


@compiled
def zone_of(k, pfn):
    """The zone that a frame belongs to."""
    zone = k.sc[SC_NR_ZONES] - 1
    while pfn < k.zone[zone, Z_START_PFN]:
        zone -= 1
    return zone


@compiled
def zone_watermark_ok(k, zone, mark, classzone):
    """Whether a zone keeps `mark` pages, and its reserve against requests of class `classzone`, after one more (zone_watermark_ok)."""
    return k.zone[zone, Z_FREE] > mark + k.zone[zone, Z_RESERVE + classzone]


@compiled
def get_page_from_freelist(k, mark):
    """A frame of the first zone, from the highest down, that is above its watermark `mark` (a column of `zone`); 0 if none is.

    The kernel before 4.8 lets zones take turns in proportion to their size on the fast path, whose watermark is LOW.
    """
    top = k.sc[SC_NR_ZONES] - 1
    fair = mark == Z_LOW and top > 0 and k.rule[R_FAIR_ZONES] != 0
    for _ in range(2 if fair else 1):
        skipped = 0
        for zone in range(top, -1, -1):
            if fair and k.zone[zone, Z_FLAGS] & ZONE_FAIR_DEPLETED != 0:
                skipped += 1
            elif zone_watermark_ok(k, zone, k.zone[zone, mark], top):
                pfn = rmqueue(k, zone)
                if pfn != 0:
                    return pfn
        if not fair:
            return 0
        if skipped > 0:
            reset_alloc_batches(k)
        fair = False
    return _from_any(k, mark, top)


@compiled
def _from_any(k, mark, top):
    """The zones once more, without fairness."""
    for zone in range(top, -1, -1):
        if zone_watermark_ok(k, zone, k.zone[zone, mark], top):
            pfn = rmqueue(k, zone)
            if pfn != 0:
                return pfn
    return 0


@compiled
def reset_alloc_batches(k):
    """Every zone may hand out HIGH - LOW pages again before the others get their turn (reset_alloc_batches)."""
    for zone in range(k.sc[SC_NR_ZONES]):
        k.zone[zone, Z_ALLOC_BATCH] = k.zone[zone, Z_HIGH] - k.zone[zone, Z_LOW]
        k.zone[zone, Z_FLAGS] &= ~ZONE_FAIR_DEPLETED


@compiled
def any_free_page(k):
    """A frame whatever the watermarks, for who frees memory; 0 if there is none (ALLOC_NO_WATERMARKS)."""
    for zone in range(k.sc[SC_NR_ZONES] - 1, -1, -1):
        pfn = rmqueue(k, zone)
        if pfn != 0:
            return pfn
    return 0


@compiled
def rmqueue(k, zone):
    """A frame of a zone through this CPU's list, or 0; its columns are zero but for PG_INUSE (buffered_rmqueue)."""
    batch = k.zone[zone, Z_BATCH]
    if batch == 0:
        if k.zone[zone, Z_FREE] <= 0:
            return 0
        k.zone[zone, Z_FREE] -= 1
        k.vmstat[NR_FREE_PAGES] -= 1
    else:
        cpu = k.sc[SC_CPU]
        k.pvec[cpu, PVEC_FREE_FACTOR + zone] >>= 1
        if k.pcp[cpu, zone] == 0:
            refill = min(batch, k.zone[zone, Z_FREE])
            if refill <= 0:
                return 0
            k.pcp[cpu, zone] = refill
            k.zone[zone, Z_FREE] -= refill
            k.vmstat[NR_FREE_PAGES] -= refill
        k.pcp[cpu, zone] -= 1
    if k.sc[SC_HUGE_BITS] != 0:
        pfn = take_piece(k, zone)
    elif k.zone[zone, Z_NR_STACK] > 0:
        k.zone[zone, Z_NR_STACK] -= 1
        pfn = k.free_stack[k.zone[zone, Z_START_PFN] + k.zone[zone, Z_NR_STACK]]
    else:
        pfn = k.zone[zone, Z_NEXT_NEW]
        k.zone[zone, Z_NEXT_NEW] = pfn + 1
    k.frame[pfn, P_FLAGS] = PG_INUSE
    _count_allocated(k, zone, 1)
    return pfn


@compiled
def _count_allocated(k, zone, pages):
    k.vmstat[PGALLOC_DMA + zone] += pages
    k.zone[zone, Z_ALLOC_BATCH] -= pages
    if k.zone[zone, Z_ALLOC_BATCH] <= 0:
        k.zone[zone, Z_FLAGS] |= ZONE_FAIR_DEPLETED


@compiled
def hold_page(k, pfn):
    """Keep reclaim from a page while its caller allocates another: it is locked, unless it is already. For `release_page`.

    Model of the reference that the kernel holds, from find_get_page to put_page.
    """
    held = PG_LOCKED & ~k.frame[pfn, P_FLAGS]
    k.frame[pfn, P_FLAGS] |= held
    return held


@compiled
def release_page(k, pfn, held):
    """Undo `hold_page`."""
    k.frame[pfn, P_FLAGS] &= ~held


@compiled
def alloc_page_fast(k):
    """A frame for user memory or the page cache from a zone above its low watermark, or 0; its time is charged either way."""
    k.led[L_FAULT] += k.cost[C_ALLOC_PAGE]
    return get_page_from_freelist(k, Z_LOW)


@compiled
def free_page(k, pfn):
    """Give a frame back that nothing refers to any more, to this CPU's list; a full list gives a batch back to its zone."""
    k.led[L_FAULT] += k.cost[C_FREE_PAGE]
    zone = zone_of(k, pfn)
    for column in range(FRAME_COLUMNS):
        k.frame[pfn, column] = 0
    k.free_stack[k.zone[zone, Z_START_PFN] + k.zone[zone, Z_NR_STACK]] = pfn
    k.zone[zone, Z_NR_STACK] += 1
    if k.sc[SC_HUGE_BITS] != 0:
        piece_freed(k, zone, pfn)
    k.vmstat[PGFREE] += 1
    batch = k.zone[zone, Z_BATCH]
    if batch == 0:
        _to_buddy(k, zone, 1)
        return
    cpu = k.sc[SC_CPU]
    k.pcp[cpu, zone] += 1
    high = k.zone[zone, Z_PCP_HIGH]
    if k.rule[R_PCP_RECLAIM] != 0 and k.node[N_KSWAPD_STATE] >= KSWAPD_PASS:
        high = min(batch * 4, high)
    if k.pcp[cpu, zone] >= high:
        back = min(batch if k.rule[R_PCP_RECLAIM] == 0 else _nr_pcp_free(k, cpu, zone, high, batch), k.pcp[cpu, zone])
        k.pcp[cpu, zone] -= back
        _to_buddy(k, zone, back)


@compiled
def _nr_pcp_free(k, cpu, zone, high, batch):
    """Frames that a full list gives back: a batch, and twice as many each time that none was taken since (nr_pcp_free)."""
    if high < batch:
        return 1
    back = batch << k.pvec[cpu, PVEC_FREE_FACTOR + zone]
    if back < high - batch:
        k.pvec[cpu, PVEC_FREE_FACTOR + zone] += 1
    return max(min(back, high - batch), batch)


@compiled
def _to_buddy(k, zone, pages):
    k.zone[zone, Z_FREE] += pages
    k.zone[zone, Z_PAGES_SCANNED] = 0
    k.vmstat[NR_FREE_PAGES] += pages


@compiled
def drain_all_pages(k):
    """Every CPU gives the frames on its lists back to their zones (drain_all_pages)."""
    for cpu in range(k.sc[SC_NR_CPUS]):
        for zone in range(k.sc[SC_NR_ZONES]):
            if k.pcp[cpu, zone] > 0:
                _to_buddy(k, zone, k.pcp[cpu, zone])
                k.pcp[cpu, zone] = 0


@compiled
def _huge_watermark_ok(k, zone, mark):
    """`zone_watermark_ok` of a request for a huge page: one must be free in one piece, and the mark be kept without it."""
    left = k.zone[zone, Z_FREE] - (1 << k.sc[SC_HUGE_BITS]) + 1
    return left > k.zone[zone, mark] + k.zone[zone, Z_RESERVE + k.sc[SC_NR_ZONES] - 1] and has_whole(k, zone)


@compiled
def _huge_from_freelist(k, mark):
    """`get_page_from_freelist` for a huge page: its first frame, or 0."""
    top = k.sc[SC_NR_ZONES] - 1
    fair = mark == Z_LOW and top > 0 and k.rule[R_FAIR_ZONES] != 0
    for attempt in range(2 if fair else 1):
        skipped = 0
        for zone in range(top, -1, -1):
            if fair and attempt == 0 and k.zone[zone, Z_FLAGS] & ZONE_FAIR_DEPLETED != 0:
                skipped += 1
            elif _huge_watermark_ok(k, zone, mark):
                return _rmqueue_huge(k, zone)
        if fair and attempt == 0 and skipped > 0:
            reset_alloc_batches(k)
    return 0


@compiled
def _rmqueue_huge(k, zone):
    pages = 1 << k.sc[SC_HUGE_BITS]
    head = take_whole(k, zone)
    k.zone[zone, Z_FREE] -= pages
    k.vmstat[NR_FREE_PAGES] -= pages
    _count_allocated(k, zone, pages)
    k.frame[head, P_FLAGS] = PG_INUSE | PG_HEAD
    for pfn in range(head + 1, head + pages):
        k.frame[pfn, P_FLAGS] = PG_INUSE | PG_TAIL
    return head


@compiled
def alloc_huge_page(k):
    """The first frame of a huge page, or 0 where no zone has one in one piece above its minimum.

    Model: as with transparent_hugepage/defrag at `never`; nothing is compacted or reclaimed for it, and kswapd isn't woken (GFP_TRANSHUGE).
    """
    k.led[L_FAULT] += k.cost[C_ALLOC_PAGE]
    head = _huge_from_freelist(k, Z_LOW)
    return head if head != 0 else _huge_from_freelist(k, Z_MIN)


@compiled
def free_huge_page(k, head):
    """Give a huge page back that nothing refers to any more, past the CPUs' lists (free_compound_page)."""
    k.led[L_FAULT] += k.cost[C_FREE_PAGE]
    zone = zone_of(k, head)
    pages = 1 << k.sc[SC_HUGE_BITS]
    for column in range(FRAME_COLUMNS):
        k.frame[head, column] = 0
    for pfn in range(head + 1, head + pages):
        k.frame[pfn, P_FLAGS] = 0
    whole_freed(k, zone, head)
    k.vmstat[PGFREE] += pages
    _to_buddy(k, zone, pages)


@compiled
def zones_create(k, zone, start, end, managed):
    """Boot: a zone of the frames [start, end), of which `managed` are the allocator's and the rest the kernel's own."""
    k.zone[zone, Z_START_PFN] = start
    k.zone[zone, Z_END_PFN] = end
    k.zone[zone, Z_NEXT_NEW] = end - managed
    k.zone[zone, Z_NEW_END] = end
    k.zone[zone, Z_FREE] = managed
    k.zone[zone, Z_MANAGED] = managed
    k.vmstat[NR_FREE_PAGES] += managed
