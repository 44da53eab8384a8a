"""posix_fadvise(2), readahead(2) and lseek(2).   Follows mm/fadvise.c and mm/readahead.c of v4.4 (A.14)."""

from vmsim.mm.filemap_read import file_with
from vmsim.mm.readahead import force_page_cache_readahead
from vmsim.mm.swap import lru_add_drain_all
from vmsim.mm.sync import SYNC_FILE_RANGE_WRITE, SYNC_NOT_BEGUN, sync_range
from vmsim.mm.truncate import invalidate_mapping_pages
from vmsim.struct.errno import EINVAL, EWAIT
from vmsim.struct.files import (
    FI_BDI_RA,
    FI_CAPACITY,
    FI_DEVICE,
    FI_KIND,
    FI_POS,
    FI_RA_PAGES,
    FI_RANDOM,
    FI_SIZE,
    FILE_REGULAR,
    FMODE_READ,
    FMODE_WRITE,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.swaps import D_WRITES
from vmsim.struct.tasks import T_STAGE, T_SYNC

FADV_NORMAL = 0
FADV_RANDOM = 1
FADV_SEQUENTIAL = 2
FADV_WILLNEED = 3
FADV_DONTNEED = 4
FADV_NOREUSE = 5

SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2

CONGESTED = 113  # of 128 requests (blk_queue_congestion_threshold)
_END = (1 << 62) - 1  # beyond any file


@compiled
def sys_fadvise(k, tid, fd, offset, length, advice):
    """posix_fadvise(2): how a file will be read, or what of it to read or to drop now. `length` 0 is all that follows."""
    file = file_with(k, fd, FMODE_READ | FMODE_WRITE)
    if file < 0:
        return file
    if length < 0 or advice < FADV_NORMAL or advice > FADV_NOREUSE:
        return -EINVAL
    last = offset + length - 1 if length != 0 and offset + length <= _END else _END
    row = k.file[file]
    if row[FI_KIND] != FILE_REGULAR:
        return 0
    if advice == FADV_NORMAL or advice == FADV_SEQUENTIAL:
        row[FI_RA_PAGES] = row[FI_BDI_RA] * (2 if advice == FADV_SEQUENTIAL else 1)
        row[FI_RANDOM] = 0
    elif advice == FADV_RANDOM:
        row[FI_RANDOM] = 1
    elif advice == FADV_WILLNEED:
        shift = k.geo[G_PAGE_SHIFT]
        force_page_cache_readahead(k, tid, file, offset >> shift, (last >> shift) - (offset >> shift) + 1, 1)
    elif advice == FADV_DONTNEED:
        return _dontneed(k, tid, file, offset, last)
    return 0


@compiled
def _dontneed(k, tid, file, offset, last):
    """Start writing what is dirty of the range if the device's queue has room; then drop its whole pages that are clean and unmapped."""
    shift = k.geo[G_PAGE_SHIFT]
    first = (offset + (1 << shift) - 1) >> shift
    if k.task[tid, T_STAGE] == 0:
        k.task[tid, T_SYNC] = SYNC_NOT_BEGUN
    if k.task[tid, T_SYNC] != SYNC_NOT_BEGUN or k.dev[k.file[file, FI_DEVICE], D_WRITES] < CONGESTED:
        end = min(last >> shift, k.file[file, FI_CAPACITY]) + 1
        if sync_range(k, tid, file, offset >> shift, end, SYNC_FILE_RANGE_WRITE) == -EWAIT:
            return -EWAIT
    end = k.file[file, FI_CAPACITY] if last == _END else (last + 1) >> shift
    if end > first:
        if invalidate_mapping_pages(k, file, first, end - 1) < end - first:
            lru_add_drain_all(k)
            invalidate_mapping_pages(k, file, first, end - 1)
    return 0


@compiled
def sys_readahead(k, tid, fd, offset, count):
    """readahead(2): start reading a range of a file, at most one window of the device (4.4)."""
    file = file_with(k, fd, FMODE_READ)
    if file < 0:
        return file
    if k.file[file, FI_KIND] != FILE_REGULAR:
        return -EINVAL
    if count > 0:
        shift = k.geo[G_PAGE_SHIFT]
        first = offset >> shift
        force_page_cache_readahead(k, tid, file, first, ((offset + count - 1) >> shift) - first + 1, 1)
    return 0


@compiled
def sys_lseek(k, fd, offset, whence):
    """lseek(2): move the position of a file; the new one, or -errno."""
    file = file_with(k, fd, FMODE_READ | FMODE_WRITE)
    if file < 0:
        return file
    if whence == SEEK_CUR:
        offset += k.file[file, FI_POS]
    elif whence == SEEK_END:
        offset += k.file[file, FI_SIZE]
    elif whence != SEEK_SET:
        return -EINVAL
    if offset < 0:
        return -EINVAL
    k.file[file, FI_POS] = offset
    return offset
