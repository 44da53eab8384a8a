"""Free frames by aligned blocks of a huge page's size.   Follows mm/page_alloc.c of v4.4 (rmqueue and __free_one_page, for two orders).

Of the buddy system two orders are told apart: single frames, on the zone's free stack, and whole blocks of a huge page (pageblock_order).
A single frame is taken from the pieces first and only then from a whole block, as the smallest free block that is large enough; a block
counts as merged as soon as all its frames are free.   Model: frames on the CPUs' lists count as free here.
"""

from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_HUGE_BITS
from vmsim.struct.pages import (
    PB_FREE,
    PB_NEXT,
    Z_MERGED,
    Z_NEW_END,
    Z_NEXT_NEW,
    Z_NR_STACK,
    Z_NR_WHOLE,
    Z_START_PFN,
    Z_WHOLE,
)


@compiled
def piece_freed(k, zone, pfn):
    """A frame came onto the free stack."""
    block = k.pageblock[pfn >> k.sc[SC_HUGE_BITS]]
    block[PB_FREE] += 1
    if block[PB_FREE] == 1 << k.sc[SC_HUGE_BITS]:
        k.zone[zone, Z_MERGED] += 1


@compiled
def _push(k, zone, pfn):
    k.free_stack[k.zone[zone, Z_START_PFN] + k.zone[zone, Z_NR_STACK]] = pfn
    k.zone[zone, Z_NR_STACK] += 1
    piece_freed(k, zone, pfn)


@compiled
def whole_freed(k, zone, pfn):
    """A whole block, from frame `pfn` on, is free."""
    number = pfn >> k.sc[SC_HUGE_BITS]
    k.pageblock[number, PB_NEXT] = k.zone[zone, Z_WHOLE]
    k.zone[zone, Z_WHOLE] = number
    k.zone[zone, Z_NR_WHOLE] += 1


@compiled
def _first_whole(k, zone):
    number = k.zone[zone, Z_WHOLE]
    k.zone[zone, Z_WHOLE] = k.pageblock[number, PB_NEXT]
    k.pageblock[number, PB_NEXT] = 0
    k.zone[zone, Z_NR_WHOLE] -= 1
    return number << k.sc[SC_HUGE_BITS]


@compiled
def take_piece(k, zone):
    """A single frame: from the free stack, else of a whole block, which breaks (expand), else one that was never handed out."""
    row = k.zone[zone]
    if row[Z_NR_STACK] == 0 and row[Z_WHOLE] != 0:
        first = _first_whole(k, zone)
        for pfn in range(first + (1 << k.sc[SC_HUGE_BITS]) - 1, first - 1, -1):
            _push(k, zone, pfn)
    if row[Z_NR_STACK] == 0:
        row[Z_NEXT_NEW] += 1
        return row[Z_NEXT_NEW] - 1
    row[Z_NR_STACK] -= 1
    pfn = k.free_stack[row[Z_START_PFN] + row[Z_NR_STACK]]
    block = k.pageblock[pfn >> k.sc[SC_HUGE_BITS]]
    if block[PB_FREE] == 1 << k.sc[SC_HUGE_BITS]:
        row[Z_MERGED] -= 1
    block[PB_FREE] -= 1
    return pfn


@compiled
def has_whole(k, zone):
    """Whether a zone has a free block of a huge page's size."""
    bits = k.sc[SC_HUGE_BITS]
    if k.zone[zone, Z_WHOLE] != 0 or k.zone[zone, Z_MERGED] != 0:
        return True
    return (k.zone[zone, Z_NEW_END] >> bits) - 1 << bits >= k.zone[zone, Z_NEXT_NEW]


@compiled
def take_whole(k, zone):
    """The first frame of a whole block, which is no longer free; for a zone that `has_whole`."""
    row = k.zone[zone]
    bits = k.sc[SC_HUGE_BITS]
    if row[Z_WHOLE] == 0 and row[Z_MERGED] != 0:
        _gather(k, zone)
    if row[Z_WHOLE] != 0:
        return _first_whole(k, zone)
    first = (row[Z_NEW_END] >> bits) - 1 << bits
    end = row[Z_NEW_END]
    row[Z_NEW_END] = first
    for pfn in range(first + (1 << bits), end):
        _push(k, zone, pfn)
    return first


@compiled
def _gather(k, zone):
    """Take the frames of merged blocks off the free stack."""
    row = k.zone[zone]
    bits = k.sc[SC_HUGE_BITS]
    base = row[Z_START_PFN]
    kept = 0
    for i in range(row[Z_NR_STACK]):
        pfn = k.free_stack[base + i]
        if k.pageblock[pfn >> bits, PB_FREE] < 1 << bits:
            k.free_stack[base + kept] = pfn
            kept += 1
        elif pfn & ((1 << bits) - 1) == 0:
            whole_freed(k, zone, pfn)
    row[Z_NR_STACK] = kept
    number = row[Z_WHOLE]
    while row[Z_MERGED] > 0:
        k.pageblock[number, PB_FREE] = 0
        number = k.pageblock[number, PB_NEXT]
        row[Z_MERGED] -= 1
