"""The index of an address space's VMAs by start page: a radix tree of 1024-way bitmap nodes.

The kernel keeps a red-black tree (a maple tree since 6.1); what that costs the simulated machine is charged by `vma_walk` in
`mm/mmap.py`.  This index only has to give the same answers quickly with a million VMAs: its nodes for a dense range are a few
hundred kilobytes and stay in the host's cache, where a binary tree would miss it at every level.
"""

from vmsim.struct.bits import bit_length
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_INDEX_DEPTH, SC_INDEX_FREE, SC_INDEX_NEXT
from vmsim.struct.vmas import INDEX_BITS, INDEX_COUNT, INDEX_FANOUT, INDEX_SUMMARY, MM_INDEX

_LOW = INDEX_FANOUT - 1


@compiled
def _new_node(k):
    node = k.sc[SC_INDEX_FREE]
    if node != 0:
        k.sc[SC_INDEX_FREE] = k.vindex[node, INDEX_COUNT]
        k.vindex[node, INDEX_COUNT] = 0
        return node
    node = k.sc[SC_INDEX_NEXT] + 1
    k.sc[SC_INDEX_NEXT] = node
    return node


@compiled
def index_create(k, mm):
    """Give an address space an empty index."""
    k.mm[mm, MM_INDEX] = _new_node(k)


@compiled
def index_insert(k, mm, vpn, vma):
    """Enter a VMA that starts at `vpn`, where none starts yet."""
    vindex = k.vindex
    vchild = k.vchild
    node = k.mm[mm, MM_INDEX]
    for level in range(k.sc[SC_INDEX_DEPTH] - 1, -1, -1):
        slot = (vpn >> (level * INDEX_BITS)) & _LOW
        if level == 0:
            child = vma
        else:
            child = vchild[node, slot]
            if child == 0:
                child = _new_node(k)
        if vchild[node, slot] == 0:
            vchild[node, slot] = child
            vindex[node, slot >> 5] |= 1 << (slot & 31)
            vindex[node, INDEX_SUMMARY] |= 1 << (slot >> 5)
            vindex[node, INDEX_COUNT] += 1
        node = child


@compiled
def index_remove(k, mm, vpn):
    """Take out the VMA that starts at `vpn`, and the nodes that become empty."""
    vindex = k.vindex
    vchild = k.vchild
    depth = k.sc[SC_INDEX_DEPTH]
    for last in range(depth):  # the level up to which nodes became empty
        node = k.mm[mm, MM_INDEX]
        for level in range(depth - 1, last, -1):
            node = vchild[node, (vpn >> (level * INDEX_BITS)) & _LOW]
        slot = (vpn >> (last * INDEX_BITS)) & _LOW
        child = vchild[node, slot]
        if last > 0:
            vindex[child, INDEX_COUNT] = k.sc[SC_INDEX_FREE]
            k.sc[SC_INDEX_FREE] = child
        vchild[node, slot] = 0
        vindex[node, slot >> 5] &= ~(1 << (slot & 31))
        if vindex[node, slot >> 5] == 0:
            vindex[node, INDEX_SUMMARY] &= ~(1 << (slot >> 5))
        vindex[node, INDEX_COUNT] -= 1
        if vindex[node, INDEX_COUNT] > 0:
            return


@compiled
def index_replace(k, mm, vpn, vma):
    """Let the start at `vpn` mean another VMA."""
    vchild = k.vchild
    node = k.mm[mm, MM_INDEX]
    for level in range(k.sc[SC_INDEX_DEPTH] - 1, 0, -1):
        node = vchild[node, (vpn >> (level * INDEX_BITS)) & _LOW]
    vchild[node, vpn & _LOW] = vma


@compiled
def _below(vindex, node, slot):
    """The highest used slot <= `slot` of a node, -1 if there is none."""
    if slot < 0:
        return -1
    word = slot >> 5
    bits = vindex[node, word] & ((2 << (slot & 31)) - 1)
    if bits != 0:
        return (word << 5) + bit_length(bits) - 1
    words = vindex[node, INDEX_SUMMARY] & ((1 << word) - 1)
    if words == 0:
        return -1
    word = bit_length(words) - 1
    return (word << 5) + bit_length(vindex[node, word]) - 1


@compiled
def index_floor(k, mm, vpn):
    """The VMA with the highest start <= `vpn`, 0 if there is none."""
    vindex = k.vindex
    vchild = k.vchild
    depth = k.sc[SC_INDEX_DEPTH]
    if vpn >> (depth * INDEX_BITS) != 0:
        vpn = (1 << (depth * INDEX_BITS)) - 1 if vpn > 0 else -1
        if vpn < 0:
            return 0
    root = k.mm[mm, MM_INDEX]
    node = root
    level = depth - 1
    while level > 0:
        child = vchild[node, (vpn >> (level * INDEX_BITS)) & _LOW]
        if child == 0:
            break
        node = child
        level -= 1
    if level == 0:
        slot = _below(vindex, node, vpn & _LOW)
        if slot >= 0:
            return vchild[node, slot]
        level = 1
    while level < depth:  # the nearest ancestor with an earlier child
        node = root
        for above in range(depth - 1, level, -1):
            node = vchild[node, (vpn >> (above * INDEX_BITS)) & _LOW]
        slot = _below(vindex, node, ((vpn >> (level * INDEX_BITS)) & _LOW) - 1)
        if slot >= 0:
            node = vchild[node, slot]
            for _ in range(level - 1, -1, -1):
                slot = _below(vindex, node, _LOW)
                node = vchild[node, slot]
            return node
        level += 1
    return 0


@compiled
def index_destroy(k, mm):
    """Give back the root of an index that has become empty."""
    node = k.mm[mm, MM_INDEX]
    k.vindex[node, INDEX_COUNT] = k.sc[SC_INDEX_FREE]
    k.sc[SC_INDEX_FREE] = node
    k.mm[mm, MM_INDEX] = 0


@compiled
def index_leaf(k, mm, vpn):
    """The lowest node of the index that covers a page, 0 if there is none."""
    vchild = k.vchild
    node = k.mm[mm, MM_INDEX]
    for level in range(k.sc[SC_INDEX_DEPTH] - 1, 0, -1):
        node = vchild[node, (vpn >> (level * INDEX_BITS)) & _LOW]
        if node == 0:
            return 0
    return node


@compiled
def leaf_floor(k, leaf, vpn):
    """The VMA with the highest start <= `vpn` among those that start in a lowest node; 0 if there is none."""
    slot = _below(k.vindex, leaf, vpn & _LOW)
    return k.vchild[leaf, slot] if slot >= 0 else 0
