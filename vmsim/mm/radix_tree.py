"""The nodes of the page cache's trees take memory of their own.   Follows lib/radix-tree.c and mm/filemap.c (page_cache_tree_insert,
page_cache_tree_delete) of v4.4 in outline.

A node holds the slots of 64 pages and lives as long as one of them holds a page, a shadow or a swap entry; it comes from a slab.  One of a
regular file that holds shadows only is on a list, from which a shrinker takes it (mm/workingset.c).  Model: only the lowest nodes are
counted (the others are a 64th of them).
"""

from vmsim.mm.slab import slab_resize
from vmsim.struct.files import FI_CACHE, FI_KIND, FILE_REGULAR, NODE_SHIFT, NODE_SLOTS
from vmsim.struct.jit import compiled
from vmsim.struct.reclaim import N_SHADOW_NODES
from vmsim.struct.slab import SL_OBJECTS, SLAB_NODES, XN_COUNT, XN_LISTED, XN_NEXT, XN_PAGES, XN_PREV, XNODE_COLUMNS


@compiled
def _node_of(k, file, pgoff):
    """The row of a page's node."""
    return (k.file[file, FI_CACHE] >> NODE_SHIFT) + (pgoff >> NODE_SHIFT) + 1


@compiled
def slots_end(start, slots):
    """Where the slots of the next file begin (next_slots): no node is that of two files."""
    return (start + slots + NODE_SLOTS - 1) & ~(NODE_SLOTS - 1)


@compiled
def _list_add(k, node):
    """A node joins the end of the list of those without pages (list_lru_add)."""
    last = k.xnode[0, XN_PREV]
    k.xnode[node, XN_PREV] = last
    k.xnode[node, XN_NEXT] = 0
    k.xnode[node, XN_LISTED] = 1
    k.xnode[last, XN_NEXT] = node
    k.xnode[0, XN_PREV] = node
    k.node[N_SHADOW_NODES] += 1


@compiled
def _list_del(k, node):
    k.xnode[k.xnode[node, XN_PREV], XN_NEXT] = k.xnode[node, XN_NEXT]
    k.xnode[k.xnode[node, XN_NEXT], XN_PREV] = k.xnode[node, XN_PREV]
    k.xnode[node, XN_LISTED] = 0
    k.node[N_SHADOW_NODES] -= 1


@compiled
def _node_free(k, node):
    if k.xnode[node, XN_LISTED] != 0:
        _list_del(k, node)
    k.slab[SLAB_NODES, SL_OBJECTS] -= 1
    slab_resize(k, SLAB_NODES)


@compiled
def page_entered(k, file, pgoff, before):
    """A slot of a file's cache gets a page; it held `before`: nothing (0), a shadow or a swap entry."""
    node = _node_of(k, file, pgoff)
    k.xnode[node, XN_PAGES] += 1
    if k.xnode[node, XN_LISTED] != 0:
        _list_del(k, node)
    if before == 0:
        k.xnode[node, XN_COUNT] += 1
        if k.xnode[node, XN_COUNT] == 1:
            k.slab[SLAB_NODES, SL_OBJECTS] += 1
            slab_resize(k, SLAB_NODES)


@compiled
def page_left(k, file, pgoff, after):
    """The page of a slot leaves, and `after` stands in its place: nothing (0), a shadow or a swap entry."""
    node = _node_of(k, file, pgoff)
    k.xnode[node, XN_PAGES] -= 1
    if after == 0:
        k.xnode[node, XN_COUNT] -= 1
    if k.xnode[node, XN_COUNT] == 0:
        _node_free(k, node)
    elif k.xnode[node, XN_PAGES] == 0 and k.file[file, FI_KIND] == FILE_REGULAR:
        _list_add(k, node)


@compiled
def entry_left(k, file, pgoff):
    """The shadow or swap entry of a slot is forgotten."""
    node = _node_of(k, file, pgoff)
    k.xnode[node, XN_COUNT] -= 1
    if k.xnode[node, XN_COUNT] == 0:
        _node_free(k, node)


@compiled
def forget_shadows(k, node):
    """A node without pages goes, with its shadows (shadow_lru_isolate)."""
    first = (node - 1) << NODE_SHIFT
    for slot in range(first, first + NODE_SLOTS):
        k.pcache[slot] = 0
    k.xnode[node, XN_COUNT] = 0
    _node_free(k, node)


@compiled
def move_nodes(k, at, to, slots):
    """The slots from `at` on were moved to `to`, both beginnings of nodes: what is known of the nodes moves along."""
    for i in range((slots + NODE_SLOTS - 1) >> NODE_SHIFT):
        old = (at >> NODE_SHIFT) + i + 1
        new = (to >> NODE_SHIFT) + i + 1
        for column in range(XNODE_COLUMNS):
            k.xnode[new, column] = k.xnode[old, column]
            k.xnode[old, column] = 0
        if k.xnode[new, XN_LISTED] != 0:
            k.xnode[k.xnode[new, XN_PREV], XN_NEXT] = new
            k.xnode[k.xnode[new, XN_NEXT], XN_PREV] = new
