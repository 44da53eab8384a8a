"""ftruncate(2) and fallocate(2).   Follows fs/open.c, mm/shmem.c (shmem_setattr, shmem_fallocate) and mm/truncate.c of v4.4."""

from vmsim.mm.file_grow import ensure_room
from vmsim.mm.shmem import SHMEM_WAIT, shmem_getpage
from vmsim.mm.shmem_file import file_of, is_open
from vmsim.mm.truncate import punch_hole, truncate_inode_pages_range, unmap_mapping_range
from vmsim.struct.errno import EBADF, EFBIG, EINVAL, ENOSPC, EOPNOTSUPP, EWAIT
from vmsim.struct.files import FI_CACHE, FI_KIND, FI_SIZE, FILE_REGULAR, FMODE_WRITE
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.pages import P_FLAGS, PG_UPTODATE
from vmsim.struct.tasks import T_STAGE

FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2

_EVER = 1 << 52  # pages: beyond the end of any file


@compiled
def sys_ftruncate(k, tid, fd, length):
    """ftruncate(2): shrinking takes the pages behind the new end away from all who map them, private copies too."""
    if length < 0:
        return -EINVAL
    if not is_open(k, fd):
        return -EBADF
    if fd & FMODE_WRITE == 0:
        return -EINVAL
    file = file_of(fd)
    shift = k.geo[G_PAGE_SHIFT]
    pages = ((length - 1) >> shift) + 1
    if ensure_room(k, file, pages) != 0:
        return -EFBIG  # Model: a file has at most as many pages as the page cache has room for
    if length < k.file[file, FI_SIZE] or k.task[tid, T_STAGE] != 0:
        k.file[file, FI_SIZE] = length
        unmap_mapping_range(k, file, pages, _EVER, 1)
        return truncate_inode_pages_range(k, tid, file, pages, _EVER)
    k.file[file, FI_SIZE] = length
    return 0


@compiled
def sys_fallocate(k, tid, fd, mode, offset, length):
    """fallocate(2): give a range of a file its pages, or take them (PUNCH_HOLE, which goes with KEEP_SIZE)."""
    if offset < 0 or length <= 0:
        return -EINVAL if is_open(k, fd) else -EBADF
    if not is_open(k, fd):
        return -EBADF
    if mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) != 0 or mode == FALLOC_FL_PUNCH_HOLE:
        return -EOPNOTSUPP
    if fd & FMODE_WRITE == 0:
        return -EBADF
    if length > (1 << 62) or offset > (1 << 62):
        return -EFBIG
    file = file_of(fd)
    shift = k.geo[G_PAGE_SHIFT]
    if mode & FALLOC_FL_PUNCH_HOLE != 0:
        return punch_hole(k, tid, file, ((offset - 1) >> shift) + 1, (offset + length) >> shift)
    if ensure_room(k, file, ((offset + length - 1) >> shift) + 1) != 0:
        return -ENOSPC
    if k.file[file, FI_KIND] != FILE_REGULAR:
        for pgoff in range(offset >> shift, ((offset + length - 1) >> shift) + 1):
            absent = k.pcache[k.file[file, FI_CACHE] + pgoff] == 0
            pfn = shmem_getpage(k, file, pgoff)
            if pfn == SHMEM_WAIT:
                k.task[tid, T_STAGE] = 1
                return -EWAIT
            if pfn <= 0:
                return -ENOSPC
            if absent:
                k.frame[pfn, P_FLAGS] &= ~PG_UPTODATE  # until it is used: nothing maps it ahead of that (SGP_FALLOC)
    if mode & FALLOC_FL_KEEP_SIZE == 0:
        k.file[file, FI_SIZE] = max(k.file[file, FI_SIZE], offset + length)
    return 0
