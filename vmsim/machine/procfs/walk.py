"""The page-table walks behind /proc/PID/smaps and pagemap, as functions that Python can call."""

from __future__ import annotations

from vmsim.hw.walk import leaf_slot
from vmsim.mm.task_mmu import VW_VALUES, smaps_pte_range
from vmsim.struct.jit import entry


@entry
def smaps_walk(k, mm, v):
    """Count over the pages of a VMA: SM_* numbers in `k.shown` from VW_VALUES on."""
    smaps_pte_range(k, mm, v)


@entry
def pagemap_walk(k, mm, start, count):
    """The page-table entries of `count` pages from `start` on, 0 where there is none, in `k.shown` from VW_VALUES on."""
    for i in range(count):
        slot = leaf_slot(k, mm, start + i)
        k.shown[VW_VALUES + i] = k.pt[slot] if slot != 0 else 0
