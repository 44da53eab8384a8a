"""Page frames (`struct page`), page-table entries, and the LRU lists that frames hang on."""

# Columns of `frame`, one row per page frame number (pfn).  Row 0 is the zero page; all columns are zero on a free frame.
P_FLAGS = 0  # PG_* bits
P_MAPCOUNT = 1  # page-table entries that map this frame
P_PREV = 2  # neighbours on an LRU list (pfn, or a list's sentinel row)
P_NEXT = 3
P_MAPPING = 4  # anon_vma id (> 0), -(file id) - 1 for the page cache, 0 for neither
P_INDEX = 5  # page offset in the file, or the anonymous page's linear index
P_RMAP = 6  # mapcount 1: RMAP of its only mapping; more: -(chain head) - 1
P_PRIVATE = 7  # swap entry while in the swap cache
FRAME_COLUMNS = 8

PG_INUSE = 1
PG_LOCKED = 2
PG_UPTODATE = 4
PG_REFERENCED = 8
PG_DIRTY = 16
PG_LRU = 32
PG_ACTIVE = 64
PG_MLOCKED = 128
PG_UNEVICTABLE = 256
PG_READAHEAD = 512
PG_WRITEBACK = 1024
PG_ISOLATED = 2048  # a reclaimer has it in its batch: on no list, and its frame stays while it has
PG_RECLAIM = 512  # the same bit: a page that is written for reclaim and used again passes for one that was read ahead
PG_SWAPBACKED = 4096
PG_SWAPCACHE = 8192
PG_TABLE = 16384
PG_RESERVED = 32768
PG_ANON = 65536
PG_ERROR = 131072
PG_PAGEVEC = 262144  # waits in a CPU's pagevec to join a list: on none yet
PG_EXCLUSIVE = 524288  # an anonymous page that no other process can share (PG_anon_exclusive)
PG_WORKINGSET = 1048576  # it has been active (PG_workingset)
PG_GEN_SHIFT = 21  # generation modulo MAX_NR_GENS + 1, 0: on no list of one (LRU_GEN_MASK)
PG_GEN_MASK = 7 << PG_GEN_SHIFT
PG_REFS_SHIFT = 24  # further uses through file descriptors (LRU_REFS_MASK)
PG_REFS_ONE = 1 << PG_REFS_SHIFT
PG_REFS_MASK = 3 << PG_REFS_SHIFT
PG_HEAD = 1 << 26  # the first frame of a huge page, which stands for all of it
PG_TAIL = 1 << 27  # another frame of one: its other columns are zero
PG_CONTENT_SHIFT = 32  # from here up: the number of the page's contents for whoever tells pages' bytes apart; 0: not told apart
PG_CONTENT = ((1 << 31) - 1) << PG_CONTENT_SHIFT

# A page-table entry is an int64: bits below, frame number (or swap slot) from bit PTE_SHIFT up; 0 is an empty entry.
PTE_PRESENT = 1
PTE_WRITE = 2
PTE_YOUNG = 4
PTE_DIRTY = 8
PTE_PROTNONE = 16  # resident, but the VMA allows no access
PTE_ZERO = 32  # maps the zero page
PTE_SWAP = 64  # not present: the rest is a swap entry (a slot of `swap_map`)
PTE_SHIFT = 12

# What `ready` says of a leaf entry; 0: look at the entry itself.  It has two bits for each, four entries a byte: the entries of a few
# GiB are too many for the host's caches and TLB, their bits aren't.
READY_BITS = 2
READY_SHIFT = 2  # entries a byte, as a power of two
READY_READ = 1  # a read needs no change of the entry
READY_WRITE = 2  # nor does a write
READY_LOW = (1 << READY_SHIFT) - 1
READY_MASK = (1 << READY_BITS) - 1

ZERO_PFN = 0

# LRU lists, five a zone, in the kernel's order (enum lru_list).
LRU_INACTIVE_ANON = 0
LRU_ACTIVE_ANON = 1
LRU_INACTIVE_FILE = 2
LRU_ACTIVE_FILE = 3
LRU_UNEVICTABLE = 4
NR_LRU_LISTS = 5

# A reverse mapping packs the address space and the virtual page: mm << RMAP_SHIFT | vpn.
RMAP_SHIFT = 44

# Columns of `zone`.
Z_START_PFN = 0  # first frame
Z_END_PFN = 1  # one past the last
Z_MANAGED = 2  # frames that are the allocator's
Z_FREE = 3
Z_MIN = 4
Z_LOW = 5
Z_HIGH = 6
Z_NEXT_NEW = 7  # frames from here to Z_NEW_END were never handed out
Z_NR_STACK = 8  # freed frames on the zone's free stack
Z_PRESENT = 9  # frames that exist
Z_BATCH = 10
Z_PCP_HIGH = 11
Z_LRU = 12  # five list lengths, in pages
Z_RESERVE = 20  # lowmem_reserve against classes 0..3
Z_PAGES_SCANNED = 24  # since a page was last freed (NR_PAGES_SCANNED)
Z_INACTIVE_AGE = 25  # evictions and activations of file pages (workingset.c)
Z_FLAGS = 26  # ZONE_* bits
Z_ALLOC_BATCH = 27  # pages left to this zone before the fair policy turns to the others (NR_ALLOC_BATCH)
# Reclaim statistics of the lists, [0] anonymous, [1] file (struct zone_reclaim_stat).
Z_RECENT_SCANNED = 28
Z_RECENT_ROTATED = 30
Z_FIRST_PFN = 40  # the lowest of its managed frames, which are contiguous
Z_INACTIVE_RATIO = 41  # how much longer than the inactive the active anonymous list may be
Z_ISOLATED = 32  # pages taken off the lists by reclaim, [0] anonymous, [1] file
Z_ZONE_LRU = 34  # pages of the zone on each kind of list, whosever the lists are (NR_ZONE_LRU_BASE)
# What can be handed out as a huge page; kept where there are transparent huge pages.
Z_NEW_END = 42
Z_WHOLE = 43  # list of free blocks of a huge page's size none of whose frames is on the free stack: the first, 0: none
Z_NR_WHOLE = 44  # its length
Z_MERGED = 45  # blocks all of whose frames are on the free stack
Z_GEN = 48  # pages of each generation, [0] anonymous, [1] file
ZONE_COLUMNS = 64

MIN_NR_GENS = 2
MAX_NR_GENS = 4
MAX_NR_TIERS = 4
MIN_LRU_BATCH = 64
MAX_LRU_BATCH = 4096
NR_ZONES = 4

ZONE_CONGESTED = 1
ZONE_DIRTY = 2  # reclaim met many dirty pages at the tail of the file list
ZONE_WRITEBACK = 4  # and many under writeback
ZONE_FAIR_DEPLETED = 8

# Columns of `pageblock`, one row for each aligned run of frames of a huge page's size.
PB_FREE = 0  # its frames on the free stack
PB_NEXT = 1  # the next of the zone's whole blocks

# Columns of `pvec`, one row per CPU: four pagevecs of 14 frames each, a count before each (mm/swap.c).
PVEC_ADD = 0
PVEC_ROTATE = 16
PVEC_ACTIVATE = 32
PVEC_FREE_FACTOR = 48  # for each zone: how often its list of this CPU overflowed while nothing was taken (pcp->free_factor)
PVEC_COLUMNS = 64
PAGEVEC_SIZE = 14
PAGEVEC_SIZE_4_15 = 15
