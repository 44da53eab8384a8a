"""Taking a page from all that map it, and whether any of them used it.   Follows mm/rmap.c of v4.4 (page_referenced, try_to_unmap).

Model: a page's mappings are known one by one; the kernel finds them through the VMAs of its object, which is what `rmap_walk` costs.
"""

from vmsim.hw.tlb import flush_cpus, flush_range_as, should_defer_flush
from vmsim.hw.walk import leaf_slot
from vmsim.mm.accounting import update_hiwater_rss
from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.mglru_walk import look_around
from vmsim.mm.mlock_page import mlock_vma_page
from vmsim.mm.page_dirty import set_page_dirty
from vmsim.mm.pte import set_pte, write_pte
from vmsim.mm.rmap import page_remove_rmap, rmap_first, rmap_mapping, rmap_next
from vmsim.mm.swapfile import swap_duplicate
from vmsim.mm.vma import AV_MM, find_vma
from vmsim.struct.costs import C_RMAP_WALK
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import (
    P_FLAGS,
    P_MAPPING,
    P_PRIVATE,
    PG_ANON,
    PG_DIRTY,
    PG_EXCLUSIVE,
    PG_HEAD,
    PG_SWAPBACKED,
    PTE_DIRTY,
    PTE_SHIFT,
    PTE_SWAP,
    PTE_YOUNG,
    RMAP_SHIFT,
)
from vmsim.struct.reclaim import S_FLUSH_CPUS, S_FLUSH_DIRTY
from vmsim.struct.rules import R_LRU_GEN
from vmsim.struct.vmas import MM_ANONPAGES, MM_CPUMASK, MM_FILEPAGES, MM_SWAPENTS, V_FLAGS, VM_EXEC, VM_LOCKED, VM_SEQ_READ

# What page_referenced says: the count of VMAs, and above it what they are.
SEEN_LOCKED = 1 << 32
SEEN_EXEC = 1 << 33
REFERENCED = (1 << 32) - 1

SWAP_SUCCESS = 0
SWAP_FAIL = 1
SWAP_MLOCK = 2

_VPN = (1 << RMAP_SHIFT) - 1


@compiled
def page_referenced(k, pfn):
    """The VMAs through which a page was used since the last time, with SEEN_*; the entries' accessed bits are cleared.

    The TLBs are not flushed (x86) but for a huge page: a use through a translation that stands in one leaves no trace.
    """
    result = 0
    cursor = rmap_first(k, pfn)
    while cursor != 0:
        mapping = rmap_mapping(k, pfn, cursor)
        mm = mapping >> RMAP_SHIFT
        vpn = mapping & _VPN
        k.led[L_RECLAIM] += k.cost[C_RMAP_WALK]
        v = find_vma(k, mm, vpn)
        flags = k.vma[v, V_FLAGS]
        if flags & VM_LOCKED != 0:
            return result | SEEN_LOCKED
        slot = leaf_slot(k, mm, vpn)
        if k.pt[slot] & PTE_YOUNG != 0:
            if k.rule[R_LRU_GEN] != 0:
                look_around(k, v, vpn, slot)
            write_pte(k, slot, k.pt[slot] & ~PTE_YOUNG)
            if k.frame[pfn, P_FLAGS] & PG_HEAD != 0:
                flush_range_as(k, k.sc[SC_CPU], mm, vpn, vpn + hpage_nr_pages(k, PG_HEAD), L_RECLAIM)
            if flags & VM_SEQ_READ == 0:
                result += 1
                if flags & VM_EXEC != 0:
                    result |= SEEN_EXEC
        cursor = rmap_next(k, cursor)
    return result


@compiled
def try_to_unmap_flush(k, s, dirty):
    """Flush the CPUs that may still hold what was unmapped: before a frame is freed, and before it is written (`dirty`) if it was dirty."""
    if s[S_FLUSH_CPUS] != 0 and (dirty == 0 or s[S_FLUSH_DIRTY] != 0):
        flush_cpus(k, k.sc[SC_CPU], s[S_FLUSH_CPUS])
        s[S_FLUSH_CPUS] = 0
        s[S_FLUSH_DIRTY] = 0


@compiled
def try_to_unmap(k, s, pfn):
    """Remove all entries that map a page; an anonymous page's become its swap entry, those of one that MADV_FREE gave up nothing.

    SWAP_*: a young or a locked mapping stops it; one that MADV_FREE gave up is kept if it was written since. Where other
    CPUs must be flushed for it, that is left to `try_to_unmap_flush`.
    """
    swp = k.frame[pfn, P_PRIVATE]
    anon = k.frame[pfn, P_FLAGS] & PG_ANON != 0
    lazy = k.frame[pfn, P_FLAGS] & (PG_ANON | PG_SWAPBACKED) == PG_ANON
    cursor = rmap_first(k, pfn)
    while cursor != 0:
        mapping = rmap_mapping(k, pfn, cursor)
        mm = mapping >> RMAP_SHIFT
        vpn = mapping & _VPN
        k.led[L_RECLAIM] += k.cost[C_RMAP_WALK]
        v = find_vma(k, mm, vpn)
        if k.vma[v, V_FLAGS] & VM_LOCKED != 0:
            mlock_vma_page(k, pfn)
            return SWAP_MLOCK
        slot = leaf_slot(k, mm, vpn)
        entry = k.pt[slot]
        if entry & PTE_YOUNG != 0:
            write_pte(k, slot, entry & ~PTE_YOUNG)
            return SWAP_FAIL
        if entry & PTE_DIRTY != 0:
            set_page_dirty(k, pfn)
        update_hiwater_rss(k, mm)
        if lazy and k.frame[pfn, P_FLAGS] & PG_DIRTY != 0:
            k.frame[pfn, P_FLAGS] |= PG_SWAPBACKED
            return SWAP_FAIL
        if anon:
            k.anon_vma[k.frame[pfn, P_MAPPING], AV_MM] = mm
            k.mm[mm, MM_ANONPAGES] -= 1
        if lazy:
            set_pte(k, mm, vpn, slot, 0)
        elif anon:
            k.frame[pfn, P_FLAGS] &= ~PG_EXCLUSIVE
            swap_duplicate(k, swp)
            k.mm[mm, MM_SWAPENTS] += 1
            set_pte(k, mm, vpn, slot, swp << PTE_SHIFT | PTE_SWAP)
        else:
            k.mm[mm, MM_FILEPAGES] -= 1
            set_pte(k, mm, vpn, slot, 0)
        page_remove_rmap(k, pfn, mm, vpn)
        if should_defer_flush(k, k.sc[SC_CPU], mm):
            s[S_FLUSH_CPUS] |= k.mm[mm, MM_CPUMASK]
            s[S_FLUSH_DIRTY] |= entry & PTE_DIRTY
        else:
            flush_range_as(k, k.sc[SC_CPU], mm, vpn, vpn + 1, L_RECLAIM)
        cursor = rmap_first(k, pfn)
    return SWAP_SUCCESS
