"""Looking ahead of a program that draws random pages one by one: hints to the host's cache, without effect on any result.

A loop of "draw, mlock, touch" over gigabytes misses the host's cache in the page table, the VMA index, the VMA and the frame, one after
the other; where the page is absent, in the page cache and the cached frame as well.  The scout draws the same pages from a copy of the
generator, some rounds ahead, and asks for those lines early, each when the line that leads to it has come.
"""

from vmsim.hw.walk import leaf_slot
from vmsim.mm.interval import index_leaf, leaf_floor
from vmsim.struct.files import (
    FI_CACHE,
    FI_CAPACITY,
    PAT_MODULO,
    PAT_PAGES,
    PAT_POS,
    PAT_SCOUT,
    PAT_SCOUT_NODE,
    PAT_SCOUT_SLOT,
    PAT_SCOUTED,
    PAT_STATE,
)
from vmsim.struct.jit import compiled
from vmsim.struct.pages import FRAME_COLUMNS, PTE_PRESENT, PTE_SHIFT, READY_SHIFT
from vmsim.struct.vmas import INDEX_FANOUT, INDEX_SUMMARY, V_FILE, V_PGOFF, V_START, VMA_COLUMNS
from vmsim.struct.ways import prefetch
from vmsim.workload.generator import xorshift64
from vmsim.workload.patterns import below

_AHEAD = 16
_SECOND = 9  # rounds ahead of the draw at which the later lines are asked for
_THIRD = 5
_FOURTH = 2
_RING = _AHEAD - 1
_LOW = INDEX_FANOUT - 1


@compiled
def _first_lines(k, mm, p, at, vpn):
    """The page's table entry, and its place in the VMA index."""
    slot = leaf_slot(k, mm, vpn)
    node = index_leaf(k, mm, vpn)
    p[PAT_SCOUTED + at] = vpn
    p[PAT_SCOUT_SLOT + at] = slot
    p[PAT_SCOUT_NODE + at] = node
    prefetch(k.pt, slot)
    prefetch(k.ready, slot >> READY_SHIFT + 3)
    prefetch(k.vchild[0], (node * INDEX_FANOUT + (vpn & _LOW)) >> 1)
    prefetch(k.vindex[node], (vpn & _LOW) >> 5)
    prefetch(k.vindex[node], INDEX_SUMMARY)


@compiled
def _second_lines(k, p, at):
    """The frame, and the VMA."""
    entry = k.pt[p[PAT_SCOUT_SLOT + at]]
    if entry & PTE_PRESENT != 0:
        prefetch(k.frame[0], (entry >> PTE_SHIFT) * FRAME_COLUMNS)
    prefetch(k.vma[0], leaf_floor(k, p[PAT_SCOUT_NODE + at], p[PAT_SCOUTED + at]) * VMA_COLUMNS)


@compiled
def _cache_slot(k, p, at):
    """Where an absent page of a file mapping is looked for in the page cache; 0 for other pages."""
    if k.pt[p[PAT_SCOUT_SLOT + at]] != 0:
        return 0
    vpn = p[PAT_SCOUTED + at]
    v = leaf_floor(k, p[PAT_SCOUT_NODE + at], vpn)
    file = k.vma[v, V_FILE]
    pgoff = k.vma[v, V_PGOFF] + vpn - k.vma[v, V_START]
    return k.file[file, FI_CACHE] + pgoff if file != 0 and pgoff < k.file[file, FI_CAPACITY] else 0


@compiled
def scout_uniform(k, mm, pat, base):
    """One round of the scout of a uniform pattern over the region at page `base`; called before each draw of the pattern."""
    p = k.pattern[pat]
    x = p[PAT_SCOUT]
    at = p[PAT_POS] & _RING
    if x == 0:
        x = p[PAT_STATE]
        for i in range(_AHEAD):
            x = xorshift64(x)
            _first_lines(k, mm, p, (at + i) & _RING, base + below(x, p[PAT_PAGES], p[PAT_MODULO]))
    _second_lines(k, p, (at + _SECOND) & _RING)
    slot = _cache_slot(k, p, (at + _THIRD) & _RING)
    if slot > 0:
        prefetch(k.pcache, slot)
    slot = _cache_slot(k, p, (at + _FOURTH) & _RING)
    if slot > 0:
        prefetch(k.frame[0], k.pcache[slot] * FRAME_COLUMNS)
    x = xorshift64(x)
    p[PAT_SCOUT] = x
    _first_lines(k, mm, p, at, base + below(x, p[PAT_PAGES], p[PAT_MODULO]))
