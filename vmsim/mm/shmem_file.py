"""Memory objects behind shared anonymous mappings, and counting who holds a file."""

from vmsim.mm.pagecache import delete_from_page_cache
from vmsim.struct.files import (
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
    FILE_SHARED_ANON,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, SC_COMMITTED, SC_FILE_NEXT, SC_INO_NEXT, SC_PCACHE_NEXT, SC_PCACHE_ROWS


@compiled
def shared_anon_file(k, pages):
    """A new object of so many pages for a shared anonymous mapping, not yet held by anyone; 0 if there is no room for its page cache."""
    if pages > k.sc[SC_PCACHE_ROWS] - k.sc[SC_PCACHE_NEXT]:
        return 0
    file = 1
    while file <= k.sc[SC_FILE_NEXT] and k.file[file, FI_REFS] + k.file[file, FI_MAPCOUNT] != 0:
        file += 1
    k.sc[SC_FILE_NEXT] = max(k.sc[SC_FILE_NEXT], file)
    for column in range(FILE_COLUMNS):
        k.file[file, column] = 0
    k.file[file, FI_SIZE] = pages << k.geo[G_PAGE_SHIFT]
    k.file[file, FI_DEVICE] = -1
    k.file[file, FI_CACHE] = k.sc[SC_PCACHE_NEXT]
    k.file[file, FI_CAPACITY] = pages
    k.sc[SC_PCACHE_NEXT] += pages
    k.file[file, FI_KIND] = FILE_SHARED_ANON
    k.file[file, FI_FAULT_AROUND] = 1
    k.file[file, FI_PREV_POS] = -1
    k.sc[SC_INO_NEXT] += 1
    k.file[file, FI_INO] = k.sc[SC_INO_NEXT]
    return file


@compiled
def file_put(k, file):
    """A VMA of a file is gone; with the last holder of a shared anonymous object its pages go too."""
    if file == 0 or k.file[file, FI_KIND] != FILE_SHARED_ANON or k.file[file, FI_MAPCOUNT] + k.file[file, FI_REFS] > 0:
        return
    slot = k.file[file, FI_CACHE]
    for i in range(k.file[file, FI_CAPACITY]):
        if k.pcache[slot + i] > 0:
            delete_from_page_cache(k, file, i)
    k.sc[SC_COMMITTED] -= k.file[file, FI_COMMITTED]
    k.file[file, FI_COMMITTED] = 0
    if slot + k.file[file, FI_CAPACITY] == k.sc[SC_PCACHE_NEXT]:
        k.sc[SC_PCACHE_NEXT] = slot
    k.file[file, FI_CAPACITY] = 0
