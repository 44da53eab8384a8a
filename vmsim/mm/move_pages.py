"""Moving page-table entries to other addresses.   Follows mm/mremap.c (move_page_tables) and mm/huge_memory.c (move_huge_pmd) of v4.4."""

from vmsim.hw.tlb import flush_range
from vmsim.hw.walk import huge_table, leaf_pages, leaf_table, marks_slot
from vmsim.mm.huge_split import split_huge_page_pmd
from vmsim.mm.pgtable import move_leaf_table, pte_alloc
from vmsim.mm.pte import next_entry, set_pte
from vmsim.mm.rmap import page_move_rmap
from vmsim.struct.costs import C_PTE_CHANGE
from vmsim.struct.errno import ENOMEM
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_NOWAIT
from vmsim.struct.ledger import L_SYSCALL
from vmsim.struct.pages import PTE_PRESENT, PTE_SHIFT, PTE_ZERO


@compiled
def move_page_tables(k, mm, old, new, pages):
    """Move the entries of `pages` pages from `old` to `new`, which is empty: how many pages it got through."""
    k.sc[SC_NOWAIT] = 1
    through = _move_entries(k, mm, old, new, pages)
    k.sc[SC_NOWAIT] = 0
    return through


@compiled
def _move_entries(k, mm, old, new, pages):
    end = old + pages
    moved = 0
    vpn, slot = next_entry(k, mm, old, 0, end)
    while vpn < end:
        if huge_table(k, mm, vpn) != 0:
            outcome = _move_huge_pmd(k, mm, vpn, new + vpn - old, end)
            if outcome < 0:
                return vpn - old
            if outcome > 0:
                moved += 1
                vpn, slot = next_entry(k, mm, vpn + leaf_pages(k), 0, end)
                continue
        entry = k.pt[slot]
        to = pte_alloc(k, mm, new + vpn - old)
        if to == 0:
            return vpn - old
        set_pte(k, mm, vpn, slot, 0)
        set_pte(k, mm, new + vpn - old, to, entry)
        if entry & (PTE_PRESENT | PTE_ZERO) == PTE_PRESENT:
            page_move_rmap(k, entry >> PTE_SHIFT, mm, vpn, new + vpn - old)
        moved += 1
        vpn, slot = next_entry(k, mm, vpn + 1, slot + 1, end)
    if moved > 0:
        k.led[L_SYSCALL] += moved * k.cost[C_PTE_CHANGE]
        flush_range(k, k.sc[SC_CPU], mm, old, end)
    return pages


@compiled
def _move_huge_pmd(k, mm, vpn, to, end):
    """Move what maps a huge page from page `vpn` to page `to`: 1, or 0 and it is split; -ENOMEM where no table can be had."""
    per_table = leaf_pages(k)
    if (vpn | to) & (per_table - 1) != 0 or end - vpn < per_table or leaf_table(k, mm, to) != 0:
        split_huge_page_pmd(k, mm, vpn, L_SYSCALL)
        return 0
    entry = k.pt[marks_slot(k, mm, vpn)]
    if not move_leaf_table(k, mm, vpn, to):
        return -ENOMEM
    if entry & PTE_ZERO == 0:
        page_move_rmap(k, entry >> PTE_SHIFT, mm, vpn, to)
    return 1
