"""Which pages an access touches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import VmsimError
from vmsim.workload.trace.format import Addressing, Chunk


def page_shift(page_size: int) -> int:
    """The number of bits of an offset in a page. Raises VmsimError if the size isn't a power of two from 512 B to 1
    GiB."""
    shift = page_size.bit_length() - 1
    if page_size != 1 << shift or not 9 <= shift <= 30:
        raise VmsimError(f"a page size is a power of two from 512 B to 1 GiB, got {page_size}")
    return shift


def touched_pages(chunk: Chunk, addressing: Addressing, shift: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last page of each access. An object is one page, whose number is the object's."""
    if addressing == "objects":
        pages = chunk.addr.view(np.int64)
        return pages, pages
    first = (chunk.addr >> np.uint64(shift)).view(np.int64)
    end = chunk.addr + np.maximum(chunk.size, 1).astype(np.uint64) - np.uint64(1)
    # An access may not wrap around the end of the address space; one that would is taken for its first page.
    return first, np.maximum((end >> np.uint64(shift)).view(np.int64), first)


def all_pages(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Every page from each `first` to its `last`, in order, and which access it belongs to."""
    count = last - first + 1
    access = np.repeat(np.arange(len(first)), count)
    begin = np.cumsum(count) - count
    return first[access] + np.arange(len(access)) - begin[access], access
