"""Requests to block devices for pages of files, and where these lie.   Follows block/bio.c, fs/mpage.c and, for blocks, fs/ext4 of v4.4."""

from vmsim.struct.costs import C_IO_SUBMIT
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
    BIO_FREE,
    BIO_NEW,
    FI_BLOCK,
    FI_DEVICE,
    FI_EXTENT,
    FI_LINEAR,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, NR_BIOS, SC_BIO_NEXT, SC_NR_NEW_BIOS
from vmsim.struct.ledger import L_IO
from vmsim.struct.swaps import D_READS, D_WRITES
from vmsim.struct.vmstat import PGPGIN, PGPGOUT
from vmsim.struct.writeback import EX_BLOCK, EX_FIRST, EX_NEXT, EX_PAGES

READ_WAITED = 0  # what a bio is for
READ_AHEAD = 1
WRITE_BACK = 2


@compiled
def bio_alloc(k):
    """A free request row; the table is larger than all that devices' queues and waiting tasks can hold."""
    bio = k.sc[SC_BIO_NEXT]
    while k.bio[bio, B_STATE] != BIO_FREE:
        bio += 1
        if bio == NR_BIOS:
            bio = 0
    k.sc[SC_BIO_NEXT] = bio + 1 if bio + 1 < NR_BIOS else 0
    return bio


@compiled
def block_of(k, file, pgoff):
    """The page of the device that holds a page of a file, -1 if none does."""
    if pgoff < k.file[file, FI_LINEAR]:
        return k.file[file, FI_BLOCK] + pgoff
    extent = k.file[file, FI_EXTENT]
    while extent != 0:
        first = k.extent[extent, EX_FIRST]
        if pgoff >= first:
            return k.extent[extent, EX_BLOCK] + pgoff - first if pgoff < first + k.extent[extent, EX_PAGES] else -1
        extent = k.extent[extent, EX_NEXT]
    return -1


@compiled
def submit_bio(k, tid, file, pgoff, pages, purpose):
    """Submit one request for pages of a file that lie one after the other on its device too."""
    bio = bio_alloc(k)
    row = k.bio[bio]
    row[B_STATE] = BIO_NEW
    row[B_DEVICE] = k.file[file, FI_DEVICE]
    row[B_WRITE] = 1 if purpose == WRITE_BACK else 0
    row[B_BLOCK] = block_of(k, file, pgoff)
    row[B_PAGES] = pages
    row[B_FILE] = file
    row[B_INDEX] = pgoff
    row[B_ASYNC] = 0 if purpose == READ_WAITED else 1
    row[B_TASK] = tid
    k.dev[row[B_DEVICE], D_WRITES if purpose == WRITE_BACK else D_READS] += 1
    k.sc[SC_NR_NEW_BIOS] += 1
    k.led[L_IO] += k.cost[C_IO_SUBMIT]
    k.vmstat[PGPGOUT if purpose == WRITE_BACK else PGPGIN] += pages << (k.geo[G_PAGE_SHIFT] - 10)


@compiled
def submit_run(k, tid, file, pgoff, pages, purpose):
    """Submit requests for pages of a file, one for each run of blocks."""
    first = pgoff
    end = pgoff + pages
    while first < end:
        block = block_of(k, file, first)
        after = first + 1
        while after < end and block_of(k, file, after) == block + after - first:
            after += 1
        submit_bio(k, tid, file, first, after - first, purpose)
        first = after
