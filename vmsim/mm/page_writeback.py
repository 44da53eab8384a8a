"""Dirty pages of files and pages under writeback: flags, tags, counters, and writing them.   Follows mm/page-writeback.c of v4.4 (E.5)."""

from vmsim.hw.tlb import flush_range_as
from vmsim.hw.walk import leaf_slot
from vmsim.mm.bio import WRITE_BACK, block_of, submit_bio
from vmsim.mm.page_dirty import account_page_cleaned, file_of_page, set_page_dirty
from vmsim.mm.pte import write_pte
from vmsim.mm.resched import elapsed_ns
from vmsim.mm.rmap import rmap_first, rmap_mapping, rmap_next
from vmsim.mm.swap import rotate_reclaimable_page
from vmsim.mm.tags import is_tagged, tag_clear, tag_next, tag_set
from vmsim.struct.costs import C_RMAP_WALK, C_WRITEBACK_PAGE
from vmsim.struct.files import (
    B_FILE,
    B_INDEX,
    B_PAGES,
    FI_CACHE,
    FI_DEVICE,
    FI_NRWRITEBACK,
    FI_WB_ERROR,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_DEADLINE, SC_TASK
from vmsim.struct.ledger import L_IO
from vmsim.struct.pages import (
    P_FLAGS,
    P_INDEX,
    PG_DIRTY,
    PG_ERROR,
    PG_RECLAIM,
    PG_WRITEBACK,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_WRITE,
    RMAP_SHIFT,
)
from vmsim.struct.swaps import D_WRITES, NR_REQUESTS
from vmsim.struct.tasks import T_WAIT, T_WAIT_ARG, T_WB_END, T_WB_INDEX, T_WB_LAST, T_WB_LEFT, WAIT_QUEUE, WAIT_WRITEBACK
from vmsim.struct.vmstat import NR_WRITEBACK, NR_WRITTEN
from vmsim.struct.writeback import (
    BD_COMPLETIONS,
    BD_NRWRITEBACK,
    BD_WRITTEN,
    BIO_MAX_PAGES,
    DOM_COMPLETIONS,
    TAG_DIRTY,
    TAG_TOWRITE,
    TAG_WRITEBACK,
)

WB_DONE = 0  # what `write_cache_pages` returns
WB_YIELDS = 1  # the slice's time is used
WB_WAITS = 2  # sleeps: T_WAIT says what for


@compiled
def page_mkclean(k, pfn):
    """Write-protect and clean every mapping of a page, so that the next store faults; whether any was dirty (page_mkclean).

    Each one is flushed on all CPUs of its address space.
    """
    dirty = False
    cursor = rmap_first(k, pfn)
    while cursor != 0:
        mapping = rmap_mapping(k, pfn, cursor)
        cursor = rmap_next(k, cursor)
        mm = mapping >> RMAP_SHIFT
        vpn = mapping & ((1 << RMAP_SHIFT) - 1)
        slot = leaf_slot(k, mm, vpn)
        k.led[L_IO] += k.cost[C_RMAP_WALK]
        entry = k.pt[slot]
        if entry & PTE_PRESENT != 0 and entry & (PTE_WRITE | PTE_DIRTY) != 0:
            dirty = dirty or entry & PTE_DIRTY != 0
            write_pte(k, slot, entry & ~(PTE_WRITE | PTE_DIRTY))
            flush_range_as(k, k.sc[SC_CPU], mm, vpn, vpn + 1, L_IO)
    return dirty


@compiled
def clear_page_dirty_for_io(k, pfn):
    """A page is about to be written: it and its mappings become clean; whether it was dirty (clear_page_dirty_for_io)."""
    file = file_of_page(k, pfn)
    if file != 0 and page_mkclean(k, pfn):
        set_page_dirty(k, pfn)
    if k.frame[pfn, P_FLAGS] & PG_DIRTY == 0:
        return False
    k.frame[pfn, P_FLAGS] &= ~PG_DIRTY
    if file != 0:
        account_page_cleaned(k, file, pfn)
    return True


@compiled
def set_page_writeback(k, pfn):
    """A page, of a file or of the swap cache, is being written from now on."""
    k.frame[pfn, P_FLAGS] |= PG_WRITEBACK
    k.vmstat[NR_WRITEBACK] += 1
    file = file_of_page(k, pfn)
    if file != 0:
        slot = k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX]
        tag_set(k, TAG_WRITEBACK, slot)
        tag_clear(k, TAG_TOWRITE, slot)
        k.file[file, FI_NRWRITEBACK] += 1
        k.bdi[k.file[file, FI_DEVICE], BD_NRWRITEBACK] += 1


@compiled
def end_page_writeback(k, pfn):
    """A page has been written; one that reclaim waits for goes to the tail of its list, to be taken next."""
    reclaim = k.frame[pfn, P_FLAGS] & PG_RECLAIM != 0
    k.frame[pfn, P_FLAGS] &= ~(PG_WRITEBACK | PG_RECLAIM)
    if reclaim:
        rotate_reclaimable_page(k, pfn)
    k.vmstat[NR_WRITEBACK] -= 1
    k.vmstat[NR_WRITTEN] += 1
    file = file_of_page(k, pfn)
    if file != 0:
        device = k.file[file, FI_DEVICE]
        tag_clear(k, TAG_WRITEBACK, k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX])
        k.file[file, FI_NRWRITEBACK] -= 1
        k.bdi[device, BD_NRWRITEBACK] -= 1
        k.bdi[device, BD_WRITTEN] += 1
        k.bdi[device, BD_COMPLETIONS] += 1
        k.domain[DOM_COMPLETIONS] += 1


@compiled
def end_file_write(k, bio, error):
    """A request that wrote pages of a file is done; an error is kept for the next fsync (mpage_end_io)."""
    file = k.bio[bio, B_FILE]
    slot = k.file[file, FI_CACHE] + k.bio[bio, B_INDEX]
    for i in range(k.bio[bio, B_PAGES]):
        pfn = k.pcache[slot + i]
        if error != 0:
            k.frame[pfn, P_FLAGS] |= PG_ERROR
            k.file[file, FI_WB_ERROR] = 1
        end_page_writeback(k, pfn)


@compiled
def pageout_file(k, pfn):
    """Start writing one dirty page of a file on a device, for kswapd; whether a request was made (pageout, writepage).

    The caller has set PG_RECLAIM if it wants the page back, and counts NR_VMSCAN_WRITE.
    """
    file = file_of_page(k, pfn)
    if file == 0 or k.frame[pfn, P_FLAGS] & PG_WRITEBACK != 0 or not clear_page_dirty_for_io(k, pfn):
        return False
    k.led[L_IO] += k.cost[C_WRITEBACK_PAGE]
    set_page_writeback(k, pfn)
    submit_bio(k, k.sc[SC_TASK], file, k.frame[pfn, P_INDEX], 1, WRITE_BACK)
    return True


@compiled
def tag_pages_for_writeback(k, file, first, end):
    """Mark the pages [first, end) of a file that are dirty now, so that a sync ends even while others go on dirtying."""
    base = k.file[file, FI_CACHE]
    slot = tag_next(k, TAG_DIRTY, base + first, base + end)
    while slot >= 0:
        tag_set(k, TAG_TOWRITE, slot)
        slot = tag_next(k, TAG_DIRTY, slot + 1, base + end)


@compiled
def wait_on_page_writeback(k, tid, pfn):
    """Sleep until a page has been written."""
    k.task[tid, T_WAIT] = WAIT_WRITEBACK
    k.task[tid, T_WAIT_ARG] = pfn
    return WB_WAITS


@compiled
def _write_run(k, tid, file, pgoff, tag, most):
    """Start writing the page `pgoff`, which is tagged, with those after it that can share its request; how many (mpage_writepages)."""
    base = k.file[file, FI_CACHE]
    block = block_of(k, file, pgoff)
    pages = 0
    while pages < most:
        slot = base + pgoff + pages
        if pages > 0 and (not is_tagged(k, tag, slot) or block_of(k, file, pgoff + pages) != block + pages):
            break
        pfn = k.pcache[slot]
        if k.frame[pfn, P_FLAGS] & PG_WRITEBACK != 0 or not clear_page_dirty_for_io(k, pfn):
            break
        k.led[L_IO] += k.cost[C_WRITEBACK_PAGE]
        set_page_writeback(k, pfn)
        pages += 1
    if pages > 0:
        submit_bio(k, tid, file, pgoff, pages, WRITE_BACK)
    return pages


@compiled
def write_cache_pages(k, tid, file, tag):
    """Start writing at most T_WB_LEFT pages [T_WB_INDEX, T_WB_END) of a file that have a tag; WB_*: call again unless WB_DONE.

    With TAG_TOWRITE, an integrity sync, pages that are being written already are waited for; else they are left out.
    """
    task = k.task[tid]
    while task[T_WB_LEFT] > 0:
        base = k.file[file, FI_CACHE]
        slot = tag_next(k, tag, base + task[T_WB_INDEX], base + task[T_WB_END])
        if slot < 0:
            task[T_WB_INDEX] = task[T_WB_END]
            return WB_DONE
        task[T_WB_INDEX] = slot - base
        flags = k.frame[max(k.pcache[slot], 0), P_FLAGS]  # a page that was truncated may have left TAG_TOWRITE
        if flags & PG_DIRTY == 0 or flags & PG_WRITEBACK != 0:
            if tag == TAG_TOWRITE and flags & PG_DIRTY != 0:
                return wait_on_page_writeback(k, tid, k.pcache[slot])
            if tag == TAG_TOWRITE:
                tag_clear(k, tag, slot)
            task[T_WB_INDEX] += 1
            continue
        if k.dev[k.file[file, FI_DEVICE], D_WRITES] >= NR_REQUESTS:
            task[T_WAIT] = WAIT_QUEUE
            task[T_WAIT_ARG] = k.file[file, FI_DEVICE]
            return WB_WAITS
        pages = _write_run(k, tid, file, slot - base, tag, min(task[T_WB_LEFT], BIO_MAX_PAGES))
        task[T_WB_INDEX] += pages
        task[T_WB_LAST] = task[T_WB_INDEX] - 1
        task[T_WB_LEFT] -= pages
        if elapsed_ns(k) >= k.sc[SC_DEADLINE]:
            return WB_YIELDS
    return WB_DONE
