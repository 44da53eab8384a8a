"""Memory objects behind shared anonymous mappings and memfd_create(2), and counting who holds a file.   Follows mm/shmem.c of v4.4."""

from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.mm.radix_tree import entry_left, slots_end
from vmsim.mm.unmap import free_swap_and_cache
from vmsim.struct.errno import EBADF, EINVAL, ENOMEM
from vmsim.struct.files import (
    FD_OPEN_SHIFT,
    FI_CACHE,
    FI_CAPACITY,
    FI_COMMITTED,
    FI_DEVICE,
    FI_FAULT_AROUND,
    FI_INO,
    FI_KIND,
    FI_MAPCOUNT,
    FI_PREV_POS,
    FI_REFS,
    FI_SIZE,
    FILE_COLUMNS,
    FILE_MEMFD,
    FILE_REGULAR,
    FILE_SHARED_ANON,
    FILE_TMPFS,
    FMODE_READ,
    FMODE_WRITE,
    PCACHE_SWAP,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_COMMITTED, SC_FILE_NEXT, SC_FILE_ROWS, SC_INO_NEXT, SC_PCACHE_NEXT, SC_PCACHE_ROWS
from vmsim.struct.rules import R_MEMFD_EXEC_FLAGS

MFD_CLOEXEC = 1
MFD_ALLOW_SEALING = 2
MFD_NOEXEC_SEAL = 8
MFD_EXEC = 0x10


@compiled
def file_of(fd):
    """The file that a descriptor stands for."""
    return (fd >> 2) & ((1 << (FD_OPEN_SHIFT - 2)) - 1)


@compiled
def is_open(k, fd):
    """Whether a number is an open descriptor."""
    file = file_of(fd)
    return fd >= 4 and file < k.sc[SC_FILE_ROWS] and k.file[file, FI_REFS] > 0


@compiled
def memory_file(k, pages, kind):
    """A new memory object of so many pages, not yet held by anyone; 0 if there is no room for it or its page cache."""
    if pages > k.sc[SC_PCACHE_ROWS] - k.sc[SC_PCACHE_NEXT]:
        return 0
    file = 1
    while file <= k.sc[SC_FILE_NEXT] and k.file[file, FI_REFS] + k.file[file, FI_MAPCOUNT] != 0:
        file += 1
    if file >= k.sc[SC_FILE_ROWS]:
        return 0
    k.sc[SC_FILE_NEXT] = max(k.sc[SC_FILE_NEXT], file)
    for column in range(FILE_COLUMNS):
        k.file[file, column] = 0
    k.file[file, FI_SIZE] = pages << k.geo[G_PAGE_SHIFT]
    k.file[file, FI_DEVICE] = -1
    k.file[file, FI_CACHE] = k.sc[SC_PCACHE_NEXT]
    k.file[file, FI_CAPACITY] = pages
    k.sc[SC_PCACHE_NEXT] = slots_end(k.sc[SC_PCACHE_NEXT], pages)
    k.file[file, FI_KIND] = kind
    k.file[file, FI_FAULT_AROUND] = 1
    k.file[file, FI_PREV_POS] = -1
    k.sc[SC_INO_NEXT] += 1
    k.file[file, FI_INO] = k.sc[SC_INO_NEXT]
    return file


@compiled
def shared_anon_file(k, pages):
    """A new object of so many pages for a shared anonymous mapping (shmem_zero_setup); 0 if there is no room for it."""
    return memory_file(k, pages, FILE_SHARED_ANON)


@compiled
def sys_memfd_create(k, flags):
    """memfd_create(2): a descriptor of a new, empty memory file. Model: seals have no effect, MFD_HUGETLB is not known."""
    known = MFD_CLOEXEC | MFD_ALLOW_SEALING
    if k.rule[R_MEMFD_EXEC_FLAGS] != 0:
        known |= MFD_NOEXEC_SEAL | MFD_EXEC
    if flags & ~known != 0 or flags & (MFD_NOEXEC_SEAL | MFD_EXEC) == MFD_NOEXEC_SEAL | MFD_EXEC:
        return -EINVAL
    file = memory_file(k, 0, FILE_MEMFD)
    if file == 0:
        return -ENOMEM
    k.file[file, FI_REFS] = 1
    return file << 2 | FMODE_READ | FMODE_WRITE


@compiled
def sys_close(k, fd):
    """close(2): a memory file that nothing maps or holds any more goes with its last descriptor."""
    if not is_open(k, fd):
        return -EBADF
    file = file_of(fd)
    k.file[file, FI_REFS] -= 1
    file_put(k, file)
    return 0


@compiled
def shmem_free_swap(k, file, pgoff):
    """Empty a slot of a file's cache that holds no page: the swap entry that it names is given back, a shadow is forgotten."""
    slot = k.file[file, FI_CACHE] + pgoff
    entry = k.pcache[slot]
    k.pcache[slot] = 0
    entry_left(k, file, pgoff)
    if entry < PCACHE_SWAP // 2:
        free_swap_and_cache(k, entry - PCACHE_SWAP)


@compiled
def file_put(k, file):
    """A VMA or descriptor of a file is gone; with the last holder of an object without a name its pages go too."""
    kind = k.file[file, FI_KIND]
    if file == 0 or kind == FILE_REGULAR or kind == FILE_TMPFS or k.file[file, FI_MAPCOUNT] + k.file[file, FI_REFS] > 0:
        return
    slot = k.file[file, FI_CACHE]
    for i in range(k.file[file, FI_CAPACITY]):
        if k.pcache[slot + i] > 0:
            delete_from_page_cache(k, file, i)
        elif k.pcache[slot + i] < 0:
            shmem_free_swap(k, file, i)
    k.sc[SC_COMMITTED] -= k.file[file, FI_COMMITTED]
    k.file[file, FI_COMMITTED] = 0
    if slots_end(slot, k.file[file, FI_CAPACITY]) == k.sc[SC_PCACHE_NEXT]:
        k.sc[SC_PCACHE_NEXT] = slot
    k.file[file, FI_CAPACITY] = 0
