"""The unused dentries and inodes of the file system that the files lie on.   Follows fs/super.c, fs/dcache.c and fs/inode.c of v4.4.

A file that is open holds its dentry, a dentry holds its inode; what nobody holds is on a list, the oldest first.  Model: all files of a run
are open throughout; what is unused was left by programs that ran before and is not used again; directories are not told from files; what
RCU would free a little later is free at once.
"""

from vmsim.mm.slab import slab_resize
from vmsim.struct.jit import compiled, entry
from vmsim.struct.kernel import SYS_VFS_CACHE_PRESSURE
from vmsim.struct.rules import R_USED_ONCE_GOES
from vmsim.struct.slab import (
    LRU_HAS_INODE,
    LRU_REFERENCED,
    SB_DENTRIES,
    SB_DENTRY_HEAD,
    SB_DENTRY_ROOM,
    SB_IN_USE,
    SB_INODE_HEAD,
    SB_INODE_ROOM,
    SB_INODES,
    SL_OBJECTS,
    SLAB_DENTRIES,
    SLAB_INODES,
)


@compiled
def _new_entry(k):
    """How an object joins its list: as one that was used since the shrinker looked, until only a second use counted as that."""
    return LRU_REFERENCED if k.rule[R_USED_ONCE_GOES] == 0 else 0


@compiled
def _inode_add_lru(k):
    """No dentry holds an inode any more: it joins its list."""
    sb = k.sb
    k.sb_lru[sb[SB_DENTRY_ROOM] + (sb[SB_INODE_HEAD] + sb[SB_INODES]) % sb[SB_INODE_ROOM]] = _new_entry(k)
    sb[SB_INODES] += 1


@entry
def fill_super(k, in_use, dentries, inodes):
    """The objects of `in_use` open files, and so many unused ones: whether memory has room for them.

    Each dentry holds an inode while there are some; dentries beyond them are negative and the oldest, inodes beyond are on their list.
    """
    sb = k.sb
    sb[SB_IN_USE] = in_use
    sb[SB_DENTRY_ROOM] = dentries
    sb[SB_DENTRIES] = dentries
    sb[SB_INODE_ROOM] = inodes
    k.slab[SLAB_DENTRIES, SL_OBJECTS] = in_use + dentries
    k.slab[SLAB_INODES, SL_OBJECTS] = in_use + inodes
    if not slab_resize(k, SLAB_DENTRIES) or not slab_resize(k, SLAB_INODES):
        return False
    for i in range(dentries):
        k.sb_lru[i] = _new_entry(k) | (LRU_HAS_INODE if i >= dentries - inodes else 0)
    for _ in range(inodes - dentries):
        _inode_add_lru(k)
    return True


@compiled
def super_cache_count(k):
    """Unused objects, as vm.vfs_cache_pressure has them counted (super_cache_count)."""
    return (k.sb[SB_DENTRIES] + k.sb[SB_INODES]) * k.sysctl[SYS_VFS_CACHE_PRESSURE] // 100


@compiled
def _walk(k, first, head, count, nr_to_walk):
    """Look at up to so many objects of a list, the oldest first (list_lru_walk): what is left on it, and the inodes that dentries let go.

    One that was used meanwhile goes to the end of the list; the walk comes to it again, unless it is the only one.
    """
    sb = k.sb
    start = sb[SB_DENTRY_ROOM] if first == SB_INODE_ROOM else 0
    room = sb[first]
    left = sb[count]
    inodes = 0
    while nr_to_walk > 0 and left > 0:
        nr_to_walk -= 1
        found = k.sb_lru[start + sb[head]]
        if found & LRU_REFERENCED != 0:
            k.sb_lru[start + (sb[head] + left) % room] = found & ~LRU_REFERENCED
            if left == 1:
                nr_to_walk = 0
        else:
            left -= 1
            inodes += 1 if found & LRU_HAS_INODE != 0 else 0
        sb[head] = (sb[head] + 1) % room
    return left, inodes


@compiled
def _prune_dcache(k, nr_to_walk):
    """Free unused dentries; their inodes join their list (prune_dcache_sb). How many."""
    left, inodes = _walk(k, SB_DENTRY_ROOM, SB_DENTRY_HEAD, SB_DENTRIES, nr_to_walk)
    freed = k.sb[SB_DENTRIES] - left
    k.sb[SB_DENTRIES] = left
    for _ in range(inodes):
        _inode_add_lru(k)
    return freed


@compiled
def _prune_icache(k, nr_to_walk):
    """Free inodes that no dentry holds (prune_icache_sb). How many."""
    left, _ = _walk(k, SB_INODE_ROOM, SB_INODE_HEAD, SB_INODES, nr_to_walk)
    freed = k.sb[SB_INODES] - left
    k.sb[SB_INODES] = left
    return freed


@compiled
def super_cache_scan(k, nr_to_scan):
    """Look at so many objects, of each kind in proportion and free those that weren't used: how many (super_cache_scan)."""
    sb = k.sb
    total = sb[SB_DENTRIES] + sb[SB_INODES] + 1
    of_dentries = nr_to_scan * sb[SB_DENTRIES] // total
    of_inodes = nr_to_scan * sb[SB_INODES] // total
    dentries = _prune_dcache(k, of_dentries + 1)
    inodes = _prune_icache(k, of_inodes + 1)
    k.slab[SLAB_DENTRIES, SL_OBJECTS] -= dentries
    k.slab[SLAB_INODES, SL_OBJECTS] -= inodes
    slab_resize(k, SLAB_DENTRIES)
    slab_resize(k, SLAB_INODES)
    return dentries + inodes
