"""Requests to block devices made page by page, for swap, and the plug that holds them back.   Follows mm/page_io.c and block/blk-core.c of
v4.4.

A task with a plug gathers its requests, and a page that continues one of them joins it.  They are started when it has 16 and makes
another (for a device of several hardware queues: when it has one), when it sleeps, and when it takes the plug away; until then no
device knows of them.
"""

from vmsim.mm.bio import bio_alloc
from vmsim.struct.costs import C_IO_ISSUE, C_IO_MERGE, C_IO_SUBMIT
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
    BIO_PLUGGED,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import BIO_PAGES, G_PAGE_SHIFT, SC_BIO_LAST, SC_NR_NEW_BIOS, SC_PLUG, SC_TASK, SC_UNPLUGGED
from vmsim.struct.ledger import L_IO
from vmsim.struct.reclaim import BLK_MAX_REQUEST_COUNT, S_PLUG, S_PLUGGED
from vmsim.struct.rules import R_PLUG_HOLDS_32, R_PLUG_HOLDS_ONE
from vmsim.struct.swaps import D_QUEUES, D_READS, D_WRITES, NR_REQUESTS
from vmsim.struct.vmstat import PGPGIN, PGPGOUT


@compiled
def blk_flush_plug(k, tid):
    """Start the requests that a task holds back, in their order (blk_flush_plug_list). They are handed over together."""
    s = k.scan[tid]
    count = s[S_PLUGGED]
    if count == 0:
        return
    for i in range(count):
        k.bio[s[S_PLUG + i], B_STATE] = BIO_NEW
    k.sc[SC_NR_NEW_BIOS] += count
    if k.sc[SC_UNPLUGGED] == 0:
        k.sc[SC_UNPLUGGED] = s[S_PLUG] + 1
    k.led[L_IO] += k.cost[C_IO_ISSUE]
    s[S_PLUGGED] = 0


@compiled
def _plug_holds(k, device):
    """Requests that a task holds back at most."""
    if k.rule[R_PLUG_HOLDS_ONE] != 0 and k.dev[device, D_QUEUES] > 1:
        return 1
    return BLK_MAX_REQUEST_COUNT if k.rule[R_PLUG_HOLDS_32] == 0 else 2 * BLK_MAX_REQUEST_COUNT


@compiled
def _submit_bio(k, device, write, block, waits):
    """A new request for one page of a device. Its row."""
    bio = bio_alloc(k)
    k.bio[bio, B_DEVICE] = device
    k.bio[bio, B_WRITE] = write
    k.bio[bio, B_BLOCK] = block
    k.bio[bio, B_ASYNC] = 0 if waits != 0 else 1
    k.bio[bio, B_TASK] = k.sc[SC_TASK]
    k.bio[bio, B_FILE] = 0
    k.bio[bio, B_INDEX] = bio * BIO_PAGES
    k.dev[device, D_WRITES if write != 0 else D_READS] += 1
    if k.sc[SC_PLUG] == 0:
        k.bio[bio, B_STATE] = BIO_NEW
        k.sc[SC_NR_NEW_BIOS] += 1
        k.sc[SC_BIO_LAST] = bio + 1
        k.led[L_IO] += k.cost[C_IO_SUBMIT]
        return bio
    s = k.scan[k.sc[SC_TASK]]
    k.bio[bio, B_STATE] = BIO_PLUGGED
    if s[S_PLUGGED] >= _plug_holds(k, device):
        blk_flush_plug(k, k.sc[SC_TASK])
    s[S_PLUG + s[S_PLUGGED]] = bio
    s[S_PLUGGED] += 1
    k.led[L_IO] += k.cost[C_IO_MERGE]
    return bio


@compiled
def _continues(k, bio, device, write, block):
    """Whether a page can join a request at its end."""
    row = k.bio[bio]
    return row[B_DEVICE] == device and row[B_WRITE] == write and row[B_BLOCK] + row[B_PAGES] == block and row[B_PAGES] < BIO_PAGES


@compiled
def _to_merge_with(k, device, write, block):
    """The request that a page joins, -1: none (blk_attempt_plug_merge)."""
    if k.sc[SC_PLUG] == 0:
        last = k.sc[SC_BIO_LAST] - 1
        if last >= 0 and k.bio[last, B_STATE] == BIO_NEW and k.bio[last, B_FILE] == 0 and _continues(k, last, device, write, block):
            return last
        return -1
    s = k.scan[k.sc[SC_TASK]]
    for i in range(s[S_PLUGGED] - 1, -1, -1):
        if _continues(k, s[S_PLUG + i], device, write, block):
            return s[S_PLUG + i]
    return -1


@compiled
def submit_page(k, device, write, block, pfn, waits):
    """Submit one frame's transfer: as a request, or as part of one that it continues."""
    bio = _to_merge_with(k, device, write, block)
    if bio >= 0:
        if waits != 0:
            k.bio[bio, B_ASYNC] = 0
        k.led[L_IO] += k.cost[C_IO_MERGE]
    else:
        bio = _submit_bio(k, device, write, block, waits)
    k.bio_page[k.bio[bio, B_INDEX] + k.bio[bio, B_PAGES]] = pfn
    k.bio[bio, B_PAGES] += 1
    k.vmstat[PGPGOUT if write != 0 else PGPGIN] += 1 << (k.geo[G_PAGE_SHIFT] - 10)


@compiled
def queue_full(k, device):
    """Whether a device's queue holds so many writes that who submits another one sleeps first (get_request)."""
    return k.dev[device, D_WRITES] >= NR_REQUESTS
