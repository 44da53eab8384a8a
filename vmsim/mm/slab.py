"""Slab caches: objects of a kind in pages of their own.   Follows mm/slub.c of v4.4 in outline.

Sizes and objects a slab are those of /proc/slabinfo on x86-64: dentry 192 bytes, 21 to a page; ext4_inode_cache 1072 bytes, 30 to a slab of
eight pages; radix_tree_node 576 bytes, 7 to a page (28 to a slab of four).  With 32-bit pointers (Model: as built) 128, 752 and 296 bytes.
Model: slabs are filled without gaps, and what is freed one after the other lay together, so a slab comes free with each 21, 30 or 7
objects; in the kernel one object that stays keeps its slab.  A slab's pages need not lie side by side.
"""

from vmsim.mm.page_alloc import any_free_page, free_page
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, G_TASK_PAGES
from vmsim.struct.pages import P_FLAGS, P_INDEX, PG_INUSE, PG_RESERVED
from vmsim.struct.slab import SL_FIRST, SL_OBJECTS, SL_PAGES, SLAB_DENTRIES, SLAB_INODES
from vmsim.struct.vmstat import NR_SLAB_RECLAIMABLE

_NODE_BYTES = 576  # of a radix_tree_node with 64-bit pointers
_NODE_BYTES_32 = 296
_DENTRY_BYTES = 192
_DENTRY_BYTES_32 = 128
_INODE_BYTES = 1072
_INODE_BYTES_32 = 752
_INODE_SLAB = 32768  # bytes


@compiled
def _object_bytes(k, cache):
    wide = k.geo[G_TASK_PAGES] << k.geo[G_PAGE_SHIFT] > 1 << 32
    if cache == SLAB_DENTRIES:
        return _DENTRY_BYTES if wide else _DENTRY_BYTES_32
    if cache == SLAB_INODES:
        return _INODE_BYTES if wide else _INODE_BYTES_32
    return _NODE_BYTES if wide else _NODE_BYTES_32


@compiled
def slab_pages(k, cache):
    """Pages that the objects of a cache need."""
    shift = k.geo[G_PAGE_SHIFT]
    pages = max(1, _INODE_SLAB >> shift) if cache == SLAB_INODES else 1
    per = (pages << shift) // _object_bytes(k, cache)
    return (k.slab[cache, SL_OBJECTS] + per - 1) // per * pages


@compiled
def slab_resize(k, cache):
    """Take pages for the objects of a cache, or give back those that are no longer needed; whether it has all that it needs."""
    row = k.slab[cache]
    need = slab_pages(k, cache)
    while row[SL_PAGES] < need:
        pfn = any_free_page(k)
        if pfn == 0:
            return False
        k.frame[pfn, P_FLAGS] |= PG_RESERVED
        k.frame[pfn, P_INDEX] = row[SL_FIRST]
        row[SL_FIRST] = pfn
        row[SL_PAGES] += 1
        k.vmstat[NR_SLAB_RECLAIMABLE] += 1
    while row[SL_PAGES] > need:
        pfn = row[SL_FIRST]
        row[SL_FIRST] = k.frame[pfn, P_INDEX]
        k.frame[pfn, P_FLAGS] = PG_INUSE
        row[SL_PAGES] -= 1
        k.vmstat[NR_SLAB_RECLAIMABLE] -= 1
        free_page(k, pfn)
    return True
