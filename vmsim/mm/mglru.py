"""The lists of the multi-generational LRU.   Follows mm_inline.h and vmscan.c of v6.1 (lru_gen_add_folio, folio_inc_gen, folio_update_gen).

Evictable pages stand in generations, the youngest with the number max_seq, the oldest of a kind of pages with min_seq; a generation
has a list for each kind and zone. A page's flags hold its generation + 1, 0 while it is on no list. A page whose generation a walk has
renewed stays where it is until eviction meets it. The two youngest generations are what counters call active.
"""

from vmsim.mm.page_alloc import zone_of
from vmsim.struct.bits import bit_length
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_NR_FRAMES, SC_NR_ZONES
from vmsim.struct.pages import (
    LRU_INACTIVE_ANON,
    LRU_INACTIVE_FILE,
    MAX_NR_GENS,
    MIN_NR_GENS,
    NR_LRU_LISTS,
    NR_ZONES,
    P_FLAGS,
    P_NEXT,
    P_PREV,
    PG_ACTIVE,
    PG_DIRTY,
    PG_GEN_MASK,
    PG_GEN_SHIFT,
    PG_LRU,
    PG_RECLAIM,
    PG_REFERENCED,
    PG_REFS_MASK,
    PG_REFS_ONE,
    PG_REFS_SHIFT,
    PG_SWAPBACKED,
    PG_SWAPCACHE,
    PG_UNEVICTABLE,
    PG_WORKINGSET,
    PG_WRITEBACK,
    Z_GEN,
    Z_LRU,
    Z_ZONE_LRU,
)
from vmsim.struct.reclaim import N_MAX_SEQ, N_MIN_SEQ
from vmsim.struct.vmstat import NR_LRU_BASE

FIRST_SEQ = MIN_NR_GENS + 1
_USED = PG_REFS_MASK | PG_REFERENCED | PG_WORKINGSET


@compiled
def gen_list(k, gen, file, zone):
    """The row of `frame` that the list of a generation begins and ends at: behind those of the other lists."""
    return k.sc[SC_NR_FRAMES] + NR_ZONES * NR_LRU_LISTS + (gen * 2 + file) * NR_ZONES + zone


@compiled
def lru_gen_init(k):
    """Boot: all lists are empty (lru_gen_init_lruvec)."""
    k.node[N_MAX_SEQ] = FIRST_SEQ
    for i in range(MAX_NR_GENS * 2 * NR_ZONES):
        sentinel = gen_list(k, 0, 0, i)
        k.frame[sentinel, P_PREV] = sentinel
        k.frame[sentinel, P_NEXT] = sentinel


@compiled
def gen_of(flags):
    """A page's generation modulo MAX_NR_GENS, -1 if it is on no list (folio_lru_gen)."""
    return ((flags & PG_GEN_MASK) >> PG_GEN_SHIFT) - 1


@compiled
def refs_of(flags):
    """How often a page was used through file descriptors, beyond the first time (folio_lru_refs)."""
    return ((flags & PG_REFS_MASK) >> PG_REFS_SHIFT) + (1 if flags & PG_WORKINGSET != 0 else 0)


@compiled
def tier_of(refs):
    """The tier of such pages: tiers double (lru_tier_from_refs)."""
    return bit_length(refs)


@compiled
def nr_gens(k, file):
    """Generations of one kind of pages."""
    return k.node[N_MAX_SEQ] - k.node[N_MIN_SEQ + file] + 1


@compiled
def _count(k, file, zone, gen, pages):
    top = k.node[N_MAX_SEQ]
    lru = LRU_INACTIVE_FILE if file != 0 else LRU_INACTIVE_ANON
    if gen == top % MAX_NR_GENS or gen == (top - 1) % MAX_NR_GENS:
        lru += 1
    k.zone[zone, Z_GEN + 2 * gen + file] += pages
    k.zone[0, Z_LRU + lru] += pages
    k.zone[zone, Z_ZONE_LRU + lru] += pages
    k.vmstat[NR_LRU_BASE + lru] += pages


@compiled
def _unlink(frame, pfn):
    frame[frame[pfn, P_PREV], P_NEXT] = frame[pfn, P_NEXT]
    frame[frame[pfn, P_NEXT], P_PREV] = frame[pfn, P_PREV]


@compiled
def _link(frame, pfn, before, after):
    frame[pfn, P_PREV] = before
    frame[pfn, P_NEXT] = after
    frame[before, P_NEXT] = pfn
    frame[after, P_PREV] = pfn


@compiled
def lru_gen_add(k, pfn, tail):
    """A page joins a generation: an active one the youngest, one that can't go at once the next, one that can (`tail`) the oldest.

    Others are kept a little from the oldest, as updates of 6.1 do (081488051d28).
    """
    flags = k.frame[pfn, P_FLAGS]
    file = 0 if flags & PG_SWAPBACKED != 0 else 1
    waits = flags & PG_RECLAIM != 0 and flags & (PG_DIRTY | PG_WRITEBACK) != 0
    if flags & PG_ACTIVE != 0:
        seq = k.node[N_MAX_SEQ]
    elif waits or (file == 0 and flags & PG_SWAPCACHE == 0):
        seq = k.node[N_MAX_SEQ] - 1
    else:
        seq = k.node[N_MIN_SEQ + file]
        if tail == 0 and seq + MIN_NR_GENS < k.node[N_MAX_SEQ]:
            seq += 1
    gen = seq % MAX_NR_GENS
    zone = zone_of(k, pfn)
    k.frame[pfn, P_FLAGS] = flags & ~(PG_GEN_MASK | PG_ACTIVE) | (gen + 1) << PG_GEN_SHIFT | PG_LRU
    _count(k, file, zone, gen, 1)
    head = gen_list(k, gen, file, zone)
    if tail != 0:
        _link(k.frame, pfn, k.frame[head, P_PREV], head)
    else:
        _link(k.frame, pfn, head, k.frame[head, P_NEXT])


@compiled
def lru_gen_del(k, pfn, reclaiming):
    """A page leaves its list; unless reclaim takes it, PG_active says whether it was young."""
    flags = k.frame[pfn, P_FLAGS]
    gen = gen_of(flags)
    top = k.node[N_MAX_SEQ]
    young = gen == top % MAX_NR_GENS or gen == (top - 1) % MAX_NR_GENS
    _count(k, 0 if flags & PG_SWAPBACKED != 0 else 1, zone_of(k, pfn), gen, -1)
    k.frame[pfn, P_FLAGS] = flags & ~(PG_GEN_MASK | PG_LRU) | (PG_ACTIVE if young and reclaiming == 0 else 0)
    _unlink(k.frame, pfn)


@compiled
def move_to_gen(k, pfn, gen, tail):
    """Move a page to an end of the list of a generation, which its flags name already."""
    head = gen_list(k, gen, 0 if k.frame[pfn, P_FLAGS] & PG_SWAPBACKED != 0 else 1, zone_of(k, pfn))
    _unlink(k.frame, pfn)
    if tail != 0:
        _link(k.frame, pfn, k.frame[head, P_PREV], head)
    else:
        _link(k.frame, pfn, head, k.frame[head, P_NEXT])


@compiled
def _set_gen(k, pfn, old, gen):
    flags = k.frame[pfn, P_FLAGS]
    k.frame[pfn, P_FLAGS] = flags & ~(PG_GEN_MASK | _USED) | (gen + 1) << PG_GEN_SHIFT
    if gen != old:
        file = 0 if flags & PG_SWAPBACKED != 0 else 1
        zone = zone_of(k, pfn)
        _count(k, file, zone, old, -1)
        _count(k, file, zone, gen, 1)


@compiled
def update_gen(k, pfn, gen):
    """A page was used through a page table: its generation is renewed; one that is isolated is only marked (folio_update_gen)."""
    flags = k.frame[pfn, P_FLAGS]
    old = gen_of(flags)
    if old >= 0:
        _set_gen(k, pfn, old, gen)
    elif flags & PG_UNEVICTABLE == 0:
        k.frame[pfn, P_FLAGS] = flags | PG_REFERENCED


@compiled
def inc_gen(k, pfn, reclaiming):
    """A page of the oldest generation becomes one of the next: its new generation, or the one it was renewed to (folio_inc_gen)."""
    flags = k.frame[pfn, P_FLAGS]
    old = k.node[N_MIN_SEQ + (0 if flags & PG_SWAPBACKED != 0 else 1)] % MAX_NR_GENS
    gen = gen_of(flags)
    if gen != old:
        return gen
    gen = (old + 1) % MAX_NR_GENS
    _set_gen(k, pfn, old, gen)
    if reclaiming != 0:
        k.frame[pfn, P_FLAGS] |= PG_RECLAIM
    return gen


@compiled
def inc_refs(k, pfn):
    """A page was used through a file descriptor (folio_inc_refs)."""
    flags = k.frame[pfn, P_FLAGS]
    if flags & PG_UNEVICTABLE != 0:
        return
    if flags & PG_REFERENCED == 0:
        flags |= PG_REFERENCED
    elif flags & PG_WORKINGSET == 0:
        flags |= PG_WORKINGSET
    elif flags & PG_REFS_MASK != PG_REFS_MASK:
        flags += PG_REFS_ONE
    k.frame[pfn, P_FLAGS] = flags


@compiled
def swap_ages(k):
    """max_seq grows: what was active by being the second youngest no longer is (inc_max_seq)."""
    top = k.node[N_MAX_SEQ]
    for file in range(2):
        lru = LRU_INACTIVE_FILE if file != 0 else LRU_INACTIVE_ANON
        for zone in range(k.sc[SC_NR_ZONES]):
            pages = k.zone[zone, Z_GEN + 2 * ((top - 1) % MAX_NR_GENS) + file] - k.zone[zone, Z_GEN + 2 * ((top + 1) % MAX_NR_GENS) + file]
            k.zone[0, Z_LRU + lru] += pages
            k.zone[0, Z_LRU + lru + 1] -= pages
            k.zone[zone, Z_ZONE_LRU + lru] += pages
            k.zone[zone, Z_ZONE_LRU + lru + 1] -= pages
            k.vmstat[NR_LRU_BASE + lru] += pages
            k.vmstat[NR_LRU_BASE + lru + 1] -= pages
    k.node[N_MAX_SEQ] = top + 1
