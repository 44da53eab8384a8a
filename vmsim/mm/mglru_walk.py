"""Ageing: walks over page tables renew the generation of used pages.   Follows mm/vmscan.c of v6.1 (walk_mm, lru_gen_look_around).

Model: a walk goes on to its end at once, over every address space; the kernel lets others in between, and leaves those out that have
not run since. Which tables are worth a walk is known exactly; the kernel's Bloom filter errs now and then.
"""

from vmsim.hw.walk import leaf_pages, leaf_slot
from vmsim.mm.mglru import FIRST_SEQ, inc_gen, move_to_gen, nr_gens, swap_ages, update_gen
from vmsim.mm.mglru import gen_list as list_of
from vmsim.mm.mglru_tiers import reset_ctrl_pos
from vmsim.mm.pte import next_table, write_pte
from vmsim.struct.costs import C_POPULATE_SKIP
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_MM_ROWS, SC_NR_ZONES
from vmsim.struct.ledger import L_RECLAIM
from vmsim.struct.pages import (
    MAX_NR_GENS,
    MIN_LRU_BATCH,
    P_FLAGS,
    P_INDEX,
    P_PREV,
    P_PRIVATE,
    PG_ANON,
    PG_DIRTY,
    PG_SWAPBACKED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_SHIFT,
    PTE_YOUNG,
    PTE_ZERO,
)
from vmsim.struct.reclaim import N_MAX_SEQ, N_MIN_SEQ
from vmsim.struct.vmas import (
    MM_ANONPAGES,
    MM_FILEPAGES,
    MM_FIRST,
    MM_PGD,
    V_END,
    V_FILE,
    V_FLAGS,
    V_NEXT,
    V_START,
    VM_LOCKED,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SPECIAL,
)

_PER_CACHE_LINE = 8  # entries
_TABLE_HEAD = 2  # what stands in `pt` before a table's entries: its frame, and a count


@compiled
def _seen_column(seq):
    return P_PRIVATE if seq & 1 != 0 else P_INDEX


@compiled
def _note_table(k, vpn, slot, seq):
    """Many entries of a last-level table were young: the walk of generation `seq` goes through it (update_bloom_filter)."""
    table = k.pt[slot - (vpn & (leaf_pages(k) - 1)) - _TABLE_HEAD]
    k.frame[table, _seen_column(seq)] = seq


@compiled
def _age_entries(k, slot, count, can_swap, gen):
    """Renew the pages of young entries, and make those old; how many there were."""
    young = 0
    k.led[L_RECLAIM] += count * k.cost[C_POPULATE_SKIP]
    for i in range(slot, slot + count):
        entry = k.pt[i]
        if entry & (PTE_PRESENT | PTE_YOUNG | PTE_ZERO) == PTE_PRESENT | PTE_YOUNG:
            pfn = entry >> PTE_SHIFT
            if can_swap != 0 or k.frame[pfn, P_FLAGS] & PG_SWAPBACKED == 0:
                write_pte(k, i, entry & ~PTE_YOUNG)
                if entry & PTE_DIRTY != 0 and k.frame[pfn, P_FLAGS] & (PG_ANON | PG_SWAPBACKED) == PG_ANON:
                    k.frame[pfn, P_FLAGS] |= PG_DIRTY
                update_gen(k, pfn, gen)
                young += 1
    return young


@compiled
def look_around(k, v, vpn, slot):
    """Reclaim found a young entry: see to its neighbours at once (lru_gen_look_around)."""
    table = leaf_pages(k)
    first = max(vpn & ~(table - 1), k.vma[v, V_START])
    last = min((vpn | (table - 1)) + 1, k.vma[v, V_END])
    if last - first > MIN_LRU_BATCH:
        if vpn - first < MIN_LRU_BATCH // 2:
            last = first + MIN_LRU_BATCH
        elif last - vpn < MIN_LRU_BATCH // 2:
            first = last - MIN_LRU_BATCH
        else:
            first = vpn - MIN_LRU_BATCH // 2
            last = vpn + MIN_LRU_BATCH // 2
    seq = k.node[N_MAX_SEQ]
    young = _age_entries(k, slot - (vpn - first), last - first, 1, seq % MAX_NR_GENS)
    if young * _PER_CACHE_LINE >= last - first:
        _note_table(k, vpn, slot, seq)


@compiled
def _walk_vma(k, mm, v, can_swap, seq):
    vpn = k.vma[v, V_START]
    end = k.vma[v, V_END]
    table = leaf_pages(k)
    while vpn < end:
        slot = leaf_slot(k, mm, vpn)
        if slot == 0:
            vpn = next_table(k, mm, vpn)
            continue
        last = min((vpn | (table - 1)) + 1, end)
        frame = k.pt[slot - (vpn & (table - 1)) - _TABLE_HEAD]
        if seq == FIRST_SEQ or k.frame[frame, _seen_column(seq)] == seq:
            young = _age_entries(k, slot, last - vpn, can_swap, seq % MAX_NR_GENS)
            if young * _PER_CACHE_LINE >= last - vpn:
                _note_table(k, vpn, slot, seq + 1)
        vpn = last


@compiled
def _walk_mm(k, mm, can_swap, seq):
    if k.mm[mm, MM_FILEPAGES] + (k.mm[mm, MM_ANONPAGES] if can_swap != 0 else 0) < MIN_LRU_BATCH:
        return
    v = k.mm[mm, MM_FIRST]
    while v != 0:
        skipped = k.vma[v, V_FLAGS] & (VM_LOCKED | VM_SPECIAL | VM_SEQ_READ | VM_RAND_READ) != 0
        if not skipped and (can_swap != 0 or k.vma[v, V_FILE] != 0):
            _walk_vma(k, mm, v, can_swap, seq)
        v = k.vma[v, V_NEXT]


@compiled
def _inc_min_seq(k, file, can_swap):
    """The oldest generation of a kind joins the next one (inc_min_seq)."""
    old = k.node[N_MIN_SEQ + file] % MAX_NR_GENS
    if file != 0 or can_swap != 0:
        for zone in range(k.sc[SC_NR_ZONES]):
            head = list_of(k, old, file, zone)
            while k.frame[head, P_PREV] != head:
                pfn = k.frame[head, P_PREV]
                move_to_gen(k, pfn, inc_gen(k, pfn, 0), 1)
    reset_ctrl_pos(k, file)
    k.node[N_MIN_SEQ + file] += 1


@compiled
def inc_max_seq(k, can_swap):
    """A new generation begins: what was used since the last one is its predecessor (try_to_inc_max_seq)."""
    seq = k.node[N_MAX_SEQ]
    for mm in range(k.sc[SC_MM_ROWS]):
        if k.mm[mm, MM_PGD] != 0:
            _walk_mm(k, mm, can_swap, seq)
    for file in range(1, -1, -1):
        if nr_gens(k, file) == MAX_NR_GENS:
            _inc_min_seq(k, file, can_swap)
    swap_ages(k)
