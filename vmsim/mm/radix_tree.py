"""The nodes of the page cache's trees take memory of their own.   Follows lib/radix-tree.c of v4.4 in outline.

A node holds the slots of 64 pages and lives as long as one of them holds a page, a shadow or a swap entry; it comes from a slab, 7 to a
page of 4 KiB on 64-bit machines (28 to a slab of four pages).  Model: only the lowest nodes are counted (the others are a 64th of them),
slabs are filled without gaps, and no shrinker takes
nodes that hold only shadows (4.4's does once these are more than a 16th of the node's pages).
"""

from vmsim.mm.page_alloc import any_free_page, free_page
from vmsim.struct.files import FI_CACHE, FI_CAPACITY
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import G_PAGE_SHIFT, G_TASK_PAGES, SC_NODE_PAGES
from vmsim.struct.pages import P_FLAGS, P_INDEX, PG_INUSE, PG_RESERVED
from vmsim.struct.reclaim import N_RADIX_NODES
from vmsim.struct.vmstat import NR_SLAB_RECLAIMABLE

NODE_SLOTS = 64  # RADIX_TREE_MAP_SIZE
_NODE_BYTES = 576  # of a radix_tree_node with 64-bit pointers
_NODE_BYTES_32 = 296


@compiled
def nodes_in_a_page(k):
    """Nodes that a page of a slab holds."""
    wide = k.geo[G_TASK_PAGES] << k.geo[G_PAGE_SHIFT] > 1 << 32
    return (1 << k.geo[G_PAGE_SHIFT]) // (_NODE_BYTES if wide else _NODE_BYTES_32)


@compiled
def _others(k, file, pgoff):
    """Whether another slot of a page's node is in use."""
    cache = k.file[file, FI_CACHE]
    first = pgoff & ~(NODE_SLOTS - 1)
    for at in range(pgoff - 1, first - 1, -1):
        if k.pcache[cache + at] != 0:
            return True
    for at in range(pgoff + 1, min(first + NODE_SLOTS, k.file[file, FI_CAPACITY])):
        if k.pcache[cache + at] != 0:
            return True
    return False


@compiled
def _resize_slab(k):
    """Take pages for the nodes in use, or give back those that are no longer needed."""
    per = nodes_in_a_page(k)
    need = (k.node[N_RADIX_NODES] + per - 1) // per
    while k.vmstat[NR_SLAB_RECLAIMABLE] < need:
        pfn = any_free_page(k)
        if pfn == 0:
            return
        k.frame[pfn, P_FLAGS] |= PG_RESERVED
        k.frame[pfn, P_INDEX] = k.sc[SC_NODE_PAGES]
        k.sc[SC_NODE_PAGES] = pfn
        k.vmstat[NR_SLAB_RECLAIMABLE] += 1
    while k.vmstat[NR_SLAB_RECLAIMABLE] > need:
        pfn = k.sc[SC_NODE_PAGES]
        k.sc[SC_NODE_PAGES] = k.frame[pfn, P_INDEX]
        k.frame[pfn, P_FLAGS] = PG_INUSE
        k.vmstat[NR_SLAB_RECLAIMABLE] -= 1
        free_page(k, pfn)


@compiled
def slot_filled(k, file, pgoff):
    """A slot of a file's cache that was empty is in use: its node may be new."""
    if not _others(k, file, pgoff):
        k.node[N_RADIX_NODES] += 1
        _resize_slab(k)


@compiled
def slot_emptied(k, file, pgoff):
    """A slot of a file's cache is empty: its node may be free."""
    if not _others(k, file, pgoff):
        k.node[N_RADIX_NODES] -= 1
        _resize_slab(k)
