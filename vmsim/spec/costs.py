"""What the modelled pieces of work cost: each constant that a machine's `costs` may set, its default and its source.

The defaults are a two-socket Xeon of 2015 (Haswell-EP, 2.6 GHz nominal: a cycle is 0.38 ns) with a 4.4 kernel, before
page-table isolation.  "Model:" marks what is an estimate with its reason; everything else names what it was taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Cost:
    """One constant: its value where a machine does not set it, in `unit` (`ns`, or a number of `levels`)."""

    name: str
    default: int
    what: str
    source: str
    unit: str = "ns"


def _named(*costs: Cost) -> dict[str, Cost]:
    return {cost.name: cost for cost in costs}


_HARDWARE: Final = _named(
    Cost(
        "user_access",
        70,
        "one load or store of a program, without translation",
        "RAM latency of Westmere-EP, 40 cycles + 67 ns local (7-cpu.com), less overlap. "
        "Model: data caches are not simulated, and a random access to gigabytes misses them",
    ),
    Cost(
        "tlb_l2_hit",
        3,
        "a hit in the second-level TLB",
        "7 cycles, Haswell (Intel 64 Optimization Reference Manual, STLB)",
    ),
    Cost(
        "walk_cached_ref",
        5,
        "one page-table entry read by the walker, in a cache",
        "L2 data cache, 11-12 cycles (Intel 64 Optimization Reference Manual, Haswell)",
    ),
    Cost(
        "walk_memory_ref",
        60,
        "one page-table entry read by the walker, in RAM",
        "RAM latency as for user_access. Model: part of the walk overlaps with the access before it",
    ),
    Cost(
        "trap",
        380,
        "a fault's exception entry and return (iret)",
        "about 1000 cycles on Haswell (L. Torvalds, 'the cost of Linux's page fault handling', 2014)",
    ),
    Cost("tlb_flush_page", 60, "one INVLPG", "Model: 100-200 cycles on Intel before PCID"),
    Cost("tlb_flush_full", 100, "a write of CR3", "Model: 200-300 cycles, refills are charged where they happen"),
    Cost(
        "ipi",
        1500,
        "a TLB shootdown: interrupt to the other CPUs and the wait for them",
        "Model: 2000-5000 cycles on two sockets",
    ),
    Cost(
        "ipi_received",
        400,
        "the same for a CPU that is interrupted: entry, flush and return",
        "Model: about 1000 cycles, as for trap",
    ),
)

_PAGES: Final = _named(
    Cost(
        "fault_base",
        250,
        "handling any page fault, beside what is charged by itself",
        "Model: with trap, zero_page, alloc_page, map_page and lru_add a minor anonymous fault costs 850 ns; "
        "measured were 575 ns at least and 1013 ns in the median (Linux 6.6, 11th-generation Core i7)",
    ),
    Cost("zero_page", 90, "clearing a page of 4 KiB", "Model: rep stosb at 45 GB/s, the page stays in the cache"),
    Cost(
        "copy_page",
        775,
        "copying a page of 4 KiB from and to RAM",
        "STREAM Copy, 10,566.5 MB/s counting read and write (the lock-on-fault patch series, 4.2-rc1)",
    ),
    Cost(
        "map_page",
        40,
        "setting one page-table entry, with its reverse mapping and counters",
        "Model: two atomics, one line missed",
    ),
    Cost(
        "alloc_page",
        60,
        "a page from the CPU's free list",
        "Model: a list operation and cgroup charge, refills amortised",
    ),
    Cost("free_page", 50, "a page back to the CPU's free list", "Model: as alloc_page, without the charge"),
    Cost(
        "lru_add", 25, "a page onto an LRU list, through the pagevec", "Model: one lock for 14 pages (linux/pagevec.h)"
    ),
    Cost(
        "mlock_page", 120, "a resident page to the unevictable list", "Model: isolate and put back, the LRU lock twice"
    ),
    Cost("munlock_page", 90, "an unevictable page back to its LRU list", "Model: batches of 14 share the locks"),
    Cost(
        "unmap_page",
        60,
        "clearing one page-table entry of a present page",
        "Model: as map_page, with the dirty and young bits",
    ),
    Cost(
        "populate_page",
        150,
        "one page of mlock's or MAP_POPULATE's walk, beside its fault",
        "Model: follow_page with its locks",
    ),
    Cost(
        "populate_skip",
        12,
        "one absent page that the walk of a lock on fault passes over",
        "recorded: mlock2(MLOCK_ONFAULT) of 32,768 absent pages took 5 to 6 ms more than mmap on a 4.4.1 kernel in a virtual "
        "machine whose CPU is about 15 times slower than hardware",
    ),
    Cost("pte_change", 10, "rewriting one present page-table entry (mprotect)", "Model: sequential, cached"),
    Cost(
        "page_cache_lookup",
        60,
        "finding a page in the page cache",
        "Model: three or four radix-tree levels, mostly cached",
    ),
    Cost("page_cache_add", 200, "putting a page into the page cache", "Model: tree lock, slot, LRU, cgroup charge"),
    Cost(
        "file_page",
        60,
        "one page of read(2) or write(2), beside finding it and copying",
        "Model: iov_iter, mark_page_accessed, permission checks; read(2) of a cached 1 MiB takes 6 to 9 GB/s less its copy",
    ),
    Cost(
        "dirty_page",
        120,
        "a clean page that becomes dirty",
        "Model: buffer and page flags, tag in the radix tree, three counters, the inode's list, the limits",
    ),
    Cost(
        "writeback_page",
        250,
        "one dirty page that its flusher writes, beside the request",
        "Model: tag lookup, page lock, dirty to writeback, and the way back at the end of the I/O",
    ),
    Cost("reclaim_page", 300, "looking at one page in reclaim", "Model: isolate, test references, put back or free"),
    Cost(
        "rmap_walk",
        150,
        "finding one mapping of a page from the page",
        "Model: interval tree and page table, both missed",
    ),
)

_VMAS: Final = _named(
    Cost("vma_cached_level", 4, "one level of a VMA tree, where it is cached", "Model: an L2 hit, 11 cycles"),
    Cost("vma_tree_level", 70, "one level of a VMA tree, where it is not", "RAM latency as for user_access"),
    Cost(
        "vma_cached_levels",
        13,
        "levels of a VMA tree that stay cached",
        "Model: 2^13 nodes of 192 bytes are 1.5 MiB, a core's share of the last-level cache",
        "levels",
    ),
    Cost(
        "vma_change",
        1000,
        "creating or removing a VMA (split, merge, mmap, munmap), beside the levels of its trees",
        "Model: slab objects of 192 and 64 bytes, three locks, three rebalanced trees; the table of the lock-on-fault series "
        "asks for 20 us on its machine",
    ),
    Cost("mmap_base", 800, "mmap, beside its VMA", "Model: checks, gap search, security hooks, accounting"),
    Cost("munmap_base", 700, "munmap, beside its pages", "Model: gather set-up, page tables freed"),
    Cost(
        "fork_base",
        50_000,
        "fork, beside copying page tables",
        "lmbench lat_proc fork is 100 us with exit and wait; Model: half",
    ),
    Cost(
        "exec_base",
        250_000,
        "exec, beside the new image's pages",
        "lmbench lat_proc exec, 300 us with fork. Model: less the fork",
    ),
)

_ENTRY: Final = _named(
    Cost(
        "syscall_entry",
        60,
        "entering and leaving the kernel by a system call",
        "100-200 cycles (lmbench null call, Haswell)",
    ),
    Cost(
        "mlock_drain",
        400,
        "lru_add_drain_all at the start of mlock, where no CPU holds pages",
        "Model: a mutex and six per-CPU counts of each CPU (mm/swap.c of v4.4)",
    ),
    Cost(
        "mlock_drain_work",
        20000,
        "the same where some CPU holds pages: a work item on it, waited for",
        "Model: waking a worker on another CPU, two context switches, and back",
    ),
    Cost(
        "signal_deliver",
        900,
        "setting up a signal's frame and entering its handler",
        "Model: xsave area to user memory",
    ),
    Cost("sigreturn", 400, "return from a signal handler", "Model: as a system call with the frame read back"),
    Cost(
        "context_switch", 1200, "switching a CPU to another task", "lmbench lat_ctx, 2 processes without data: 1-1.5 us"
    ),
    Cost(
        "io_submit",
        2500,
        "CPU time of submitting one request to a device",
        "Model: bio, plug, elevator, driver: about 6000 cycles",
    ),
    Cost(
        "io_merge",
        400,
        "CPU time of one more page for a request that waits in the task's plug, or of one more request there",
        "Model: a bio and a back merge (block/blk-core.c of v4.4: blk_attempt_plug_merge): about 1000 cycles",
    ),
    Cost(
        "io_issue",
        1000,
        "CPU time of handing the requests of a task's plug to the device",
        "Model: the driver and its doorbell, the part of io_submit that requests which were held back share",
    ),
    Cost(
        "io_complete",
        2500,
        "CPU time of one completion interrupt",
        "Model: interrupt, bio end, pages unlocked, waiter woken",
    ),
)

_SLAB: Final = _named(
    Cost(
        "slab_object",
        1300,
        "freeing an object of a slab cache that a shrinker takes",
        "measured: 350 ms of a 6.18 machine for drop_caches 2, which freed 175,000 dentries, 55,000 inodes and 35,000 nodes. "
        "Model: objects that are passed over take no time",
    ),
)

COSTS: Final[Mapping[str, Cost]] = {**_HARDWARE, **_PAGES, **_VMAS, **_ENTRY, **_SLAB}
