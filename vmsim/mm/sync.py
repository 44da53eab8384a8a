"""fsync(2), fdatasync(2), sync_file_range(2), sync(2), and the part of msync(2) that waits.   Follows mm/filemap.c and fs/sync.c of v4.4.

A synchronous write of a file tags the pages that are dirty, writes them, and waits until they and all others are written.
"""

from vmsim.mm.filemap_read import file_with
from vmsim.mm.page_writeback import (
    WB_DONE,
    WB_WAITS,
    tag_pages_for_writeback,
    wait_on_page_writeback,
    write_cache_pages,
)
from vmsim.mm.tags import tag_next
from vmsim.struct.errno import EINVAL, EIO, EWAIT
from vmsim.struct.files import (
    FI_CACHE,
    FI_CAPACITY,
    FI_KIND,
    FI_NRDIRTY,
    FI_NRWRITEBACK,
    FI_WB_ERROR,
    FILE_REGULAR,
    FMODE_READ,
    FMODE_WRITE,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_FILE_NEXT
from vmsim.struct.tasks import T_STAGE, T_SYNC, T_SYNC_FILE, T_WAIT, T_WB_END, T_WB_INDEX, T_WB_LEFT, WAIT_NONE
from vmsim.struct.writeback import TAG_DIRTY, TAG_TOWRITE, TAG_WRITEBACK

SYNC_FILE_RANGE_WAIT_BEFORE = 1
SYNC_FILE_RANGE_WRITE = 2
SYNC_FILE_RANGE_WAIT_AFTER = 4

# T_SYNC: how far a synchronous write has come.
SYNC_NOT_BEGUN = 0
SYNC_BEFORE = 1
SYNC_WRITING = 2
SYNC_AFTER = 3

_ALL = 1 << 60  # pages


@compiled
def _wait_range(k, tid, file):
    """Wait for the pages from T_WB_INDEX to T_WB_END that are being written: 0 when there are none left (filemap_fdatawait_range)."""
    task = k.task[tid]
    base = k.file[file, FI_CACHE]
    slot = tag_next(k, TAG_WRITEBACK, base + task[T_WB_INDEX], base + task[T_WB_END])
    if slot < 0:
        return 0
    task[T_WB_INDEX] = slot - base
    wait_on_page_writeback(k, tid, k.pcache[slot])
    return -EWAIT


@compiled
def _enter(k, tid, stage, first, end):
    task = k.task[tid]
    task[T_SYNC] = stage
    task[T_WB_INDEX] = first
    task[T_WB_END] = end
    task[T_WB_LEFT] = _ALL


@compiled
def sync_range(k, tid, file, first, end, what):
    """Write and wait for the pages [first, end) of a file as the bits of sync_file_range say: 0, -EIO or -EWAIT.

    With all three bits it is filemap_write_and_wait_range; pages dirtied meanwhile are left out.
    """
    task = k.task[tid]
    end = min(end, k.file[file, FI_CAPACITY])
    if first >= end:
        return 0
    if task[T_SYNC] == SYNC_NOT_BEGUN:
        _enter(k, tid, SYNC_BEFORE, first, end)
    if task[T_SYNC] == SYNC_BEFORE:
        if what & SYNC_FILE_RANGE_WAIT_BEFORE != 0 and what & SYNC_FILE_RANGE_WAIT_AFTER == 0 and _wait_range(k, tid, file) != 0:
            return -EWAIT
        _enter(k, tid, SYNC_WRITING, first, end)
        if what & SYNC_FILE_RANGE_WRITE != 0 and what & SYNC_FILE_RANGE_WAIT_AFTER != 0:
            tag_pages_for_writeback(k, file, first, end)
    if task[T_SYNC] == SYNC_WRITING:
        if what & SYNC_FILE_RANGE_WRITE != 0:
            tag = TAG_TOWRITE if what & SYNC_FILE_RANGE_WAIT_AFTER != 0 else TAG_DIRTY
            result = write_cache_pages(k, tid, file, tag)
            if result != WB_DONE:
                if result != WB_WAITS:
                    task[T_WAIT] = WAIT_NONE
                return -EWAIT
        _enter(k, tid, SYNC_AFTER, first, end)
    if what & SYNC_FILE_RANGE_WAIT_AFTER != 0 and _wait_range(k, tid, file) != 0:
        return -EWAIT
    task[T_SYNC] = SYNC_NOT_BEGUN
    if what & (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WAIT_AFTER) != 0 and k.file[file, FI_WB_ERROR] != 0:
        k.file[file, FI_WB_ERROR] = 0
        return -EIO
    return 0


_WRITE_AND_WAIT = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER


@compiled
def vfs_fsync_range(k, tid, file, first, end):
    """Write the pages [first, end) of a file and wait for them: 0, -EIO or -EWAIT. Model: there is no metadata to write."""
    if k.file[file, FI_KIND] != FILE_REGULAR:
        return 0
    return sync_range(k, tid, file, first, end, _WRITE_AND_WAIT)


@compiled
def sys_fsync(k, tid, fd):
    """fsync(2) and fdatasync(2)."""
    file = file_with(k, fd, FMODE_READ | FMODE_WRITE)
    if file < 0:
        return file
    return vfs_fsync_range(k, tid, file, 0, _ALL)


@compiled
def sys_sync_file_range(k, tid, fd, offset, length, flags):
    """sync_file_range(2): wait, start writing, wait, as the flags say; `length` 0 is all that follows."""
    if k.task[tid, T_STAGE] == 0:
        k.task[tid, T_SYNC] = SYNC_NOT_BEGUN
    if flags & ~_WRITE_AND_WAIT != 0 or offset < 0 or length < 0:
        return -EINVAL
    file = file_with(k, fd, FMODE_READ | FMODE_WRITE)
    if file < 0 or k.file[file, FI_KIND] != FILE_REGULAR:
        return file if file < 0 else 0
    shift = k.geo[G_PAGE_SHIFT]
    end = (offset + length + (1 << shift) - 1) >> shift if length != 0 else _ALL
    return sync_range(k, tid, file, offset >> shift, end, flags)


@compiled
def sys_sync(k, tid):
    """sync(2): write all dirty pages of all files and wait. Model: the caller writes, file by file, where the kernel lets the flushers."""
    task = k.task[tid]
    while task[T_SYNC_FILE] <= k.sc[SC_FILE_NEXT]:
        file = task[T_SYNC_FILE]
        busy = k.file[file, FI_NRDIRTY] + k.file[file, FI_NRWRITEBACK] > 0 or task[T_SYNC] != SYNC_NOT_BEGUN
        if busy and vfs_fsync_range(k, tid, file, 0, _ALL) == -EWAIT:
            return -EWAIT
        task[T_SYNC_FILE] += 1
    task[T_SYNC_FILE] = 0
    return 0
