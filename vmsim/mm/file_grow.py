"""A file becomes longer: room in the page cache, and blocks on its device.   Follows fs/ext4 (mballoc.c) of v4.4 in outline.

Blocks are given out from the start of a device upwards, to each file in runs that grow with it, so that a file that grows alone
lies in one piece.  Model: a file has no holes; the gap before a write beyond its end gets blocks as well.
"""

from vmsim.mm.radix_tree import move_nodes, slots_end
from vmsim.mm.tags import is_tagged, tag_clear, tag_set
from vmsim.struct.bits import bit_length
from vmsim.struct.errno import ENOSPC
from vmsim.struct.files import (
    FI_BLOCK,
    FI_CACHE,
    FI_CAPACITY,
    FI_DEVICE,
    FI_EXTENT,
    FI_KIND,
    FI_LINEAR,
    FILE_REGULAR,
)
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_PCACHE_NEXT, SC_PCACHE_ROWS
from vmsim.struct.writeback import (
    BD_BLOCKS,
    BD_NEXT_BLOCK,
    DOM_EXTENT_NEXT,
    EX_BLOCK,
    EX_FIRST,
    EX_NEXT,
    EX_PAGES,
    EXTENT_ROWS,
    NR_TAGS,
)

_SMALLEST_RUN = 16  # pages
_LARGEST_RUN = 2048  # 8 MiB, the largest request of ext4's allocator that is rounded up


@compiled
def _move_slot(k, at, to):
    k.pcache[to] = k.pcache[at]
    k.pcache[at] = 0
    for tag in range(NR_TAGS):
        if is_tagged(k, tag, at):
            tag_clear(k, tag, at)
            tag_set(k, tag, to)


@compiled
def _more_slots(k, file, pages):
    """Room for `pages` pages in the page cache; False if there is none."""
    row = k.file[file]
    capacity = row[FI_CAPACITY]
    if pages <= capacity:
        return True
    wanted = max(pages, 2 * capacity)
    start = k.sc[SC_PCACHE_NEXT]
    last = slots_end(row[FI_CACHE], capacity) == start
    if last:
        start = row[FI_CACHE]
    if start + wanted > k.sc[SC_PCACHE_ROWS]:
        wanted = pages
        if start + wanted > k.sc[SC_PCACHE_ROWS]:
            return False
    if not last:
        for i in range(capacity):
            if k.pcache[row[FI_CACHE] + i] != 0:
                _move_slot(k, row[FI_CACHE] + i, start + i)
        move_nodes(k, row[FI_CACHE], start, capacity)
    row[FI_CACHE] = start
    row[FI_CAPACITY] = wanted
    k.sc[SC_PCACHE_NEXT] = slots_end(start, wanted)
    return True


@compiled
def blocks_end(k, file):
    """Pages of a file that have blocks."""
    extent = k.file[file, FI_EXTENT]
    return k.file[file, FI_LINEAR] if extent == 0 else k.extent[extent, EX_FIRST] + k.extent[extent, EX_PAGES]


@compiled
def _more_blocks(k, file, pages):
    """Blocks for the first `pages` pages; False if the device is full."""
    device = k.file[file, FI_DEVICE]
    end = blocks_end(k, file)
    if pages <= end:
        return True
    free = k.bdi[device, BD_BLOCKS] - k.bdi[device, BD_NEXT_BLOCK]
    run = max(pages - end, min(max(1 << bit_length(end), _SMALLEST_RUN), _LARGEST_RUN))
    if run > free:
        run = free
        if pages - end > free:
            return False
    block = k.bdi[device, BD_NEXT_BLOCK]
    if _append(k, file, end, block, run):
        k.bdi[device, BD_NEXT_BLOCK] += run
        return True
    return False


@compiled
def _append(k, file, end, block, run):
    extent = k.file[file, FI_EXTENT]
    if extent != 0 and k.extent[extent, EX_BLOCK] + k.extent[extent, EX_PAGES] == block:
        k.extent[extent, EX_PAGES] += run
        return True
    if extent == 0 and (end == 0 or k.file[file, FI_BLOCK] + end == block):
        if end == 0:
            k.file[file, FI_BLOCK] = block
        k.file[file, FI_LINEAR] += run
        return True
    new = k.domain[DOM_EXTENT_NEXT] + 1
    if new >= EXTENT_ROWS:
        return False
    k.domain[DOM_EXTENT_NEXT] = new
    k.extent[new, EX_FIRST] = end
    k.extent[new, EX_BLOCK] = block
    k.extent[new, EX_PAGES] = run
    k.extent[new, EX_NEXT] = extent
    k.file[file, FI_EXTENT] = new
    return True


@compiled
def ensure_room(k, file, pages):
    """Make sure that a file can have `pages` pages: 0 or -ENOSPC."""
    if k.file[file, FI_KIND] == FILE_REGULAR and not _more_blocks(k, file, pages):
        return -ENOSPC
    return 0 if _more_slots(k, file, pages) else -ENOSPC
