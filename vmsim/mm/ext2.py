"""Where ext2 keeps the places of a file's blocks: reading those too.   Follows fs/ext2/inode.c (ext2_get_blocks) and fs/buffer.c of v4.4.

Blocks are pages here. The inode has the places of 12 blocks; an indirect block has those of 1024 more (pages of 4 KiB), and they
hang on doubly and triply indirect ones. They are pages of the device's own page cache, which the reader of a page needs first.
Model: that cache is a file of its own for each file, and the read of the data does not wait for it. ext4 needs no such blocks here,
as its files lie in few pieces.
"""

from vmsim.mm.bio import READ_WAITED, submit_bio
from vmsim.mm.page_alloc_slow import alloc_page_noretry
from vmsim.mm.pagecache import add_to_page_cache_lru
from vmsim.mm.swap import mark_page_accessed
from vmsim.struct.files import FI_CACHE, FI_LINEAR, FI_META
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.pages import P_FLAGS, PG_LOCKED, PG_REFERENCED

DIRECT = 12  # EXT2_NDIR_BLOCKS
PLACE_BYTES = 4


def indirect_blocks(pages: int, page_size: int) -> tuple[int, int, int]:
    """How many simply, doubly and triply indirect blocks a file of so many pages has."""
    per = page_size // PLACE_BYTES
    single = -(-max(pages - DIRECT, 0) // per)
    double = -(-max(single - 1, 0) // per)
    return single, double, -(-max(double - 1, 0) // per)


@compiled
def _bread(k, tid, meta, index):
    """Use one such block, read it if it is not cached; a new page is used twice at once and thus active (sb_bread)."""
    pfn = k.pcache[k.file[meta, FI_CACHE] + index]
    if pfn <= 0:
        pfn = alloc_page_noretry(k, False)
        if pfn == 0:
            return
        k.frame[pfn, P_FLAGS] |= PG_LOCKED | PG_REFERENCED
        add_to_page_cache_lru(k, meta, index, pfn)
        submit_bio(k, tid, meta, index, 1, READ_WAITED)
    mark_page_accessed(k, pfn)


@compiled
def map_blocks(k, tid, file, pgoff, pages):
    """The blocks that say where the pages [pgoff, pgoff + pages) of a file lie are used, from the top of their tree down."""
    meta = k.file[file, FI_META]
    if meta == 0:
        return
    per = (1 << k.geo[G_PAGE_SHIFT]) // PLACE_BYTES
    total = k.file[file, FI_LINEAR]
    singles = (max(total - DIRECT, 0) + per - 1) // per
    doubles = (max(singles - 1, 0) + per - 1) // per
    at = max(pgoff, DIRECT)
    while at < pgoff + pages:
        single = (at - DIRECT) // per
        if single > 0:
            double = (single - 1) // per
            if double > 0:
                _bread(k, tid, meta, singles + doubles + (double - 1) // per)
            _bread(k, tid, meta, singles + double)
        _bread(k, tid, meta, single)
        at = DIRECT + (single + 1) * per
