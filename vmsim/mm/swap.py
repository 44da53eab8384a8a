"""The LRU lists, the pagevecs before them, and page references.   Follows mm/swap.c and mm_inline.h of v4.4 (section C.9).

A page that is to join a list first waits in a pagevec of its CPU, and 14 of them are moved at once: until then it is on no list.
Before 4.8 every zone has its lists, later the node: `lruvec_of` says whose a page is on; their lengths and statistics are columns of
that row of `zone`.
"""

from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.mglru import inc_refs, lru_gen_add, lru_gen_del, lru_gen_init
from vmsim.mm.page_alloc import free_huge_page, free_page, zone_of
from vmsim.struct.costs import C_LRU_ADD, C_MLOCK_DRAIN, C_MLOCK_DRAIN_WORK
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_LRU_FAULT, SC_NR_CPUS, SC_NR_FRAMES, SC_NR_ZONES, SC_PAGEVEC
from vmsim.struct.ledger import L_FAULT, L_SYSCALL
from vmsim.struct.pages import (
    FRAME_COLUMNS,
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    LRU_UNEVICTABLE,
    NR_LRU_LISTS,
    P_FLAGS,
    P_NEXT,
    P_PREV,
    PAGEVEC_SIZE,
    PAGEVEC_SIZE_4_15,
    PG_ACTIVE,
    PG_DIRTY,
    PG_GEN_MASK,
    PG_HEAD,
    PG_INUSE,
    PG_ISOLATED,
    PG_LOCKED,
    PG_LRU,
    PG_MLOCKED,
    PG_PAGEVEC,
    PG_REFERENCED,
    PG_SWAPBACKED,
    PG_UNEVICTABLE,
    PVEC_ACTIVATE,
    PVEC_ADD,
    PVEC_ROTATE,
    Z_INACTIVE_AGE,
    Z_LRU,
    Z_RECENT_ROTATED,
    Z_RECENT_SCANNED,
    Z_ZONE_LRU,
)
from vmsim.struct.rules import R_LRU_GEN, R_NEW_ANON_INACTIVE, R_NODE_LRU, R_PAGEVEC_FILLS, R_WRITEBACK_ACTIVATES
from vmsim.struct.vmas import VM_LOCKED, VM_SPECIAL
from vmsim.struct.vmstat import NR_LRU_BASE, NR_MLOCK, PGACTIVATE, PGROTATED, UNEVICTABLE_PGMLOCKED


@compiled
def lru_init(k):
    """Boot: every list is empty, its sentinel (a row after the last frame) linked to itself."""
    for i in range(k.sc[SC_NR_ZONES] * NR_LRU_LISTS):
        sentinel = k.sc[SC_NR_FRAMES] + i
        k.frame[sentinel, P_PREV] = sentinel
        k.frame[sentinel, P_NEXT] = sentinel
    lru_gen_init(k)


@compiled
def lruvec_of(k, pfn):
    """The row of `zone` whose lists a page belongs on."""
    return 0 if k.rule[R_NODE_LRU] != 0 else zone_of(k, pfn)


@compiled
def page_lru(flags):
    """The list that a page with these flags belongs on (page_lru)."""
    if flags & PG_UNEVICTABLE != 0:
        return LRU_UNEVICTABLE
    lru = LRU_INACTIVE_ANON if flags & PG_SWAPBACKED != 0 else LRU_INACTIVE_FILE
    return lru + 1 if flags & PG_ACTIVE != 0 else lru


@compiled
def is_file(flags):
    """1 for the file lists, 0 for the anonymous ones (page_is_file_cache)."""
    return 0 if flags & PG_SWAPBACKED != 0 else 1


@compiled
def sentinel_of(k, lruvec, lru):
    """The row of `frame` that a list begins and ends at."""
    return k.sc[SC_NR_FRAMES] + lruvec * NR_LRU_LISTS + lru


@compiled
def lru_add(k, pfn):
    """Put a page at the head of its list, as its flags say."""
    frame = k.frame
    if k.rule[R_LRU_GEN] != 0 and frame[pfn, P_FLAGS] & PG_UNEVICTABLE == 0:
        lru_gen_add(k, pfn, 0)
        return
    flags = frame[pfn, P_FLAGS]
    lruvec = lruvec_of(k, pfn)
    lru = page_lru(flags)
    sentinel = sentinel_of(k, lruvec, lru)
    first = frame[sentinel, P_NEXT]
    frame[pfn, P_PREV] = sentinel
    frame[pfn, P_NEXT] = first
    frame[first, P_PREV] = pfn
    frame[sentinel, P_NEXT] = pfn
    frame[pfn, P_FLAGS] = flags | PG_LRU
    pages = hpage_nr_pages(k, flags)
    k.zone[lruvec, Z_LRU + lru] += pages
    k.zone[zone_of(k, pfn), Z_ZONE_LRU + lru] += pages
    k.vmstat[NR_LRU_BASE + lru] += pages


@compiled
def lru_del(k, pfn):
    """Take a page off its list (isolate_lru_page)."""
    frame = k.frame
    if frame[pfn, P_FLAGS] & PG_GEN_MASK != 0:
        lru_gen_del(k, pfn, 0)
        return
    flags = frame[pfn, P_FLAGS]
    lruvec = lruvec_of(k, pfn)
    lru = page_lru(flags)
    before = frame[pfn, P_PREV]
    after = frame[pfn, P_NEXT]
    frame[before, P_NEXT] = after
    frame[after, P_PREV] = before
    frame[pfn, P_FLAGS] = flags & ~PG_LRU
    pages = hpage_nr_pages(k, flags)
    k.zone[lruvec, Z_LRU + lru] -= pages
    k.zone[zone_of(k, pfn), Z_ZONE_LRU + lru] -= pages
    k.vmstat[NR_LRU_BASE + lru] -= pages


@compiled
def lru_move_tail(k, pfn):
    """Move a page to the tail of its list: it is the next to be scanned."""
    frame = k.frame
    if k.rule[R_LRU_GEN] != 0:
        lru_gen_del(k, pfn, 1)
        lru_gen_add(k, pfn, 1)
        return
    sentinel = sentinel_of(k, lruvec_of(k, pfn), page_lru(frame[pfn, P_FLAGS]))
    before = frame[pfn, P_PREV]
    after = frame[pfn, P_NEXT]
    frame[before, P_NEXT] = after
    frame[after, P_PREV] = before
    last = frame[sentinel, P_PREV]
    frame[pfn, P_PREV] = last
    frame[pfn, P_NEXT] = sentinel
    frame[last, P_NEXT] = pfn
    frame[sentinel, P_PREV] = pfn


@compiled
def update_reclaim_stat(k, lruvec, file, rotated):
    """A page joined a list or was activated: what reclaim weighs the lists by (update_page_reclaim_stat)."""
    k.zone[lruvec, Z_RECENT_SCANNED + file] += 1
    if rotated != 0:
        k.zone[lruvec, Z_RECENT_ROTATED + file] += 1


@compiled
def _drain_add(k, cpu):
    pvec = k.pvec[cpu]
    count = pvec[PVEC_ADD]
    pvec[PVEC_ADD] = 0
    for i in range(count):
        pfn = pvec[PVEC_ADD + 1 + i]
        k.frame[pfn, P_FLAGS] &= ~PG_PAGEVEC
        lru_add(k, pfn)
        flags = k.frame[pfn, P_FLAGS]
        update_reclaim_stat(k, lruvec_of(k, pfn), is_file(flags), flags & PG_ACTIVE)


@compiled
def _drain_rotate(k, cpu):
    pvec = k.pvec[cpu]
    count = pvec[PVEC_ROTATE]
    pvec[PVEC_ROTATE] = 0
    for i in range(count):
        pfn = pvec[PVEC_ROTATE + 1 + i]
        flags = k.frame[pfn, P_FLAGS]
        if flags & (PG_LRU | PG_UNEVICTABLE) == PG_LRU and (flags & PG_ACTIVE == 0 or k.rule[R_WRITEBACK_ACTIVATES] != 0):
            if flags & PG_ACTIVE != 0:
                lru_del(k, pfn)
                k.frame[pfn, P_FLAGS] &= ~PG_ACTIVE
                lru_add(k, pfn)
            lru_move_tail(k, pfn)
            k.vmstat[PGROTATED] += 1


@compiled
def _activate(k, pfn):
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE) == PG_LRU:
        lru_del(k, pfn)
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        lru_add(k, pfn)
        k.vmstat[PGACTIVATE] += 1
        update_reclaim_stat(k, lruvec_of(k, pfn), is_file(flags), 1)


@compiled
def _drain_activate(k, cpu):
    pvec = k.pvec[cpu]
    count = pvec[PVEC_ACTIVATE]
    pvec[PVEC_ACTIVATE] = 0
    for i in range(count):
        _activate(k, pvec[PVEC_ACTIVATE + 1 + i])


@compiled
def lru_add_drain_cpu(k, cpu):
    """A CPU's pagevecs are emptied onto the lists (lru_add_drain_cpu)."""
    if k.pvec[cpu, PVEC_ADD] > 0:
        _drain_add(k, cpu)
    if k.pvec[cpu, PVEC_ROTATE] > 0:
        _drain_rotate(k, cpu)
    if k.pvec[cpu, PVEC_ACTIVATE] > 0:
        _drain_activate(k, cpu)


@compiled
def lru_add_drain(k):
    """This CPU's pagevecs are emptied onto the lists."""
    lru_add_drain_cpu(k, k.sc[SC_CPU])


@compiled
def lru_add_drain_all(k):
    """Every CPU that holds pages in its pagevecs moves them to their lists, and the caller waits for it."""
    k.led[L_SYSCALL] += k.cost[C_MLOCK_DRAIN]
    if k.sc[SC_PAGEVEC] != 0:
        k.led[L_SYSCALL] += k.cost[C_MLOCK_DRAIN_WORK]
        k.sc[SC_PAGEVEC] = 0
        for cpu in range(k.sc[SC_NR_CPUS]):
            lru_add_drain_cpu(k, cpu)


@compiled
def _pagevec_size(k):
    return PAGEVEC_SIZE if k.rule[R_PAGEVEC_FILLS] == 0 else PAGEVEC_SIZE_4_15


@compiled
def _pagevec_add(k, pfn):
    k.sc[SC_PAGEVEC] = 1
    cpu = k.sc[SC_CPU]
    if k.pvec[cpu, PVEC_ADD] == PAGEVEC_SIZE and k.rule[R_PAGEVEC_FILLS] == 0:
        _drain_add(k, cpu)
    k.pvec[cpu, PVEC_ADD] += 1
    k.pvec[cpu, PVEC_ADD + k.pvec[cpu, PVEC_ADD]] = pfn
    k.frame[pfn, P_FLAGS] |= PG_PAGEVEC
    if k.pvec[cpu, PVEC_ADD] == PAGEVEC_SIZE_4_15:
        _drain_add(k, cpu)


@compiled
def lru_cache_add(k, pfn):
    """A new page is to join its list; where pages have generations, one that a fault waits for the youngest."""
    k.led[L_FAULT] += k.cost[C_LRU_ADD]
    if k.sc[SC_LRU_FAULT] != 0:
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
    _pagevec_add(k, pfn)


@compiled
def add_page_to_unevictable_list(k, pfn):
    """A page joins the unevictable list at once, past the pagevecs."""
    k.frame[pfn, P_FLAGS] = (k.frame[pfn, P_FLAGS] | PG_UNEVICTABLE) & ~PG_ACTIVE
    lru_add(k, pfn)


@compiled
def lru_cache_add_active_or_unevictable(k, pfn, vm_flags):
    """A new anonymous page: active (since 5.9 inactive), or in a locked VMA unevictable and mlocked from birth."""
    k.led[L_FAULT] += k.cost[C_LRU_ADD]
    if vm_flags & (VM_LOCKED | VM_SPECIAL) == VM_LOCKED:
        k.vmstat[NR_MLOCK] += hpage_nr_pages(k, k.frame[pfn, P_FLAGS])
        k.frame[pfn, P_FLAGS] |= PG_MLOCKED
        k.vmstat[UNEVICTABLE_PGMLOCKED] += 1
        add_page_to_unevictable_list(k, pfn)
        return
    if k.rule[R_NEW_ANON_INACTIVE] == 0 or k.sc[SC_LRU_FAULT] != 0:
        k.frame[pfn, P_FLAGS] |= PG_ACTIVE
    _pagevec_add(k, pfn)


@compiled
def activate_page(k, pfn):
    """An inactive page is to become active, as soon as 14 are (activate_page)."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_LRU | PG_ACTIVE | PG_UNEVICTABLE) != PG_LRU:
        return
    cpu = k.sc[SC_CPU]
    for i in range(k.pvec[cpu, PVEC_ACTIVATE]):
        if k.pvec[cpu, PVEC_ACTIVATE + 1 + i] == pfn:
            return
    k.pvec[cpu, PVEC_ACTIVATE] += 1
    k.pvec[cpu, PVEC_ACTIVATE + k.pvec[cpu, PVEC_ACTIVATE]] = pfn
    if k.pvec[cpu, PVEC_ACTIVATE] == _pagevec_size(k):
        _drain_activate(k, cpu)


@compiled
def mark_page_accessed(k, pfn):
    """Second touch of an inactive page activates it; the first only marks it (mark_page_accessed)."""
    if k.rule[R_LRU_GEN] != 0:
        inc_refs(k, pfn)
        return
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_ACTIVE | PG_UNEVICTABLE | PG_REFERENCED) == PG_REFERENCED and flags & (PG_LRU | PG_PAGEVEC) != 0:
        if flags & PG_LRU != 0:
            activate_page(k, pfn)
        else:
            k.frame[pfn, P_FLAGS] |= PG_ACTIVE
        k.frame[pfn, P_FLAGS] &= ~PG_REFERENCED
        if flags & PG_SWAPBACKED == 0:
            k.zone[lruvec_of(k, pfn), Z_INACTIVE_AGE] += 1
    elif flags & PG_REFERENCED == 0:
        k.frame[pfn, P_FLAGS] |= PG_REFERENCED


@compiled
def rotate_reclaimable_page(k, pfn):
    """Writeback of a page that reclaim waits for has ended: to the tail of the inactive list, as soon as 14 are."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & (PG_LOCKED | PG_DIRTY | PG_UNEVICTABLE | PG_LRU) != PG_LRU:
        return
    if flags & PG_ACTIVE != 0 and k.rule[R_WRITEBACK_ACTIVATES] == 0:
        return
    cpu = k.sc[SC_CPU]
    k.pvec[cpu, PVEC_ROTATE] += 1
    k.pvec[cpu, PVEC_ROTATE + k.pvec[cpu, PVEC_ROTATE]] = pfn
    if k.pvec[cpu, PVEC_ROTATE] == _pagevec_size(k):
        _drain_rotate(k, cpu)


@compiled
def _leave_pagevec(k, pfn):
    """Model: a page that is freed leaves the pagevec at once; the kernel frees it when the pagevec is emptied."""
    for cpu in range(k.sc[SC_NR_CPUS]):
        pvec = k.pvec[cpu]
        count = pvec[PVEC_ADD]
        for i in range(1, count + 1):
            if pvec[PVEC_ADD + i] == pfn:
                for j in range(i, count):
                    pvec[PVEC_ADD + j] = pvec[PVEC_ADD + j + 1]
                pvec[PVEC_ADD] = count - 1
                return


@compiled
def isolate_lru_page(k, pfn):
    """Take a page off its list or out of the pagevec; whether it was on either."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_LRU != 0:
        lru_del(k, pfn)
        return True
    if flags & PG_PAGEVEC != 0:
        _leave_pagevec(k, pfn)
        k.frame[pfn, P_FLAGS] &= ~PG_PAGEVEC
        return True
    return False


@compiled
def free_page_and_lru(k, pfn):
    """The last reference to a page is gone: off its list and back to the allocator; a reclaimer that has it in its batch frees it later."""
    if k.frame[pfn, P_FLAGS] & PG_ISOLATED != 0:
        for column in range(FRAME_COLUMNS):
            k.frame[pfn, column] = 0
        k.frame[pfn, P_FLAGS] = PG_INUSE | PG_ISOLATED
        return
    flags = k.frame[pfn, P_FLAGS]
    isolate_lru_page(k, pfn)
    if flags & PG_HEAD != 0:
        free_huge_page(k, pfn)
    else:
        free_page(k, pfn)
