"""Watermarks, reserves and per-CPU list sizes of zones, from their sizes and the settings.   Follows mm/page_alloc.c of v4.4 (section C.2).

Plain Python over the columns of `zone`: it runs when the machine boots and when a setting is written.  At boot the kernel computes
with the pages that the zones have then; its own initialisation memory is freed to them later (`late` pages of a zone).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from vmsim.struct.pages import (
    Z_BATCH,
    Z_HIGH,
    Z_INACTIVE_RATIO,
    Z_LOW,
    Z_MANAGED,
    Z_MIN,
    Z_PCP_HIGH,
    Z_RESERVE,
)

Zones = NDArray[np.int64]
CLASSES = 4  # of allocations that lowmem_reserve knows: DMA, DMA32, Normal, and what lies above
HIGHMEM = "HighMem"
_CLASS = {"DMA": 0, "DMA32": 1, "Normal": 2, HIGHMEM: 3}
_MIGRATE_PCPTYPES = 3
_SWAP_CLUSTER_MAX = 32
_THP_KBYTES = 512 << 10


@dataclass(frozen=True)
class WatermarkRules:
    """What kernel versions do differently here, by the names of their rules, and the settings that matter."""

    watermark_scale: bool = False  # gaps between the watermarks are at least watermark_scale_factor / 10,000 of a zone
    pcp_high_is_low_wmark: bool = False  # the CPUs' lists are as long as the low watermark together
    khugepaged_last: bool = False  # khugepaged's recommendation comes after, not before, the kernel's own minimum
    scale_factor: int = 10
    reserve_ratio: tuple[int, ...] = (256, 256, 32)
    pagelist_fraction: int = 0


@dataclass(frozen=True)
class Node:
    """The zones of the machine, lowest first, as rows of `zone` with their names."""

    zone: Zones
    names: Sequence[str]
    page_shift: int
    cpus: int
    rules: WatermarkRules

    def rows(self) -> Mapping[str, Zones]:
        """Each zone's row by its name."""
        return dict(zip(self.names, self.zone, strict=True))

    def lowmem(self) -> int:
        """Pages of all zones but high memory."""
        return sum(int(row[Z_MANAGED]) for name, row in self.rows().items() if name != HIGHMEM)

    def free_buffer_pages(self) -> int:
        """Pages beyond the high watermark of all zones but high memory (nr_free_buffer_pages)."""
        return sum(max(int(row[Z_MANAGED] - row[Z_HIGH]), 0) for name, row in self.rows().items() if name != HIGHMEM)

    def kbytes(self, pages: int) -> int:
        """Pages in KiB."""
        return pages << (self.page_shift - 10)


def init_zones(node: Node, late: Sequence[int], thp: bool) -> int:
    """Boot: fill in all columns of the zones while their `late` pages are still the kernel's; returns min_free_kbytes."""
    total = node.kbytes(int(node.zone[:, Z_MANAGED].sum()))
    node.zone[:, Z_MANAGED] -= np.array(late, np.int64)
    min_free = _boot_min_free_kbytes(node, thp, total)
    setup_per_zone_wmarks(node, min_free)
    setup_per_zone_lowmem_reserve(node)
    calculate_zone_inactive_ratio(node)
    setup_pagesets(node)
    node.zone[:, Z_MANAGED] += np.array(late, np.int64)
    return min_free


def _boot_min_free_kbytes(node: Node, thp: bool, total_kbytes: int) -> int:
    """What init_per_zone_wmark_min and khugepaged (set_recommended_min_free_kbytes) make of it, in the version's order.

    Huge pages turn themselves off below 512 MiB (hugepage_init).  In 4.4 khugepaged comes first: its recommendation is overwritten, but
    the high watermarks that it raised enter the result.  Since 5.x it comes last; when it is off the formula is computed once more.
    """
    large = total_kbytes >= _THP_KBYTES
    if not node.rules.khugepaged_last:
        if thp and large:
            setup_per_zone_wmarks(node, _recommended_min_free_kbytes(node))
        return default_min_free_kbytes(node)
    min_free = default_min_free_kbytes(node)
    setup_per_zone_wmarks(node, min_free)
    if thp and large:
        return max(min_free, _recommended_min_free_kbytes(node))
    return default_min_free_kbytes(node) if large else min_free


def default_min_free_kbytes(node: Node) -> int:
    """The kernel's own minimum: the root of 16 times low memory in KiB (init_per_zone_wmark_min)."""
    most = 262144 if node.rules.khugepaged_last else 65536
    return min(max(isqrt(16 * node.kbytes(node.free_buffer_pages())), 128), most)


def _recommended_min_free_kbytes(node: Node) -> int:
    """Room for two pageblocks of each kind in each zone, at most 5 % of low memory (set_recommended_min_free_kbytes)."""
    zones = sum(int(row[Z_MANAGED] > 0) for row in node.zone)
    pageblock = 1 << (node.page_shift - 3)
    pages = pageblock * zones * (2 + _MIGRATE_PCPTYPES * _MIGRATE_PCPTYPES)
    return node.kbytes(min(pages, node.free_buffer_pages() * 5 // 100))


def has_memory_for_thp(node: Node) -> bool:
    """Whether the kernel leaves transparent huge pages on: it has 512 MiB or more (hugepage_init)."""
    return node.kbytes(int(node.zone[:, Z_MANAGED].sum())) >= _THP_KBYTES


def set_recommended_min_free_kbytes(node: Node, min_free_kbytes: int) -> int:
    """Huge pages are switched on in a running kernel: min_free_kbytes, with the watermarks that follow from it."""
    recommended = _recommended_min_free_kbytes(node)
    if recommended <= min_free_kbytes:
        return min_free_kbytes
    setup_per_zone_wmarks(node, recommended)
    return recommended


def setup_per_zone_wmarks(node: Node, min_free_kbytes: int) -> None:
    """min, low and high of every zone from min_free_kbytes, in proportion to their pages."""
    pages_min = min_free_kbytes >> (node.page_shift - 10)
    lowmem = max(node.lowmem(), 1)
    for name, row in node.rows().items():
        managed = int(row[Z_MANAGED])
        share = pages_min * managed // lowmem
        row[Z_MIN] = min(max(managed // 1024, _SWAP_CLUSTER_MAX), 128) if name == HIGHMEM else share
        if node.rules.watermark_scale:
            gap = max(share >> 2, managed * node.rules.scale_factor // 10000)
            row[Z_LOW], row[Z_HIGH] = row[Z_MIN] + gap, row[Z_MIN] + 2 * gap
        else:
            row[Z_LOW], row[Z_HIGH] = row[Z_MIN] + (share >> 2), row[Z_MIN] + (share >> 1)


def setup_per_zone_lowmem_reserve(node: Node) -> None:
    """What each zone keeps from allocations that could be served by higher ones: their pages divided by this zone's ratio."""
    rows = node.rows()
    managed = [0] * CLASSES
    for name, row in rows.items():
        managed[_CLASS[name]] = int(row[Z_MANAGED])
    for name, row in rows.items():
        below = _CLASS[name]
        row[Z_RESERVE : Z_RESERVE + CLASSES] = 0
        if below < len(node.rules.reserve_ratio):
            for above in range(below + 1, CLASSES):
                row[Z_RESERVE + above] = sum(managed[below + 1 : above + 1]) // node.rules.reserve_ratio[below]


def calculate_zone_inactive_ratio(node: Node) -> None:
    """How much longer the active anonymous list may be than the inactive one: the root of ten times the zone's GiB, at least 1."""
    for row in node.zone:
        gib = int(row[Z_MANAGED]) >> (30 - node.page_shift)
        row[Z_INACTIVE_RATIO] = isqrt(10 * gib) if gib else 1


def zone_batchsize(managed: int, page_shift: int, scaled: bool) -> int:
    """Pages that move at once between a zone and a CPU's list, before it is held to at least 1 (zone_batchsize)."""
    batch = min(managed // 1024, (1 << 20 if scaled else 512 << 10) >> page_shift)
    batch = max(batch // 4, 1)
    return (1 << ((batch + batch // 2).bit_length() - 1)) - 1


def setup_pagesets(node: Node) -> None:
    """`batch` and `high` of the CPUs' lists (pageset_set_high_and_batch; since 5.14 zone_highsize)."""
    for row in node.zone:
        batch = zone_batchsize(int(row[Z_MANAGED]), node.page_shift, node.rules.pcp_high_is_low_wmark)
        high = 6 * batch
        if node.rules.pcp_high_is_low_wmark:
            high = max(int(row[Z_LOW]) // node.cpus, max(batch, 1) << 2)
        elif node.rules.pagelist_fraction:
            high = int(row[Z_MANAGED]) // node.rules.pagelist_fraction
            batch = min(max(high // 4, 1), 8 * node.page_shift)
        row[Z_BATCH], row[Z_PCP_HIGH] = max(batch, 1), high


def totalreserve_pages(node: Node) -> int:
    """Pages that no heuristic counts as free: each zone's largest reserve and high watermark (calculate_totalreserve_pages)."""
    return sum(
        min(int(row[Z_MANAGED]), int(row[Z_RESERVE : Z_RESERVE + CLASSES].max()) + int(row[Z_HIGH])) for row in node.zone
    )
