"""Splitting a huge page into its pages, for all that map it.   Follows mm/huge_memory.c of v4.4 (split_huge_page_to_list)."""

from vmsim.hw.tlb import flush_range_as
from vmsim.hw.walk import NODE_COUNT, NODE_ENTRIES, TABLE_HUGE, huge_table, leaf_pages
from vmsim.mm.compound import hpage_nr_pages
from vmsim.mm.pte import write_pte
from vmsim.mm.rmap import page_dup_rmaps, rmap_first, rmap_mapping, rmap_next
from vmsim.mm.swap import isolate_lru_page, lru_add
from vmsim.struct.costs import C_PTE_CHANGE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_HUGE_BITS, SC_HUGE_ZERO_USERS
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    P_MAPCOUNT,
    P_MAPPING,
    P_NEXT,
    P_PREV,
    PG_CONTENT,
    PG_HEAD,
    PG_LRU,
    PG_PAGEVEC,
    PTE_DIRTY,
    PTE_SHIFT,
    PTE_ZERO,
    RMAP_SHIFT,
)
from vmsim.struct.vmstat import NR_ANON_TRANSPARENT_HUGEPAGES, THP_SPLIT


@compiled
def split_huge_page(k, head, column):
    """Make a huge page the pages that it consists of, on its list if it was on one; its time goes to the ledger's `column`.

    An isolated page's parts are isolated as well.
    """
    if k.frame[head, P_FLAGS] & PG_PAGEVEC != 0:
        isolate_lru_page(k, head)
        lru_add(k, head)
    cursor = rmap_first(k, head)
    while cursor != 0:
        mapping = rmap_mapping(k, head, cursor)
        _split_map(k, head, mapping >> RMAP_SHIFT, mapping & ((1 << RMAP_SHIFT) - 1), column)
        cursor = rmap_next(k, cursor)
    _split_frames(k, head)
    k.vmstat[THP_SPLIT] += 1


@compiled
def _split_map(k, head, mm, vpn, column):
    """The table kept in reserve takes the place of the entry that maps a huge page (__split_huge_page_map)."""
    node = huge_table(k, mm, vpn)
    marks = k.pt[node + NODE_ENTRIES] & ((1 << PTE_SHIFT) - 1) | PTE_DIRTY
    pages = leaf_pages(k)
    for i in range(pages):
        write_pte(k, node + NODE_ENTRIES + i, (head + i) << PTE_SHIFT | marks)
    k.pt[node + NODE_COUNT] &= ~TABLE_HUGE
    k.led[column] += pages * k.cost[C_PTE_CHANGE]
    flush_range_as(k, k.sc[SC_CPU], mm, vpn, vpn + pages, column)


@compiled
def _split_frames(k, head):
    """Every frame is a page of its own, with what the huge page was (__split_huge_page_refcount, lru_add_page_tail).

    On a list the parts come before the first frame, so that they are reclaimed after it in their order.
    """
    frame = k.frame
    pages = hpage_nr_pages(k, frame[head, P_FLAGS])
    frame[head, P_FLAGS] &= ~PG_HEAD
    flags = frame[head, P_FLAGS]
    if frame[head, P_MAPCOUNT] > 0:
        k.vmstat[NR_ANON_TRANSPARENT_HUGEPAGES] -= 1
    after = head
    for pfn in range(head + 1, head + pages):
        frame[pfn, P_FLAGS] = flags & ~PG_CONTENT | frame[pfn, P_FLAGS] & PG_CONTENT
        frame[pfn, P_MAPPING] = frame[head, P_MAPPING]
        frame[pfn, P_INDEX] = frame[head, P_INDEX] + pfn - head
        page_dup_rmaps(k, head, pfn)
        if flags & PG_LRU != 0:
            before = frame[after, P_PREV]
            frame[pfn, P_PREV] = before
            frame[pfn, P_NEXT] = after
            frame[before, P_NEXT] = pfn
            frame[after, P_PREV] = pfn
            after = pfn


@compiled
def split_huge_page_pmd(k, mm, vpn, column):
    """No huge page is mapped around page `vpn` any more (split_huge_page_pmd)."""
    node = huge_table(k, mm, vpn)
    if node == 0:
        return
    entry = k.pt[node + NODE_ENTRIES]
    if entry & PTE_ZERO == 0:
        split_huge_page(k, entry >> PTE_SHIFT, column)
        return
    k.pt[node + NODE_COUNT] &= ~TABLE_HUGE
    k.sc[SC_HUGE_ZERO_USERS] -= 1
    pages = leaf_pages(k)
    k.led[column] += pages * k.cost[C_PTE_CHANGE]
    first = vpn & -pages
    for i in range(pages):
        write_pte(k, node + NODE_ENTRIES + i, entry)
    flush_range_as(k, k.sc[SC_CPU], mm, first, first + pages, column)


@compiled
def vma_adjust_trans_huge(k, mm, vpn):
    """A VMA is to begin or end at page `vpn`: no huge page may reach across it."""
    if k.sc[SC_HUGE_BITS] != 0 and vpn & (leaf_pages(k) - 1) != 0:
        split_huge_page_pmd(k, mm, vpn, L_SYSCALL)
