"""Huge pages as single pages: how much one counts, and which it is.   Follows include/linux/huge_mm.h and page-flags.h of v4.4."""

from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_HUGE_BITS
from vmsim.struct.pages import P_FLAGS, PG_HEAD, PG_TAIL


@compiled
def hpage_nr_pages(k, flags):
    """How many pages the page with these flags stands for."""
    pages = 1
    if flags & PG_HEAD != 0:
        pages = 1 << k.sc[SC_HUGE_BITS]
    return pages


@compiled
def compound_head(k, pfn):
    """The frame that stands for the page that `pfn` is part of; mostly itself."""
    return pfn & -(1 << k.sc[SC_HUGE_BITS]) if k.frame[pfn, P_FLAGS] & PG_TAIL != 0 else pfn
