"""A trace as a workload: its page numbers, and the packing of a sparse address space into one contiguous arena.

A program's addresses lie terabytes apart (code, heap, libraries, stack), too far for one mapping. `Footprint` finds the
aligned regions (2 MiB each, unless told otherwise) that the trace touches and lays them side by side in the order of
their addresses: pages of one region keep their distances and their alignment, regions that were neighbours stay
neighbours, and one mmap of `arena_bytes` holds them all. In traces of objects each object is one page, and the arena is
the objects in the order of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError
from vmsim.units import MIB
from vmsim.workload.trace.format import MODIFY, WRITE, TraceError
from vmsim.workload.trace.opening import Trace
from vmsim.workload.trace.touched import all_pages, page_shift, touched_pages

LARGEST_FOOTPRINT = 1 << 24
"""Regions (or objects) of one trace: 128 MiB of numbers, for 32 TiB of 2 MiB regions or 64 GiB of 4 KiB objects."""

_MOST_AT_ONCE = 1 << 18
"""Pages that `pages` gives at once, about: bounds memory when accesses are many pages long."""


class Footprint:
    """The touched regions of a trace and where they lie in the arena.

    `regions` are the numbers of the regions (address / `region_bytes`) in order; region k begins at arena page k *
    `region_pages`.
    """

    def __init__(self, regions: NDArray[np.int64], page_size: int, region_pages: int) -> None:
        self.regions = regions
        self.page_size = page_size
        self.region_pages = region_pages
        self._shift = region_pages.bit_length() - 1

    @classmethod
    def scan(cls, trace: Trace, page_size: int = 4096, region_bytes: int = 2 * MIB) -> Footprint:
        """Read the whole trace once for the regions that it touches.

        Raises TraceError for a bad record or a trace of more than `LARGEST_FOOTPRINT` regions, VmsimError if
        `region_bytes` isn't a power of two and at least one page.
        """
        shift = page_shift(page_size)
        region_shift = region_bytes.bit_length() - 1
        if region_bytes != 1 << region_shift or region_shift < shift:
            raise VmsimError(
                f"a region is a power of two and at least one page of {page_size} bytes, got {region_bytes}"
            )
        region_pages = 1 if trace.addressing == "objects" else region_bytes // page_size
        return cls(_regions(trace, shift, region_pages), page_size, region_pages)

    @property
    def arena_pages(self) -> int:
        """Length of the arena in pages."""
        return len(self.regions) * self.region_pages

    @property
    def arena_bytes(self) -> int:
        """Length of the arena in bytes: what the mapping has to hold."""
        return self.arena_pages * self.page_size

    def arena_page(self, pages: NDArray[np.int64]) -> NDArray[np.int64]:
        """The arena pages of these pages of the trace. Raises VmsimError if one is in none of the regions."""
        region = pages >> self._shift
        index = np.searchsorted(self.regions, region)
        index[index == len(self.regions)] = 0
        if len(pages) and (not len(self.regions) or (self.regions[index] != region).any()):
            raise VmsimError("a page of the trace is not in the footprint: it was made from another trace")
        return index << self._shift | pages & (self.region_pages - 1)

    def trace_page(self, arena_pages: NDArray[np.int64]) -> NDArray[np.int64]:
        """The pages of the trace that lie at these pages of the arena."""
        pages: NDArray[np.int64] = self.regions[arena_pages >> self._shift] << self._shift | arena_pages & (
            self.region_pages - 1
        )
        return pages


def pages(
    trace: Trace, page_size: int = 4096, footprint: Footprint | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8]]]:
    """The pages that a trace touches, in order, a chunk at a time: page numbers, and READ, WRITE or FETCH for each.

    An access that crosses a page boundary touches each of its pages. A read-modify-write is a write, as it asks the MMU
    for write access at once. With a `footprint` the pages are those of its arena, else address / `page_size`. Raises
    TraceError at a bad record.
    """
    shift = page_shift(page_size)
    if footprint is not None and footprint.page_size != page_size:
        raise VmsimError(f"the footprint is of pages of {footprint.page_size} bytes, not of {page_size}")
    for chunk in trace:
        first, last = touched_pages(chunk, trace.addressing, shift)
        op = np.where(chunk.op == MODIFY, np.int8(WRITE), chunk.op)
        for part in _parts(first, last):
            touched, access = first[part], np.arange(part.stop - part.start)
            if (last[part] != touched).any():
                touched, access = all_pages(touched, last[part])
            yield (touched if footprint is None else footprint.arena_page(touched)), op[part][access]


def _parts(first: NDArray[np.int64], last: NDArray[np.int64]) -> Iterator[slice]:
    """Slices of accesses that touch about `_MOST_AT_ONCE` pages each."""
    before = np.cumsum(last - first + 1) // _MOST_AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(before)) + 1).tolist(), len(first)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        yield slice(start, end)


def _regions(trace: Trace, shift: int, region_pages: int) -> NDArray[np.int64]:
    """The region numbers of a trace, in order. Those of several chunks are merged at once, when they outnumber the
    known ones."""
    known = np.zeros(0, np.int64)
    fresh: list[NDArray[np.int64]] = []
    waiting = 0
    region_shift = region_pages.bit_length() - 1
    for chunk in trace:
        first, last = touched_pages(chunk, trace.addressing, shift)
        regions, end = first >> region_shift, last >> region_shift
        if (regions != end).any():
            regions, _ = all_pages(regions, end)
        changes = np.flatnonzero(regions[1:] != regions[:-1])
        fresh.append(np.unique(np.append(regions[changes], regions[-1])))
        waiting += len(fresh[-1])
        if waiting > len(known) + 4096:
            known, fresh, waiting = _merged(trace, known, fresh), [], 0
    return _merged(trace, known, fresh)


def _merged(trace: Trace, known: NDArray[np.int64], fresh: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    regions = np.unique(np.concatenate([known, *fresh]))
    if len(regions) > LARGEST_FOOTPRINT:
        raise TraceError(trace.path, f"touches more than {LARGEST_FOOTPRINT} regions, too many for one arena")
    return regions
