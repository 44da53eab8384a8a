"""The huge zero page, which reads of untouched memory map.   Follows mm/huge_memory.c of v4.4 (get_huge_zero_page)."""

from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, TABLE_HUGE, leaf_pages
from vmsim.mm.page_alloc import alloc_huge_page, free_huge_page
from vmsim.mm.pte import write_pte
from vmsim.struct.costs import C_ZERO_PAGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_HUGE_ZERO, SC_HUGE_ZERO_USERS
from vmsim.struct.ledger import L_ZERO
from vmsim.struct.pages import P_FLAGS, PG_RESERVED, PTE_PRESENT, PTE_YOUNG, PTE_ZERO
from vmsim.struct.vmstat import THP_ZERO_PAGE_ALLOC, THP_ZERO_PAGE_ALLOC_FAILED


@compiled
def get_huge_zero_page(k):
    """Make sure that there is a huge zero page; whether there is."""
    if k.sc[SC_HUGE_ZERO] != 0:
        return True
    head = alloc_huge_page(k)
    if head == 0:
        k.vmstat[THP_ZERO_PAGE_ALLOC_FAILED] += 1
        return False
    k.vmstat[THP_ZERO_PAGE_ALLOC] += 1
    k.led[L_ZERO] += leaf_pages(k) * k.cost[C_ZERO_PAGE]
    k.frame[head, P_FLAGS] |= PG_RESERVED
    k.sc[SC_HUGE_ZERO] = head
    return True


@compiled
def shrink_huge_zero_page(k):
    """Reclaim takes the huge zero page when nothing maps it (shrink_huge_zero_page_scan).

    Model: at the end of any pass over a zone; the kernel's shrinker gets there sooner or later.
    """
    if k.sc[SC_HUGE_ZERO] != 0 and k.sc[SC_HUGE_ZERO_USERS] == 0:
        free_huge_page(k, k.sc[SC_HUGE_ZERO])
        k.sc[SC_HUGE_ZERO] = 0


@compiled
def map_huge_zero_page(k, node):
    """Let the empty table `node` stand for an entry above it that maps the huge zero page."""
    k.sc[SC_HUGE_ZERO_USERS] += 1
    for i in range(leaf_pages(k)):
        write_pte(k, node + NODE_ENTRIES + i, PTE_PRESENT | PTE_YOUNG | PTE_ZERO)
    k.pt[node + NODE_COUNT] = leaf_pages(k) | TABLE_HUGE
