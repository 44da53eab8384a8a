"""Reverse mappings: which page-table entries map a frame.   Follows mm/rmap.c of v4.4.

A frame mapped once remembers its mapping in its own row; more mappings hang on it as a chain.  The kernel finds the same
entries through the VMAs of the page's object; what that walk costs is charged where reclaim makes it.
"""

from vmsim.mm.compound import hpage_nr_pages
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CHAIN_FREE, SC_CHAIN_NEXT
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, P_RMAP, PG_ANON, PG_HEAD, RMAP_SHIFT
from vmsim.struct.vmstat import NR_ANON_PAGES, NR_ANON_TRANSPARENT_HUGEPAGES, NR_FILE_MAPPED

# Columns of `chain`.
CH_MAPPING = 0  # mm << RMAP_SHIFT | vpn
CH_NEXT = 1  # 0 at the end


@compiled
def _chain_add(k, mapping, after):
    link = k.sc[SC_CHAIN_FREE]
    if link != 0:
        k.sc[SC_CHAIN_FREE] = k.chain[link, CH_NEXT]
    else:
        link = k.sc[SC_CHAIN_NEXT] + 1
        k.sc[SC_CHAIN_NEXT] = link
    k.chain[link, CH_MAPPING] = mapping
    k.chain[link, CH_NEXT] = after
    return link


@compiled
def _count_mapped(k, flags, sign):
    """A page's first mapping came or its last went."""
    k.vmstat[NR_ANON_PAGES if flags & PG_ANON != 0 else NR_FILE_MAPPED] += sign
    if flags & PG_HEAD != 0:
        k.vmstat[NR_ANON_PAGES] += sign * (hpage_nr_pages(k, flags) - 1)
        k.vmstat[NR_ANON_TRANSPARENT_HUGEPAGES] += sign


@compiled
def page_add_rmap(k, pfn, mm, vpn):
    """A page-table entry maps a frame."""
    frame = k.frame
    mapping = mm << RMAP_SHIFT | vpn
    count = frame[pfn, P_MAPCOUNT]
    frame[pfn, P_MAPCOUNT] = count + 1
    if count == 0:
        frame[pfn, P_RMAP] = mapping
        _count_mapped(k, frame[pfn, P_FLAGS], 1)
        return
    if count == 1:
        frame[pfn, P_RMAP] = -_chain_add(k, frame[pfn, P_RMAP], 0) - 1
    frame[pfn, P_RMAP] = -_chain_add(k, mapping, -frame[pfn, P_RMAP] - 1) - 1


@compiled
def page_remove_rmap(k, pfn, mm, vpn):
    """A page-table entry no longer maps a frame; the mappings left."""
    frame = k.frame
    mapping = mm << RMAP_SHIFT | vpn
    count = frame[pfn, P_MAPCOUNT] - 1
    frame[pfn, P_MAPCOUNT] = count
    if count == 0:
        frame[pfn, P_RMAP] = 0
        _count_mapped(k, frame[pfn, P_FLAGS], -1)
        return 0
    before = 0
    link = -frame[pfn, P_RMAP] - 1
    while k.chain[link, CH_MAPPING] != mapping:
        before = link
        link = k.chain[link, CH_NEXT]
    if before == 0:
        frame[pfn, P_RMAP] = -k.chain[link, CH_NEXT] - 1
    else:
        k.chain[before, CH_NEXT] = k.chain[link, CH_NEXT]
    _chain_free(k, link)
    if count == 1:
        link = -frame[pfn, P_RMAP] - 1
        frame[pfn, P_RMAP] = k.chain[link, CH_MAPPING]
        _chain_free(k, link)
    return count


@compiled
def _chain_free(k, link):
    k.chain[link, CH_NEXT] = k.sc[SC_CHAIN_FREE]
    k.sc[SC_CHAIN_FREE] = link


@compiled
def page_dup_rmaps(k, head, pfn):
    """A huge page is being split: its frame `pfn` is mapped wherever the huge page is, as many pages further on; it was mapped already."""
    frame = k.frame
    further = pfn - head
    count = frame[head, P_MAPCOUNT]
    frame[pfn, P_MAPCOUNT] = count
    if count == 1:
        frame[pfn, P_RMAP] = frame[head, P_RMAP] + further
        return
    copied = 0
    link = -frame[head, P_RMAP] - 1 if count > 1 else 0
    while link != 0:
        copied = _chain_add(k, k.chain[link, CH_MAPPING] + further, copied)
        link = k.chain[link, CH_NEXT]
    if count > 1:
        frame[pfn, P_RMAP] = -copied - 1


@compiled
def page_move_rmap(k, pfn, mm, vpn, to):
    """mremap moved the entry that maps a frame from page `vpn` to page `to`."""
    mapping = mm << RMAP_SHIFT | vpn
    if k.frame[pfn, P_MAPCOUNT] == 1:
        k.frame[pfn, P_RMAP] = mm << RMAP_SHIFT | to
        return
    link = -k.frame[pfn, P_RMAP] - 1
    while k.chain[link, CH_MAPPING] != mapping:
        link = k.chain[link, CH_NEXT]
    k.chain[link, CH_MAPPING] = mm << RMAP_SHIFT | to


@compiled
def rmap_first(k, pfn):
    """A cursor on the first mapping of a frame, 0 if it has none; see `rmap_mapping` and `rmap_next`."""
    if k.frame[pfn, P_MAPCOUNT] == 0:
        return 0
    return -1 if k.frame[pfn, P_MAPCOUNT] == 1 else -k.frame[pfn, P_RMAP] - 1


@compiled
def rmap_mapping(k, pfn, cursor):
    """The mapping (mm << RMAP_SHIFT | vpn) under a cursor."""
    return k.frame[pfn, P_RMAP] if cursor == -1 else k.chain[cursor, CH_MAPPING]


@compiled
def rmap_next(k, cursor):
    """The next cursor, 0 after the last mapping."""
    return 0 if cursor == -1 else k.chain[cursor, CH_NEXT]
