"""posix_fadvise(2), readahead(2) and lseek(2).   Follows mm/fadvise.c and mm/readahead.c of v4.4 (A.14)."""

from vmsim.mm.filemap_read import FD_READ, FD_WRITE, file_of
from vmsim.mm.readahead import force_page_cache_readahead
from vmsim.mm.truncate import invalidate_mapping_pages
from vmsim.struct.errno import EINVAL
from vmsim.struct.files import FI_BDI_RA, FI_CAPACITY, FI_KIND, FI_POS, FI_RA_PAGES, FI_RANDOM, FI_SIZE, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT

FADV_NORMAL = 0
FADV_RANDOM = 1
FADV_SEQUENTIAL = 2
FADV_WILLNEED = 3
FADV_DONTNEED = 4
FADV_NOREUSE = 5

SEEK_SET = 0
SEEK_CUR = 1
SEEK_END = 2

_END = (1 << 62) - 1  # beyond any file


@compiled
def sys_fadvise(k, tid, fd, offset, length, advice):
    """posix_fadvise(2): how a file will be read, or what of it to read or to drop now. `length` 0 is all that follows."""
    file = file_of(k, fd, FD_READ | FD_WRITE)
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
        _dontneed(k, file, offset, last)
    return 0


@compiled
def _dontneed(k, file, offset, last):
    """Drop the whole pages of the range that are clean and unmapped; parts of pages stay."""
    shift = k.geo[G_PAGE_SHIFT]
    first = (offset + (1 << shift) - 1) >> shift
    end = k.file[file, FI_CAPACITY] if last == _END else (last + 1) >> shift
    if end > first:
        invalidate_mapping_pages(k, file, first, end - 1)


@compiled
def sys_readahead(k, tid, fd, offset, count):
    """readahead(2): start reading a range of a file, at most one window of the device (4.4)."""
    file = file_of(k, fd, FD_READ)
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
    file = file_of(k, fd, FD_READ | FD_WRITE)
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
