"""Addresses and lengths of system calls as unsigned page numbers; programs hand them over as signed 64-bit numbers."""

from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT


@compiled
def is_aligned(k, address):
    """Whether an address is the start of a page."""
    return address & ((1 << k.geo[G_PAGE_SHIFT]) - 1) == 0


@compiled
def page_limit(k):
    """One past the highest page number that 64 bits can address."""
    return 1 << (64 - k.geo[G_PAGE_SHIFT])


@compiled
def page_of(k, address):
    """The page that an address lies in."""
    return (address >> k.geo[G_PAGE_SHIFT]) & (page_limit(k) - 1)


@compiled
def aligned_pages(k, length):
    """PAGE_ALIGN(length) in pages: a length within a page of 2**64 wraps to 0."""
    shift = k.geo[G_PAGE_SHIFT]
    return ((length + (1 << shift) - 1) >> shift) & (page_limit(k) - 1)


@compiled
def beyond(k, pages):
    """Whether `start + pages` left the 64-bit address space."""
    return pages >= page_limit(k)
