"""Which LRU list pages belong on, told from their flags; checking the lists of the multi-generational LRU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.struct import kernel as kn
from vmsim.struct import pages as p
from vmsim.struct import reclaim as rc
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_LRU_GEN

Ints = NDArray[np.int64]


def list_of(kernel: Kernel, flags: Ints) -> Ints:
    """The LRU list that pages with these flags belong on, or count as if their generations were lists."""
    anon = np.where(flags & p.PG_SWAPBACKED != 0, p.LRU_INACTIVE_ANON, p.LRU_INACTIVE_FILE)
    active = flags & p.PG_ACTIVE != 0
    if kernel.rule[R_LRU_GEN]:
        top = int(kernel.node[rc.N_MAX_SEQ])
        gen = ((flags & p.PG_GEN_MASK) >> p.PG_GEN_SHIFT) - 1
        active = (gen == top % p.MAX_NR_GENS) | (gen == (top - 1) % p.MAX_NR_GENS)
    return np.where(flags & p.PG_UNEVICTABLE != 0, p.LRU_UNEVICTABLE, anon + active)


def generation_lists(kernel: Kernel) -> Iterator[tuple[str, int, int, int]]:
    """Each list of a generation: its name, the row of `frame` that it begins at, its kind of pages and its zone."""
    for gen in range(p.MAX_NR_GENS):
        for file in range(2):
            for zone in range(int(kernel.sc[kn.SC_NR_ZONES])):
                row = int(kernel.sc[kn.SC_NR_FRAMES]) + p.NR_ZONES * p.NR_LRU_LISTS + (gen * 2 + file) * p.NR_ZONES + zone
                yield f"list of {('anonymous', 'file')[file]} pages of zone {zone}, generation {gen}", row, file, zone


def page_counts(kernel: Kernel, pfns: Ints) -> Ints:
    """How many pages each page counts for: a huge page for all that it consists of."""
    counts: Ints = np.where(kernel.frame[pfns, p.P_FLAGS] & p.PG_HEAD != 0, 1 << int(kernel.sc[kn.SC_HUGE_BITS]), 1)
    return counts


def zone_lists(kernel: Kernel, pages: Ints) -> Iterator[list[int]]:
    """For each zone how many of the pages are on each kind of list."""
    zone = np.searchsorted(kernel.zone[: kernel.sc[kn.SC_NR_ZONES], p.Z_START_PFN], pages, "right") - 1
    lists = list_of(kernel, kernel.frame[pages, p.P_FLAGS])
    for number in range(int(kernel.sc[kn.SC_NR_ZONES])):
        mine = zone == number
        yield np.bincount(lists[mine], page_counts(kernel, pages[mine]), p.NR_LRU_LISTS).astype(np.int64).tolist()


def generation_sizes(kernel: Kernel, pages: Ints) -> Iterator[str]:
    """What is wrong with the counts of pages of each generation, kind and zone, given all that are on lists of one."""
    flags = kernel.frame[pages, p.P_FLAGS]
    zone = np.searchsorted(kernel.zone[: kernel.sc[kn.SC_NR_ZONES], p.Z_START_PFN], pages, "right") - 1
    column = 2 * (((flags & p.PG_GEN_MASK) >> p.PG_GEN_SHIFT) - 1) + (flags & p.PG_SWAPBACKED == 0)
    for number in range(int(kernel.sc[kn.SC_NR_ZONES])):
        found = np.bincount(column[zone == number], minlength=2 * p.MAX_NR_GENS).tolist()
        counted = kernel.zone[number, p.Z_GEN : p.Z_GEN + 2 * p.MAX_NR_GENS].tolist()
        if counted != found:
            yield f"zone {number}: pages of the generations are {counted}, but there are {found}"
    first, last = int(kernel.node[rc.N_MIN_SEQ : rc.N_MIN_SEQ + 2].min()), int(kernel.node[rc.N_MAX_SEQ])
    if last - first >= p.MAX_NR_GENS or last < int(kernel.node[rc.N_MIN_SEQ : rc.N_MIN_SEQ + 2].max()):
        yield f"generations are {kernel.node[rc.N_MIN_SEQ : rc.N_MIN_SEQ + 2].tolist()} to {last}"
