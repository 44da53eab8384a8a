"""Requests to block devices made page by page, for swap.   Follows mm/page_io.c and the plug of block/blk-core.c of v4.4."""

from vmsim.mm.bio import bio_alloc
from vmsim.struct.costs import C_IO_MERGE, C_IO_SUBMIT
from vmsim.struct.files import (
    B_ASYNC,
    B_BLOCK,
    B_DEVICE,
    B_FILE,
    B_INDEX,
    B_PAGES,
    B_STATE,
    B_TASK,
    B_WRITE,
    BIO_NEW,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, NR_BIO_PAGES, SC_BIO_LAST, SC_BIO_PAGE_NEXT, SC_NR_NEW_BIOS, SC_TASK
from vmsim.struct.ledger import L_IO
from vmsim.struct.swaps import D_READS, D_WRITES, NR_REQUESTS
from vmsim.struct.vmstat import PGPGIN, PGPGOUT

MOST_PAGES = 128  # of a request that is put together page by page (BLK_MAX_SEGMENTS)


@compiled
def _submit_bio(k, device, write, block, waits):
    """A new request for one page of a device. Its row."""
    bio = bio_alloc(k)
    k.bio[bio, B_STATE] = BIO_NEW
    k.bio[bio, B_DEVICE] = device
    k.bio[bio, B_WRITE] = write
    k.bio[bio, B_BLOCK] = block
    k.bio[bio, B_PAGES] = 1
    k.bio[bio, B_ASYNC] = 0 if waits != 0 else 1
    k.bio[bio, B_TASK] = k.sc[SC_TASK]
    k.dev[device, D_WRITES if write != 0 else D_READS] += 1
    k.sc[SC_NR_NEW_BIOS] += 1
    k.led[L_IO] += k.cost[C_IO_SUBMIT]
    k.vmstat[PGPGOUT if write != 0 else PGPGIN] += 1 << (k.geo[G_PAGE_SHIFT] - 10)
    return bio


@compiled
def submit_page(k, device, write, block, pfn, waits):
    """Submit one frame's transfer; it joins the slice's last request if it continues that, as the plug merges them."""
    last = k.sc[SC_BIO_LAST] - 1
    if last >= 0 and k.bio[last, B_STATE] == BIO_NEW and k.bio[last, B_DEVICE] == device and k.bio[last, B_WRITE] == write:
        pages = k.bio[last, B_PAGES]
        if k.bio[last, B_BLOCK] + pages == block and pages < MOST_PAGES and k.bio[last, B_INDEX] + pages == k.sc[SC_BIO_PAGE_NEXT]:
            if k.sc[SC_BIO_PAGE_NEXT] < NR_BIO_PAGES:
                k.bio_page[k.sc[SC_BIO_PAGE_NEXT]] = pfn
                k.sc[SC_BIO_PAGE_NEXT] += 1
                k.bio[last, B_PAGES] = pages + 1
                if waits != 0:
                    k.bio[last, B_ASYNC] = 0
                k.led[L_IO] += k.cost[C_IO_MERGE]
                k.vmstat[PGPGOUT if write != 0 else PGPGIN] += 1 << (k.geo[G_PAGE_SHIFT] - 10)
                return
    if k.sc[SC_BIO_PAGE_NEXT] + MOST_PAGES >= NR_BIO_PAGES:
        k.sc[SC_BIO_PAGE_NEXT] = 0
    bio = _submit_bio(k, device, write, block, waits)
    k.bio[bio, B_FILE] = 0
    k.bio[bio, B_INDEX] = k.sc[SC_BIO_PAGE_NEXT]
    k.bio_page[k.sc[SC_BIO_PAGE_NEXT]] = pfn
    k.sc[SC_BIO_PAGE_NEXT] += 1
    k.sc[SC_BIO_LAST] = bio + 1


@compiled
def queue_full(k, device):
    """Whether a device's queue holds so many writes that who submits another one sleeps first (get_request)."""
    return k.dev[device, D_WRITES] >= NR_REQUESTS
