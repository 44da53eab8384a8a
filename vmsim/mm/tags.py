"""Tags on the slots of the page cache: finding a file's dirty pages without looking at the others.   As lib/radix-tree.c of v4.4.

A tag is a set of slots of `pcache`, kept as words of 32 bits; a bit of the next level stands for a word that is not empty.  Setting,
clearing and finding the next one take TAG_LEVELS steps, whatever the size of the file.
"""

from vmsim.struct.bits import lowest_bit
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_PCACHE_ROWS
from vmsim.struct.writeback import TAG_LEVELS


@compiled
def tag_set(k, tag, slot):
    """Tag a slot."""
    base = 0
    size = k.sc[SC_PCACHE_ROWS]
    index = slot
    for _ in range(TAG_LEVELS):
        word = base + (index >> 5)
        before = k.tag[word, tag]
        k.tag[word, tag] = before | 1 << (index & 31)
        if before != 0:
            return
        size = (size >> 5) + 1
        base += size
        index >>= 5


@compiled
def tag_clear(k, tag, slot):
    """Take a slot's tag away."""
    base = 0
    size = k.sc[SC_PCACHE_ROWS]
    index = slot
    for _ in range(TAG_LEVELS):
        word = base + (index >> 5)
        k.tag[word, tag] &= ~(1 << (index & 31))
        if k.tag[word, tag] != 0:
            return
        size = (size >> 5) + 1
        base += size
        index >>= 5


@compiled
def is_tagged(k, tag, slot):
    """Whether a slot has a tag."""
    return k.tag[slot >> 5, tag] >> (slot & 31) & 1 != 0


@compiled
def _words(k, level):
    """Where the words of a level begin."""
    base = 0
    size = k.sc[SC_PCACHE_ROWS]
    for _ in range(level):
        size = (size >> 5) + 1
        base += size
    return base


@compiled
def tag_next(k, tag, first, end):
    """The first slot in [first, end) that has a tag, -1 if none has."""
    level = 0
    index = first
    base = 0
    size = k.sc[SC_PCACHE_ROWS]
    while True:
        bits = k.tag[base + (index >> 5), tag] >> (index & 31)
        if bits != 0:
            index += lowest_bit(bits)
            break
        index = (index >> 5) + 1
        if level + 1 < TAG_LEVELS:
            level += 1
            size = (size >> 5) + 1
            base += size
        else:  # the top level may have several words
            index <<= 5
            if index >= size:
                return -1
    while level > 0:
        level -= 1
        index = index << 5 | lowest_bit(k.tag[_words(k, level) + index, tag])
    return index if index < end else -1
