"""Checking swap between two slices: no slot is leaked, used twice, or forgotten by the swap cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct import swaps as sw
from vmsim.struct import vmas as v
from vmsim.struct.kernel import Kernel

Ints = NDArray[np.int64]


def check_swap(kernel: Kernel, mm: Ints, entry: Ints) -> Iterator[str]:
    """Slots, the swap cache and the page-table entries (`entry` of address spaces `mm`) agree; yields what doesn't."""
    slots = len(kernel.swap_map)
    swapped = entry & (p.PTE_PRESENT | p.PTE_SWAP) == p.PTE_SWAP
    references = np.bincount(entry[swapped] >> p.PTE_SHIFT, minlength=slots)
    references += np.bincount(_memory_file_slots(kernel), minlength=slots)
    counted = kernel.swap_map >> sw.SWAP_COUNT_SHIFT
    for swp in np.flatnonzero(references != counted).tolist():
        yield f"swap slot {swp} counts {counted[swp]} references, but has {references[swp]}"
    cached = kernel.swap_map & sw.SWAP_HAS_CACHE != 0
    holds = kernel.swap_cache > 0
    for swp in np.flatnonzero(cached != holds).tolist():
        yield f"swap slot {swp} and the swap cache disagree about its page"
    for swp in np.flatnonzero(holds).tolist():
        pfn = int(kernel.swap_cache[swp])
        if kernel.frame[pfn, p.P_PRIVATE] != swp or not kernel.frame[pfn, p.P_FLAGS] & p.PG_SWAPCACHE:
            yield f"swap slot {swp} is cached in frame {pfn}, which says otherwise"
    in_use = int(np.count_nonzero(kernel.swap_map))
    node = kernel.node
    if node[rc.N_SWAP_TOTAL] - node[rc.N_SWAP_FREE] != in_use:
        yield f"{node[rc.N_SWAP_FREE]} of {node[rc.N_SWAP_TOTAL]} swap slots are free, but {in_use} are used"
    if node[rc.N_SWAP_CACHE] != holds.sum():
        yield f"the swap cache has {node[rc.N_SWAP_CACHE]} pages, but {holds.sum()} slots have one"
    for number in np.flatnonzero(kernel.mm[:, v.MM_PGD]).tolist():
        mine = int(np.sum(swapped & (mm == number)))
        if kernel.mm[number, v.MM_SWAPENTS] != mine:
            yield f"address space {number}: {kernel.mm[number, v.MM_SWAPENTS]} swap entries counted, but {mine} are there"


def _memory_file_slots(kernel: Kernel) -> Ints:
    """The swap entries in the page-cache slots of memory files."""
    found = [np.zeros(0, np.int64)]
    for number in range(1, int(kernel.sc[kn.SC_FILE_NEXT]) + 1):
        row = kernel.file[number]
        slots = kernel.pcache[row[f.FI_CACHE] : row[f.FI_CACHE] + row[f.FI_CAPACITY]]
        found.append(slots[slots < f.PCACHE_SWAP // 2] - f.PCACHE_SWAP)
    return np.concatenate(found)
