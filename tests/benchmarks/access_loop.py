"""How fast the access loop is: ns an access on the host, beside the floor of the same run.

python tests/benchmarks/access_loop.py [accesses]

The floor is a bare loop that loads one page-table entry for each access.  Uniform accesses over 5 GiB miss both TLBs
nearly always; the smaller working sets hit the second level, and the first.  Each number is the least disturbed of
several rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vmsim.arch.profile import geometry, get_profile
from vmsim.hw import mmu, tlb
from vmsim.hw.walk import END_OF_NOTHING
from vmsim.struct import kernel as kn
from vmsim.struct.jit import entry
from vmsim.struct.kernel import Kernel, table_rows
from vmsim.struct.pages import PTE_PRESENT, PTE_SHIFT, PTE_WRITE
from vmsim.struct.tasks import ACCESS_BUFFER, T_BUF_LEN, T_BUF_POS, T_MM
from vmsim.struct.vmas import MM_PGD

BASE = 0x7F00_0000_0000 >> 12
PAGES = 5 << 18
ROUNDS = 15


@entry
def map_pages(k, base, pages):
    """Page tables for `pages` pages from `base` on: the first leaf table's entries."""
    levels = k.geo[kn.G_LEVELS]
    free = END_OF_NOTHING
    k.mm[1, MM_PGD] = free
    free += 2 + (1 << k.geo[kn.G_BITS])
    first = 0
    for vpn in range(base, base + pages):
        node = k.mm[1, MM_PGD]
        for level in range(levels - 1):
            slot = node + 2 + ((vpn >> k.geo[kn.G_SHIFT + level]) & ((1 << k.geo[kn.G_BITS + level]) - 1))
            if k.pt[slot] == 0:
                k.pt[slot] = free
                free += 2 + (1 << k.geo[kn.G_BITS + level + 1])
            node = k.pt[slot]
        first = first if first != 0 else node + 2
        entries = 1 << k.geo[kn.G_BITS + levels - 1]
        k.pt[node + 2 + (vpn & (entries - 1))] = (vpn - base + 1) << PTE_SHIFT | PTE_PRESENT | PTE_WRITE
    return first


@entry
def floor(k, first, pages, count):
    """One load of a page-table entry an access."""
    total = 0
    for i in range(count):
        total += k.pt[first + pages[i]]
    return total


@entry
def accesses(k, pages, base, count, size):
    """The access loop, in bursts of `size`; filling the buffer is part of it."""
    done = 0
    while done < count:
        burst = min(size, count - done)
        for i in range(burst):
            k.abuf[1, i] = (base + pages[done + i]) << 1
        k.task[1, T_BUF_POS] = 0
        k.task[1, T_BUF_LEN] = burst
        mmu.access_burst(k, 0, 1, 0)
        done += burst


@entry
def page_flushes(k, base, count):
    """Flushes of single pages, as of a page-wise mprotect."""
    for i in range(count):
        tlb.flush_range(k, 0, 1, base + i, base + i + 1)


def best_ns(run: Callable[[], object], count: int) -> float:
    """Time of the fastest round, ns for each of `count`."""
    run()
    rounds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        run()
        rounds.append((time.perf_counter_ns() - begin) / count)
    return min(rounds)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    kernel = Kernel(table_rows(PAGES + 4096, 1, 1, 1, 1, 1, 1))
    kernel.geo[:] = geometry(get_profile("x86_64"), 4096)
    kernel.cost[:] = 10
    kernel.sc[kn.SC_DEADLINE] = 1 << 62
    kernel.sc[kn.SC_NR_CPUS] = 1
    kernel.task[1, T_MM] = 1
    k = kernel.k
    first = map_pages(k, BASE, PAGES)
    tlb.switch_mm(k, 0, 1)
    uniform = np.random.default_rng(1).integers(0, PAGES, count)
    draws = {
        "uniform over 5 GiB (TLB misses)": uniform,
        "uniform over 900 pages (second level)": uniform % 900,
        "uniform over 60 pages (first level)": uniform % 60,
        "sequential": np.arange(count) % PAGES,
    }
    floor_ns = best_ns(lambda: floor(k, first, uniform, count), count)
    rows = {"floor: one page-table load, uniform over 5 GiB": floor_ns}
    for name, pages in draws.items():
        rows[name] = best_ns(partial(accesses, k, pages, BASE, count, ACCESS_BUFFER), count)
    rows["uniform over 5 GiB, one access a burst"] = best_ns(lambda: accesses(k, uniform, BASE, count, 1), count)
    rows["flush of one page"] = best_ns(lambda: page_flushes(k, BASE, count), count)
    for name, ns in rows.items():
        print(f"{name:50} {ns:7.1f} ns {ns / floor_ns:7.1f} x floor")


if __name__ == "__main__":
    main()
