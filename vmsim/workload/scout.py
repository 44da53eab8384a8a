"""Looking ahead of a program that draws random pages one by one: hints to the host's cache, without effect on any result.

A loop of "draw, mlock, touch" over gigabytes misses the host's cache in the page table, the VMA index, the VMA and the frame, one after
the other.  The scout draws the same pages from a copy of the generator, some rounds ahead, and asks for those lines early.
"""

from vmsim.hw.walk import leaf_slot
from vmsim.mm.interval import index_floor, index_leaf
from vmsim.struct.files import PAT_MODULO, PAT_PAGES, PAT_POS, PAT_SCOUT, PAT_SCOUTED, PAT_STATE
from vmsim.struct.jit import compiled
from vmsim.struct.pages import FRAME_COLUMNS, PTE_PRESENT, PTE_SHIFT
from vmsim.struct.vmas import INDEX_FANOUT, INDEX_SUMMARY, VMA_COLUMNS
from vmsim.struct.ways import prefetch
from vmsim.workload.patterns import below, xorshift64

_AHEAD = 16
_SECOND = 8  # rounds after which the first lines have come, and show which ones are next
_LOW = INDEX_FANOUT - 1


@compiled
def _first_lines(k, mm, vpn):
    prefetch(k.pt, leaf_slot(k, mm, vpn))
    leaf = index_leaf(k, mm, vpn)
    if leaf != 0:
        prefetch(k.vchild[0], (leaf * INDEX_FANOUT + (vpn & _LOW)) >> 1)
        prefetch(k.vindex[leaf], (vpn & _LOW) >> 5)
        prefetch(k.vindex[leaf], INDEX_SUMMARY)


@compiled
def scout_uniform(k, mm, pat, base):
    """One round of the scout of a uniform pattern over the region at page `base`; called before each draw of the pattern."""
    p = k.pattern[pat]
    x = p[PAT_SCOUT]
    at = p[PAT_POS] & (_AHEAD - 1)
    if x == 0:
        x = p[PAT_STATE]
        for i in range(_AHEAD):
            x = xorshift64(x)
            vpn = base + below(x, p[PAT_PAGES], p[PAT_MODULO])
            p[PAT_SCOUTED + ((at + i) & (_AHEAD - 1))] = vpn
            _first_lines(k, mm, vpn)
    x = xorshift64(x)
    vpn = base + below(x, p[PAT_PAGES], p[PAT_MODULO])
    p[PAT_SCOUTED + at] = vpn
    p[PAT_SCOUT] = x
    _first_lines(k, mm, vpn)
    vpn = p[PAT_SCOUTED + ((at + _SECOND) & (_AHEAD - 1))]
    slot = leaf_slot(k, mm, vpn)
    if slot != 0 and k.pt[slot] & PTE_PRESENT != 0:
        prefetch(k.frame[0], (k.pt[slot] >> PTE_SHIFT) * FRAME_COLUMNS)
    prefetch(k.vma[0], index_floor(k, mm, vpn) * VMA_COLUMNS)
