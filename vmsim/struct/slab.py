"""Slab caches (`struct kmem_cache`), what their shrinkers remember, nodes of page-cache trees, and a superblock's unused objects."""

# Rows of `slab`, one for each cache.
SLAB_NODES = 0  # radix_tree_node: the lowest nodes of page-cache trees
SLAB_DENTRIES = 1
SLAB_INODES = 2
NR_SLABS = 3

# Columns of `slab`.
SL_OBJECTS = 0  # objects in use
SL_PAGES = 1
SL_FIRST = 2  # first of its frames, linked through P_INDEX; 0: none
SLAB_COLUMNS = 3

# Rows of `nr_deferred`: what each shrinker was asked to scan and has put off. They are called in this order.
SHRINKER_SHADOW_NODES = 0
SHRINKER_SUPER = 1
NR_SHRINKERS = 2

# Columns of `xnode`: the node of 64 slots of `pcache` that begin at (row - 1) * 64. Row 0 is the head of the list of nodes without pages.
XN_COUNT = 0  # slots that hold something
XN_PAGES = 1  # slots that hold a page
XN_LISTED = 2  # it holds shadows only, and is on the list, the oldest first
XN_PREV = 3
XN_NEXT = 4
XNODE_COLUMNS = 5

# Columns of `sb` (a single row): the file system that the files lie on. Its lists of unused objects are rings in `sb_lru`.
SB_IN_USE = 0  # files, each with a dentry and an inode that stay
SB_DENTRY_ROOM = 1  # entries of the ring of dentries, which begins at 0; that of inodes follows
SB_DENTRIES = 2  # dentries on their list
SB_DENTRY_HEAD = 3  # place of the oldest
SB_INODE_ROOM = 4
SB_INODES = 5
SB_INODE_HEAD = 6
SB_COLUMNS = 7

# An entry of `sb_lru`.
LRU_REFERENCED = 1  # it was used since the shrinker last looked
LRU_HAS_INODE = 2  # a dentry that isn't negative
