"""A trace as a program carries it out: what it touches, found in one reading, and its accesses, block by block.

Both readings stream: memory is bounded by the pages that the trace touches, not by its length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError
from vmsim.workload.trace.census import PageCensus
from vmsim.workload.trace.footprint import Footprint, pages
from vmsim.workload.trace.format import FETCH, MODIFY, WRITE, Chunk, TraceError
from vmsim.workload.trace.opening import Trace
from vmsim.workload.trace.touched import page_shift, touched_pages

AREA_GAP_PAGES = 16
"""Touched pages of one kind that lie no further apart are of one area. Model: programs map memory in pieces larger
than what a trace touches of them."""
_LARGEST_FOOTPRINT = 1 << 24
_ALL = 1 << 62  # accesses

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TraceRequest:
    """Which accesses of which file are wanted, in pages of which size; `format` None: to be guessed."""

    path: str
    format: str | None
    fetches: bool
    limit: int | None
    page_size: int


@dataclass(frozen=True)
class Area:
    """A mapping that a trace needs at its recorded addresses, in pages: code (fetched, never written) or data."""

    start: int
    pages: int
    is_code: bool


class TracePart(Trace):
    """A trace of which only a part is read: the first `limit` accesses, `fetches` counted or left out."""

    def __init__(self, request: TraceRequest) -> None:
        super().__init__(request.path, request.format)
        if self.total_bytes is None:
            raise TraceError(request.path, "this is not a file on disk: a program reads a trace twice")
        self.request = request

    def __iter__(self) -> Iterator[Chunk]:
        left = self.request.limit
        for chunk in super().__iter__():
            if not self.request.fetches:
                kept = chunk.op != FETCH
                chunk = Chunk(chunk.first_record, chunk.records, chunk.addr[kept], chunk.size[kept], chunk.op[kept])
            if left is not None and len(chunk) >= left:
                yield Chunk(chunk.first_record, chunk.records, chunk.addr[:left], chunk.size[:left], chunk.op[:left])
                return
            left = None if left is None else left - len(chunk)
            if len(chunk):
                yield chunk


def file_stamp(path: str) -> tuple[int, int]:
    """When a file was changed, and its size: another stamp, another file. Raises TraceError if it isn't there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise TraceError(path, f"can't be opened: {getattr(error, 'strerror', None) or error}") from None
    return status.st_mtime_ns, status.st_size


def scan_arena(request: TraceRequest) -> Footprint:
    """Where the touched regions lie in one mapping. Raises TraceError for the first bad line or record."""
    return _scan_arena(request, file_stamp(request.path))


def scan_areas(request: TraceRequest) -> tuple[Area, ...]:
    """The mappings that the trace needs where it was recorded. Raises TraceError for the first bad line or record."""
    return _scan_areas(request, file_stamp(request.path))


@lru_cache(maxsize=32)
def _scan_arena(request: TraceRequest, stamp: tuple[int, int]) -> Footprint:
    footprint = Footprint.scan(TracePart(request), request.page_size)
    if not len(footprint.regions):
        raise TraceError(request.path, "the trace has no accesses")
    return footprint


@lru_cache(maxsize=32)
def _scan_areas(request: TraceRequest, stamp: tuple[int, int]) -> tuple[Area, ...]:
    trace = TracePart(request)
    if trace.addressing == "objects":
        raise TraceError(request.path, "its objects have no addresses in memory; use map: arena")
    shift = page_shift(request.page_size)
    census = PageCensus(_ALL, _LARGEST_FOOTPRINT)
    for chunk in trace:
        census.add(*touched_pages(chunk, trace.addressing, shift), chunk.op)
        if census.sampling > 1:
            raise TraceError(trace.path, f"touches more than {_LARGEST_FOOTPRINT} pages")
    if not census.footprint:
        raise TraceError(request.path, "the trace has no accesses")
    touched, _, kinds = census.pages()
    return tuple(_areas(touched, kinds & (1 << FETCH | 1 << WRITE | 1 << MODIFY) == 1 << FETCH))


def _areas(touched: Ints, is_code: NDArray[np.bool_]) -> Iterator[Area]:
    """Neighbouring pages of one kind together."""
    parted = (np.diff(touched) > AREA_GAP_PAGES) | (is_code[1:] != is_code[:-1])
    starts = np.flatnonzero(np.append(True, parted))
    ends = np.append(starts[1:], len(touched)) - 1
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield Area(int(touched[start]), int(touched[end] - touched[start]) + 1, bool(is_code[start]))


class TraceSource:
    """The accesses of a trace as numbers (page << 1 | write), from its start; `footprint`: pages are those of its arena."""

    def __init__(self, request: TraceRequest, footprint: Footprint | None = None) -> None:
        self.request = request
        self.footprint = footprint
        self.rewind()

    def rewind(self) -> None:
        """Begin again."""
        self._blocks = self._read()
        self._rest = np.zeros(0, np.int64)

    def _read(self) -> Iterator[Ints]:
        for touched, op in pages(TracePart(self.request), self.request.page_size, self.footprint):
            yield touched << 1 | (op == WRITE)

    def take(self, most: int) -> Ints:
        """The next accesses, at most `most`; none at the end. Raises TraceError, also if the file has changed since."""
        while not len(self._rest):
            block = next(self._blocks, None)
            if block is None:
                return self._rest
            self._rest = block
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken


def check_places(request: TraceRequest, areas: tuple[Area, ...], task_pages: int) -> None:
    """Raise VmsimError if an area of a trace lies outside the address space of a program."""
    for area in areas:
        if area.start < 0 or area.start + area.pages > task_pages:
            address = (area.start << page_shift(request.page_size)) & ((1 << 64) - 1)
            raise VmsimError(f"{request.path}: the address {address:#x} is outside a program's address space; use map: arena")
